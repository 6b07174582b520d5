#include "portal/access/location.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fatwal::access {

double distance_km(Location a, Location b) {
    constexpr double kRadians = std::numbers::pi / 180;
    constexpr double kEarthKm = 6371;
    const double sin_lat = std::sin((b.lat - a.lat) * kRadians / 2);
    const double sin_lon = std::sin((b.lon - a.lon) * kRadians / 2);
    const double h = sin_lat * sin_lat +
                     std::cos(a.lat * kRadians) * std::cos(b.lat * kRadians) * sin_lon * sin_lon;
    return 2 * kEarthKm * std::asin(std::sqrt(std::clamp(h, 0.0, 1.0)));
}

}  // namespace fatwal::access
