// Which gateway a new flow goes through.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "portal/access/account_state.h"
#include "portal/access/presence.h"

namespace fatwal::access {

enum class NoGateway : std::uint8_t {
    Offline,          // none of the resource's sites has one online
    VersionMismatch,  // none of those understands the client, or can express the resource
};

// What came of a gateway of the resource's sites.
enum class GatewayStanding : std::uint8_t {
    Candidate,
    Offline,
    NotHeld,       // online, but no process holds its channel yet
    Incompatible,  // its version and the client's do not understand each other
    Inexpressive,  // its version cannot express the resource
};
struct GatewayCandidate {
    const OnlineGateway* gateway = nullptr;
    bool connected = false;
    double distance = 0;  // km; 0 for all when the client's location is unknown
};
// Whether to take the one rather than the other.
[[nodiscard]] bool is_better(const GatewayCandidate& one, const GatewayCandidate& other);
struct TracedGateway {
    Uuid id;
    Uuid site_id;
    GatewayStanding standing = GatewayStanding::Offline;
    GatewayCandidate candidate = {};  // of Candidate
};

// Of the online gateways of the resource's sites that understand the client and can express the
// resource: one of `connected` if any is, then the nearest to the client (one without a location is
// the last; a client without one has no nearest), then the highest version, then at random. The
// pointer is into `presence`. `trace`: takes what came of each gateway, in no order.
[[nodiscard]] std::variant<const OnlineGateway*, NoGateway> choose_gateway(
    const AccountState& state, const Presence& presence, const portal::Resources& resource,
    const Version& client_version, const std::optional<Location>& client_location,
    const std::vector<Uuid>& connected, const Random& random,
    std::vector<TracedGateway>* trace = nullptr);

}  // namespace fatwal::access
