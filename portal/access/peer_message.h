// What the channels of one account tell each other, in one process or between two. Never over the
// account's stream.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "portal/access/basics.h"
#include "portal/access/conditions.h"
#include "portal/access/position.h"

namespace fatwal::access {

enum class Device : std::uint8_t { Client, Gateway };

// A session. The process that holds it drops what is for another generation than the current one.
struct Address {
    Device device = Device::Client;
    Uuid id;
    Generation generation = 0;  // 0: whichever is current
    ProcessId process = 0;      // 0: look it up
    friend bool operator==(const Address&, const Address&) = default;
};

struct IceCredentials {
    std::string username;
    std::string password;
    friend bool operator==(const IceCredentials&, const IceCredentials&) = default;
};

// Why a flow is allowed. When one of these goes or changes, so may the flow.
struct Justification {
    Uuid policy_id;
    Uuid membership_id;
    Uuid token_id;
    friend bool operator==(const Justification&, const Justification&) = default;
};

// client -> gateway: let the client reach the resource.
struct Authorize {
    Uuid flow_id;
    bool known = false;  // asked for again: its row is, or is being, written
    Uuid client_id;
    Uuid resource_id;
    Justification by;
    std::optional<Instant> expires_at;
    std::string ref;       // the device answers with it
    Position decided_at;   // AccountState::position() of the state that decided
    ClientContext client;  // for judging another policy in place of this one
    Address from;
    std::string public_key;  // the client's
    std::string ipv4;
    std::string ipv6;
    std::string preshared_key;
    IceCredentials client_ice;
    IceCredentials gateway_ice;
    friend bool operator==(const Authorize&, const Authorize&) = default;
};

// gateway -> client: the device has taken it.
struct FlowAuthorized {
    Uuid flow_id;
    Uuid resource_id;
    Uuid gateway_id;
    friend bool operator==(const FlowAuthorized&, const FlowAuthorized&) = default;
};

// gateway -> client: by what the gateway's process knows, the flow may not be.
struct FlowRefused {
    Uuid flow_id;
    Uuid resource_id;
    friend bool operator==(const FlowRefused&, const FlowRefused&) = default;
};

// client -> gateway and back.
struct IceCandidates {
    Uuid from;  // the other device
    std::vector<std::string> candidates;
    bool invalidated = false;
    friend bool operator==(const IceCandidates&, const IceCandidates&) = default;
};

// The writer of flows -> gateway: these rows are committed.
struct FlowsDurable {
    std::vector<Uuid> flow_ids;
    friend bool operator==(const FlowsDurable&, const FlowsDurable&) = default;
};

// The writer of flows -> gateway: these rows cannot be written (a parent is gone).
struct FlowsLost {
    std::vector<Uuid> flow_ids;
    friend bool operator==(const FlowsLost&, const FlowsLost&) = default;
};

using PeerMessage =
    std::variant<Authorize, FlowAuthorized, FlowRefused, IceCandidates, FlowsDurable, FlowsLost>;

// For the way between processes. from_json gives nothing for what to_json has not made.
[[nodiscard]] Json to_json(const PeerMessage& message);
[[nodiscard]] std::optional<PeerMessage> peer_message_from_json(const Json& json);
[[nodiscard]] Json to_json(const Address& address);
[[nodiscard]] std::optional<Address> address_from_json(const Json& json);

}  // namespace fatwal::access
