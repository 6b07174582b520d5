#include "portal/access/basics.h"

#include <array>
#include <cstdio>
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

std::string utc_text(Instant time) {
    const auto midnight = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day day(midnight);
    const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - midnight));
    std::array<char, 64> out{};
    const int length = std::snprintf(
        out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(day.year()),
        static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
        static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
        static_cast<int>(clock.seconds().count()));
    return {out.data(), static_cast<std::size_t>(length)};
}

}  // namespace fatwal::access
