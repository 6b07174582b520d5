// The countries that a device's address can be in.
#pragma once

#include <string_view>

namespace fatwal::access {

// Whether it is an officially assigned code of ISO 3166-1 alpha-2, in capitals, or XK, by which all
// IP databases name Kosovo. What they write for an address that they cannot place (XX, T1 for Tor,
// ZZ, A1) is none.
[[nodiscard]] bool is_region(std::string_view code);

}  // namespace fatwal::access
