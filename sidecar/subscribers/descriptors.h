// The file descriptors of the process. libzmq ends the process when it runs out of them in accept:
// connections beyond a bound are closed as they come (inbound.h). An attach opens more of them than
// its connection, so they are counted, and it is refused with its reason while there is head-room.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace fatwal::sidecar {

class Descriptors {
public:
    // Raises the soft limit to the hard one, and bounds what libzmq accepts: connections leave half
    // of the head-room.
    Descriptors();

    // Counts those that are open; what was counted within the last 10 ms stands.
    void recount();
    // Adds what was opened since the count.
    void opened(std::size_t count) { used_ += count; }
    [[nodiscard]] bool has_room_for(std::size_t count) const {
        return used_ + count + head_room() <= limit_;
    }
    [[nodiscard]] std::size_t used() const { return used_; }
    [[nodiscard]] std::size_t limit() const { return limit_; }

private:
    // For what libzmq, libpq and the log open beside the sockets we count, and for those that
    // connect to the control socket all at once.
    [[nodiscard]] std::size_t head_room() const { return limit_ / 8; }

    std::size_t limit_;
    std::size_t used_ = 0;
    std::chrono::steady_clock::time_point counted_;
    std::chrono::steady_clock::time_point listed_;
};

}  // namespace fatwal::sidecar
