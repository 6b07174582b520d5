// What each table is to the account's state: its key, what of it is indexed, which of its columns
// wake whom.
#pragma once

#include <concepts>

#include "fatwal/channel/account_state.h"

namespace fatwal::channel {

// Whether an update concerns anybody: the session columns, which change with each heartbeat, do
// not.
template <class Row>
[[nodiscard]] bool differs(const Row& a, const Row& b) {
    return !(a == b);
}
[[nodiscard]] inline bool differs(const portal::Actors& a, const portal::Actors& b) {
    return a.disabled_at != b.disabled_at;
}
[[nodiscard]] inline bool differs(const portal::ActorGroups& a, const portal::ActorGroups& b) {
    return a.type != b.type;
}
[[nodiscard]] inline bool differs(const portal::AuthProviders& a, const portal::AuthProviders& b) {
    return a.disabled_at != b.disabled_at;
}
[[nodiscard]] inline bool differs(const portal::AuthIdentities& a,
                                  const portal::AuthIdentities& b) {
    return a.actor_id != b.actor_id || a.provider_id != b.provider_id;
}
[[nodiscard]] inline bool differs(const portal::Sites& a, const portal::Sites& b) {
    return a.name != b.name;
}
[[nodiscard]] inline bool differs(const portal::Accounts& a, const portal::Accounts& b) {
    return a.slug != b.slug || a.config != b.config || a.features != b.features ||
           a.disabled_at != b.disabled_at;
}
[[nodiscard]] inline bool differs(const portal::Tokens& a, const portal::Tokens& b) {
    return a.type != b.type || a.actor_id != b.actor_id || a.identity_id != b.identity_id ||
           a.site_id != b.site_id || a.expires_at != b.expires_at || a.device_id != b.device_id;
}
[[nodiscard]] inline bool differs(const portal::Clients& a, const portal::Clients& b) {
    return a.actor_id != b.actor_id || a.identity_id != b.identity_id ||
           a.public_key != b.public_key || a.ipv4 != b.ipv4 || a.ipv6 != b.ipv6 ||
           a.verified_at.has_value() != b.verified_at.has_value();
}
// Whether it is connected from elsewhere. Its own channel is told by its connection; gateways are
// told by the row.
[[nodiscard]] inline bool has_moved(const portal::Clients& a, const portal::Clients& b) {
    return a.last_seen_remote_ip != b.last_seen_remote_ip ||
           a.last_seen_remote_ip_location_region != b.last_seen_remote_ip_location_region;
}
[[nodiscard]] inline bool differs(const portal::Gateways& a, const portal::Gateways& b) {
    return a.site_id != b.site_id || a.public_key != b.public_key || a.ipv4 != b.ipv4 ||
           a.ipv6 != b.ipv6;
}
[[nodiscard]] inline bool differs(const Policy& a, const Policy& b) {
    return a.row.actor_group_id != b.row.actor_group_id || a.row.resource_id != b.row.resource_id ||
           a.row.conditions != b.row.conditions ||
           a.row.disabled_at.has_value() != b.row.disabled_at.has_value();
}

}  // namespace fatwal::channel
