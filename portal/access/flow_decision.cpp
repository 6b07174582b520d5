#include "portal/access/flow_decision.h"

namespace fatwal::access {

std::string_view failure_of(FlowOutcome outcome) {
    switch (outcome) {
        case FlowOutcome::Granted:
        case FlowOutcome::SessionOver: break;
        case FlowOutcome::NotLive:
        case FlowOutcome::Offline: return "offline";
        case FlowOutcome::NoResource:
        case FlowOutcome::NoPolicy:
        case FlowOutcome::NotShown: return "not_found";
        case FlowOutcome::NotConforming: return "forbidden";
        case FlowOutcome::VersionMismatch: return "version_mismatch";
    }
    return {};
}

FlowDecision decide_flow(const ChannelContext& context, const FlowAsker& asker,
                         const Uuid& resource_id, const std::vector<Uuid>& connected, Instant now) {
    const AccountState& state = context.state;
    FlowDecision out;
    const auto refused = [&](FlowOutcome outcome) -> FlowDecision& {
        out.outcome = outcome;
        return out;
    };
    if (!state.live()) return refused(FlowOutcome::NotLive);
    // Its end may have come before anybody has called on_time().
    if (auto reason = client_refusal(state, asker.client_id, asker.token_id, now)) {
        out.refusal = std::move(*reason);
        return refused(FlowOutcome::SessionOver);
    }
    const auto& client = *state.client(asker.client_id);
    out.resource = state.resource(resource_id);
    if (out.resource == nullptr) return refused(FlowOutcome::NoResource);
    if (!has_policy(state, client.actor_id, resource_id)) return refused(FlowOutcome::NoPolicy);
    if (state.view_of(resource_id, asker.version) == nullptr) return refused(FlowOutcome::NotShown);
    ClientContext about = asker.session;
    complete_context(state, client, about);
    const auto grant = longest_grant(state, client.actor_id, resource_id, about, now);
    if (!grant) {
        out.violated = violated_properties(state, client.actor_id, resource_id, about, now);
        return refused(FlowOutcome::NotConforming);
    }
    const auto choice = choose_gateway(state, context.presence, *out.resource, asker.version,
                                       asker.location, connected, context.random);
    if (const auto* none = std::get_if<NoGateway>(&choice))
        return refused(*none == NoGateway::Offline ? FlowOutcome::Offline
                                                   : FlowOutcome::VersionMismatch);
    out.gateway = std::get<const OnlineGateway*>(choice);
    out.grant = *grant;
    out.expires_at = context.end_of_flow(earlier(grant->until, asker.token_expires_at), now);
    return out;
}

}  // namespace fatwal::access
