#include "sidecar/settings.h"

#include <gtest/gtest.h>

#include "service/failure.h"
#include "test/support/settings.h"

namespace fatwal::sidecar {
namespace settings_tests {

std::optional<Settings> load(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"fatwald"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return load_settings(static_cast<int>(argv.size()), argv.data());
}

TEST(FatwaldSettings, EachIsReadByEachOfItsNames) {
    test::expect_each_setting_is_read<Settings>(program(), specifications);
}

TEST(FatwaldSettings, EachMemberIsASettingOrMadeOfSettings) {
    Settings settings;
    constexpr std::size_t kMade = 3;  // publications, keys, options of http
    EXPECT_EQ(test::members_of<Settings>(), specifications(settings).size() + kMade);
}

TEST(FatwaldSettings, AreInTheDocs) {
    Settings settings;
    test::expect_documented("fatwald", service::table_of(specifications(settings)));
}

TEST(FatwaldSettings, AreInTheExampleOfAFile) {
    test::expect_example<Settings>(program(), specifications);
}

TEST(FatwaldSettings, WhatIsNotGivenFollowsFromOthers) {
    const auto settings =
        load({"--database", "d", "--run-dir", "/r", "--publication", "a, \"b,c\""});
    ASSERT_TRUE(settings);
    EXPECT_EQ(settings->control, "ipc:///r/control.sock");
    EXPECT_EQ(settings->send_high_water_mark, 1000);
    EXPECT_EQ(settings->publications, (std::vector<std::string>{"a", "b,c"}));
    EXPECT_FALSE(settings->spool_dir.empty());
    const auto shared = load({"--database", "d", "--layout", "shared"});
    ASSERT_TRUE(shared);
    EXPECT_EQ(shared->send_high_water_mark, 100'000);
}

TEST(FatwaldSettings, WhatCannotBeIsRefused) {
    const struct {
        std::vector<std::string> arguments;
        const char* words;
    } cases[] = {{{}, "no database is given"},
                 {{"--publication", "a,"}, "is not a list of publication names"},
                 {{"--control", "tcp://*:1"}, "the control endpoint is not a socket file"},
                 {{"--control", "ipc://@a"}, "the control endpoint is not a socket file"},
                 {{"--control", "ipc:///" + std::string(107, 'x')}, "path is too long"}};
    for (const auto& c : cases) {
        std::vector<std::string> arguments = c.arguments;
        if (!arguments.empty()) arguments.insert(arguments.end(), {"--database", "d"});
        try {
            (void)load(arguments);
            ADD_FAILURE() << c.words;
        } catch (const service::Failure& failure) {
            EXPECT_NE(failure.text().find(c.words), std::string::npos) << failure.text();
        }
    }
}

}  // namespace settings_tests
}  // namespace fatwal::sidecar
