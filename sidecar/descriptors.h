// The file descriptors of the process. libzmq aborts the process when it runs out of them in bind
// or accept, so they are counted and an attach is refused before.
#pragma once

#include <chrono>
#include <cstddef>

namespace fatwal {

class Descriptors {
public:
    // Raises the soft limit to the hard one.
    Descriptors();

    // Counts those that are open; what was counted within the last 10 ms stands.
    void recount();
    // Adds what was opened since the count.
    void opened(std::size_t count) { used_ += count; }
    [[nodiscard]] bool has_room_for(std::size_t count) const {
        return used_ + count + head_room() <= limit_;
    }
    // Half of the head-room is gone: no connection may be accepted any more.
    [[nodiscard]] bool scarce() const { return used_ + head_room() / 2 > limit_; }
    [[nodiscard]] std::size_t used() const { return used_; }
    [[nodiscard]] std::size_t limit() const { return limit_; }

private:
    // For what libzmq, libpq and the log open beside the sockets we count, and for those that
    // connect to the control socket all at once.
    [[nodiscard]] std::size_t head_room() const { return limit_ / 8; }

    std::size_t limit_;
    std::size_t used_ = 0;
    std::chrono::steady_clock::time_point counted_;
};

}  // namespace fatwal
