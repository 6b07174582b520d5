// SIGTERM, SIGINT and SIGHUP, in a thread of their own, so that fatwald ends whatever hangs. The
// first SIGTERM or SIGINT has the event loop end in order. A second one, or a loop that has not
// ended by the deadline, ends the process at once. Nothing is lost by that: the slot keeps what was
// not confirmed. SIGHUP has the loop read the settings again.
#pragma once

#include <chrono>

#include "service/event.h"

namespace fatwal::sidecar {

class Signals {
public:
    // To be made before any other thread: it blocks the signals for all of them. It lives as long
    // as the process, as its thread does.
    explicit Signals(std::chrono::milliseconds deadline);
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    // Set from the first SIGTERM or SIGINT on.
    [[nodiscard]] const service::Event& stop() const { return *stop_; }
    // Set by SIGHUP.
    [[nodiscard]] const service::Event& reload() const { return *reload_; }

private:
    const service::Event* stop_;
    const service::Event* reload_;
};

}  // namespace fatwal::sidecar
