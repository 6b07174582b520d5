// The ZAP handler (RFC 27): libzmq asks it whether a key may connect, and it answers by the
// credentials at the position of the stream. It belongs to fatwald's loop, like the credentials, so
// a key that was revoked is refused from the moment on at which the loop has read its revocation.
//
// While the credentials are not known (fatwald waits for the slot, say) every key is refused for
// the moment (300): a subscriber tries again, or has another fatwald.
//
// What stands in a request comes from libzmq itself, so a malformed one is a fault of ours.
#pragma once

#include <cstdint>

#include <zmq.hpp>

#include "fatwal/wire/types.h"
#include "sidecar/delivery/credentials.h"

namespace fatwal::sidecar {

class Zap {
public:
    // Before any keyed socket is bound; one for each context.
    explicit Zap(zmq::context_t& context);

    [[nodiscard]] int fd() const { return socket_.get(zmq::sockopt::fd); }
    // Answers what has come; true when more may be there. `now`: microseconds since 2000-01-01.
    bool answer(const Credentials& credentials, wire::Microseconds now);

    [[nodiscard]] std::uint64_t refused() const { return refused_; }

private:
    zmq::socket_t socket_;
    std::uint64_t refused_ = 0;
    bool warned_ = false;
};

}  // namespace fatwal::sidecar
