// What the console's pages have in common when they are made: nlohmann's objects, and what of the
// wire format stands in them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "fatwal/wire/control.h"

namespace fatwal::console {

using Json = nlohmann::json;

// Bytes of names that are no UTF-8 are replaced.
[[nodiscard]] std::string text_of(const Json& json);

// null for the operators' stream.
[[nodiscard]] Json account_json(const wire::AccountKey& account);
// null for none.
[[nodiscard]] Json lsn_json(wire::Lsn lsn);

template <class T>
[[nodiscard]] Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json();
}

[[nodiscard]] std::int64_t unix_ms();

}  // namespace fatwal::console
