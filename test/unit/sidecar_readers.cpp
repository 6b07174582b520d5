// What stands between the database and slow readers: spools and their bound, peers that are stuck,
// Postgres's clock.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sidecar/delivery/spool.h"
#include "sidecar/failure.h"
#include "sidecar/postgres/server_clock.h"
#include "sidecar/subscribers/descriptors.h"
#include "sidecar/subscribers/inbound.h"
#include "sidecar/subscribers/reply_window.h"
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

// Both ends of a connection, the first accepted as libzmq does it: in a thread of its own, as that
// thread's reading and sending is counted.
class PeerConnection {
public:
    PeerConnection() {
        const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        // The kernel chooses an abstract name.
        EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
        EXPECT_EQ(listen(listener, 1), 0);
        socklen_t length = sizeof address;
        getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
        ends[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        EXPECT_EQ(connect(ends[1], reinterpret_cast<sockaddr*>(&address), length), 0);
        std::thread([&] { ends[0] = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK); }).join();
        close(listener);
    }
    ~PeerConnection() {
        for (const int end : ends) close(end);
    }
    PeerConnection(const PeerConnection&) = delete;
    PeerConnection& operator=(const PeerConnection&) = delete;

    std::array<int, 2> ends{-1, -1};
};

// One whose writer keeps it full, as libzmq does.
class StuckPeersTest : public testing::Test {
protected:
    Descriptors descriptors_;
    PeerConnection connection_;
    const std::array<int, 2>& ends_ = connection_.ends;
    StuckPeers peers_;
    StuckPeers::Time now_ = StuckPeers::Time() + 1h;

    void SetUp() override { peers_.watch(ends_[0], inbound::inode_of_peer(ends_[0]), "1", now_); }
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

class ReplyWindowTest : public testing::Test {
protected:
    ReplyWindow::Kept ask(const PeerConnection& connection, const std::string& identity,
                          const std::string& credential = {}) {
        Request request{{identity, 1, {credential, credential}}, wire::SnapshotRequest{}};
        return window_.keep(request, connection.ends[0], inbound::inode_of_peer(connection.ends[0]),
                            now_);
    }
    // libzmq hands so many bytes to the kernel, and the peer reads them.
    static void hand_over(const PeerConnection& connection, std::size_t bytes) {
        std::thread([&] {
            // Makes this thread one of libzmq's.
            (void)accept4(-1, nullptr, nullptr, 0);
            std::string block(65'536, 'x');
            while (bytes > 0) {
                const ssize_t sent =
                    send(connection.ends[0], block.data(), std::min(bytes, block.size()), 0);
                if (sent > 0) bytes -= static_cast<std::size_t>(sent);
                while (read(connection.ends[1], block.data(), block.size()) > 0) continue;
            }
        }).join();
    }
    // How many come to their turn now.
    int turns() {
        now_ += ReplyWindow::kInterval;
        int count = 0;
        while (window_.next(now_)) ++count;
        return count;
    }

    Descriptors descriptors_;
    ReplyWindow window_;
    ReplyWindow::Time now_ = ReplyWindow::Time() + 1h;
};

TEST_F(ReplyWindowTest, ARequestWaitsUntilEarlierRepliesAreRead) {
    const PeerConnection connection;
    EXPECT_EQ(ask(connection, "a"), ReplyWindow::Kept::No);
    window_.sent("a", ReplyWindow::kBytes + 1);
    EXPECT_EQ(ask(connection, "a"), ReplyWindow::Kept::Waits)
        << "nothing is in the kernel yet: libzmq has it all";
    now_ += 1h;
    EXPECT_EQ(turns(), 0);
    hand_over(connection, ReplyWindow::kBytes);
    EXPECT_EQ(turns(), 0) << "one byte is libzmq's";
    hand_over(connection, 100);
    EXPECT_EQ(turns(), 1);
    EXPECT_FALSE(window_.waiting());
}

TEST_F(ReplyWindowTest, ACredentialHasAWindowForAllItsConnections) {
    constexpr std::size_t kEach = ReplyWindow::kBytes - 1;
    std::deque<PeerConnection> connections(ReplyWindow::kBytesOfCredential / kEach + 2);
    for (std::size_t i = 0; i + 1 < connections.size(); ++i) {
        EXPECT_EQ(ask(connections[i], std::to_string(i), "c"), ReplyWindow::Kept::No);
        window_.sent(std::to_string(i), kEach);
    }
    EXPECT_EQ(ask(connections.back(), "last", "c"), ReplyWindow::Kept::Waits);
    const PeerConnection anothers;
    EXPECT_EQ(ask(anothers, "another's", "d"), ReplyWindow::Kept::No);
    EXPECT_EQ(turns(), 0);
    hand_over(connections.front(), kEach);
    window_.tick(now_);
    EXPECT_EQ(turns(), 1);
}

TEST_F(ReplyWindowTest, WhatWaitsIsBounded) {
    const PeerConnection connection;
    EXPECT_EQ(ask(connection, "a"), ReplyWindow::Kept::No);
    window_.sent("a", ReplyWindow::kBytes + 1);
    std::size_t waiting = 0;
    while (ask(connection, "a") == ReplyWindow::Kept::Waits) ++waiting;
    EXPECT_GE(waiting, 10'000U);
    EXPECT_LE(waiting * sizeof(Request), ReplyWindow::kWaitingBytes);
}

TEST_F(ReplyWindowTest, OneWithAKeyThatReadsNothingIsCut) {
    const PeerConnection local;
    const PeerConnection keyed;
    for (const auto& [connection, credential] :
         {std::pair(&local, ""), std::pair(&keyed, "credential")}) {
        EXPECT_EQ(ask(*connection, credential, credential), ReplyWindow::Kept::No);
        window_.sent(credential, 1000);
        EXPECT_EQ(send(connection->ends[0], "x", 1, 0), 1);
    }
    window_.tick(now_);
    window_.tick(now_ += ReplyWindow::kStuck - 1s);
    EXPECT_EQ(send(keyed.ends[1], "x", 1, MSG_NOSIGNAL), 1);
    window_.tick(now_ += 1s);
    EXPECT_EQ(send(local.ends[1], "x", 1, MSG_NOSIGNAL), 1);
    EXPECT_EQ(send(keyed.ends[1], "x", 1, MSG_NOSIGNAL), -1);
}

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
