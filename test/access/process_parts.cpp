// I and what a process has one of: relays, sessions, the batch of flows.
#include <gtest/gtest.h>

#include <ctime>
#include <set>

#include "portal/access/json_text.h"
#include "test/access/world.h"

namespace fatwal::access::test {
namespace parts_tests {

Relay relay(const std::string& name, const std::string& secret = "s",
            std::optional<Location> location = {}) {
    return {{id(name)}, "192.0.2.1", "2001:db8::1", 3478, location, secret};
}

TEST(Relays, I1_to_I5_ToldWhenTheyChange) {
    World w;
    w.join_client();
    EXPECT_TRUE(w.relays.online(relay("R1")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "init[r1] relays([],2)");
    EXPECT_TRUE(w.relays.online(relay("R2")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "relays([],4)");
    w.relays.offline({id("R1")}, w.tick());
    EXPECT_FALSE(w.relays.online(relay("R1"))) << "back with the same secret";
    EXPECT_TRUE(w.relays.online(relay("R1", "other")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "relays([R1],4)");
    w.relays.offline({id("R1")}, w.tick());
    w.after(10s - 1us);
    EXPECT_EQ(w.sent("c1"), "");
    w.after(1us);
    EXPECT_EQ(w.sent("c1"), "relays([R1],2)");
}

TEST(Relays, I7_I8_TheTwoNearestAndPlacelessLast) {
    World w;
    for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(w.relays.online(relay("R" + std::to_string(i), "s", Location{10.0 * i, 0})));
    EXPECT_TRUE(w.relays.online(relay("R9")));
    const auto chosen =
        w.relays.choose(id("account"), Location{19, 0}, [&] { return w.generator(); });
    ASSERT_EQ(chosen.size(), 2U);
    EXPECT_EQ(name_of(chosen[0].id.id) + name_of(chosen[1].id.id), "R2R1");
}

Relay own(const std::string& name, const std::string& account) {
    Relay out = relay(name);
    out.id.account_id = id(account);
    return out;
}

TEST(Relays, AnAccountsOwnAreForItsDevicesAloneAndComeFirst) {
    World w;
    w.join_client();
    (void)w.sent("c1");
    EXPECT_TRUE(w.relays.online(own("R1", "other")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "");
    EXPECT_TRUE(w.relays.online(relay("R2", "s", Location{19, 0})));
    EXPECT_TRUE(w.relays.online(relay("R3", "s", Location{20, 0})));
    EXPECT_TRUE(w.relays.online(own("R4", "account")));
    const auto chosen =
        w.relays.choose(id("account"), Location{19, 0}, [&] { return w.generator(); });
    ASSERT_EQ(chosen.size(), 2U);
    EXPECT_EQ(name_of(chosen[0].id.id) + name_of(chosen[1].id.id), "R4R2");
    // Another account's relay says the same id: it is another one.
    EXPECT_TRUE(w.relays.online(own("R4", "other")));
    w.relays.offline({id("R4"), id("other")}, w.tick());
    const std::set<std::optional<Uuid>> others_alone{id("other")};
    ASSERT_EQ(w.relays.on_time(w.tick() + 10s), others_alone);
    EXPECT_NE(w.relays.find({id("R4"), id("account")}), nullptr);
    EXPECT_EQ(w.relays.find({id("R4"), id("other")}), nullptr);
}

TEST(Relays, WhoseDevicesAreToldWhenTheyAreGone) {
    World w;
    for (const Relay& one : {own("R1", "account"), own("R2", "account"), own("R3", "other")})
        EXPECT_TRUE(w.relays.online(one));
    EXPECT_TRUE(w.relays.online(relay("R4")));
    for (const RelayId& gone : {RelayId{id("R1"), id("account")}, RelayId{id("R2"), id("account")},
                                RelayId{id("R4"), {}}})
        w.relays.offline(gone, w.tick());
    EXPECT_FALSE(w.relays.online(own("R2", "account"))) << "back in time";
    w.relays.offline({id("R3"), id("other")}, w.tick() + 5s);
    EXPECT_EQ(w.relays.next_deadline(), w.tick() + 10s);
    using Accounts = std::set<std::optional<Uuid>>;
    EXPECT_EQ(w.relays.on_time(w.tick() + 10s), (Accounts{std::nullopt, id("account")}));
    EXPECT_EQ(w.relays.next_deadline(), w.tick() + 15s);
    EXPECT_EQ(w.relays.on_time(w.tick() + 15s), (Accounts{id("other")}));
    EXPECT_EQ(w.relays.next_deadline(), std::nullopt);
    EXPECT_EQ(w.relays.count_for(id("account")), 1U);
    EXPECT_EQ(w.relays.count_for(id("other")), 0U);
}

// In time of the processor, as the machine may be busy.
TEST(Relays, OthersRelaysCostAnAccountNothing) {
    constexpr int kAccounts = 20'000;
    World w;
    const auto begin = std::clock();
    for (int i = 0; i < kAccounts; ++i) {
        const std::string account = "account " + std::to_string(i);
        EXPECT_TRUE(w.relays.online(own("R1", account)));
        EXPECT_EQ(w.relays.count_for(id(account)), 1U);
        EXPECT_EQ(w.relays.choose(id(account), {}, [] { return 0; }).size(), 1U);
        w.relays.offline({id("R1"), id(account)}, w.tick());
        EXPECT_EQ(w.relays.next_deadline(), w.tick() + 10s);
    }
    EXPECT_LT(std::clock() - begin, 3 * CLOCKS_PER_SEC);
}

std::int64_t credentials_end(const Json& relays) {
    return relays.at(0).at("expires_at").get<std::int64_t>();
}

TEST(Relays, CredentialsEndWithTheTokenAndAfterADayAtTheLatest) {
    Relays relays;
    ASSERT_TRUE(relays.online(relay("R1")));
    ASSERT_TRUE(relays.online(relay("R2", "s", Location{1, 1})));
    const Random random = [] { return 1; };
    RelaySelection selection;
    RelayUser user{id("account"), id("c1"), {}, kFriday + 1h};
    EXPECT_EQ(credentials_end(selection.init(relays, user, kFriday, random)),
              unix_seconds(kFriday + 1h));
    EXPECT_EQ(selection.next_deadline(), std::nullopt) << "the session ends with the token";
    user.token_expires_at.reset();
    EXPECT_EQ(credentials_end(selection.init(relays, user, kFriday, random)),
              unix_seconds(kFriday + 24h));
    EXPECT_EQ(selection.next_deadline(), kFriday + 12h);
    EXPECT_EQ(selection.update(relays, user, kFriday + 12h - 1us, random), std::nullopt);
    const auto renewed = selection.update(relays, user, kFriday + 12h, random);
    ASSERT_TRUE(renewed);
    EXPECT_EQ(renewed->at("disconnected_ids"), Json::array());
    EXPECT_EQ(credentials_end(renewed->at("connected")), unix_seconds(kFriday + 36h));
}

TEST(Relays, DevicesThatStayAreGivenNewCredentials) {
    World w;
    EXPECT_TRUE(w.relays.online(relay("R1")));
    w.join_client().join_gateway();
    EXPECT_EQ(w.sent("c1"), "init[r1]");
    EXPECT_NE(w.sent("w1"), "");
    w.after(12h - 1us);
    EXPECT_EQ(w.sent("c1"), "");
    w.after(1us);
    EXPECT_EQ(w.sent("c1"), "relays([],2)");
    EXPECT_EQ(w.sent("w1"), "relays([],2)");
}

SessionKey client_key(const std::string& name, const std::string& account = "account") {
    return {id(account), Device::Client, id(name)};
}
SessionKey gateway_key(const std::string& name) {
    return {id("account"), Device::Gateway, id(name)};
}

TEST(Sessions, H33_ClientsTakeOverGatewaysStay) {
    Sessions sessions(1);
    EXPECT_EQ(sessions.enter(client_key("c1")).generation, 1U);
    EXPECT_EQ(sessions.enter(client_key("c1")).taken_over, 1U);
    EXPECT_FALSE(sessions.leave(client_key("c1"), 1));
    EXPECT_EQ(sessions.current(client_key("c1")), 2U);
    const Generation established = sessions.enter(gateway_key("w1")).generation;
    EXPECT_NE(established, 0U);
    EXPECT_EQ(sessions.enter(gateway_key("w1")).generation, 0U);
    EXPECT_EQ(sessions.enter(gateway_key("w1")).taken_over, std::nullopt);
    EXPECT_EQ(sessions.current(gateway_key("w1")), established);
    EXPECT_FALSE(sessions.leave(gateway_key("w1"), 0)) << "the refused one leaves";
    EXPECT_TRUE(sessions.leave(gateway_key("w1"), established)) << "it did not answer the ping";
    EXPECT_FALSE(sessions.current(gateway_key("w1")));
    EXPECT_GT(sessions.enter(gateway_key("w1")).generation, established);
}

TEST(Sessions, ADevicesIdIsOfItsKindAndOfItsAccount) {
    Sessions sessions(0);
    EXPECT_EQ(sessions.enter(client_key("x")).generation, 1U) << "0 is no generation";
    EXPECT_EQ(sessions.enter(gateway_key("x")).taken_over, std::nullopt);
    EXPECT_EQ(sessions.enter(client_key("x", "other")).taken_over, std::nullopt);
    EXPECT_TRUE(sessions.leave(client_key("x", "other"), 3));
    EXPECT_EQ(sessions.current(client_key("x")), 1U);
}

TEST(Sessions, C2_WhoMovesGetsAGreaterGenerationWhicheverProcessStartedFirst) {
    Sessions older(1000);
    Sessions younger(5000);
    const Generation first = younger.enter(client_key("c1")).generation;
    older.hear(first);
    const Generation second = older.enter(client_key("c1")).generation;
    EXPECT_TRUE(came_later(second, 1, first, 2));
    younger.hear(second);
    EXPECT_TRUE(came_later(younger.enter(client_key("c1")).generation, 2, second, 1));
    older.hear(3);
    EXPECT_GT(older.enter(client_key("c2")).generation, second) << "never less than the highest";
    older.hear(~Generation{0});
    EXPECT_LT(older.enter(client_key("c3")).generation, Generation{1} << 62U);
}

TEST(Sessions, C2_TwoThatEnterAtOnceAreOrderedInTheSameWayByBoth) {
    EXPECT_TRUE(came_later(7, 2, 7, 1));
    EXPECT_FALSE(came_later(7, 1, 7, 2));
}

TEST(Presence, C2_AClientIsWhereItEnteredLast) {
    Presence presence;
    presence.client_online(id("c1"), {7, 1});
    presence.client_online(id("c1"), {6, 2});
    EXPECT_EQ(presence.client(id("c1"))->process, 1U);
    presence.client_online(id("c1"), {7, 2});
    EXPECT_EQ(presence.client(id("c1"))->process, 2U);
    presence.client_offline(id("c1"), 6);
    EXPECT_NE(presence.client(id("c1")), nullptr) << "an earlier session leaves";
    presence.process_gone(2);
    EXPECT_EQ(presence.client(id("c1")), nullptr);
}

constexpr Tick kStart{std::chrono::hours(1)};

portal::Flows flow(const std::string& name, const std::string& gateway = "w1") {
    portal::Flows out;
    out.id = id(name);
    out.account_id = id("account");
    out.gateway_id = id(gateway);
    return out;
}

// "durable w1[f1,f2] lost w1[f3]"
std::string told(const std::vector<FlowBatch::Notice>& notices) {
    std::string out;
    for (const auto& notice : notices) {
        const auto* durable = std::get_if<FlowsDurable>(&notice.message);
        std::string ids;
        for (const Uuid& flow_id :
             durable != nullptr ? durable->flow_ids : std::get<FlowsLost>(notice.message).flow_ids)
            ids += (ids.empty() ? "" : ",") + name_of(flow_id);
        out += (out.empty() ? "" : " ") + std::string(durable != nullptr ? "durable " : "lost ") +
               name_of(notice.gateway_id) + '[' + ids + ']';
    }
    return out;
}

// "1:f1,f2-f3": its number, rows and deletions.
std::string text_of(const std::optional<FlowBatch::Batch>& batch) {
    if (!batch) return "none";
    std::string out = std::to_string(batch->number) + ':';
    for (std::size_t i = 0; i < batch->rows.size(); ++i)
        out += (i == 0 ? "" : ",") + name_of(batch->rows[i].id);
    for (std::size_t i = 0; i < batch->deletions.size(); ++i)
        out += (i == 0 ? "-" : ",") + name_of(batch->deletions[i]);
    return out;
}

TEST(FlowBatch, WaitsASecondAndTellsWhatWasLost) {
    FlowBatch batch;
    for (const char* name : {"f1", "f2", "f3"}) EXPECT_EQ(told(batch.add(flow(name), kStart)), "");
    EXPECT_EQ(told(batch.add(flow("f4", "w2"), kStart + 500ms)), "");
    batch.remove(id("f3"), kStart);
    EXPECT_EQ(batch.next_deadline(), kStart + 1s);
    EXPECT_EQ(text_of(batch.take(kStart + 1s - 1us)), "none");
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "1:f1,f2,f4");
    EXPECT_EQ(batch.next_deadline(), std::nullopt);
    EXPECT_EQ(told(batch.written(2, {}, kStart)), "") << "of no batch under way";
    EXPECT_EQ(told(batch.written(1, {{id("f2")}, {}}, kStart)),
              "durable w1[f1] durable w2[f4] lost w1[f2]");
    EXPECT_EQ(told(batch.written(1, {}, kStart)), "") << "told already";
    EXPECT_EQ(batch.waiting(), 0U);
    EXPECT_EQ(text_of(batch.take(kStart + 1h)), "none");
}

TEST(FlowBatch, AFullBatchGoesAtOnceAndOneIsUnderWay) {
    FlowBatch batch({1s, 2, 100});
    (void)batch.add(flow("f1"), kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "none");
    for (const char* name : {"f2", "f3"}) (void)batch.add(flow(name), kStart);
    EXPECT_EQ(batch.next_deadline(), kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "1:f1,f2");
    EXPECT_EQ(text_of(batch.take(kStart + 1h)), "none") << "one is under way";
    EXPECT_EQ(batch.waiting(), 3U);
    (void)batch.written(1, {}, kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "2:f3") << "what is left has waited as long";
    (void)batch.written(2, {}, kStart);
    for (const char* name : {"f1", "f2", "f3"}) batch.remove(id(name), kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "3:-f1,f2");
    (void)batch.written(3, {}, kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "4:-f3");
}

TEST(FlowBatch, WhatFailedGoesAgainAheadOfWhatWaits) {
    FlowBatch batch;
    for (const char* name : {"f1", "f2"}) (void)batch.add(flow(name), kStart);
    batch.remove(id("f0"), kStart);
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "1:f1,f2-f0");
    (void)batch.add(flow("f3"), kStart + 1s);
    batch.remove(id("f1"), kStart + 1s);
    batch.failed(7, kStart + 2s);
    EXPECT_EQ(text_of(batch.take(kStart + 2s)), "none") << "not the one that is under way";
    batch.failed(1, kStart + 2s);
    EXPECT_EQ(batch.waiting(), 3U);
    EXPECT_EQ(batch.next_deadline(), kStart + 3s);
    EXPECT_EQ(text_of(batch.take(kStart + 3s)), "2:f2,f3-f0,f1")
        << "f1 may be there: its deletion stays";
    EXPECT_EQ(told(batch.written(2, {}, kStart)), "durable w1[f2,f3]");
}

TEST(FlowBatch, BeyondItsBoundsRowsAreLostAndDeletionsKept) {
    FlowBatch batch({1s, 2, 3});
    for (const char* name : {"f1", "f2", "f3"}) EXPECT_EQ(told(batch.add(flow(name), kStart)), "");
    EXPECT_EQ(told(batch.add(flow("f4"), kStart)), "lost w1[f4]");
    EXPECT_EQ(text_of(batch.take(kStart)), "1:f1,f2");
    EXPECT_EQ(told(batch.add(flow("f5"), kStart)), "lost w1[f5]") << "those under way count";
    (void)batch.written(1, {{id("f2")}, {}}, kStart);
    for (const char* name : {"f2", "f4", "f5"}) batch.remove(id(name), kStart);
    EXPECT_EQ(batch.waiting_deletions(), 0U) << "there is no such row";
    EXPECT_EQ(text_of(batch.take(kStart)), "2:f3");
    (void)batch.written(2, {}, kStart);

    for (int round = 0; round < 2; ++round)
        for (const char* name : {"f6", "f7", "f8", "f9"}) batch.remove(id(name), kStart);
    EXPECT_EQ(batch.waiting_deletions(), 4U) << "each once, and none is lost";
    EXPECT_EQ(told(batch.add(flow("f10"), kStart)), "lost w1[f10]");
    EXPECT_EQ(text_of(batch.take(kStart)), "3:-f6,f7");
    EXPECT_EQ(told(batch.add(flow("f11"), kStart)), "lost w1[f11]");
    batch.failed(3, kStart);
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "4:-f6,f7");
    (void)batch.written(4, {}, kStart);
    EXPECT_EQ(told(batch.add(flow("f12"), kStart + 1s)), "");
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "5:f12-f8,f9");
}

TEST(FlowBatch, WhatIsKnownToHaveNoRowIsForgottenInTheEnd) {
    FlowBatch batch({1s, 10, 2});
    for (const char* name : {"f1", "f2"}) (void)batch.add(flow(name), kStart);
    for (const char* name : {"f3", "f4", "f5"}) EXPECT_FALSE(batch.add(flow(name), kStart).empty());
    for (const char* name : {"f3", "f4", "f5"}) batch.remove(id(name), kStart);
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "1:f1,f2-f3");
}

TEST(FlowBatch, AfterAFailureAFullBatchWaitsToo) {
    FlowBatch batch({1s, 1, 100});
    (void)batch.add(flow("f1"), kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "1:f1");
    batch.failed(1, kStart);
    (void)batch.add(flow("f2"), kStart);
    EXPECT_EQ(batch.next_deadline(), kStart + 1s);
    EXPECT_EQ(text_of(batch.take(kStart + 1s - 1us)), "none");
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "2:f1");
    (void)batch.written(2, {}, kStart);
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "3:f2");
}

TEST(FlowBatch, WhatSomebodyHasLockedGoesAgainBehindWhatWaits) {
    FlowBatch batch({1s, 2, 100});
    for (const char* name : {"f1", "f2", "f3"}) (void)batch.add(flow(name), kStart);
    batch.remove(id("f0"), kStart);
    EXPECT_EQ(text_of(batch.take(kStart)), "1:f1,f2-f0");
    EXPECT_EQ(told(batch.written(1, {{}, {id("f1"), id("f0")}}, kStart)), "durable w1[f2]");
    EXPECT_EQ(batch.waiting(), 2U);
    EXPECT_EQ(text_of(batch.take(kStart)), "2:f3,f1-f0");
    batch.remove(id("f1"), kStart);
    EXPECT_EQ(told(batch.written(2, {{}, {id("f1")}}, kStart)), "durable w1[f3]");
    EXPECT_EQ(text_of(batch.take(kStart + 1h)), "none") << "it was never written";
}

TEST(FlowBatch, NoAccountTakesTheRoomOfOthers) {
    FlowBatch batch({1s, 10, 100, 2});
    for (const char* name : {"f1", "f2"}) EXPECT_EQ(told(batch.add(flow(name), kStart)), "");
    EXPECT_EQ(told(batch.add(flow("f3"), kStart)), "lost w1[f3]");
    portal::Flows other = flow("f4", "w9");
    other.account_id = id("B");
    EXPECT_EQ(told(batch.add(other, kStart)), "");
    EXPECT_EQ(text_of(batch.take(kStart + 1s)), "1:f1,f2,f4");
    EXPECT_EQ(told(batch.add(flow("f5"), kStart)), "") << "there is room again";
}

TEST(JsonText, IsNotNestedDeeperThanTheStackIs) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_TRUE(parse_json(nested(kMostDepth)));
    EXPECT_FALSE(parse_json(nested(kMostDepth + 1)));
    EXPECT_FALSE(parse_json(nested(30'000)));
    EXPECT_FALSE(parse_json("{"));
    EXPECT_FALSE(parse_json("\"\xff\""));
    EXPECT_EQ(parse_json(R"({"a":"[[["})")->at("a"), "[[[");
}

// A snapshot can be older than what was shown: nobody is shown it before it has caught up.
TEST(AccountState, C1_RowsOfThePastAreShownWhenTheyHaveCaughtUp) {
    World w;
    w.join_client().join_gateway();
    (void)w.sent("c1");
    w.state.begin_snapshot();
    for (const auto& [key, row] : w.rows()) w.state.snapshot_row({{}, row, {}, {}, {}});
    w.state.end_rows({{}, 2000});
    EXPECT_FALSE(w.state.live());
    // Meanwhile r1 was taken away.
    w.erase<portal::Policies>("p1");
    const Affected nobody = w.state.apply(2001, w.take_changes());
    EXPECT_TRUE(nobody.clients.empty() && nobody.gateways.empty());
    w.join_client("c1");
    w.create_flow();
    EXPECT_EQ(w.sent("c1"), "") << "it waits";
    const Affected all = w.state.go_live();
    EXPECT_TRUE(all.clients.contains(id("c1")));
    EXPECT_TRUE(all.gateways.contains(id("w1")));
    for (auto& [name, channel] : w.clients) {
        const auto actions = channel->on_snapshot(w.now);
        ASSERT_EQ(actions.size(), 1U);
        EXPECT_TRUE(std::get<Push>(actions.front()).payload.at("resources").empty());
    }
}

TEST(AccountState, C1_ATransactionThatVoidsRowsOfThePastPutsThemAside) {
    World w;
    w.state.begin_snapshot();
    w.state.end_rows({{}, 2000});
    RowChange truncated;
    truncated.voided_by = "a table was truncated";
    EXPECT_TRUE(w.state.apply(2001, {truncated}).quarantined);
    EXPECT_TRUE(w.state.go_live().clients.empty());
    EXPECT_FALSE(w.state.live());
}

}  // namespace parts_tests
}  // namespace fatwal::access::test
