// What devices say and what they are sent: a struct for each message, with one reader or one
// writer.
//
// The readers bound what they read and give the reason when a message makes no sense, so that a
// channel has only messages that do. The names of events and fields are portal/README.md's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "portal/access/action.h"
#include "portal/access/affected.h"
#include "portal/access/peer_message.h"
#include "portal/access/resource_view.h"

namespace fatwal::access {

// From a device
// --------------------------------------------------------------------------------

// Of a client: let me reach this.
struct CreateFlow {
    Uuid resource_id;
    std::vector<Uuid> connected;  // gateways that it is connected to already
    friend bool operator==(const CreateFlow&, const CreateFlow&) = default;
};
// Of a gateway: the client of this authorization may come.
struct FlowAnswer {
    std::string ref;
    friend bool operator==(const FlowAnswer&, const FlowAnswer&) = default;
};
// Of either: for these devices of the other kind.
struct BroadcastIce {
    std::vector<Uuid> peers;
    std::vector<std::string> candidates;
    bool invalidated = false;
    friend bool operator==(const BroadcastIce&, const BroadcastIce&) = default;
};
struct Unreadable {
    std::string_view reason;  // of the reply
    friend bool operator==(const Unreadable&, const Unreadable&) = default;
};
using DeviceMessage = std::variant<Unreadable, CreateFlow, FlowAnswer, BroadcastIce>;

[[nodiscard]] DeviceMessage read_device_message(Device from, std::string_view event,
                                                const Json& payload);

// To a device
// ----------------------------------------------------------------------------------

struct FlowFailed {
    Uuid resource_id;
    std::string_view reason;
    std::optional<std::vector<std::string>> violated_properties = {};
};
struct FlowCreated {
    Uuid resource_id;
    const portal::Gateways& gateway;
    std::string preshared_key;
    IceCredentials client_ice;
    IceCredentials gateway_ice;
};
struct AuthorizeFlow {
    const Authorize& flow;
    const Json& resource;  // as gateways are given it
};
struct RejectAccess {
    Pair pair;
};
struct ExpiryUpdated {
    Pair pair;
    std::optional<Instant> expires_at;
};
struct ResourceUpdated {
    Json resource;  // as gateways are given it
};
struct ConfigChanged {
    const Json& interface;
};
struct ResourceDeleted {
    Uuid id;
};
struct ResourceCreatedOrUpdated {
    const ResourceView& view;
};
struct RelaysPresence {
    Json payload;  // as RelaySelection renders it
};
// From a device of the other kind.
struct IceArrived {
    Device from = Device::Client;
    const IceCandidates& ice;
};

[[nodiscard]] Push to_push(FlowFailed message);
[[nodiscard]] Push to_push(const FlowCreated& message);
[[nodiscard]] Push to_push(const AuthorizeFlow& message);
[[nodiscard]] Push to_push(const RejectAccess& message);
[[nodiscard]] Push to_push(const ExpiryUpdated& message);
[[nodiscard]] Push to_push(ResourceUpdated message);
[[nodiscard]] Push to_push(const ConfigChanged& message);
[[nodiscard]] Push to_push(const ResourceDeleted& message);
[[nodiscard]] Push to_push(const ResourceCreatedOrUpdated& message);
[[nodiscard]] Push to_push(RelaysPresence message);
[[nodiscard]] Push to_push(const IceArrived& message);

// An entry of a gateway's `authorizations`.
struct AuthorizationEntry {
    Pair pair;
    std::optional<Instant> expires_at;
    std::string public_key;  // of the client, as its addresses
    std::string ipv4;
    std::string ipv6;
};
[[nodiscard]] Json to_json(const AuthorizationEntry& entry);

}  // namespace fatwal::access
