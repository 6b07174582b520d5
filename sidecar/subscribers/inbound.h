// What libzmq accepts, reads and sends, bounded where libzmq has no bound.
//
// How: libzmq.so calls accept4(), accept() and recv() by name, so the definitions in inbound.cpp,
// in the executable, are the ones that it finds; they pass on to the C library's. Why so:
// - At the end of the file descriptors libzmq's accept ends the process (an assertion). No count of
//   ours is in time: peers can connect faster than any loop counts. The number of a new descriptor
//   is the lowest that is free, so a number beyond a bound says, exactly and at once, that nearly
//   all below it are in use. That connection is closed again, which libzmq takes for a peer that
//   gave up.
// - libzmq bounds the size of each part of a message, and the number of whole messages that wait,
//   but not the parts of one message: a peer that never ends one fills the memory. So bytes are
//   counted between two whole messages of a connection; beyond the bound it reads as closed.
// - A peer that has an address and no key costs the proof of it, some 0.3 ms of the I/O thread, and
//   may try as often as it likes. So connections over the network are accepted at a bounded rate,
//   for each address (of IPv6 each network of 64 bits) and in all; those beyond it are closed as
//   they come, before libzmq has done anything for them. A subscriber tries again by itself.
// - Peers with keys share descriptors and memory with local ones, and do not trust each other. So
//   their connections have a bound of their own, their unread bytes have one in all, and one that
//   says nothing for kSilent makes room for another when all places are taken.
//
// send() is passed on in the same way, and counted: libzmq does not tell what of its messages a
// peer has taken, and by this count and the kernel's queue (SIOCOUTQ) it is known (reply_window.h).
//
// close() is passed on in the same way, so that it is known exactly which descriptors are
// connections of peers: a number that is read from a message may be another's by now, Postgres's
// for example, and only a peer's connection is ever shut down (shut_down()).
//
// Only I/O threads of libzmq accept, and what that thread receives is from connections that it
// accepted: recv() by any other thread (libpq's) is passed on unseen.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fatwal::sidecar::inbound {

// More than 1,000 requests (libzmq's own bound of those that wait), of the size that requests have.
inline constexpr std::uint32_t kUnreadBytes = 8 * 1024 * 1024;
// Of a peer with a key: the 128 requests that libzmq reads ahead of us, each of the greatest size.
inline constexpr std::uint32_t kKeyedUnreadBytes = 1024 * 1024;
// Of all of them. What a connection has below kFreeBytes is not counted, and is not cut for what
// others have.
inline constexpr std::int64_t kKeyedUnreadTotal = 64LL * 1024 * 1024;
inline constexpr std::uint32_t kFreeBytes = 16 * 1024;
// A connection with a key says something at once: a request, or a subscription.
inline constexpr std::chrono::seconds kSilent{10};

// Connections whose descriptors would have this number or a greater one are closed as they come.
// Before the first socket is bound, once. Until then nothing is bounded.
void set_bound(std::size_t descriptors);
// Peers with keys come over the network, and to socket files of these paths; at most so many of
// them are connected, and at most half of the bound above. At most half of those are ones of which
// nothing was read yet. Gives how many it is. Before a socket for them is bound.
std::size_t set_keyed(std::size_t most, std::vector<std::string> paths);

// Connections over the network that are accepted at once, and then each second.
struct Rate {
    std::uint32_t burst = 0;
    std::uint32_t per_second = 0;
};
inline constexpr Rate kOfAddress{1000, 200};
inline constexpr Rate kOfAll{4000, 500};

// A whole message of this connection was read (its ZMQ_SRCFD).
void read_from(int descriptor);
// How many bytes libzmq has handed to the kernel for this connection, modulo 2^32.
[[nodiscard]] std::uint32_t handed_over(int descriptor);

// The inode of a peer's connection, by which it is known again when its descriptor may be
// another's; 0 when the descriptor is no peer's connection, or is closed.
[[nodiscard]] std::uint64_t inode_of_peer(int descriptor);
// Bytes of this peer's connection that the kernel has and the peer has not read; 0 when it is
// closed.
[[nodiscard]] std::uint32_t unread(int descriptor, std::uint64_t inode);
// Ends the connection for both ends, if it is this peer's still. libzmq then finds it broken.
void shut_down(int descriptor, std::uint64_t inode);

// Connections that were closed because of set_bound(), or because of unread bytes.
[[nodiscard]] std::uint64_t refused();
[[nodiscard]] std::uint64_t cut();
// Connections with keys that were closed because of set_keyed().
[[nodiscard]] std::uint64_t refused_keyed();
// Connections that were closed as they came too often.
[[nodiscard]] std::uint64_t throttled();

// How many of what comes at a rate are let in: a bucket that fills with time.
class Bucket {
public:
    // `now`: in milliseconds, of any clock.
    [[nodiscard]] bool take(const Rate& rate, std::int64_t now) {
        const std::int64_t most = std::int64_t{rate.burst} * 1000;
        if (now > filled_) {
            left_ = filled_ == 0 ? most : std::min(most, left_ + (now - filled_) * rate.per_second);
            filled_ = now;
        }
        if (left_ < 1000) return false;
        left_ -= 1000;
        return true;
    }

private:
    std::int64_t filled_ = 0;  // up to then
    std::int64_t left_ = 0;    // in thousandths
};

}  // namespace fatwal::sidecar::inbound
