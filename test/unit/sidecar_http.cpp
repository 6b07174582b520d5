#include <gtest/gtest.h>

#include "sidecar/http/position_ages.h"

namespace fatwal::sidecar {
namespace http_tests {

using namespace std::chrono_literals;

TEST(PositionAges, AreThoseOfTheFirstNoteBehind) {
    PositionAges ages;
    PositionAges::Time now{1h};
    EXPECT_EQ(ages.behind(0, now), 0s);
    ages.note(100, now);
    ages.note(200, now + 10s);
    ages.note(200, now + 20s);
    ages.note(300, now + 30s);
    EXPECT_EQ(ages.behind(300, now + 40s), 0s) << "nothing lies behind it";
    EXPECT_EQ(ages.behind(299, now + 40s), 10s);
    EXPECT_EQ(ages.behind(200, now + 40s), 10s);
    EXPECT_EQ(ages.behind(199, now + 40s), 30s);
    EXPECT_EQ(ages.behind(100, now + 40s), 30s);
    EXPECT_EQ(ages.behind(0, now + 40s), 40s) << "what came before counts from the first note";
}

TEST(PositionAges, AnotherStreamBeginsAgain) {
    PositionAges ages;
    PositionAges::Time now{1h};
    ages.note(1000, now);
    ages.note(50, now + 10s);
    EXPECT_EQ(ages.behind(20, now + 11s), 1s);
    EXPECT_EQ(ages.behind(500, now + 11s), 0s);
}

TEST(PositionAges, OfALongTimeStayAndAreBounded) {
    PositionAges ages;
    const PositionAges::Time begun{1h};
    constexpr int kSeconds = 100'000;
    for (int second = 0; second < kSeconds; ++second)
        ages.note(static_cast<wire::Lsn>(second) + 1, begun + std::chrono::seconds(second));
    const auto now = begun + std::chrono::seconds(kSeconds);
    EXPECT_EQ(ages.behind(0, now), std::chrono::seconds(kSeconds));
    // The newest are exact, and an old one is wrong by less than what was thinned out around it.
    EXPECT_EQ(ages.behind(kSeconds - 1, now), 1s);
    const auto half = ages.behind(kSeconds / 2, now);
    EXPECT_NEAR(static_cast<double>(std::chrono::duration_cast<std::chrono::seconds>(half).count()),
                kSeconds / 2.0, kSeconds / 2.0 / PositionAges::kPart);
}

}  // namespace http_tests
}  // namespace fatwal::sidecar
