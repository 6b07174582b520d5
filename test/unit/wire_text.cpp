// What is text, what is JSON, and what a reader of lines would obey.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

#include "fatwal/wire/text.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal {
namespace text_tests {

std::string repeated(std::string_view text, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += text;
    return out;
}

TEST(Text, Utf8IsWhatPostgresTakes) {
    for (const char* good : {"", "a", "eight bytes and more", "é", "\xED\x9F\xBF", "\xEE\x80\x80",
                             "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
        EXPECT_TRUE(wire::is_utf8(good)) << good;
    EXPECT_TRUE(wire::is_utf8(std::string_view("\0", 1)));
    // A continuation alone, overlong forms, surrogates, beyond U+10FFFF, cut characters, bytes that
    // are in no character.
    for (const char* bad :
         {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80",
          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xFF",
          "\xFE", "seven b\xC3", "\xC3(", "\xE2\x28\xA1"})
        EXPECT_FALSE(wire::is_utf8(bad)) << bad;
}

TEST(Text, OneLineHasNothingThatATerminalOrAReaderOfLinesObeys) {
    for (const char* good :
         {"", "acme", "a b", "é\"\\", "\xC2\xA0", "\xE2\x80\xA7", "\xE2\x80\xAA"})
        EXPECT_TRUE(wire::is_one_line(good)) << good;
    EXPECT_FALSE(wire::is_one_line(std::string_view("a\0b", 3)));
    for (const char* bad : {"\n", "a\r", "\t", "\x1b[1m", "\x7f", "\xC2\x85", "\xC2\x9B",
                            "\xE2\x80\xA8", "\xE2\x80\xA9", "\xFF"})
        EXPECT_FALSE(wire::is_one_line(bad)) << bad;
}

TEST(Text, JsonIsExactlyOneValue) {
    for (const char* good :
         {"1", " null ", "true", "false", "\"\"", "{}", "[]", "[1,\n2]",
          "{\"a\":{\"b\":[ ]}, \"a\" : -0.5e+10}", "\"\\u0000\\ud800\\/\\\"\"", "1e999999", "-0",
          "0.0", "1E5", "[[],[{}],{\"\":0}]", "\"\xF0\x9F\x98\x80\"", "\t\r\n1", "\"\x7f\""})
        EXPECT_TRUE(wire::is_json(good)) << good;
    for (const char* bad : {"",
                            " ",
                            "1 2",
                            "1,\"topic\":\"other\"",
                            "{} {}",
                            "[1,]",
                            "[,1]",
                            "[",
                            "]",
                            "{\"a\"}",
                            "{\"a\":}",
                            "{a:1}",
                            "{\"a\":1,}",
                            "{1:1}",
                            "nul",
                            "nullx",
                            "True",
                            "01",
                            "1.",
                            ".5",
                            "-",
                            "+1",
                            "1e",
                            "1e+",
                            "0x10",
                            "NaN",
                            "'a'",
                            "\"",
                            "\"\\\"",
                            "\"\\x\"",
                            "\"\\u12g4\"",
                            "\"\\u123\"",
                            "\"a\nb\"",
                            "\"\t\"",
                            "\"\xFF\"",
                            "\xEF\xBB\xBF"
                            "1",
                            "[1}",
                            "{\"a\":1]",
                            "//",
                            "1\xC2\xA0",
                            "[1 2]",
                            "1\v"})
        EXPECT_FALSE(wire::is_json(bad)) << bad;
    EXPECT_FALSE(wire::is_json(std::string_view("1\0", 2)));
    EXPECT_FALSE(wire::is_json(std::string_view("\"\0\"", 3)));
}

TEST(Text, JsonIsNestedAtMostThatDeep) {
    const auto nested = [](std::size_t depth) {
        return repeated("[{\"a\":", depth / 2) + "1" + repeated("}]", depth / 2);
    };
    EXPECT_TRUE(wire::is_json(nested(wire::kMaxPayloadDepth)));
    EXPECT_FALSE(wire::is_json(nested(wire::kMaxPayloadDepth + 2)));
    EXPECT_TRUE(wire::is_json(nested(wire::kMaxJsonDepth), wire::kMaxJsonDepth));
    EXPECT_FALSE(wire::is_json(nested(wire::kMaxJsonDepth + 2), 10 * wire::kMaxJsonDepth))
        << "no more than there are bits";
    EXPECT_FALSE(wire::is_json(repeated("[", 10'000'000)));
    EXPECT_TRUE(wire::is_json("[1]", 1));
    EXPECT_FALSE(wire::is_json("[[]]", 1)) << "an empty one is a level too";
    EXPECT_FALSE(wire::is_json("[[1]]", 1));
}

// What can be cut anywhere and still be JSON is a number only.
TEST(Text, JsonThatIsCutIsNone) {
    const std::string whole = "{\"a\": [1.5e3, true, null, \"x\\u00e9\\n\"], \"b\": {}}";
    ASSERT_TRUE(wire::is_json(whole));
    for (std::size_t length = 0; length < whole.size(); ++length)
        EXPECT_FALSE(wire::is_json(whole.substr(0, length))) << length;
}

TEST(Text, JsonIsPrintedOnOneLineAndStaysTheSame) {
    const auto line = [](std::string_view json) {
        std::string out;
        wire::render_json(json, wire::sink_to(out));
        return out;
    };
    EXPECT_EQ(line("{\"a\":\r\n\t1}"), "{\"a\":   1}");
    EXPECT_EQ(line("\"\x7f\xC2\x85\xE2\x80\xA8\xE2\x80\xA9\xC3\xA9\""),
              "\"\\u007f\\u0085\\u2028\\u2029é\"");
    EXPECT_TRUE(wire::is_json(line("\"\\\\\xC2\x9B\"")));
}

// Whatever the bytes are, a string is one line of JSON.
TEST(Text, StringsAreOneLineOfJsonWhateverTheBytesAre) {
    std::mt19937 random(7);  // NOLINT(bugprone-random-generator-seed)
    const std::string alphabet("a\"\\\n\x00\x1b\x7f\x80\x85\xA8\xC2\xE2\xED\xF0\xFF", 15);
    for (int round = 0; round < 20'000; ++round) {
        std::string text;
        for (std::size_t i = random() % 8; i-- > 0;) text += alphabet[random() % alphabet.size()];
        std::string out;
        wire::render_string(text, wire::sink_to(out));
        ASSERT_TRUE(wire::is_json(out)) << out;
        ASSERT_TRUE(wire::is_one_line(out)) << out;
    }
    std::string out;
    wire::render_string("a\xFF\xC2\x85\x7f", wire::sink_to(out));
    EXPECT_EQ(out, "\"a\\ufffd\\u0085\\u007f\"");
}

}  // namespace text_tests
}  // namespace fatwal
