#include "sidecar/pgoutput/text_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "fatwal/wire/account.h"

namespace fatwal::sidecar::pgoutput {

namespace {

using wire::TypeCode;

constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;

// Takes a text apart from its beginning. Each step says whether it has found what it looks for.
class Reader {
public:
    explicit Reader(std::string_view text) : left_(text) {}

    [[nodiscard]] bool at_end() const { return left_.empty(); }
    [[nodiscard]] std::string_view left() const { return left_; }
    bool skip(std::string_view expected) {
        if (!left_.starts_with(expected)) return false;
        left_.remove_prefix(expected.size());
        return true;
    }
    // A number without a sign, of at least one digit.
    template <class Integer>
    bool number(Integer& value) {
        if (left_.empty() || left_[0] < '0' || left_[0] > '9') return false;
        const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), value);
        if (error != std::errc{}) return false;
        left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
        return true;
    }
    // Behind a point: one to six digits, as microseconds.
    bool microseconds(std::int64_t& value) {
        std::size_t digits = 0;
        value = 0;
        for (; digits < left_.size() && left_[digits] >= '0' && left_[digits] <= '9'; ++digits)
            if (digits < 6) value = value * 10 + (left_[digits] - '0');
        if (digits == 0 || digits > 6) return false;
        for (std::size_t i = digits; i < 6; ++i) value *= 10;
        left_.remove_prefix(digits);
        return true;
    }

private:
    std::string_view left_;
};

template <class Integer>
std::optional<Integer> whole_number(std::string_view text) {
    Integer value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

Put put_slot(const Target& target, std::size_t slot_at, std::uint64_t slot) {
    wire::store(target.buffer.at(slot_at), slot);
    return Put::Done;
}

template <class Value>
Put put_fixed(const Target& target, std::size_t slot_at, std::optional<Value> value) {
    if (!value) return Put::NotUnderstood;
    return put_slot(target, slot_at, static_cast<std::uint64_t>(std::int64_t{*value}));
}

Put put_bytes(const Target& target, std::size_t slot_at, const void* bytes, std::size_t length) {
    return target.put_variable(slot_at, bytes, length) ? Put::Done : Put::NoRoom;
}

// from_chars() reads "Infinity" too, and "NaN" as the quiet one that the server has.
template <class Float, class Bits>
Put put_float(const Target& target, std::size_t slot_at, std::string_view text) {
    const auto value = whole_number<Float>(text);
    if (!value) return Put::NotUnderstood;
    return put_slot(target, slot_at, std::uint64_t{std::bit_cast<Bits>(*value)});
}

// Days since 2000-01-01 in the proleptic Gregorian calendar. Source: the algorithm days_from_civil
// of https://howardhinnant.github.io/date_algorithms.html
std::int64_t days_of(std::int64_t year, unsigned month, unsigned day) {
    constexpr std::int64_t kDaysTo2000 = 730'425;  // from 0000-03-01
    year -= month <= 2 ? 1 : 0;
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const auto of_era = static_cast<unsigned>(year - era * 400);
    const unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const unsigned day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146'097 + static_cast<std::int64_t>(day_of_era) - kDaysTo2000;
}

// A date without its " BC".
struct Day {
    std::int64_t year = 0;
    unsigned month = 0;
    unsigned day = 0;

    [[nodiscard]] std::int64_t days(bool before_christ) const {
        return days_of(before_christ ? 1 - year : year, month, day);
    }
};

bool read_day(Reader& reader, Day& day) {
    return reader.number(day.year) && day.year <= 10'000'000 && reader.skip("-") &&
           reader.number(day.month) && reader.skip("-") && reader.number(day.day) &&
           day.month >= 1 && day.month <= 12 && day.day >= 1 && day.day <= 31;
}

// Hours, minutes and seconds in microseconds. An interval may have as many as an int64 holds.
bool read_clock(Reader& reader, std::uint64_t& value) {
    constexpr std::uint64_t kMostHours = 2'562'047'788;
    std::uint64_t hours = 0;
    unsigned minutes = 0;
    unsigned seconds = 0;
    std::int64_t fraction = 0;
    if (!reader.number(hours) || hours > kMostHours || !reader.skip(":") ||
        !reader.number(minutes) || minutes > 59 || !reader.skip(":") || !reader.number(seconds) ||
        seconds > 60)
        return false;
    if (reader.skip(".") && !reader.microseconds(fraction)) return false;
    value = (hours * 3600 + minutes * 60 + seconds) * kMicrosecondsPerSecond +
            static_cast<std::uint64_t>(fraction);
    return true;
}

bool read_clock(Reader& reader, std::int64_t& value) {
    std::uint64_t clock = 0;
    if (!read_clock(reader, clock) || clock > std::uint64_t{1} << 62U) return false;
    value = static_cast<std::int64_t>(clock);
    return true;
}

// "+05", "-03:30", "+00:19:32": in seconds east of UTC.
bool read_zone(Reader& reader, std::int32_t& east) {
    const bool negative = reader.skip("-");
    if (!negative && !reader.skip("+")) return false;
    int hours = 0;
    int minutes = 0;
    int seconds = 0;
    if (!reader.number(hours) || hours > 24) return false;
    if (reader.skip(":") && (!reader.number(minutes) || minutes > 59)) return false;
    if (reader.skip(":") && (!reader.number(seconds) || seconds > 59)) return false;
    east = hours * 3600 + minutes * 60 + seconds;
    if (negative) east = -east;
    return true;
}

template <class Integer>
std::optional<Integer> infinite(std::string_view text) {
    if (text == "infinity") return std::numeric_limits<Integer>::max();
    if (text == "-infinity") return std::numeric_limits<Integer>::min();
    return std::nullopt;
}

std::optional<std::int32_t> date_of(std::string_view text) {
    if (const auto special = infinite<std::int32_t>(text)) return special;
    Reader reader(text);
    Day day;
    if (!read_day(reader, day)) return std::nullopt;
    const bool before_christ = reader.skip(" BC");
    if (!reader.at_end()) return std::nullopt;
    return static_cast<std::int32_t>(day.days(before_christ));
}

std::optional<std::int64_t> time_of(std::string_view text) {
    Reader reader(text);
    std::int64_t value = 0;
    if (!read_clock(reader, value) || !reader.at_end()) return std::nullopt;
    return value;
}

std::optional<std::int64_t> timestamp_of(std::string_view text, bool with_zone) {
    if (const auto special = infinite<std::int64_t>(text)) return special;
    Reader reader(text);
    Day day;
    std::int64_t clock = 0;
    std::int32_t east = 0;
    if (!read_day(reader, day) || !reader.skip(" ") || !read_clock(reader, clock))
        return std::nullopt;
    if (with_zone && !read_zone(reader, east)) return std::nullopt;
    const bool before_christ = reader.skip(" BC");
    if (!reader.at_end()) return std::nullopt;
    return (day.days(before_christ) * kSecondsPerDay - east) * kMicrosecondsPerSecond + clock;
}

Put put_timetz(const Target& target, std::size_t slot_at, std::string_view text) {
    Reader reader(text);
    std::int64_t clock = 0;
    std::int32_t east = 0;
    if (!read_clock(reader, clock) || !read_zone(reader, east) || !reader.at_end())
        return Put::NotUnderstood;
    std::array<std::byte, 12> bytes{};
    wire::store(bytes.data(), clock);
    wire::store(bytes.data() + 8, -east);
    return put_bytes(target, slot_at, bytes.data(), bytes.size());
}

struct Interval {
    std::int64_t microseconds = 0;
    std::int32_t days = 0;
    std::int32_t months = 0;
};

// The style postgres: "1 year -2 mons +3 days -04:05:06.789".
std::optional<Interval> interval_of(std::string_view text) {
    Interval interval;
    if (text == "infinity" || text == "-infinity") {
        interval.microseconds = *infinite<std::int64_t>(text);
        interval.days = *infinite<std::int32_t>(text);
        interval.months = interval.days;
        return interval;
    }
    Reader reader(text);
    do {
        const bool negative = reader.skip("-");
        if (!negative) (void)reader.skip("+");
        const std::string_view number = reader.left();
        std::int64_t value = 0;
        if (!reader.number(value)) return std::nullopt;
        if (reader.left().starts_with(":")) {
            Reader rest(number);
            std::uint64_t clock = 0;
            constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
            if (!read_clock(rest, clock) || !rest.at_end() || clock > kMost + (negative ? 1 : 0))
                return std::nullopt;
            interval.microseconds = static_cast<std::int64_t>(negative ? 0 - clock : clock);
            return interval;
        }
        if (negative) value = -value;
        if (value < std::numeric_limits<std::int32_t>::min() ||
            value > std::numeric_limits<std::int32_t>::max() || !reader.skip(" "))
            return std::nullopt;
        std::int64_t months = interval.months;
        if (reader.skip("year"))
            months += value * 12;
        else if (reader.skip("mon"))
            months += value;
        else if (reader.skip("day"))
            interval.days = static_cast<std::int32_t>(value);
        else
            return std::nullopt;
        if (months < std::numeric_limits<std::int32_t>::min() ||
            months > std::numeric_limits<std::int32_t>::max())
            return std::nullopt;
        interval.months = static_cast<std::int32_t>(months);
        (void)reader.skip("s");
    } while (reader.skip(" "));
    if (!reader.at_end()) return std::nullopt;
    return interval;
}

Put put_interval(const Target& target, std::size_t slot_at, std::string_view text) {
    const auto interval = interval_of(text);
    if (!interval) return Put::NotUnderstood;
    std::array<std::byte, 16> bytes{};
    wire::store(bytes.data(), interval->microseconds);
    wire::store(bytes.data() + 8, interval->days);
    wire::store(bytes.data() + 12, interval->months);
    return put_bytes(target, slot_at, bytes.data(), bytes.size());
}

Put put_uuid(const Target& target, std::size_t slot_at, std::string_view text) {
    wire::AccountBuffer buffer;
    const wire::AccountView account = wire::account_from_text(text, buffer);
    if (account.kind != wire::AccountKind::Uuid) return Put::NotUnderstood;
    return put_bytes(target, slot_at, account.bytes.data(), account.bytes.size());
}

Put put_inet(const Target& target, std::size_t slot_at, std::string_view text) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    std::array<char, INET6_ADDRSTRLEN + 1> address{};
    if (slash >= address.size()) return Put::NotUnderstood;
    std::copy_n(text.data(), slash, address.data());
    std::array<std::uint8_t, 18> bytes{};
    const bool v4 = inet_pton(AF_INET, address.data(), bytes.data() + 2) == 1;
    if (!v4 && inet_pton(AF_INET6, address.data(), bytes.data() + 2) != 1)
        return Put::NotUnderstood;
    const std::uint8_t most = v4 ? 32 : 128;
    const auto bits = slash == text.size() ? std::optional(most)
                                           : whole_number<std::uint8_t>(text.substr(slash + 1));
    if (!bits || *bits > most) return Put::NotUnderstood;
    bytes[0] = v4 ? 4 : 6;
    bytes[1] = *bits;
    return put_bytes(target, slot_at, bytes.data(), v4 ? 6 : 18);
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

std::optional<std::uint64_t> macaddr_of(std::string_view text) {
    if (text.size() != 17) return std::nullopt;
    std::uint64_t slot = 0;
    for (unsigned i = 0; i < 6; ++i) {
        const int high = hex_value(text[3 * i]);
        const int low = hex_value(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) return std::nullopt;
        slot |= static_cast<std::uint64_t>(high * 16 + low) << (8 * i);
    }
    return slot;
}

Put put_bytea(const Target& target, std::size_t slot_at, std::string_view text) {
    if (!text.starts_with("\\x") || text.size() % 2 != 0) return Put::NotUnderstood;
    text.remove_prefix(2);
    const std::size_t length = text.size() / 2;
    if (!target.has_room(length)) return Put::NoRoom;
    const std::size_t start = target.buffer.extend(length);
    std::byte* to = target.buffer.at(start);
    for (std::size_t i = 0; i < length; ++i) {
        const int high = hex_value(text[2 * i]);
        const int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) return Put::NotUnderstood;
        to[i] = static_cast<std::byte>(high * 16 + low);
    }
    target.close_variable(slot_at, start);
    return Put::Done;
}

Put put_special_numeric(const Target& target, std::size_t slot_at, std::uint16_t header) {
    return put_bytes(target, slot_at, &header, sizeof header);
}

bool is_digits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The decimal digits of a number, four at a time from the point on both ways: those of a numeric's
// base of 10,000.
class Groups {
public:
    Groups(std::string_view integer, std::string_view fraction)
        : integer_(integer), fraction_(fraction), first_((integer.size() + 3) / 4) {}

    [[nodiscard]] std::size_t size() const { return first_ + (fraction_.size() + 3) / 4; }
    // How many of them stand before the point.
    [[nodiscard]] std::size_t before_point() const { return first_; }
    [[nodiscard]] std::int16_t at(std::size_t group) const {
        int value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value * 10 + digit(4 * group + i);
        return static_cast<std::int16_t>(value);
    }

private:
    // Of the digits with zeros before and behind them that fill the groups.
    [[nodiscard]] int digit(std::size_t at) const {
        const std::size_t padding = 4 * first_ - integer_.size();
        if (at < 4 * first_) return at < padding ? 0 : integer_[at - padding] - '0';
        const std::size_t behind = at - 4 * first_;
        return behind < fraction_.size() ? fraction_[behind] - '0' : 0;
    }

    std::string_view integer_;
    std::string_view fraction_;
    std::size_t first_;
};

// As Postgres's make_result() stores it: no zero groups at either end, in the short form where that
// holds it.
Put put_numeric(const Target& target, std::size_t slot_at, std::string_view text) {
    if (text == "NaN") return put_special_numeric(target, slot_at, 0xC000);
    if (text == "Infinity") return put_special_numeric(target, slot_at, 0xD000);
    if (text == "-Infinity") return put_special_numeric(target, slot_at, 0xF000);
    bool negative = text.starts_with('-');
    if (negative) text.remove_prefix(1);
    const std::size_t point = std::min(text.find('.'), text.size());
    const std::string_view integer = text.substr(0, point);
    const std::string_view fraction = text.substr(std::min(point + 1, text.size()));
    const std::size_t scale = fraction.size();
    if (integer.empty() || !is_digits(integer) || !is_digits(fraction) || scale > 0x3FFF ||
        integer.size() > 4 * 0x8000)
        return Put::NotUnderstood;
    const Groups groups(integer, fraction);
    std::size_t begin = 0;
    std::size_t end = groups.size();
    while (begin < end && groups.at(begin) == 0) ++begin;
    while (end > begin && groups.at(end - 1) == 0) --end;
    const bool is_zero = begin == end;
    negative = negative && !is_zero;
    const int weight =
        is_zero ? 0 : static_cast<int>(groups.before_point()) - 1 - static_cast<int>(begin);
    const bool is_short = scale <= 0x3F && weight >= -64 && weight <= 63;
    const std::size_t header = is_short ? 2 : 4;
    if (!target.has_room(header + 2 * (end - begin))) return Put::NoRoom;
    const std::size_t start = target.buffer.extend(header + 2 * (end - begin));
    std::byte* to = target.buffer.at(start);
    if (is_short) {
        wire::store(to, static_cast<std::uint16_t>(0x8000 | (negative ? 0x2000 : 0) | scale << 7U |
                                                   (static_cast<unsigned>(weight) & 0x7FU)));
    } else {
        wire::store(to, static_cast<std::uint16_t>((negative ? 0x4000 : 0) | scale));
        wire::store(to + 2, static_cast<std::int16_t>(weight));
    }
    for (std::size_t i = begin; i < end; ++i)
        wire::store(to + header + 2 * (i - begin), groups.at(i));
    target.close_variable(slot_at, start);
    return Put::Done;
}

constexpr std::uint32_t kMaxDimensions = 6;

struct Dimension {
    std::int32_t length = 0;
    std::int32_t lower_bound = 1;
};

// An element of an array's text.
struct ElementText {
    std::string_view text;  // without its quotes
    bool quoted = false;    // then a backslash stands before a character that is meant as it is
};

// Walks over the text of an array: braces, delimiters and elements in their order.
class ArrayText {
public:
    enum class Token : std::uint8_t { Open, Close, Delimiter, Element, End, Malformed };

    ArrayText(std::string_view text, char delimiter) : left_(text), delimiter_(delimiter) {}

    Token next(ElementText& element) {
        if (left_.empty()) return Token::End;
        const char c = left_[0];
        if (c == '{') return pass(1), Token::Open;
        if (c == '}') return pass(1), Token::Close;
        if (c == delimiter_) return pass(1), Token::Delimiter;
        std::size_t end = c == '"' ? 1 : 0;
        if (c == '"') {
            while (end < left_.size() && left_[end] != '"') end += left_[end] == '\\' ? 2 : 1;
            if (end >= left_.size()) return Token::Malformed;
            element = {left_.substr(1, end - 1), true};
            pass(end + 1);
            return Token::Element;
        }
        while (end < left_.size() && left_[end] != delimiter_ && left_[end] != '}' &&
               left_[end] != '{' && left_[end] != '"')
            ++end;
        element = {left_.substr(0, end), false};
        pass(end);
        return Token::Element;
    }

private:
    void pass(std::size_t bytes) { left_.remove_prefix(bytes); }

    std::string_view left_;
    char delimiter_;
};

struct Shape {
    std::array<Dimension, kMaxDimensions> dimension;
    std::uint32_t dimensions = 0;
    std::size_t elements = 0;
    std::string_view body;  // from the first brace on
};

// "[0:1][-2:3]=" before the braces, which is there when a lower bound is not 1.
bool read_bounds(Reader& reader, Shape& shape) {
    const auto bound = [&reader](std::int32_t& value) {
        const bool negative = reader.skip("-");
        std::int64_t number = 0;
        if (!reader.number(number) || number > std::int64_t{1} << 31) return false;
        value = static_cast<std::int32_t>(negative ? -number : number);
        return true;
    };
    std::uint32_t bounds = 0;
    while (reader.skip("[")) {
        std::int32_t upper = 0;
        if (bounds == kMaxDimensions || !bound(shape.dimension[bounds].lower_bound) ||
            !reader.skip(":") || !bound(upper) || !reader.skip("]"))
            return false;
        ++bounds;
    }
    return bounds == 0 || reader.skip("=");
}

// What stands before the values in the array's form: dimensions, their lengths, how many elements.
// The lengths are those of the first array at each depth; all others have the same.
bool read_shape(std::string_view text, char delimiter, Shape& shape) {
    Reader reader(text);
    if (!read_bounds(reader, shape)) return false;
    shape.body = reader.left();
    if (shape.body == "{}") return true;
    ArrayText walk(shape.body, delimiter);
    std::array<std::int32_t, kMaxDimensions + 1> entries{};  // of the open array at each depth
    std::uint32_t depth = 0;
    ElementText element;
    for (;;) {
        switch (walk.next(element)) {
            case ArrayText::Token::Open:
                if (depth == kMaxDimensions) return false;
                if (depth > 0) ++entries[depth];
                entries[++depth] = 0;
                break;
            case ArrayText::Token::Element:
                if (depth == 0) return false;
                if (shape.elements == 0) shape.dimensions = depth;
                if (depth != shape.dimensions) return false;
                ++entries[depth];
                ++shape.elements;
                break;
            case ArrayText::Token::Close: {
                if (depth == 0) return false;
                std::int32_t& length = shape.dimension[depth - 1].length;
                if (length == 0) length = entries[depth];
                if (length != entries[depth]) return false;
                --depth;
                break;
            }
            case ArrayText::Token::Delimiter: break;
            case ArrayText::Token::End: {
                std::size_t product = 1;
                for (std::uint32_t d = 0; d < shape.dimensions; ++d)
                    product *= static_cast<std::size_t>(shape.dimension[d].length);
                return depth == 0 && shape.elements > 0 && product == shape.elements;
            }
            case ArrayText::Token::Malformed: return false;
        }
    }
}

// Appends a variable value's text without the backslashes of its quotes.
std::string_view unescaped(const ElementText& element, std::string& storage) {
    if (!element.quoted || element.text.find('\\') == std::string_view::npos) return element.text;
    storage.clear();
    for (std::size_t i = 0; i < element.text.size(); ++i) {
        if (element.text[i] == '\\' && i + 1 < element.text.size()) ++i;
        storage.push_back(element.text[i]);
    }
    return storage;
}

// The array up to its slots, which are zero. Gives where the null bitmap begins; nothing when it
// does not fit.
std::optional<std::size_t> put_array_head(const Target& target, const Shape& shape) {
    const std::size_t words = (shape.elements + 63) / 64;
    const std::size_t slots = 8 * words + 8 * shape.elements;
    if (!target.has_room(8 + std::size_t{8} * shape.dimensions + slots)) return std::nullopt;
    target.buffer.append(shape.dimensions);
    target.buffer.append(static_cast<std::uint32_t>(shape.elements));
    for (std::uint32_t d = 0; d < shape.dimensions; ++d) {
        target.buffer.append(shape.dimension[d].length);
        target.buffer.append(shape.dimension[d].lower_bound);
    }
    return target.buffer.extend_zeroed(slots);
}

Put put_array(const Target& target, std::size_t slot_at, std::string_view text,
              const TextType& type) {
    Shape shape;
    if (!read_shape(text, type.delimiter, shape)) return Put::NotUnderstood;
    const std::size_t start = target.buffer.size();
    const auto nulls_at = put_array_head(target, shape);
    if (!nulls_at) return Put::NoRoom;
    const std::size_t slots_at = *nulls_at + 8 * ((shape.elements + 63) / 64);
    const Target elements = {target.buffer, start, target.limit};
    const TextType element_type = {type.element, TypeCode::Other, ',', false, type.labels};
    ArrayText walk(shape.body, type.delimiter);
    ElementText element;
    std::string storage;
    for (std::size_t i = 0; i < shape.elements;) {
        if (walk.next(element) != ArrayText::Token::Element) continue;
        if (!element.quoted && element.text == "NULL") {
            std::byte* word = target.buffer.at(*nulls_at + 8 * (i / 64));
            wire::store(word, wire::load<std::uint64_t>(word) | std::uint64_t{1} << (i % 64));
        } else if (const Put put = put_text(elements, slots_at + 8 * i, unescaped(element, storage),
                                            element_type);
                   put != Put::Done) {
            return put;
        }
        ++i;
    }
    target.close_variable(slot_at, start);
    return Put::Done;
}

// int2vector and oidvector: one dimension that begins at 0.
Put put_vector(const Target& target, std::size_t slot_at, std::string_view text,
               const TextType& type) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t blank = std::min(text.find(' ', at), text.size());
        parts.push_back(text.substr(at, blank - at));
        at = blank + 1;
    }
    Shape shape;
    shape.dimensions = parts.empty() ? 0 : 1;
    shape.dimension[0] = {static_cast<std::int32_t>(parts.size()), 0};
    shape.elements = parts.size();
    const std::size_t start = target.buffer.size();
    const auto nulls_at = put_array_head(target, shape);
    if (!nulls_at) return Put::NoRoom;
    const std::size_t slots_at = *nulls_at + 8 * ((shape.elements + 63) / 64);
    const Target elements = {target.buffer, start, target.limit};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const Put put = put_text(elements, slots_at + 8 * i, parts[i], {.code = type.element});
        if (put != Put::Done) return put;
    }
    target.close_variable(slot_at, start);
    return Put::Done;
}

Put put_enum(const Target& target, std::size_t slot_at, std::string_view text,
             const Labels* labels) {
    if (labels == nullptr) return Put::NotUnderstood;
    const auto found = labels->find(text);
    if (found == labels->end()) return Put::NotUnderstood;
    return put_slot(target, slot_at, found->second);
}

}  // namespace

Put put_text(const Target& target, std::size_t slot_at, std::string_view text,
             const TextType& type) {
    switch (type.code) {
        case TypeCode::Bool:
            if (text != "t" && text != "f") return Put::NotUnderstood;
            return put_slot(target, slot_at, text == "t" ? 1 : 0);
        case TypeCode::Int2: return put_fixed(target, slot_at, whole_number<std::int16_t>(text));
        case TypeCode::Int4: return put_fixed(target, slot_at, whole_number<std::int32_t>(text));
        case TypeCode::Int8: return put_fixed(target, slot_at, whole_number<std::int64_t>(text));
        case TypeCode::Oid: return put_fixed(target, slot_at, whole_number<std::uint32_t>(text));
        case TypeCode::Float4: return put_float<float, std::uint32_t>(target, slot_at, text);
        case TypeCode::Float8: return put_float<double, std::uint64_t>(target, slot_at, text);
        case TypeCode::Numeric: return put_numeric(target, slot_at, text);
        case TypeCode::Bytea: return put_bytea(target, slot_at, text);
        case TypeCode::Uuid: return put_uuid(target, slot_at, text);
        case TypeCode::Date: return put_fixed(target, slot_at, date_of(text));
        case TypeCode::Time: return put_fixed(target, slot_at, time_of(text));
        case TypeCode::TimeTz: return put_timetz(target, slot_at, text);
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz:
            return put_fixed(target, slot_at,
                             timestamp_of(text, type.code == TypeCode::TimestampTz));
        case TypeCode::Interval: return put_interval(target, slot_at, text);
        case TypeCode::Inet:
        case TypeCode::Cidr: return put_inet(target, slot_at, text);
        case TypeCode::MacAddr: {
            const auto slot = macaddr_of(text);
            return slot ? put_slot(target, slot_at, *slot) : Put::NotUnderstood;
        }
        case TypeCode::Enum: return put_enum(target, slot_at, text, type.labels);
        case TypeCode::Array:
            return type.is_vector ? put_vector(target, slot_at, text, type)
                                  : put_array(target, slot_at, text, type);
        case TypeCode::Text:
        case TypeCode::Json:
        case TypeCode::Other: return put_bytes(target, slot_at, text.data(), text.size());
        case TypeCode::Jsonb: break;  // declared as json: its text is jsonb_out's
    }
    return Put::NotUnderstood;
}

}  // namespace fatwal::sidecar::pgoutput
