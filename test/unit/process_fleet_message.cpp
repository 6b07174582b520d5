// What the processes of a fleet say to each other while it is upgraded: old readers of new writers,
// and the other way round.
#include "portal/process/fleet_message.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "portal/access/json_text.h"

namespace fatwal::process {
namespace fleet_message_tests {

using access::Json;

constexpr access::ProcessId kFrom = 42;

Uuid id(int number) {
    return *Uuid::from_text("00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + number));
}

// As a message arrives.
std::optional<FleetMessage> read(const Json& json) {
    return read_fleet_message(kFrom, access::parse_json(json.dump()).value_or(Json()));
}

// What version 1 of the fleet's messages is, as its processes write it, and what of it a reader
// needs. This is a record of what was released: it is never changed, only added to.
struct Released {
    std::string text;
    std::set<std::string> required;
};

const std::vector<Released>& released() {
    static const std::vector<Released> kAll = {
        {R"({"event":"gateway_online","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002","generation":7,"version":"1.5.0",
             "location":[48.5,2.25],"remote_ip":"192.0.2.1"})",
         {"event", "account", "id", "version"}},
        {R"({"event":"gateway_offline","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002","generation":7})",
         {"event", "account", "id"}},
        {R"({"event":"client_entered","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002","generation":7})",
         {"event", "account", "id"}},
        {R"({"event":"client_left","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002","generation":7})",
         {"event", "account", "id"}},
        {R"({"event":"gateway_wanted","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002","generation":7})",
         {"event", "account", "id"}},
        {R"({"event":"gateway_stays","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002","generation":7})",
         {"event", "account", "id"}},
        {R"({"event":"relay_online","id":"00000000-0000-4000-8000-100000000002",
             "account":"00000000-0000-4000-8000-100000000001","ipv4":"192.0.2.1",
             "ipv6":"2001:db8::1","port":3479,"location":[48.5,2.25],"secret":"s"})",
         {"event", "account", "id", "secret"}},
        {R"({"event":"relay_offline","id":"00000000-0000-4000-8000-100000000002","account":null})",
         {"event", "account", "id"}},
        {R"({"event":"deliver","account":"00000000-0000-4000-8000-100000000001",
             "sender":{"device":"client","id":"00000000-0000-4000-8000-100000000002",
                       "generation":7,"process":8},
             "to":{"device":"gateway","id":"00000000-0000-4000-8000-100000000003",
                   "generation":0,"process":42},
             "message":{"type":"flow_refused","flow_id":"00000000-0000-4000-8000-100000000004",
                        "resource_id":"00000000-0000-4000-8000-100000000005"}})",
         {"event", "account"}},
        {R"({"event":"undelivered","account":"00000000-0000-4000-8000-100000000001",
             "sender":{"device":"client","id":"00000000-0000-4000-8000-100000000002",
                       "generation":7,"process":8},
             "to":{"device":"gateway","id":"00000000-0000-4000-8000-100000000003",
                   "generation":0,"process":42},
             "message":{"type":"flow_refused","flow_id":"00000000-0000-4000-8000-100000000004",
                        "resource_id":"00000000-0000-4000-8000-100000000005"}})",
         {"event", "account"}},
        {R"({"event":"disconnect","account":"00000000-0000-4000-8000-100000000001",
             "gateway":true,"id":"00000000-0000-4000-8000-100000000002"})",
         {"event", "account", "gateway", "id"}},
        {R"({"event":"reject","account":"00000000-0000-4000-8000-100000000001",
             "id":"00000000-0000-4000-8000-100000000002",
             "resource":"00000000-0000-4000-8000-100000000003"})",
         {"event", "account", "id", "resource"}},
    };
    return kAll;
}

Json parsed(const Released& one) { return *access::parse_json(one.text); }

TEST(FleetMessage, EachKindIsInTheRecord) {
    std::set<std::size_t> kinds;
    for (const auto& one : released()) {
        const auto message = read(parsed(one));
        ASSERT_TRUE(message) << one.text;
        kinds.insert(message->index());
    }
    EXPECT_EQ(kinds.size(), std::variant_size_v<FleetMessage>);
}

// A reader of before needs each field that the record has, with the value that it had: whatever is
// written for the same message today has them too.
TEST(FleetMessage, AnOldReaderUnderstandsWhatIsWrittenToday) {
    for (const auto& one : released()) {
        const Json old = parsed(one);
        const Json now = to_json(*read(old));
        for (const auto& [key, value] : old.items()) {
            ASSERT_TRUE(now.contains(key)) << key << " is missing in " << now;
            EXPECT_EQ(now[key], value) << key << " of " << now;
        }
    }
}

TEST(FleetMessage, AnOldReaderUnderstandsADelivery) {
    const Delivery delivery{id(1),
                            false,
                            access::Address{access::Device::Client, id(2), 7, 8},
                            access::Address{access::Device::Gateway, id(3), 0, 42},
                            access::FlowRefused{id(4), id(5)},
                            {}};
    EXPECT_EQ(to_json(delivery), parsed(released()[8]));
}

TEST(FleetMessage, ANewWritersFieldsAreSkipped) {
    for (const auto& one : released()) {
        Json newer = parsed(one);
        newer["a_field_of_tomorrow"] = {{"deep", {1, 2, 3}}};
        for (auto& [key, value] : newer.items())
            if (value.is_object() && key != "a_field_of_tomorrow") value["another"] = 1;
        const auto message = read(newer);
        ASSERT_TRUE(message) << newer;
        Json written = to_json(*message);
        const Json old = parsed(one);
        for (const auto& [key, value] : old.items())
            EXPECT_TRUE(value.is_object() || written[key] == value) << newer;
        if (const auto* delivery = std::get_if<Delivery>(&*message)) {
            EXPECT_TRUE(delivery->sender && delivery->to && delivery->content) << newer;
        }
    }
}

TEST(FleetMessage, OfAFieldThatIsMissingOrOddOnlyARequiredOneCosts) {
    const std::vector<Json> odd = {
        Json(), Json::object(), Json::array(), Json{1, "x"}, true, 1.5, -1, "?"};
    for (const auto& one : released()) {
        const Json old = parsed(one);
        for (const auto& [key, value] : old.items()) {
            Json without = parsed(one);
            without.erase(key);
            EXPECT_EQ(read(without).has_value(), !one.required.contains(key)) << without;
            for (const Json& instead : odd) {
                Json changed = parsed(one);
                changed[key] = instead;
                // Whatever it is, it is read or not understood, and never thrown.
                const auto message = read(changed);
                EXPECT_TRUE(message || one.required.contains(key)) << changed;
            }
        }
    }
}

TEST(FleetMessage, AnUnknownLocationDoesNotHideAGateway) {
    Json newer = parsed(released().front());
    newer["location"] = {{"lat", 48.5}, {"lon", 2.25}};
    newer["remote_ip"] = {"192.0.2.1", "2001:db8::1"};
    const auto message = read(newer);
    ASSERT_TRUE(message);
    const auto& gateway = std::get<GatewayOnline>(*message).gateway;
    EXPECT_EQ(gateway.id, id(2));
    EXPECT_EQ(gateway.generation, 7U);
    EXPECT_EQ(gateway.process, kFrom) << "whoever says it has it";
    EXPECT_EQ(gateway.version.to_text(), "1.5.0");
    EXPECT_FALSE(gateway.location || gateway.remote_ip);
}

TEST(FleetMessage, AnAccountsRelayIsNeverTakenForTheOperators) {
    Json relay = *access::parse_json(released()[6].text);
    EXPECT_EQ(std::get<RelayOnline>(*read(relay)).relay.id.account_id, id(1));
    relay["account"] = "an id of a new form";
    EXPECT_FALSE(read(relay));
    relay.erase("account");
    EXPECT_FALSE(read(relay));
    relay["account"] = nullptr;
    EXPECT_EQ(std::get<RelayOnline>(*read(relay)).relay.id.account_id, std::nullopt);
}

// Whoever waits for an answer is not left waiting because a version is not understood.
TEST(FleetMessage, ADeliveryThatIsNotUnderstoodGoesBackAsItCame) {
    Json newer = parsed(released()[8]);
    newer["message"] = {{"type", "a_message_of_tomorrow"}, {"x", 1}};
    auto message = read(newer);
    ASSERT_TRUE(message);
    auto& delivery = std::get<Delivery>(*message);
    EXPECT_FALSE(delivery.content);
    ASSERT_TRUE(delivery.sender);
    EXPECT_EQ(delivery.sender->generation, 7U);
    delivery.is_back = true;
    Json expected = newer;
    expected["event"] = "undelivered";
    EXPECT_EQ(to_json(delivery), expected);
}

TEST(FleetMessage, OfAnUnknownEventTheGenerationCounts) {
    const Json newer = {{"event", "gateway_moved"},
                        {"account", id(1).to_text()},
                        {"id", id(2).to_text()},
                        {"generation", 9}};
    EXPECT_FALSE(read(newer));
    EXPECT_EQ(generation_in(*access::parse_json(newer.dump())), 9U);
    EXPECT_EQ(generation_in(Json::array()), 0U);
}

// The messages between channels travel within a delivery.
access::Authorize authorize() {
    access::Authorize out;
    out.flow_id = id(1);
    out.client_id = id(2);
    out.resource_id = id(3);
    out.by = {id(4), id(5), id(6)};
    out.ref = "r";
    out.from = {access::Device::Client, id(2), 7, 8};
    out.client.remote_ip = access::IpAddress::parse("192.0.2.1");
    out.client.region = "FR";
    out.client.verified = true;
    return out;
}

TEST(FleetMessage, WhatAnAuthorizationDoesNotSayIsUnknownAndGrantsNothing) {
    Json old = access::to_json(access::PeerMessage(authorize()));
    for (const char* key : {"known", "decided_at", "history"}) old.erase(key);
    for (const char* key : {"remote_ip", "region", "verified"}) old["client"].erase(key);
    old["a_field_of_tomorrow"] = 1;
    old["client"]["another"] = 1;
    const auto message = access::peer_message_from_json(*access::parse_json(old.dump()));
    ASSERT_TRUE(message);
    const auto& read = std::get<access::Authorize>(*message);
    EXPECT_EQ(read.flow_id, id(1));
    EXPECT_FALSE(read.known);
    EXPECT_EQ(read.decided_at, access::Position{}) << "it is judged at once";
    EXPECT_FALSE(read.client.remote_ip || read.client.region || read.client.verified);
    // Without an end a flow would never end, and "no provider" is what a condition can ask for.
    for (const char* key : {"expires_at_us", "policy_id", "token_id", "from", "public_key"}) {
        Json without = old;
        without.erase(key);
        EXPECT_FALSE(access::peer_message_from_json(without)) << key;
    }
    Json without = old;
    without["client"].erase("provider_id");
    EXPECT_FALSE(access::peer_message_from_json(without));
}

TEST(FleetMessage, ADeviceOfAnotherKindIsNoGateway) {
    Json address = access::to_json(access::Address{access::Device::Gateway, id(1), 2, 3});
    EXPECT_TRUE(access::address_from_json(address));
    address["device"] = "probe";
    EXPECT_FALSE(access::address_from_json(address));
}

}  // namespace fleet_message_tests
}  // namespace fatwal::process
