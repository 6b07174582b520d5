// Reads what peers send to a ROUTER, part by part. The protocol's messages have one part behind the
// routing id; a peer may send messages of thousands, so the parts that are read in a turn are
// bounded, and what is left of a message waits for the next turn.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include <zmq.hpp>

namespace fatwal::sidecar {

class RouterReader {
public:
    struct Message {
        std::string routing_id;
        zmq::message_t part;    // the last, by which libzmq names the connection and the caller
        bool is_whole = false;  // it is the only one
    };

    // The next message; nothing when none has come whole, or when `parts`, which is counted down,
    // is 0: more may be there then.
    [[nodiscard]] std::optional<Message> next(zmq::socket_t& socket, int& parts) {
        for (; parts > 0; --parts) {
            zmq::message_t part;
            if (!socket.recv(part, zmq::recv_flags::dontwait)) return std::nullopt;
            if (!begun_) {
                begun_ = part.more();
                if (begun_) message_ = {part.to_string(), {}, true};
            } else if (part.more()) {
                message_.is_whole = false;
            } else {
                begun_ = false;
                message_.part = std::move(part);
                return std::move(message_);
            }
        }
        return std::nullopt;
    }

private:
    Message message_;
    bool begun_ = false;
};

}  // namespace fatwal::sidecar
