#include "worker/clock.h"

#include <chrono>

namespace fatwal::worker {

channel::Time wall_clock() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

channel::Time steady_clock() {
    return channel::Time(std::chrono::duration_cast<channel::Time::duration>(
        std::chrono::steady_clock::now().time_since_epoch()));
}

}  // namespace fatwal::worker
