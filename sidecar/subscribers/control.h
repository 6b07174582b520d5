// The control sockets: requests of subscribers in, replies out, at once or later. One is a file
// whose permissions say who may connect; the other, if it is set, takes peers with keys, over tcp
// or a file. They are sockets of their own, so that what a peer is follows from where its request
// came in, and no peer can have the identity of one of the other socket: behind a byte that names
// the socket, identities are libzmq's. They are read in turn.
//
// libzmq binds over a socket file that is there, and leaves its own behind. So a lock beside the
// file says whose the endpoint is, and only the file that was bound here is removed at the end.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "sidecar/file_lock.h"
#include "sidecar/settings.h"
#include "sidecar/subscribers/control_request.h"
#include "sidecar/subscribers/keyed_connections.h"
#include "sidecar/subscribers/reply_window.h"
#include "sidecar/subscribers/router_reader.h"
#include "sidecar/subscribers/subscription_guard.h"

namespace fatwal::sidecar {

class Control {
public:
    using Time = std::chrono::steady_clock::time_point;

    // Locks and binds; throws a Failure when that fails. `connections` outlives it.
    Control(zmq::context_t& context, const Settings& settings, KeyedConnections& connections);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    // Of the sockets.
    [[nodiscard]] const std::vector<int>& fds() const { return fds_; }

    // One of fds() is readable.
    void signalled() { local_.unread = keyed_.unread = true; }
    // The next request; nothing when there is none, or when enough was read for this turn. What is
    // malformed is answered here, and a peer that sends more of it than a mistake would is cut.
    std::optional<Request> next(Time now);
    // Whether something may be there to be read.
    [[nodiscard]] bool unread() const { return local_.unread || (keyed_.socket && keyed_.unread); }
    // Requests wait until their connections have read earlier replies: call next() soon again.
    [[nodiscard]] bool waiting() const { return window_.waiting(); }
    // At intervals: binds again when somebody has removed the socket file.
    void tick(Time now);
    // A requester that has gone, or does not read its replies, loses them.
    void send(const Requester& requester, Reply reply);
    // How many replies were refusals, by their code.
    [[nodiscard]] const std::map<wire::ErrorCode, std::uint64_t>& refusals() const {
        return refusals_;
    }
    // Notifies these requesters that fatwald ends: their attachments are over. Nobody asked, so its
    // request id is 0.
    void announce_end(const std::vector<std::string>& identities);

private:
    struct Door {
        char mark = 0;  // before the identities of its peers
        zmq::socket_t socket;
        RouterReader reader = {};
        bool unread = true;  // something may have come; to send may swallow the signal of it
    };
    // Where a message came from.
    struct Origin {
        int descriptor = -1;
        std::uint64_t inode = 0;
    };

    void bind();
    void bind_keyed(zmq::context_t& context, const Settings& settings);
    std::optional<Request> read(Door& door, Time now);
    std::optional<Request> accept(Door& door, RouterReader::Message& message, Time now);
    // It sent what is of no use.
    void useless(const Origin& origin, Time now);
    [[nodiscard]] Door& door_of(const std::string& identity);

    std::string endpoint_;
    std::string keyed_endpoint_;  // empty: there is none
    KeyedConnections& connections_;
    FileLock lock_;
    FileLock keyed_lock_;  // of one that is a file
    Door local_;
    Door keyed_;
    std::vector<int> fds_;
    bool keyed_is_next_ = false;
    ReplyWindow window_;
    SubscriptionGuard guard_;
    std::map<wire::ErrorCode, std::uint64_t> refusals_;
    std::uint64_t inode_ = 0;  // of the socket file that was bound
    bool displaced_ = false;   // another file is in its place
};

}  // namespace fatwal::sidecar
