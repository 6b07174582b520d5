#include "service/reload.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>
#include <stdexcept>

#include "test/support/settings.h"

namespace fatwal::service {
namespace reload_tests {

const Program kProgram{.name = "program", .version = "1", .prefix = "PROGRAM_"};

struct Settings {
    std::string slot = "fatwal";
    int most = 10;
    LogLevel log_level = LogLevel::Info;
};

std::vector<Setting> specifications(Settings& s) {
    return {{.name = "slot", .value = &s.slot, .sentence = "the slot"},
            {.name = "most",
             .value = &s.most,
             .range = {1, 100},
             .reloads = true,
             .sentence = "how many"},
            {.name = "log_level",
             .value = choice(s.log_level, log_levels()),
             .reloads = true,
             .sentence = "what is logged"}};
}

std::optional<Settings> load_settings(int argc, const char* const* argv) {
    Settings settings;
    (void)load(kProgram, specifications(settings), argc, argv);
    return settings;
}

// What the log says of a SIGHUP, and the settings after it.
struct Reloaded {
    Settings settings;
    std::string log;
};

Reloaded after_sighup(const std::vector<std::string>& arguments) {
    std::ostringstream text;
    const auto before = spdlog::default_logger();
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text));
    logger->set_pattern("%l: %v");
    spdlog::set_default_logger(logger);
    std::vector<const char*> argv{"program"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    Settings settings;
    reload(kProgram, settings, specifications, load_settings, static_cast<int>(argv.size()),
           argv.data());
    spdlog::set_default_logger(before);
    spdlog::set_level(spdlog::level::info);
    return {settings, text.str()};
}

TEST(Reload, TakesWhatMayChangeAndNamesWhatMayNot) {
    const test::TemporaryFile file("slot = 'other'\nmost = 20\nlog_level = 'debug'\n");
    const auto [settings, log] = after_sighup({"--config", file.path()});
    EXPECT_EQ(settings.slot, "fatwal");
    EXPECT_EQ(settings.most, 20);
    EXPECT_EQ(settings.log_level, LogLevel::Debug);
    EXPECT_EQ(log, "info: " + file.path() + ": most = 20, log_level = debug\nwarning: " +
                       file.path() + ": restart program for: slot\n");
}

TEST(Reload, TheCommandLineStaysBeforeTheFile) {
    const test::TemporaryFile file("most = 20\n");
    const auto [settings, log] = after_sighup({"--config", file.path(), "--most", "10"});
    EXPECT_EQ(settings.most, 10);
    EXPECT_EQ(log, "info: " + file.path() + ": no setting has changed\n");
}

TEST(Reload, WhatCannotBeReadChangesNothing) {
    for (const char* text : {"most = 101\n", "most = \n", "nothing = 1\n"}) {
        const test::TemporaryFile file("log_level = 'debug'\n" + std::string(text));
        const auto [settings, log] = after_sighup({"--config", file.path()});
        EXPECT_EQ(settings.most, 10);
        EXPECT_EQ(settings.log_level, LogLevel::Info);
        EXPECT_TRUE(log.starts_with("error: the settings stay as they are: ")) << log;
    }
}

TEST(Reload, SaysThatThereIsNoFile) {
    const auto [settings, log] = after_sighup({"--most", "11"});
    EXPECT_EQ(settings.most, 10);
    EXPECT_EQ(log,
              "warning: SIGHUP: nothing to read again, as program runs without a settings file: "
              "give it one with --config\n");
}

}  // namespace reload_tests
}  // namespace fatwal::service
