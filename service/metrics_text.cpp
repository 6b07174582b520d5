#include "service/metrics_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace fatwal::service {

namespace {

std::string text_of_number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
}

// In a help text a quotation mark stands for itself.
std::string escaped(std::string_view text, bool in_label) {
    std::string out;
    for (const char c : text) {
        if (c == '\n')
            out += "\\n";
        else if (c == '\\' || (c == '"' && in_label))
            (out += '\\') += c;
        else
            out += c;
    }
    return out;
}

}  // namespace

void Histogram::observe(double value) {
    const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    ++counts_[static_cast<std::size_t>(bucket - bounds_.begin())];
    sum_ += value;
}

std::vector<double> latency_bounds() {
    return {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
            0.5,    1,     2.5,    5,     10,   30,    60,   300};
}

void MetricsText::family(std::string_view name, Type type, std::string_view help) {
    constexpr std::array kTypes = {"counter", "gauge", "histogram"};
    name_ = name;
    ((out_ += "# HELP ") += name_) += ' ';
    (out_ += escaped(help, false)) += '\n';
    ((out_ += "# TYPE ") += name_) += ' ';
    (out_ += kTypes.at(static_cast<std::size_t>(type))) += '\n';
}

void MetricsText::line(std::string_view suffix, Labels labels, std::string_view value) {
    (out_ += name_) += suffix;
    char before = '{';
    for (const auto& [label, text] : labels) {
        ((out_ += before) += label) += "=\"";
        (out_ += escaped(text, true)) += '"';
        before = ',';
    }
    if (labels.size() > 0) out_ += '}';
    ((out_ += ' ') += value) += '\n';
}

void MetricsText::sample(Labels labels, double value) { line({}, labels, text_of_number(value)); }
void MetricsText::sample(Labels labels, std::uint64_t value) {
    line({}, labels, std::to_string(value));
}

void MetricsText::one_of(std::string_view name, std::string_view help, std::string_view label,
                         std::initializer_list<std::string_view> values, std::string_view current) {
    family(name, Type::Gauge, help);
    for (const std::string_view value : values)
        sample({{label, value}}, std::uint64_t{value == current});
}

void MetricsText::histogram(std::string_view name, std::string_view help,
                            const Histogram& histogram) {
    family(name, Type::Histogram, help);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
        below += histogram.counts()[i];
        const std::string bound =
            i < histogram.bounds().size() ? text_of_number(histogram.bounds()[i]) : "+Inf";
        line("_bucket", {{"le", bound}}, std::to_string(below));
    }
    line("_sum", {}, text_of_number(histogram.sum()));
    line("_count", {}, std::to_string(below));
}

}  // namespace fatwal::service
