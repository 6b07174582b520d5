#include "portal/access/resource_view.h"

#include <charconv>

#include "portal/access/ip.h"

namespace fatwal::access {
namespace {

using portal::ResourceType;

// "80" or "100-200".
std::optional<std::pair<int, int>> parse_ports(const Json& json) {
    if (!json.is_string()) return std::nullopt;
    const auto& text = json.get_ref<const std::string&>();
    const auto number = [](std::string_view digits) {
        int out = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), out);
        const bool whole =
            !digits.empty() && error == std::errc() && end == digits.data() + digits.size();
        return whole && out >= 0 && out <= 65'535 ? out : -1;
    };
    const std::string_view view = text;
    const std::size_t dash = view.find('-');
    const int start = number(view.substr(0, dash));
    const int end = dash == std::string_view::npos ? start : number(view.substr(dash + 1));
    if (start < 0 || end < start) return std::nullopt;
    return std::pair(start, end);
}

const char* name_of(ResourceType type) {
    switch (type) {
        case ResourceType::Dns: return "dns";
        case ResourceType::Cidr: return "cidr";
        case ResourceType::Ip: return "ip";
        case ResourceType::Internet: return "internet";
        case ResourceType::Unknown: break;
    }
    return nullptr;
}

// The type and address as a device is given them: an ip is a network of one address.
struct Target {
    const char* type;
    std::string address;
};
std::optional<Target> target_of(const portal::Resources& resource, bool double_star) {
    if (!resource.address || name_of(resource.type) == nullptr) return std::nullopt;
    if (resource.type == ResourceType::Dns) {
        auto address = double_star ? resource.address : older_dns_address(*resource.address);
        if (!address || address->empty()) return std::nullopt;
        return Target{"dns", std::move(*address)};
    }
    const auto network = Cidr::parse(*resource.address);
    if (!network) return std::nullopt;
    if (resource.type == ResourceType::Ip && network->prefix != (network->base.v6 ? 128 : 32))
        return std::nullopt;
    return Target{"cidr", network->to_text()};
}

Json optional_text(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }

}  // namespace

std::optional<Json> render_filters(const Json& filters) {
    if (!filters.is_array()) return std::nullopt;
    Json out = Json::array();
    for (const Json& filter : filters) {
        if (!filter.is_object()) return std::nullopt;
        const auto protocol = filter.find("protocol");
        if (protocol == filter.end() ||
            (*protocol != "tcp" && *protocol != "udp" && *protocol != "icmp"))
            return std::nullopt;
        const auto ports = filter.find("ports");
        if (ports != filter.end() && !ports->is_array()) return std::nullopt;
        if (ports == filter.end() || ports->empty()) {
            out.push_back({{"protocol", *protocol}});
            continue;
        }
        for (const Json& text : *ports) {
            const auto range = parse_ports(text);
            if (!range) return std::nullopt;
            out.push_back({{"protocol", *protocol},
                           {"port_range_start", range->first},
                           {"port_range_end", range->second}});
        }
    }
    return out;
}

std::string_view malformed_column(const portal::Resources& resource) {
    if (resource.type == ResourceType::Internet) return {};
    if (name_of(resource.type) == nullptr) return "type";
    if (!target_of(resource, true)) return "address";
    if (!render_filters(resource.filters)) return "filters";
    return resource.ip_stack == portal::IpStack::Unknown ? "ip_stack" : "";
}

std::optional<ResourceView> render_for_client(const portal::Resources& resource,
                                              const std::vector<SiteName>& sites, bool double_star,
                                              bool internet) {
    if (sites.empty()) return std::nullopt;
    ResourceView out;
    Json groups = Json::array();
    for (const SiteName& site : sites) {
        out.sites.push_back(site.id);
        groups.push_back({{"id", site.id.to_text()}, {"name", site.name}});
    }
    out.payload = {{"id", resource.id.to_text()}, {"gateway_groups", std::move(groups)}};
    if (resource.type == ResourceType::Internet) {
        if (!internet) return std::nullopt;
        out.payload["type"] = "internet";
        out.payload["can_be_disabled"] = true;
        return out;
    }
    auto target = target_of(resource, double_star);
    auto filters = render_filters(resource.filters);
    if (!target || !filters) return std::nullopt;
    out.payload["type"] = target->type;
    out.payload["name"] = resource.name;
    out.payload["address"] = std::move(target->address);
    out.payload["address_description"] = optional_text(resource.address_description);
    out.payload["filters"] = std::move(*filters);
    if (resource.ip_stack) {
        switch (*resource.ip_stack) {
            case portal::IpStack::Ipv4Only: out.payload["ip_stack"] = "ipv4_only"; break;
            case portal::IpStack::Ipv6Only: out.payload["ip_stack"] = "ipv6_only"; break;
            case portal::IpStack::Dual: out.payload["ip_stack"] = "dual"; break;
            case portal::IpStack::Unknown: return std::nullopt;
        }
    }
    return out;
}

std::optional<Json> render_for_gateway(const portal::Resources& resource, const Version& version) {
    Json out = {{"id", resource.id.to_text()}};
    if (resource.type == ResourceType::Internet) {
        if (!knows_internet(version)) return std::nullopt;
        out["type"] = "internet";
        return out;
    }
    auto target = target_of(resource, knows_double_star(version));
    auto filters = render_filters(resource.filters);
    if (!target || !filters) return std::nullopt;
    out["type"] = target->type;
    out["name"] = resource.name;
    out["address"] = std::move(target->address);
    out["filters"] = std::move(*filters);
    return out;
}

}  // namespace fatwal::access
