#include "sidecar/subscribers/curve.h"

#include "sidecar/subscribers/io_threads.h"

namespace fatwal::sidecar {

namespace {

// A peer that has not proven its key by then is closed: libzmq's default is 30 s, in which a flood
// of them would hold many descriptors.
constexpr int kHandshakeMs = 5000;
// A peer whose machine has vanished: the kernel finds it by these probes, or by what it does not
// acknowledge. Longer than what a bad path loses for a while.
constexpr int kKeepaliveIdleS = 15;
constexpr int kKeepaliveIntervalS = 5;
constexpr int kKeepaliveProbes = 3;
constexpr int kUnacknowledgedMs = 30'000;
// ZMQ_ZAP_ENFORCE_DOMAIN, which cppzmq 4.9 names only in its draft: without a handler libzmq would
// take everybody.
constexpr int kEnforceDomain = 93;
constexpr char kNameProperty[] = "User-Id";

}  // namespace

void require_keys(zmq::socket_t& socket, const wire::KeyPair& server) {
    socket.set(zmq::sockopt::affinity, kKeyedThread);
    socket.set(zmq::sockopt::curve_server, true);
    socket.set(zmq::sockopt::curve_secretkey, server.secret_key);
    socket.set(zmq::sockopt::zap_domain, kZapDomain);
    const int enforce = 1;
    if (zmq_setsockopt(socket.handle(), kEnforceDomain, &enforce, sizeof enforce) != 0)
        throw zmq::error_t();
    socket.set(zmq::sockopt::handshake_ivl, kHandshakeMs);
    socket.set(zmq::sockopt::tcp_keepalive, 1);
    socket.set(zmq::sockopt::tcp_keepalive_idle, kKeepaliveIdleS);
    socket.set(zmq::sockopt::tcp_keepalive_intvl, kKeepaliveIntervalS);
    socket.set(zmq::sockopt::tcp_keepalive_cnt, kKeepaliveProbes);
    socket.set(zmq::sockopt::tcp_maxrt, kUnacknowledgedMs);
}

std::optional<Caller> caller_of(zmq::message_t& message) {
    const char* name = zmq_msg_gets(message.handle(), kNameProperty);
    const char* key = zmq_msg_gets(message.handle(), kKeyProperty);
    if (name == nullptr || key == nullptr || *key == '\0') return std::nullopt;
    return Caller{name, key};
}

}  // namespace fatwal::sidecar
