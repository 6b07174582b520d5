#include "sidecar/subscribers/control.h"

#include <sys/stat.h>

#include <spdlog/spdlog.h>

#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/run_dir.h"

namespace fatwal::sidecar {

namespace {

// 0 when there is no such file.
std::uint64_t inode_of(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

Control::Control(zmq::context_t& context, const std::string& endpoint)
    : endpoint_(endpoint),
      socket_(context, zmq::socket_type::router),
      fd_(socket_.get(zmq::sockopt::fd)) {
    if (auto failure = lock_.lock(path_of(endpoint) + ".lock",
                                  {"another fatwald listens at the control endpoint", endpoint,
                                   "Stop it, or give this one an endpoint of its own with "
                                   "--control."}))
        throw std::move(*failure);
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::router_mandatory, true);
    socket_.set(zmq::sockopt::maxmsgsize, std::int64_t{wire::kMaxControlBytes});
    try {
        bind();
    } catch (const zmq::error_t& error) {
        throw Failure{"cannot listen at the control endpoint", endpoint + ": " + error.what(),
                      "Make its folder, or choose another endpoint with --control."};
    }
}

Control::~Control() {
    socket_.close();
    if (inode_of(path_of(endpoint_)) == inode_) RunDir::remove(endpoint_);
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

void Control::bind() {
    socket_.bind(endpoint_);
    inode_ = inode_of(path_of(endpoint_));
    displaced_ = false;
    unread_ = true;
}

void Control::tick(Time now) {
    window_.tick(now);
    const std::uint64_t found = inode_of(path_of(endpoint_));
    if (found == inode_ || (found != 0 && displaced_)) return;
    if (found != 0) {
        displaced_ = true;
        spdlog::error("another process has put its socket in the place of the control endpoint {}",
                      endpoint_);
        return;
    }
    try {
        socket_.unbind(socket_.get(zmq::sockopt::last_endpoint));
        bind();
        spdlog::warn("the socket of the control endpoint {} was removed: it is made again",
                     endpoint_);
    } catch (const zmq::error_t& error) {
        // Its folder is away too, perhaps: whoever is attached stays so, and the next tick tries
        // again.
        spdlog::debug("cannot listen at {}: {}", endpoint_, error.what());
        unread_ = true;
    }
}

std::optional<Request> Control::next(Time now) {
    if (auto request = window_.next(now)) return request;
    return read(now);
}

std::optional<Request> Control::read(Time now) {
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
        const int descriptor = descriptor_of(request);
        inbound::read_from(descriptor);
        wire::DecodedControl decoded =
            wire::decode_control({static_cast<const std::byte*>(request.data()), request.size()});
        if (decoded.message) {
            Request asked{{identity.to_string(), decoded.message->request_id},
                          std::move(decoded.message->body)};
            if (window_.keep(asked, descriptor, now)) continue;
            return asked;
        }
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
    std::size_t bytes = head.size();
    for (const zmq::message_t& part : reply.parts) bytes += part.size();
    window_.sent(requester.identity, bytes, std::chrono::steady_clock::now());
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

}  // namespace fatwal::sidecar
