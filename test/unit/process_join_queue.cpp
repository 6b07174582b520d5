// How long a device waits for its account's rows and its own.
#include "portal/process/join_queue.h"

#include <gtest/gtest.h>

namespace fatwal::process {
namespace join_queue_tests {

using namespace std::chrono_literals;
using Step = JoinQueue::Step;
using Tick = JoinQueue::Tick;

TEST(JoinQueue, NextStep) {
    constexpr auto kTimeout = 10s;
    const Tick begin{1h};
    struct Case {
        const char* what;
        JoinQueue::Rows rows;
        std::optional<Tick> own_until;
        Tick now;
        Step step;
        Tick until_then;
        std::optional<Tick> own_until_then;
    };
    const Tick own_end = begin + JoinQueue::kOwnRowsWithin;
    for (const Case& one : {
             Case{"no rows yet", {}, {}, begin, Step::Wait, begin + 10s, {}},
             Case{"no rows in time", {}, {}, begin + 10s, Step::TryAgain, begin + 10s, {}},
             Case{"in fatwald's queue the time does not run",
                  {false, true, false},
                  {},
                  begin + 1h,
                  Step::Wait,
                  begin + 1h + 10s,
                  {}},
             Case{"all rows", {true, false, true}, {}, begin, Step::Enter, begin + 10s, own_end},
             Case{"its own rows may follow",
                  {true, false, false},
                  {},
                  begin,
                  Step::Wait,
                  begin + 10s,
                  own_end},
             Case{"they have",
                  {true, false, true},
                  own_end,
                  begin + 1s,
                  Step::Enter,
                  begin + 10s,
                  own_end},
             Case{"they have not: it is judged without",
                  {true, false, false},
                  own_end,
                  own_end,
                  Step::Enter,
                  begin + 10s,
                  own_end},
             Case{"the account's time counts only while there are no rows",
                  {true, false, false},
                  {},
                  begin + 11s,
                  Step::Wait,
                  begin + 10s,
                  begin + 11s + JoinQueue::kOwnRowsWithin},
             Case{"rows that are void again",
                  {},
                  own_end,
                  begin + 10s,
                  Step::TryAgain,
                  begin + 10s,
                  own_end},
         }) {
        JoinQueue::Patience patience{begin + 10s, one.own_until};
        EXPECT_EQ(JoinQueue::next_step(patience, one.rows, kTimeout, one.now), one.step)
            << one.what;
        EXPECT_EQ(patience.until, one.until_then) << one.what;
        EXPECT_EQ(patience.own_until, one.own_until_then) << one.what;
    }
}

}  // namespace join_queue_tests
}  // namespace fatwal::process
