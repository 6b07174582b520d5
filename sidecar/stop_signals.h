// SIGTERM and SIGINT, in a thread of their own, so that fatwald ends whatever hangs. The first one
// has the event loop end in order. A second one, or a loop that has not ended by the deadline, ends
// the process at once. Nothing is lost by that: the slot keeps what was not confirmed.
#pragma once

#include <chrono>

namespace fatwal::sidecar {

class StopSignals {
public:
    // To be made before any other thread: it blocks the signals for all of them.
    explicit StopSignals(std::chrono::milliseconds deadline);
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    // Readable from the first signal on.
    [[nodiscard]] int fd() const { return event_; }

private:
    int event_;  // for as long as the process lives, as its thread does
};

}  // namespace fatwal::sidecar
