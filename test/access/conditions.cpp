// F: conditions on plain contexts.
#include "portal/access/conditions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "portal/access/time_windows.h"
#include "test/access/world.h"

namespace fatwal::access::test {
namespace conditions_tests {

std::string verdict(const std::vector<std::string>& values, Instant now = kFriday) {
    const auto parsed = Conditions::parse(
        {condition("current_utc_datetime", "is_in_day_of_week_time_ranges", values)});
    const auto out = parsed.evaluate({}, now);
    if (!out.holds) return "violated";
    return out.until ? std::to_string(unix_seconds(*out.until) - unix_seconds(kFriday))
                     : "unlimited";
}
bool holds(const std::string& property, const std::string& op,
           const std::vector<std::string>& values, const ClientContext& client) {
    return Conditions::parse({condition(property, op, values)}).evaluate(client, kFriday).holds;
}

// The rows of the table in the section "Conditions" of portal/README.md, as their cells.
std::vector<std::vector<std::string>> documented() {
    std::ifstream page(FATWAL_GOLDEN_DIR "/../../portal/README.md");
    std::vector<std::vector<std::string>> out;
    bool is_here = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("## ")) is_here = line == "## Conditions";
        if (!is_here || !line.starts_with("| `")) continue;
        auto& cells = out.emplace_back();
        std::stringstream rest(line.substr(1));
        for (std::string cell; std::getline(rest, cell, '|');) {
            const auto begin = cell.find('`');
            cells.push_back(begin == std::string::npos
                                ? cell
                                : cell.substr(begin + 1, cell.find('`', begin + 1) - begin - 1));
        }
    }
    return out;
}

TEST(Conditions, TheDocsHaveTheWholeLanguage) {
    const auto rows = documented();
    const auto forms = condition_forms();
    ASSERT_EQ(rows.size(), forms.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        ASSERT_GE(rows[i].size(), 4U);
        EXPECT_EQ(rows[i][0], forms[i].property);
        EXPECT_EQ(rows[i][1], forms[i].op);
        const auto values = Json::parse(rows[i][2]).get<std::vector<std::string>>();
        EXPECT_EQ(Conditions::parse({condition(rows[i][0], rows[i][1], values)}).malformed(), 0U)
            << rows[i][2];
    }
}

TEST(Conditions, F11_to_F23_Windows) {
    EXPECT_EQ(verdict({"F/10:00:00-11:00:00,20:00-22:00/UTC"}), "3600");
    EXPECT_EQ(verdict({"F/09:00:00-09:59:59/UTC", "F/10:00:01-11:00:00/UTC"}), "violated");
    EXPECT_EQ(verdict({"M/09-11/UTC", "U/true/UTC"}), "violated");
    EXPECT_EQ(verdict({"F/09-11,11-15,14-22/UTC"}), "43200");
    EXPECT_EQ(verdict({"R/true/US/Pacific"}, kFriday - 9h), "-7201");
    EXPECT_EQ(verdict({"R/00-02/US/Pacific"}, kFriday - 9h), "violated");
    for (const char* bad : {"F/22-02/UTC", "F/10:00:00-09:59:59/UTC", "F//UTC", "F/9-11/Nowhere",
                            "X/9-11/UTC", "F/24-24/UTC", "F/9/UTC", ""})
        EXPECT_EQ(verdict({"F/true/UTC", bad}), "violated") << bad;
    EXPECT_EQ(verdict({"F/09-10:00:00/UTC"}, kFriday + 700ms), "violated");
    EXPECT_EQ(verdict({"F/09-10:00:00.5/UTC"}), "0");
    EXPECT_EQ(verdict({"M/true/UTC", "T/true/UTC", "W/true/UTC", "R/true/UTC", "F/true/UTC",
                       "S/true/UTC", "U/true/UTC"}),
              "unlimited");
}

TEST(Conditions, F1_to_F10_F38_F40_Properties) {
    ClientContext us;
    us.region = "US";
    us.remote_ip = IpAddress::parse("10.9.9.9");
    EXPECT_TRUE(holds("remote_ip_location_region", "is_in", {"US"}, us));
    EXPECT_FALSE(holds("remote_ip_location_region", "is_in", {"CA"}, us));
    EXPECT_FALSE(holds("remote_ip_location_region", "is_not_in", {"CA"}, {}));
    for (const char* none : {"XX", "T1", "ZZ", "us", "USA", "U", "S A", ""}) {
        ClientContext nowhere;
        nowhere.region = none;
        EXPECT_FALSE(holds("remote_ip_location_region", "is_not_in", {"CA"}, nowhere)) << none;
        EXPECT_FALSE(holds("remote_ip_location_region", "is_in", {none}, nowhere)) << none;
        EXPECT_FALSE(holds("remote_ip_location_region", "is_not_in", {none}, us)) << none;
    }
    EXPECT_TRUE(holds("remote_ip", "is_in_cidr", {"10.9.9.9"}, us));
    EXPECT_TRUE(holds("remote_ip", "is_in_cidr", {"10.1.2.3/8"}, us));
    EXPECT_FALSE(holds("remote_ip", "is_not_in_cidr", {"10.0.0.0/8", "192.168.0.0/16"}, us));
    EXPECT_FALSE(holds("remote_ip", "is_in_cidr", {"10.0.0.0/8", "nonsense"}, us));
    EXPECT_FALSE(holds("provider_id", "is_in", {id("X").to_text()}, us));
    EXPECT_FALSE(holds("client_verified", "is", {"true"}, us));
    EXPECT_TRUE(holds("client_verified", "is", {"false"}, us));
    EXPECT_FALSE(holds("nonsense", "is", {}, us));
    EXPECT_EQ(
        Conditions::parse({std::nullopt, Json(verified()), Json(verified())}).violated(us, kFriday),
        (std::vector<std::string>{"unknown", "client_verified"}));
}

TEST(Conditions, F7_F8_Client) {
    ClientContext of_x;
    of_x.provider_id = id("X");
    ClientContext of_y;
    of_y.provider_id = id("Y");
    const ClientContext of_none;
    const std::vector<std::string> x{id("X").to_text()};
    EXPECT_TRUE(holds("provider_id", "is_in", x, of_x));
    EXPECT_FALSE(holds("provider_id", "is_in", x, of_y));
    EXPECT_FALSE(holds("provider_id", "is_in", x, of_none));
    EXPECT_FALSE(holds("provider_id", "is_not_in", x, of_x));
    EXPECT_TRUE(holds("provider_id", "is_not_in", x, of_y));
    EXPECT_TRUE(holds("provider_id", "is_not_in", x, of_none));
    for (const char* op : {"is_in", "is_not_in"})
        EXPECT_FALSE(holds("provider_id", op, {x[0], "X"}, of_y)) << "a malformed id";
    ClientContext trusted;
    trusted.verified = true;
    EXPECT_TRUE(holds("client_verified", "is", {"true"}, trusted));
    EXPECT_FALSE(holds("client_verified", "is", {"true"}, of_none));
    for (const auto& bad :
         std::vector<std::vector<std::string>>{{}, {"yes"}, {"true", "true"}, {"True"}})
        EXPECT_FALSE(holds("client_verified", "is", bad, trusted));
}

TEST(Conditions, OfMoreValuesThanAreAllowedIsMetByNobody) {
    const auto networks = [](std::size_t count) {
        return condition("remote_ip", "is_in_cidr", std::vector<std::string>(count, "10.0.0.0/8"));
    };
    EXPECT_EQ(Conditions::parse({networks(kMostConditionValues)}).malformed(), 0U);
    EXPECT_EQ(Conditions::parse({networks(kMostConditionValues + 1)}).malformed(), 1U);
    EXPECT_EQ(Conditions::parse({networks(kMostConditionValues), networks(1)}).malformed(), 2U)
        << "they count together";
}

TEST(Conditions, F19_TheDayIsTheZones) {
    EXPECT_EQ(verdict({"R/20-22/US/Pacific"}, kFriday - 5h), "-14400");
    EXPECT_EQ(verdict({"F/20-22/US/Pacific"}, kFriday - 5h), "violated");
}

TEST(Conditions, F25_F26_TheOrderDoesNotMatter) {
    const Json time = during("F/9-11/UTC");
    const Json region = condition("remote_ip_location_region", "is_in", {"US"});
    for (const auto& both : {std::pair(time, region), std::pair(region, time)}) {
        const auto parsed = Conditions::parse({both.first, both.second});
        ClientContext client;
        client.region = "CA";
        EXPECT_FALSE(parsed.evaluate(client, kFriday).holds);
        EXPECT_EQ(parsed.violated(client, kFriday),
                  std::vector<std::string>{"remote_ip_location_region"});
        client.region = "US";
        const auto out = parsed.evaluate(client, kFriday);
        EXPECT_TRUE(out.holds);
        EXPECT_EQ(out.until, kFriday + 1h);
        EXPECT_TRUE(parsed.violated(client, kFriday).empty());
    }
}

TEST(Conditions, F29_BoundariesThatAZonesClockSkipsOrShowsTwice) {
    const auto seconds = [](std::chrono::sys_seconds time) {
        return std::to_string((time - kFriday) / 1s);
    };
    const std::chrono::sys_days spring = std::chrono::year(2021) / 3 / 14;
    const std::chrono::sys_days autumn = std::chrono::year(2021) / 11 / 7;
    struct {
        const char* value;
        Instant now;
        std::string out;
    } const kCases[] = {
        {"U/00-02:30/US/Pacific", spring + 9h, seconds(spring + 10h)},
        {"U/00-02:30/US/Pacific", spring + 10h + 1us, "violated"},
        {"U/02:30-04/US/Pacific", spring + 10h - 1us, "violated"},
        {"U/02:30-04/US/Pacific", spring + 10h, seconds(spring + 11h)},
        {"U/00-01:30/US/Pacific", autumn + 7h + 30min, seconds(autumn + 8h + 30min)},
        {"U/00-01:30/US/Pacific", autumn + 9h + 15min, "violated"},
        {"U/01:30-03/US/Pacific", autumn + 8h + 30min, seconds(autumn + 11h)},
        {"U/true/America/Sao_Paulo",
         std::chrono::sys_days(std::chrono::year(2018) / 11 / 4) + 3h - 1us, "violated"},
    };
    for (const auto& one : kCases) EXPECT_EQ(verdict({one.value}, one.now), one.out) << one.value;
}

TEST(Conditions, F37_WholeDaysAreOneOverMidnight) {
    EXPECT_EQ(verdict({"R/true/UTC", "F/true/UTC"}, kFriday - 10h - 500ms), "50399");
    EXPECT_EQ(verdict({"R/20-23:59:59/UTC", "F/00-01/UTC"}, kFriday - 12h), "-32400");
    EXPECT_EQ(verdict({"R/20-23:59:58/UTC", "F/00-01/UTC"}, kFriday - 12h), "-36002");
}

// Whether a window of US/Pacific is open, by its clock of 2021: the rule itself, without any
// search.
bool open_in_pacific(const std::vector<std::array<int, 3>>& windows, Instant now) {
    const Instant summer = std::chrono::sys_days(std::chrono::year(2021) / 3 / 14) + 10h;
    const Instant winter = std::chrono::sys_days(std::chrono::year(2021) / 11 / 7) + 9h;
    const Instant local = now - (summer <= now && now < winter ? 7h : 8h);
    const auto day = std::chrono::floor<std::chrono::days>(local);
    const int weekday = static_cast<int>(std::chrono::weekday(day).c_encoding());
    return std::any_of(windows.begin(), windows.end(), [&](const auto& window) {
        return window[0] == weekday && day + window[1] * 1s <= local &&
               local <= day + window[2] * 1s;
    });
}

// Around a week in March and one in November, in which the clock jumps: what is said of the next
// change is kept, and is the rule.
TEST(TimeWindowsOverWeeks, EveryInstantIsAsTheRuleSays) {
    std::mt19937 random(1);
    const auto roll = [&](int sides) {
        return static_cast<int>(random() % static_cast<unsigned>(sides));
    };
    for (int round = 0; round < 30; ++round) {
        std::vector<std::array<int, 3>> windows;
        std::vector<std::string> values;
        for (int count = 1 + roll(9); count > 0; --count) {
            const int day = roll(7);
            int start = roll(3) == 0 ? 0 : 600 * roll(144);
            int end = roll(3) == 0 ? 86'399 : 600 * roll(144);
            if (start > end) std::swap(start, end);
            windows.push_back({day, start, end});
            const auto text = [](int second) {
                return std::to_string(second / 3600) + ':' + std::to_string(second / 60 % 60) +
                       ':' + std::to_string(second % 60);
            };
            values.push_back(std::string(1, "UMTWRFS"[day]) + '/' + text(start) + '-' + text(end) +
                             "/US/Pacific");
        }
        const auto parsed = TimeWindows::parse(values);
        ASSERT_TRUE(parsed);
        for (const auto first : {std::chrono::sys_days(std::chrono::year(2021) / 3 / 9),
                                 std::chrono::sys_days(std::chrono::year(2021) / 11 / 2)}) {
            TimeWindows::At before;
            // Off the boundaries, which are whole ten minutes or a second before.
            for (Instant now = first + 1min; now < first + std::chrono::days(10); now += 10min) {
                const auto at = parsed->at(now);
                if (before.next_change && now < *before.next_change) {
                    ASSERT_EQ(at.until, before.until) << values[0];
                }
                before = at;
                // An hour that the clock shows twice: a window begins and ends in the first.
                const Instant twice = std::chrono::sys_days(std::chrono::year(2021) / 11 / 7) + 8h;
                if (twice <= now && now < twice + 2h) continue;
                ASSERT_EQ(at.open, open_in_pacific(windows, now))
                    << values[0] << ' ' << unix_seconds(now);
                if (roll(7) != 0) continue;
                const auto fresh = TimeWindows::parse(values)->at(now);
                ASSERT_EQ(at.until, fresh.until);
                ASSERT_EQ(at.next_change, fresh.next_change);
                ASSERT_TRUE(!at.open || !at.until || *at.until >= now);
                ASSERT_TRUE(!at.next_change || *at.next_change > now);
            }
        }
    }
}

}  // namespace conditions_tests
}  // namespace fatwal::access::test
