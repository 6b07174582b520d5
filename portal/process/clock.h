// The two clocks of the process. They are read here and nowhere else, so that what is given a time
// can be tested with any.
#pragma once

#include "portal/access/basics.h"

namespace fatwal::process {

// The wall's clock, by which policies, tokens and flows end. It can be set while the process runs.
[[nodiscard]] access::Instant wall_clock();

// Time that nobody sets: for lengths of time, from no particular start.
[[nodiscard]] access::Tick steady_clock();

}  // namespace fatwal::process
