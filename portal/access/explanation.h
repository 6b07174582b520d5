// Why a client can reach a resource, or why not: what support is asked.
//
// The verdict is decide_flow()'s, by which the client's channel decides. The rest is what it
// decided by, from the same functions: judge() for each policy, Conditions::parts() for each
// condition, choose_gateway() with a trace. So it is complete also where the verdict came early,
// as for a client that is offline: the policies say what it would get. Only the order of what can
// be alike is chosen here. Nothing is changed, and no query is made.
//
// The answer is a JSON object. Times are text in UTC, null is "no end" or "unknown". A list has
// kMostExplained entries at most; `left_out` beside it counts the others.
//
//   at         when this was so
//   verdict    granted: {granted, policy_id, membership_id, gateway_id, expires_at, ended_by},
//              ended_by: policy, token, flow_lifetime or null
//              refused: {granted, reason, device_reason, detail, violated_properties}; reason:
//              account_not_live, session, no_resource, no_policy, not_shown, not_conforming,
//              no_gateway_online, no_gateway_fits; device_reason: of flow_creation_failed
//   client     {id, name, actor, source, online, version, remote_ip, region, location, provider_id,
//              verified, token_id, token_expires_at}; source: session (connected here) or
//              last_seen (what its row says); online: here or at another process
//   groups     of its actor: {id, name, type, membership_id}, without one where it is everyone's
//   resource   {id, name, type, address, ip_stack, filters, sites}
//   policies   of the resource: {id, description, group_id, group, standing, holds_until,
//              conditions: [{property, operator, values, value, holds, understood, holds_until,
//              changes_at}]}; standing: grants, not_conforming, not_member, no_group, disabled,
//              feature_off
//   gateways   of its sites: {id, name, site_id, standing, version, connected, distance_km};
//              standing: chosen, alike (as good, chosen at random), farther, older, not_connected,
//              offline, not_held, incompatible, inexpressive; then those that are online elsewhere:
//              other_site
//   flows      the client has for it: {id, gateway_id, policy_id, expires_at}
//
// After account_not_live and when there is no such client the verdict stands alone, as the rows
// are not known to be true.
#pragma once

#include "portal/access/flow_decision.h"

namespace fatwal::access {

inline constexpr std::size_t kMostExplained = 1000;

// A session by the client's row alone, for one that is not connected here: where it was last seen,
// with the token that it last used.
[[nodiscard]] FlowAsker asker_of_row(const AccountState& state, const Uuid& client_id);

// `is_connected`: `asker` is a session of this process.
[[nodiscard]] Json explain(const ChannelContext& context, const FlowAsker& asker, bool is_connected,
                           const Uuid& resource_id, const std::vector<Uuid>& connected,
                           Instant now);

// The gateways with which the client has flows: a device has a connection with each, as far as the
// server knows.
[[nodiscard]] std::vector<Uuid> gateways_of_flows(const AccountState& state, const Uuid& client_id);

}  // namespace fatwal::access
