// Postgres's stored form of numeric as text. Source: "numeric" in docs/wire-format.md.
#include "wire/src/numeric.h"

#include <charconv>

namespace fatwal::wire {

namespace {

constexpr int kDecimalsPerDigit = 4;

// The decimal digits of one base-10,000 digit; missing digits are 0. False when the digit is out of
// range.
bool four_decimals(const StoredNumeric& numeric, int index, char* out) noexcept {
    int digit = 0;
    if (index >= 0 && static_cast<std::size_t>(index) < numeric.digits.size() / 2)
        digit = load<std::int16_t>(numeric.digits.data() + 2 * static_cast<std::size_t>(index));
    if (digit < 0 || digit > 9999) return false;
    for (int i = kDecimalsPerDigit - 1; i >= 0; --i, digit /= 10)
        out[i] = static_cast<char>('0' + digit % 10);
    return true;
}

}  // namespace

void render_integer(std::int64_t value, const Sink& sink) {
    char text[24];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    (void)error;
    sink({text, static_cast<std::size_t>(end - text)});
}

std::optional<StoredNumeric> read_numeric(Bytes stored) noexcept {
    Cursor cursor(stored);
    const auto header = cursor.read<std::uint16_t>();
    if (!cursor.ok()) return std::nullopt;
    StoredNumeric numeric;
    if ((header & 0xC000) == 0xC000) {
        if (header == 0xC000)
            numeric.special = "NaN";
        else if (header == 0xD000)
            numeric.special = "Infinity";
        else if (header == 0xF000)
            numeric.special = "-Infinity";
        else
            return std::nullopt;
        return numeric;
    }
    if ((header & 0xC000) == 0x8000) {
        numeric.negative = (header & 0x2000) != 0;
        numeric.scale = (header & 0x1F80) >> 7;
        numeric.weight = (header & 0x3F) - ((header & 0x40) != 0 ? 64 : 0);
    } else {
        numeric.negative = (header & 0xC000) == 0x4000;
        numeric.scale = header & 0x3FFF;
        numeric.weight = cursor.read<std::int16_t>();
    }
    if (!cursor.ok() || cursor.left() % 2 != 0) return std::nullopt;
    numeric.digits = cursor.take(cursor.left());
    return numeric;
}

RenderError render(const StoredNumeric& numeric, const Sink& sink) {
    if (!numeric.special.empty()) {
        sink(numeric.special);
        return RenderError::None;
    }
    if (numeric.negative) sink('-');
    char decimals[kDecimalsPerDigit];
    if (numeric.weight < 0) sink('0');
    for (int i = 0; i <= numeric.weight; ++i) {
        if (!four_decimals(numeric, i, decimals)) return RenderError::Malformed;
        // Postgres stores no leading zeros, and JSON has none.
        if (i == 0 && numeric.weight > 0 && std::string_view(decimals, kDecimalsPerDigit) == "0000")
            return RenderError::Malformed;
        int from = 0;
        while (i == 0 && from < kDecimalsPerDigit - 1 && decimals[from] == '0') ++from;
        sink({decimals + from, static_cast<std::size_t>(kDecimalsPerDigit - from)});
    }
    if (numeric.scale == 0) return RenderError::None;
    sink('.');
    int left = numeric.scale;
    for (int i = numeric.weight + 1; left > 0; ++i, left -= kDecimalsPerDigit) {
        if (!four_decimals(numeric, i, decimals)) return RenderError::Malformed;
        sink({decimals,
              static_cast<std::size_t>(left < kDecimalsPerDigit ? left : kDecimalsPerDigit)});
    }
    return RenderError::None;
}

RenderError render_numeric(Bytes stored, const Sink& sink) {
    const auto numeric = read_numeric(stored);
    return numeric ? render(*numeric, sink) : RenderError::Malformed;
}

}  // namespace fatwal::wire
