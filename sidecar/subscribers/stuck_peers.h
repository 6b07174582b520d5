// Connections of subscribers on which nothing moves although something waits to be read. What waits
// costs fatwald memory (up to the high-water mark), so such a connection is cut. The subscriber
// connects again by itself when it reads again, and has replayed what it missed.
//
// Progress is what the kernel tells: how many bytes wait in the socket. A slow reader's queue is
// full at most moments, as libzmq fills it up again at once, so the same number at two moments a
// second apart does not mean that nothing moved. Between two ticks a connection that has something
// waiting is therefore checked every kCheckInterval, until one number differs: whoever reads at
// all makes the queue shrink for a moment, and more is handed to the kernel then. Memory of the
// kernel's comes in pieces of up to 32 KiB, so the slowest reader that is seen to move reads that
// much within kStuck, 8 kB a second.
//
// A connection is known by its descriptor and its inode, as the number may be another's by now.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "sidecar/subscribers/peer_log.h"

namespace fatwal::sidecar {

class StuckPeers {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kStuck{4};
    static constexpr std::chrono::milliseconds kCheckInterval{50};

    // A peer has sent something on this descriptor. `who` is for the log.
    void watch(int descriptor, std::uint64_t inode, const std::string& who, Time now);

    // To be called once a second: checks all connections, and cuts those that have not moved for
    // kStuck.
    void tick(Time now);
    // Checks those again that have something waiting, when it is time.
    void check_suspects(Time now);
    [[nodiscard]] std::optional<Time> next_check() const {
        return suspects_.empty() ? std::nullopt : std::optional(next_check_);
    }

    [[nodiscard]] std::uint64_t cuts() const { return cuts_; }

private:
    struct Peer {
        std::uint64_t inode = 0;
        std::string who;
        int unread = 0;            // bytes in the kernel's queue
        std::uint32_t handed = 0;  // to the kernel, as inbound.h counts them
        Time moved;
    };
    enum class Queue : std::uint8_t { Moves, Waits, Closed };
    static Queue check(int descriptor, Peer& peer, Time now);
    void cut(const Peer& peer, int descriptor, Time now);

    std::map<int, Peer> peers_;
    std::set<int> suspects_;  // that have not moved since the last tick
    Time next_check_;
    std::uint64_t cuts_ = 0;
    PeerLog log_;
};

}  // namespace fatwal::sidecar
