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

// Nothing of it is made unless somebody wants the trace.
void note(std::vector<TracedGateway>* trace, const Uuid& id, const Uuid& site_id,
          GatewayStanding standing, const GatewayCandidate& candidate = {}) {
    if (trace != nullptr) trace->push_back({id, site_id, standing, candidate});
}

}  // namespace

bool is_better(const GatewayCandidate& one, const GatewayCandidate& other) {
    if (one.connected != other.connected) return one.connected;
    if (one.distance != other.distance) return one.distance < other.distance;
    return one.gateway->version > other.gateway->version;
}

std::variant<const OnlineGateway*, NoGateway> choose_gateway(
    const AccountState& state, const Presence& presence, const portal::Resources& resource,
    const Version& client_version, const std::optional<Location>& client_location,
    const std::vector<Uuid>& connected, const Random& random, std::vector<TracedGateway>* trace) {
    bool online = false;
    GatewayCandidate best;
    std::uint64_t ties = 0;
    for (const Uuid& site_id : state.sites_of_resource(resource.id)) {
        for (const Uuid& id : state.gateways_of_site(site_id)) {
            const OnlineGateway* gateway = presence.find(id);
            if (gateway == nullptr || gateway->process == 0) {
                note(trace, id, site_id,
                     gateway == nullptr ? GatewayStanding::Offline : GatewayStanding::NotHeld);
                continue;
            }
            online = true;
            if (!compatible(gateway->version, client_version)) {
                note(trace, id, site_id, GatewayStanding::Incompatible);
                continue;
            }
            if (!expresses(gateway->version, resource)) {
                note(trace, id, site_id, GatewayStanding::Inexpressive);
                continue;
            }
            GatewayCandidate candidate{
                gateway, std::find(connected.begin(), connected.end(), id) != connected.end(), 0};
            if (client_location)
                candidate.distance = gateway->location
                                         ? distance_km(*client_location, *gateway->location)
                                         : std::numeric_limits<double>::infinity();
            note(trace, id, site_id, GatewayStanding::Candidate, candidate);
            if (best.gateway == nullptr || is_better(candidate, best)) {
                best = candidate;
                ties = 1;
            } else if (!is_better(best, candidate) && random() % ++ties == 0) {
                // Each of those alike is kept with the same chance.
                best = candidate;
            }
        }
    }
    if (best.gateway != nullptr) return best.gateway;
    return online ? NoGateway::VersionMismatch : NoGateway::Offline;
}

}  // namespace fatwal::access
