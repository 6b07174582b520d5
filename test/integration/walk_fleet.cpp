#include "test/integration/walk_fleet.h"

#include <array>

namespace fatwal::access::walk {
namespace {

constexpr std::array<const char*, 4> kClientVersions = {"1.1.0", "1.2.0", "1.3.0", "1.5.0"};
// All can be given every resource.
constexpr std::array<const char*, 3> kGatewayVersions = {"1.3.0", "1.4.2", "1.5.0"};

template <std::size_t N>
const char* version_of(const std::array<const char*, N>& versions, const Uuid& id) {
    return versions.at(std::to_integer<std::size_t>(id.bytes[7]) % N);
}

Uuid read(const Json& payload, const char* key) {
    return Uuid::from_text(payload.at(key).get_ref<const std::string&>()).value();
}
Pair read_pair(const Json& payload) {
    return {read(payload, "client_id"), read(payload, "resource_id")};
}
std::optional<std::int64_t> read_expiry(const Json& payload) {
    const Json& expires_at = payload.at("expires_at");
    return expires_at.is_null() ? std::nullopt : std::optional(expires_at.get<std::int64_t>());
}

std::set<std::string> sites_of(const Json& resource) {
    std::set<std::string> out;
    for (const Json& site : resource.at("gateway_groups"))
        out.insert(site.at("id").get<std::string>());
    return out;
}

template <class Row>
const Row* get(const portal::AnyRow& row) {
    return std::get_if<Row>(&row);
}

}  // namespace

Fleet::Fleet(AccountState& state, std::uint64_t seed) : state_(state), generator_(seed) {}

ChannelContext Fleet::context() {
    return {state_, presence_, relays_, signer_, [this] { return generator_(); }, 1};
}

void Fleet::note(const RowChange& change) {
    if (const auto* row = get<portal::Clients>(change.after))
        known_clients.insert(row->id);
    else if (const auto* gone = get<portal::Clients>(change.before))
        known_clients.erase(gone->id);
    if (const auto* row = get<portal::Gateways>(change.after))
        known_gateways.insert(row->id);
    else if (const auto* gone = get<portal::Gateways>(change.before))
        known_gateways.erase(gone->id);
    if (const auto* row = get<portal::Tokens>(change.after); row != nullptr && row->site_id)
        token_of_site_[*row->site_id] = row->id;
    if (const auto* row = get<portal::Flows>(change.before);
        row != nullptr && change.after.index() == 0)
        deleted[{row->gateway_id, {row->client_id, row->resource_id}}].emplace(
            row->policy_id, row->membership_id.value_or(kEveryone));
    const auto* before = get<portal::Resources>(change.before);
    const auto* after = get<portal::Resources>(change.after);
    if (before != nullptr && after != nullptr &&
        (before->type != after->type || before->address != after->address ||
         before->ip_stack != after->ip_stack))
        moved_resources.insert(after->id);
}

void Fleet::lose(const portal::Flows& row) {
    ++counts.lost;
    deleted[{row.gateway_id, {row.client_id, row.resource_id}}].emplace(
        row.policy_id, row.membership_id.value_or(kEveryone));
}

void Fleet::apply(std::uint64_t lsn, const std::vector<RowChange>& changes, Instant now) {
    ++counts.transactions;
    counts.changes += changes.size();
    std::set<Uuid> elsewhere;
    for (const RowChange& change : changes) {
        note(change);
        const auto* before = get<portal::Clients>(change.before);
        const auto* after = get<portal::Clients>(change.after);
        if (before != nullptr && after != nullptr &&
            (before->last_seen_remote_ip != after->last_seen_remote_ip ||
             before->last_seen_remote_ip_location_region !=
                 after->last_seen_remote_ip_location_region))
            elsewhere.insert(after->id);
    }
    const Affected affected = state_.apply(lsn, changes);
    if (affected.quarantined || affected.ignored || affected.bad_rows > 0)
        wrong.push_back("a transaction was not taken: " + (affected.issues.empty()
                                                               ? state_.reason()
                                                               : affected.issues.front().reason));
    const std::set<Uuid> ids(affected.clients.begin(), affected.clients.end());
    const auto tell_clients = [&] {
        for (const Uuid& id : ids) {
            dirty_clients.insert(id);
            if (const auto found = clients.find(id); found != clients.end())
                carry_out({Device::Client, id, found->second.generation, 1},
                          found->second.channel->on_transaction(now), now);
        }
    };
    // They may come in any order.
    turn_ = !turn_;
    if (turn_) tell_clients();
    for (auto& [id, gateway] : gateways) {
        const auto impact = affected.gateways.find(id);
        if (impact == affected.gateways.end()) continue;
        dirty_gateways.insert(id);
        carry_out({Device::Gateway, id, gateway.generation, 1},
                  gateway.channel->on_transaction(impact->second, now), now);
    }
    if (!turn_) tell_clients();
    sweep();
    // A device that has moved has connected again; its new session takes over.
    for (const Uuid& id : elsewhere) {
        if (clients.erase(id) == 0) continue;
        connect_client(id, now);
    }
    pump(now);
}

void Fleet::connect_client(const Uuid& id, Instant now) {
    const auto* row = state_.client(id);
    if (row == nullptr || !row->last_used_token_id) return;
    ClientJoin join{id,
                    *row->last_used_token_id,
                    version_of(kClientVersions, id),
                    {},
                    row->last_seen_remote_ip_location_region,
                    {},
                    ++generation_count_};
    if (row->last_seen_remote_ip)
        join.remote_ip = IpAddress::parse(host_of_inet(*row->last_seen_remote_ip));
    Client& client = clients[id];
    client.generation = join.generation;
    client.version = join.version;
    client.token_id = join.token_id;
    client.channel = std::make_unique<ClientChannel>(context(), join);
    carry_out({Device::Client, id, client.generation, 1}, client.channel->start(now), now);
    if (client.channel->closed()) clients.erase(id);
}

void Fleet::connect_gateway(const Uuid& id, Instant now) {
    const auto* row = state_.gateway(id);
    const auto token = row != nullptr ? token_of_site_.find(row->site_id) : token_of_site_.end();
    if (token == token_of_site_.end()) return;
    const GatewayJoin join{id, token->second,      version_of(kGatewayVersions, id), {},
                           {}, ++generation_count_};
    Gateway& gateway = gateways[id];
    gateway.generation = join.generation;
    gateway.channel = std::make_unique<GatewayChannel>(context(), join);
    carry_out({Device::Gateway, id, gateway.generation, 1}, gateway.channel->start(now), now);
    if (gateway.channel->closed()) {
        gateways.erase(id);
        return;
    }
    presence_.online({id, join.generation, 1, Version::parse(join.version).value(), {}, {}});
}

void Fleet::connect_all(Instant now) {
    for (const Uuid& id : known_clients)
        if (!clients.contains(id)) connect_client(id, now);
    for (const Uuid& id : known_gateways)
        if (!gateways.contains(id)) connect_gateway(id, now);
    pump(now);
}

void Fleet::reconnect_gateway(const Uuid& id, Instant now) {
    if (const auto found = gateways.find(id); found != gateways.end()) {
        presence_.offline(id, found->second.generation);
        gateways.erase(found);
    }
    connect_gateway(id, now);
    pump(now);
}

void Fleet::create_flows(std::size_t count, Instant now) {
    if (clients.empty()) return;
    std::vector<Uuid> ids;
    for (const auto& [id, client] : clients)
        if (!client.resources.empty()) ids.push_back(id);
    for (std::size_t i = 0; i < count && !ids.empty(); ++i) {
        const auto found = clients.find(ids.at(draw(ids.size())));
        if (found == clients.end()) continue;
        Client& client = found->second;
        auto resource = client.resources.begin();
        std::advance(resource, static_cast<std::ptrdiff_t>(draw(client.resources.size())));
        ++counts.asked;
        carry_out({Device::Client, found->first, client.generation, 1},
                  client.channel->on_message("create_flow",
                                             {{"resource_id", resource->first.to_text()},
                                              {"connected_gateway_ids", Json::array()}},
                                             now),
                  now);
    }
    pump(now);
}

std::optional<Instant> Fleet::next_deadline() const {
    std::optional<Instant> out;
    for (const auto& [id, client] : clients) out = earlier(out, client.channel->next_deadline());
    for (const auto& [id, gateway] : gateways) out = earlier(out, gateway.channel->next_deadline());
    return out;
}

void Fleet::on_time(Instant now) {
    const auto due = [&](const auto& channel) {
        const auto deadline = channel.next_deadline();
        return deadline && *deadline <= now;
    };
    for (auto& [id, client] : clients)
        if (due(*client.channel))
            carry_out({Device::Client, id, client.generation, 1}, client.channel->on_time(now),
                      now);
    for (auto& [id, gateway] : gateways)
        if (due(*gateway.channel))
            carry_out({Device::Gateway, id, gateway.generation, 1}, gateway.channel->on_time(now),
                      now);
    sweep();
    pump(now);
}

void Fleet::deliver(const FlowBatch::Notice& notice, Instant now) {
    mail_.push_back({{}, {Device::Gateway, notice.gateway_id, 0, 1}, notice.message});
    pump(now);
}

// Those that are over.
void Fleet::sweep() {
    counts.ended +=
        std::erase_if(clients, [](const auto& entry) { return entry.second.channel->closed(); });
    for (const auto& [id, gateway] : gateways)
        if (gateway.channel->closed()) presence_.offline(id, gateway.generation);
    counts.ended +=
        std::erase_if(gateways, [](const auto& entry) { return entry.second.channel->closed(); });
}

void Fleet::pump(Instant now) {
    while (!mail_.empty() || !refs_.empty()) {
        if (mail_.empty()) {
            const auto [id, ref] = refs_.front();
            refs_.pop_front();
            // Some devices do not answer.
            const auto found = gateways.find(id);
            if (found == gateways.end() || draw(12) == 0) continue;
            carry_out({Device::Gateway, id, found->second.generation, 1},
                      found->second.channel->on_message("flow_authorized", {{"ref", ref}}, now),
                      now);
            continue;
        }
        const Mail mail = std::move(mail_.front());
        mail_.pop_front();
        const auto accepts = [&](const auto& sessions, const auto found) {
            return found != sessions.end() &&
                   (mail.to.generation == 0 || mail.to.generation == found->second.generation);
        };
        if (mail.to.device == Device::Client) {
            const auto found = clients.find(mail.to.id);
            if (accepts(clients, found))
                carry_out(mail.to, found->second.channel->on_peer(mail.message, now), now);
            continue;
        }
        const auto found = gateways.find(mail.to.id);
        if (accepts(gateways, found)) {
            carry_out(mail.to, found->second.channel->on_peer(mail.message, now), now);
        } else if (const auto sender = clients.find(mail.from.id);
                   mail.from.device == Device::Client && sender != clients.end()) {
            carry_out(mail.from, sender->second.channel->undeliverable(mail.message, now), now);
        }
    }
    sweep();
}

void Fleet::carry_out(const Address& from, const Actions& actions, Instant now) {
    for (const Action& action : actions) {
        if (const auto* message = std::get_if<Push>(&action)) {
            ++counts.pushes;
            if (from.device == Device::Client)
                push(clients.at(from.id), from.id, *message);
            else
                push(gateways.at(from.id), from.id, *message, now);
        } else if (const auto* reply = std::get_if<Reply>(&action)) {
            wrong.push_back("a reply: " + reply->payload.dump());
        } else if (std::holds_alternative<Refuse>(action)) {
            ++counts.refused;
        } else if (const auto* end = std::get_if<Disconnect>(&action)) {
            (from.device == Device::Client ? dirty_clients : dirty_gateways).insert(from.id);
            if (end->reason == "invalid_token")
                wrong.push_back("a reason that no device knows: " + end->reason);
        } else if (const auto* send = std::get_if<Send>(&action)) {
            mail_.push_back({from, send->to, send->message});
        } else if (const auto* write = std::get_if<WriteFlow>(&action)) {
            if (from.device == Device::Gateway) ++counts.replaced;
            for (const auto& notice : batch.add(write->row, tick_of(now)))
                mail_.push_back({{}, {Device::Gateway, notice.gateway_id, 0, 1}, notice.message});
        } else if (const auto* erase = std::get_if<DeleteFlow>(&action)) {
            batch.remove(erase->flow_id, tick_of(now));
        }
    }
}

void Fleet::push(Client& client, const Uuid& id, const Push& push) {
    const auto complain = [&](const std::string& what) {
        wrong.push_back("client " + id.to_text() + ' ' + client.version + ": " + push.event + ' ' +
                        push.payload.dump() + ": " + what);
    };
    dirty_clients.insert(id);
    if (push.event == "init") {
        client.initialized = true;
        client.interface = push.payload.at("interface");
        client.resources.clear();
        for (const Json& resource : push.payload.at("resources"))
            client.resources.emplace(read(resource, "id"), resource);
        return;
    }
    if (!client.initialized) complain("before init");
    if (push.event == "config_changed") {
        if (client.interface == push.payload.at("interface")) complain("nothing new");
        client.interface = push.payload.at("interface");
    } else if (push.event == "resource_deleted") {
        if (client.resources.erase(read(push.payload, "id")) == 0) complain("it has none");
    } else if (push.event == "resource_created_or_updated") {
        const auto [place, is_new] =
            client.resources.try_emplace(read(push.payload, "id"), push.payload);
        if (is_new) return;
        if (place->second == push.payload) complain("nothing new");
        if (sites_of(place->second) != sites_of(push.payload))
            complain("other sites without a deletion");
        place->second = push.payload;
    } else if (push.event == "flow_created") {
        ++counts.authorized;
        if (!client.resources.contains(read(push.payload, "resource_id")))
            complain("of a resource that it has not");
    } else if (push.event == "flow_creation_failed") {
        ++counts.failed;
    } else {
        complain("unknown");
    }
}

void Gateway::prune(std::int64_t now) {
    std::erase_if(pairs, [&](const auto& entry) {
        const bool is_over = entry.second && *entry.second <= now;
        if (is_over) ended.insert(entry.first);
        return is_over;
    });
}

void Fleet::push(Gateway& gateway, const Uuid& id, const Push& push, Instant now) {
    const auto complain = [&](const std::string& what) {
        wrong.push_back("gateway " + id.to_text() + ": " + push.event + ' ' + push.payload.dump() +
                        ": " + what);
    };
    dirty_gateways.insert(id);
    gateway.prune(unix_seconds(now));
    if (push.event == "init") {
        gateway.pairs.clear();
        gateway.ended.clear();
        for (const Json& pair : push.payload.at("authorizations"))
            gateway.pairs.emplace(read_pair(pair), read_expiry(pair));
    } else if (push.event == "authorize_flow") {
        refs_.emplace_back(id, push.payload.at("ref").get<std::string>());
        const Pair pair{read(push.payload.at("client"), "id"),
                        read(push.payload.at("resource"), "id")};
        const auto expires_at = read_expiry(push.payload);
        gateway.ended.erase(pair);
        const auto [place, is_new] = gateway.pairs.try_emplace(pair, expires_at);
        // The latest of its flows.
        if (!is_new && place->second)
            place->second =
                expires_at ? std::optional(std::max(*place->second, *expires_at)) : std::nullopt;
    } else if (push.event == "reject_access") {
        if (gateway.ended.erase(read_pair(push.payload)) > 0) return;
        ++counts.rejected;
        if (gateway.pairs.erase(read_pair(push.payload)) == 0) complain("it has none");
        rejections.push_back({now, id, read_pair(push.payload)});
    } else if (push.event == "access_authorization_expiry_updated") {
        const auto found = gateway.pairs.find(read_pair(push.payload));
        if (found == gateway.pairs.end()) return complain("it has none");
        found->second = read_expiry(push.payload);
    } else if (push.event != "resource_updated") {
        complain("unknown");
    }
}

}  // namespace fatwal::access::walk
