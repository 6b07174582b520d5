// The text format that Prometheus reads (exposition format 0.0.4), and histograms to fill it with.
// By hand, as it is a few lines a metric: a library would bring a web server and threads of its
// own.
//
//     MetricsText text;
//     text.gauge("fatwal_accounts", "Accounts whose socket is open", accounts);
//     text.family("fatwal_subscribers", MetricsText::Type::Gauge, "Subscribers attached");
//     text.sample({{"state", "live"}}, live);
//     … = text.take();
//
// Names carry their unit, counters end in _total: `promtool check metrics` says so in the tests. A
// label has a small, fixed set of values; what grows with accounts is no label.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fatwal::service {

// How many observations fell below each bound. One thread; others get copies.
class Histogram {
public:
    // Rising.
    explicit Histogram(std::vector<double> bounds)
        : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

    void observe(double value);
    void observe(std::chrono::nanoseconds duration) {
        observe(std::chrono::duration<double>(duration).count());
    }

    [[nodiscard]] const std::vector<double>& bounds() const { return bounds_; }
    // Of each bucket alone; the last has what lies above all bounds.
    [[nodiscard]] const std::vector<std::uint64_t>& counts() const { return counts_; }
    [[nodiscard]] double sum() const { return sum_; }

private:
    std::vector<double> bounds_;
    std::vector<std::uint64_t> counts_;
    double sum_ = 0;
};

// Seconds, from half a millisecond to five minutes.
[[nodiscard]] std::vector<double> latency_bounds();

class MetricsText {
public:
    enum class Type : std::uint8_t { Counter, Gauge, Histogram };
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    // Samples of it follow.
    void family(std::string_view name, Type type, std::string_view help);
    void sample(Labels labels, double value);
    void sample(Labels labels, std::uint64_t value);

    // A family with one sample that has no label.
    void counter(std::string_view name, std::string_view help, std::uint64_t value) {
        family(name, Type::Counter, help);
        sample({}, value);
    }
    void counter(std::string_view name, std::string_view help, double value) {
        family(name, Type::Counter, help);
        sample({}, value);
    }
    void gauge(std::string_view name, std::string_view help, std::uint64_t value) {
        family(name, Type::Gauge, help);
        sample({}, value);
    }
    void gauge(std::string_view name, std::string_view help, double value) {
        family(name, Type::Gauge, help);
        sample({}, value);
    }
    // A gauge that is 1 for one of the values of its label and 0 for the others.
    void one_of(std::string_view name, std::string_view help, std::string_view label,
                std::initializer_list<std::string_view> values, std::string_view current);
    void histogram(std::string_view name, std::string_view help, const Histogram& histogram);

    std::string take() { return std::move(out_); }

private:
    void line(std::string_view suffix, Labels labels, std::string_view value);

    std::string out_;
    std::string name_;  // of the family
};

}  // namespace fatwal::service
