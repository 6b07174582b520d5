#include "sidecar/stop_signals.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>
#include <thread>

#include "sidecar/log.h"

namespace fatwal::sidecar {

namespace {

constexpr int kEndedByForce = 1;

[[noreturn]] void end_now(const char* why) {
    (void)write_line(STDERR_FILENO, why);
    _exit(kEndedByForce);
}

void wait_for_signals(const sigset_t& signals, int event, std::chrono::milliseconds deadline) {
    int number = 0;
    while (sigwait(&signals, &number) != 0) continue;
    eventfd_write(event, 1);
    const auto until = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        const auto left = until - std::chrono::steady_clock::now();
        if (left <= left.zero())
            end_now(
                "fatwald: not ended in order by now; ends. The slot keeps what is not confirmed");
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        const timespec wait = {seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
        if (sigtimedwait(&signals, nullptr, &wait) > 0)
            end_now("fatwald: stopped for the second time; ends at once");
    }
}

}  // namespace

StopSignals::StopSignals(std::chrono::milliseconds deadline)
    : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread([signals, event = event_, deadline] {
        wait_for_signals(signals, event, deadline);
    }).detach();
}

}  // namespace fatwal::sidecar
