// What `fatwal channel why` prints.
#include <gtest/gtest.h>

#include <string>

#include "client/cli/explanation.h"

namespace fatwal {
namespace cli_explanation_tests {

using nlohmann::json;

json answer() {
    return json::parse(R"({
        "at": "2026-03-02T09:30:00Z",
        "verdict": {"granted": true, "policy_id": "p-1", "membership_id": "m-1",
                    "gateway_id": "w-1", "expires_at": "2026-03-02T17:00:00Z",
                    "ended_by": "policy"},
        "client": {"id": "c-1", "name": "laptop", "actor": {"id": "a-1", "name": "Ada"},
                   "source": "session", "online": true, "version": "1.5.0",
                   "remote_ip": "198.51.100.7", "region": "DE", "location": null,
                   "provider_id": null, "verified": true, "token_id": "t-1",
                   "token_expires_at": "2026-04-01T00:00:00Z"},
        "groups": [{"id": "g-1", "name": "Staff", "type": "static", "membership_id": "m-1"},
                   {"id": "g-2", "name": "Everyone", "type": "managed", "membership_id": null}],
        "resource": {"id": "r-1", "name": "Wiki", "type": "dns", "address": "wiki.example.com",
                     "ip_stack": null, "filters": [], "sites": [{"id": "s-1", "name": "Berlin"}]},
        "policies": [{"id": "p-1", "description": "Staff by day", "group_id": "g-1",
                      "group": "Staff", "standing": "grants",
                      "holds_until": "2026-03-02T17:00:00Z",
                      "conditions": [{"property": "current_utc_datetime",
                                      "operator": "is_in_day_of_week_time_ranges",
                                      "values": ["M/8-17/UTC"], "value": "2026-03-02T09:30:00Z",
                                      "holds": true, "understood": true,
                                      "holds_until": "2026-03-02T17:00:00Z",
                                      "changes_at": "2026-03-02T17:00:01Z"}]}],
        "gateways": [{"id": "w-1", "name": "berlin-1", "site_id": "s-1", "standing": "chosen",
                      "version": "1.5.0", "connected": false, "distance_km": 12},
                     {"id": "w-2", "name": "berlin-2", "site_id": "s-1", "standing": "offline",
                      "version": null}],
        "flows": []})");
}

TEST(ChannelWhyTest, AGrantIsToldWithItsGrounds) {
    EXPECT_EQ(cli::explained(answer()),
              "Granted by policy \"Staff by day\" (p-1), through gateway \"berlin-1\" (w-1), until "
              "2026-03-02T17:00:00Z: when a condition of the policy stops holding.\n"
              "As of 2026-03-02T09:30:00Z.\n"
              "\n"
              "Client \"laptop\" (c-1) of actor \"Ada\" (a-1): connected to this process. Version "
              "1.5.0, address 198.51.100.7, region DE, verified, identity provider none. Token "
              "t-1, until 2026-04-01T00:00:00Z.\n"
              "Its groups: Staff, Everyone (everyone's).\n"
              "Resource \"Wiki\" (r-1): dns wiki.example.com, in \"Berlin\" (s-1), without "
              "filters.\n"
              "Policies:\n"
              "  p-1 \"Staff by day\", of group Staff: grants, until 2026-03-02T17:00:00Z.\n"
              "    current_utc_datetime is_in_day_of_week_time_ranges M/8-17/UTC: the client has "
              "2026-03-02T09:30:00Z, which holds until 2026-03-02T17:00:00Z.\n"
              "Gateways:\n"
              "  \"berlin-1\" (w-1), 1.5.0, 12 km away: chosen.\n"
              "  \"berlin-2\" (w-2): offline.\n");
}

TEST(ChannelWhyTest, ARefusalSaysWhatStandsInTheWay) {
    json one = answer();
    one["verdict"] = {{"granted", false},
                      {"reason", "not_conforming"},
                      {"device_reason", "forbidden"},
                      {"violated_properties", {"client_verified", "remote_ip"}}};
    EXPECT_TRUE(cli::explained(one).starts_with(
        "Refused. There are policies for the client's groups, but of none of them all conditions "
        "hold. What does not hold: client_verified, remote_ip. (The device gets: forbidden.)\n"))
        << cli::explained(one);
    one["verdict"] = {{"granted", false},
                      {"reason", "session"},
                      {"detail", "actor_disabled"},
                      {"device_reason", "actor_disabled"}};
    EXPECT_TRUE(cli::explained(one).starts_with(
        "Refused. The client may not be connected: its actor is disabled or was deleted. (The "
        "device gets: actor_disabled.)\n"))
        << cli::explained(one);
}

TEST(ChannelWhyTest, WhatAnotherVersionAnswersIsPrintedAsFarAsItGoes) {
    EXPECT_TRUE(cli::explained(json::object()).starts_with("Refused. unknown"));
    json one = answer();
    one["verdict"] = {{"granted", false}, {"reason", "eclipse"}};
    one["policies"] = nullptr;
    one["gateways"][0]["standing"] = "asleep";
    const std::string text = cli::explained(one);
    EXPECT_NE(text.find("eclipse"), std::string::npos);
    EXPECT_NE(text.find("asleep"), std::string::npos);
    EXPECT_NE(text.find("No policy names it.\n"), std::string::npos);
}

TEST(ChannelWhyTest, NamesDoNotSteerTheTerminal) {
    json one = answer();
    one["client"]["name"] = "a\x1B[2Jb\n";
    const std::string text = cli::explained(one);
    EXPECT_NE(text.find("\"a[2Jb\""), std::string::npos) << text;
}

TEST(ChannelWhyTest, ALongLineOfNamesIsCut) {
    json one = answer();
    one["groups"] = json::array();
    for (int i = 0; i < 25; ++i) one["groups"].push_back({{"name", "g" + std::to_string(i)}});
    one["groups_left_out"] = 7;
    const std::string text = cli::explained(one);
    EXPECT_NE(text.find(" and 5 more.\n  7 more are left out.\n"), std::string::npos) << text;
}

}  // namespace cli_explanation_tests
}  // namespace fatwal
