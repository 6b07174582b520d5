#include "portal/process/settings.h"

#include <gtest/gtest.h>

#include <map>

#include "service/failure.h"
#include "test/support/settings.h"

namespace fatwal::process {
namespace settings_tests {

TEST(ChannelSettings, EachIsReadByEachOfItsNames) {
    test::expect_each_setting_is_read<Settings>(program(), specifications);
}

TEST(ChannelSettings, EachMemberIsASettingOrMadeOfSettings) {
    Settings settings;
    // publications, keys, secret, http_options, listen_address, listen_port, proxies, of which
    // three are settings.
    constexpr std::size_t kMade = 7;
    constexpr std::size_t kHeaders = 3;
    EXPECT_EQ(test::members_of<Settings>() - kMade + kHeaders, specifications(settings).size());
}

TEST(ChannelSettings, AreInTheDocs) {
    Settings settings;
    test::expect_documented("fatwal-channel", service::table_of(specifications(settings)));
}

TEST(ChannelSettings, AreInTheExampleOfAFile) {
    test::expect_example<Settings>(program(), specifications);
}

TEST(ChannelSettings, WhatIsNotGivenFollowsFromOthersAndWhatCannotBeIsRefused) {
    const test::TemporaryFile secret(std::string(32, 's') + "\n");
    const auto load = [&](const std::map<std::string, std::string>& more) {
        std::map<std::string, std::string> given = more;
        given.insert({{"--database", "d"},
                      {"--publication", "a"},
                      {"--control", "ipc:///c"},
                      {"--secret-file", secret.path()}});
        std::vector<const char*> argv{"fatwal-channel"};
        for (const auto& [flag, value] : given)
            argv.insert(argv.end(), {flag.c_str(), value.c_str()});
        return load_settings(static_cast<int>(argv.size()), argv.data());
    };
    const auto settings = load({{"--listen", "[::1]:81"}, {"--trusted-proxy", "10.0.0.0/8"}});
    ASSERT_TRUE(settings);
    EXPECT_EQ(settings->secret, std::string(32, 's'));
    EXPECT_EQ(settings->listen_address, "::1");
    EXPECT_EQ(settings->listen_port, 81);
    EXPECT_EQ(settings->proxies.networks.size(), 1U);
    EXPECT_TRUE(settings->name.starts_with("channel-") && settings->name.ends_with("-81"));

    const struct {
        std::map<std::string, std::string> more;
        const char* words;
    } cases[] = {
        {{{"--listen", "here"}}, "as 127.0.0.1:8080"},
        {{{"--secret-file", "/"}}, "Is a directory"},
        {{{"--control", "nonsense"}}, "--control is not an endpoint"},
        {{{"--control", ""}}, "--control is not an endpoint"},
        {{{"--control", "tcp://127.0.0.1:99999"}}, "a port from 1 to 65535"},
        {{{"--control", "tcp://10.0.0.1:7001"}}, "Give --key-file and --server-key"},
        {{{"--key-file", secret.path()}}, "--key-file is given without --server-key"},
        {{{"--server-key", "k"}}, "--server-key is given without --key-file"},
        {{{"--key-file", "/nowhere"}, {"--server-key", "k"}}, "`fatwal keygen /nowhere` makes one"},
        {{{"--fleet-endpoint", "ipc://"}}, "--fleet-endpoint is not an endpoint"},
        {{{"--fleet-endpoint", "ipc:///e"}, {"--fleet-peer", "x"}},
         "--fleet-peer is not an endpoint"},
        {{{"--listen", "127.0.0.1:80x"}}, "is not an address and a port"},
        {{{"--trusted-proxy", "x"}}, "as 10.0.0.0/8"},
        {{{"--region-header", "CF-IPCountry"}}, "--trusted-proxy"},
        {{{"--minimum-client-version", "new"}}, "is no version"},
        {{{"--revoke-after-s", "59"}}, "at least 60"},
        {{{"--publication", "a,"}}, "is not a list of publication names"},
        {{{"--name", std::string(64, 'n')}}, "more than 63 bytes"},
        {{{"--fleet-peer", "ipc:///x"}}, "--fleet-endpoint"},
        {{{"--secret-file", "/nowhere"}}, "openssl rand"},
        {{{"--secret-file", "/dev/null"}}, "holds 0 bytes; at least 32 are needed"},
    };
    for (const auto& c : cases) {
        try {
            (void)load(c.more);
            ADD_FAILURE() << c.words;
        } catch (const service::Failure& failure) {
            EXPECT_NE(failure.text().find(c.words), std::string::npos) << failure.text();
        }
    }
}

}  // namespace settings_tests
}  // namespace fatwal::process
