#include "sidecar/postgres/patience.h"

#include <algorithm>
#include <array>
#include <future>
#include <memory>
#include <system_error>
#include <thread>

namespace fatwal::sidecar {

WaitEnd wait_for(int fd, short events, Patience::Time deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                              deadline - std::chrono::steady_clock::now())
                              .count();
        std::array<pollfd, 2> wait = {pollfd{fd, events, 0}, pollfd{Patience::stop(), POLLIN, 0}};
        const int count = poll(wait.data(), wait.size(), static_cast<int>(std::max<long>(left, 0)));
        if (count < 0 && errno == EINTR) continue;
        if (wait[1].revents != 0) return WaitEnd::Stopped;
        // An error of poll() itself shows when the descriptor is read.
        if (count != 0) return WaitEnd::Ready;
        if (left <= 0) return WaitEnd::TimedOut;
    }
}

Answer next_result(PGconn* connection, Patience::Time deadline) {
    while (PQisBusy(connection) != 0) {
        // What was to be sent may still wait in libpq's buffer.
        const int unsent = PQflush(connection);
        const auto events = static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN);
        const WaitEnd waited = wait_for(PQsocket(connection), events, deadline);
        if (waited != WaitEnd::Ready) return {nullptr, waited};
        if (PQconsumeInput(connection) == 0) break;  // PQgetResult gives the error
    }
    return {PQgetResult(connection), WaitEnd::Ready};
}

CopyRow next_copy_row(PGconn* connection) {
    const auto deadline = std::chrono::steady_clock::now() + Patience::deadline();
    for (;;) {
        CopyRow row;
        row.length = PQgetCopyData(connection, &row.data, 1);
        if (row.length != 0) return row;
        row.waited = wait_for(PQsocket(connection), POLLIN, deadline);
        if (row.waited != WaitEnd::Ready) return row;
        if (PQconsumeInput(connection) == 0) return {nullptr, -2, WaitEnd::Ready};
    }
}

void cancel(PGconn* connection, std::chrono::milliseconds most) {
    struct Free {
        void operator()(PGcancel* handle) const { PQfreeCancel(handle); }
    };
    std::shared_ptr<PGcancel> handle(PQgetCancel(connection), Free());
    if (!handle) return;
    auto done = std::make_shared<std::promise<void>>();
    std::future<void> finished = done->get_future();
    try {
        std::thread([handle, done] {
            std::array<char, 256> error{};
            PQcancel(handle.get(), error.data(), static_cast<int>(error.size()));
            done->set_value();
        }).detach();
    } catch (const std::system_error&) {
        return;  // no thread is available: the server ends the statement by its own timeout
    }
    (void)finished.wait_for(most);
}

}  // namespace fatwal::sidecar
