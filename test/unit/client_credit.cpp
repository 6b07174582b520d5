#include <gtest/gtest.h>

#include "client/src/credit.h"

namespace fatwal {
namespace credit_tests {

using namespace std::chrono_literals;
using client::next_credit;

constexpr std::uint32_t kMiB = 1 << 20;

TEST(Credit, DoublesAfterAFullReplyThatTookLong) {
    EXPECT_EQ(next_credit(kMiB, kMiB, 51ms), 2 * kMiB);
    EXPECT_EQ(next_credit(kMiB, kMiB + 9000, 1s), 2 * kMiB);
    EXPECT_EQ(next_credit(20 * kMiB, 20 * kMiB, 1s), 32 * kMiB);
}

TEST(Credit, StaysOtherwise) {
    EXPECT_EQ(next_credit(kMiB, kMiB, 50ms), kMiB);
    EXPECT_EQ(next_credit(kMiB, kMiB - 1, 1s), kMiB);
    EXPECT_EQ(next_credit(kMiB, 0, 1s), kMiB);
    EXPECT_EQ(next_credit(32 * kMiB, 32 * kMiB, 1s), 32 * kMiB);
    // More than the most was asked for by the option: fatwald takes it for the most.
    EXPECT_EQ(next_credit(40 * kMiB, 40 * kMiB, 1s), 40 * kMiB);
}

TEST(Credit, OfLessThanTheLeastCountsAsTheLeast) {
    EXPECT_EQ(next_credit(1, 65'535, 1s), 1U);
    EXPECT_EQ(next_credit(1, 65'536, 1s), 131'072U);
}

}  // namespace credit_tests
}  // namespace fatwal
