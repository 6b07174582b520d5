// A few connections that read snapshots one after the other, each in a thread of its own.
//
// A snapshot of a small account costs about 2 ms in a session that is open and 50 ms in a new one
// (25 to connect, the rest for caches that are cold), so thousands of accounts that join at once
// need sessions that are kept. A session is opened when there is work for it and closed when it was
// without work for kIdle. It is renewed after kMostAge, as what a backend caches grows, and after
// any error, as nobody knows what state it is in then. A session that the server ended while it was
// idle is not a failure: the work is done in a new one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "service/event.h"
#include "service/helper_thread.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

class SnapshotSessions {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kIdle{30};
    static constexpr std::chrono::minutes kMostAge{5};

    // The reading of one snapshot. All of it runs on the session's thread.
    class Task {
    public:
        Task() = default;
        virtual ~Task() = default;
        Task(const Task&) = delete;
        Task& operator=(const Task&) = delete;

        // Throws a Failure. Waits as the thread's Patience says.
        virtual void read(PGconn* session) = 0;
        // Whether the database has taken the snapshot: it cannot be read in another session.
        [[nodiscard]] virtual bool begun() = 0;
        // After read(): how it ended.
        virtual void end(std::optional<Failure> failure) = 0;
    };

    explicit SnapshotSessions(const Settings& settings) : settings_(settings) {}
    ~SnapshotSessions() { finish(); }
    SnapshotSessions(const SnapshotSessions&) = delete;
    SnapshotSessions& operator=(const SnapshotSessions&) = delete;

    // Has it read by the next session that is free, not before `at`.
    void post(std::shared_ptr<Task> task, Time at);
    // Nobody wants it any more: it is not begun, or broken off. Does not wait for that.
    void stop(const Task& task);
    // Stops all, and waits for the threads. Nothing is posted any more.
    void finish();

private:
    struct Session {
        service::Event stop;  // set: its task is to end
        std::shared_ptr<Task> task;
        Connection connection;
        Time opened;
        service::HelperThread thread;
    };
    struct Waiting {
        std::shared_ptr<Task> task;
        Time at;
    };
    void loop(Session& session);
    [[nodiscard]] std::shared_ptr<Task> next(std::unique_lock<std::mutex>& lock, Session& session);
    [[nodiscard]] std::optional<Failure> perform(Session& session);
    void open(Session& session) const;

    const Settings& settings_;
    std::mutex mutex_;  // guards all below but the sessions' connections, which are their threads'
    std::condition_variable wake_;
    std::list<Waiting> waiting_;
    std::list<Session> sessions_;
    int idle_ = 0;
    bool stopping_ = false;
};

}  // namespace fatwal::sidecar
