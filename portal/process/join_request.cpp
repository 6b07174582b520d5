#include "portal/process/join_request.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "fatwal/wire/text.h"
#include "portal/access/region.h"
#include "portal/process/query.h"

namespace fatwal::process {
namespace {

constexpr std::size_t kMostText = 200;

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

bool in_any(const std::vector<access::Cidr>& networks, const access::IpAddress& address) {
    return std::any_of(networks.begin(), networks.end(),
                       [&](const access::Cidr& network) { return network.contains(address); });
}

// The nearest address that is no proxy of ours; nothing when a proxy has written what is none.
std::optional<access::IpAddress> forwarded(std::string_view list, const access::IpAddress& peer,
                                           const std::vector<access::Cidr>& proxies) {
    std::optional<access::IpAddress> at = peer;
    while (at && in_any(proxies, *at) && !trimmed(list).empty()) {
        const auto comma = list.rfind(',');
        at = access::IpAddress::parse(
            trimmed(comma == std::string_view::npos ? list : list.substr(comma + 1)));
        list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
    }
    return at;
}

// The one behind kTokenProtocol in a list of WebSocket protocols; empty when it is not offered.
std::string offered_token(std::string_view protocols) {
    const auto comma = protocols.find(',');
    if (comma == std::string_view::npos || trimmed(protocols.substr(0, comma)) != kTokenProtocol)
        return {};
    protocols.remove_prefix(comma + 1);
    return std::string(trimmed(protocols.substr(0, protocols.find(','))));
}

std::optional<access::Location> read_location(std::string_view text) {
    const auto comma = text.find(',');
    if (comma == std::string_view::npos) return std::nullopt;
    access::Location out;
    const auto number = [](std::string_view part, double& value, double most) {
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
        return error == std::errc{} && end == part.data() + part.size() && std::abs(value) <= most;
    };
    if (!number(trimmed(text.substr(0, comma)), out.lat, 90) ||
        !number(trimmed(text.substr(comma + 1)), out.lon, 180))
        return std::nullopt;
    return out;
}

// As it may stand in the database and in a log: UTF-8 without control characters, and not long.
std::string clean(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        unsigned code = 0;
        const std::size_t length = wire::utf8_length(text, at);
        if (out.size() + length > kMostText) break;
        if (const std::size_t control = wire::control_length(text, at, code); control > 0) {
            at += control;
        } else if (length == 0) {
            out += '?';
            ++at;
        } else {
            out.append(text.substr(at, length));
            at += length;
        }
    }
    return out;
}

std::optional<std::string> some(const std::string& text) {
    auto out = clean(text);
    if (out.empty()) return std::nullopt;
    return out;
}

}  // namespace

std::string_view name_of(Role role) {
    switch (role) {
        case Role::Client: return "client";
        case Role::Gateway: return "gateway";
        case Role::Relay: return "relay";
    }
    return "";
}

std::optional<Role> role_of(std::string_view path) {
    for (const Role role : {Role::Client, Role::Gateway, Role::Relay})
        if (path.starts_with('/') && path.substr(1) == name_of(role)) return role;
    return std::nullopt;
}

std::optional<DeviceToken> DeviceToken::parse(std::string_view text) {
    const auto first = text.find('.');
    const auto second = first == std::string_view::npos ? first : text.find('.', first + 1);
    if (second == std::string_view::npos || second + 1 == text.size() ||
        text.size() - second > kMostText)
        return std::nullopt;
    DeviceToken out;
    if (text.substr(0, first) != "-") {
        out.account_id = Uuid::from_text(text.substr(0, first));
        if (!out.account_id) return std::nullopt;
    }
    const auto token_id = Uuid::from_text(text.substr(first + 1, second - first - 1));
    if (!token_id) return std::nullopt;
    out.token_id = *token_id;
    out.secret = text.substr(second + 1);
    return out;
}

bool DeviceToken::matches(std::string_view hash) const {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> own{};
    SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), own.data());
    return hash.size() == own.size() && CRYPTO_memcmp(own.data(), hash.data(), own.size()) == 0;
}

std::optional<DeviceToken> token_of(const Header& header, Role role) {
    constexpr std::string_view kBearer = "Bearer ";
    const std::string authorization = header("Authorization");
    auto token = DeviceToken::parse(authorization.starts_with(kBearer)
                                        ? authorization.substr(kBearer.size())
                                        : offered_token(header("Sec-WebSocket-Protocol")));
    if (token && !token->account_id && role != Role::Relay) token.reset();
    return token;
}

std::optional<access::IpAddress> address_of(const Header& header, const access::IpAddress& peer,
                                            const Proxies& proxies) {
    return forwarded(header("X-Forwarded-For"), peer, proxies.networks);
}

std::variant<JoinRequest, BadRequest> read_join_request(std::string_view target,
                                                        const Header& header,
                                                        const access::IpAddress& peer,
                                                        const Proxies& proxies) {
    JoinRequest out;
    const auto role = role_of(target.substr(0, target.find('?')));
    if (!role) return BadRequest{404, "not_found"};
    out.role = *role;
    const auto query = query_of(target);
    if (!query) return BadRequest{400, "malformed_query"};

    auto token = token_of(header, out.role);
    if (!token) return BadRequest{401, "invalid_token"};
    out.token = std::move(*token);
    const auto id = Uuid::from_text(value_of(*query, "id"));
    if (!id) return BadRequest{400, "invalid_id"};
    out.device_id = *id;
    out.version = clean(value_of(*query, "version"));
    out.user_agent = clean(header("User-Agent"));
    out.remote_ip = address_of(header, peer, proxies);
    if (in_any(proxies.networks, peer)) {
        const auto said = [&](const std::string& name) {
            return name.empty() ? std::string() : header(name);
        };
        if (auto region = said(proxies.region_header); access::is_region(region))
            out.region = std::move(region);
        out.city = some(said(proxies.city_header));
        out.location = read_location(said(proxies.coordinates_header));
    }
    return out;
}

}  // namespace fatwal::process
