// Subscriptions with keys, over tcp and CURVE, against a fatwald that the test plays: what happens
// to a join, to connections that break, and to keys that are refused. Both sides are on this
// thread, and libzmq's own thread connects them.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <zmq.hpp>

#include "client/src/sockets.h"
#include "fatwal/client/subscription.h"
#include "test/support/builder.h"

namespace fatwal {
namespace network_tests {

using namespace std::chrono_literals;
using client::Clock;

constexpr std::uint64_t kEpoch = 7;
constexpr wire::History kHistory{99, 1};
constexpr auto kEnough = 60s;

struct Pair {
    std::string public_key;
    std::string secret_key;

    Pair() {
        char a_public_key[41];
        char a_secret_key[41];
        EXPECT_EQ(zmq_curve_keypair(a_public_key, a_secret_key), 0);
        public_key = a_public_key;
        secret_key = a_secret_key;
    }
};

std::string text_of(const zmq::message_t& message) {
    return {static_cast<const char*>(message.data()), message.size()};
}

// fatwald's half: a ZAP handler, the control socket and the data socket.
class Fatwald {
public:
    explicit Fatwald(zmq::context_t& context)
        : context_(context), zap_(context, zmq::socket_type::rep) {
        zap_.set(zmq::sockopt::linger, 0);
        zap_.bind("inproc://zeromq.zap.01");
        open(control_, control_endpoint, "control");
        open(data_, data_endpoint, "data");
    }

    // Handles what has come, and sends the heartbeats that are due.
    void step() {
        while (answer_zap()) continue;
        while (read_control()) continue;
        while (read_data()) continue;
        if (Clock::now() < heartbeat_at_ || silent) return;
        heartbeat_at_ = Clock::now() + heartbeat;
        for (const auto& [account, log] : logs_) send(account, header(wire::Topic::Heartbeat, log));
    }

    // A transaction for the account, numbered from 1; `lost`: nobody receives it.
    void publish(const std::string& account, std::size_t bytes = 1, bool lost = false) {
        auto& log = logs_[account];
        test::FrameSpec spec;
        spec.commit_lsn = lsn_of(log.size() + 1);
        spec.account = wire::AccountKey::from_text(account);
        spec.records = {{wire::Op::Message, 0, 0, 0, {}, {}, "prefix", std::string(bytes, 'x')}};
        log.push_back(test::frame(spec));
        wire::PublicationHeader event = header(wire::Topic::Event, log);
        --event.position;
        if (!lost) send(account, event, log.back());
    }

    // All connections break, and come again.
    void restart_data() {
        data_.close();
        open(data_, data_endpoint, "data");
    }
    void restart_control() {
        control_.close();
        open(control_, control_endpoint, "control");
    }

    // To whoever has attached by the name, unasked.
    void send_error(const std::string& name, wire::ErrorCode code) {
        const Attachment& attachment = attachments_.at(attached.at(name));
        reply(attachment.control, attachment.request,
              wire::ControlError{code, "forbidden", "", ""});
    }

    Pair keys;
    std::string control_endpoint = "tcp://127.0.0.1:*";
    std::string data_endpoint = "tcp://127.0.0.1:*";
    std::set<std::string> refuses{};  // "control", "data": nobody's key
    std::chrono::milliseconds heartbeat{1000};
    bool silent = false;        // no heartbeats
    bool keeps_marker = false;  // no markers
    std::optional<wire::ErrorCode> refuses_attach;
    std::chrono::milliseconds replay_after{0};

    // What was seen.
    std::map<std::string, wire::Nonce> attached;           // by the subscriber's name
    std::map<std::string, std::set<std::string>> keys_of;  // by name: of its requests
    std::size_t attaches = 0;
    std::size_t zap_requests = 0;
    std::size_t subscriptions = 0;
    std::size_t ends = 0;  // of subscriptions
    std::vector<std::uint32_t> credits;

private:
    struct Attachment {
        std::string name;
        std::string account;
        std::string control;  // routing id
        std::uint32_t request = 0;
        std::string data;  // routing id; empty: none yet
    };
    using Log = std::vector<std::string>;

    static wire::Lsn lsn_of(std::uint64_t number) { return 1000 + 10 * number; }
    // As long as any: so that no two accounts' messages are taken for each other's.
    static std::string topic_of(const std::string& account) {
        return account + std::string(8 - account.size(), '\0');
    }
    static wire::PublicationHeader header(wire::Topic topic, const Log& log) {
        return {topic, kEpoch, log.size(), lsn_of(log.size()) + 1, 0};
    }

    void open(zmq::socket_t& socket, std::string& endpoint, const std::string& domain) {
        const auto deadline = Clock::now() + kEnough;
        for (;;) {
            socket = zmq::socket_t(context_, zmq::socket_type::router);
            socket.set(zmq::sockopt::linger, 0);
            socket.set(zmq::sockopt::curve_server, true);
            socket.set(zmq::sockopt::curve_secretkey, keys.secret_key);
            socket.set(zmq::sockopt::zap_domain, domain);
            try {
                socket.bind(endpoint);
                endpoint = socket.get(zmq::sockopt::last_endpoint);
                return;
            } catch (const zmq::error_t& error) {
                // The one that was closed is not gone yet.
                if (error.num() != EADDRINUSE || Clock::now() > deadline) throw;
                std::this_thread::sleep_for(1ms);
            }
        }
    }

    static std::vector<zmq::message_t> receive(zmq::socket_t& socket) {
        std::vector<zmq::message_t> parts;
        do {
            parts.emplace_back();
            if (!socket.recv(parts.back(), zmq::recv_flags::dontwait)) return {};
        } while (parts.back().more());
        return parts;
    }
    static void send_parts(zmq::socket_t& socket, const std::vector<std::string>& parts) {
        for (std::size_t i = 0; i < parts.size(); ++i)
            socket.send(zmq::buffer(parts[i]),
                        i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }

    // RFC 27: version, request, domain, address, routing id, mechanism, key.
    bool answer_zap() {
        const auto parts = receive(zap_);
        if (parts.empty()) return false;
        ++zap_requests;
        const bool admits = !refuses.contains(text_of(parts.at(2)));
        char key[41];
        zmq_z85_encode(key, static_cast<const std::uint8_t*>(parts.at(6).data()), 32);
        send_parts(
            zap_, {"1.0", text_of(parts.at(1)), admits ? "200" : "400", "", admits ? key : "", ""});
        return true;
    }

    bool read_control() {
        auto parts = receive(control_);
        if (parts.size() != 2) return false;
        const std::string from = text_of(parts[0]);
        const auto decoded = wire::decode_control(wire::as_bytes(text_of(parts[1])));
        const std::uint32_t id = decoded.message->request_id;
        if (const auto* attach = std::get_if<wire::Attach>(&decoded.message->body)) {
            ++attaches;
            if (refuses_attach) {
                reply(from, id, wire::ControlError{*refuses_attach, "forbidden", "", ""});
                return true;
            }
            attached[attach->subscriber] = attach->nonce;
            keys_of[attach->subscriber].insert(parts[1].gets("User-Id"));
            const std::string account = attach->account.to_text();
            attachments_[attach->nonce] = {attach->subscriber, account, from, id, {}};
            reply(from, id,
                  wire::Attached{kEpoch, logs_[account].size(),
                                 static_cast<std::uint32_t>(heartbeat.count()), kHistory,
                                 data_endpoint, topic_of(account)});
        } else if (std::holds_alternative<wire::Ping>(decoded.message->body)) {
            reply(from, id, wire::Pong{kEpoch});
        } else if (const auto* replay = std::get_if<wire::Replay>(&decoded.message->body)) {
            std::this_thread::sleep_for(replay_after);
            replay_from(from, id, *replay);
        }
        return true;
    }

    void replay_from(const std::string& to, std::uint32_t id, const wire::Replay& request) {
        credits.push_back(request.credit);
        const auto found = attachments_.find(request.nonce);
        if (found == attachments_.end() || found->second.control != to)
            return reply(to, id, wire::ControlError{wire::ErrorCode::NotAttached, "", "", ""});
        const Log& log = logs_[found->second.account];
        std::uint64_t number = request.sequence;
        if (request.from == wire::Replay::From::Cursor)
            for (number = 1; number <= log.size() && lsn_of(number) < request.cursor;) ++number;
        wire::Replayed head{kEpoch, number, false, 0};
        std::vector<std::string> messages;
        for (std::size_t bytes = 0; number <= log.size() && bytes < request.credit; ++number) {
            messages.push_back(log[number - 1]);
            bytes += messages.back().size();
        }
        head.messages = static_cast<std::uint16_t>(messages.size());
        head.end = number > log.size();
        reply(to, id, head, messages);
    }

    void reply(const std::string& to, std::uint32_t id, wire::ControlBody body,
               const std::vector<std::string>& more = {}) {
        std::vector<std::string> parts{to, wire::encode({id, std::move(body)})};
        parts.insert(parts.end(), more.begin(), more.end());
        send_parts(control_, parts);
    }

    bool read_data() {
        auto parts = receive(data_);
        if (parts.size() != 2) return false;
        const std::string message = text_of(parts[1]);
        const auto nonce = wire::decode_marker_topic(wire::as_bytes(message).subspan(1));
        EXPECT_TRUE(nonce);
        const auto found = attachments_.find(*nonce);
        ++(message[0] == 1 ? subscriptions : ends);
        if (found == attachments_.end()) return true;
        Attachment& attachment = found->second;
        keys_of[attachment.name].insert(parts[1].gets("User-Id"));
        attachment.data = message[0] == 1 ? text_of(parts[0]) : "";
        if (message[0] == 1 && !keeps_marker)
            send_parts(data_, {attachment.data, message.substr(1),
                               encoded(header(wire::Topic::Marker, logs_[attachment.account]))});
        return true;
    }

    static std::string encoded(const wire::PublicationHeader& header) {
        return std::string(wire::as_text(wire::encode(header)));
    }

    // To each connection once. Who is no more receives nothing.
    void send(const std::string& account, const wire::PublicationHeader& header,
              const std::string& body = {}) {
        std::set<std::string> to;
        for (const auto& [nonce, attachment] : attachments_)
            if (attachment.account == account && !attachment.data.empty())
                to.insert(attachment.data);
        for (const std::string& peer : to)
            send_parts(data_, {peer, topic_of(account) + encoded(header), body});
    }

    zmq::context_t& context_;
    zmq::socket_t zap_;
    zmq::socket_t control_;
    zmq::socket_t data_;
    std::map<std::string, Log> logs_;
    std::map<wire::Nonce, Attachment> attachments_;
    Clock::time_point heartbeat_at_;
};

// A subscriber and what has come to it.
struct Member {
    std::unique_ptr<client::Subscription> subscription;
    std::vector<wire::Lsn> commits;
    std::size_t joins = 0;
    std::vector<client::Lost> losses;
    bool wrong = false;

    void take(const client::Event& event) {
        if (std::holds_alternative<client::Joined>(event)) ++joins;
        if (const auto* lost = std::get_if<client::Lost>(&event)) losses.push_back(*lost);
        if (const auto* transaction = std::get_if<client::Transaction>(&event))
            commits.push_back(transaction->commit_lsn);
        wrong = wrong || std::holds_alternative<client::Resync>(event) ||
                std::holds_alternative<client::StreamError>(event);
    }
    // The first `count` transactions, once each and in order.
    [[nodiscard]] bool has(std::size_t count) const {
        bool right = !wrong && commits.size() == count;
        for (std::size_t i = 0; right && i < count; ++i) right = commits[i] == 1010 + 10 * i;
        return right;
    }
};

class NetworkTest : public testing::Test {
protected:
    zmq::context_t context_;
    Fatwald fatwald_{context_};
    client::SubscriptionGroup group_{context_};
    std::map<std::string, Member> members_;

    [[nodiscard]] client::SubscriptionOptions options(const std::string& name,
                                                      const std::string& account) const {
        const Pair pair;
        client::SubscriptionOptions options;
        options.control = {fatwald_.control_endpoint};
        options.keys = {fatwald_.keys.public_key, pair.public_key, pair.secret_key};
        options.account = wire::AccountKey::from_text(account);
        options.name = name;
        options.snapshots = false;
        return options;
    }
    Member& add(const client::SubscriptionOptions& options) {
        Member& member = members_[options.name];
        member.subscription = std::make_unique<client::Subscription>(group_, options);
        return member;
    }
    // Runs both sides until this is so.
    template <class Done>
    [[nodiscard]] bool until(Done done) {
        const auto deadline = Clock::now() + kEnough;
        while (!done()) {
            if (Clock::now() > deadline) return false;
            run_for(0ms);
        }
        return true;
    }
    void run_for(std::chrono::milliseconds time) {
        const auto end = Clock::now() + time;
        do {
            fatwald_.step();
            client::Subscription* const ready = group_.ready(2ms);
            for (auto& [name, member] : members_)
                while (ready != nullptr && member.subscription.get() == ready) {
                    const auto event = ready->next(0ms);
                    if (!event) break;
                    member.take(*event);
                }
        } while (Clock::now() < end);
    }
    [[nodiscard]] bool all(const std::function<bool(const Member&)>& what) const {
        return std::all_of(members_.begin(), members_.end(),
                           [&](const auto& named) { return what(named.second); });
    }
};

TEST_F(NetworkTest, AMemberJoinsByADealerAndReceivesEachTransactionOnce) {
    Member& member = add(options("a", "1"));
    ASSERT_TRUE(until([&] { return member.joins == 1; }));
    for (int i = 0; i < 5; ++i) fatwald_.publish("1");
    fatwald_.publish("2");
    EXPECT_TRUE(until([&] { return member.commits.size() >= 5; }));
    EXPECT_TRUE(member.has(5));
    EXPECT_TRUE(member.losses.empty());
}

TEST_F(NetworkTest, SeveralOfOneKeyShareTheirConnections) {
    auto first = options("a", "1");
    auto second = options("b", "1");
    auto third = options("c", "3");
    second.keys = third.keys = first.keys;
    Member& a = add(first);
    ASSERT_TRUE(until([&] { return a.joins == 1; }));
    fatwald_.publish("1");
    Member& b = add(second);
    Member& c = add(third);
    ASSERT_TRUE(until([&] { return b.joins == 1 && c.joins == 1; }));
    fatwald_.publish("1");
    fatwald_.publish("3");
    EXPECT_TRUE(until([&] { return a.has(2) && b.commits.size() == 1 && c.has(1); }));
    // A control connection and a data connection.
    EXPECT_EQ(fatwald_.zap_requests, 2U);
    // One that leaves does not take the others' messages along.
    b.subscription.reset();
    members_.erase("b");
    ASSERT_TRUE(until([&] { return fatwald_.ends == 1; }));
    fatwald_.publish("1");
    fatwald_.publish("3");
    EXPECT_TRUE(until([&] { return a.has(3) && c.has(2); }));
}

TEST_F(NetworkTest, ThoseOfSeveralKeysShareNone) {
    const auto first = options("a", "1");
    const auto second = options("b", "1");
    add(first);
    add(second);
    ASSERT_TRUE(until([&] { return all([](const Member& each) { return each.joins == 1; }); }));
    EXPECT_EQ(fatwald_.zap_requests, 4U);
    EXPECT_EQ(fatwald_.keys_of["a"], std::set<std::string>{first.keys->public_key});
    EXPECT_EQ(fatwald_.keys_of["b"], std::set<std::string>{second.keys->public_key});
}

TEST_F(NetworkTest, OneWithoutKeysSharesNoneEither) {
    client::Sockets sockets(context_);
    const auto keys = options("a", "1").keys;
    const std::string& endpoint = fatwald_.control_endpoint;
    const auto* with = &sockets.open_control({endpoint, keys}, {});
    const auto* without = &sockets.open_control({endpoint, {}}, {});
    EXPECT_NE(with, without);
    EXPECT_EQ(&sockets.open_control({endpoint, keys}, {}), with);
}

TEST_F(NetworkTest, AConnectionThatBreaksIsMendedByTheSubscriptionThatIsSentAgain) {
    Member& member = add(options("a", "1"));
    ASSERT_TRUE(until([&] { return member.joins == 1; }));
    for (int i = 0; i < 3; ++i) fatwald_.publish("1");
    ASSERT_TRUE(until([&] { return member.has(3); }));
    fatwald_.restart_data();
    for (int i = 0; i < 3; ++i) fatwald_.publish("1");
    EXPECT_TRUE(until([&] { return member.commits.size() >= 6; }));
    EXPECT_TRUE(member.has(6));
    EXPECT_GE(fatwald_.subscriptions, 2U);
    // It is the same join.
    EXPECT_EQ(member.joins, 1U);
    EXPECT_EQ(fatwald_.attaches, 1U);
    EXPECT_TRUE(member.losses.empty());
    fatwald_.publish("1");
    EXPECT_TRUE(until([&] { return member.has(7); }));
}

TEST_F(NetworkTest, WhileHeartbeatsComeNoSubscriptionIsSentAgain) {
    fatwald_.heartbeat = 500ms;
    Member& member = add(options("a", "1"));
    ASSERT_TRUE(until([&] { return member.joins == 1; }));
    run_for(2 * fatwald_.heartbeat);
    EXPECT_EQ(fatwald_.subscriptions, 1U);
    // Without them it is sent once an interval. Each is answered, so nothing is lost.
    fatwald_.silent = true;
    run_for(3 * fatwald_.heartbeat);
    EXPECT_GE(fatwald_.subscriptions, 2U);
    EXPECT_LE(fatwald_.subscriptions, 4U);
    EXPECT_TRUE(member.losses.empty());
}

TEST_F(NetworkTest, AKeyThatIsRefusedIsLostInTimeAndJoinsOnceItIsAdmitted) {
    for (const char* at : {"control", "data"}) {
        fatwald_.refuses = {at};
        Member& member = add([&] {
            auto some = options(at, "1");
            some.request_timeout = 500ms;
            return some;
        }());
        ASSERT_TRUE(until([&] { return member.losses.size() >= 2; })) << at;
        EXPECT_EQ(member.joins, 0U);
        const std::string& reason = member.losses.front().reason;
        if (at == std::string("control"))
            EXPECT_NE(reason.find("or no credential has ours"), std::string::npos) << reason;
        else
            EXPECT_EQ(reason, "no marker came on the account's socket");
        fatwald_.refuses.clear();
        EXPECT_TRUE(until([&] { return member.joins == 1; })) << at;
    }
}

TEST_F(NetworkTest, AFatwaldWithAnotherKeyIsNotServed) {
    auto wrong = options("a", "1");
    wrong.keys->server_public_key = Pair().public_key;
    wrong.request_timeout = 300ms;
    Member& member = add(wrong);
    ASSERT_TRUE(until([&] { return member.losses.size() >= 2; }));
    EXPECT_NE(member.losses.front().reason.find(wrong.keys->server_public_key), std::string::npos);
    EXPECT_EQ(fatwald_.attaches, 0U);
}

TEST_F(NetworkTest, AKeyThatAllOfSeveralRefuseIsLostToo) {
    fatwald_.refuses = {"control"};
    auto some = options("a", "1");
    some.control.emplace_back("tcp://127.0.0.1:1");
    some.request_timeout = 300ms;
    Member& member = add(some);
    ASSERT_TRUE(until([&] { return member.losses.size() >= 2; }));
    const std::string& reason = member.losses.front().reason;
    EXPECT_NE(reason.find("endpoints " + some.control[0] + ", " + some.control[1]), reason.npos)
        << reason;
    fatwald_.refuses.clear();
    EXPECT_TRUE(until([&] { return member.joins == 1; }));
}

// libzmq does not connect a socket again that was refused, and a group does not close one while it
// has users.
TEST_F(NetworkTest, ADataConnectionThatWasRefusedIsReplacedForAllItsUsers) {
    fatwald_.refuses = {"data"};
    auto patient = options("patient", "1");
    patient.request_timeout = 3600s;
    auto other = options("other", "2");
    other.keys = patient.keys;
    other.request_timeout = 500ms;
    add(patient);
    ASSERT_TRUE(until([&] { return fatwald_.zap_requests == 2; }));
    add(other);
    ASSERT_TRUE(until([&] { return members_["other"].losses.size() >= 2; }));
    fatwald_.refuses.clear();
    EXPECT_TRUE(until([&] { return all([](const Member& each) { return each.joins == 1; }); }));
    EXPECT_TRUE(members_["patient"].losses.empty());
}

TEST_F(NetworkTest, AGroupWhoseConnectionsWereRefusedJoinsOnceItIsAdmitted) {
    fatwald_.heartbeat = 200ms;
    for (const std::set<std::string>& refused :
         {std::set<std::string>{"data"}, std::set<std::string>{"control", "data"}}) {
        const auto keys = options("", "1").keys;
        for (int i = 0; i < 5; ++i) {
            auto some = options(std::to_string(i), std::to_string(i));
            some.keys = keys;
            some.request_timeout = 500ms;
            add(some);
        }
        ASSERT_TRUE(until([&] { return all([](const Member& each) { return each.joins == 1; }); }));
        fatwald_.refuses = refused;
        if (refused.contains("control")) fatwald_.restart_control();
        fatwald_.restart_data();
        ASSERT_TRUE(
            until([&] { return all([](const Member& each) { return each.losses.size() >= 2; }); }));
        fatwald_.refuses.clear();
        EXPECT_TRUE(until([&] { return all([](const Member& each) { return each.joins >= 2; }); }));
        for (int i = 0; i < 5; ++i) fatwald_.publish(std::to_string(i));
        EXPECT_TRUE(
            until([&] { return all([](const Member& each) { return !each.commits.empty(); }); }));
        members_.clear();
    }
}

TEST_F(NetworkTest, ARightThatIsMissingOrTakenAwayIsLostWithItsError) {
    fatwald_.refuses_attach = wire::ErrorCode::Forbidden;
    Member& member = add(options("a", "1"));
    ASSERT_TRUE(until([&] { return member.losses.size() >= 3; }));
    for (const client::Lost& lost : member.losses)
        EXPECT_EQ(lost.error.value().code, wire::ErrorCode::Forbidden);
    fatwald_.refuses_attach.reset();
    ASSERT_TRUE(until([&] { return member.joins == 1; }));
    const std::size_t losses = member.losses.size();
    fatwald_.refuses_attach = wire::ErrorCode::Forbidden;
    fatwald_.send_error("a", wire::ErrorCode::Forbidden);
    ASSERT_TRUE(until([&] { return member.losses.size() > losses; }));
    EXPECT_EQ(member.losses.back().error.value().code, wire::ErrorCode::Forbidden);
    // It leaves its data socket, and asks again by itself.
    EXPECT_TRUE(until([&] { return fatwald_.ends == 1; }));
    fatwald_.refuses_attach.reset();
    EXPECT_TRUE(until([&] { return member.joins == 2; }));
}

TEST_F(NetworkTest, OneThatLeavesEndsItsSubscription) {
    Member& member = add(options("a", "1"));
    ASSERT_TRUE(until([&] { return member.joins == 1; }));
    member.subscription.reset();
    members_.clear();
    EXPECT_TRUE(until([&] { return fatwald_.ends == 1; }));
}

TEST_F(NetworkTest, OverALongPathMoreIsAskedForAtATime) {
    auto some = options("a", "1");
    some.credit = 65'536;
    Member& member = add(some);
    ASSERT_TRUE(until([&] { return member.joins == 1; }));
    fatwald_.publish("1");
    ASSERT_TRUE(until([&] { return member.has(1); }));
    fatwald_.replay_after = 60ms;
    fatwald_.credits.clear();
    for (int i = 0; i < 40; ++i) fatwald_.publish("1", 16'384, true);
    EXPECT_TRUE(until([&] { return member.commits.size() >= 41; }));
    EXPECT_TRUE(member.has(41));
    EXPECT_EQ(fatwald_.credits, (std::vector<std::uint32_t>{65'536, 131'072, 262'144, 524'288}));
}

}  // namespace network_tests
}  // namespace fatwal
