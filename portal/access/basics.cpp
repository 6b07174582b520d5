#include "portal/access/basics.h"

#include <cstring>

namespace fatwal::access {

Uuid random_uuid(const Random& random) {
    Uuid out;
    const std::uint64_t halves[2] = {random(), random()};
    std::memcpy(out.bytes.data(), halves, sizeof halves);
    out.bytes[6] = (out.bytes[6] & std::byte{0x0F}) | std::byte{0x40};
    out.bytes[8] = (out.bytes[8] & std::byte{0x3F}) | std::byte{0x80};
    return out;
}

std::int64_t unix_seconds(Instant time) {
    return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

}  // namespace fatwal::access
