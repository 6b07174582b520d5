#include "test/access/world.h"

#include <stdexcept>

namespace fatwal::access::test {
namespace {

std::map<Uuid, std::string>& names() {
    static std::map<Uuid, std::string> names;
    return names;
}

std::tuple<std::size_t, Uuid, Uuid> key_of(const portal::AnyRow& row) {
    return std::visit(
        [&](const auto& r) -> std::tuple<std::size_t, Uuid, Uuid> {
            using Row = std::decay_t<decltype(r)>;
            if constexpr (std::is_same_v<Row, std::monostate>)
                throw std::logic_error("no row");
            else if constexpr (std::is_same_v<Row, portal::ResourceConnections>)
                return {row.index(), r.resource_id, r.site_id};
            else
                return {row.index(), r.id, Uuid{}};
        },
        row);
}

std::string list(const Json& items, const std::function<std::string(const Json&)>& text) {
    std::string out;
    for (const Json& item : items) out += (out.empty() ? "" : ",") + text(item);
    return '[' + out + ']';
}

// Seconds after kFriday.
std::string time_text(const Json& time) {
    return time.is_null() ? "none"
                          : std::to_string(time.get<std::int64_t>() - unix_seconds(kFriday));
}

std::string text_of(const Push& push) {
    const Json& p = push.payload;
    const auto name = [&](const char* key) { return name_of(p.at(key)); };
    const auto pair = [&] { return name("client_id") + ',' + name("resource_id"); };
    if (push.event == "init" && p.contains("resources"))
        return "init" + list(p["resources"], [](const Json& r) { return name_of(r.at("id")); });
    if (push.event == "init")
        return "init" + list(p.at("authorizations"), [](const Json& a) {
                   return name_of(a.at("client_id")) + '/' + name_of(a.at("resource_id")) + '/' +
                          time_text(a.at("expires_at"));
               });
    if (push.event == "resource_deleted") return "RD(" + name("id") + ')';
    if (push.event == "resource_created_or_updated") return "RC(" + name("id") + ')';
    if (push.event == "reject_access") return "REJ(" + pair() + ')';
    if (push.event == "access_authorization_expiry_updated")
        return "EXP(" + pair() + ',' + time_text(p.at("expires_at")) + ')';
    if (push.event == "authorize_flow")
        return "AF(" + name_of(p.at("client").at("id")) + ',' + name_of(p.at("resource").at("id")) +
               ',' + time_text(p.at("expires_at")) + ')';
    if (push.event == "flow_created")
        return "FC(" + name("resource_id") + ',' + name("gateway_id") + ')';
    if (push.event == "flow_creation_failed") {
        std::string properties;
        if (p.contains("violated_properties"))
            for (const Json& property : p["violated_properties"])
                properties += ':' + property.get<std::string>();
        return "FF(" + name("resource_id") + ',' + p.at("reason").get<std::string>() + properties +
               ')';
    }
    if (push.event == "relays_presence")
        return "relays(" +
               list(p.at("disconnected_ids"), [](const Json& i) { return name_of(i); }) + ',' +
               std::to_string(p.at("connected").size()) + ')';
    if (push.event == "resource_updated") return "updated(" + name("id") + ')';
    if (push.event == "ice_candidates" || push.event == "invalidate_ice_candidates")
        return push.event + '(' + name(p.contains("client_id") ? "client_id" : "gateway_id") + ')';
    return push.event;
}

}  // namespace

Uuid id(const std::string& name) {
    Uuid out;
    if (name.size() > 15) throw std::logic_error("a long name");
    for (std::size_t i = 0; i < name.size(); ++i) out.bytes.at(i) = static_cast<std::byte>(name[i]);
    out.bytes[15] = std::byte{1};
    names()[out] = name;
    return out;
}

std::string name_of(const Uuid& id) {
    const auto found = names().find(id);
    return found == names().end() ? "?" : found->second;
}

std::string name_of(const Json& id) {
    return name_of(Uuid::from_text(id.get<std::string>()).value());
}

Json condition(const std::string& property, const std::string& op,
               const std::vector<std::string>& values) {
    return {{"property", property}, {"operator", op}, {"values", values}};
}

World::World() {
    portal::Accounts account;
    account.id = id("account");
    account.name = "Account";
    account.slug = "account";
    account.config = Json::object();
    account.features = Json::object();
    account.limits = Json::object();
    put(account);
    actor("A")
        .group("g1")
        .member("m1", "A", "g1")
        .site("s1")
        .resource("r1")
        .connect("r1", "s1")
        .policy("p1", "g1", "r1");
    gateway_row("w1", "s1")
        .gateway_token("tw1", "s1")
        .client_row("c1", "A")
        .client_token("t1", "A");
    changes_.clear();
    snapshot();
}

World& World::resource(const std::string& name, const std::string& address,
                       portal::ResourceType type) {
    portal::Resources row;
    row.id = id(name);
    row.account_id = id("account");
    row.name = name;
    row.type = type;
    if (type != portal::ResourceType::Internet)
        row.address = address.empty() ? name + ".example.com" : address;
    row.filters = Json::array();
    return put(row);
}

World& World::connect(const std::string& resource, const std::string& site) {
    return put(portal::ResourceConnections{id("account"), id(resource), id(site)});
}
World& World::disconnect(const std::string& resource, const std::string& site) {
    return erase_row(portal::ResourceConnections{id("account"), id(resource), id(site)});
}

World& World::site(const std::string& name) {
    portal::Sites row;
    row.id = id(name);
    row.account_id = id("account");
    row.name = name;
    return put(row);
}

World& World::policy(const std::string& name, const std::string& group, const std::string& resource,
                     std::vector<Json> conditions) {
    portal::Policies row;
    row.id = id(name);
    row.account_id = id("account");
    if (!group.empty()) row.actor_group_id = id(group);
    row.resource_id = id(resource);
    for (Json& one : conditions) row.conditions.emplace_back(std::move(one));
    return put(row);
}

World& World::group(const std::string& name) {
    portal::ActorGroups row;
    row.id = id(name);
    row.account_id = id("account");
    row.name = name;
    return put(row);
}

World& World::actor(const std::string& name) {
    portal::Actors row;
    row.id = id(name);
    row.account_id = id("account");
    row.name = name;
    return put(row);
}

World& World::member(const std::string& name, const std::string& actor, const std::string& group) {
    portal::ActorGroupMemberships row;
    row.id = id(name);
    row.account_id = id("account");
    row.actor_id = id(actor);
    row.group_id = id(group);
    return put(row);
}

World& World::client_row(const std::string& name, const std::string& actor) {
    portal::Clients row;
    row.id = id(name);
    row.account_id = id("account");
    row.actor_id = id(actor);
    row.name = row.external_id = name;
    row.public_key = "key of " + name;
    row.ipv4 = "100.64.0.1";
    row.ipv6 = "fd00:2021:1111::1";
    return put(row);
}

World& World::client_token(const std::string& name, const std::string& actor,
                           std::optional<Instant> expires_at) {
    portal::Tokens row;
    row.id = id(name);
    row.account_id = id("account");
    row.type = portal::TokenType::Client;
    row.actor_id = id(actor);
    row.expires_at = expires_at;
    return put(row);
}

World& World::gateway_row(const std::string& name, const std::string& site) {
    portal::Gateways row;
    row.id = id(name);
    row.account_id = id("account");
    row.site_id = id(site);
    row.name = row.external_id = name;
    row.public_key = "key of " + name;
    row.ipv4 = "100.65.0.1";
    row.ipv6 = "fd00:2021:1111::2";
    return put(row);
}

World& World::gateway_token(const std::string& name, const std::string& site) {
    portal::Tokens row;
    row.id = id(name);
    row.account_id = id("account");
    row.type = portal::TokenType::Gateway;
    row.site_id = id(site);
    return put(row);
}

World& World::put(const portal::AnyRow& row) {
    RowChange change;
    auto& kept = rows_[key_of(row)];
    change.before = kept;
    change.after = row;
    kept = row;
    changes_.push_back(std::move(change));
    return *this;
}

World& World::erase_row(const portal::AnyRow& row) {
    const auto found = rows_.find(key_of(row));
    if (found == rows_.end()) throw std::logic_error("no such row");
    RowChange change;
    change.before = found->second;
    rows_.erase(found);
    changes_.push_back(std::move(change));
    return *this;
}

World& World::cascade(const std::string& name) {
    std::vector<Uuid> gone{id(name)};
    for (std::size_t next = 0; next < gone.size(); ++next) {
        const Uuid parent = gone[next];
        std::vector<portal::AnyRow> rows;
        for (const auto& [key, row] : rows_) {
            const bool hangs = std::visit(
                [&](const auto& r) {
                    using Row = std::decay_t<decltype(r)>;
                    const auto is = [&](const auto& column) { return column == parent; };
                    bool out = false;
                    if constexpr (requires { r.actor_id; }) out = out || is(r.actor_id);
                    if constexpr (requires { r.group_id; }) out = out || is(r.group_id);
                    if constexpr (requires { r.actor_group_id; }) out = out || is(r.actor_group_id);
                    if constexpr (requires { r.resource_id; }) out = out || is(r.resource_id);
                    if constexpr (requires { r.site_id; }) out = out || is(r.site_id);
                    if constexpr (requires { r.policy_id; }) out = out || is(r.policy_id);
                    if constexpr (requires { r.client_id; }) out = out || is(r.client_id);
                    if constexpr (requires { r.gateway_id; }) out = out || is(r.gateway_id);
                    if constexpr (requires { r.token_id; }) out = out || is(r.token_id);
                    if constexpr (requires { r.membership_id; }) out = out || is(r.membership_id);
                    if constexpr (!std::is_same_v<Row, std::monostate> && requires { r.id; })
                        out = out || (next == 0 && r.id == parent);
                    return out;
                },
                row);
            if (hangs) rows.push_back(row);
        }
        // The parent of all goes first.
        std::stable_partition(rows.begin(), rows.end(), [&](const auto& row) {
            return std::get<1>(key_of(row)) == parent && next == 0;
        });
        for (const auto& row : rows) {
            const auto key = key_of(row);
            if (!rows_.contains(key)) continue;
            erase_row(row);
            if (!std::holds_alternative<portal::ResourceConnections>(row) &&
                std::get<1>(key) != parent)
                gone.push_back(std::get<1>(key));
        }
    }
    return *this;
}

std::vector<RowChange> World::take_changes() { return std::exchange(changes_, {}); }

Affected World::apply(std::uint64_t lsn, const std::vector<RowChange>& changes) {
    Affected affected = state.apply(lsn, changes);
    for (auto& [name, channel] : gateways)
        if (const auto found = affected.gateways.find(id(name)); found != affected.gateways.end())
            carry_out(name, channel->on_transaction(found->second, now));
    for (auto& [name, channel] : clients)
        if (affected.clients.contains(id(name))) carry_out(name, channel->on_transaction(now));
    return affected;
}

Affected World::commit() { return apply(++lsn_, take_changes()); }

void World::load(AccountState& into, const Position& position) const {
    into.begin_snapshot();
    for (const auto& [key, row] : rows_) {
        RowChange change;
        change.after = row;
        into.snapshot_row(std::move(change));
    }
    (void)into.end_snapshot(position);
}

void World::snapshot() {
    changes_.clear();
    load(state, {history, ++lsn_});
    for (auto& [name, channel] : gateways) carry_out(name, channel->on_snapshot(now));
    for (auto& [name, channel] : clients) carry_out(name, channel->on_snapshot(now));
}

ChannelContext World::context() {
    ChannelContext out{state, presence, relays, signer, [this] { return generator(); }, 1};
    out.flow_lifetime = flow_lifetime;
    return out;
}

World& World::join_client(const std::string& name, const std::string& version,
                          const std::string& token) {
    ClientJoin join{id(name),      id(token),       version,      client_ip,
                    client_region, client_location, ++generation_};
    clients[name] = std::make_unique<ClientChannel>(context(), join);
    carry_out(name, clients[name]->start(now));
    return *this;
}

World& World::join_gateway(const std::string& name, const std::string& version,
                           const std::string& token) {
    GatewayJoin join{id(name), id(token), version, {}, {}, ++generation_};
    if (const auto found = locations.find(name); found != locations.end())
        join.location = found->second;
    gateways[name] = std::make_unique<GatewayChannel>(context(), join);
    carry_out(name, gateways[name]->start(now));
    presence.online(
        {id(name), join.generation, 1, Version::parse(version).value(), join.location, {}});
    return *this;
}

World& World::leave(const std::string& name) {
    clients.erase(name);
    if (gateways.erase(name) > 0) presence.offline(id(name), generation_);
    return *this;
}

World& World::say(const std::string& device, const std::string& event, const Json& payload) {
    if (const auto found = clients.find(device); found != clients.end())
        carry_out(device, found->second->on_message(event, payload, now));
    else
        carry_out(device, gateways.at(device)->on_message(event, payload, now));
    return *this;
}

World& World::create_flow(const std::string& resource, const std::vector<std::string>& connected) {
    Json ids = Json::array();
    for (const std::string& gateway : connected) ids.push_back(id(gateway).to_text());
    return say("c1", "create_flow",
               {{"resource_id", id(resource).to_text()}, {"connected_gateway_ids", ids}});
}

World& World::answer() {
    for (const std::string& entry : std::exchange(refs, {})) {
        const std::size_t blank = entry.find(' ');
        say(entry.substr(0, blank), "flow_authorized", {{"ref", entry.substr(blank + 1)}});
    }
    return *this;
}

World& World::peer(const std::string& device, const PeerMessage& message) {
    // As another process would send it.
    const PeerMessage copy = peer_message_from_json(Json::parse(to_json(message).dump())).value();
    if (!(copy == message)) throw std::logic_error("a message is not itself again");
    if (const auto found = clients.find(device); found != clients.end())
        carry_out(device, found->second->on_peer(copy, now));
    if (const auto found = gateways.find(device); found != gateways.end())
        carry_out(device, found->second->on_peer(copy, now));
    return *this;
}

World& World::relays_changed() {
    for (auto& [name, channel] : clients) carry_out(name, channel->on_relays(now));
    for (auto& [name, channel] : gateways) carry_out(name, channel->on_relays(now));
    return *this;
}

World& World::until(Instant time) {
    for (int steps = 0; steps < 10'000; ++steps) {
        std::optional<Instant> next;
        if (const auto tick = relays.next_deadline()) next = Instant(tick->time_since_epoch());
        for (auto& [name, channel] : clients) next = earlier(next, channel->next_deadline());
        for (auto& [name, channel] : gateways) next = earlier(next, channel->next_deadline());
        if (!next || *next > time) {
            now = time;
            return *this;
        }
        now = std::max(now, *next);
        if (!relays.on_time(tick()).empty()) relays_changed();
        for (auto& [name, channel] : clients) carry_out(name, channel->on_time(now));
        for (auto& [name, channel] : gateways) carry_out(name, channel->on_time(now));
    }
    throw std::logic_error("a deadline that does not pass");
}

World& World::set_clock(Instant::duration moved) {
    now += moved;
    for (auto& [name, channel] : clients) carry_out(name, channel->clock_was_set(moved, now));
    for (auto& [name, channel] : gateways) carry_out(name, channel->clock_was_set(moved, now));
    return *this;
}

World& World::write_flows() {
    std::vector<portal::Flows> rows = std::exchange(unwritten, {});
    for (const portal::Flows& row : rows) put(row);
    commit();
    for (const portal::Flows& row : rows) peer(name_of(row.gateway_id), FlowsDurable{{row.id}});
    return *this;
}

World& World::lose_flows() {
    for (const portal::Flows& row : std::exchange(unwritten, {}))
        peer(name_of(row.gateway_id), FlowsLost{{row.id}});
    return *this;
}

World& World::delete_flows() {
    for (const Uuid& flow_id : std::exchange(unwanted, {}))
        if (const auto found = rows_.find({portal::AnyRow(portal::Flows{}).index(), flow_id, {}});
            found != rows_.end()) {
            const portal::AnyRow row = found->second;
            erase_row(row);
        }
    commit();
    return *this;
}

std::string World::sent(const std::string& device) { return std::exchange(sent_[device], ""); }
std::size_t World::deletions() { return std::exchange(deletions_, 0); }

void World::carry_out(const std::string& device, const Actions& actions) {
    const auto record = [&](const std::string& text) {
        sent_[device] += (sent_[device].empty() ? "" : " ") + text;
    };
    for (const Action& action : actions) {
        if (const auto* push = std::get_if<Push>(&action)) {
            payloads.push_back(push->payload);
            record(text_of(*push));
            if (push->event == "authorize_flow")
                refs.push_back(device + ' ' + push->payload.at("ref").get<std::string>());
        } else if (const auto* reply = std::get_if<Reply>(&action)) {
            record("reply(" + reply->payload.value("reason", "ok") + ')');
        } else if (const auto* refuse = std::get_if<Refuse>(&action)) {
            record("refuse(" + refuse->reason + ')');
        } else if (const auto* end = std::get_if<Disconnect>(&action)) {
            record("disconnect(" + end->reason + ')');
        } else if (const auto* send = std::get_if<Send>(&action)) {
            if (deliver)
                peer(name_of(send->to.id), send->message);
            else if (clients.contains(device))
                carry_out(device, clients[device]->undeliverable(send->message, now));
        } else if (const auto* write = std::get_if<WriteFlow>(&action)) {
            unwritten.push_back(write->row);
        } else if (const auto* remove = std::get_if<DeleteFlow>(&action)) {
            ++deletions_;
            unwanted.push_back(remove->flow_id);
            std::erase_if(unwritten,
                          [&](const portal::Flows& row) { return row.id == remove->flow_id; });
        }
    }
    if (const auto found = gateways.find(device); found != gateways.end())
        if (found->second->has_more()) carry_out(device, found->second->go_on(now));
}

}  // namespace fatwal::access::test
