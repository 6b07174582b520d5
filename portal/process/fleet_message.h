// What the processes of a fleet say to each other, as structs with one writer and one reader.
//
// A fleet is upgraded one process at a time, so each process reads what an older and a newer one
// has written. The rules that make this work:
//   - The reader skips fields that it does not know, so a newer writer may add some.
//   - A field that says which session, pair or relay a message is about is required: without it
//     the message is not understood (read_fleet_message() gives nothing, and the process counts
//     it).
//   - Every other field may be missing, null or of a shape that is not understood: it then counts
//     as unknown, and the message stands. So a gateway whose location comes in a new form is
//     online, without a location; were the message dropped, no flow would find the gateway.
//   - What a field grants is never guessed: what is unknown never widens access.
//   - A writer never takes a required field away and never changes what a field means. If it has
//     to, Fleet's kVersion goes up.
// Of an event that is not known only its generation counts, for the clock of the sessions.
//
// Events for whoever keeps a directory, to all processes: gateway_online, gateway_offline,
// client_entered, client_left, relay_online, relay_offline. For one process: gateway_wanted,
// gateway_stays, deliver, undelivered. From an administrator, to all: disconnect, reject.
#pragma once

#include <optional>
#include <variant>

#include "portal/access/affected.h"
#include "portal/access/peer_message.h"
#include "portal/access/presence.h"
#include "portal/access/relays.h"

namespace fatwal::process {

using access::Uuid;

// A gateway's session has begun at the process that says so.
struct GatewayOnline {
    Uuid account;
    access::OnlineGateway gateway;
};

// The session of a device, by its generation.
struct SessionEvent {
    Uuid account;
    Uuid id;
    access::Generation generation = 0;
    friend bool operator==(const SessionEvent&, const SessionEvent&) = default;
};
struct GatewayOffline : SessionEvent {};
struct ClientEntered : SessionEvent {};
struct ClientLeft : SessionEvent {};
// A device wants the place of this gateway: is the gateway still there? If so, GatewayStays is the
// answer; if not, the session ends, and GatewayOffline says so to all.
struct GatewayWanted : SessionEvent {};
struct GatewayStays : SessionEvent {};

struct RelayOnline {
    access::Relay relay;
};
struct RelayOffline {
    access::RelayId id;
};

// For a session at the process that is asked. `to` and `content` are missing when another version
// has written what is not understood here: it goes back as it came, so that whoever waits for an
// answer does not wait in vain.
struct Delivery {
    Uuid account;
    bool is_back = false;  // it could not be delivered, and comes back to its sender
    std::optional<access::Address> sender;
    std::optional<access::Address> to;
    std::optional<access::PeerMessage> content;
    access::Json as_written;  // the whole of it, as the sender has written it
};

// An administrator ends a device's session.
struct EndSession {
    Uuid account;
    access::Device device = access::Device::Client;
    Uuid id;
    friend auto operator<=>(const EndSession&, const EndSession&) = default;
};
// An administrator takes a pair from every gateway.
struct RejectPair {
    Uuid account;
    access::Pair pair;
};

using FleetMessage =
    std::variant<GatewayOnline, GatewayOffline, ClientEntered, ClientLeft, GatewayWanted,
                 GatewayStays, RelayOnline, RelayOffline, Delivery, EndSession, RejectPair>;

[[nodiscard]] access::Json to_json(const FleetMessage& message);
// `from`: the process that has sent it. Nothing when it is not understood; does not throw.
[[nodiscard]] std::optional<FleetMessage> read_fleet_message(access::ProcessId from,
                                                             const access::Json& json);
// The generation that a message speaks of, whatever else it says; 0: none.
[[nodiscard]] access::Generation generation_in(const access::Json& json);

}  // namespace fatwal::process
