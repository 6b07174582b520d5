// How many bytes of replies wait for each connection on the control socket, and of requests for
// their turn.
//
// libzmq bounds the replies that wait for a peer by their number. A reply can hold 32 MiB, so a
// peer that asks and never reads would make it keep gigabytes. So the bytes of replies are added up
// until the connection is seen empty: libzmq has handed as many to the kernel (inbound.h; a little
// more, as it frames and encrypts them), and of those none is unread (SIOCOUTQ). While they pass
// the window, requests for more wait here, as small as they came, and one that never reads waits
// for ever at no cost.
//
// One with a key that reads nothing for kStuck is cut: what waits for it is freed.
//
// A credential has a window of its own for all of its connections, so that many of them cost no
// more than a few. Those that wait are checked in turn, some at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "sidecar/subscribers/control_request.h"

namespace fatwal::sidecar {

class ReplyWindow {
public:
    // A reply is at most 32 MiB and a message; a fast reader asks for less at a time.
    static constexpr std::size_t kBytes = 16 * 1024 * 1024;
    static constexpr std::size_t kBytesOfCredential = 256 * 1024 * 1024;
    // Requests that wait, of one connection; many subscribers can share it. Later ones are dropped,
    // and asked again by those who wait.
    static constexpr std::size_t kWaitingBytes = 4 * 1024 * 1024;
    static constexpr std::size_t kWaitingBytesOfCredential = 32 * 1024 * 1024;

    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kStuck{30};
    // Connections that wait are checked this often, so many of them.
    static constexpr std::chrono::milliseconds kInterval{10};
    static constexpr int kChecks = 256;

    enum class Kept : std::uint8_t { No, Waits, Dropped };
    // A request came on this connection. When it is kept it waits here.
    Kept keep(Request& request, int descriptor, std::uint64_t inode, Time now);
    // So many bytes were sent.
    void sent(const std::string& identity, std::size_t bytes);
    // A request whose turn has come. To be called at intervals of kInterval while waiting().
    std::optional<Request> next(Time now);
    // Forgets connections that have read all, or are gone; cuts those that are stuck.
    void tick(Time now);

    [[nodiscard]] bool waiting() const { return !turn_.empty(); }

private:
    struct Sums {
        std::size_t unread = 0;
        std::size_t waiting = 0;  // bytes of requests
    };
    struct Peer {
        int descriptor = -1;
        std::uint64_t inode = 0;  // the number may be another's by now
        std::string credential;   // empty: it is local, and has no bound but its own
        Sums sums;
        std::uint32_t handed = 0;  // by libzmq when nothing was unread
        int queue = 0;             // bytes in the kernel's, as seen last
        Time moved;                // when that changed
        std::deque<Request> requests;
    };
    using ByIdentity = std::map<std::string, Peer>;
    enum class Queue : std::uint8_t { Empty, Full, Closed };
    Queue check(Peer& peer, Time now);
    void add(Peer& peer, std::size_t unread, std::size_t waiting);
    void remove(Peer& peer, std::size_t unread, std::size_t waiting);
    [[nodiscard]] bool has_room(const Peer& peer) const;
    [[nodiscard]] bool may_wait(const Peer& peer, std::size_t bytes) const;
    ByIdentity::iterator forget(ByIdentity::iterator peer);

    ByIdentity peers_;  // those with unread bytes, or requests that wait
    std::map<std::string, Sums> credentials_;
    std::deque<std::string> turn_;  // identities of those with requests, each once
    Time checked_;
    int checks_ = 0;  // left, of this interval
};

}  // namespace fatwal::sidecar
