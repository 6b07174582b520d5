#include <gtest/gtest.h>

#include <pthread.h>

#include <array>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <random>

#include "fatwal/wire/text_sink.h"
#include "test/support/builder.h"

namespace fatwal {
namespace values_tests {

using test::Value;
using wire::TypeCode;

std::string fixed(TypeCode code, std::uint64_t slot) {
    std::string out;
    EXPECT_EQ(wire::render_value({wire::Cell::State::Value, slot, {}}, code, TypeCode::Other, {},
                                 wire::sink_to(out)),
              wire::RenderError::None);
    return out;
}

std::string variable(TypeCode code, const std::string& bytes, TypeCode element = TypeCode::Other) {
    std::string out;
    const auto error = wire::render_value({wire::Cell::State::Value, 0, wire::as_bytes(bytes)},
                                          code, element, {}, wire::sink_to(out));
    return error == wire::RenderError::None ? out : "malformed";
}

// The same value with int8 and numeric as JSON numbers.
std::string as_number(TypeCode code, std::uint64_t slot, const std::string& bytes,
                      TypeCode element = TypeCode::Other) {
    std::string out;
    EXPECT_EQ(wire::render_value({wire::Cell::State::Value, slot, wire::as_bytes(bytes)}, code,
                                 element, {}, wire::sink_to(out), wire::Numbers::Json),
              wire::RenderError::None);
    return out;
}

std::string numeric(std::uint16_t header, std::initializer_list<int> digits) {
    std::string bytes;
    test::put(bytes, header);
    for (const int digit : digits) test::put(bytes, static_cast<std::int16_t>(digit));
    return bytes;
}

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }

TEST(Json, AnInt8IsAStringWhateverItsValue) {
    EXPECT_EQ(fixed(TypeCode::Int8, 1), "\"1\"");
    EXPECT_EQ(fixed(TypeCode::Int8, bits(9007199254740992)), "\"9007199254740992\"");
    EXPECT_EQ(fixed(TypeCode::Int8, bits(std::numeric_limits<std::int64_t>::min())),
              "\"-9223372036854775808\"");
    EXPECT_EQ(fixed(TypeCode::Int2, bits(-1)), "-1");
}

TEST(Json, FloatsAreShortAndReadBackTheSame) {
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(0.1)), "0.1");
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(1.0 / 3)), "0.3333333333333333");
    EXPECT_EQ(fixed(TypeCode::Float4, std::bit_cast<std::uint32_t>(0.1F)), "0.1");
    EXPECT_EQ(fixed(TypeCode::Float8,
                    std::bit_cast<std::uint64_t>(std::numeric_limits<double>::infinity())),
              "\"Infinity\"");
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(std::nan(""))), "\"NaN\"");
}

std::string float8(double value) {
    return fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(value));
}

// The fewest of 15, 16 or 17 digits that read back, as printf's %g prints them in the locale C.
std::string as_printf(double value) {
    char text[40];
    for (int digits = 15; digits <= 17; ++digits) {
        std::snprintf(text, sizeof text, "%.*g", digits, value);
        if (std::strtod(text, nullptr) == value) break;
    }
    return text;
}

TEST(Json, FloatsAreLaidOutAsPrintfDoes) {
    std::mt19937_64 random(11);  // NOLINT(bugprone-random-generator-seed)
    for (const double value : {0.0,
                               -0.0,
                               1.0,
                               -1.5,
                               100.0,
                               123456789012345.0,
                               1e14,
                               1e15,
                               1e16,
                               1e17,
                               1e22,
                               1e23,
                               1e100,
                               1e-4,
                               1e-5,
                               0.00012345,
                               5e-324,
                               1.7976931348623157e308,
                               123456789012345680.0,
                               1e-7,
                               2.5e-5,
                               999999999999999.9,
                               9.999999999999999e22})
        EXPECT_EQ(float8(value), as_printf(value));
    for (int round = 0; round < 100'000; ++round) {
        const auto value = std::bit_cast<double>(random());
        if (std::isfinite(value)) {
            ASSERT_EQ(float8(value), as_printf(value));
        }
        const double small =
            static_cast<double>(static_cast<std::int64_t>(random() % 2'000'000'000)) / 1000.0;
        ASSERT_EQ(float8(small), as_printf(small));
    }
}

// A process with another LC_NUMERIC: the locales are made here, so none need be installed.
class Locale : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        char folder[] = "/tmp/fatwal-locale.XXXXXX";
        ASSERT_NE(mkdtemp(folder), nullptr);
        folder_ = folder;
        const std::string command = "localedef --no-archive -i " + std::string(GetParam()) +
                                    " -f UTF-8 '" + (folder_ / "made").string() + "'";
        ASSERT_EQ(std::system(command.c_str()), 0)
            << "scripts/setup --tests installs the package locales";  // NOLINT
        ASSERT_EQ(setenv("LOCPATH", folder_.c_str(), 1), 0);
        ASSERT_NE(std::setlocale(LC_ALL, "made"), nullptr);
    }
    void TearDown() override {
        std::setlocale(LC_ALL, "C");
        unsetenv("LOCPATH");
        std::filesystem::remove_all(folder_);
    }
    std::filesystem::path folder_;
};

TEST_P(Locale, JsonIsTheSameInAll) {
    char text[16];
    std::snprintf(text, sizeof text, "%.1f", 1.5);
    ASSERT_STRNE(text, "1.5") << "the locale has another decimal sign";
    EXPECT_EQ(float8(1.5), "1.5");
    EXPECT_EQ(float8(0.1), "0.1");
    EXPECT_EQ(float8(1e23), "1e+23");
    EXPECT_EQ(float8(5e-324), "4.94065645841247e-324");
    EXPECT_EQ(float8(1234567.5), "1234567.5");
    EXPECT_EQ(fixed(TypeCode::Float4, std::bit_cast<std::uint32_t>(0.1F)), "0.1");
    EXPECT_EQ(fixed(TypeCode::Float4, std::bit_cast<std::uint32_t>(16777216.0F)), "16777216");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 2 << 7, {12, 5000})), "\"12.50\"");
    EXPECT_EQ(fixed(TypeCode::Int8, 1'234'567), "\"1234567\"");
}

// A comma, and a sign of two bytes (U+066B).
INSTANTIATE_TEST_SUITE_P(Decimal, Locale, testing::Values("de_DE", "ps_AF"));

TEST(Json, NumericsPrintAsPostgresPrintsThem) {
    // Short headers: 0x8000, sign 0x2000, scale << 7, weight in the low 7 bits.
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000, {})), "\"0\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 3 << 7, {})), "\"0.000\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 2 << 7, {12, 5000})), "\"12.50\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0xA000 | 1, {1, 2})), "\"-10002\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 8 << 7 | 0x7E, {12})), "\"0.00000012\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 3, {1234, 5678, 9012, 3456})),
              "\"1234567890123456\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0xC000, {})), "\"NaN\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0xF000, {})), "\"-Infinity\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x4002, {0, 7, 2500})),
              "\"-7.25\"");  // long header
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000, {10000})), "malformed");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 1, {0, 2})), "malformed")
        << "00002 is no number of JSON";
    EXPECT_EQ(variable(TypeCode::Numeric, "x"), "malformed");
}

TEST(Json, NumbersAreNumbersForAReaderThatKeepsThem) {
    EXPECT_EQ(as_number(TypeCode::Int8, bits(std::numeric_limits<std::int64_t>::min()), {}),
              "-9223372036854775808");
    EXPECT_EQ(as_number(TypeCode::Numeric, 0, numeric(0x8000 | 3, {1234, 5678, 9012, 3456})),
              "1234567890123456");
    EXPECT_EQ(as_number(TypeCode::Numeric, 0, numeric(0xC000, {})), "\"NaN\"");
    EXPECT_EQ(as_number(TypeCode::Array, 0,
                        test::array_value({2}, {Value::fixed(1), Value::null()}), TypeCode::Int8),
              "[1,null]");
}

TEST(Json, TimesAreIso8601) {
    EXPECT_EQ(fixed(TypeCode::TimestampTz, 0), "\"2000-01-01T00:00:00Z\"");
    EXPECT_EQ(fixed(TypeCode::Timestamp, bits(-1)), "\"1999-12-31T23:59:59.999999\"");
    EXPECT_EQ(fixed(TypeCode::Timestamp, bits(std::numeric_limits<std::int64_t>::max())),
              "\"infinity\"");
    EXPECT_EQ(fixed(TypeCode::Date, bits(std::numeric_limits<std::int32_t>::min())),
              "\"-infinity\"");
    EXPECT_EQ(fixed(TypeCode::Date, bits(59)), "\"2000-02-29\"");
    EXPECT_EQ(fixed(TypeCode::Date, bits(-730'486)), "\"-0001-12-31\"");
    EXPECT_EQ(fixed(TypeCode::Time, 86'400'000'000), "\"24:00:00\"");
    std::string zone;
    test::put(zone, std::int64_t{1'500'000});
    test::put(zone, std::int32_t{-19'800});
    EXPECT_EQ(variable(TypeCode::TimeTz, zone), "\"00:00:01.5+05:30\"");
}

TEST(Json, AddressesPrintAsPostgresPrintsThem) {
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x04\x20\x0a\x00\x00\x01", 6)), "\"10.0.0.1\"");
    EXPECT_EQ(variable(TypeCode::Cidr, std::string("\x04\x20\x0a\x00\x00\x01", 6)),
              "\"10.0.0.1/32\"");
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x06\x40", 2) + std::string(16, '\0')),
              "\"::/64\"");
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x05\x20\x0a\x00\x00\x01", 6)), "malformed");
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x04\x21\x0a\x00\x00\x01", 6)), "malformed");
    EXPECT_EQ(fixed(TypeCode::MacAddr, 0x0302'012B'0008), "\"08:00:2b:01:02:03\"");
}

TEST(Json, ArraysNest) {
    EXPECT_EQ(variable(TypeCode::Array,
                       test::array_value({2, 2}, {Value::fixed(1), Value::fixed(2), Value::null(),
                                                  Value::fixed(4)}),
                       TypeCode::Int4),
              "[[1,2],[null,4]]");
    EXPECT_EQ(variable(TypeCode::Array, test::array_value({}, {}), TypeCode::Text), "[]");
    EXPECT_EQ(
        variable(TypeCode::Array, test::array_value({2}, {Value::text("a,\"b"), Value::text("")}),
                 TypeCode::Text),
        "[\"a,\\\"b\",\"\"]");
    // Dimensions that do not multiply to the number of elements, and more elements than there are
    // bytes.
    EXPECT_EQ(variable(TypeCode::Array, test::array_value({3}, {Value::fixed(1)}), TypeCode::Int4),
              "malformed");
    std::string huge;
    test::put(huge, std::uint32_t{1});
    test::put(huge, std::uint32_t{0x7FFF'FFFF});
    test::put(huge, std::int32_t{0x7FFF'FFFF});
    test::put(huge, std::int32_t{1});
    EXPECT_EQ(variable(TypeCode::Array, huge, TypeCode::Int4), "malformed");
}

TEST(Json, StringsAreEscaped) {
    std::string out;
    wire::render_string("a\"\\\n\t\x01/é", wire::sink_to(out));
    EXPECT_EQ(out, "\"a\\\"\\\\\\n\\t\\u0001/é\"");
}

TEST(Jsonb, IsReadAndRefusedWhenCut) {
    // {"a": [true, null]} : object of one pair; key "a"; container of two entries without data.
    std::string bytes;
    test::put(bytes, std::uint32_t{0x2000'0001});
    test::put(bytes, std::uint32_t{1});
    test::put(bytes, std::uint32_t{0x5000'0000 | 15});
    bytes += std::string("a\0\0\0", 4);
    test::put(bytes, std::uint32_t{0x4000'0002});
    test::put(bytes, std::uint32_t{0x3000'0000});
    test::put(bytes, std::uint32_t{0x4000'0000});
    EXPECT_EQ(variable(TypeCode::Jsonb, bytes), "{\"a\": [true, null]}");
    for (std::size_t length = 0; length < bytes.size(); ++length)
        EXPECT_EQ(variable(TypeCode::Jsonb, bytes.substr(0, length)), "malformed") << length;
}

// An array that holds an array that holds …: each level is a header and one entry; the innermost is
// empty.
std::string nested_arrays(std::uint32_t depth) {
    std::string bytes;
    for (std::uint32_t level = 1; level < depth; ++level) {
        test::put(bytes, std::uint32_t{0x4000'0001});
        test::put(bytes, std::uint32_t{0x5000'0000U | ((depth - level - 1) * 8 + 4)});
    }
    test::put(bytes, std::uint32_t{0x4000'0000});
    return bytes;
}

// {"k": 1-element array, "v": …} at each level, so that the walk comes back to entries that follow
// the deep one.
std::string nested_objects(int depth) {
    std::string inner;
    test::put(inner, std::uint32_t{0x2000'0000});
    for (int level = 1; level < depth; ++level) {
        std::string outer;
        test::put(outer, std::uint32_t{0x2000'0002});
        test::put(outer, std::uint32_t{1});
        test::put(outer, std::uint32_t{1});
        test::put(outer, static_cast<std::uint32_t>(
                             0x5000'0000U | (inner.size() + 2)));  // with the padding before it
        test::put(outer, std::uint32_t{0x3000'0000});
        outer += std::string("ab\0\0", 4);
        inner = outer + inner;
    }
    return inner;
}

std::string times(std::string_view text, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += text;
    return out;
}

TEST(Jsonb, OfAnyDepthIsPrinted) {
    for (const std::uint32_t depth : {1U, 2U, 511U, 512U, 513U, 514U, 1025U, 5000U, 100'000U})
        EXPECT_EQ(variable(TypeCode::Jsonb, nested_arrays(depth)),
                  times("[", depth) + times("]", depth))
            << depth;
    for (const int depth : {1, 2, 511, 512, 513, 1024, 1025, 3000})
        EXPECT_EQ(variable(TypeCode::Jsonb, nested_objects(depth)),
                  times("{\"a\": ", static_cast<std::size_t>(depth) - 1) + "{}" +
                      times(", \"b\": true}", static_cast<std::size_t>(depth) - 1))
            << depth;
}

// The stack that it needs does not grow with the depth: a thread of the smallest usual stack reads
// it.
TEST(Jsonb, NeedsLittleStackWhateverTheDepth) {
    struct Work {
        std::string bytes = nested_arrays(100'000);
        std::size_t written = 0;
        wire::RenderError error = wire::RenderError::Malformed;
    } work;
    pthread_attr_t attributes;
    ASSERT_EQ(pthread_attr_init(&attributes), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, std::size_t{128} * 1024), 0);
    pthread_t thread{};
    const auto run = [](void* argument) -> void* {
        auto* out = static_cast<Work*>(argument);
        const wire::Sink count{&out->written, [](void* target, const char*, std::size_t length) {
                                   *static_cast<std::size_t*>(target) += length;
                               }};
        out->error = wire::render_jsonb(wire::as_bytes(out->bytes), count);
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    EXPECT_EQ(work.error, wire::RenderError::None);
    EXPECT_EQ(work.written, 200'000U);
}

TEST(Jsonb, TextThatIsNotUtf8IsMalformed) {
    std::string bytes;
    test::put(bytes, std::uint32_t{0x5000'0001});  // a bare string
    test::put(bytes, std::uint32_t{1});
    EXPECT_EQ(variable(TypeCode::Jsonb, bytes + "a"), "\"a\"");
    EXPECT_EQ(variable(TypeCode::Jsonb, bytes + "\xFF"), "malformed");
}

// Each value that cannot be printed costs its own column and is named; the others are printed.
TEST(Row, OneBadValueCostsItsColumnOnly) {
    const std::string schema =
        test::schema_message(1, "t",
                             {{"a", TypeCode::Int4},
                              {"text", TypeCode::Text},
                              {"json", TypeCode::Json},
                              {"jsonb", TypeCode::Jsonb},
                              {"n", TypeCode::Numeric},
                              {"label", TypeCode::Enum, TypeCode::Other, {{5, "x"}}},
                              {"uuid", TypeCode::Uuid},
                              {"list", TypeCode::Array, TypeCode::Jsonb},
                              {"toast", TypeCode::Text},
                              {"z", TypeCode::Text}});
    const auto view = wire::SchemaView::parse(wire::as_bytes(schema)).value();
    const std::string bytes =
        test::row({Value::fixed(1), Value::text("\xFF"), Value::text("1}\n{"), Value::text("x"),
                   Value::text("x"), Value::fixed(6), Value::text("short"),
                   Value::text(test::array_value({1}, {Value::text("x")})), Value::unavailable(),
                   Value::text("last")});
    const auto row = wire::RowView::parse(wire::as_bytes(bytes)).value();
    std::string text;
    EXPECT_EQ(wire::render_row(row, view, wire::sink_to(text)), wire::RenderError::None);
    EXPECT_EQ(text, "{\"a\":1,\"z\":\"last\"}");
    std::string names;
    EXPECT_EQ(wire::render_unavailable(row, view, wire::sink_to(names)), wire::RenderError::None);
    EXPECT_EQ(names, "[\"text\",\"json\",\"jsonb\",\"n\",\"label\",\"uuid\",\"list\",\"toast\"]");
}

}  // namespace values_tests
}  // namespace fatwal
