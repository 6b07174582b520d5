// The join barrier over inproc sockets: the subscriber's half of libfatwal against a publisher that
// keeps fatwald's half. Both are on this thread, so each order of their steps can be tried.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <zmq.hpp>

#include "client/src/join_barrier.h"

namespace fatwal {
namespace join_barrier_tests {

using client::JoinBarrier;

constexpr std::uint64_t kEpoch = 5;

wire::Nonce nonce_of(int number) {
    wire::Nonce nonce{};
    nonce[0] = static_cast<std::byte>(number);
    nonce[15] = static_cast<std::byte>(number >> 8);
    return nonce;
}

std::string text_of(const zmq::message_t& message) {
    return {static_cast<const char*>(message.data()), message.size()};
}

// fatwald's half: numbered messages, and a marker for each subscription to one.
class Publisher {
public:
    Publisher(zmq::context_t& context, const std::string& endpoint)
        : socket_(context, zmq::socket_type::xpub) {
        socket_.set(zmq::sockopt::linger, 0);
        socket_.set(zmq::sockopt::xpub_verbose, true);
        socket_.bind(endpoint);
    }

    // Gives the subscriptions in the order in which it has read them.
    std::vector<std::string> read_subscriptions() {
        std::vector<std::string> topics;
        zmq::message_t message;
        while (socket_.recv(message, zmq::recv_flags::dontwait)) {
            const std::string text = text_of(message);
            if (text.empty() || text[0] != 1) continue;
            topics.push_back(text.substr(1));
            const auto nonce = wire::decode_marker_topic(wire::as_bytes(topics.back()));
            if (nonce) send_marker(*nonce);
        }
        return topics;
    }
    void publish() { send(topic_, wire::Topic::Event, ++sequence_); }
    void send_marker(const wire::Nonce& nonce, std::uint64_t epoch = kEpoch) {
        const auto topic = wire::marker_topic(nonce);
        socket_.send(zmq::message_t(topic.data(), topic.size()), zmq::send_flags::sndmore);
        const auto header = wire::encode({wire::Topic::Marker, epoch, sequence_, 0, 0});
        socket_.send(zmq::message_t(header.data(), header.size()), zmq::send_flags::none);
    }
    void use_topic(std::string topic) { topic_ = std::move(topic); }

private:
    void send(const std::string& topic, wire::Topic kind, std::uint64_t sequence) {
        const auto header = wire::encode({kind, kEpoch, sequence, 0, 0});
        const std::string first = topic + std::string(wire::as_text(header));
        socket_.send(zmq::message_t(first.data(), first.size()), zmq::send_flags::sndmore);
        socket_.send(zmq::message_t(), zmq::send_flags::none);
    }

    zmq::socket_t socket_;
    std::string topic_;
    std::uint64_t sequence_ = 0;
};

// What one subscriber has received, as Sockets and Link pass it on.
class Subscriber {
public:
    Subscriber(zmq::context_t& context, const JoinBarrier& barrier)
        : socket_(context, zmq::socket_type::sub), barrier_(barrier) {
        socket_.set(zmq::sockopt::linger, 0);
    }
    zmq::socket_t& socket() { return socket_; }
    JoinBarrier& barrier() { return barrier_; }

    void read() {
        zmq::message_t head;
        while (socket_.recv(head, zmq::recv_flags::dontwait)) {
            zmq::message_t body;
            (void)socket_.recv(body, zmq::recv_flags::dontwait);
            const std::string text = text_of(head);
            if (wire::decode_marker_topic(wire::as_bytes(text))) {
                const auto header = wire::decode_publication(wire::as_bytes(text_of(body)));
                barrier_.marker(*header);
                if (barrier_.is_open() && !joined_at) joined_at = header->sequence;
                continue;
            }
            const auto header =
                wire::decode_publication(wire::as_bytes(text).subspan(barrier_.topic().size()));
            if (barrier_.is_open())
                counted.push_back(header->sequence);
            else
                ++before;
        }
    }
    // Whether each number behind the marker is there, up to `last`.
    [[nodiscard]] bool has_all_up_to(std::uint64_t last) const {
        if (!joined_at || counted.size() != last - *joined_at) return false;
        for (std::size_t i = 0; i < counted.size(); ++i)
            if (counted[i] != *joined_at + 1 + i) return false;
        return true;
    }

    std::optional<std::uint64_t> joined_at;
    std::vector<std::uint64_t> counted;
    std::size_t before = 0;  // messages that came before the marker

private:
    zmq::socket_t socket_;
    JoinBarrier barrier_;
};

TEST(JoinBarrierTest, ThePublisherReadsTheTopicsBeforeTheMarker) {
    const std::string marker(wire::as_text(wire::marker_topic(nonce_of(1))));
    const std::string shared(8, '\0');
    for (const std::string& topic : {std::string(), shared}) {
        zmq::context_t context;
        Publisher publisher(context, "inproc://account");
        Subscriber subscriber(context, {nonce_of(1), kEpoch, topic});
        subscriber.barrier().subscribe(subscriber.socket());
        subscriber.socket().connect("inproc://account");
        const auto expected = topic.empty() ? std::vector<std::string>{"E", "H", marker}
                                            : std::vector<std::string>{shared, marker};
        EXPECT_EQ(publisher.read_subscriptions(), expected);
        // The same of one that subscribes while it is connected, as for the second account that a
        // socket serves.
        const JoinBarrier second(nonce_of(2), kEpoch, topic.empty() ? "" : topic + "2");
        second.subscribe(subscriber.socket());
        EXPECT_EQ(publisher.read_subscriptions().back(),
                  wire::as_text(wire::marker_topic(nonce_of(2))));
    }
}

// Each interleaving of a join with ten published messages, and with subscribers that are there.
TEST(JoinBarrierTest, NothingIsMissedBehindTheMarkerWhereverTheJoinFalls) {
    for (const std::string& topic : {std::string(), std::string("\0\1\2\3\4\5\6\7", 8)}) {
        for (int subscribe_at = 0; subscribe_at < 10; ++subscribe_at)
            for (int answer_at = subscribe_at; answer_at < 10; ++answer_at) {
                zmq::context_t context;
                Publisher publisher(context, "inproc://account");
                publisher.use_topic(topic);
                Subscriber early(context, {nonce_of(1), kEpoch, topic});
                early.barrier().subscribe(early.socket());
                early.socket().connect("inproc://account");
                (void)publisher.read_subscriptions();
                Subscriber late(context, {nonce_of(2), kEpoch, topic});
                for (int step = 0; step < 10; ++step) {
                    if (step == subscribe_at) {
                        late.barrier().subscribe(late.socket());
                        late.socket().connect("inproc://account");
                    }
                    if (step == answer_at) (void)publisher.read_subscriptions();
                    publisher.publish();
                    if (step % 3 == 0) late.read();
                }
                late.read();
                early.read();
                ASSERT_TRUE(late.joined_at) << subscribe_at << ' ' << answer_at;
                EXPECT_EQ(*late.joined_at, static_cast<std::uint64_t>(answer_at));
                EXPECT_TRUE(late.has_all_up_to(10)) << subscribe_at << ' ' << answer_at;
                EXPECT_TRUE(early.has_all_up_to(10));
            }
    }
}

// The rule of step 1, broken: what is published between the two subscriptions is missed, and no
// number tells.
TEST(JoinBarrierTest, AMarkerThatIsAskedForBeforeTheTopicsHidesALoss) {
    zmq::context_t context;
    Publisher publisher(context, "inproc://account");
    Subscriber subscriber(context, {nonce_of(1), kEpoch, ""});
    subscriber.socket().connect("inproc://account");
    subscriber.socket().set(zmq::sockopt::subscribe,
                            wire::as_text(wire::marker_topic(nonce_of(1))));
    (void)publisher.read_subscriptions();
    publisher.publish();
    subscriber.barrier().subscribe(subscriber.socket());
    (void)publisher.read_subscriptions();
    publisher.publish();
    subscriber.read();
    EXPECT_FALSE(subscriber.has_all_up_to(2));
}

TEST(JoinBarrierTest, OnlyTheMarkerOfItsEpochOpensItAndNothingClosesIt) {
    JoinBarrier barrier(nonce_of(1), kEpoch, "");
    EXPECT_FALSE(barrier.is_open());
    barrier.marker({wire::Topic::Marker, kEpoch - 1, 3, 0, 0});
    EXPECT_FALSE(barrier.is_open());
    barrier.marker({wire::Topic::Marker, kEpoch, 3, 0, 0});
    EXPECT_TRUE(barrier.is_open());
    barrier.marker({wire::Topic::Marker, kEpoch - 1, 3, 0, 0});
    EXPECT_TRUE(barrier.is_open());
}

TEST(JoinBarrierTest, TheMarkerOfAnotherJoinDoesNotReachIt) {
    zmq::context_t context;
    Publisher publisher(context, "inproc://account");
    Subscriber subscriber(context, {nonce_of(1), kEpoch, ""});
    subscriber.barrier().subscribe(subscriber.socket());
    subscriber.socket().connect("inproc://account");
    publisher.send_marker(nonce_of(2));
    publisher.publish();
    subscriber.read();
    EXPECT_FALSE(subscriber.joined_at);
    EXPECT_TRUE(subscriber.counted.empty());
}

TEST(JoinBarrierTest, WhoLeavesASharedSocketReceivesNothingMore) {
    const std::string topic("\0\1\2\3\4\5\6\7", 8);
    zmq::context_t context;
    Publisher publisher(context, "inproc://account");
    publisher.use_topic(topic);
    Subscriber subscriber(context, {nonce_of(1), kEpoch, topic});
    subscriber.barrier().subscribe(subscriber.socket());
    subscriber.socket().connect("inproc://account");
    (void)publisher.read_subscriptions();
    publisher.publish();
    subscriber.read();
    EXPECT_EQ(subscriber.counted.size(), 1U);
    subscriber.barrier().unsubscribe(subscriber.socket());
    (void)publisher.read_subscriptions();
    publisher.publish();
    publisher.send_marker(nonce_of(1));
    subscriber.read();
    EXPECT_EQ(subscriber.counted.size(), 1U);
}

}  // namespace join_barrier_tests
}  // namespace fatwal
