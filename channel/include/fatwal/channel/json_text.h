// JSON that somebody else has written.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "fatwal/channel/basics.h"

namespace fatwal::channel {

// Nothing when it is no JSON, or nested deeper than kMostDepth: a value is copied, written and
// freed by recursion, so its depth is a depth of the stack.
[[nodiscard]] std::optional<Json> parse_json(std::string_view text);

inline constexpr std::size_t kMostDepth = 32;

}  // namespace fatwal::channel
