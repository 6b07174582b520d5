#include "service/settings.h"

#include <gtest/gtest.h>

#include "service/failure.h"
#include "service/log_level.h"
#include "test/support/settings.h"

namespace fatwal::service {
namespace settings_tests {

constexpr Program kProgram = {
    .name = "planted", .version = "1.2.3", .prefix = "PLANTED_", .purpose = "Does nothing."};

struct Values {
    std::string host;
    std::string slot = "fatwal";
    std::vector<std::string> peers;
    int delay_ms = 1000;
    std::int64_t bytes = 5'000'000'000;
    bool messages = true;
    LogLevel level = LogLevel::Info;
};

std::vector<Setting> specifications(Values& v) {
    return {
        {.name = "host", .value = &v.host, .unit = "name", .needed = true, .sentence = "the host"},
        {.name = "slot",
         .value = &v.slot,
         .unit = "[name](#names)",
         .sentence = "the slot of `host`",
         .more = "More of it"},
        {.name = "peer", .value = &v.peers, .standard = "(alone)", .sentence = "the others"},
        {.name = "delay_ms",
         .value = &v.delay_ms,
         .unit = "ms",
         .range = {100, 10'000},
         .sentence = "time to wait"},
        {.name = "bytes",
         .value = &v.bytes,
         .unit = "bytes",
         .range = {1024, Range::kEnough},
         .sentence = "most of it"},
        {.name = "messages", .value = &v.messages, .sentence = "whether there are any"},
        {.name = "level", .value = choice(v.level, log_levels()), .sentence = "what is logged"},
    };
}

// Why the settings are refused, with the names of all three parts.
std::string refusal(const std::vector<std::string>& arguments, const std::string& file = {}) {
    const test::TemporaryFile config(file);
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--config", config.path()});
    Values values;
    try {
        (void)test::load(kProgram, specifications(values), all);
    } catch (const Failure& failure) {
        return failure.text();
    }
    return "none";
}

TEST(Settings, EachIsReadByEachOfItsNames) {
    test::expect_each_setting_is_read<Values>(kProgram, specifications);
}

TEST(Settings, TheFlagIsBeforeTheEnvironmentBeforeTheFileBeforeTheDefault) {
    const test::TemporaryFile file(
        "host = 'file'\nslot = 'file'\npeer = 'file'\nmessages = false\n");
    const test::Variable host("PLANTED_HOST", "environment");
    const test::Variable slot("PLANTED_SLOT", "environment");
    Values values;
    EXPECT_EQ(
        test::load(kProgram, specifications(values), {"--config", file.path(), "--host", "flag"}),
        Load::Done);
    EXPECT_EQ(values.host, "flag");
    EXPECT_EQ(values.slot, "environment");
    EXPECT_EQ(values.peers, std::vector<std::string>{"file"});
    EXPECT_FALSE(values.messages);
    EXPECT_EQ(values.delay_ms, 1000);
}

TEST(Settings, AListIsSeveralFlagsOrCommasOrAnArray) {
    const std::vector<std::string> wanted = {"a", "b"};
    const auto peers = [](const std::vector<std::string>& arguments, const std::string& text) {
        const test::TemporaryFile file("host = 'x'\n" + text);
        std::vector<std::string> all = arguments;
        all.insert(all.end(), {"--config", file.path()});
        Values values;
        EXPECT_EQ(test::load(kProgram, specifications(values), all), Load::Done);
        return values.peers;
    };
    EXPECT_EQ(peers({"--peer", "a", "--peer", "b"}, ""), wanted);
    EXPECT_EQ(peers({"--peer", "a", "b"}, ""), wanted);
    EXPECT_EQ(peers({}, "peer = ['a', 'b']\n"), wanted);
    const test::Variable variable("PLANTED_PEER", "a,b");
    EXPECT_EQ(peers({}, ""), wanted);
}

TEST(Settings, WhatCannotBeIsRefusedByItsName) {
    const struct {
        std::vector<std::string> arguments;
        const char* file;
        std::vector<const char*> named;
    } cases[] = {
        {{}, "", {"no host is given", "--host (name)", "PLANTED_HOST", "host in the file"}},
        {{}, "colour = 'red'", {"unknown setting \"colour\"; known: bytes, delay_ms, host,"}},
        {{}, "delay-ms = 99", {"delay_ms cannot be \"99\"", "delay-ms in", "100 to 10,000"}},
        {{}, "delay_ms = 'soon'", {"delay_ms cannot be \"soon\""}},
        {{}, "delay_ms = 1.5", {"\"delay_ms\" must be a string, a number or a boolean"}},
        {{}, "host = ['a']", {"\"host\" must be a string"}},
        {{}, "host = ", {"cannot read the configuration file", "Line 1", "TOML"}},
        {{}, "host = a:80", {"cannot read the configuration file", "a text stands in quotes"}},
        {{"--delay-ms", "10001"}, "", {"delay_ms cannot be \"10001\"", "--delay-ms or PLANTED_"}},
        {{"--delay-ms", "1000x"}, "", {"delay_ms cannot be \"1000x\""}},
        {{"--bytes", "99999999999999999999"}, "", {"bytes cannot be"}},
        {{"--messages", "maybe"}, "", {"messages cannot be \"maybe\"", "true or false"}},
        {{"--level", "loud"}, "", {"level cannot be \"loud\"", "one of trace, debug, info"}},
        {{"--colour", "red"}, "", {"--colour", "planted --help lists the settings."}},
    };
    for (const auto& c : cases)
        for (const char* name : c.named)
            EXPECT_NE(refusal(c.arguments, c.file).find(name), std::string::npos)
                << name << " in: " << refusal(c.arguments, c.file);
}

TEST(Settings, HelpHasEachOfThemWithItsRangeAndDefaultAndNoMarks) {
    Values values;
    testing::internal::CaptureStdout();
    EXPECT_EQ(test::load(kProgram, specifications(values), {"--help"}), Load::Shown);
    const std::string help = testing::internal::GetCapturedStdout();
    for (const char* words : {"Does nothing.", "--delay-ms", "(ms, 100 to 10,000; default 1000)",
                              "(name; needed)", "PLANTED_DELAY_MS", "bytes, at least 1024",
                              "the slot of host", "trace, debug, info", "(alone)", "--config"})
        EXPECT_NE(help.find(words), std::string::npos) << words << " in: " << help;
    EXPECT_EQ(help.find("#names"), std::string::npos) << help;

    testing::internal::CaptureStdout();
    EXPECT_EQ(test::load(kProgram, specifications(values), {"--version"}), Load::Shown);
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "planted 1.2.3\n");
}

TEST(Settings, TheTableHasALineForEach) {
    Values values;
    EXPECT_EQ(table_of(specifications(values)),
              "| setting | default | unit, range | meaning |\n"
              "| --- | --- | --- | --- |\n"
              "| `host` | (none, needed) | name | the host |\n"
              "| `slot` | `fatwal` | [name](#names) | the slot of `host`. More of it |\n"
              "| `peer` | (alone) |  | the others |\n"
              "| `delay_ms` | 1000 | ms, 100 to 10,000 | time to wait |\n"
              "| `bytes` | 5000000000 | bytes, at least 1024 | most of it |\n"
              "| `messages` | true |  | whether there are any |\n"
              "| `level` | `info` | trace, debug, info, warning, error, critical, off | what is "
              "logged |\n");
}

}  // namespace settings_tests
}  // namespace fatwal::service
