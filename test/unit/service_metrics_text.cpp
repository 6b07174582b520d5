#include "service/metrics_text.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fatwal::service {
namespace metrics_text_tests {

TEST(MetricsText, AFamilyHasItsHelpItsTypeAndItsSamples) {
    MetricsText text;
    text.gauge("x_bytes", "What is kept", std::uint64_t{7});
    text.family("y_total", MetricsText::Type::Counter, "What came");
    text.sample({{"cause", "a"}, {"kind", "b"}}, std::uint64_t{18'446'744'073'709'551'615U});
    text.sample({{"cause", "c"}, {"kind", "d"}}, 0.25);
    EXPECT_EQ(text.take(),
              "# HELP x_bytes What is kept\n"
              "# TYPE x_bytes gauge\n"
              "x_bytes 7\n"
              "# HELP y_total What came\n"
              "# TYPE y_total counter\n"
              "y_total{cause=\"a\",kind=\"b\"} 18446744073709551615\n"
              "y_total{cause=\"c\",kind=\"d\"} 0.25\n");
}

TEST(MetricsText, NoLabelAndNoHelpEndsItsLine) {
    MetricsText text;
    text.family("x", MetricsText::Type::Gauge, "a \"b\" \\ c\nd");
    text.sample({{"of", "a \"b\" \\ c\nd"}}, std::uint64_t{1});
    EXPECT_EQ(text.take(),
              "# HELP x a \"b\" \\\\ c\\nd\n"
              "# TYPE x gauge\n"
              "x{of=\"a \\\"b\\\" \\\\ c\\nd\"} 1\n");
}

TEST(MetricsText, NumbersThatAreNoneHaveTheNamesOfTheFormat) {
    MetricsText text;
    text.family("x", MetricsText::Type::Gauge, "x");
    text.sample({}, HUGE_VAL);
    text.sample({}, -HUGE_VAL);
    text.sample({}, std::nan(""));
    const std::string out = text.take();
    EXPECT_TRUE(out.ends_with("x +Inf\nx -Inf\nx NaN\n")) << out;
}

TEST(MetricsText, OneOfIsOneForOne) {
    MetricsText text;
    text.one_of("x", "x", "state", {"a", "b"}, "b");
    const std::string out = text.take();
    EXPECT_TRUE(out.ends_with("x{state=\"a\"} 0\nx{state=\"b\"} 1\n")) << out;
}

TEST(MetricsText, BucketsOfAHistogramCountAllBelowTheirBound) {
    Histogram histogram({0.1, 1});
    for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.observe(value);
    histogram.observe(std::chrono::milliseconds(250));
    MetricsText text;
    text.histogram("x_seconds", "x", histogram);
    const std::string out = text.take();
    EXPECT_TRUE(
        out.ends_with("x_seconds_bucket{le=\"0.1\"} 2\n"
                      "x_seconds_bucket{le=\"1\"} 4\n"
                      "x_seconds_bucket{le=\"+Inf\"} 5\n"
                      "x_seconds_sum 7.9\n"
                      "x_seconds_count 5\n"))
        << out;
}

}  // namespace metrics_text_tests
}  // namespace fatwal::service
