// Where on Earth something is.
#pragma once

namespace fatwal::access {

struct Location {
    double lat = 0;  // degrees
    double lon = 0;
    friend bool operator==(const Location&, const Location&) = default;
};

// Along the great circle, in kilometres (haversine, a sphere of 6371 km).
[[nodiscard]] double distance_km(Location a, Location b);

}  // namespace fatwal::access
