#include "fatwal/channel/client_channel.h"

#include <algorithm>
#include <set>

#include "channel/src/device_message.h"
#include "fatwal/channel/init_pages.h"

namespace fatwal::channel {
namespace {

constexpr std::size_t kMaxUnanswered = 8;  // flows of one resource

Action refusal_reply(const char* reason) { return Reply{false, {{"reason", reason}}}; }

Push failed(const Uuid& resource_id, const char* reason) {
    return {"flow_creation_failed", {{"resource_id", resource_id.to_text()}, {"reason", reason}}};
}

}  // namespace

ClientChannel::ClientChannel(ChannelContext context, ClientJoin join)
    : context_(std::move(context)), join_(std::move(join)) {}

ClientChannel::~ClientChannel() {
    if (phase_ != Phase::Created)
        context_.state.watchers().detach_client(join_.client_id, join_.token_id);
}

ClientContext ClientChannel::session() const {
    return {join_.remote_ip, join_.region, std::nullopt, false};
}

Actions ClientChannel::start(Time now) {
    Actions out;
    if (phase_ != Phase::Created) return out;
    context_.state.watchers().attach_client(join_.client_id, join_.token_id);
    phase_ = Phase::Waiting;
    if (context_.state.live()) join(now, out);
    return out;
}

void ClientChannel::join(Time now, Actions& out) {
    const auto version = Version::parse(join_.version);
    auto refusal = version ? client_refusal(context_.state, join_.client_id, join_.token_id, now)
                           : Refusal("invalid_version");
    if (refusal) {
        phase_ = Phase::Closed;
        out.emplace_back(Refuse{std::move(*refusal)});
        return;
    }
    version_ = *version;
    phase_ = Phase::Joined;
    const auto& client = *context_.state.client(join_.client_id);
    token_expires_at_ = context_.state.token(join_.token_id)->expires_at;
    view_ = ClientView::of(context_.state, client, version_, session(), now);
    push_init(now, out);
    // What an earlier session was granted and this one may not have.
    for (const Uuid& id : context_.state.flows_of_client(join_.client_id)) {
        const auto* flow = context_.state.flow(id);
        if (!view_.resources.contains(flow->resource_id)) out.emplace_back(DeleteFlow{id});
    }
}

void ClientChannel::push_init(Time now, Actions& out) {
    InitPages pages({{"interface", view_.interface},
                     {"relays", relays_.init(context_.relays, relay_user(), now, context_.random)}},
                    "resources", view_.resources.size());
    auto at = view_.resources.begin();
    while (!pages.done())
        out.emplace_back(pages.next([&](std::size_t) { return (at++)->second->payload; }));
}

void ClientChannel::disconnect(std::string reason, Actions& out) {
    phase_ = Phase::Closed;
    pending_.clear();
    out.emplace_back(Disconnect{std::move(reason)});
}

void ClientChannel::recompute(Time now, Actions& out) {
    if (auto refusal = client_refusal(context_.state, join_.client_id, join_.token_id, now)) {
        // To the device a token that is gone is one that has expired: it signs in again.
        return disconnect(*refusal == "invalid_token" ? "token_expired" : std::move(*refusal), out);
    }
    const auto& client = *context_.state.client(join_.client_id);
    token_expires_at_ = context_.state.token(join_.token_id)->expires_at;
    ClientView before = std::move(view_);
    view_ = ClientView::of(context_.state, client, version_, session(), now);
    if (before.interface["ipv4"] != view_.interface["ipv4"] ||
        before.interface["ipv6"] != view_.interface["ipv6"])
        return push_init(now, out);
    push_difference(before, view_, out);
}

Actions ClientChannel::on_snapshot(Time now) {
    Actions out;
    if (!context_.state.live()) return out;
    if (phase_ == Phase::Waiting)
        join(now, out);
    else if (phase_ == Phase::Joined)
        recompute(now, out);
    return out;
}

Actions ClientChannel::on_transaction(Time now) {
    Actions out;
    if (phase_ == Phase::Joined && context_.state.live()) recompute(now, out);
    return out;
}

RelayUser ClientChannel::relay_user() const {
    return {context_.state.account_id(), join_.client_id, join_.location, token_expires_at_};
}

Actions ClientChannel::on_relays(Time now) {
    Actions out;
    if (phase_ == Phase::Joined) tell_relays(now, out);
    return out;
}

void ClientChannel::tell_relays(Time now, Actions& out) {
    if (auto payload = relays_.update(context_.relays, relay_user(), now, context_.random))
        out.emplace_back(Push{"relays_presence", std::move(*payload)});
}

Actions ClientChannel::on_time(Time now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (token_expires_at_ && *token_expires_at_ <= now) {
        disconnect("token_expired", out);
        return out;
    }
    std::vector<Uuid> late;
    for (const auto& [resource_id, pending] : pending_)
        if (pending.deadline <= now) late.push_back(resource_id);
    for (const Uuid& resource_id : late) fail_pending(resource_id, out);
    if (relays_.next_deadline() && *relays_.next_deadline() <= now) tell_relays(now, out);
    if (context_.state.live() && view_.next_change && *view_.next_change <= now)
        recompute(now, out);
    return out;
}

Actions ClientChannel::clock_was_set(Time::duration moved, Time now) {
    for (auto& [resource_id, pending] : pending_) pending.deadline += moved;
    Actions out = on_time(now);
    // A clock that goes back leaves windows that have not begun: no deadline says so.
    if (phase_ == Phase::Joined && context_.state.live()) recompute(now, out);
    return out;
}

std::optional<Time> ClientChannel::next_deadline() const {
    if (phase_ != Phase::Joined) return std::nullopt;
    std::optional<Time> out = earlier(token_expires_at_, relays_.next_deadline());
    // A state that is put aside computes nothing; its new snapshot will.
    if (context_.state.live()) out = earlier(out, view_.next_change);
    for (const auto& [resource_id, pending] : pending_) out = earlier(out, pending.deadline);
    return out;
}

Actions ClientChannel::on_message(std::string_view event, const Json& payload, Time now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (event == "create_flow")
        create_flow(payload, now, out);
    else if (event == "broadcast_ice_candidates")
        broadcast(payload, false, out);
    else if (event == "broadcast_invalidated_ice_candidates")
        broadcast(payload, true, out);
    else
        out.push_back(refusal_reply("unknown_message"));
    return out;
}

void ClientChannel::broadcast(const Json& payload, bool invalidated, Actions& out) {
    const auto gateways = read_ids(payload, "gateway_ids");
    auto candidates = read_candidates(payload);
    if (!gateways || !candidates) {
        out.push_back(refusal_reply("invalid_message"));
        return;
    }
    const Ids flowing = gateways_with_flows();
    for (const Uuid& id : std::set<Uuid>(gateways->begin(), gateways->end())) {
        const auto* gateway = context_.presence.find(id);
        if (gateway == nullptr || gateway->process == 0 || !flowing.contains(id)) continue;
        out.emplace_back(Send{{Device::Gateway, id, gateway->generation, gateway->process},
                              IceCandidates{join_.client_id, *candidates, invalidated}});
    }
}

Ids ClientChannel::gateways_with_flows() const {
    Ids out;
    for (const auto& [resource_id, asked] : asked_) out.insert(asked.gateway_id);
    for (const Uuid& id : context_.state.flows_of_client(join_.client_id))
        out.insert(context_.state.flow(id)->gateway_id);
    return out;
}

void ClientChannel::create_flow(const Json& payload, Time now, Actions& out) {
    const auto resource_id = read_id(payload, "resource_id");
    std::optional<std::vector<Uuid>> connected = std::vector<Uuid>();
    if (payload.is_object() && payload.contains("connected_gateway_ids"))
        connected = read_ids(payload, "connected_gateway_ids");
    if (!resource_id || !connected) {
        out.push_back(refusal_reply("invalid_message"));
        return;
    }
    ask(*resource_id, *connected, true, now, out);
}

void ClientChannel::ask(const Uuid& resource_id, const std::vector<Uuid>& connected,
                        bool may_be_known, Time now, Actions& out) {
    if (!context_.state.live()) {
        out.emplace_back(failed(resource_id, "offline"));
        return;
    }
    // Its end may have come before anybody has called on_time().
    if (auto refusal = client_refusal(context_.state, join_.client_id, join_.token_id, now)) {
        disconnect(*refusal == "invalid_token" ? "token_expired" : std::move(*refusal), out);
        return;
    }
    const auto& client = *context_.state.client(join_.client_id);
    const auto* resource = context_.state.resource(resource_id);
    if (resource == nullptr || !has_policy(context_.state, client.actor_id, resource_id) ||
        context_.state.view_of(resource_id, version_) == nullptr) {
        out.emplace_back(failed(resource_id, "not_found"));
        return;
    }
    ClientContext context = session();
    complete_context(context_.state, client, context);
    const auto grant = longest_grant(context_.state, client.actor_id, resource_id, context, now);
    if (!grant) {
        Push push = failed(resource_id, "forbidden");
        push.payload["violated_properties"] =
            violated_properties(context_.state, client.actor_id, resource_id, context, now);
        out.emplace_back(std::move(push));
        return;
    }
    const auto choice = choose_gateway(context_.state, context_.presence, *resource, version_,
                                       join_.location, connected, context_.random);
    if (const auto* none = std::get_if<NoGateway>(&choice)) {
        out.emplace_back(
            failed(resource_id, *none == NoGateway::Offline ? "offline" : "version_mismatch"));
        return;
    }
    authorize(*resource, *std::get<const OnlineGateway*>(choice), *grant, may_be_known, now, out);
}

const PairCredentials& ClientChannel::credentials(const portal::Clients& client,
                                                  const portal::Gateways& gateway) {
    if (credentials_.size() >= kMaxPeers) credentials_.clear();
    Kept& kept = credentials_[gateway.id];
    if (kept.client_key != client.public_key || kept.gateway_key != gateway.public_key ||
        kept.credentials.preshared_key.empty())
        kept = {client.public_key, gateway.public_key,
                PairCredentials::derive(context_.signer, client.id, client.public_key, gateway.id,
                                        gateway.public_key)};
    return kept.credentials;
}

// The flow by which this client has the same already: asked for by this session, or by one before.
std::optional<ClientChannel::KnownFlow> ClientChannel::known_flow(const Uuid& resource_id,
                                                                  const Uuid& gateway_id,
                                                                  const Authorize& wanted,
                                                                  Time now) const {
    const auto asked = asked_.find(resource_id);
    if (asked != asked_.end() && asked->second.gateway_id == gateway_id &&
        asked->second.by == wanted.by &&
        context_.ends_late_enough(asked->second.expires_at, wanted.expires_at, now))
        return KnownFlow{asked->second.flow_id, asked->second.expires_at};
    for (const Uuid& id : context_.state.flows_of_client(join_.client_id)) {
        const auto& row = *context_.state.flow(id);
        if (row.resource_id == resource_id && row.gateway_id == gateway_id &&
            Justification{row.policy_id, row.membership_id.value_or(kEveryone), row.token_id} ==
                wanted.by &&
            context_.ends_late_enough(row.expires_at, wanted.expires_at, now))
            return KnownFlow{id, row.expires_at};
    }
    return std::nullopt;
}

void ClientChannel::authorize(const portal::Resources& resource, const OnlineGateway& gateway,
                              const Grant& grant, bool may_be_known, Time now, Actions& out) {
    const AccountState& state = context_.state;
    const auto& client = *state.client(join_.client_id);
    // Its row is there: it was found by its site.
    const auto& keys = credentials(client, *state.gateway(gateway.id));

    Authorize message;
    message.client_id = join_.client_id;
    message.resource_id = resource.id;
    message.by = {grant.policy_id, grant.membership_id, join_.token_id};
    message.expires_at = context_.end_of_flow(earlier(grant.until, token_expires_at_), now);
    const auto known = may_be_known ? known_flow(resource.id, gateway.id, message, now)
                                    : std::optional<KnownFlow>();
    message.flow_id = known ? known->id : random_uuid(context_.random);
    if (known) message.expires_at = known->expires_at;
    message.known = known.has_value();
    message.decided_at = state.position();
    message.client = session();
    complete_context(state, client, message.client);
    message.from = {Device::Client, join_.client_id, join_.generation, context_.process};
    message.ref = FlowRef{state.account_id(), message.flow_id,  resource.id,     gateway.id,
                          join_.client_id,    join_.generation, context_.process}
                      .sign(context_.signer);
    message.public_key = client.public_key;
    message.ipv4 = host_of_inet(client.ipv4);
    message.ipv6 = host_of_inet(client.ipv6);
    message.preshared_key = keys.preshared_key;
    message.client_ice = keys.client_ice;
    message.gateway_ice = keys.gateway_ice;

    Pending& pending = pending_[resource.id];
    pending.deadline = now + context_.answer_within;
    if (std::erase(pending.flows, message.flow_id) == 0 && known)
        pending.established.insert(message.flow_id);
    if (pending.flows.size() == kMaxUnanswered) pending.flows.erase(pending.flows.begin());
    pending.flows.push_back(message.flow_id);
    asked_.insert_or_assign(resource.id, Asked{message.flow_id, gateway.id, message.by,
                                               message.expires_at, message.known});

    const Address to{Device::Gateway, gateway.id, gateway.generation, gateway.process};
    if (known) {
        out.emplace_back(Send{to, std::move(message)});
        return;
    }
    portal::Flows row;
    row.id = message.flow_id;
    row.account_id = state.account_id();
    row.policy_id = grant.policy_id;
    row.client_id = join_.client_id;
    row.gateway_id = gateway.id;
    row.resource_id = resource.id;
    row.token_id = join_.token_id;
    row.membership_id = membership_column(grant.membership_id);
    if (join_.remote_ip) row.client_remote_ip = join_.remote_ip->to_text();
    if (gateway.remote_ip) row.gateway_remote_ip = gateway.remote_ip->to_text();
    row.expires_at = message.expires_at;
    row.created_at = now;
    out.reserve(2);
    out.emplace_back(Send{to, std::move(message)});
    out.emplace_back(WriteFlow{std::move(row)});
}

void ClientChannel::withdraw(const Pending& pending, const Uuid& flow_id, Actions& out) {
    if (!pending.established.contains(flow_id)) out.emplace_back(DeleteFlow{flow_id});
}

void ClientChannel::fail_pending(const Uuid& resource_id, Actions& out) {
    const auto found = pending_.find(resource_id);
    if (found == pending_.end()) return;
    for (const Uuid& id : found->second.flows) withdraw(found->second, id, out);
    pending_.erase(found);
    out.emplace_back(failed(resource_id, "offline"));
}

Actions ClientChannel::on_peer(const PeerMessage& message, Time now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (const auto* ice = std::get_if<IceCandidates>(&message)) {
        out.emplace_back(
            Push{ice->invalidated ? "invalidate_ice_candidates" : "ice_candidates",
                 {{"gateway_id", ice->from.to_text()}, {"candidates", ice->candidates}}});
    } else if (const auto* refused = std::get_if<FlowRefused>(&message)) {
        return undeliverable(*refused, now);
    } else if (const auto* answer = std::get_if<FlowAuthorized>(&message)) {
        const auto found = pending_.find(answer->resource_id);
        if (found == pending_.end() || found->second.deadline <= now) return out;
        const auto& flows = found->second.flows;
        if (std::find(flows.begin(), flows.end(), answer->flow_id) == flows.end()) return out;
        const auto* gateway = context_.state.gateway(answer->gateway_id);
        const auto* client = context_.state.client(join_.client_id);
        // Taken away while the answer was under way: the device has been told already.
        if (gateway == nullptr || client == nullptr ||
            !view_.resources.contains(answer->resource_id)) {
            fail_pending(answer->resource_id, out);
            return out;
        }
        pending_.erase(found);
        const auto& keys = credentials(*client, *gateway);
        out.emplace_back(Push{"flow_created",
                              {{"resource_id", answer->resource_id.to_text()},
                               {"gateway_id", gateway->id.to_text()},
                               {"gateway_group_id", gateway->site_id.to_text()},
                               {"gateway_public_key", gateway->public_key},
                               {"gateway_ipv4", host_of_inet(gateway->ipv4)},
                               {"gateway_ipv6", host_of_inet(gateway->ipv6)},
                               {"preshared_key", keys.preshared_key},
                               {"client_ice_credentials", ice_payload(keys.client_ice)},
                               {"gateway_ice_credentials", ice_payload(keys.gateway_ice)}}});
    }
    return out;
}

Actions ClientChannel::undeliverable(const PeerMessage& message, Time now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    Uuid resource_id;
    Uuid flow_id;
    if (const auto* authorize = std::get_if<Authorize>(&message)) {
        resource_id = authorize->resource_id;
        flow_id = authorize->flow_id;
    } else if (const auto* refused = std::get_if<FlowRefused>(&message)) {
        resource_id = refused->resource_id;
        flow_id = refused->flow_id;
    } else {
        return out;
    }
    const auto found = pending_.find(resource_id);
    if (found == pending_.end()) return out;
    // One that a later request has replaced fails by itself; the device is notified of the later
    // one.
    auto& flows = found->second.flows;
    if (flows.back() == flow_id) {
        const auto asked = asked_.find(resource_id);
        const bool is_last = asked != asked_.end() && asked->second.flow_id == flow_id;
        const bool was_known = is_last && asked->second.known;
        if (is_last) asked_.erase(asked);
        if (was_known) {
            // The gateway has it no more and deletes its row; or cannot be reached, and has it on.
            withdraw(found->second, flow_id, out);
            flows.pop_back();
            if (flows.empty()) pending_.erase(found);
            ask(resource_id, {}, false, now, out);
        } else {
            fail_pending(resource_id, out);
        }
    } else if (std::erase(flows, flow_id) > 0) {
        withdraw(found->second, flow_id, out);
    }
    return out;
}

}  // namespace fatwal::channel
