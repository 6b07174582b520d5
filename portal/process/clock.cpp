#include "portal/process/clock.h"

#include <chrono>

namespace fatwal::process {

access::Instant wall_clock() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

access::Tick steady_clock() {
    return std::chrono::time_point_cast<access::Tick::duration>(std::chrono::steady_clock::now());
}

}  // namespace fatwal::process
