// What a peer may send on an account's socket: subscriptions and their ends, as many as the
// protocol needs.
//
// libzmq stores each topic that a peer subscribes to, and hands each message to the event loop. So
// a peer that invents topics takes memory, and one that subscribes and cancels takes time from all
// accounts. The protocol needs few: the account's topics, and the marker of each subscriber that is
// attached. A connection has two budgets, which fill again by the second: one for all of its
// messages, one for those that are of no use. Whoever passes one is to be cut off; a subscriber
// comes back by itself, with new budgets. No I/O.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>

namespace fatwal::sidecar {

class SubscriptionGuard {
public:
    using Time = std::chrono::steady_clock::time_point;
    // A group that follows many accounts on one shared socket subscribes twice for each, and ends
    // both. `attached` is the number of subscribers of the process.
    static constexpr std::uint32_t kMessages = 4096;
    static constexpr std::uint32_t kMessagesForEach = 4;
    static constexpr std::uint32_t kMessagesPerSecond = 1000;
    // More than libzmq can still deliver of a connection that is gone (the receive high-water
    // mark), whose descriptor may be another's by then.
    static constexpr std::uint32_t kUseless = 512;
    static constexpr std::uint32_t kUselessPerSecond = 1;

    // A message of the connection with this descriptor and inode. False: it is to be cut off.
    bool admit(int descriptor, std::uint64_t inode, bool useful, std::size_t attached, Time now);
    // Forgets connections that sent nothing for a minute.
    void tick(Time now);

private:
    struct Budgets {
        std::uint64_t inode = 0;
        std::uint64_t messages = 0;  // used of the budget
        std::uint64_t useless = 0;
        Time since;  // budgets are filled up to here, in whole seconds
        Time last;
    };
    std::map<int, Budgets> connections_;  // by descriptor
};

}  // namespace fatwal::sidecar
