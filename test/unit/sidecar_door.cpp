#include <gtest/gtest.h>

#include <string>

#include "sidecar/log_text.h"
#include "sidecar/postgres/subscriber_row.h"
#include "sidecar/subscribers/subscription_guard.h"

namespace fatwal::sidecar {
namespace door_tests {

using namespace std::chrono_literals;

struct GuardTest : testing::Test {
    bool admit(bool useful, std::uint64_t inode = 1, std::size_t attached = 0) {
        return guard.admit(7, inode, useful, attached, now);
    }
    // How many messages pass before one does not.
    std::uint32_t admitted(bool useful, std::size_t attached = 0) {
        std::uint32_t count = 0;
        while (admit(useful, 1, attached)) ++count;
        return count;
    }

    SubscriptionGuard guard;
    SubscriptionGuard::Time now{1h};
};

TEST_F(GuardTest, BoundsAllMessagesByTheNumberOfSubscribers) {
    EXPECT_EQ(admitted(true), SubscriptionGuard::kMessages);
    now += 10s;
    EXPECT_TRUE(admit(true)) << "it fills again";
    EXPECT_TRUE(guard.admit(8, 1, true, 0, now)) << "another connection has its own";
}

TEST_F(GuardTest, AHerdOnOneConnectionPasses) {
    EXPECT_EQ(admitted(true, 10'000),
              SubscriptionGuard::kMessages + 10'000 * SubscriptionGuard::kMessagesForEach);
}

TEST_F(GuardTest, BoundsMessagesOfNoUse) {
    EXPECT_EQ(admitted(false), SubscriptionGuard::kUseless);
    EXPECT_FALSE(admit(true));
    EXPECT_TRUE(admit(true, 2)) << "the descriptor is another connection's by now";
}

TEST(LogBudgetTest, LeavesLinesOutAndSaysHowMany) {
    LogBudget budget;
    LogBudget::Time now{1h};
    std::size_t written = 0;
    for (int i = 0; i < 10'000; ++i)
        if (budget.admits(100, now)) ++written;
    EXPECT_EQ(written, LogBudget::kBurstBytes / 100);
    EXPECT_EQ(budget.left_out(now), 10'000 - written);
    EXPECT_EQ(budget.left_out(now + 1min), std::nullopt);
    written = 0;
    for (int i = 0; i < 10'000; ++i, now += 1ms)
        if (budget.admits(100, now)) ++written;
    EXPECT_LE(written, 10 * LogBudget::kBytesPerSecond / 100 + 1);
    EXPECT_GT(written, 0U);
}

TEST(LogTextTest, StaysOnOneLineInQuotes) {
    EXPECT_EQ(log_text("w-1"), "\"w-1\"");
    EXPECT_EQ(log_text("a\nb\x1b[31m\"\xff").find('\n'), std::string::npos);
    EXPECT_EQ(log_text("a\nb\x1b[31m\"\xff").find('\x1b'), std::string::npos);
}

TEST(DurableSubscriberRow, IsReadBackAsItWasWritten) {
    const auto read = durable_subscriber("3", "42", "w", "0/10");
    const auto& row = std::get<DurableSubscriber>(read);
    EXPECT_EQ(row.account, wire::AccountKey::from_text("42"));
    EXPECT_EQ(row.acknowledged, 0x10U);
    EXPECT_EQ(std::get<DurableSubscriber>(durable_subscriber("0", "", "w", "0/10")).account,
              wire::AccountKey());
}

TEST(DurableSubscriberRow, ThatNamesNoSubscriberSaysWhy) {
    const auto skipped = [](const char* kind, const std::string& account, const std::string& name) {
        return std::holds_alternative<std::string>(durable_subscriber(kind, account, name, "0/1"));
    };
    EXPECT_TRUE(skipped("4", std::string(300, 'x'), "w"));
    EXPECT_TRUE(skipped("4", "42", "w"));
    EXPECT_TRUE(skipped("3", "acme", "w"));
    EXPECT_TRUE(skipped("9", "acme", "w"));
    EXPECT_TRUE(skipped("0", "acme", "w"));
    EXPECT_TRUE(skipped("4", "a\nb", "w"));
    EXPECT_TRUE(skipped("4", "acme", "a\nb"));
    EXPECT_TRUE(skipped("4", "acme", ""));
}

}  // namespace door_tests
}  // namespace fatwal::sidecar
