#include "portal/process/clock.h"

#include <chrono>

namespace fatwal::process {

access::Time wall_clock() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

access::Time steady_clock() {
    return access::Time(std::chrono::duration_cast<access::Time::duration>(
        std::chrono::steady_clock::now().time_since_epoch()));
}

}  // namespace fatwal::process
