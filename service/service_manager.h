// What the process tells systemd of itself (`Type=notify`), without libsystemd: sd_notify(3) is a
// datagram to the socket that NOTIFY_SOCKET names. Where the variable is not set, nothing is sent.
//
//     READY=1      the process does its work, or waits as a standby. systemd's start ends here
//     RELOADING=1  SIGHUP: READY=1 follows
//     STOPPING=1   SIGTERM
//     WATCHDOG=1   the event loop turns. If none comes for WATCHDOG_USEC systemd restarts the
//                  process, so the loop sends one after half of that time
//     STATUS=      a line for `systemctl status`
//
// No call waits: a datagram for which systemd has no room is left out. One thread, the loop's.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace fatwal::service {

class ServiceManager {
public:
    using Time = std::chrono::steady_clock::time_point;

    // Reads the environment.
    ServiceManager();
    // `socket`: a path, or an abstract name behind an @. Empty: there is no systemd.
    ServiceManager(std::string socket, std::optional<std::chrono::microseconds> watchdog);

    // Any number of times: it is sent when `status` is another one than before.
    void ready(std::string_view status);
    void reloading();
    void stopping();
    // In each turn of the loop.
    void alive(Time now);
    // When alive() has something to send; nothing when nobody watches.
    [[nodiscard]] std::optional<Time> next() const;

private:
    void send(const std::string& state) const;

    std::string socket_;
    std::optional<std::chrono::microseconds> interval_;
    std::string status_;
    bool is_ready_ = false;
    Time fed_;
};

}  // namespace fatwal::service
