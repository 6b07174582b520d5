// What devices say, as it is read: whole, or refused with its reason.
#include <gtest/gtest.h>

#include "portal/access/channel_context.h"
#include "portal/access/device_message.h"
#include "portal/access/flow_row.h"
#include "test/access/world.h"

namespace fatwal::access::test {
namespace device_messages_tests {

Json texts(std::size_t count, const std::string& text) { return Json(std::vector(count, text)); }

TEST(DeviceMessages, AreReadWholeOrRefused) {
    const std::string one = id("one").to_text();
    const Json ids = texts(1, one);
    const Unreadable invalid{"invalid_message"};
    const Unreadable unknown{"unknown_message"};
    const struct {
        Device from;
        const char* event;
        Json payload;
        DeviceMessage expected;
    } rows[] = {
        {Device::Client, "create_flow", {{"resource_id", one}}, CreateFlow{id("one"), {}}},
        {Device::Client,
         "create_flow",
         {{"resource_id", one}, {"connected_gateway_ids", ids}},
         CreateFlow{id("one"), {id("one")}}},
        {Device::Client, "create_flow", {{"resource_id", "one"}}, invalid},
        {Device::Client, "create_flow", {{"resource_id", 7}}, invalid},
        {Device::Client, "create_flow", Json::array(), invalid},
        {Device::Client, "create_flow", nullptr, invalid},
        {Device::Client,
         "create_flow",
         {{"resource_id", one}, {"connected_gateway_ids", one}},
         invalid},
        {Device::Client,
         "create_flow",
         {{"resource_id", one}, {"connected_gateway_ids", texts(kMaxPeers + 1, one)}},
         invalid},
        {Device::Gateway, "create_flow", {{"resource_id", one}}, unknown},
        {Device::Gateway, "flow_authorized", {{"ref", "r"}}, FlowAnswer{"r"}},
        {Device::Gateway, "flow_authorized", {{"ref", 1}}, Unreadable{"invalid_ref"}},
        {Device::Gateway, "flow_authorized", "r", Unreadable{"invalid_ref"}},
        {Device::Client, "flow_authorized", {{"ref", "r"}}, unknown},
        {Device::Client,
         "broadcast_ice_candidates",
         {{"gateway_ids", ids}, {"candidates", {"a", "b"}}},
         BroadcastIce{{id("one")}, {"a", "b"}, false}},
        {Device::Gateway,
         "broadcast_invalidated_ice_candidates",
         {{"client_ids", ids}, {"candidates", {"a"}}},
         BroadcastIce{{id("one")}, {"a"}, true}},
        {Device::Gateway,
         "broadcast_ice_candidates",
         {{"gateway_ids", ids}, {"candidates", {"a"}}},
         invalid},
        {Device::Client,
         "broadcast_ice_candidates",
         {{"gateway_ids", ids}, {"candidates", texts(kMaxIceCandidates + 1, "a")}},
         invalid},
        {Device::Client,
         "broadcast_ice_candidates",
         {{"gateway_ids", ids},
          {"candidates", texts(1, std::string(kMaxIceCandidateBytes + 1, 'a'))}},
         invalid},
        {Device::Client, "nonsense", Json::object(), unknown},
    };
    for (const auto& row : rows)
        EXPECT_TRUE(read_device_message(row.from, row.event, row.payload) == row.expected)
            << row.event << ' ' << row.payload.dump();
}

TEST(Grants, TheOneThatHoldsLongerIsBetter) {
    const auto grant = [](unsigned char policy, std::optional<Instant> until) {
        Grant out;
        out.policy_id.bytes[0] = std::byte{policy};
        out.until = until;
        return out;
    };
    const struct {
        Grant one;
        Grant other;
        bool expected;
    } rows[] = {
        {grant(2, {}), grant(1, kFriday), true},
        {grant(1, kFriday), grant(2, {}), false},
        {grant(2, kFriday + 1s), grant(1, kFriday), true},
        {grant(1, kFriday), grant(2, kFriday + 1s), false},
        {grant(1, kFriday), grant(2, kFriday), true},
        {grant(2, kFriday), grant(1, kFriday), false},
        {grant(1, {}), grant(2, {}), true},
        {grant(1, {}), grant(1, {}), false},
    };
    for (const auto& row : rows) EXPECT_EQ(is_better(row.one, row.other), row.expected);
}

TEST(FlowRow, SaysWhyItsFlowIsAllowed) {
    FlowTerms terms{.flow_id = id("f"),
                    .account_id = id("account"),
                    .pair = {id("c1"), id("r1")},
                    .gateway_id = id("w1"),
                    .by = {id("p1"), id("m1"), id("t1")},
                    .client_ip = IpAddress::parse("198.51.100.7"),
                    .gateway_ip = {},
                    .expires_at = kFriday + 1h,
                    .decided_at = kFriday};
    portal::Flows row = row_of_flow(terms);
    EXPECT_EQ(row.membership_id, id("m1"));
    EXPECT_EQ(row.client_remote_ip, "198.51.100.7");
    EXPECT_EQ(row.gateway_remote_ip, std::nullopt);
    EXPECT_EQ(row.created_at, kFriday);
    EXPECT_EQ(justification_of(row), terms.by);
    // In a group that is everyone's there is no membership to name.
    terms.by.membership_id = kEveryone;
    row = row_of_flow(terms);
    EXPECT_EQ(row.membership_id, std::nullopt);
    EXPECT_EQ(justification_of(row), terms.by);
}

}  // namespace device_messages_tests
}  // namespace fatwal::access::test
