// F: conditions on plain contexts.
#include "fatwal/channel/conditions.h"

#include <gtest/gtest.h>

#include "channel/world.h"

namespace fatwal::channel::test {
namespace {

std::string verdict(const std::vector<std::string>& values, Time now = kFriday) {
    const auto parsed = Conditions::parse({condition("current_utc_datetime", "is_in_day_of_week_time_ranges", values)});
    const auto out = parsed.evaluate({}, now);
    if (!out.holds) return "violated";
    return out.until ? std::to_string(unix_seconds(*out.until) - unix_seconds(kFriday)) : "unlimited";
}
bool holds(const std::string& property, const std::string& op, const std::vector<std::string>& values, const ClientContext& client) {
    return Conditions::parse({condition(property, op, values)}).evaluate(client, kFriday).holds;
}

TEST(Conditions, F11_to_F23_Windows) {
    EXPECT_EQ(verdict({"F/10:00:00-11:00:00,20:00-22:00/UTC"}), "3600");
    EXPECT_EQ(verdict({"F/09:00:00-09:59:59/UTC", "F/10:00:01-11:00:00/UTC"}), "violated");
    EXPECT_EQ(verdict({"M/09-11/UTC", "U/true/UTC"}), "violated");
    EXPECT_EQ(verdict({"F/09-11,11-15,14-22/UTC"}), "43200");
    EXPECT_EQ(verdict({"R/true/US/Pacific"}, kFriday - 9h), "-7201");
    EXPECT_EQ(verdict({"R/00-02/US/Pacific"}, kFriday - 9h), "violated");
    for (const char* bad :
         {"F/22-02/UTC", "F/10:00:00-09:59:59/UTC", "F//UTC", "F/9-11/Nowhere", "X/9-11/UTC", "F/24-24/UTC", "F/9/UTC", ""})
        EXPECT_EQ(verdict({"F/true/UTC", bad}), "violated") << bad;
    EXPECT_EQ(verdict({"F/09-10:00:00/UTC"}, kFriday + 700ms), "violated");
    EXPECT_EQ(verdict({"F/09-10:00:00.5/UTC"}), "0");
    EXPECT_EQ(verdict({"M/true/UTC", "T/true/UTC", "W/true/UTC", "R/true/UTC", "F/true/UTC", "S/true/UTC", "U/true/UTC"}), "unlimited");
}

TEST(Conditions, F1_to_F10_F38_F40_Properties) {
    ClientContext us;
    us.region = "US";
    us.remote_ip = IpAddress::parse("10.9.9.9");
    EXPECT_TRUE(holds("remote_ip_location_region", "is_in", {"US"}, us));
    EXPECT_FALSE(holds("remote_ip_location_region", "is_in", {"CA"}, us));
    EXPECT_FALSE(holds("remote_ip_location_region", "is_not_in", {"CA"}, {}));
    EXPECT_TRUE(holds("remote_ip", "is_in_cidr", {"10.9.9.9"}, us));
    EXPECT_TRUE(holds("remote_ip", "is_in_cidr", {"10.1.2.3/8"}, us));
    EXPECT_FALSE(holds("remote_ip", "is_not_in_cidr", {"10.0.0.0/8", "192.168.0.0/16"}, us));
    EXPECT_FALSE(holds("remote_ip", "is_in_cidr", {"10.0.0.0/8", "nonsense"}, us));
    EXPECT_FALSE(holds("provider_id", "is_in", {id("X").to_text()}, us));
    EXPECT_FALSE(holds("client_verified", "is", {"true"}, us));
    EXPECT_TRUE(holds("client_verified", "is", {"false"}, us));
    EXPECT_FALSE(holds("nonsense", "is", {}, us));
    EXPECT_EQ(Conditions::parse({std::nullopt, Json(verified()), Json(verified())}).violated(us, kFriday),
              (std::vector<std::string>{"unknown", "client_verified"}));
}

}  // namespace
}  // namespace fatwal::channel::test
