#include "portal/process/pause.h"

#include <gtest/gtest.h>

namespace fatwal::process {
namespace pause_tests {

using namespace std::chrono_literals;

constexpr Pause::Tick kStart{};

TEST(Pause, DoublesUpToAMinute) {
    Pause pause;
    for (Pause::Duration expected = 250ms; expected < 60s; expected *= 2)
        EXPECT_EQ(pause.failed(kStart), expected);
    EXPECT_EQ(pause.failed(kStart), 60s);
    EXPECT_EQ(pause.failed(kStart), 60s);
}

TEST(Pause, BeginsAgainAfterAMinuteThatWasWell) {
    Pause pause;
    (void)pause.failed(kStart);
    (void)pause.failed(kStart);
    pause.well(kStart + 1s);
    pause.well(kStart + 50s);  // it has been well since the first
    EXPECT_EQ(pause.failed(kStart + 61s), 250ms);
}

TEST(Pause, GrowsOnIfItFailsSoonAfterItWasWell) {
    Pause pause;
    (void)pause.failed(kStart);
    pause.well(kStart);
    EXPECT_EQ(pause.failed(kStart + 59s), 500ms);
    // What was well before the failure says nothing about what comes after it.
    EXPECT_EQ(pause.failed(kStart + 120s), 1s);
}

}  // namespace pause_tests
}  // namespace fatwal::process
