#include "sidecar/subscribers/control.h"

#include <sys/stat.h>

#include <spdlog/spdlog.h>

#include "sidecar/subscribers/curve.h"
#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/io_threads.h"
#include "sidecar/subscribers/run_dir.h"

namespace fatwal::sidecar {

namespace {

constexpr char kLocalMark = 'L';
constexpr char kKeyedMark = 'K';
constexpr int kPartsPerRead = 128;  // two of each request
// Of a peer with a key: requests that libzmq reads ahead of us.
constexpr int kKeyedRequestsAhead = 128;

bool is_file(const std::string& endpoint) { return endpoint.starts_with("ipc://"); }

zmq::socket_t router(zmq::context_t& context) {
    zmq::socket_t socket(context, zmq::socket_type::router);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::affinity, kLocalThread);
    socket.set(zmq::sockopt::router_mandatory, true);
    socket.set(zmq::sockopt::maxmsgsize, std::int64_t{wire::kMaxControlBytes});
    return socket;
}

// 0 when there is no such file.
std::uint64_t inode_of(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

Control::Control(zmq::context_t& context, const Settings& settings, KeyedConnections& connections)
    : endpoint_(settings.control),
      keyed_endpoint_(settings.keyed_control),
      connections_(connections),
      local_{kLocalMark, router(context)} {
    if (auto failure = lock_.lock(path_of(endpoint_) + ".lock",
                                  {"another fatwald listens at the control endpoint", endpoint_,
                                   "Stop it, or give this one an endpoint of its own with "
                                   "--control."}))
        throw std::move(*failure);
    try {
        bind();
    } catch (const zmq::error_t& error) {
        throw Failure{"cannot listen at the control endpoint", endpoint_ + ": " + error.what(),
                      "Make its folder, or choose another endpoint with --control."};
    }
    fds_.push_back(local_.socket.get(zmq::sockopt::fd));
    if (keyed_endpoint_.empty()) return;
    bind_keyed(context, settings);
    fds_.push_back(keyed_.socket.get(zmq::sockopt::fd));
}

void Control::bind_keyed(zmq::context_t& context, const Settings& settings) {
    if (is_file(keyed_endpoint_))
        if (auto failure = keyed_lock_.lock(
                path_of(keyed_endpoint_) + ".lock",
                {"another fatwald listens at the keyed control endpoint", keyed_endpoint_,
                 "Stop it, or give this one an endpoint of its own with --keyed-control."}))
            throw std::move(*failure);
    keyed_ = {kKeyedMark, router(context)};
    keyed_.socket.set(zmq::sockopt::rcvhwm, kKeyedRequestsAhead);
    require_keys(keyed_.socket, settings.server_keys);
    try {
        keyed_.socket.bind(keyed_endpoint_);
    } catch (const zmq::error_t& error) {
        throw Failure{"cannot listen at the keyed control endpoint",
                      keyed_endpoint_ + ": " + error.what(),
                      "Choose an address of this machine and a port that is free with "
                      "--keyed-control."};
    }
}

Control::~Control() {
    local_.socket.close();
    if (inode_of(path_of(endpoint_)) == inode_) RunDir::remove(endpoint_);
    if (!keyed_.socket) return;
    keyed_.socket.close();
    if (is_file(keyed_endpoint_)) RunDir::remove(keyed_endpoint_);
}

Control::Door& Control::door_of(const std::string& identity) {
    return identity[0] == kKeyedMark ? keyed_ : local_;
}

void Control::announce_end(const std::vector<std::string>& identities) {
    // The socket closes soon, and must send this before.
    constexpr int kLingerMs = 200;
    local_.socket.set(zmq::sockopt::linger, kLingerMs);
    if (keyed_.socket) keyed_.socket.set(zmq::sockopt::linger, kLingerMs);
    for (const std::string& identity : identities)
        send({identity, 0}, {wire::ControlError{wire::ErrorCode::ShuttingDown,
                                                "fatwald shuts down",
                                                {},
                                                "Attach to another one, or wait for the next."},
                             {}});
}

void Control::bind() {
    local_.socket.bind(endpoint_);
    inode_ = inode_of(path_of(endpoint_));
    displaced_ = false;
    local_.unread = true;
}

void Control::tick(Time now) {
    window_.tick(now);
    guard_.tick(now);
    const std::uint64_t found = inode_of(path_of(endpoint_));
    if (found == inode_ || (found != 0 && displaced_)) return;
    if (found != 0) {
        displaced_ = true;
        spdlog::error("another process has put its socket in the place of the control endpoint {}",
                      endpoint_);
        return;
    }
    try {
        local_.socket.unbind(local_.socket.get(zmq::sockopt::last_endpoint));
        bind();
        spdlog::warn("the socket of the control endpoint {} was removed: it is made again",
                     endpoint_);
    } catch (const zmq::error_t& error) {
        // Its folder is away too, perhaps: whoever is attached stays so, and the next tick tries
        // again.
        spdlog::debug("cannot listen at {}: {}", endpoint_, error.what());
        local_.unread = true;
    }
}

std::optional<Request> Control::next(Time now) {
    if (auto request = window_.next(now)) return request;
    keyed_is_next_ = !keyed_is_next_;
    Door& first = keyed_is_next_ ? keyed_ : local_;
    Door& second = keyed_is_next_ ? local_ : keyed_;
    if (auto request = read(first, now)) return request;
    return read(second, now);
}

std::optional<Request> Control::read(Door& door, Time now) {
    if (!door.unread || !door.socket) return std::nullopt;
    int parts = kPartsPerRead;
    while (auto message = door.reader.next(door.socket, parts))
        if (auto request = accept(door, *message, now)) return request;
    door.unread = parts == 0;
    return std::nullopt;
}

std::optional<Request> Control::accept(Door& door, RouterReader::Message& message, Time now) {
    const int descriptor = descriptor_of(message.part);
    const Origin origin{descriptor, inbound::inode_of_peer(descriptor)};
    inbound::read_from(descriptor);
    Requester requester{door.mark + message.routing_id, 0, {}};
    if (door.mark == kKeyedMark) {
        auto caller = caller_of(message.part);
        if (!caller || !message.is_whole) {
            inbound::shut_down(origin.descriptor, origin.inode);
            return std::nullopt;
        }
        if (!connections_.note(origin.descriptor, origin.inode, *caller)) return std::nullopt;
        requester.caller = std::move(*caller);
    }
    if (!message.is_whole) {
        useless(origin, now);
        return std::nullopt;
    }
    wire::DecodedControl decoded = wire::decode_control(
        {static_cast<const std::byte*>(message.part.data()), message.part.size()});
    if (decoded.message) {
        requester.request_id = decoded.message->request_id;
        Request asked{std::move(requester), std::move(decoded.message->body)};
        switch (window_.keep(asked, origin.descriptor, origin.inode, now)) {
            case ReplyWindow::Kept::No: return asked;
            case ReplyWindow::Kept::Dropped: useless(origin, now); break;
            case ReplyWindow::Kept::Waits: break;
        }
        return std::nullopt;
    }
    useless(origin, now);
    if (decoded.error) {
        requester.request_id = decoded.error->request_id;
        send(requester, {std::move(decoded.error->body), {}});
    }
    return std::nullopt;
}

void Control::useless(const Origin& origin, Time now) {
    constexpr bool kUseful = false;
    if (origin.inode != 0 && !guard_.admit(origin.descriptor, origin.inode, kUseful, 0, now))
        inbound::shut_down(origin.descriptor, origin.inode);
}

void Control::send(const Requester& requester, Reply reply) {
    if (const auto* refusal = std::get_if<wire::ControlError>(&reply.body))
        ++refusals_[refusal->code];
    const std::string head = wire::encode({requester.request_id, std::move(reply.body)});
    const auto flags_before = [&](std::size_t part) {
        return zmq::send_flags::dontwait |
               (part < reply.parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    };
    Door& door = door_of(requester.identity);
    door.unread = true;
    std::size_t bytes = head.size();
    for (const zmq::message_t& part : reply.parts) bytes += part.size();
    try {
        const std::string_view identity = std::string_view(requester.identity).substr(1);
        if (!door.socket.send(zmq::buffer(identity),
                              zmq::send_flags::sndmore | zmq::send_flags::dontwait))
            return;
        window_.sent(requester.identity, bytes);
        door.socket.send(zmq::buffer(head), flags_before(0));
        for (std::size_t i = 0; i < reply.parts.size(); ++i)
            door.socket.send(std::move(reply.parts[i]), flags_before(i + 1));
    } catch (const zmq::error_t& error) {
        spdlog::debug("a reply was not delivered: {}", error.what());
    }
}

}  // namespace fatwal::sidecar
