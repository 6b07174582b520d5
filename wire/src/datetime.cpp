#include "wire/src/datetime.h"

#include <charconv>
#include <cstdlib>
#include <limits>

#include "wire/src/numeric.h"

namespace fatwal::wire {

namespace {

constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;
constexpr std::int64_t kMicrosecondsPerDay = 86'400 * kMicrosecondsPerSecond;
constexpr std::int64_t kPostgresEpochUnixDays = 10'957;

void render_padded(std::int64_t value, int width, const Sink& sink) {
    char text[24];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    (void)error;
    for (auto length = end - text; length < width; ++length) sink('0');
    sink({text, static_cast<std::size_t>(end - text)});
}

// The fraction of a second with its point, without trailing zeros; nothing for 0.
void render_fraction(std::int64_t microseconds, const Sink& sink) {
    if (microseconds == 0) return;
    char digits[6];
    for (int i = 5; i >= 0; --i, microseconds /= 10)
        digits[i] = static_cast<char>('0' + microseconds % 10);
    std::size_t length = 6;
    while (digits[length - 1] == '0') --length;
    sink('.');
    sink({digits, length});
}

// The civil date of a day number. Source: H. Hinnant, chrono-compatible low-level date algorithms
// (civil_from_days).
void render_civil(std::int64_t unix_days, const Sink& sink) {
    const std::int64_t shifted = unix_days + 719'468;
    const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
    const std::int64_t day_of_era = shifted - era * 146'097;
    const std::int64_t year_of_era =
        (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const std::int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
    const std::int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    if (year < 0) sink('-');
    render_padded(year < 0 ? -year : year, 4, sink);
    sink('-');
    render_padded(month, 2, sink);
    sink('-');
    render_padded(day_of_year - (153 * shifted_month + 2) / 5 + 1, 2, sink);
}

void render_part(std::int64_t value, char unit, const Sink& sink) {
    if (value == 0) return;
    render_integer(value, sink);
    sink(unit);
}

}  // namespace

void render_date(std::int64_t days, const Sink& sink) {
    if (days <= std::numeric_limits<std::int32_t>::min()) return sink("-infinity");
    if (days >= std::numeric_limits<std::int32_t>::max()) return sink("infinity");
    render_civil(days + kPostgresEpochUnixDays, sink);
}

void render_time(std::int64_t microseconds, const Sink& sink) {
    const std::int64_t seconds = microseconds / kMicrosecondsPerSecond;
    render_padded(seconds / 3600, 2, sink);
    sink(':');
    render_padded(seconds / 60 % 60, 2, sink);
    sink(':');
    render_padded(seconds % 60, 2, sink);
    render_fraction(microseconds % kMicrosecondsPerSecond, sink);
}

void render_timestamp(Microseconds time, bool utc, const Sink& sink) {
    if (time == std::numeric_limits<Microseconds>::min()) return sink("-infinity");
    if (time == std::numeric_limits<Microseconds>::max()) return sink("infinity");
    std::int64_t days = time / kMicrosecondsPerDay;
    std::int64_t rest = time % kMicrosecondsPerDay;
    if (rest < 0) {
        rest += kMicrosecondsPerDay;
        --days;
    }
    render_civil(days + kPostgresEpochUnixDays, sink);
    sink('T');
    render_time(rest, sink);
    if (utc) sink('Z');
}

RenderError render_timetz(Bytes value, const Sink& sink) {
    if (value.size() != 12) return RenderError::Malformed;
    const auto time = load<std::int64_t>(value.data());
    if (time < 0 || time > kMicrosecondsPerDay) return RenderError::Malformed;
    render_time(time, sink);
    const std::int64_t east = -std::int64_t{load<std::int32_t>(value.data() + 8)};
    const std::int64_t offset = east < 0 ? -east : east;
    sink(east < 0 ? '-' : '+');
    render_padded(offset / 3600, 2, sink);
    sink(':');
    render_padded(offset / 60 % 60, 2, sink);
    if (offset % 60 != 0) {
        sink(':');
        render_padded(offset % 60, 2, sink);
    }
    return RenderError::None;
}

RenderError render_interval(Bytes value, const Sink& sink) {
    if (value.size() != 16) return RenderError::Malformed;
    const auto microseconds = load<std::int64_t>(value.data());
    const auto days = load<std::int32_t>(value.data() + 8);
    const auto months = load<std::int32_t>(value.data() + 12);
    using Time = std::numeric_limits<std::int64_t>;
    using Part = std::numeric_limits<std::int32_t>;
    if (microseconds == Time::min() && days == Part::min() && months == Part::min())
        return sink("-infinity"), RenderError::None;
    if (microseconds == Time::max() && days == Part::max() && months == Part::max())
        return sink("infinity"), RenderError::None;
    if (microseconds == 0 && days == 0 && months == 0) return sink("PT0S"), RenderError::None;

    sink('P');
    render_part(months / 12, 'Y', sink);
    render_part(months % 12, 'M', sink);
    render_part(days, 'D', sink);
    if (microseconds == 0) return RenderError::None;
    const std::int64_t seconds = microseconds / kMicrosecondsPerSecond;
    const std::int64_t fraction = microseconds % kMicrosecondsPerSecond;
    sink('T');
    render_part(seconds / 3600, 'H', sink);
    render_part(seconds / 60 % 60, 'M', sink);
    if (seconds % 60 == 0 && fraction == 0) return RenderError::None;
    if (seconds % 60 < 0 || fraction < 0) sink('-');
    render_integer(seconds % 60 < 0 ? -(seconds % 60) : seconds % 60, sink);
    render_fraction(fraction < 0 ? -fraction : fraction, sink);
    sink('S');
    return RenderError::None;
}

}  // namespace fatwal::wire
