// The thread that everything of the database runs on: when it wakes, when it ends, what it
// survives.
#include "portal/process/background_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

namespace fatwal::process {
namespace background_thread_tests {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPause = 20ms;  // after an exception

template <class Condition>
void until(Condition condition) {
    const auto end = Clock::now() + 60s;
    while (!condition()) {
        ASSERT_LT(Clock::now(), end);
        std::this_thread::sleep_for(1ms);
    }
}

// Takes in what it is given, one after the other.
struct Adder {
    Adder() {
        thread.start(
            "add",
            [this] {
                while (thread.wait_until(BackgroundThread::kNever,
                                         [this] { return !given.empty(); })) {
                    const int next = thread.with_lock([this] { return given.front(); });
                    if (next == fails_at && failures++ < 2) throw std::bad_alloc();
                    thread.with_lock([this] { given.erase(given.begin()); });
                    sum += next;
                }
                ended = true;
            },
            kPause);
    }
    void give(int number) {
        thread.change([&] { given.push_back(number); });
    }

    std::vector<int> given;
    std::atomic<int> sum = 0;
    std::atomic<int> failures = 0;
    std::atomic<int> fails_at = 0;
    std::atomic<bool> ended = false;
    BackgroundThread thread;
};

TEST(BackgroundThread, WakesForWhatItIsGiven) {
    Adder adder;
    for (int i = 1; i <= 100; ++i) adder.give(i);
    until([&] { return adder.sum == 5050; });
}

TEST(BackgroundThread, AnExceptionEndsNeitherTheThreadNorItsWork) {
    Adder adder;
    adder.fails_at = 2;
    for (int i = 1; i <= 3; ++i) adder.give(i);
    until([&] { return adder.sum == 6; });
    EXPECT_EQ(adder.failures, 3) << "it threw twice, and began again each time";
}

TEST(BackgroundThread, StopsWhileItSleepsAndBetweenTwoAttempts) {
    Adder sleeping;
    sleeping.thread.stop();
    EXPECT_TRUE(sleeping.ended);
    BackgroundThread failing;
    std::atomic<int> attempts = 0;
    failing.start(
        "failing",
        [&] {
            ++attempts;
            throw std::runtime_error("never");
        },
        kPause);
    until([&] { return attempts >= 1; });
    failing.stop();
    const int then = attempts;
    std::this_thread::sleep_for(3 * kPause);
    EXPECT_EQ(attempts, then);
}

TEST(BackgroundThread, AnInstantEndsItsSleep) {
    std::atomic<int> times = 0;
    BackgroundThread thread;
    thread.start("count", [&] {
        while (thread.sleep_until(Clock::now() + 1ms)) ++times;
    });
    until([&] { return times >= 3; });
}

}  // namespace background_thread_tests
}  // namespace fatwal::process
