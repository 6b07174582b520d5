// The query of a request's target.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace fatwal::process {

using Query = std::map<std::string, std::string, std::less<>>;

// What stands behind the `?`, percent-decoded: of a name that comes twice the last value. Nothing
// when it is malformed.
[[nodiscard]] std::optional<Query> query_of(std::string_view target);

// Empty when it has none.
[[nodiscard]] std::string_view value_of(const Query& query, std::string_view name);

}  // namespace fatwal::process
