// JSON of values, and JSON that somebody else has written.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "portal/access/basics.h"

namespace fatwal::access {

// Nothing when it is no JSON, or nested deeper than kMostDepth: a value is copied, written and
// freed by recursion, so its depth is a depth of the stack.
[[nodiscard]] std::optional<Json> parse_json(std::string_view text);

inline constexpr std::size_t kMostDepth = 32;

template <class T>
[[nodiscard]] Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json();
}

}  // namespace fatwal::access
