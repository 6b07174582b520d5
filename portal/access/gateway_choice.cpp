#include "portal/access/gateway_choice.h"

#include <algorithm>
#include <limits>

namespace fatwal::access {
namespace {

// Whether a gateway of the version can have the resource; as render_for_gateway(), without
// making it.
bool expresses(const Version& version, const portal::Resources& resource) {
    if (resource.type == portal::ResourceType::Internet) return knows_internet(version);
    if (resource.type != portal::ResourceType::Dns || knows_double_star(version)) return true;
    return resource.address && older_dns_address(*resource.address).has_value();
}

}  // namespace

std::variant<const OnlineGateway*, NoGateway> choose_gateway(
    const AccountState& state, const Presence& presence, const portal::Resources& resource,
    const Version& client_version, const std::optional<Location>& client_location,
    const std::vector<Uuid>& connected, const Random& random) {
    struct Candidate {
        const OnlineGateway* gateway = nullptr;
        bool connected = false;
        double distance = 0;
    };
    const auto better = [](const Candidate& a, const Candidate& b) {
        if (a.connected != b.connected) return a.connected;
        if (a.distance != b.distance) return a.distance < b.distance;
        return a.gateway->version > b.gateway->version;
    };
    bool online = false;
    Candidate best;
    std::uint64_t ties = 0;
    for (const Uuid& site_id : state.sites_of_resource(resource.id)) {
        for (const Uuid& id : state.gateways_of_site(site_id)) {
            const OnlineGateway* gateway = presence.find(id);
            if (gateway == nullptr || gateway->process == 0) continue;
            online = true;
            if (!compatible(gateway->version, client_version) ||
                !expresses(gateway->version, resource))
                continue;
            Candidate candidate{
                gateway, std::find(connected.begin(), connected.end(), id) != connected.end(), 0};
            if (client_location)
                candidate.distance = gateway->location
                                         ? distance_km(*client_location, *gateway->location)
                                         : std::numeric_limits<double>::infinity();
            if (best.gateway == nullptr || better(candidate, best)) {
                best = candidate;
                ties = 1;
            } else if (!better(best, candidate) && random() % ++ties == 0) {
                // Each of those alike is kept with the same chance.
                best = candidate;
            }
        }
    }
    if (best.gateway != nullptr) return best.gateway;
    return online ? NoGateway::VersionMismatch : NoGateway::Offline;
}

}  // namespace fatwal::access
