// The control socket: requests of subscribers in, replies out, at once or later.
//
// libzmq binds over a socket file that is there, and leaves its own behind. So a lock beside the
// file says whose the endpoint is, and only the file that was bound here is removed at the end.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <zmq.hpp>

#include "sidecar/file_lock.h"
#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/reply_window.h"

namespace fatwal::sidecar {

class Control {
public:
    using Time = std::chrono::steady_clock::time_point;

    // Locks and binds; throws a Failure when that fails.
    Control(zmq::context_t& context, const std::string& endpoint);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    [[nodiscard]] int fd() const { return fd_; }

    // fd() is readable.
    void signalled() { unread_ = true; }
    // The next request; nothing when there is none. What is malformed is answered here.
    std::optional<Request> next(Time now);
    // Requests wait until their connections have read earlier replies: call next() soon again.
    [[nodiscard]] bool waiting() const { return window_.waiting(); }
    // At intervals: binds again when somebody has removed the socket file.
    void tick(Time now);
    // A requester that has gone, or does not read its replies, loses them.
    void send(const Requester& requester, Reply reply);
    // Notifies these requesters that fatwald ends: their attachments are over. Nobody asked, so its
    // request id is 0.
    void announce_end(const std::vector<std::string>& identities);

private:
    void bind();
    std::optional<Request> read(Time now);

    std::string endpoint_;
    FileLock lock_;
    zmq::socket_t socket_;
    int fd_;
    ReplyWindow window_;
    std::uint64_t inode_ = 0;  // of the socket file that was bound
    bool displaced_ = false;   // another file is in its place
    bool unread_ = true;       // something may have come; to send may swallow the signal of it
};

}  // namespace fatwal::sidecar
