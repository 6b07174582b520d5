// Who is where in the fleet: the clients, gateways and relays of all accounts, and the process that
// holds the connection of each.
//
// Every process keeps a whole directory, and no process asks another one. A process says to all
// others what begins and ends at itself (the announce handler); what the others say comes in by
// hear(). To a process that does not know it yet it introduces itself: introduction() is all that
// it has announced and that still holds. When a process is gone, or introduces itself again, all of
// its entries are forgotten at once.
//
// Sessions are ordered by their generations (channel::Sessions, a Lamport clock), so news that
// arrives in another order than it happened changes nothing: an entry yields only to a later
// generation, and "offline" of an earlier one is ignored. A relay can be connected to two processes
// while it moves: it is offline when no process has it, and gone for the devices after a debounce.
//
// Invariants: a presence, once given by presence(), stays where it is, as channels refer to it. Of
// own_gateways_ each one is in its account's presence, or a later session of another process is.
// Nothing here sends: that is for the handlers. One thread, the loop's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "fatwal/channel/presence.h"
#include "fatwal/channel/relays.h"
#include "fatwal/channel/sessions.h"
#include "worker/deadline.h"
#include "worker/fleet_message.h"

namespace fatwal::worker {

class Directory {
public:
    struct Handlers {
        // To all other processes.
        std::function<void(const FleetMessage&)> announce;
        // The relays that devices of this account are given have changed; nothing: of all accounts.
        std::function<void(const std::optional<Uuid>& account)> relays_changed;
    };

    // `own`: this process. `relay_debounce`: how long a relay may be away.
    Directory(boost::asio::io_context& io, channel::ProcessId own,
              std::chrono::milliseconds relay_debounce, Handlers handlers);

    [[nodiscard]] channel::ProcessId own() const { return own_; }
    // The sessions that this process holds.
    [[nodiscard]] channel::Sessions& sessions() { return sessions_; }
    // Of all processes; made when it is asked for, and there from then on.
    [[nodiscard]] const channel::Presence& presence(const Uuid& account) {
        return presences_[account];
    }
    [[nodiscard]] const channel::Relays& relays() const { return relays_; }
    [[nodiscard]] std::size_t gateways_online() const;

    // What begins and ends at this process.
    void client_entered(const Uuid& account, const Uuid& client, channel::Generation generation);
    void client_left(const Uuid& account, const Uuid& client, channel::Generation generation);
    void gateway_online(const Uuid& account, const channel::OnlineGateway& gateway);
    void gateway_offline(const Uuid& account, const Uuid& gateway, channel::Generation generation);
    void relay_online(const channel::Relay& relay);
    void relay_offline(const channel::RelayId& relay);

    // What begins and ends at another one.
    void hear(channel::ProcessId from, const ClientEntered& message);
    void hear(channel::ProcessId from, const ClientLeft& message);
    void hear(channel::ProcessId from, const GatewayOnline& message);
    void hear(channel::ProcessId from, const GatewayOffline& message);
    void hear(channel::ProcessId from, const RelayOnline& message);
    void hear(channel::ProcessId from, const RelayOffline& message);
    // All that the process has said.
    void forget(channel::ProcessId process);
    // All that this one has to say to a process that knows nothing of it.
    [[nodiscard]] std::vector<FleetMessage> introduction() const;

private:
    void relay_entered(channel::ProcessId process, const channel::Relay& relay);
    void relay_gone(channel::ProcessId process, const channel::RelayId& relay);
    void relays_are_due();

    channel::ProcessId own_;
    Handlers handlers_;
    channel::Sessions sessions_;
    std::map<Uuid, channel::Presence> presences_;  // by account
    // By account, as they were announced.
    std::map<Uuid, std::map<Uuid, channel::OnlineGateway>> own_gateways_;
    channel::Relays relays_;
    // Which processes have it connected, this one too.
    std::map<channel::RelayId, std::map<channel::ProcessId, channel::Relay>> relay_at_;
    Deadline relay_deadline_;
};

}  // namespace fatwal::worker
