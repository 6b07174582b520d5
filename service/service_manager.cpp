#include "service/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <utility>

namespace fatwal::service {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// systemd watches one process, which WATCHDOG_PID names.
std::optional<std::chrono::microseconds> watchdog_time() {
    const std::string pid = variable("WATCHDOG_PID");
    const long long time = std::strtoll(variable("WATCHDOG_USEC").c_str(), nullptr, 10);
    if (time <= 0 || (!pid.empty() && pid != std::to_string(getpid()))) return std::nullopt;
    return std::chrono::microseconds(time);
}

}  // namespace

ServiceManager::ServiceManager() : ServiceManager(variable("NOTIFY_SOCKET"), watchdog_time()) {}

ServiceManager::ServiceManager(std::string socket,
                               std::optional<std::chrono::microseconds> watchdog)
    : socket_(std::move(socket)), fed_(std::chrono::steady_clock::now()) {
    if (watchdog && !socket_.empty()) interval_ = *watchdog / 2;
}

void ServiceManager::send(const std::string& state) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
    socket_.copy(address.sun_path, socket_.size());
    // The name of an abstract socket begins with a zero, and its length ends it.
    if (socket_.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)::sendto(fd, state.data(), state.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address), length);
    ::close(fd);
}

void ServiceManager::ready(std::string_view status) {
    if (is_ready_ && status == status_) return;
    is_ready_ = true;
    status_ = status;
    std::string line(status);
    std::replace(line.begin(), line.end(), '\n', ' ');
    send("READY=1\nSTATUS=" + line);
}

void ServiceManager::reloading() {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
    is_ready_ = false;
}

void ServiceManager::stopping() { send("STOPPING=1\nSTATUS=stopping"); }

void ServiceManager::alive(Time now) {
    if (!interval_ || now - fed_ < *interval_) return;
    fed_ = now;
    send("WATCHDOG=1");
}

std::optional<ServiceManager::Time> ServiceManager::next() const {
    if (!interval_) return std::nullopt;
    return fed_ + *interval_;
}

}  // namespace fatwal::service
