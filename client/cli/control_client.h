// One request after the other on a control socket, for the commands that ask fatwald something.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <zmq.hpp>

#include "client/cli/commands.h"
#include "client/cli/control_socket.h"
#include "fatwal/wire/control.h"

namespace fatwal::cli {

class ControlClient {
public:
    static constexpr std::chrono::milliseconds kReplyWithin{5000};  // of one message

    ControlClient(const std::string& control, const KeyArguments& keys,
                  std::chrono::milliseconds reply_within = kReplyWithin)
        : control_(control), keys_(keys), socket_(control_socket(context_, control, keys)) {
        socket_.set(zmq::sockopt::linger, static_cast<int>(reply_within.count()));
        socket_.set(zmq::sockopt::rcvtimeo, static_cast<int>(reply_within.count()));
    }

    // The reply; nothing when there is none or it is an error, which is printed.
    template <class Answer>
    std::optional<Answer> ask(wire::ControlBody body) {
        auto answer = try_ask<Answer>(std::move(body));
        if (!answer) std::fprintf(stderr, "%s\n", failure_.c_str());
        return answer;
    }

    // The same, but nothing is printed: failure() says what there was instead.
    template <class Answer>
    std::optional<Answer> try_ask(wire::ControlBody body) {
        const std::string request = wire::encode({++id_, std::move(body)});
        socket_.send(zmq::message_t(request.data(), request.size()), zmq::send_flags::dontwait);
        refused_.reset();
        wire::DecodedControl decoded;
        do {
            zmq::message_t reply;
            if (!socket_.recv(reply)) {
                failure_ = no_reply_from(control_, keys_);
                socket_.set(zmq::sockopt::linger, 0);
                return std::nullopt;
            }
            decoded =
                wire::decode_control({static_cast<const std::byte*>(reply.data()), reply.size()});
            // What answers an earlier request came too late for it.
        } while (decoded.message && decoded.message->request_id != id_);
        if (decoded.message) {
            if (auto* answer = std::get_if<Answer>(&decoded.message->body))
                return std::move(*answer);
            if (const auto* error = std::get_if<wire::ControlError>(&decoded.message->body)) {
                refused_ = error->code;
                failure_ =
                    error->code == wire::ErrorCode::UnknownType
                        ? "fatwald does not know this request: it is older than this "
                          "command (fatwal " FATWAL_VERSION "). Upgrade fatwald."
                        : "fatwal: " + error->message + ". " + error->detail + " " + error->hint;
                return std::nullopt;
            }
        }
        failure_ = "fatwald's answer is not understood: it may be of another version";
        return std::nullopt;
    }
    // Of the last request: what there was instead of a reply, and the code if that was an error.
    [[nodiscard]] const std::string& failure() const { return failure_; }
    [[nodiscard]] std::optional<wire::ErrorCode> refused() const { return refused_; }

private:
    std::string control_;
    KeyArguments keys_;
    zmq::context_t context_;
    zmq::socket_t socket_;
    std::string failure_;
    std::optional<wire::ErrorCode> refused_;
    std::uint32_t id_ = 0;
};

}  // namespace fatwal::cli
