// The relays of a process: who may be connected, and how much one account may ask for.
#include "portal/process/relay_desk.h"

#include <gtest/gtest.h>

#include <map>
#include <zmq.hpp>

#include "portal/access/json_text.h"
#include "portal/process/clock.h"
#include "portal/process/rate_limit.h"

namespace fatwal::process {
namespace relay_desk_tests {

using namespace std::chrono_literals;
using access::Json;

// echo -n secret | sha256sum
const std::string kHash =
    "\x2b\xb8\x0d\x53\x7b\x1d\xa3\xe3\x8b\xd3\x03\x61\xaa\x85\x56\x86\xbd\xe0\xea\xcd\x71\x62\xfe"
    "\xf6\xa2\x5f\xe9\x7b\xf5\x27\xa2\x5b";

Uuid id(int number) {
    return *Uuid::from_text("00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + number));
}

struct FakeLink : Link {
    void send(std::string message) override { sent.push_back(*access::parse_json(message)); }
    void send_first(std::string message) override { send(std::move(message)); }
    [[nodiscard]] bool has_room_for_first(const QueueBudget& /*account*/) const override {
        return true;
    }
    void count_for(std::shared_ptr<QueueBudget> /*budget*/) override {}
    void probe(std::chrono::milliseconds /*within*/,
               std::function<void(bool)> /*answer*/) override {}
    void close(std::string_view reason) override { end = reason; }

    [[nodiscard]] bool is_in() const { return end.empty() && !sent.empty(); }
    [[nodiscard]] std::size_t replies(const std::string& reason) const {
        return static_cast<std::size_t>(
            std::count_if(sent.begin(), sent.end(), [&](const Json& message) {
                return message["event"] == "reply" && message["status"] == "error" &&
                       message["payload"]["reason"] == reason;
            }));
    }

    std::vector<Json> sent;
    std::string end;  // empty: it is open
};

struct RelayDeskTest : testing::Test {
    // What the process knows of an account.
    struct Followed {
        explicit Followed(const Uuid& account) : state(account) {}
        access::AccountState state;
        bool is_ready = true;
        bool waits_for_turn = false;
        int looks = 0;
    };

    // An account with the token of a relay, both by the account's number.
    Followed& account(int number) {
        auto& out = accounts[id(number)];
        if (out) return *out;
        out = std::make_unique<Followed>(id(number));
        out->state.begin_snapshot();
        portal::Accounts row;
        row.id = id(number);
        out->state.snapshot_row({{}, row, {}, {}, {}});
        out->state.snapshot_row({{}, token(number), {}, {}, {}});
        (void)out->state.end_snapshot({});
        return *out;
    }
    static portal::Tokens token(int number) {
        portal::Tokens out;
        out.id = id(number);
        out.account_id = id(number);
        out.type = portal::TokenType::Relay;
        out.secret_hash = kHash;
        return out;
    }
    void change(int number, portal::AnyRow before, portal::AnyRow after) {
        (void)account(number).state.apply(++lsn,
                                          {{std::move(before), std::move(after), {}, {}, {}}});
    }

    // A relay with its account's token.
    std::shared_ptr<FakeLink> join(int number, int relay = 1) {
        account(number);
        auto link = std::make_shared<FakeLink>();
        JoinRequest request;
        request.role = Role::Relay;
        request.device_id = id(relay);
        request.token = {id(number), id(number), "secret"};
        desk.join(std::move(request), link);
        return link;
    }
    // Calls what the link was given, as that may be replaced meanwhile.
    static void say(FakeLink& link, const Json& message) {
        const auto received = link.received;
        received(message.dump());
    }
    static void announce(FakeLink& link, const std::string& secret) {
        say(link, {{"event", "announce"},
                   {"payload", {{"ipv4", "192.0.2.1"}, {"secret", secret}}},
                   {"ref", 7}});
    }
    // Until the desk has checked its relays by its timer so many times.
    void look(int times) {
        Followed& always = account(999);
        always.is_ready = false;
        always.waits_for_turn = true;
        const auto waits = join(999);
        const int until = always.looks + times;
        while (always.looks < until) {
            ASSERT_GT(io.run_one_for(1min), 0U);
            ASSERT_TRUE(waits->sent.empty());
        }
        waits->closed();
    }

    boost::asio::io_context io;
    zmq::context_t zmq;
    Feeds feeds{io, zmq};
    Settings settings;
    std::map<Uuid, std::unique_ptr<Followed>> accounts;
    std::uint64_t lsn = 0;
    std::vector<access::Relay> online;
    std::vector<access::RelayId> offline;
    RelayDesk desk{
        io,
        feeds,
        settings,
        {[this](const access::Relay& relay) { online.push_back(relay); },
         [this](const access::RelayId& relay) { offline.push_back(relay); },
         [](const JoinRequest&) {}, [](const Uuid&) { return nullptr; },
         [this](const Uuid& of) {
             Followed& followed = *accounts.at(of);
             ++followed.looks;
             return RelayDesk::Rows{&followed.state, followed.is_ready, followed.waits_for_turn};
         }}};
};

TEST_F(RelayDeskTest, WhatIsAnnouncedAgainGoesNowhere) {
    const auto relay = join(1);
    for (int i = 0; i < 100; ++i) announce(*relay, "s");
    EXPECT_EQ(online.size(), 1U);
    announce(*relay, "other");
    EXPECT_EQ(online.size(), 2U);
    EXPECT_EQ(relay->replies("rate_limited"), 0U);
}

TEST_F(RelayDeskTest, ARelayMayAnnounceSomethingNewNowAndThen) {
    const auto relay = join(1);
    for (int i = 0; i < 100; ++i) announce(*relay, std::to_string(i));
    EXPECT_GE(online.size(), 3U);
    EXPECT_LT(online.size(), 10U);
    EXPECT_EQ(relay->replies("rate_limited"), 100 - online.size());
    EXPECT_EQ(relay->sent.back()["ref"], 7);
}

TEST_F(RelayDeskTest, AnAccountsRelaysShareItsRateAndItOutlivesConnections) {
    std::size_t refused = 0;
    for (int i = 0; i < 200; ++i) {
        const auto relay = join(1, i % 100);  // the second time it replaces itself
        announce(*relay, std::to_string(i));
        refused += relay->replies("rate_limited");
        if (i >= 100) relay->closed();
    }
    look(2);
    EXPECT_GE(online.size(), 30U);
    EXPECT_LT(online.size(), 100U);
    EXPECT_EQ(refused, 200 - online.size());
    const auto before = online.size();
    for (int i = 0; i < 50; ++i) announce(*join(1, i), std::to_string(i));
    EXPECT_LT(online.size(), before + 30) << "the rate was not forgotten with the connections";
    announce(*join(2), "s");
    EXPECT_EQ(online.back().id.account_id, id(2)) << "another account's is its own";
}

TEST_F(RelayDeskTest, MessagesAreBoundedWhateverTheySay) {
    settings.client_messages_per_second = 1;
    const auto relay = join(1);
    for (int i = 0; i < 100; ++i) say(*relay, "nothing");
    EXPECT_GE(relay->replies("invalid_message"), 30U);
    EXPECT_GE(relay->replies("rate_limited"), 50U);
}

TEST_F(RelayDeskTest, AnAccountTakesOnlyItsOwnPlacesOfThoseThatWait) {
    account(1).is_ready = false;
    std::vector<std::shared_ptr<FakeLink>> waiting;
    for (std::size_t i = 0; i < RelayDesk::kMostWaitingOfAccount; ++i)
        waiting.push_back(join(1, static_cast<int>(i)));
    for (const auto& relay : waiting) EXPECT_EQ(relay->end, "");
    EXPECT_EQ(join(1, 500)->end, "full");
    account(2).is_ready = false;
    EXPECT_EQ(join(2)->end, "");
    waiting.front()->closed();
    EXPECT_EQ(join(1, 501)->end, "") << "the place of one that has left";
    account(1).is_ready = true;
    desk.review(id(1));
    EXPECT_TRUE(waiting.back()->is_in());
}

TEST_F(RelayDeskTest, AllAccountsTogetherHaveABoundToo) {
    std::vector<std::shared_ptr<FakeLink>> waiting;
    for (int i = 0; waiting.size() < RelayDesk::kMostWaiting; ++i) {
        account(1 + i % 50).is_ready = false;
        waiting.push_back(join(1 + i % 50, i));
        ASSERT_EQ(waiting.back()->end, "");
    }
    account(100).is_ready = false;
    EXPECT_EQ(join(100)->end, "full");
    account(1).is_ready = true;
    desk.review(id(1));
    EXPECT_EQ(join(100)->end, "") << "those of one account have been let in";
}

TEST_F(RelayDeskTest, ATransactionCostsTheRelaysOfItsAccountAlone) {
    const auto one = join(1);
    const auto other = join(2);
    change(1, token(1), {});
    change(2, token(2), {});
    const int looks = account(2).looks;
    desk.review(id(1));
    EXPECT_EQ(one->end, "token_expired");
    EXPECT_EQ(account(2).looks, looks);
    EXPECT_EQ(other->end, "");
    desk.review(id(2));
    EXPECT_EQ(other->end, "token_expired");
    EXPECT_EQ(desk.size(), 0U);
}

TEST_F(RelayDeskTest, APartOfATransactionIsNotJudged) {
    const auto connected = join(1);
    Followed& followed = account(1);
    followed.is_ready = false;
    followed.state.begin_transaction(++lsn);
    followed.state.change({token(1), {}, {}, {}, {}});
    desk.review(id(1));
    const auto waiting = join(1, 2);
    look(2);
    EXPECT_EQ(connected->end, "") << "its token may come back in the same transaction";
    EXPECT_FALSE(waiting->is_in());
    EXPECT_EQ(waiting->end, "");
    followed.state.change({{}, token(1), {}, {}, {}});
    look(1);
    EXPECT_FALSE(waiting->is_in()) << "and may go again";
    (void)followed.state.end_transaction();
    followed.is_ready = true;
    desk.review(id(1));
    EXPECT_TRUE(connected->is_in());
    EXPECT_TRUE(waiting->is_in());
}

TEST_F(RelayDeskTest, TheRelaysOfAnAccountWhoseWorkFailedEnd) {
    const auto connected = join(1);
    announce(*connected, "s");
    account(1).is_ready = false;
    const auto waiting = join(1, 2);
    const auto other = join(2);
    accounts.erase(id(1));
    desk.account_failed(id(1));
    EXPECT_EQ(connected->end, "going_away");
    EXPECT_EQ(waiting->end, "going_away");
    EXPECT_EQ(offline.size(), 1U);
    EXPECT_TRUE(other->is_in());
    EXPECT_TRUE(join(1)->is_in()) << "and it may come again";
}

TEST_F(RelayDeskTest, ATokenEndsThoughNoRowChanges) {
    account(1);
    portal::Tokens ends = token(1);
    ends.expires_at = wall_clock() + 1500ms;
    change(1, token(1), ends);
    const auto relay = join(1);
    EXPECT_TRUE(relay->is_in());
    while (relay->end.empty() && wall_clock() < *ends.expires_at + 1min) io.run_one_for(1min);
    EXPECT_EQ(relay->end, "token_expired");
    EXPECT_GE(wall_clock(), *ends.expires_at);
}

TEST_F(RelayDeskTest, WhoeverWaitsForItsAccountsTurnIsNotSentAway) {
    settings.join_timeout_s = 1;
    account(1).is_ready = account(2).is_ready = false;
    account(1).waits_for_turn = true;
    const auto in_queue = join(1);
    const auto in_vain = join(2);
    while (in_vain->end.empty()) ASSERT_GT(io.run_one_for(1min), 0U);
    EXPECT_EQ(in_vain->end, "try_again");
    look(2);
    EXPECT_EQ(in_queue->end, "");
}

}  // namespace relay_desk_tests
}  // namespace fatwal::process
