// The subscriber's half of the join barrier; the proof that it misses nothing is at the head of
// fatwal/wire/join_barrier.h.
//
// One barrier stands before one join. It is closed until the join's marker comes; nothing that the
// account's socket brings before that counts. Where the marker stands in the stream, Follower
// replays up to it. The barrier never closes again: the marker of a socket that has connected again
// by itself is a heartbeat like any other, as the messages are still numbered without a hole. A
// subscriber that lost its fatwald joins with another barrier.
//
// With keys the socket is a DEALER: a subscription is a message, 1 or 0 and the topic, and the
// marker's alone says all. A SUB repeats its subscriptions when it connects again; a DEALER does
// not, so its user calls subscribe() again when nothing comes any more (Link does). fatwald answers
// a repetition with another marker and changes nothing else.
#pragma once

#include <cstdint>
#include <string>

#include <zmq.hpp>

#include "fatwal/wire/join_barrier.h"
#include "fatwal/wire/publication.h"

namespace fatwal::client {

class JoinBarrier {
public:
    // The socket of a subscriber without keys, and with them.
    enum class Kind : std::uint8_t { Sub, Dealer };

    // `topic` and `epoch` are those of ATTACHED; `topic` is empty if the socket is the account's
    // own.
    JoinBarrier(const wire::Nonce& nonce, std::uint64_t epoch, std::string topic,
                Kind kind = Kind::Sub)
        : nonce_(nonce), epoch_(epoch), topic_(std::move(topic)), kind_(kind) {}

    [[nodiscard]] const wire::Nonce& nonce() const { return nonce_; }
    [[nodiscard]] const std::string& topic() const { return topic_; }

    // Of a SUB: subscribes to the topics of the data, then to the marker: the order that step 1 of
    // the proof needs. For the same reason it comes before the socket connects, or on one that is
    // connected for others and has not subscribed to this topic without its marker. A DEALER keeps
    // messages only once it has been given an endpoint to connect to, so there it comes after that.
    void subscribe(zmq::socket_t& socket) const;
    void unsubscribe(zmq::socket_t& socket) const;

    // The marker of this nonce has come; it opens the barrier unless it is of another epoch, whose
    // numbers are others.
    void marker(const wire::PublicationHeader& header);
    // Whether what comes from the socket counts.
    [[nodiscard]] bool is_open() const { return open_; }

    // Sends a DEALER's subscription to the marker of a join.
    static void send_subscription(zmq::socket_t& dealer, bool subscribed, const wire::Nonce& nonce);

private:
    wire::Nonce nonce_;
    std::uint64_t epoch_;
    std::string topic_;
    Kind kind_;
    bool open_ = false;
};

}  // namespace fatwal::client
