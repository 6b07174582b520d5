#include "sidecar/subscribers/keyed_data.h"

#include <spdlog/spdlog.h>

#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/curve.h"
#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/run_dir.h"

namespace fatwal::sidecar {

namespace {

// The subscription of a marker has 18 bytes; libzmq's own handshake has to pass too.
constexpr std::int64_t kMaxRequestBytes = 512;
constexpr int kRequestsAhead = 128;  // of one peer, that libzmq reads before we have
constexpr int kPartsPerTurn = 1024;  // two of each request
// Of the kernel's, for each connection: beyond it a slow peer's messages wait in libzmq's queue,
// which is bounded. More would hide a peer that does not read.
constexpr int kSendBuffer = 262'144;

}  // namespace

KeyedData::KeyedData(zmq::context_t& context, const Settings& settings,
                     KeyedConnections& connections)
    : endpoint_(settings.keyed_data),
      connections_(connections),
      socket_(context, zmq::socket_type::router) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::router_mandatory, true);
    socket_.set(zmq::sockopt::sndhwm, settings.send_high_water_mark);
    socket_.set(zmq::sockopt::rcvhwm, kRequestsAhead);
    socket_.set(zmq::sockopt::maxmsgsize, kMaxRequestBytes);
    if (endpoint_.starts_with("tcp://")) socket_.set(zmq::sockopt::sndbuf, kSendBuffer);
    require_keys(socket_, settings.server_keys);
    socket_.bind(endpoint_);
}

KeyedData::~KeyedData() {
    socket_.close();
    if (endpoint_.starts_with("ipc://")) RunDir::remove(endpoint_);
}

KeyedData::Sent KeyedData::send(const std::string& receiver, const zmq::message_t& head,
                                const zmq::message_t* body) {
    const auto copy = [](const zmq::message_t& message) {
        zmq::message_t out;
        out.copy(const_cast<zmq::message_t&>(message));
        return out;
    };
    touched_ = true;
    try {
        if (!socket_.send(zmq::buffer(receiver),
                          zmq::send_flags::sndmore | zmq::send_flags::dontwait))
            return Sent::Full;
        socket_.send(copy(head),
                     zmq::send_flags::dontwait |
                         (body != nullptr ? zmq::send_flags::sndmore : zmq::send_flags::none));
        if (body != nullptr) socket_.send(copy(*body), zmq::send_flags::dontwait);
        return Sent::Taken;
    } catch (const zmq::error_t& error) {
        if (error.num() != EHOSTUNREACH)
            spdlog::error("a message of the keyed data socket was not sent: {}", error.what());
        gone_.push_back(receiver);
        return Sent::Gone;
    }
}

bool KeyedData::read(Listener& listener, Time now) {
    for (const std::string& receiver : std::exchange(gone_, {}))
        listener.receiver_gone(receiver, now);
    if (!touched_) return false;
    int parts = kPartsPerTurn;
    while (auto message = reader_.next(socket_, parts)) subscribed(listener, *message, now);
    touched_ = parts == 0;
    return touched_;
}

void KeyedData::subscribed(Listener& listener, RouterReader::Message& message, Time now) {
    const auto caller = caller_of(message.part);
    const int descriptor = descriptor_of(message.part);
    const std::uint64_t inode = inbound::inode_of_peer(descriptor);
    inbound::read_from(descriptor);
    if (!caller || !message.is_whole) {
        inbound::shut_down(descriptor, inode);
        ++cuts_;
        return;
    }
    if (!connections_.note(descriptor, inode, *caller)) return;
    const wire::Bytes bytes(static_cast<const std::byte*>(message.part.data()),
                            message.part.size());
    const auto nonce = bytes.empty() ? std::nullopt : wire::decode_marker_topic(bytes.subspan(1));
    const bool is_begin = !bytes.empty() && bytes[0] == std::byte{1};
    const bool is_end = !bytes.empty() && bytes[0] == std::byte{0};
    const bool is_useful = nonce && (is_begin || is_end) &&
                           listener.keyed_subscribed(message.routing_id, {descriptor, inode},
                                                     *caller, *nonce, is_begin, now);
    if (inode == 0) return;
    if (is_useful && is_begin) stuck_peers_.watch(descriptor, inode, caller->credential, now);
    if (guard_.admit(descriptor, inode, is_useful, listener.subscribers(), now)) return;
    inbound::shut_down(descriptor, inode);
    ++cuts_;
}

void KeyedData::tick(Time now) {
    stuck_peers_.tick(now);
    guard_.tick(now);
}

}  // namespace fatwal::sidecar
