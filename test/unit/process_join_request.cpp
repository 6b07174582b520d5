#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "portal/process/join_request.h"
#include "portal/process/token_row.h"

namespace fatwal::process {
namespace join_request_tests {

const std::string kAccount = "11111111-1111-4111-8111-111111111111";
const std::string kToken = "22222222-2222-4222-8222-222222222222";
const std::string kDevice = "33333333-3333-4333-8333-333333333333";
// echo -n secret | sha256sum
const std::string kHash =
    "\x2b\xb8\x0d\x53\x7b\x1d\xa3\xe3\x8b\xd3\x03\x61\xaa\x85\x56\x86\xbd\xe0\xea\xcd\x71\x62\xfe"
    "\xf6\xa2\x5f\xe9\x7b\xf5\x27\xa2\x5b";

struct JoinRequestTest : testing::Test {
    std::variant<JoinRequest, BadRequest> read(const std::string& target,
                                               const std::string& peer = "192.0.2.1") {
        return read_join_request(
            target, [this](std::string_view name) { return headers[std::string(name)]; },
            *access::IpAddress::parse(peer), proxies);
    }
    std::string reason(const std::string& target) {
        const auto out = read(target);
        const auto* bad = std::get_if<BadRequest>(&out);
        return bad == nullptr ? "" : std::to_string(bad->status) + ' ' + bad->reason;
    }
    JoinRequest good(const std::string& target, const std::string& peer = "192.0.2.1") {
        return std::get<JoinRequest>(read(target, peer));
    }

    Proxies proxies{
        {*access::Cidr::parse("10.0.0.0/8")}, "CF-IPCountry", "X-City", "X-Coordinates"};
    std::map<std::string, std::string> headers{
        {"Authorization", "Bearer " + kAccount + '.' + kToken + ".secret"}};
    const std::string client = "/client?id=" + kDevice + "&version=1.5.0";
};

TEST_F(JoinRequestTest, OfAClient) {
    const auto request = good(client);
    EXPECT_EQ(request.role, Role::Client);
    EXPECT_EQ(request.device_id.to_text(), kDevice);
    EXPECT_EQ(request.token.account_id->to_text(), kAccount);
    EXPECT_EQ(request.token.token_id.to_text(), kToken);
    EXPECT_EQ(request.version, "1.5.0");
    EXPECT_EQ(request.remote_ip->to_text(), "192.0.2.1");
}

TEST_F(JoinRequestTest, ABrowserGivesItsTokenAsAWebSocketProtocol) {
    const std::string token = kAccount + '.' + kToken + ".a-b_1";
    headers = {{"Sec-WebSocket-Protocol", "fatwal, " + token}};
    EXPECT_EQ(good(client).token.secret, "a-b_1");
    for (const auto& offered :
         {"chat, " + token, token, std::string("fatwal"), std::string("fatwal, ")}) {
        headers["Sec-WebSocket-Protocol"] = offered;
        EXPECT_NE(reason(client), "") << offered;
    }
    headers.clear();
    EXPECT_EQ(reason(client + "&token=" + token), "401 invalid_token")
        << "proxies log what stands in an address";
}

TEST_F(JoinRequestTest, ThatMakesNoSense) {
    EXPECT_EQ(reason("/elsewhere?id=" + kDevice), "404 not_found");
    EXPECT_EQ(reason("/client?id=x"), "400 invalid_id");
    EXPECT_EQ(reason("/client"), "400 invalid_id");
    EXPECT_EQ(reason("/client?id=%2"), "400 malformed_query");
    EXPECT_EQ(reason("/client?id=%zz"), "400 malformed_query");
    const std::vector<std::string> wrong = {"",
                                            "x",
                                            "-",
                                            "..",
                                            "a.b.c",
                                            kAccount + '.' + kToken,
                                            kAccount + '.' + kToken + '.',
                                            "-." + kToken + ".s"};
    for (const std::string& token : wrong) {
        headers["Authorization"] = "Bearer " + token;
        EXPECT_EQ(reason(client), "401 invalid_token") << token;
    }
}

TEST_F(JoinRequestTest, ARelayIsTheOperatorsOrAnAccounts) {
    EXPECT_EQ(good("/relay?id=" + kDevice).token.account_id, Uuid::from_text(kAccount));
    headers["Authorization"] = "Bearer -." + kToken + ".s";
    EXPECT_EQ(good("/relay?id=" + kDevice).token.account_id, std::nullopt);
}

TEST_F(JoinRequestTest, ASecretIsKnownByItsHash) {
    const auto token = *DeviceToken::parse(kAccount + '.' + kToken + ".secret");
    EXPECT_TRUE(token.matches(kHash));
    EXPECT_FALSE(token.matches(kHash.substr(1)));
    EXPECT_FALSE(token.matches(""));
    EXPECT_FALSE(DeviceToken::parse(kAccount + '.' + kToken + ".Secret")->matches(kHash));
}

TEST_F(JoinRequestTest, OnlyAProxyIsBelieved) {
    headers["X-Forwarded-For"] = "203.0.113.7, 198.51.100.9, 10.0.0.2";
    headers["CF-IPCountry"] = "FR";
    headers["X-Coordinates"] = "48.85, 2.35";
    const auto from_outside = good(client);
    EXPECT_EQ(from_outside.remote_ip->to_text(), "192.0.2.1");
    EXPECT_FALSE(from_outside.region);
    EXPECT_FALSE(from_outside.location);
    const auto from_proxy = good(client, "10.0.0.1");
    EXPECT_EQ(from_proxy.remote_ip->to_text(), "198.51.100.9")
        << "what comes before is the device's own word";
    EXPECT_EQ(from_proxy.region, "FR");
    EXPECT_EQ(from_proxy.location, (access::Location{48.85, 2.35}));
    headers["X-Forwarded-For"] = "unknown";
    EXPECT_FALSE(good(client, "10.0.0.1").remote_ip)
        << "an address that is not known meets no condition";
    headers.erase("X-Forwarded-For");
    EXPECT_EQ(good(client, "10.0.0.1").remote_ip->to_text(), "10.0.0.1");
    for (const char* place : {"", "1", "91,0", "0,181", "nan,0", "1,2,3"}) {
        headers["X-Coordinates"] = place;
        EXPECT_FALSE(good(client, "10.0.0.1").location) << place;
    }
}

TEST_F(JoinRequestTest, ItsTextsAreText) {
    headers["User-Agent"] = "caf\xC3\xA9\xFF\x01 \n\xE2\x80\xA8" + std::string(400, 'x');
    const auto agent = good(client).user_agent;
    EXPECT_TRUE(agent.starts_with("caf\xC3\xA9? xxx")) << agent;
    EXPECT_EQ(agent.size(), 200U);
}

TEST_F(JoinRequestTest, ATokenProvesItsAccountAndItsDevice) {
    const auto request = good(client);
    const TokenRow right{Uuid::from_text(kAccount), "client", kHash, std::nullopt, std::nullopt};
    const auto refusal = [&](const TokenRow* row, access::Instant at) {
        return token_refusal(request.token, request.role, request.device_id, row, at);
    };
    const access::Instant now{};
    EXPECT_EQ(refusal(&right, now), std::nullopt);
    EXPECT_EQ(refusal(nullptr, now), "invalid_token");
    const auto with = [&](auto change) {
        auto token = right;
        change(token);
        return refusal(&token, now).value_or("");
    };
    EXPECT_EQ(with([](auto& token) { token.account_id.reset(); }), "invalid_token");
    EXPECT_EQ(with([](auto& token) { token.account_id = Uuid::from_text(kToken); }),
              "invalid_token");
    EXPECT_EQ(with([](auto& token) { token.type = "gateway"; }), "invalid_token");
    EXPECT_EQ(with([](auto& token) { token.secret_hash.back() ^= 1; }), "invalid_token");
    EXPECT_EQ(with([](auto& token) { token.device_id = Uuid::from_text(kToken); }),
              "invalid_token");
    EXPECT_EQ(with([](auto& token) { token.device_id = Uuid::from_text(kDevice); }), "");
    EXPECT_EQ(with([&](auto& token) { token.expires_at = now; }), "token_expired");
    EXPECT_EQ(with([&](auto& token) { token.expires_at = now + std::chrono::microseconds(1); }),
              "");
}

TEST_F(JoinRequestTest, WhatAProxyCannotPlaceHasNoRegion) {
    for (const char* region : {"XX", "T1", "fr", "ZZ", "unknown", "F", "R ", "FR GA", ""}) {
        headers["CF-IPCountry"] = region;
        EXPECT_FALSE(good(client, "10.0.0.1").region) << region;
    }
    headers["CF-IPCountry"] = "FR";
    EXPECT_EQ(good(client, "10.0.0.1").region, "FR");
    proxies.region_header.clear();
    EXPECT_FALSE(good(client, "10.0.0.1").region) << "a header that no setting names";
}

}  // namespace join_request_tests
}  // namespace fatwal::process
