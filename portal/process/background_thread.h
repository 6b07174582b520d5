// A thread for what blocks (statements of the database, above all), and what it shares with others.
//
// The process is one loop on one thread. What waits for the database runs on threads of its own,
// each of which sleeps until another thread has given it something, until an instant, or until it
// is to end. That is written here once, over service::HelperThread, which keeps an exception from
// ending the thread: the loop begins again after a pause. So what must not be forgotten is kept in
// the owner, not in local variables of its loop.
//
// Of its owner's members those that the loop's thread and this one both use are touched only within
// change(), wait_until() and with_lock(): all of them hold one lock. The thread is the owner's last
// member, so that it has ended before anything that it uses is destroyed.
//
// The end is noticed between two statements, never within one, so stop() takes as long as the
// statement under way may take (Connection::Limits). Nothing interrupts a statement: whether an
// interrupted COMMIT was carried out would be unknown.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "service/helper_thread.h"

namespace fatwal::process {

class BackgroundThread {
public:
    using Tick = std::chrono::steady_clock::time_point;
    static constexpr Tick kNever = Tick::max();

    BackgroundThread() = default;
    ~BackgroundThread() { stop(); }
    BackgroundThread(const BackgroundThread&) = delete;
    BackgroundThread& operator=(const BackgroundThread&) = delete;

    // Runs `loop` on the thread until it returns, which it does when wait_until() has said so.
    // Once. `name`: as service::HelperThread has it. `pause`: after an exception.
    void start(std::string name, std::function<void()> loop,
               std::chrono::milliseconds pause = service::HelperThread::kPause) {
        thread_.start(
            std::move(name), [loop = std::move(loop)](const service::Stop&) { loop(); }, pause);
    }
    // Any thread but this one. Returns when the loop has.
    void stop() { thread_.end(); }

    // Any thread: changes what is shared, then wakes this one.
    template <class Change>
    void change(Change work) {
        {
            const std::lock_guard lock(mutex_);
            work();
        }
        wake_.notify_one();
    }
    // Any thread.
    template <class Work>
    auto with_lock(Work work) {
        const std::lock_guard lock(mutex_);
        return work();
    }

    // This thread: sleeps until `ready()`, which is called under the lock, or `until`. False when
    // the loop is to return.
    template <class Ready>
    [[nodiscard]] bool wait_until(Tick until, Ready ready) {
        std::unique_lock lock(mutex_);
        const auto end = thread_.stop().token();
        if (until == kNever)
            wake_.wait(lock, end, ready);
        else
            wake_.wait_until(lock, end, until, ready);
        return !end.stop_requested();
    }
    [[nodiscard]] bool sleep_until(Tick until) {
        return wait_until(until, [] { return false; });
    }

private:
    std::mutex mutex_;
    std::condition_variable_any wake_;
    service::HelperThread thread_;  // last: its loop uses the others
};

}  // namespace fatwal::process
