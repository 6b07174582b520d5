// Whether a client gets a flow to a resource now, through which gateway, and until when.
//
// The checks, each with what a client's channel answers its device when it is the first to fail:
//
//     live ─► session ─► resource, policy, shown ─► conditions ─► gateway ─► granted
//     offline   the end          not_found          forbidden    offline, version_mismatch
//
// A channel decides by decide_flow() and nothing else. explain() (portal/access/explanation.h)
// calls it too, so what support reads is what the device gets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "portal/access/access.h"
#include "portal/access/channel_context.h"
#include "portal/access/gateway_choice.h"

namespace fatwal::access {

// The session that asks.
struct FlowAsker {
    Uuid client_id;
    Uuid token_id;
    Version version;
    ClientContext session;  // where it is connected from; what rows say is added
    std::optional<Location> location;
    std::optional<Instant> token_expires_at;
};

enum class FlowOutcome : std::uint8_t {
    Granted,
    NotLive,        // the account's rows are not up to date
    SessionOver,    // client_refusal() gives a reason
    NoResource,     // no such resource
    NoPolicy,       // has_policy() gives none
    NotShown,       // clients of this version are not shown the resource
    NotConforming,  // of no policy all conditions hold
    Offline,        // NoGateway::Offline
    VersionMismatch,
};

// The reason of flow_creation_failed; empty where the device gets another message.
[[nodiscard]] std::string_view failure_of(FlowOutcome outcome);

struct FlowDecision {
    FlowOutcome outcome = FlowOutcome::Granted;
    Refusal refusal;                    // of SessionOver
    std::vector<std::string> violated;  // of NotConforming: violated_properties()
    // Of Granted. The pointers are into the state and into the presence.
    const portal::Resources* resource = nullptr;
    const OnlineGateway* gateway = nullptr;
    Grant grant;
    std::optional<Instant> expires_at;  // of the flow
};

// `connected`: the gateways that the device has a connection with.
[[nodiscard]] FlowDecision decide_flow(const ChannelContext& context, const FlowAsker& asker,
                                       const Uuid& resource_id, const std::vector<Uuid>& connected,
                                       Instant now);

}  // namespace fatwal::access
