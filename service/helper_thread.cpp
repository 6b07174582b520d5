#include "service/helper_thread.h"

#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "service/failure.h"

namespace fatwal::service {
namespace {

// The report allocates too. When it cannot, a text that is there already has to do.
void report(const std::string& name, const std::exception& error) noexcept {
    try {
        spdlog::error("the thread {} failed and is started again: {}", name, text_of(error));
    } catch (...) {
        constexpr std::string_view kText = "a thread failed and is started again\n";
        [[maybe_unused]] const auto written = write(STDERR_FILENO, kText.data(), kText.size());
    }
}

}  // namespace

bool Stop::wait_for(std::chrono::milliseconds most) const {
    pollfd wait{fd(), POLLIN, 0};
    const auto until = std::chrono::steady_clock::now() + most;
    while (!requested()) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left <= left.zero()) return false;
        (void)poll(&wait, 1, static_cast<int>(left.count()));
    }
    return true;
}

void HelperThread::start(std::string name, Body body, std::chrono::milliseconds pause) {
    thread_ = std::thread([this, name = std::move(name), body = std::move(body), pause] {
        pthread_setname_np(pthread_self(), name.c_str());
        run(name, body, stop_, pause);
    });
}

void HelperThread::join() {
    if (thread_.joinable()) thread_.join();
}

void HelperThread::run(const std::string& name, const Body& body, const Stop& stop,
                       std::chrono::milliseconds pause) noexcept {
    do {
        try {
            body(stop);
            return;
        } catch (const std::exception& error) {
            report(name, error);
        }
    } while (!stop.wait_for(pause));
}

}  // namespace fatwal::service
