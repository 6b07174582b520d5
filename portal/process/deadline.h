// One timer for the times of a clock of ours: Deadline<access::Instant> or Deadline<access::Tick>.
//
// What a channel waits for is an instant of wall_clock(), what a batch of flows or a relay waits
// for a tick of steady_clock(), and it changes with each thing that happens. set() is called after
// each of them with the instant that counts now, which costs nothing while that is the one it was.
// When the clock has come to it, `due` is called from the loop. `due` does what has become due and
// calls clear(), then set() with what is next. Until clear() the same instant is not armed again,
// so work that is put off (an account that is in the middle of a transaction) is not asked for
// twice.
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

inline constexpr std::chrono::hours kLongestWait{24};

template <class Time>
class Deadline {
public:
    // `clock`: by which the times are meant. `due` is not called after this is destroyed.
    Deadline(boost::asio::io_context& io, Time (*clock)(), std::function<void()> due);
    ~Deadline();
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    // Replaces the time that was set before. With nullopt `due` is not called.
    void set(std::optional<Time> at);
    void clear() { set(std::nullopt); }

private:
    struct Timer;  // outlives this while a handler of it is queued
    std::shared_ptr<Timer> timer_;
    Time (*clock_)();
    std::optional<Time> at_;
};

// How long to wait at `now` for `at`: not less than nothing, not more than kLongestWait.
template <class Time>
[[nodiscard]] std::chrono::microseconds wait_for(Time at, Time now);

extern template class Deadline<access::Instant>;
extern template class Deadline<access::Tick>;
extern template std::chrono::microseconds wait_for(access::Instant at, access::Instant now);
extern template std::chrono::microseconds wait_for(access::Tick at, access::Tick now);

}  // namespace fatwal::process
