// The timer for instants of a clock.
#include "portal/process/deadline.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <memory>

#include "portal/process/clock.h"

namespace fatwal::process {
namespace deadline_tests {

using namespace std::chrono_literals;
using access::Instant;

TEST(Deadline, AWaitIsNeitherNegativeNorWithoutEnd) {
    const Instant now = Instant(100s);
    struct Case {
        Instant at;
        std::chrono::microseconds wait;
    };
    for (const auto& [at, wait] :
         {Case{now, 0us}, Case{now - 1h, 0us}, Case{Instant::min(), 0us}, Case{now + 1us, 1us},
          Case{now + 24h, 24h}, Case{now + 25h, 24h}, Case{Instant::max(), 24h}})
        EXPECT_EQ(wait_for(at, now), wait);
}

struct Counted {
    Counted() = default;
    boost::asio::io_context io;
    int times = 0;
    std::unique_ptr<Deadline<access::Tick>> deadline =
        std::make_unique<Deadline<access::Tick>>(io, steady_clock, [this] { ++times; });
};

TEST(Deadline, IsCalledOnceForAnInstantUntilItIsCleared) {
    Counted one;
    const access::Tick at = steady_clock() + 5ms;
    one.deadline->set(at);
    one.deadline->set(at);
    one.io.run();
    EXPECT_EQ(one.times, 1);
    EXPECT_GE(steady_clock(), at);
    one.deadline->set(at);
    one.io.restart();
    one.io.run();
    EXPECT_EQ(one.times, 1) << "it has come, and was not cleared";
    one.deadline->clear();
    one.deadline->set(at);
    one.io.restart();
    one.io.run();
    EXPECT_EQ(one.times, 2);
}

TEST(Deadline, TheLastInstantCounts) {
    Counted one;
    one.deadline->set(steady_clock() + 1h);
    one.deadline->set(steady_clock() + 5ms);
    one.io.run();
    EXPECT_EQ(one.times, 1);
    one.deadline->set(steady_clock());
    one.deadline->set(std::nullopt);
    one.io.restart();
    one.io.run();
    EXPECT_EQ(one.times, 1);
}

// cancel() does not reach a handler that is in the loop's queue already.
TEST(Deadline, NothingIsCalledAfterItsEndOrForWhatWasReplaced) {
    Counted one;
    one.deadline->set(steady_clock());
    boost::asio::post(one.io, [&] { one.deadline.reset(); });
    one.io.run();
    EXPECT_LE(one.times, 1);
    const int before = one.times;
    one.deadline =
        std::make_unique<Deadline<access::Tick>>(one.io, steady_clock, [&] { ++one.times; });
    one.deadline->set(steady_clock());
    one.deadline.reset();
    one.io.restart();
    one.io.run();
    EXPECT_EQ(one.times, before);
}

TEST(Deadline, MayBeDestroyedByWhatItCalls) {
    boost::asio::io_context io;
    std::unique_ptr<Deadline<access::Instant>> deadline;
    bool was_called = false;
    deadline = std::make_unique<Deadline<access::Instant>>(io, wall_clock, [&] {
        deadline.reset();
        was_called = true;
    });
    deadline->set(wall_clock());
    io.run();
    EXPECT_TRUE(was_called);
}

}  // namespace deadline_tests
}  // namespace fatwal::process
