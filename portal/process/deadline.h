// One timer for instants of a clock of ours.
//
// What a channel, a batch of flows or a relay waits for is an instant of wall_clock() or
// steady_clock(), and it changes with each thing that happens. set() is called after each of them
// with the instant that counts now, which costs nothing while that is the one it was. When the
// clock has come to it, `due` is called from the loop. `due` does what has become due and calls
// clear(), then set() with what is next. Until clear() the same instant is not armed again, so work
// that is put off (an account that is in the middle of a transaction) is not asked for twice.
//
// A wait has a bound, as an instant can be further away than a timer's numbers reach: then `due` is
// called although nothing is due, and the next set() waits on. The wall's clock can be set while
// the timer runs; whoever uses that clock calls clear() and set() then. One thread: the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "portal/access/basics.h"

namespace fatwal::process {

class Deadline {
public:
    static constexpr std::chrono::hours kLongestWait{24};

    // `clock`: by which the instants are meant. `due` is not called after this is destroyed.
    Deadline(boost::asio::io_context& io, access::Time (*clock)(), std::function<void()> due);
    ~Deadline();
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    // In place of what was set. Nothing: never.
    void set(std::optional<access::Time> at);
    void clear() { set(std::nullopt); }

private:
    struct Timer;  // outlives this while a handler of it is queued
    std::shared_ptr<Timer> timer_;
    access::Time (*clock_)();
    std::optional<access::Time> at_;
};

// How long to wait at `now` for `at`: not less than nothing, not more than kLongestWait.
[[nodiscard]] std::chrono::microseconds wait_for(access::Time at, access::Time now);

}  // namespace fatwal::process
