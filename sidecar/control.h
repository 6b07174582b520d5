// The control socket: requests of subscribers in, replies out, at once or later.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "fatwal/wire/control.h"

namespace fatwal {

// Whom a reply goes to.
struct Requester {
    std::string identity;
    std::uint32_t request_id = 0;
};

struct Reply {
    wire::ControlBody body;
    std::vector<zmq::message_t> parts;  // messages of the plugin, behind it
};

struct Request {
    Requester requester;
    wire::ControlBody body;
};

class Control {
public:
    // Binds; throws zmq::error_t when that fails.
    Control(zmq::context_t& context, const std::string& endpoint);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    [[nodiscard]] int fd() const { return fd_; }

    // Stops to accept connections, or begins again; those that are there stay.
    void accept(bool wanted);

    // fd() is readable.
    void signalled() { unread_ = true; }
    // The next request; nothing when there is none. What is malformed is answered here.
    std::optional<Request> next();
    // A requester that has gone, or does not read its replies, loses them.
    void send(const Requester& requester, Reply reply);
    // Notifies these requesters that fatwald ends: their attachments are over. Nobody asked, so its
    // request id is 0.
    void announce_end(const std::vector<std::string>& identities);

private:
    std::string endpoint_;
    zmq::socket_t socket_;
    int fd_;
    bool accepts_ = true;
    bool unread_ = true;  // something may have come; to send may swallow the signal of it
};

}  // namespace fatwal
