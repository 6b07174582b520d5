#include "control.h"

#include <spdlog/spdlog.h>

#include "run_dir.h"

namespace fatwal {

Control::Control(zmq::context_t& context, const std::string& endpoint)
    : endpoint_(endpoint),
      socket_(context, zmq::socket_type::router),
      fd_(socket_.get(zmq::sockopt::fd)) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::router_mandatory, true);
    socket_.set(zmq::sockopt::maxmsgsize, std::int64_t{wire::kMaxControlBytes});
    socket_.bind(endpoint);
}

Control::~Control() {
    socket_.close();
    RunDir::remove(endpoint_);
}

void Control::announce_end(const std::vector<std::string>& identities) {
    // The socket closes soon, and must send this before.
    constexpr int kLingerMs = 200;
    socket_.set(zmq::sockopt::linger, kLingerMs);
    for (const std::string& identity : identities)
        send({identity, 0}, {wire::ControlError{wire::ErrorCode::ShuttingDown,
                                                "fatwald shuts down",
                                                {},
                                                "Attach to another one, or wait for the next."},
                             {}});
}

void Control::accept(bool wanted) {
    if (wanted == accepts_) return;
    accepts_ = wanted;
    unread_ = true;
    if (wanted) {
        socket_.bind(endpoint_);
        spdlog::info("connections are accepted again");
    } else {
        socket_.unbind(socket_.get(zmq::sockopt::last_endpoint));
        spdlog::error(
            "file descriptors run out: no more connections are accepted until some are free. Raise "
            "the limit (LimitNOFILE, ulimit -n)");
    }
}

std::optional<Request> Control::next() {
    if (!unread_) return std::nullopt;
    zmq::message_t identity;
    zmq::message_t request;
    while (socket_.recv(identity, zmq::recv_flags::dontwait)) {
        if (!identity.more()) continue;
        if (!socket_.recv(request, zmq::recv_flags::dontwait)) return std::nullopt;
        if (request.more()) {
            // Not of the protocol: one part each. Read away what belongs to it.
            for (zmq::message_t rest; socket_.recv(rest, zmq::recv_flags::dontwait) && rest.more();)
                continue;
            continue;
        }
        wire::DecodedControl decoded =
            wire::decode_control({static_cast<const std::byte*>(request.data()), request.size()});
        if (decoded.message)
            return Request{{identity.to_string(), decoded.message->request_id},
                           std::move(decoded.message->body)};
        if (decoded.error)
            send({identity.to_string(), decoded.error->request_id},
                 {std::move(decoded.error->body), {}});
    }
    unread_ = false;
    return std::nullopt;
}

void Control::send(const Requester& requester, Reply reply) {
    const std::string head = wire::encode({requester.request_id, std::move(reply.body)});
    const auto flags_before = [&](std::size_t part) {
        return zmq::send_flags::dontwait |
               (part < reply.parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    };
    unread_ = true;
    try {
        if (!socket_.send(zmq::buffer(requester.identity),
                          zmq::send_flags::sndmore | zmq::send_flags::dontwait))
            return;
        socket_.send(zmq::buffer(head), flags_before(0));
        for (std::size_t i = 0; i < reply.parts.size(); ++i)
            socket_.send(std::move(reply.parts[i]), flags_before(i + 1));
    } catch (const zmq::error_t& error) {
        spdlog::debug("a reply was not delivered: {}", error.what());
    }
}

}  // namespace fatwal
