// What stands between the database and slow readers: spools and their bound, peers that are stuck,
// Postgres's clock.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "sidecar/delivery/spool.h"
#include "sidecar/failure.h"
#include "sidecar/postgres/server_clock.h"
#include "sidecar/subscribers/descriptors.h"
#include "sidecar/subscribers/stuck_peers.h"

namespace fatwal::sidecar {
namespace readers_tests {

using namespace std::chrono_literals;

std::string folder() { return testing::TempDir(); }

TEST(Spool, MessagesInMemoryAndInTheFileAreOneSequence) {
    SpoolBudget budget(1U << 20U);
    std::vector<std::string> written;
    {
        Spool spool(folder(), budget);
        for (int i = 0; i < 200; ++i) {
            written.emplace_back(static_cast<std::size_t>(i * 7), static_cast<char>('a' + i % 26));
            spool.append(wire::as_bytes(written.back()));
        }
        EXPECT_GT(spool.size(), Spool::kMemoryBytes);
        EXPECT_EQ(budget.used(), spool.size());
        std::vector<std::string> read;
        for (std::uint64_t offset = 0; offset < spool.size();) {
            auto part = spool.read(offset, 1000);
            ASSERT_TRUE(part);
            ASSERT_FALSE(part->messages.empty());
            for (const auto& message : part->messages) read.push_back(message.to_string());
            offset = part->next_offset;
        }
        EXPECT_EQ(read, written);
        EXPECT_FALSE(spool.read(1, 1000)) << "no message begins there";
    }
    EXPECT_EQ(budget.used(), 0U);
}

TEST(Spool, AllOfThemShareABound) {
    SpoolBudget budget(1000);
    Spool first(folder(), budget);
    first.append(wire::as_bytes(std::string(600, 'x')));
    {
        Spool second(folder(), budget);
        try {
            second.append(wire::as_bytes(std::string(600, 'x')));
            FAIL() << "beyond the bound";
        } catch (const Failure& failure) {
            EXPECT_FALSE(failure.fatal);
            EXPECT_NE(failure.detail.find("604 of 1000"), std::string::npos) << failure.detail;
            EXPECT_NE(failure.hint.find("--spool-bytes"), std::string::npos);
        }
        EXPECT_EQ(second.size(), 0U);
        second.append(wire::as_bytes(std::string(300, 'x')));
    }
    EXPECT_EQ(budget.used(), 604U);
    EXPECT_FALSE(budget.reserve(~std::uint64_t{0}));
}

// Both ends of a connection whose writer keeps it full, as libzmq does.
class StuckPeersTest : public testing::Test {
protected:
    std::array<int, 2> ends_{-1, -1};
    StuckPeers peers_;
    StuckPeers::Time now_ = StuckPeers::Time() + 1h;

    void SetUp() override {
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
        peers_.watch(ends_[0], inode_of(ends_[0]), "1", now_);
    }
    void TearDown() override {
        for (const int end : ends_) close(end);
    }
    void fill() {
        const std::string bytes(8192, 'x');
        while (send(ends_[0], bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) continue;
    }
    void read_some(std::size_t bytes) {
        std::string into(bytes, '\0');
        ASSERT_GT(recv(ends_[1], into.data(), into.size(), 0), 0);
    }
    [[nodiscard]] bool is_cut() {
        // What was sent is still there; then the end.
        std::string into(1U << 20U, '\0');
        while (recv(ends_[1], into.data(), into.size(), 0) > 0) continue;
        return recv(ends_[1], into.data(), into.size(), 0) == 0;
    }
};

TEST_F(StuckPeersTest, OneThatReadsSlowlyIsNotCutThoughItsQueueIsAlwaysFullAtATick) {
    for (int second = 0; second < 20; ++second) {
        fill();
        peers_.tick(now_);
        ASSERT_TRUE(peers_.next_check());
        now_ += 500ms;
        read_some(65'536);
        peers_.check_suspects(now_);
        now_ += 500ms;
    }
    EXPECT_EQ(peers_.cuts(), 0U);
}

TEST_F(StuckPeersTest, OneThatReadsNothingIsCut) {
    fill();
    for (int second = 0; second <= 4; ++second, now_ += 1s) {
        EXPECT_EQ(peers_.cuts(), 0U);
        peers_.tick(now_);
        peers_.check_suspects(now_ + 500ms);
    }
    peers_.tick(now_);
    EXPECT_EQ(peers_.cuts(), 1U);
    EXPECT_TRUE(is_cut());
}

TEST_F(StuckPeersTest, AnIdleOneIsNotCheckedBetweenTheTicks) {
    peers_.tick(now_);
    EXPECT_FALSE(peers_.next_check());
    for (int second = 0; second < 10; ++second) peers_.tick(now_ += 1s);
    EXPECT_EQ(peers_.cuts(), 0U);
}

TEST(ServerClock, IsTheServersAndMovesOnByOurs) {
    ServerClock clock;
    const auto now = ServerClock::Time() + 5h;
    EXPECT_EQ(clock.seconds(now), 0U) << "not known";
    clock.heard(1000 * 1'000'000LL, now);
    EXPECT_EQ(clock.seconds(now + 5s), 1005U);
    clock.heard(1000 * 1'000'000LL, now + 10s);
    EXPECT_EQ(clock.seconds(now + 10s), 1010U) << "it was read late";
    clock.heard(1030 * 1'000'000LL, now + 20s);
    EXPECT_EQ(clock.seconds(now + 20s), 1030U);
    clock.heard(500 * 1'000'000LL, now + 100s);
    EXPECT_EQ(clock.seconds(now + 100s), 500U) << "it was set back";
}

}  // namespace readers_tests
}  // namespace fatwal::sidecar
