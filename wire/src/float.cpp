// Floats as text: the digits come from the C library, their layout from here.
//
// The C library writes and reads the decimal sign of the process's locale, and std::to_chars of a
// double is in libstdc++, which the server does not load. So of what snprintf writes only the
// digits and the exponent are taken, and strtod reads them without a decimal sign. Neither depends
// on the locale, also while another thread changes it.
#include "wire/src/float.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace fatwal::wire {

namespace {

// The significant digits of a finite number and its power of ten: 1.5 is "15" and 0.
struct Decimal {
    char digits[20] = {};
    std::size_t count = 0;
    int exponent = 0;
    bool negative = false;
};

Decimal decimal_of(double value, int precision) {
    char text[64];
    const int length = std::snprintf(text, sizeof text, "%.*e", precision - 1, value);
    Decimal decimal;
    decimal.negative = std::signbit(value);
    const char* at = text;
    const char* const end = text + std::min<int>(length, sizeof text - 1);
    for (; at != end && *at != 'e'; ++at)
        if (*at >= '0' && *at <= '9') decimal.digits[decimal.count++] = *at;
    if (at != end) ++at;
    if (at != end && *at == '+') ++at;
    (void)std::from_chars(at, end, decimal.exponent);
    return decimal;
}

// Whether the digits read back as `value`. They are written without a decimal sign ("15e-1"), which
// reads the same in every locale.
template <class Float, class Parse>
bool reads_back(const Decimal& decimal, Float value, Parse parse) {
    char text[40];
    char* at = text;
    if (decimal.negative) *at++ = '-';
    at = std::copy(decimal.digits, decimal.digits + decimal.count, at);
    *at++ = 'e';
    const int exponent = decimal.exponent - static_cast<int>(decimal.count) + 1;
    at = std::to_chars(at, text + sizeof text - 1, exponent).ptr;
    *at = '\0';
    return parse(text) == value;
}

// The digits as printf's %g lays them out for that precision: plain from 1e-4 up to the precision,
// else with an exponent of at least two digits; no zeros at the end.
void render_decimal(const Decimal& decimal, const Sink& sink) {
    std::size_t count = decimal.count;
    while (count > 1 && decimal.digits[count - 1] == '0') --count;
    const std::string_view digits(decimal.digits, count);
    const auto part = [&](std::size_t from, std::size_t to) {
        sink({digits.data() + from, to - from});
    };
    if (decimal.negative) sink('-');
    if (decimal.exponent < -4 || decimal.exponent >= static_cast<int>(decimal.count)) {
        part(0, 1);
        if (count > 1) sink('.');
        part(1, count);
        sink(decimal.exponent < 0 ? "e-" : "e+");
        const int exponent = decimal.exponent < 0 ? -decimal.exponent : decimal.exponent;
        if (exponent < 10) sink('0');
        char text[8];
        sink({text, static_cast<std::size_t>(std::to_chars(text, text + sizeof text, exponent).ptr -
                                             text)});
    } else if (decimal.exponent < 0) {
        sink("0.");
        for (int i = -1; i > decimal.exponent; --i) sink('0');
        part(0, count);
    } else {
        const std::size_t whole = static_cast<std::size_t>(decimal.exponent) + 1;
        part(0, whole < count ? whole : count);
        for (std::size_t i = count; i < whole; ++i) sink('0');
        if (count > whole) sink('.');
        if (count > whole) part(whole, count);
    }
}

template <class Float, class Parse>
void render_shortest(Float value, int least_digits, int most_digits, Parse parse,
                     const Sink& sink) {
    if (std::isnan(value)) return sink("\"NaN\"");
    if (std::isinf(value)) return sink(value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    Decimal decimal;
    for (int digits = least_digits; digits <= most_digits; ++digits) {
        decimal = decimal_of(static_cast<double>(value), digits);
        if (reads_back(decimal, value, parse)) break;
    }
    render_decimal(decimal, sink);
}

}  // namespace

void render_float(float value, const Sink& sink) {
    const auto parse = [](const char* text) { return std::strtof(text, nullptr); };
    render_shortest(value, 6, 9, parse, sink);
}

void render_float(double value, const Sink& sink) {
    const auto parse = [](const char* text) { return std::strtod(text, nullptr); };
    render_shortest(value, 15, 17, parse, sink);
}

}  // namespace fatwal::wire
