#include "portal/process/directory.h"

#include "portal/process/clock.h"

namespace fatwal::process {
namespace {

// From the wall's clock, so that generations grow over a restart of the whole fleet too.
access::Generation first_generation() {
    return static_cast<access::Generation>(wall_clock().time_since_epoch().count());
}

}  // namespace

Directory::Directory(boost::asio::io_context& io, access::ProcessId own,
                     std::chrono::milliseconds relay_debounce, Handlers handlers)
    : own_(own),
      handlers_(std::move(handlers)),
      sessions_(first_generation()),
      relays_(relay_debounce),
      relay_deadline_(io, steady_clock, [this] { relays_are_due(); }) {}

std::size_t Directory::gateways_online() const {
    std::size_t out = 0;
    for (const auto& [account, presence] : presences_) out += presence.size();
    return out;
}

// Clients
// ---------------------------------------------------------------------------------------

void Directory::client_entered(const Uuid& account, const Uuid& client,
                               access::Generation generation) {
    presences_[account].client_online(client, {generation, own_});
    handlers_.announce(ClientEntered{{account, client, generation}});
}

void Directory::client_left(const Uuid& account, const Uuid& client,
                            access::Generation generation) {
    presences_[account].client_offline(client, generation);
    handlers_.announce(ClientLeft{{account, client, generation}});
}

void Directory::hear(access::ProcessId from, const ClientEntered& message) {
    presences_[message.account].client_online(message.id, {message.generation, from});
}

void Directory::hear(access::ProcessId /*from*/, const ClientLeft& message) {
    presences_[message.account].client_offline(message.id, message.generation);
}

// Gateways
// ---------------------------------------------------------------------------------------

void Directory::gateway_online(const Uuid& account, const access::OnlineGateway& gateway) {
    presences_[account].online(gateway);
    own_gateways_[account].insert_or_assign(gateway.id, gateway);
    handlers_.announce(GatewayOnline{account, gateway});
}

void Directory::gateway_offline(const Uuid& account, const Uuid& gateway,
                                access::Generation generation) {
    presences_[account].offline(gateway, generation);
    if (own_gateways_[account].erase(gateway) == 0) return;
    handlers_.announce(GatewayOffline{{account, gateway, generation}});
}

void Directory::hear(access::ProcessId /*from*/, const GatewayOnline& message) {
    presences_[message.account].online(message.gateway);
}

void Directory::hear(access::ProcessId /*from*/, const GatewayOffline& message) {
    presences_[message.account].offline(message.id, message.generation);
}

// Relays
// ---------------------------------------------------------------------------------------

void Directory::relay_online(const access::Relay& relay) {
    handlers_.announce(RelayOnline{relay});
    relay_entered(own_, relay);
}

void Directory::relay_offline(const access::RelayId& relay) {
    handlers_.announce(RelayOffline{relay});
    relay_gone(own_, relay);
}

void Directory::hear(access::ProcessId from, const RelayOnline& message) {
    relay_entered(from, message.relay);
}

void Directory::hear(access::ProcessId from, const RelayOffline& message) {
    relay_gone(from, message.id);
}

void Directory::relay_entered(access::ProcessId process, const access::Relay& relay) {
    relay_at_[relay.id][process] = relay;
    if (relays_.online(relay)) handlers_.relays_changed(relay.id.account_id);
    relay_deadline_.set(relays_.next_deadline());
}

// Unless another process has it too: a relay that moves is there before it is gone.
void Directory::relay_gone(access::ProcessId process, const access::RelayId& relay) {
    const auto found = relay_at_.find(relay);
    if (found != relay_at_.end()) {
        found->second.erase(process);
        if (!found->second.empty()) return;
        relay_at_.erase(found);
    }
    relays_.offline(relay, steady_clock());
    relay_deadline_.set(relays_.next_deadline());
}

void Directory::relays_are_due() {
    relay_deadline_.clear();
    for (const auto& account : relays_.on_time(steady_clock())) handlers_.relays_changed(account);
    relay_deadline_.set(relays_.next_deadline());
}

// A process as a whole
// ---------------------------------------------------------------------------------------

void Directory::forget(access::ProcessId process) {
    for (auto& [account, presence] : presences_) presence.process_gone(process);
    std::vector<access::RelayId> its_relays;
    for (const auto& [id, by_process] : relay_at_)
        if (by_process.contains(process)) its_relays.push_back(id);
    for (const auto& id : its_relays) relay_gone(process, id);
}

std::vector<FleetMessage> Directory::introduction() const {
    std::vector<FleetMessage> out;
    for (const auto& [account, gateways] : own_gateways_)
        for (const auto& [id, gateway] : gateways) out.push_back(GatewayOnline{account, gateway});
    for (const auto& [account, presence] : presences_)
        for (const auto& [id, client] : presence.clients())
            if (client.process == own_)
                out.push_back(ClientEntered{{account, id, client.generation}});
    for (const auto& [id, by_process] : relay_at_)
        if (const auto own = by_process.find(own_); own != by_process.end())
            out.push_back(RelayOnline{own->second});
    return out;
}

}  // namespace fatwal::process
