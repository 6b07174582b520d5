// What a device may ask for, and how much may wait for it.
#include <gtest/gtest.h>

#include "worker/rate_limit.h"

namespace fatwal::worker {
namespace {

using namespace std::chrono_literals;
const Bucket::Tick kStart = Bucket::Tick{} + 1h;

int taken(RateLimit& session, RateLimit& account, int attempts, Bucket::Tick now) {
    int out = 0;
    for (int i = 0; i < attempts; ++i) out += RateLimit::take_flow(session, account, now) ? 1 : 0;
    return out;
}

TEST(RateLimit, WhatWasSavedUpAndThenTheRate) {
    RateLimit session({10, 2, 1000});
    RateLimit account({1000, 1000, 1e6});
    EXPECT_EQ(taken(session, account, 1000, kStart), 60);
    EXPECT_EQ(taken(session, account, 1000, kStart), 0);
    EXPECT_EQ(taken(session, account, 1000, kStart + 3s), 6);
    EXPECT_EQ(taken(session, account, 1000, kStart + 1h), 60) << "no more is saved up";
}

TEST(RateLimit, AnAccountsDevicesShareItsRate) {
    RateLimit account({1000, 3, 1e6});
    RateLimit one({10, 2, 1000});
    RateLimit other({10, 2, 1000});
    EXPECT_EQ(taken(one, account, 1000, kStart), 60);
    EXPECT_EQ(taken(other, account, 1000, kStart), 30);
    // What the account has not, the session has not been charged for.
    RateLimit next({1000, 1000, 1e6});
    EXPECT_EQ(taken(other, next, 1000, kStart), 30);
}

TEST(RateLimit, MessagesAreCountedAndWeighed) {
    RateLimit account({1000, 1000, 1e6});
    RateLimit session({10, 2, 1000});
    EXPECT_TRUE(RateLimit::take_message(session, account, 29'999, kStart));
    EXPECT_FALSE(RateLimit::take_message(session, account, 2, kStart));
    EXPECT_TRUE(RateLimit::take_message(session, account, 1, kStart));
    EXPECT_FALSE(RateLimit::take_message(session, account, 1, kStart));
    EXPECT_TRUE(RateLimit::take_message(session, account, 900, kStart + 1s));
}

TEST(QueueBudget, AShareShrinksAsTheSumGrows) {
    QueueBudget budget(8'000'000);
    EXPECT_EQ(budget.share(), 4'000'000U);
    budget.add(4'000'000);
    EXPECT_EQ(budget.share(), 2'000'000U);
    budget.add(4'000'000);
    EXPECT_EQ(budget.share(), QueueBudget::kLeast) << "and never less";
    budget.add(1);
    EXPECT_EQ(budget.share(), QueueBudget::kLeast);
    budget.remove(8'000'001);
    EXPECT_EQ(budget.used(), 0U);
}

}  // namespace
}  // namespace fatwal::worker
