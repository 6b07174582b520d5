// How long a thread waits for Postgres, and what ends its waiting.
//
// A server that goes silent without closing (a paused machine, a cut cable) answers nothing and
// reports nothing, so every wait for it has a deadline, and a descriptor that ends it at once when
// fatwald stops. A thread states both when it begins:
//
//     const Patience patience(stop_, kStatementDeadline);
//
// From then on run() and connect() of that thread (connection.h) wait no longer. Without a Patience
// a statement waits for kDefaultDeadline. The deadline is of one statement, not of the thread.
#pragma once

#include <libpq-fe.h>
#include <poll.h>

#include <chrono>
#include <optional>

namespace fatwal::sidecar {

class Patience {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kDefaultDeadline{60};

    // `stop`: an eventfd, or -1.
    Patience(int stop, std::chrono::milliseconds deadline)
        : stop_(stop), deadline_(deadline), before_(current_) {
        current_ = this;
    }
    ~Patience() { current_ = before_; }
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;

    // Of the calling thread.
    [[nodiscard]] static int stop() { return current_ == nullptr ? -1 : current_->stop_; }
    [[nodiscard]] static std::chrono::milliseconds deadline() {
        return current_ == nullptr ? kDefaultDeadline : current_->deadline_;
    }

private:
    int stop_;
    std::chrono::milliseconds deadline_;
    const Patience* before_;
    static inline thread_local const Patience* current_ = nullptr;
};

// What ended a wait.
enum class WaitEnd { Ready, Stopped, TimedOut };

// Waits until `fd` has one of the events, until `deadline`, or until the thread is to stop.
[[nodiscard]] WaitEnd wait_for(int fd, short events, Patience::Time deadline);

// The next result of a statement that was sent, as PQgetResult gives it. On Stopped or TimedOut the
// statement still runs: the connection is of no more use.
struct Answer {
    PGresult* result = nullptr;
    WaitEnd waited = WaitEnd::Ready;
};
[[nodiscard]] Answer next_result(PGconn* connection, Patience::Time deadline);

// The same for a row of COPY, as PQgetCopyData gives it. The deadline is for each row.
struct CopyRow {
    char* data = nullptr;
    int length = 0;  // -1: the end; -2: an error
    WaitEnd waited = WaitEnd::Ready;
};
[[nodiscard]] CopyRow next_copy_row(PGconn* connection);

// Has the server cancel what it does for the connection. PQcancel connects and waits without a
// bound, so a thread of its own does that. This waits for it for at most `most`; where that is not
// enough the thread waits on alone, with nothing of ours in its hands.
void cancel(PGconn* connection, std::chrono::milliseconds most);

}  // namespace fatwal::sidecar
