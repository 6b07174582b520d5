// How many bytes of replies wait for each connection on the control socket.
//
// libzmq bounds the replies that wait for a peer by their number. A reply can hold 8 MiB, so a peer
// that asks and never reads would make it keep gigabytes. The kernel tells what of a connection is
// unread (SIOCOUTQ): when that is nothing, libzmq has handed over all of its own. So bytes are
// added up until a connection is seen empty: after it was seen full, or after a pause that the I/O
// thread needs to hand over the first of them. While they pass the window, requests for more wait
// here, as small as they came, and one that never reads waits for ever at no cost.
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
    // A reply is at most 8 MiB and a message; two of them keep a fast reader busy.
    static constexpr std::size_t kBytes = 16 * 1024 * 1024;
    // Requests that wait of one connection; many subscribers can share it. Later ones are dropped,
    // and asked again by those who wait.
    static constexpr std::size_t kWaiting = 10'000;

    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds kHandedOver{50};

    // A request came on this connection (its ZMQ_SRCFD). True when it waits, and is kept here.
    bool keep(Request& request, int descriptor, Time now);
    // So many bytes were sent.
    void sent(const std::string& identity, std::size_t bytes, Time now);
    // A request whose turn has come. Checks the connections of those that wait, so call it at
    // intervals.
    std::optional<Request> next(Time now);
    // Forgets connections that have read all, or are gone.
    void tick(Time now);

    [[nodiscard]] bool waiting() const { return waiting_ > 0; }

private:
    struct Peer {
        int descriptor = -1;
        std::uint64_t inode = 0;  // the number may be another's by now
        std::size_t unread = 0;
        Time sent;          // when the last of them was
        bool full = false;  // seen since then
        std::deque<Request> requests;
    };
    enum class Queue : std::uint8_t { Empty, Full, Closed };
    static Queue check(Peer& peer, Time now);
    void forget(std::map<std::string, Peer>::iterator peer);

    std::map<std::string, Peer> peers_;  // by identity: those with unread bytes
    std::size_t waiting_ = 0;
};

}  // namespace fatwal::sidecar
