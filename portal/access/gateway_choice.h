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

// Of the online gateways of the resource's sites that understand the client and can express the
// resource: one of `connected` if any is, then the nearest to the client (one without a location is
// the last; a client without one has no nearest), then the highest version, then at random. The
// pointer is into `presence`.
[[nodiscard]] std::variant<const OnlineGateway*, NoGateway> choose_gateway(
    const AccountState& state, const Presence& presence, const portal::Resources& resource,
    const Version& client_version, const std::optional<Location>& client_location,
    const std::vector<Uuid>& connected, const Random& random);

}  // namespace fatwal::access
