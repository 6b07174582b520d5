// A request on the control socket, and the reply to it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"
#include "sidecar/credential.h"

namespace fatwal::sidecar {

// The descriptor of the connection that a message came from; -1 when it came from none, as the ends
// of subscriptions that libzmq makes up when a connection is gone.
[[nodiscard]] inline int descriptor_of(zmq::message_t& message) {
    return zmq_msg_get(message.handle(), ZMQ_SRCFD);
}

// A connection, known again by its inode when its descriptor may be another's.
struct PeerConnection {
    int descriptor = -1;
    std::uint64_t inode = 0;
};

// Whom a reply goes to. The identity is the one that libzmq gives the connection: no two have the
// same while they live, and nobody else learns it, so it is what a subscriber's requests are
// authorized by.
struct Requester {
    std::string identity;
    std::uint32_t request_id = 0;
    Caller caller = {};
};

struct Reply {
    wire::ControlBody body;
    std::vector<zmq::message_t> parts;  // messages of the plugin, behind it
};

[[nodiscard]] inline Reply refuse(wire::ErrorCode code, std::string message,
                                  std::string detail = {}, std::string hint = {}) {
    return {wire::ControlError{code, std::move(message), std::move(detail), std::move(hint)}, {}};
}

struct Request {
    Requester requester;
    wire::ControlBody body;
};

}  // namespace fatwal::sidecar
