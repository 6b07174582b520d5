// What every channel of an account is given.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "portal/access/account_state.h"
#include "portal/access/presence.h"
#include "portal/access/relays.h"
#include "portal/access/signer.h"

namespace fatwal::access {

// All of it outlives the channels.
struct ChannelContext {
    AccountState& state;
    const Presence& presence;
    const Relays& relays;
    const Signer& signer;
    Random random;
    ProcessId process = 0;  // this one
    std::chrono::milliseconds answer_within =
        std::chrono::seconds(15);  // the gateway, to an authorization
    std::chrono::milliseconds durable_within = std::chrono::seconds(15);  // the row of a flow
    std::chrono::seconds flow_lifetime{0};  // the longest of a flow; 0: as long as its policy holds

    // When a flow that is granted now until `until` (nothing: without end) ends.
    [[nodiscard]] std::optional<Instant> end_of_flow(std::optional<Instant> until,
                                                     Instant now) const {
        if (flow_lifetime.count() == 0) return until;
        const Instant longest = now + flow_lifetime;
        return until ? std::min(*until, longest) : longest;
    }

    // Whether a flow that ends at `end` does for one that would end at `wanted`. The longest life
    // begins with each request, so a flow does for as long as half of it is left: a client that
    // asks in time is never without one, and a client that asks all the time has two.
    [[nodiscard]] bool ends_late_enough(std::optional<Instant> end, std::optional<Instant> wanted,
                                        Instant now) const {
        if (end == wanted) return true;
        return flow_lifetime.count() != 0 && end && wanted && *end <= *wanted &&
               *end >= now + flow_lifetime / 2;
    }
};

// Bounds of what a device may send in one message.
inline constexpr std::size_t kMaxIceCandidates = 64;
inline constexpr std::size_t kMaxIceCandidateBytes = 1024;
inline constexpr std::size_t kMaxPeers = 256;  // ids in a list

}  // namespace fatwal::access
