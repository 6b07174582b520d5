#include "client/src/join_barrier.h"

#include <algorithm>

namespace fatwal::client {

namespace {

void set(zmq::socket_t& socket, bool subscribed, std::string_view topic) {
    if (subscribed)
        socket.set(zmq::sockopt::subscribe, topic);
    else
        socket.set(zmq::sockopt::unsubscribe, topic);
}

// On a socket of the account's own all but the markers of others.
void set_topics(zmq::socket_t& socket, bool subscribed, const std::string& topic) {
    if (!topic.empty()) return set(socket, subscribed, topic);
    set(socket, subscribed, "E");
    set(socket, subscribed, "H");
}

}  // namespace

void JoinBarrier::send_subscription(zmq::socket_t& dealer, bool subscribed,
                                    const wire::Nonce& nonce) {
    const auto topic = wire::marker_topic(nonce);
    zmq::message_t message(1 + topic.size());
    auto* bytes = static_cast<std::byte*>(message.data());
    *bytes = subscribed ? std::byte{1} : std::byte{0};
    std::copy(topic.begin(), topic.end(), bytes + 1);
    // It has no high-water mark, so it never blocks.
    (void)dealer.send(message, zmq::send_flags::dontwait);
}

void JoinBarrier::subscribe(zmq::socket_t& socket) const {
    if (kind_ == Kind::Dealer) return send_subscription(socket, true, nonce_);
    set_topics(socket, true, topic_);
    set(socket, true, wire::as_text(wire::marker_topic(nonce_)));
}

void JoinBarrier::unsubscribe(zmq::socket_t& socket) const {
    if (kind_ == Kind::Dealer) return send_subscription(socket, false, nonce_);
    set(socket, false, wire::as_text(wire::marker_topic(nonce_)));
    set_topics(socket, false, topic_);
}

void JoinBarrier::marker(const wire::PublicationHeader& header) {
    open_ = open_ || header.epoch == epoch_;
}

}  // namespace fatwal::client
