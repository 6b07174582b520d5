#include "service/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace fatwal::service {
namespace service_manager_tests {

using namespace std::chrono_literals;

// What systemd listens at.
class Listener {
public:
    explicit Listener(std::string name) : name_(std::move(name)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name_.copy(address.sun_path, sizeof address.sun_path);
        if (name_[0] == '@') address.sun_path[0] = '\0';
        const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
        EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), length), 0);
    }
    ~Listener() {
        close(fd_);
        unlink(name_.c_str());
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    [[nodiscard]] const std::string& name() const { return name_; }
    // The next datagram; empty when there is none.
    [[nodiscard]] std::string next() const {
        std::array<char, 512> buffer{};
        const auto size = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        return size < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
    }

private:
    std::string name_;
    int fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

std::string path() { return testing::TempDir() + "notify-" + std::to_string(getpid()); }

TEST(ServiceManager, TellsItsStateOnce) {
    const Listener systemd(path());
    ServiceManager manager(systemd.name(), std::nullopt);
    manager.ready("waits\nfor it");
    manager.ready("waits\nfor it");
    EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=waits for it");
    EXPECT_EQ(systemd.next(), "");
    manager.ready("streams");
    EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=streams");
    manager.stopping();
    EXPECT_EQ(systemd.next(), "STOPPING=1\nSTATUS=stopping");
}

TEST(ServiceManager, IsReadyAgainAfterReloading) {
    const Listener systemd(path());
    ServiceManager manager(systemd.name(), std::nullopt);
    manager.ready("streams");
    (void)systemd.next();
    manager.reloading();
    EXPECT_TRUE(systemd.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    manager.ready("streams");
    EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=streams");
}

TEST(ServiceManager, ReachesAnAbstractSocket) {
    const Listener systemd("@fatwal-notify-" + std::to_string(getpid()));
    ServiceManager(systemd.name(), std::nullopt).ready("streams");
    EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=streams");
}

TEST(ServiceManager, FeedsTheWatchdogAfterHalfOfItsTime) {
    const Listener systemd(path());
    const auto now = std::chrono::steady_clock::now();
    ServiceManager manager(systemd.name(), 10s);
    ASSERT_TRUE(manager.next());
    manager.alive(now + 4s);
    EXPECT_EQ(systemd.next(), "");
    manager.alive(now + 6s);
    EXPECT_EQ(systemd.next(), "WATCHDOG=1");
    EXPECT_EQ(*manager.next(), now + 11s);
    manager.alive(now + 10s);
    EXPECT_EQ(systemd.next(), "");
}

TEST(ServiceManager, ReadsTheEnvironment) {
    const Listener systemd(path());
    setenv("NOTIFY_SOCKET", systemd.name().c_str(), 1);
    setenv("WATCHDOG_USEC", "2000000", 1);
    ServiceManager watched;
    watched.alive(std::chrono::steady_clock::now() + 2s);
    EXPECT_EQ(systemd.next(), "WATCHDOG=1");
    setenv("WATCHDOG_PID", "1", 1);
    EXPECT_FALSE(ServiceManager().next()) << "another process is watched";
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
    ServiceManager alone;
    alone.ready("streams");
    EXPECT_FALSE(alone.next());
    EXPECT_EQ(systemd.next(), "");
}

// Nobody reads: the loop is not to wait.
TEST(ServiceManager, NeverWaits) {
    const Listener systemd(path());
    ServiceManager manager(systemd.name(), std::nullopt);
    for (int i = 0; i < 10'000; ++i) manager.ready(std::to_string(i));
    EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=0");
    ServiceManager(path() + ".nobody", std::nullopt).ready("streams");
}

}  // namespace service_manager_tests
}  // namespace fatwal::service
