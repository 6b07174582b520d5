// fatwal durable: lists and forgets durable subscribers. It attaches to the operators' stream,
// which is what entitles to both, and detaches at the end.
#include <sys/random.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include <zmq.hpp>

#include "client/cli/commands.h"
#include "client/cli/control_socket.h"
#include "client/cli/event_line.h"
#include "fatwal/wire/control.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

constexpr std::chrono::milliseconds kReplyWithin{5000};

// One request after the other on a control socket.
class ControlClient {
public:
    ControlClient(const std::string& control, const KeyArguments& keys)
        : control_(control), keys_(keys), socket_(control_socket(context_, control, keys)) {
        socket_.set(zmq::sockopt::linger, static_cast<int>(kReplyWithin.count()));
        socket_.set(zmq::sockopt::rcvtimeo, static_cast<int>(kReplyWithin.count()));
    }

    // The reply; nothing when there is none or it is an error, which is printed.
    template <class Answer>
    std::optional<Answer> ask(wire::ControlBody body) {
        const std::string request = wire::encode({++id_, std::move(body)});
        socket_.send(zmq::message_t(request.data(), request.size()), zmq::send_flags::dontwait);
        zmq::message_t reply;
        if (!socket_.recv(reply)) {
            std::fprintf(stderr, "%s\n", no_reply_from(control_, keys_).c_str());
            socket_.set(zmq::sockopt::linger, 0);
            return std::nullopt;
        }
        auto decoded =
            wire::decode_control({static_cast<const std::byte*>(reply.data()), reply.size()});
        if (decoded.message) {
            if (auto* answer = std::get_if<Answer>(&decoded.message->body))
                return std::move(*answer);
            if (const auto* error = std::get_if<wire::ControlError>(&decoded.message->body)) {
                std::fprintf(stderr, "fatwal: %s. %s %s\n", error->message.c_str(),
                             error->detail.c_str(), error->hint.c_str());
                return std::nullopt;
            }
        }
        std::fprintf(stderr, "fatwald's answer is not understood: it may be of another version\n");
        return std::nullopt;
    }

private:
    std::string control_;
    KeyArguments keys_;
    zmq::context_t context_;
    zmq::socket_t socket_;
    std::uint32_t id_ = 0;
};

// One line of JSON for each, as `fatwal tail` prints; null for the operators' account.
void print(const wire::DurableEntry& entry) {
    const bool operators = entry.account.kind == wire::AccountKind::Operators;
    std::printf(
        "{\"account\":%s,\"subscriber\":%s,\"acknowledged\":\"%s\",\"stored\":\"%s\","
        "\"attached\":%s,\"holds_wal\":%s}\n",
        operators ? "null" : json_string(entry.account.to_text()).c_str(),
        json_string(entry.name).c_str(), wire::lsn_text(entry.acknowledged).c_str(),
        wire::lsn_text(entry.stored).c_str(), entry.attached ? "true" : "false",
        entry.holds ? "true" : "false");
}

bool list(ControlClient& client) {
    wire::ListDurables request;
    for (;;) {
        const auto part = client.ask<wire::DurableList>(request);
        if (!part) return false;
        for (const wire::DurableEntry& entry : part->durables) print(entry);
        if (part->end || part->durables.empty()) return true;
        request = {part->durables.back().account, part->durables.back().name};
    }
}

}  // namespace

int durable(const DurableArguments& arguments) {
    wire::Attach attach;
    if (getrandom(attach.nonce.data(), attach.nonce.size(), 0) !=
        static_cast<ssize_t>(attach.nonce.size())) {
        std::perror("fatwal: getrandom");
        return 1;
    }
    attach.subscriber = "fatwal durable";
    ControlClient client(arguments.control, arguments.keys);
    if (!client.ask<wire::Attached>(attach)) return 1;
    bool done = false;
    if (arguments.forget.empty()) {
        done = list(client);
    } else {
        wire::ForgetDurable request;
        if (!arguments.operators) request.account = wire::AccountKey::from_text(arguments.account);
        request.name = arguments.forget;
        done = client.ask<wire::Forgotten>(std::move(request)).has_value();
    }
    if (!client.ask<wire::Detached>(wire::Detach{attach.nonce, false})) return 1;
    return done && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace fatwal::cli
