// Who is where in the fleet: the clients, gateways and relays of all accounts, and the process that
// holds the connection of each.
//
// Every process keeps a whole directory, and no process asks another one. A process says to all
// others what begins and ends at itself (the announce handler); what the others say comes in by
// hear(). To a process that does not know it yet it introduces itself: introduction() is all that
// it has announced and that still holds. When a process is gone, or introduces itself again, all of
// its entries are forgotten at once.
//
// Sessions are ordered by their generations (access::Sessions, a Lamport clock), so news that
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

#include "portal/access/presence.h"
#include "portal/access/relays.h"
#include "portal/access/sessions.h"
#include "portal/process/deadline.h"
#include "portal/process/fleet_message.h"

namespace fatwal::process {

class Directory {
public:
    struct Handlers {
        // To all other processes.
        std::function<void(const FleetMessage&)> announce;
        // The relays that devices of this account are given have changed; nothing: of all accounts.
        std::function<void(const std::optional<Uuid>& account)> relays_changed;
    };

    // `own`: this process. `relay_debounce`: how long a relay may be away.
    Directory(boost::asio::io_context& io, access::ProcessId own,
              std::chrono::milliseconds relay_debounce, Handlers handlers);

    [[nodiscard]] access::ProcessId own() const { return own_; }
    // The sessions that this process holds.
    [[nodiscard]] access::Sessions& sessions() { return sessions_; }
    // Of all processes; made when it is asked for, and there from then on.
    [[nodiscard]] const access::Presence& presence(const Uuid& account) {
        return presences_[account];
    }
    [[nodiscard]] const access::Relays& relays() const { return relays_; }
    [[nodiscard]] std::size_t gateways_online() const;

    // What begins and ends at this process.
    void client_entered(const Uuid& account, const Uuid& client, access::Generation generation);
    void client_left(const Uuid& account, const Uuid& client, access::Generation generation);
    void gateway_online(const Uuid& account, const access::OnlineGateway& gateway);
    void gateway_offline(const Uuid& account, const Uuid& gateway, access::Generation generation);
    void relay_online(const access::Relay& relay);
    void relay_offline(const access::RelayId& relay);

    // What begins and ends at another one.
    void hear(access::ProcessId from, const ClientEntered& message);
    void hear(access::ProcessId from, const ClientLeft& message);
    void hear(access::ProcessId from, const GatewayOnline& message);
    void hear(access::ProcessId from, const GatewayOffline& message);
    void hear(access::ProcessId from, const RelayOnline& message);
    void hear(access::ProcessId from, const RelayOffline& message);
    // All that the process has said.
    void forget(access::ProcessId process);
    // All that this one has to say to a process that knows nothing of it.
    [[nodiscard]] std::vector<FleetMessage> introduction() const;

private:
    void relay_entered(access::ProcessId process, const access::Relay& relay);
    void relay_gone(access::ProcessId process, const access::RelayId& relay);
    void relays_are_due();

    access::ProcessId own_;
    Handlers handlers_;
    access::Sessions sessions_;
    std::map<Uuid, access::Presence> presences_;  // by account
    // By account, as they were announced.
    std::map<Uuid, std::map<Uuid, access::OnlineGateway>> own_gateways_;
    access::Relays relays_;
    // Which processes have it connected, this one too.
    std::map<access::RelayId, std::map<access::ProcessId, access::Relay>> relay_at_;
    Deadline<access::Tick> relay_deadline_;
};

}  // namespace fatwal::process
