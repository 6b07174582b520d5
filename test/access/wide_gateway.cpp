// A gateway with more pairs than one part of its work has.
#include <gtest/gtest.h>

#include "test/access/world.h"

namespace fatwal::access::test {
namespace wide_gateway_tests {

constexpr std::size_t kPairs = 450;

// c1 reaches r0 to r449 through w1: each by a policy of its own, all by the membership m1.
void widen(World& w) {
    for (std::size_t i = 0; i < kPairs; ++i) {
        const std::string number = std::to_string(i);
        w.resource("wide" + number).connect("wide" + number, "s1");
        w.policy("p-wide" + number, "g1", "wide" + number);
        portal::Flows flow;
        flow.id = id("f-wide" + number);
        flow.account_id = id("account");
        flow.policy_id = id("p-wide" + number);
        flow.client_id = id("c1");
        flow.gateway_id = id("w1");
        flow.resource_id = id("wide" + number);
        flow.token_id = id("t1");
        flow.membership_id = id("m1");
        w.put(flow);
    }
    w.commit();
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t out = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++out;
    return out;
}

struct WideGateway : ::testing::Test {
    WideGateway() {
        widen(w);
        w.join_gateway();
        shown = w.payloads.back();
        (void)w.sent("w1");
    }
    GatewayChannel& gateway() { return *w.gateways.at("w1"); }
    World w;
    Json shown;  // by init
};

TEST_F(WideGateway, init_lists_each_pair) {
    std::set<std::string> resources;
    for (const Json& entry : shown.at("authorizations"))
        resources.insert(entry.at("resource_id").get<std::string>());
    EXPECT_EQ(resources.size(), kPairs);
}

TEST_F(WideGateway, a_part_is_small_and_go_on_gives_the_others) {
    w.cascade("m1");
    auto affected = w.state.apply(1000, w.take_changes());
    Actions all = gateway().on_transaction(std::move(affected.gateways.at(id("w1"))), w.now);
    for (std::size_t had = 0; gateway().has_more(); had = all.size()) {
        EXPECT_LE(all.size() - had, kPairs / 2);
        for (Action& action : gateway().go_on(w.now)) all.push_back(std::move(action));
    }
    EXPECT_EQ(all.size(), kPairs);
    EXPECT_EQ(gateway().pair_count(), 0U);
    EXPECT_TRUE(gateway().go_on(w.now).empty());
}

TEST_F(WideGateway, all_that_a_membership_justified_is_rejected_once) {
    w.cascade("m1").commit();
    EXPECT_EQ(count(w.sent("w1"), "REJ("), kPairs);
    EXPECT_EQ(w.deletions(), 0U) << "the rows are gone already";
}

TEST_F(WideGateway, rows_that_are_deleted_alone_are_found_among_the_others) {
    for (std::size_t i = 0; i < kPairs; i += 2)
        w.erase<portal::Flows>("f-wide" + std::to_string(i));
    w.commit();
    EXPECT_EQ(count(w.sent("w1"), "REJ("), (kPairs + 1) / 2);
    EXPECT_EQ(gateway().pair_count(), kPairs / 2);
}

TEST_F(WideGateway, another_policy_takes_over_for_each) {
    for (std::size_t i = 0; i < kPairs; ++i)
        w.policy("q-wide" + std::to_string(i), "g1", "wide" + std::to_string(i));
    w.commit();
    for (std::size_t i = 0; i < kPairs; ++i) w.cascade("p-wide" + std::to_string(i));
    w.commit();
    EXPECT_EQ(count(w.sent("w1"), "REJ("), 0U);
    EXPECT_EQ(w.unwritten.size(), kPairs);
    EXPECT_EQ(gateway().pair_count(), kPairs);
}

TEST_F(WideGateway, a_disabled_account_ends_all_and_the_gateway_stays) {
    w.edit<portal::Accounts>("account", [&](auto& a) { a.disabled_at = w.now; }).commit();
    EXPECT_EQ(count(w.sent("w1"), "REJ("), kPairs);
    EXPECT_FALSE(gateway().closed());
}

TEST_F(WideGateway, another_slug_is_a_new_init_of_all) {
    w.edit<portal::Accounts>("account", [](auto& a) { a.slug = "other"; }).commit();
    EXPECT_EQ(w.payloads.back().at("authorizations").size(), kPairs);
}

TEST_F(WideGateway, a_snapshot_without_the_rows_rejects_them) {
    for (std::size_t i = 0; i < kPairs; ++i) w.erase<portal::Flows>("f-wide" + std::to_string(i));
    w.snapshot();
    EXPECT_EQ(count(w.sent("w1"), "REJ("), kPairs);
}

TEST_F(WideGateway, all_expire_at_one_instant) {
    for (std::size_t i = 0; i < kPairs; ++i)
        w.edit<portal::Flows>("f-wide" + std::to_string(i),
                              [&](auto& flow) { flow.expires_at = w.now + 1h; });
    w.commit();
    w.leave("w1").join_gateway();
    w.after(1h);
    EXPECT_EQ(gateway().pair_count(), 0U);
}

TEST_F(WideGateway, what_an_earlier_session_held_is_held_by_the_next) {
    while (gateway().let_go()) continue;
    w.leave("w1").join_gateway();
    (void)w.sent("w1");
    w.cascade("m1").commit();
    EXPECT_EQ(count(w.sent("w1"), "REJ("), kPairs);
}

TEST_F(WideGateway, reject_all_takes_every_pair) {
    Actions all = gateway().reject_all();
    while (gateway().has_more())
        for (Action& action : gateway().go_on(w.now)) all.push_back(std::move(action));
    EXPECT_EQ(gateway().pair_count(), 0U);
    EXPECT_EQ(all.size(), 2 * kPairs) << "each pair is rejected, each row deleted";
}

}  // namespace wide_gateway_tests
}  // namespace fatwal::access::test
