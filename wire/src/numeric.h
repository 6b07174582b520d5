// Integers as text, and the parts of a stored numeric.
#pragma once

#include <optional>

#include "fatwal/wire/json.h"

namespace fatwal::wire {

struct StoredNumeric {
    std::string_view special;  // "NaN", "Infinity", "-Infinity"; empty for a number
    bool negative = false;
    int scale = 0;   // decimals behind the point
    int weight = 0;  // of the first digit, in powers of 10,000
    Bytes digits;    // i16, base 10,000
};

[[nodiscard]] std::optional<StoredNumeric> read_numeric(Bytes stored) noexcept;

void render_integer(std::int64_t value, const Sink& sink);

[[nodiscard]] RenderError render(const StoredNumeric& numeric, const Sink& sink);

}  // namespace fatwal::wire
