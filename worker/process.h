// The process: the accounts of its devices, and what they share.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <zmq.hpp>

#include "fatwal/channel/channel_context.h"
#include "fatwal/channel/flow_batch.h"
#include "fatwal/channel/sessions.h"
#include "worker/account.h"
#include "worker/admin.h"
#include "worker/connect_rate.h"
#include "worker/doorkeeper.h"
#include "worker/fleet.h"
#include "worker/flow_writer.h"
#include "worker/last_seen.h"
#include "worker/publication.h"
#include "worker/registrar.h"
#include "worker/relay_desk.h"
#include "worker/server.h"
#include "worker/settings.h"
#include "worker/turns.h"

namespace fatwal::worker {

[[nodiscard]] channel::Time wall_clock();
// Time that nobody sets: for lengths of time, from no particular start.
[[nodiscard]] channel::Time steady_clock();
// As JSON text; what is no UTF-8 in it is replaced.
[[nodiscard]] std::string text_of(const Json& json);

// One thread, on which all of it runs but what the database is asked.
class Process {
public:
    Process(boost::asio::io_context& io, const Settings& settings);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    // Nobody new is let in; the devices are sent elsewhere over drain_s, clients first; what flows
    // are left is written, and who registers is answered; then `done`.
    void drain(std::function<void()> done);
    [[nodiscard]] std::uint16_t port() const { return server_->port(); }

    // For the accounts.
    [[nodiscard]] boost::asio::io_context& io() { return io_; }
    [[nodiscard]] Feeds& feeds() { return feeds_; }
    [[nodiscard]] const Settings& settings() const { return settings_; }
    [[nodiscard]] channel::ProcessId id() const { return id_; }
    [[nodiscard]] channel::Sessions& sessions() { return sessions_; }
    [[nodiscard]] channel::ChannelContext context(channel::AccountState& state,
                                                  const channel::Presence& presence);
    // To a session in another process; false when that is not there.
    bool send(const Uuid& account, const channel::Address& sender, const channel::Address& to,
              const channel::PeerMessage& message);
    void write(portal::Flows row);
    void remove(const Uuid& flow_id);
    void seen(JoinRequest device);
    void client_entered(const Uuid& account, const Uuid& client, channel::Generation generation);
    void client_left(const Uuid& account, const Uuid& client, channel::Generation generation);
    // A device of this process wants the place of a gateway at another one: that looks whether the
    // gateway is still there. If it is, gateway_stays() of the account is called.
    void ask_whether_there(const Uuid& account, const channel::OnlineGateway& gateway);
    [[nodiscard]] const Fleet& fleet() const { return fleet_; }
    // The rows of an account with relays of its own have changed.
    void review_relays(const Uuid& account) { relay_desk_.review(account); }
    void gateway_online(const Uuid& account, const channel::OnlineGateway& gateway);
    void gateway_offline(const Uuid& account, const Uuid& gateway, channel::Generation generation);
    // What is published is not what it was.
    void publication_changed(const PublicationLook& look);
    // Its work has thrown: its sessions end, and it is followed again when a device comes.
    void broken(std::weak_ptr<Account> account, const Uuid& id, const std::string& reason);

private:
    void joined(JoinRequest request, std::shared_ptr<Link> link);
    void proven(JoinRequest request, std::shared_ptr<Link> link);
    Account& account(const Uuid& id);
    void tell(const std::vector<channel::FlowBatch::Notice>& notices);
    void relay_online(const channel::Relay& relay);
    void relay_offline(const channel::RelayId& relay);
    // Tells the channels of an account, or of all.
    void relays_changed(const std::optional<Uuid>& account);
    void keep_relay_deadline();
    void keep_flow_deadline();
    void take_batch();
    void written(const FlowWriter::Written& result);
    bool hear(channel::ProcessId from, const Json& message);
    bool hear_of_account(channel::ProcessId from, const std::string& event, const Uuid& account,
                         const Json& message);
    bool hear_delivery(channel::ProcessId from, const std::string& event, Account* account,
                       const Json& message);
    void forget(channel::ProcessId process);
    [[nodiscard]] std::vector<Json> introduction() const;
    [[nodiscard]] Json stats() const;
    [[nodiscard]] Json list(const Admin::Listing& listing) const;
    // Here; tells nobody.
    std::size_t disconnect(const Admin::Cursor& session);
    std::size_t reject(const Uuid& account, const channel::Pair& pair);
    // They are no longer among accounts_ when they end: what they do then may look there.
    void end_accounts();
    void look_at_the_clock();
    void sweep();
    void drain_step();
    void drain_flows();
    [[nodiscard]] std::size_t count(channel::Device device) const;

    boost::asio::io_context& io_;
    const Settings& settings_;
    zmq::context_t zmq_;
    Feeds feeds_;
    std::mt19937_64 random_;
    channel::ProcessId id_;
    channel::Signer signer_;
    channel::Sessions sessions_;
    channel::Relays relays_;
    std::map<channel::RelayId, std::map<channel::ProcessId, channel::Relay>>
        relay_of_;  // who has it connected; of our own id_ too
    channel::FlowBatch flows_;
    std::map<Uuid, channel::Presence>
        presence_;  // by account; an entry stays, as channels refer to it
    std::map<Uuid, std::map<Uuid, channel::OnlineGateway>>
        own_gateways_;  // by account; to tell others of
    FlowWriter writer_;
    LastSeen last_seen_;
    Fleet fleet_;
    RelayDesk relay_desk_;
    ConnectRate connect_rate_;
    Doorkeeper doorkeeper_;
    Registrar registrar_;
    std::map<Uuid, std::shared_ptr<Account>> accounts_;
    Turns relay_turns_;  // of accounts whose channels must hear of relays
    boost::asio::steady_timer relay_timer_;
    boost::asio::steady_timer flow_timer_;
    boost::asio::steady_timer sweep_timer_;
    channel::Time::duration clock_offset_;  // of the wall's clock, as it was read last
    std::unique_ptr<Server> server_;
    std::unique_ptr<Admin> admin_;  // none unless a setting says where
    std::function<void()> drained_;
    std::size_t drain_slice_ = 0;
    std::chrono::steady_clock::time_point flows_until_;
};

}  // namespace fatwal::worker
