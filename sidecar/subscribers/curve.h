// CURVE, ZeroMQ's encryption and proof of identity by key pairs (RFC 26), as fatwald uses it: on
// the sockets for peers with keys, beside the unkeyed ones whose socket file's permissions decide.
//
// libzmq asks the ZAP handler (zap.h) about each key before a connection counts, and marks each
// message of it with what the handler said: its credential's name and key, which caller_of() reads.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <zmq.hpp>

#include "sidecar/credential.h"
#include "sidecar/settings.h"

namespace fatwal::sidecar {

// The ZAP domain of all keyed sockets.
inline constexpr char kZapDomain[] = "fatwal";
// The property of a message that names the key of its connection.
inline constexpr char kKeyProperty[] = "X-Key";

// Makes a socket take only peers whose keys the ZAP handler admits. Before it is bound. Without a
// handler it takes nobody.
void require_keys(zmq::socket_t& socket, const wire::KeyPair& server);

// Who has sent this message on a keyed socket; nothing when libzmq does not say, which it always
// does. Of the message's last part, as libzmq 4.3.4 marks no other reliably.
[[nodiscard]] std::optional<Caller> caller_of(zmq::message_t& message);

}  // namespace fatwal::sidecar
