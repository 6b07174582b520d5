#include "fatwal/channel/client_view.h"

#include <charconv>

#include "fatwal/channel/ip.h"

namespace fatwal::channel {
namespace {

bool moved(const ResourceView& before, const ResourceView& after) {
    return before.sites != after.sites;
}

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

ClientView ClientView::of(const AccountState& state, const portal::Clients& client,
                          const Version& version, const ClientContext& session, Time now) {
    ClientView out;
    out.interface = interface_of(state.account(), client);
    ClientContext context = session;
    complete_context(state, client, context);
    for (const Uuid& group_id : state.groups_of_actor(client.actor_id)) {
        if (state.membership(client.actor_id, group_id) == nullptr) continue;
        for (const Uuid& policy_id : state.policies_of_group(group_id)) {
            const Policy* policy = state.policy(policy_id);
            if (policy == nullptr || !state.in_force(*policy)) continue;
            out.next_change = earlier(out.next_change, policy->conditions.next_change(now));
            if (out.resources.contains(policy->row.resource_id) ||
                !policy->conditions.evaluate(context, now).holds)
                continue;
            if (auto view = state.view_of(policy->row.resource_id, version))
                out.resources.emplace(policy->row.resource_id, std::move(view));
        }
    }
    return out;
}

void push_difference(const ClientView& before, const ClientView& after, Actions& out) {
    if (before.interface != after.interface)
        out.emplace_back(Push{"config_changed", {{"interface", after.interface}}});
    for (const auto& [id, view] : before.resources) {
        const auto found = after.resources.find(id);
        if (found == after.resources.end() ||
            (found->second != view && moved(*view, *found->second)))
            out.emplace_back(Push{"resource_deleted", {{"id", id.to_text()}}});
    }
    for (const auto& [id, view] : after.resources) {
        const auto found = before.resources.find(id);
        if (found != before.resources.end() && (found->second == view || *found->second == *view))
            continue;
        out.emplace_back(Push{"resource_created_or_updated", view->payload});
    }
}

}  // namespace fatwal::channel
