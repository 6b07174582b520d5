#include "sidecar/signals.h"

#include <unistd.h>

#include <csignal>
#include <ctime>
#include <thread>

#include "service/log.h"

namespace fatwal::sidecar {

namespace {

constexpr int kEndedByForce = 1;

[[noreturn]] void end_now(const char* why) {
    service::write_last_line("fatwald", why);
    _exit(kEndedByForce);
}

void wait_for_signals(const sigset_t& signals, const service::Event& stop,
                      const service::Event& reload, std::chrono::milliseconds deadline) {
    for (int number = 0;;) {
        if (sigwait(&signals, &number) != 0) continue;
        if (number != SIGHUP) break;
        reload.set();
    }
    stop.set();
    const auto until = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        const auto left = until - std::chrono::steady_clock::now();
        if (left <= left.zero())
            end_now("not ended in order by now; ends. The slot keeps what is not confirmed");
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        const timespec wait = {seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
        const int number = sigtimedwait(&signals, nullptr, &wait);
        if (number > 0 && number != SIGHUP) end_now("stopped for the second time; ends at once");
    }
}

}  // namespace

// The events are never destroyed: the thread may set them until the process is gone.
Signals::Signals(std::chrono::milliseconds deadline)
    : stop_(new service::Event), reload_(new service::Event) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread([signals, &stop = *stop_, &reload = *reload_, deadline] {
        wait_for_signals(signals, stop, reload, deadline);
    }).detach();
}

}  // namespace fatwal::sidecar
