#include "portal/access/account_settings.h"

#include <charconv>

#include "portal/access/ip.h"

namespace fatwal::access {
namespace {

// ADDRESS:PORT, with the port of DNS where there is none; nothing when it is neither that nor an
// address.
std::optional<std::string> dns_server(std::string_view text) {
    constexpr int kDnsPort = 53;
    constexpr int kMostPort = 65'535;
    int port = kDnsPort;
    std::string_view host = text;
    const auto colon = text.rfind(':');
    const bool bracketed = text.starts_with('[');
    const bool has_port = bracketed ? text.find("]:") != std::string_view::npos
                                    : colon != std::string_view::npos && text.find(':') == colon;
    if (has_port) {
        const auto digits = text.substr(colon + 1);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (error != std::errc() || end != digits.data() + digits.size() || port < 1 ||
            port > kMostPort)
            return std::nullopt;
        host = text.substr(0, colon);
    }
    if (bracketed) {
        if (host.size() < 2 || host.back() != ']') return std::nullopt;
        host = host.substr(1, host.size() - 2);
    }
    const auto address = IpAddress::parse(host);
    if (!address || (bracketed && !address->v6)) return std::nullopt;
    const std::string shown = address->to_text();
    return (address->v6 ? '[' + shown + ']' : shown) + ':' + std::to_string(port);
}

}  // namespace

Json interface_of(const portal::Accounts* account, const portal::Clients& client) {
    Json out = {{"ipv4", host_of_inet(client.ipv4)},
                {"ipv6", host_of_inet(client.ipv6)},
                {"search_domain", nullptr},
                {"upstream_dns", Json::array()}};
    if (account == nullptr || !account->config.is_object()) return out;
    const Json& config = account->config;
    if (const auto found = config.find("search_domain");
        found != config.end() && found->is_string())
        out["search_domain"] = *found;
    if (const auto found = config.find("upstream_dns"); found != config.end() && found->is_array())
        for (const Json& server : *found)
            if (auto address = server.is_string() ? dns_server(server.get_ref<const std::string&>())
                                                  : std::nullopt)
                out["upstream_dns"].push_back(std::move(*address));
    return out;
}

std::vector<std::string> ignored_settings(const portal::Accounts& account) {
    constexpr std::size_t kMost = 20;
    constexpr std::size_t kMostOfValue = 100;
    std::vector<std::string> out;
    const auto ignore = [&](std::string_view setting, const Json& value, std::string_view why) {
        if (out.size() == kMost) return;
        // As ASCII, so that it may be cut anywhere.
        std::string shown = value.dump(-1, ' ', true, Json::error_handler_t::replace);
        if (shown.size() > kMostOfValue) {
            shown.resize(kMostOfValue);
            shown += "...";
        }
        out.push_back(std::string(setting) + ": " + shown + ' ' + std::string(why));
    };
    // Null when it is not there.
    const auto value_of = [](const Json& object, const char* key) {
        return object.is_object() ? object.value(key, Json()) : Json();
    };
    for (const auto& [column, object] :
         {std::pair("config", &account.config), std::pair("features", &account.features),
          std::pair("limits", &account.limits)})
        if (!object->is_object() && !object->is_null()) ignore(column, *object, "is no object");
    if (const Json domain = value_of(account.config, "search_domain");
        !domain.is_null() && !domain.is_string())
        ignore("config.search_domain", domain, "is no text");
    const Json servers = value_of(account.config, "upstream_dns");
    if (!servers.is_null() && !servers.is_array())
        ignore("config.upstream_dns", servers, "is no list");
    if (servers.is_array())
        for (const Json& server : servers)
            if (!server.is_string() || !dns_server(server.get_ref<const std::string&>()))
                ignore("config.upstream_dns", server, "is no address");
    for (const std::string name : {"internet_resource", "traffic_filters", "policy_conditions"})
        if (const Json feature = value_of(account.features, name.c_str());
            !feature.is_null() && !feature.is_boolean())
            ignore("features." + name, feature, "is neither true nor false");
    for (const std::string name : {"clients", "gateways", "seats"})
        if (const Json limit = value_of(account.limits, name.c_str());
            !limit.is_null() && !limit.is_number())
            ignore("limits." + name, limit, "is no number");
    return out;
}

}  // namespace fatwal::access
