// What bounds the accepting of connections by the descriptors of the process.
#pragma once

#include <sys/resource.h>

#include <chrono>

namespace fatwal::service {

// After a connection that could not be accepted, mostly for want of descriptors: without a pause
// the next attempt would find the same, and the loop would spin.
inline constexpr std::chrono::milliseconds kAcceptAgain{200};

// Whether the descriptor is of the last eighth, which is kept for what the process is there for.
// The kernel gives a new one the lowest number that is free, so the number tells how many are open.
[[nodiscard]] inline bool is_among_last(int descriptor) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return false;
    return static_cast<rlim_t>(descriptor) >= limit.rlim_cur - limit.rlim_cur / 8;
}

}  // namespace fatwal::service
