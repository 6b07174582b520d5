#include "sidecar/subscribers/keyed_data.h"

#include <sys/socket.h>

#include <spdlog/spdlog.h>

#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/curve.h"
#include "sidecar/subscribers/descriptors.h"
#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/run_dir.h"

namespace fatwal::sidecar {

namespace {

// The subscription of a marker has 18 bytes; libzmq's own handshake has to pass too.
constexpr std::int64_t kMaxRequestBytes = 512;
constexpr int kRequestsAhead = 128;  // of one peer, that libzmq reads before we have
constexpr int kKeyedRequestsPerTurn = 512;
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
    zmq::message_t identity;
    zmq::message_t message;
    for (int left = kKeyedRequestsPerTurn; left > 0; --left) {
        if (!socket_.recv(identity, zmq::recv_flags::dontwait)) {
            touched_ = false;
            return false;
        }
        if (!identity.more() || !socket_.recv(message, zmq::recv_flags::dontwait)) continue;
        if (message.more()) {
            // Not of the protocol: one part each. Read away what belongs to it.
            while (socket_.recv(message, zmq::recv_flags::dontwait) && message.more()) continue;
            continue;
        }
        subscribed(listener, identity.to_string(), message, now);
    }
    return true;
}

void KeyedData::subscribed(Listener& listener, const std::string& receiver, zmq::message_t& message,
                           Time now) {
    const auto caller = caller_of(message);
    if (!caller || !is_generated(receiver)) return;
    const int descriptor = descriptor_of(message);
    const std::uint64_t inode = inode_of(descriptor);
    inbound::read_from(descriptor);
    connections_.note(descriptor, inode, *caller);
    const wire::Bytes bytes(static_cast<const std::byte*>(message.data()), message.size());
    const auto nonce = bytes.empty() ? std::nullopt : wire::decode_marker_topic(bytes.subspan(1));
    const bool is_begin = !bytes.empty() && bytes[0] == std::byte{1};
    const bool is_end = !bytes.empty() && bytes[0] == std::byte{0};
    const bool is_useful = nonce && (is_begin || is_end) &&
                           listener.keyed_subscribed(receiver, *caller, *nonce, is_begin, now);
    if (inode == 0) return;
    if (is_useful && is_begin) stuck_peers_.watch(descriptor, inode, caller->credential, now);
    if (guard_.admit(descriptor, inode, is_useful, listener.subscribers(), now)) return;
    shutdown(descriptor, SHUT_RDWR);
    ++cuts_;
}

void KeyedData::tick(Time now) {
    stuck_peers_.tick(now);
    guard_.tick(now);
}

}  // namespace fatwal::sidecar
