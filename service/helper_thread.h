// A thread beside a process's main loop, for what waits: connecting, statements, files.
//
// Every thread of fatwald and fatwal-channel that does more than wait for a signal begins here, so
// that no exception ends the process. What a thread's body expects to fail it handles itself: it
// reports a result to the loop, or tries again at its own pace. Anything else that it throws (an
// allocation that failed, a fault of ours) arrives in run(), which logs it under the thread's name
// and runs the body again after kPause.
//
//     class Watch {
//         void loop(const service::Stop& stop);    // until stop.requested()
//         …
//         service::HelperThread thread_{"watch", [this](const auto& stop) { loop(stop); }};
//     };
//
// A body must therefore bear to be run again from any of its statements: what it shares is under a
// lock and complete whenever that is released, and work that it has taken from a queue stands where
// the next run finds it until its result is there. Nor may it hold what allocates in a destructor,
// from which no exception can come (nlohmann::json does): text is handed to it and taken from it.
//
// The thread is to be the last member of its class: the others exist before it starts, and are
// destroyed after it has ended. Its destructor asks it to stop and waits for it. The body sees that
// by a token, for condition variables (std::condition_variable_any), and by a descriptor, for poll.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>

#include "service/event.h"

namespace fatwal::service {

// How a body learns that it is to end.
class Stop {
public:
    [[nodiscard]] bool requested() const { return source_.stop_requested(); }
    [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
    // Readable from the request on.
    [[nodiscard]] int fd() const { return event_.fd(); }
    // Waits for `most`, or until the request; whether it has come.
    [[nodiscard]] bool wait_for(std::chrono::milliseconds most) const;

    // Any thread, any number of times.
    void request() noexcept {
        source_.request_stop();
        event_.set();
    }

private:
    std::stop_source source_;
    Event event_;
};

class HelperThread {
public:
    using Body = std::function<void(const Stop&)>;
    // Long enough that a fault that recurs fills no log, short enough that nobody waits for it.
    static constexpr std::chrono::milliseconds kPause{1000};

    HelperThread() = default;  // none runs
    HelperThread(std::string name, Body body, std::chrono::milliseconds pause = kPause) {
        start(std::move(name), std::move(body), pause);
    }
    ~HelperThread() { end(); }
    HelperThread(const HelperThread&) = delete;
    HelperThread& operator=(const HelperThread&) = delete;

    // None may run. `name`: of at most 15 bytes, as the system shows it (ps -L, gdb).
    void start(std::string name, Body body, std::chrono::milliseconds pause = kPause);
    void request_stop() noexcept { stop_.request(); }
    void join();  // waits for the body's own end; does nothing when none runs
    void end() {
        request_stop();
        join();
    }
    [[nodiscard]] const Stop& stop() const { return stop_; }

private:
    static void run(const std::string& name, const Body& body, const Stop& stop,
                    std::chrono::milliseconds pause) noexcept;

    Stop stop_;
    std::thread thread_;
};

}  // namespace fatwal::service
