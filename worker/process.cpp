#include "worker/process.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>

namespace fatwal::worker {
namespace {

using channel::Device;

constexpr auto kSweepEvery = std::chrono::seconds(1);
constexpr auto kClockSet = std::chrono::milliseconds(200);  // no slewing is so fast
constexpr auto kDrainEvery = std::chrono::milliseconds(100);
constexpr auto kFlowsWithin = std::chrono::seconds(10);  // once the devices are gone
constexpr auto kFlowRetry = std::chrono::milliseconds(500);
constexpr int kMostSockets = 65'535;  // of ZeroMQ: three for each account

std::uint64_t drawn(std::mt19937_64& random) {
    std::uint64_t out = 0;
    while (out == 0) out = random();
    return out;
}

std::mt19937_64 seeded() {
    std::random_device entropy;
    std::seed_seq seed{entropy(), entropy(), entropy(), entropy(),
                       entropy(), entropy(), entropy(), entropy()};
    return std::mt19937_64(seed);
}

zmq::context_t sockets() {
    zmq::context_t context;
    context.set(zmq::ctxopt::max_sockets,
                std::min(kMostSockets, context.get(zmq::ctxopt::socket_limit)));
    return context;
}

channel::FlowBatch::Options batch_options(const Settings& settings) {
    channel::FlowBatch::Options out;
    out.after = std::chrono::milliseconds(settings.flow_batch_ms);
    return out;
}

std::optional<Uuid> id_in(const Json& message, const char* key) {
    const auto found = message.find(key);
    return found != message.end() && found->is_string()
               ? Uuid::from_text(found->get_ref<const std::string&>())
               : std::nullopt;
}

Json location_json(const std::optional<channel::Location>& location) {
    return location ? Json{location->lat, location->lon} : Json();
}

std::optional<channel::Location> location_in(const Json& message) {
    const Json pair = message.value("location", Json());
    return pair.is_array() && pair.size() == 2 ? std::optional(channel::Location{pair[0], pair[1]})
                                               : std::nullopt;
}

Json session_json(const char* event, const Uuid& account, const Uuid& device,
                  channel::Generation generation) {
    return {{"event", event},
            {"account", account.to_text()},
            {"id", device.to_text()},
            {"generation", generation}};
}

Json to_json(const Uuid& account, const channel::OnlineGateway& gateway) {
    return {{"event", "gateway_online"},
            {"account", account.to_text()},
            {"id", gateway.id.to_text()},
            {"generation", gateway.generation},
            {"version", gateway.version.to_text()},
            {"location", location_json(gateway.location)},
            {"remote_ip", gateway.remote_ip ? Json(gateway.remote_ip->to_text()) : Json()}};
}

std::optional<channel::OnlineGateway> gateway_in(const Json& message, channel::ProcessId from) {
    const auto id = id_in(message, "id");
    const auto version = channel::Version::parse(message.value("version", ""));
    if (!id || !version) return std::nullopt;
    const Json ip = message.value("remote_ip", Json());
    return channel::OnlineGateway{*id,
                                  message.value("generation", channel::Generation{0}),
                                  from,
                                  *version,
                                  location_in(message),
                                  ip.is_string()
                                      ? channel::IpAddress::parse(ip.get_ref<const std::string&>())
                                      : std::nullopt};
}

// Null of an operators' relay.
Json account_json(const channel::RelayId& relay) {
    return relay.account_id ? Json(relay.account_id->to_text()) : Json();
}

std::optional<channel::RelayId> relay_id_in(const Json& message) {
    const auto id = id_in(message, "id");
    const auto account = id_in(message, "account");
    const bool has_account = !message.value("account", Json()).is_null();
    if (!id || has_account != account.has_value()) return std::nullopt;
    return channel::RelayId{*id, account};
}

Json to_json(const channel::Relay& relay) {
    return {{"event", "relay_online"},
            {"id", relay.id.id.to_text()},
            {"account", account_json(relay.id)},
            {"ipv4", relay.ipv4 ? Json(*relay.ipv4) : Json()},
            {"ipv6", relay.ipv6 ? Json(*relay.ipv6) : Json()},
            {"port", relay.port},
            {"location", location_json(relay.location)},
            {"secret", relay.secret}};
}

std::optional<channel::Relay> relay_in(const Json& message) {
    const auto id = relay_id_in(message);
    if (!id) return std::nullopt;
    const auto text = [&](const char* key) {
        const Json value = message.value(key, Json());
        return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
    };
    return channel::Relay{*id,
                          text("ipv4"),
                          text("ipv6"),
                          message.value("port", std::uint16_t{3478}),
                          location_in(message),
                          message.value("secret", "")};
}

}  // namespace

channel::Time wall_clock() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

channel::Time steady_clock() {
    return channel::Time(std::chrono::duration_cast<channel::Time::duration>(
        std::chrono::steady_clock::now().time_since_epoch()));
}

std::string text_of(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Process::Process(boost::asio::io_context& io, const Settings& settings)
    : io_(io),
      settings_(settings),
      zmq_(sockets()),
      feeds_(io, zmq_),
      random_(seeded()),
      id_(drawn(random_)),
      signer_(settings.secret),
      sessions_(static_cast<channel::Generation>(wall_clock().time_since_epoch().count())),
      relays_(std::chrono::milliseconds(settings.relay_debounce_ms)),
      flows_(batch_options(settings)),
      writer_(settings.database,
              [this](FlowWriter::Written result) {
                  boost::asio::post(io_, [this, result = std::move(result)] { written(result); });
              }),
      last_seen_(settings.database),
      fleet_(io, zmq_, settings, id_,
             {[this](channel::ProcessId from, const Json& message) { return hear(from, message); },
              [this](channel::ProcessId process) { forget(process); },
              [this] { return introduction(); }}),
      relay_desk_(io, feeds_, settings,
                  {[this](const channel::Relay& relay) {
                       relay_of_[relay.id][id_] = relay;
                       fleet_.broadcast(to_json(relay));
                       relay_online(relay);
                   },
                   [this](const channel::RelayId& id) {
                       fleet_.broadcast({{"event", "relay_offline"},
                                         {"id", id.id.to_text()},
                                         {"account", account_json(id)}});
                       relay_of_[id].erase(id_);
                       relay_offline(id);
                   },
                   [this](JoinRequest request) { seen(std::move(request)); },
                   [this](const Uuid& id) { return account(id).hold(); },
                   [this](const Uuid& id) {
                       const auto found = accounts_.find(id);
                       return found == accounts_.end() ? RelayDesk::Rows{}
                                                       : RelayDesk::rows_of(found->second->feed());
                   }}),
      connect_rate_(settings.connects_per_second),
      doorkeeper_(
          io, settings.database, std::chrono::seconds(settings.join_timeout_s),
          // Strangers never take the places of all.
          static_cast<std::size_t>(settings.max_sessions / 2 + 1),
          [this](JoinRequest request, std::shared_ptr<Link> link) {
              proven(std::move(request), std::move(link));
          },
          [](Link& link, const std::string& reason) { disconnect_link(link, reason); },
          [this](const JoinRequest& request) {
              if (request.remote_ip)
                  connect_rate_.unproven(*request.remote_ip, std::chrono::steady_clock::now());
          }),
      registrar_(io, settings.database, std::chrono::seconds(settings.join_timeout_s),
                 static_cast<std::size_t>(settings.max_sessions / 4 + 1),
                 [this](const channel::IpAddress& from) {
                     connect_rate_.unproven(from, std::chrono::steady_clock::now());
                 }),
      relay_turns_(io,
                   [this](const Uuid& id) {
                       const auto found = accounts_.find(id);
                       if (found != accounts_.end()) found->second->relays_changed();
                   }),
      relay_timer_(io),
      flow_timer_(io),
      sweep_timer_(io),
      clock_offset_(wall_clock() - steady_clock()) {
    server_ = std::make_unique<Server>(
        io, settings, connect_rate_,
        [this](JoinRequest request, std::shared_ptr<Link> link) {
            joined(std::move(request), std::move(link));
        },
        [this](Registration registration, Registrar::Done done) {
            registrar_.ask(std::move(registration), std::move(done));
        });
    if (!settings.admin_socket.empty())
        admin_ = std::make_unique<Admin>(
            io, settings.admin_socket,
            Admin::Handlers{[this] { return stats(); },
                            [this](const Admin::Listing& listing) { return list(listing); },
                            [this](const Admin::Cursor& session) {
                                fleet_.broadcast({{"event", "disconnect"},
                                                  {"account", session.account.to_text()},
                                                  {"gateway", session.device == Device::Gateway},
                                                  {"id", session.id.to_text()}});
                                return disconnect(session);
                            },
                            [this](const Uuid& account, const Uuid& client, const Uuid& resource) {
                                fleet_.broadcast({{"event", "reject"},
                                                  {"account", account.to_text()},
                                                  {"id", client.to_text()},
                                                  {"resource", resource.to_text()}});
                                return reject(account, {client, resource});
                            }});
    sweep();
}

// The accounts' channels refer to all else.
Process::~Process() {
    admin_.reset();
    server_.reset();
    end_accounts();
}

void Process::end_accounts() { const auto over = std::exchange(accounts_, {}); }

channel::ChannelContext Process::context(channel::AccountState& state,
                                         const channel::Presence& presence) {
    return {.state = state,
            .presence = presence,
            .relays = relays_,
            .signer = signer_,
            .random = [this] { return random_(); },
            .process = id_,
            .flow_lifetime = std::chrono::seconds(settings_.flow_lifetime_s)};
}

Account& Process::account(const Uuid& id) {
    auto& account = accounts_[id];
    if (!account) {
        account = std::make_shared<Account>(*this, id, presence_[id]);
        account->follow();
    }
    return *account;
}

void Process::publication_changed(const PublicationLook& look) {
    if (look.fault.empty())
        spdlog::warn("what is published was changed: new snapshots are taken");
    else
        spdlog::error("{}\n  nothing new is granted until it is mended", look.fault);
    feeds_.set_fault(look.fault);
    for (const auto& [id, account] : accounts_) account->publication_changed(look.at);
    relay_desk_.publication_changed(look.at);
}

void Process::broken(std::weak_ptr<Account> account, const Uuid& id, const std::string& reason) {
    spdlog::error("account {}: {}; its devices are sent away", id.to_text(), reason);
    // Not while it is at work.
    boost::asio::post(io_, [this, account = std::move(account), id] {
        const auto found = accounts_.find(id);
        // By then it may be another one.
        if (found == accounts_.end() || found->second != account.lock()) return;
        const auto over = std::move(found->second);
        accounts_.erase(found);
        relay_desk_.account_failed(id);
    });
}

void Process::joined(JoinRequest request, std::shared_ptr<Link> link) {
    // The rows of an account that is followed already tell the same without a query.
    const auto followed = request.token.account_id && request.role != Role::Relay
                              ? accounts_.find(*request.token.account_id)
                              : accounts_.end();
    if (followed != accounts_.end() && followed->second->knows_token(request.token))
        return followed->second->join(std::move(request), std::move(link));
    doorkeeper_.ask(std::move(request), std::move(link));
}

void Process::proven(JoinRequest request, std::shared_ptr<Link> link) {
    if (drained_) return disconnect_link(*link, "going_away");
    if (request.role == Role::Relay) return relay_desk_.join(std::move(request), std::move(link));
    Account& joining = account(*request.token.account_id);
    joining.join(std::move(request), std::move(link));
}

// Flows
// ---------------------------------------------------------------------------------------

void Process::write(portal::Flows row) {
    tell(flows_.add(std::move(row), steady_clock()));
    keep_flow_deadline();
}

void Process::remove(const Uuid& flow_id) {
    flows_.remove(flow_id, steady_clock());
    keep_flow_deadline();
}

void Process::seen(JoinRequest device) { last_seen_.seen(std::move(device)); }

void Process::keep_flow_deadline() {
    take_batch();
    const auto deadline = flows_.next_deadline();
    flow_timer_.cancel();
    if (!deadline) return;
    flow_timer_.expires_after(std::clamp<std::chrono::microseconds>(
        *deadline - steady_clock(), std::chrono::milliseconds(1), std::chrono::hours(1)));
    flow_timer_.async_wait([this](boost::system::error_code error) {
        if (!error) keep_flow_deadline();
    });
}

void Process::take_batch() {
    const bool draining = drained_ != nullptr;
    if (auto batch = flows_.take(draining ? channel::Time::max() : steady_clock()))
        writer_.write(std::move(*batch));
}

void Process::written(const FlowWriter::Written& result) {
    if (result.failed)
        flows_.failed(result.number, steady_clock() + kFlowRetry);
    else
        tell(flows_.written(result.number, result.result, steady_clock()));
    keep_flow_deadline();
}

void Process::tell(const std::vector<channel::FlowBatch::Notice>& notices) {
    for (const auto& notice : notices) {
        const channel::Address to{Device::Gateway, notice.gateway_id, 0, 0};
        const auto followed = accounts_.find(notice.account_id);
        if (followed != accounts_.end()) {
            followed->second->route({}, to, notice.message);
            continue;
        }
        const auto* online = presence_[notice.account_id].find(notice.gateway_id);
        if (online != nullptr) send(notice.account_id, {}, to, notice.message);
    }
}

// The fleet
// ---------------------------------------------------------------------------------------

bool Process::send(const Uuid& account, const channel::Address& sender, const channel::Address& to,
                   const channel::PeerMessage& message) {
    return fleet_.send(to.process, {{"event", "deliver"},
                                    {"account", account.to_text()},
                                    {"sender", channel::to_json(sender)},
                                    {"to", channel::to_json(to)},
                                    {"message", channel::to_json(message)}});
}

void Process::client_entered(const Uuid& account, const Uuid& client,
                             channel::Generation generation) {
    presence_[account].client_online(client, {generation, id_});
    fleet_.broadcast(session_json("client_entered", account, client, generation));
}

void Process::client_left(const Uuid& account, const Uuid& client, channel::Generation generation) {
    presence_[account].client_offline(client, generation);
    fleet_.broadcast(session_json("client_left", account, client, generation));
}

void Process::ask_whether_there(const Uuid& account, const channel::OnlineGateway& gateway) {
    fleet_.send(gateway.process,
                session_json("gateway_wanted", account, gateway.id, gateway.generation));
}

void Process::gateway_online(const Uuid& account, const channel::OnlineGateway& gateway) {
    presence_[account].online(gateway);
    own_gateways_[account].insert_or_assign(gateway.id, gateway);
    fleet_.broadcast(to_json(account, gateway));
}

void Process::gateway_offline(const Uuid& account, const Uuid& gateway,
                              channel::Generation generation) {
    presence_[account].offline(gateway, generation);
    if (own_gateways_[account].erase(gateway) == 0) return;
    fleet_.broadcast(session_json("gateway_offline", account, gateway, generation));
}

std::vector<Json> Process::introduction() const {
    std::vector<Json> out;
    for (const auto& [account, gateways] : own_gateways_)
        for (const auto& [id, gateway] : gateways) out.push_back(to_json(account, gateway));
    for (const auto& [account, presence] : presence_)
        for (const auto& [id, client] : presence.clients())
            if (client.process == id_)
                out.push_back(session_json("client_entered", account, id, client.generation));
    for (const auto& [id, by_process] : relay_of_)
        if (const auto own = by_process.find(id_); own != by_process.end())
            out.push_back(to_json(own->second));
    return out;
}

bool Process::hear(channel::ProcessId from, const Json& message) {
    if (!message.is_object()) return false;
    const std::string event = message.value("event", "");
    if (event == "relay_online") {
        const auto relay = relay_in(message);
        if (!relay) return false;
        relay_of_[relay->id][from] = *relay;
        relay_online(*relay);
        return true;
    }
    if (event == "relay_offline") {
        const auto id = relay_id_in(message);
        if (!id) return false;
        relay_of_[*id].erase(from);
        relay_offline(*id);
        return true;
    }
    const auto account = id_in(message, "account");
    return account && hear_of_account(from, event, *account, message);
}

bool Process::hear_of_account(channel::ProcessId from, const std::string& event,
                              const Uuid& account, const Json& message) {
    const auto found = accounts_.find(account);
    Account* const followed = found == accounts_.end() ? nullptr : found->second.get();
    if (event == "deliver" || event == "undelivered")
        return hear_delivery(from, event, followed, message);
    const auto id = id_in(message, "id");
    if (!id) return false;
    const auto generation = message.value("generation", channel::Generation{0});
    sessions_.hear(generation);
    if (event == "gateway_online") {
        const auto gateway = gateway_in(message, from);
        if (!gateway) return false;
        presence_[account].online(*gateway);
        // Both have let it in at the same time: the later one stays.
        if (followed != nullptr)
            followed->entered_elsewhere(Device::Gateway, *id, generation, from);
    } else if (event == "gateway_offline") {
        presence_[account].offline(*id, generation);
    } else if (event == "client_entered") {
        presence_[account].client_online(*id, {generation, from});
        if (followed != nullptr) followed->entered_elsewhere(Device::Client, *id, generation, from);
    } else if (event == "client_left") {
        presence_[account].client_offline(*id, generation);
    } else if (event == "gateway_wanted") {
        if (followed != nullptr)
            followed->probe_gateway(*id, generation, [this, account, from, id = *id, generation] {
                fleet_.send(from, session_json("gateway_stays", account, id, generation));
            });
    } else if (event == "gateway_stays") {
        if (followed != nullptr) followed->gateway_stays(*id, generation);
    } else if (event == "disconnect") {
        disconnect(
            {account, message.value("gateway", false) ? Device::Gateway : Device::Client, *id});
    } else if (event == "reject") {
        const auto resource = id_in(message, "resource");
        if (resource) reject(account, {*id, *resource});
        return resource.has_value();
    } else {
        return false;
    }
    return true;
}

// What cannot be read goes back like what cannot be delivered: whoever waits for it need not wait
// in vain.
bool Process::hear_delivery(channel::ProcessId from, const std::string& event, Account* account,
                            const Json& message) {
    const auto to = channel::address_from_json(message.value("to", Json()));
    const auto sender = channel::address_from_json(message.value("sender", Json()));
    const auto content = channel::peer_message_from_json(message.value("message", Json()));
    const bool understood = to && content;
    if (event == "undelivered") {
        if (understood && sender && account != nullptr) account->undeliverable(*sender, *content);
        return understood;
    }
    const auto send_back = [this, from, sender](Json back) {
        if (!sender) return;
        back["event"] = "undelivered";
        fleet_.send(from, back);
    };
    if (understood && account != nullptr &&
        account->deliver(*to, *content, [send_back, message] { send_back(message); }))
        return true;
    send_back(message);
    return understood;
}

void Process::forget(channel::ProcessId process) {
    for (auto& [account, presence] : presence_) presence.process_gone(process);
    for (auto& [id, by_process] : relay_of_)
        if (by_process.erase(process) > 0) relay_offline(id);
}

// Relays
// ---------------------------------------------------------------------------------------

void Process::relay_online(const channel::Relay& relay) {
    if (relays_.online(relay)) relays_changed(relay.id.account_id);
    keep_relay_deadline();
}

// Unless another process has it too: a relay that moves is there before it is gone.
void Process::relay_offline(const channel::RelayId& relay) {
    const auto found = relay_of_.find(relay);
    if (found != relay_of_.end() && !found->second.empty()) return;
    relays_.offline(relay, steady_clock());
    keep_relay_deadline();
}

void Process::relays_changed(const std::optional<Uuid>& of) {
    if (of) return relay_turns_.add(*of);
    for (const auto& [id, account] : accounts_) relay_turns_.add(id);
}

void Process::keep_relay_deadline() {
    const auto deadline = relays_.next_deadline();
    if (!deadline) return;
    relay_timer_.expires_after(std::max<std::chrono::microseconds>(*deadline - steady_clock(),
                                                                   std::chrono::milliseconds(1)));
    relay_timer_.async_wait([this](boost::system::error_code error) {
        if (error) return;
        for (const auto& account : relays_.on_time(steady_clock())) relays_changed(account);
        keep_relay_deadline();
    });
}

// Housekeeping
// ---------------------------------------------------------------------------------------

// The channels decide by the wall's clock: policies, tokens and flows end at instants of it. When
// it is set (or the machine slept), what is to happen after a length of time keeps its length, and
// what is to happen at an instant is checked again.
void Process::look_at_the_clock() {
    const auto offset = wall_clock() - steady_clock();
    const auto moved = offset - std::exchange(clock_offset_, offset);
    if (std::chrono::abs(moved) < kClockSet) return;
    spdlog::warn("the clock was set by {} s",
                 std::chrono::duration_cast<std::chrono::seconds>(moved).count());
    for (const auto& [id, account] : accounts_) account->clock_was_set(moved);
}

void Process::sweep() {
    look_at_the_clock();
    const auto now = std::chrono::steady_clock::now();
    for (auto at = accounts_.begin(); at != accounts_.end();) {
        const auto since = at->second->empty_since();
        if (since && now - *since >= std::chrono::seconds(settings_.account_linger_s)) {
            const auto over = std::move(at->second);
            at = accounts_.erase(at);
        } else {
            ++at;
        }
    }
    sweep_timer_.expires_after(kSweepEvery);
    sweep_timer_.async_wait([this](boost::system::error_code error) {
        if (!error) sweep();
    });
}

std::size_t Process::count(Device device) const {
    std::size_t out = 0;
    for (const auto& [id, account] : accounts_) out += account->sessions(device);
    return out;
}

Json Process::stats() const {
    std::size_t live = 0;
    for (const auto& [id, account] : accounts_) live += account->live() ? 1 : 0;
    std::size_t online = 0;
    for (const auto& [id, presence] : presence_) online += presence.size();
    return {{"status", drained_ ? "draining" : "ok"},
            {"clients", count(Device::Client)},
            {"gateways", count(Device::Gateway)},
            {"gateways_online", online},
            {"relays", relay_desk_.size()},
            {"accounts", accounts_.size()},
            {"accounts_live", live},
            {"registrations_waiting", registrar_.waiting()},
            {"flows_waiting", flows_.waiting()},
            {"fleet", fleet_.size()},
            {"fleet_not_understood", fleet_.not_understood()}};
}

Json Process::list(const Admin::Listing& listing) const {
    Json sessions = Json::array();
    auto after = listing.after;
    if (listing.account && (!after || after->account != *listing.account)) after.reset();
    auto at = listing.account ? accounts_.find(*listing.account)
              : after         ? accounts_.lower_bound(after->account)
                              : accounts_.begin();
    bool all = true;
    for (; all && at != accounts_.end() && (!listing.account || at->first == *listing.account);
         ++at) {
        if (after && after->account != at->first) after.reset();
        all = at->second->list(after, listing.limit, sessions);
    }
    Json out = {{"sessions", std::move(sessions)}};
    if (!all) {
        const Json& last = out["sessions"].back();
        out["next"] = last["account"].get<std::string>() + '/' + last["kind"].get<std::string>() +
                      '/' + last["id"].get<std::string>();
    }
    return out;
}

std::size_t Process::disconnect(const Admin::Cursor& session) {
    const auto found = accounts_.find(session.account);
    return found != accounts_.end() && found->second->disconnect_device(session.device, session.id)
               ? 1
               : 0;
}

std::size_t Process::reject(const Uuid& account, const channel::Pair& pair) {
    const auto found = accounts_.find(account);
    return found == accounts_.end() ? 0 : found->second->reject(pair);
}

void Process::drain(std::function<void()> done) {
    if (drained_) return;
    drained_ = std::move(done);
    server_->stop_listening();
    sweep_timer_.cancel();
    const auto steps =
        static_cast<std::size_t>(std::chrono::seconds(settings_.drain_s) / kDrainEvery);
    const auto devices = count(Device::Client) + count(Device::Gateway);
    drain_slice_ = steps == 0 ? devices + 1 : devices / steps + 1;
    spdlog::info("{} devices are sent elsewhere over {} s", devices, settings_.drain_s);
    drain_step();
}

void Process::drain_step() {
    std::size_t left = drain_slice_;
    // A client finds another gateway while its own is still here; the other way round it would
    // wait.
    for (const Device device : {Device::Client, Device::Gateway})
        for (const auto& [id, account] : accounts_)
            if (left > 0) left -= account->close_some(device, left);
    if (left == drain_slice_) {
        relay_desk_.close_all();
        flows_until_ = std::chrono::steady_clock::now() + kFlowsWithin;
        return drain_flows();
    }
    sweep_timer_.expires_after(kDrainEvery);
    sweep_timer_.async_wait([this](boost::system::error_code error) {
        if (!error) drain_step();
    });
}

void Process::drain_flows() {
    keep_flow_deadline();
    const bool late = std::chrono::steady_clock::now() >= flows_until_;
    const auto waiting = flows_.waiting() + flows_.waiting_deletions();
    const bool at_work = std::any_of(accounts_.begin(), accounts_.end(),
                                     [](const auto& entry) { return entry.second->is_at_work(); });
    if ((waiting == 0 && registrar_.waiting() == 0 && !at_work) || late) {
        if (waiting > 0)
            spdlog::error("{} flows are not written or deleted: the database does not take them",
                          waiting);
        end_accounts();
        return drained_();
    }
    sweep_timer_.expires_after(kDrainEvery);
    sweep_timer_.async_wait([this](boost::system::error_code error) {
        if (!error) drain_flows();
    });
}

}  // namespace fatwal::worker
