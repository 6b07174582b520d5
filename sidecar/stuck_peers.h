// Connections of subscribers on which nothing moves although something waits to be read. What waits
// costs fatwald memory (up to the high-water mark), so such a connection is cut. The subscriber
// connects again by itself when it reads again, and has replayed what it missed.
//
// Progress is what the kernel tells: how many bytes wait in the socket. A slow reader's queue is
// full at most moments, as libzmq fills it up again at once, so the same number at two moments a
// second apart does not mean that nothing moved. Between two ticks a connection that has something
// waiting is therefore checked every kLookInterval, until one number differs: whoever reads at
// all makes the queue shrink for a moment. Memory of the kernel's comes in pieces of up to 32 KiB,
// so the slowest reader that is seen to move reads that much within kStuck, 8 kB a second.
//
// A connection is known by its descriptor and its inode, as the number may be another's by now.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace fatwal::sidecar {

class StuckPeers {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kStuck{4};
    static constexpr std::chrono::milliseconds kLookInterval{50};

    // A peer has sent something on this descriptor. `who` is for the log.
    void heard_of(int descriptor, std::uint64_t inode, const std::string& who, Time now);

    // Checks all of them, once a second.
    void tick(Time now);
    // Checks those again that have something waiting, when it is time.
    void look(Time now);
    [[nodiscard]] std::optional<Time> next_look() const {
        return suspects_.empty() ? std::nullopt : std::optional(next_look_);
    }

    [[nodiscard]] std::uint64_t cuts() const { return cuts_; }

private:
    struct Peer {
        std::uint64_t inode = 0;
        std::string who;
        int unread = 0;  // bytes in the kernel's queue
        Time moved;
    };
    enum class Seen : std::uint8_t { Moves, Waits, Gone };
    static Seen check(int descriptor, Peer& peer, Time now);
    void cut(const Peer& peer, int descriptor);

    std::map<int, Peer> peers_;
    std::set<int> suspects_;  // that have not moved since the last tick
    Time next_look_;
    std::uint64_t cuts_ = 0;
};

}  // namespace fatwal::sidecar
