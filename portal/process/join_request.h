// What a connecting device says of itself in its HTTP request.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "portal/access/basics.h"
#include "portal/access/ip.h"
#include "portal/access/location.h"

namespace fatwal::process {

using access::Uuid;

// ACCOUNT.TOKEN.SECRET: two ids and the secret whose SHA-256 the row of tokens holds. The token of
// an operators' relay belongs to no account: -.TOKEN.SECRET
struct DeviceToken {
    std::optional<Uuid> account_id;
    Uuid token_id;
    std::string secret;

    [[nodiscard]] static std::optional<DeviceToken> parse(std::string_view text);
    // Whether `hash` is the SHA-256 of the secret; in constant time.
    [[nodiscard]] bool matches(std::string_view hash) const;
};

enum class Role : std::uint8_t { Client, Gateway, Relay };
// As the column tokens.type has it.
[[nodiscard]] std::string_view name_of(Role role);
// Of a request's path: /client, /gateway or /relay.
[[nodiscard]] std::optional<Role> role_of(std::string_view path);

struct JoinRequest {
    Role role = Role::Client;
    Uuid device_id;
    DeviceToken token;
    std::string version;
    std::string user_agent;
    std::optional<access::IpAddress> remote_ip;
    std::optional<std::string> region;
    std::optional<std::string> city;
    std::optional<access::Location> location;
};

struct BadRequest {
    int status = 400;
    std::string reason;
    std::string field{};  // of a body; empty when the reason is about no field
    std::string hint{};   // what mends it; empty when the reason says it
};

// The value of a header: of several lines of one name all, joined by commas, as if they were one
// (RFC 9110, 5.3). Empty when there is none.
using Header = std::function<std::string(std::string_view name)>;

// The proxies before this process, and in which headers they say where a device is; an empty name:
// in none.
struct Proxies {
    std::vector<access::Cidr> networks;
    std::string region_header;
    std::string city_header;
    std::string coordinates_header;  // "48.85,2.35"
};

// The token in `Authorization: Bearer …`, or from a browser, which cannot set that, as the
// WebSocket protocol after kTokenProtocol. Nothing when there is none that a device of the role can
// have.
[[nodiscard]] std::optional<DeviceToken> token_of(const Header& header, Role role);

// Where a device is whose connection comes from `peer`: behind proxies of ours the last address of
// X-Forwarded-For that is no proxy of ours; nothing when a proxy has written what is no address.
[[nodiscard]] std::optional<access::IpAddress> address_of(const Header& header,
                                                          const access::IpAddress& peer,
                                                          const Proxies& proxies);

// Reads GET /client?id=…&version=… (or /gateway, /relay) with its token. `peer` is the address of
// the connection. Only if that is one of our proxies its headers are believed that say the device's
// address, region, city and coordinates.
[[nodiscard]] std::variant<JoinRequest, BadRequest> read_join_request(std::string_view target,
                                                                      const Header& header,
                                                                      const access::IpAddress& peer,
                                                                      const Proxies& proxies);

// `Sec-WebSocket-Protocol: fatwal, TOKEN`; the answer selects it.
inline constexpr std::string_view kTokenProtocol = "fatwal";

}  // namespace fatwal::process
