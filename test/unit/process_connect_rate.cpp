#include "portal/process/connect_rate.h"

#include <gtest/gtest.h>

namespace fatwal::process {
namespace connect_rate_tests {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct ConnectRateTest : testing::Test {
    static access::IpAddress address(const char* text) { return *access::IpAddress::parse(text); }
    // How many of so many that come at once are let in.
    int admitted(const access::IpAddress& from, int count) {
        int out = 0;
        for (int i = 0; i < count; ++i) out += rate.admit(from, now) ? 1 : 0;
        return out;
    }
    void leave_unproven(const access::IpAddress& from, int count) {
        for (int i = 0; i < count; ++i) rate.unproven(from, now);
    }

    ConnectRate rate{100};
    ConnectRate::Tick now{seconds(1000)};
    const access::IpAddress stranger = address("203.0.113.9");
    const access::IpAddress device = address("192.0.2.1");
};

TEST_F(ConnectRateTest, ACrowdOfOneAddressHasTheWholeRate) {
    EXPECT_EQ(admitted(device, 150), 100);
    now += milliseconds(999);
    EXPECT_EQ(admitted(device, 1), 0);
    now += milliseconds(1);
    EXPECT_EQ(admitted(device, 150), 100);
}

TEST_F(ConnectRateTest, WhoIsUnprovenAgainAndAgainLeavesHalf) {
    leave_unproven(stranger, ConnectRate::kSuspectFrom - 1);
    EXPECT_EQ(admitted(stranger, 150), 100);
    leave_unproven(stranger, 1);
    now += seconds(1);
    EXPECT_EQ(admitted(stranger, 150), 50);
    EXPECT_EQ(admitted(device, 150), 50);
}

TEST_F(ConnectRateTest, ManySuchAddressesShareTheOneHalf) {
    const auto other = address("203.0.113.10");
    leave_unproven(stranger, ConnectRate::kSuspectFrom);
    leave_unproven(other, ConnectRate::kSuspectFrom);
    EXPECT_EQ(admitted(stranger, 30), 30);
    EXPECT_EQ(admitted(other, 30), 20);
    EXPECT_EQ(admitted(device, 150), 50);
}

TEST_F(ConnectRateTest, ItIsForgotten) {
    leave_unproven(stranger, ConnectRate::kSuspectFrom);
    now += ConnectRate::kRemembered;
    EXPECT_EQ(admitted(stranger, 150), 50);
    now += seconds(1);
    EXPECT_EQ(admitted(stranger, 150), 100);
    // Those of before do not count with a new one.
    leave_unproven(stranger, 1);
    now += seconds(1);
    EXPECT_EQ(admitted(stranger, 150), 100);
}

TEST_F(ConnectRateTest, ANetworkOfIPv6IsOneAddress) {
    for (int i = 0; i < ConnectRate::kSuspectFrom; ++i)
        rate.unproven(address(("2001:db8::" + std::to_string(i + 1)).c_str()), now);
    EXPECT_EQ(admitted(address("2001:db8::ffff"), 150), 50);
    EXPECT_EQ(admitted(address("2001:db8:0:1::1"), 150), 50);
}

TEST_F(ConnectRateTest, TheSmallestRateLetsOneIn) {
    rate = ConnectRate(1);
    leave_unproven(stranger, ConnectRate::kSuspectFrom);
    EXPECT_EQ(admitted(stranger, 2), 1);
}

TEST_F(ConnectRateTest, AddressesAreBounded) {
    for (std::size_t i = 0; i < ConnectRate::kMostAddresses + 100; ++i)
        leave_unproven(
            address(("10.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256)).c_str()),
            ConnectRate::kSuspectFrom);
    EXPECT_EQ(admitted(address("10.0.0.1"), 150), 100);  // forgotten
}

}  // namespace connect_rate_tests
}  // namespace fatwal::process
