// What a device may ask for, and how much may wait for it.
#include <gtest/gtest.h>

#include "portal/process/rate_limit.h"

namespace fatwal::process {
namespace rate_limit_tests {

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

TEST(QueueBudget, WhatIsShownFirstTakesNothingOfAShare) {
    QueueBudget budget(8'000'000);
    budget.add_first(20'000'000);
    EXPECT_EQ(budget.share(), 4'000'000U);
    EXPECT_EQ(budget.used(), 0U);
}

TEST(QueueBudget, AnAccountHasRoomForAnInit) {
    struct Case {
        std::size_t of_account;
        std::size_t of_others;
        bool has_room;
        const char* why;
    };
    // Of 1,000 the account may have 250.
    for (const Case& one : {Case{0, 0, true, "nothing waits"},
                            Case{249, 0, true, "the next may pass the account's limit"},
                            Case{250, 0, false, "the account's limit"},
                            Case{100, 700, false, "half of what is left is 100"},
                            Case{99, 700, true, "it is less than half of what is left"},
                            Case{1, 999, false, "nothing is left"},
                            Case{1, 5000, false, "the others have passed the limit"},
                            Case{0, 5000, true, "one of its devices in any case"}}) {
        QueueBudget process(1000);
        QueueBudget account(250);
        process.add_first(one.of_account + one.of_others);
        account.add_first(one.of_account);
        EXPECT_EQ(account.has_room_for_first(process), one.has_room) << one.why;
    }
}

TEST(QueueBudget, TenantsWhoseDevicesReadNothingLeaveRoomToOthers) {
    QueueBudget process(1000);
    // Each of 20 tenants has as many inits of 10 waiting as it gets room for.
    for (int tenant = 0; tenant < 20; ++tenant) {
        QueueBudget account(250);
        while (account.has_room_for_first(process)) {
            process.add_first(10);
            account.add_first(10);
        }
        EXPECT_LE(account.first(), 250U);
        EXPECT_GE(account.first(), 10U) << "one device in any case";
    }
    EXPECT_LE(process.first(), 1000U + 20 * 10);
}

}  // namespace rate_limit_tests
}  // namespace fatwal::process
