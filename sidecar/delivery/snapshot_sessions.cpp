#include "sidecar/delivery/snapshot_sessions.h"

#include <algorithm>

#include "sidecar/postgres/patience.h"

namespace fatwal::sidecar {

namespace {

// For each statement, and for each row of a snapshot. A row may wait for a lock on its table, or
// for a scan that finds none of the account.
constexpr std::chrono::minutes kSnapshotStatementDeadline{10};

}  // namespace

void SnapshotSessions::finish() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        waiting_.clear();
        for (Session& session : sessions_) session.stop.set();
    }
    wake_.notify_all();
    for (Session& session : sessions_) session.thread.end();
    sessions_.clear();
}

void SnapshotSessions::post(std::shared_ptr<Task> task, Time at) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(task), at});
    if (static_cast<std::size_t>(idle_) >= waiting_.size() ||
        sessions_.size() >= static_cast<std::size_t>(settings_.snapshot_concurrency)) {
        wake_.notify_one();
        return;
    }
    Session& session = sessions_.emplace_back();
    session.thread.start("snapshots", [this, &session](const service::Stop&) { loop(session); });
}

void SnapshotSessions::stop(const Task& task) {
    const std::lock_guard lock(mutex_);
    waiting_.remove_if([&](const Waiting& waiting) { return waiting.task.get() == &task; });
    for (Session& session : sessions_)
        if (session.task.get() == &task) session.stop.set();
}

// The first task whose time has come; nothing when all is to stop.
std::shared_ptr<SnapshotSessions::Task> SnapshotSessions::next(std::unique_lock<std::mutex>& lock,
                                                               Session& session) {
    ++idle_;
    const Time idle_until = std::chrono::steady_clock::now() + kIdle;
    std::shared_ptr<Task> task;
    while (!stopping_ && !task) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= idle_until) session.connection.reset();
        auto until = session.connection ? idle_until : Time::max();
        auto due = waiting_.end();
        for (auto at = waiting_.begin(); at != waiting_.end() && due == waiting_.end(); ++at) {
            until = std::min(until, at->at);
            if (at->at <= now) due = at;
        }
        if (due != waiting_.end()) {
            task = std::move(due->task);
            waiting_.erase(due);
        } else if (until == Time::max()) {
            wake_.wait(lock);
        } else {
            wake_.wait_until(lock, until);
        }
    }
    --idle_;
    return task;
}

void SnapshotSessions::loop(Session& session) {
    const Patience patience(session.stop.fd(), kSnapshotStatementDeadline);
    std::unique_lock lock(mutex_);
    for (;;) {
        // The run before was broken off with its task in hand: whoever waits for it is notified.
        std::optional<Failure> failure;
        if (session.task) failure = Failure{"a snapshot was broken off", {}, {}, false};
        if (!session.task) session.task = next(lock, session);
        if (!session.task) break;
        lock.unlock();
        if (!failure) failure = perform(session);
        session.task->end(std::move(failure));
        lock.lock();
        auto task = std::move(session.task);
        // It was for this task. When all is to stop no other one follows.
        session.stop.clear();
        lock.unlock();
        task.reset();
        lock.lock();
    }
    session.connection.reset();
}

void SnapshotSessions::open(Session& session) const {
    session.connection = connect(settings_, ConnectAs::Ordinary, "cannot connect for a snapshot");
    session.opened = std::chrono::steady_clock::now();
    PGconn* server = session.connection.get();
    // Rows that the role may not see are an error, not missing.
    (void)run(server, "cannot prepare a snapshot", "SET row_security = off");
    try {
        // A snapshot that is broken off leaves nothing behind that waits for a lock.
        (void)run(server, "cannot prepare a snapshot",
                  "SET client_connection_check_interval = '5s'");
    } catch (const Failure&) {
        // Some platforms cannot do it: there it waits.
    }
}

std::optional<Failure> SnapshotSessions::perform(Session& session) {
    for (;;) {
        const bool kept = session.connection != nullptr &&
                          std::chrono::steady_clock::now() - session.opened < kMostAge;
        std::optional<Failure> failure;
        try {
            if (!kept) {
                session.connection.reset();
                open(session);
            }
            session.task->read(session.connection.get());
            return std::nullopt;
        } catch (Failure& caught) {
            failure = std::move(caught);
        } catch (const std::exception& caught) {
            failure = Failure{"a snapshot was broken off", caught.what(), {}};
        }
        session.connection.reset();
        // The server may have ended it while it was idle.
        if (!kept || failure->fatal || session.task->begun()) return failure;
    }
}

}  // namespace fatwal::sidecar
