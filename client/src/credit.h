// How many bytes a subscription asks for at a time (credit of REPLAY and SNAPSHOT).
//
// One request is under way at a time, so over a path with the round trip t a subscription reads at
// most credit / t: 10 MB/s with 1 MiB and 100 ms. Where a full reply takes long, more at a time is
// what makes it faster; where it comes at once, more only costs memory on both sides. So the credit
// doubles after a full reply that took long, and stays: the path is what it is, and what the credit
// bounds is 32 MiB at most.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "fatwal/wire/control.h"

namespace fatwal::client {

// Within one machine or data centre a full reply takes less, also with the work on it.
inline constexpr std::chrono::milliseconds kSlowReply{50};

// The credit of the next request, after a reply of so many bytes came so long after its request
// with `credit`.
[[nodiscard]] constexpr std::uint32_t next_credit(std::uint32_t credit, std::size_t bytes,
                                                  std::chrono::nanoseconds took) {
    const std::uint32_t given = std::max(credit, wire::kLeastCredit);
    if (given >= wire::kMostCredit || bytes < given || took <= kSlowReply) return credit;
    return std::min(given * 2, wire::kMostCredit);
}

}  // namespace fatwal::client
