#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fatwal/wire/text_sink.h"
#include "support/builder.h"

namespace fatwal {
namespace {

using test::Value;
using wire::TypeCode;

std::string fixed(TypeCode code, std::uint64_t slot) {
    std::string out;
    EXPECT_EQ(wire::render_value({wire::Cell::State::Value, slot, {}}, code, TypeCode::Other, {}, wire::sink_to(out)),
              wire::RenderError::None);
    return out;
}

std::string variable(TypeCode code, const std::string& bytes, TypeCode element = TypeCode::Other) {
    std::string out;
    const auto error = wire::render_value({wire::Cell::State::Value, 0, wire::as_bytes(bytes)}, code, element, {}, wire::sink_to(out));
    return error == wire::RenderError::None ? out : "malformed";
}

std::string numeric(std::uint16_t header, std::initializer_list<int> digits) {
    std::string bytes;
    test::put(bytes, header);
    for (const int digit : digits) test::put(bytes, static_cast<std::int16_t>(digit));
    return bytes;
}

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }

TEST(Json, IntegersBeyondADoubleAreStrings) {
    EXPECT_EQ(fixed(TypeCode::Int8, bits(9007199254740991)), "9007199254740991");
    EXPECT_EQ(fixed(TypeCode::Int8, bits(9007199254740992)), "\"9007199254740992\"");
    EXPECT_EQ(fixed(TypeCode::Int8, bits(std::numeric_limits<std::int64_t>::min())), "\"-9223372036854775808\"");
    EXPECT_EQ(fixed(TypeCode::Int2, bits(-1)), "-1");
}

TEST(Json, FloatsAreShortAndReadBackTheSame) {
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(0.1)), "0.1");
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(1.0 / 3)), "0.3333333333333333");
    EXPECT_EQ(fixed(TypeCode::Float4, std::bit_cast<std::uint32_t>(0.1F)), "0.1");
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(std::numeric_limits<double>::infinity())), "\"Infinity\"");
    EXPECT_EQ(fixed(TypeCode::Float8, std::bit_cast<std::uint64_t>(std::nan(""))), "\"NaN\"");
}

TEST(Json, NumericsPrintAsPostgresPrintsThem) {
    // Short headers: 0x8000, sign 0x2000, scale << 7, weight in the low 7 bits.
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000, {})), "0");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 3 << 7, {})), "0.000");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 2 << 7, {12, 5000})), "12.50");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0xA000 | 1, {1, 2})), "-10002");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 8 << 7 | 0x7E, {12})), "0.00000012");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000 | 3, {1234, 5678, 9012, 3456})), "\"1234567890123456\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0xC000, {})), "\"NaN\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0xF000, {})), "\"-Infinity\"");
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x4002, {0, 7, 2500})), "-7.25");  // long header
    EXPECT_EQ(variable(TypeCode::Numeric, numeric(0x8000, {10000})), "malformed");
    EXPECT_EQ(variable(TypeCode::Numeric, "x"), "malformed");
}

TEST(Json, TimesAreIso8601) {
    EXPECT_EQ(fixed(TypeCode::TimestampTz, 0), "\"2000-01-01T00:00:00Z\"");
    EXPECT_EQ(fixed(TypeCode::Timestamp, bits(-1)), "\"1999-12-31T23:59:59.999999\"");
    EXPECT_EQ(fixed(TypeCode::Timestamp, bits(std::numeric_limits<std::int64_t>::max())), "\"infinity\"");
    EXPECT_EQ(fixed(TypeCode::Date, bits(std::numeric_limits<std::int32_t>::min())), "\"-infinity\"");
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
    EXPECT_EQ(variable(TypeCode::Cidr, std::string("\x04\x20\x0a\x00\x00\x01", 6)), "\"10.0.0.1/32\"");
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x06\x40", 2) + std::string(16, '\0')), "\"::/64\"");
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x05\x20\x0a\x00\x00\x01", 6)), "malformed");
    EXPECT_EQ(variable(TypeCode::Inet, std::string("\x04\x21\x0a\x00\x00\x01", 6)), "malformed");
    EXPECT_EQ(fixed(TypeCode::MacAddr, 0x0302'012B'0008), "\"08:00:2b:01:02:03\"");
}

TEST(Json, ArraysNest) {
    EXPECT_EQ(variable(TypeCode::Array, test::array_value({2, 2}, {Value::fixed(1), Value::fixed(2), Value::null(), Value::fixed(4)}),
                       TypeCode::Int4),
              "[[1,2],[null,4]]");
    EXPECT_EQ(variable(TypeCode::Array, test::array_value({}, {}), TypeCode::Text), "[]");
    EXPECT_EQ(variable(TypeCode::Array, test::array_value({2}, {Value::text("a,\"b"), Value::text("")}), TypeCode::Text),
              "[\"a,\\\"b\",\"\"]");
    // Dimensions that do not multiply to the number of elements, and more elements than there are bytes.
    EXPECT_EQ(variable(TypeCode::Array, test::array_value({3}, {Value::fixed(1)}), TypeCode::Int4), "malformed");
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

TEST(Jsonb, NestingIsBounded) {
    // An array that holds an array that holds …: each level is a header and one entry.
    std::string bytes;
    constexpr std::uint32_t kDepth = 3000;
    for (std::uint32_t level = 0; level < kDepth; ++level) {
        test::put(bytes, std::uint32_t{0x4000'0001});
        test::put(bytes, std::uint32_t{0x5000'0000U | (kDepth - level - 1) * 8});
    }
    EXPECT_EQ(variable(TypeCode::Jsonb, bytes), "malformed");
}

}  // namespace
}  // namespace fatwal
