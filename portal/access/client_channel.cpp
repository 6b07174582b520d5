#include "portal/access/client_channel.h"

#include <algorithm>

#include "portal/access/device_message.h"
#include "portal/access/flow_row.h"
#include "portal/access/init_pages.h"

namespace fatwal::access {
namespace {

constexpr std::size_t kMaxUnanswered = 8;  // flows of one resource

}  // namespace

ClientChannel::ClientChannel(const ChannelContext& context, ClientJoin join)
    : Channel(context,
              {Device::Client, join.client_id, join.token_id, join.version, join.location}),
      join_(std::move(join)) {}

ClientContext ClientChannel::session() const {
    return {join_.remote_ip, join_.region, std::nullopt, false};
}

FlowAsker ClientChannel::asker() const {
    return {join_.client_id, join_.token_id, version(),
            session(),       join_.location, token_expires_at()};
}

std::optional<Refusal> ClientChannel::refusal(Instant now) const {
    return client_refusal(state(), join_.client_id, join_.token_id, now);
}

void ClientChannel::enter(Instant now, Actions& out) {
    const auto& client = *state().client(join_.client_id);
    view_ = ClientView::of(state(), client, version(), session(), now);
    push_init(now, out);
    // What an earlier session was granted and this one may not have.
    for (const Uuid& id : state().flows_of_client(join_.client_id)) {
        const auto* flow = state().flow(id);
        if (!view_.resources.contains(flow->resource_id)) out.emplace_back(DeleteFlow{id});
    }
}

void ClientChannel::push_init(Instant now, Actions& out) {
    InitPages pages({{"interface", view_.interface}, {"relays", relays_of_init(now)}}, "resources",
                    view_.resources.size());
    auto at = view_.resources.begin();
    while (!pages.done())
        out.emplace_back(pages.next([&](std::size_t) { return (at++)->second->payload; }));
}

void ClientChannel::renew(Instant now, Actions& out) {
    if (const auto reason = refusal(now)) return end_if(reason, out);
    const auto& client = *state().client(join_.client_id);
    read_token();
    ClientView before = std::move(view_);
    view_ = ClientView::of(state(), client, version(), session(), now);
    if (before.interface["ipv4"] != view_.interface["ipv4"] ||
        before.interface["ipv6"] != view_.interface["ipv6"])
        return push_init(now, out);
    push_difference(before, view_, out);
}

Actions ClientChannel::on_transaction(Instant now) {
    Actions out;
    if (joined() && state().live()) renew(now, out);
    return out;
}

void ClientChannel::pass(Instant now, Actions& out) {
    std::vector<Uuid> late;
    for (const auto& [resource_id, pending] : pending_)
        if (pending.deadline <= tick(now)) late.push_back(resource_id);
    for (const Uuid& resource_id : late) fail_pending(resource_id, out);
    if (state().live() && view_.next_change && *view_.next_change <= now) renew(now, out);
}

std::optional<Instant> ClientChannel::own_deadline() const {
    // A state that is put aside computes nothing; its new snapshot will.
    std::optional<Instant> out = state().live() ? view_.next_change : std::nullopt;
    for (const auto& [resource_id, pending] : pending_)
        out = earlier(out, instant(pending.deadline));
    return out;
}

// Gateways that are online, and with which the client has a flow.
std::vector<Address> ClientChannel::reachable(const std::set<Uuid>& peers) const {
    Ids flowing;
    for (const auto& [resource_id, asked] : asked_) flowing.insert(asked.gateway_id);
    for (const Uuid& id : state().flows_of_client(join_.client_id))
        flowing.insert(state().flow(id)->gateway_id);
    std::vector<Address> out;
    for (const Uuid& id : peers) {
        const auto* gateway = context().presence.find(id);
        if (gateway != nullptr && gateway->process != 0 && flowing.contains(id))
            out.push_back({Device::Gateway, id, gateway->generation, gateway->process});
    }
    return out;
}

// A gateway's channel sends only to clients that hold something there.
bool ClientChannel::knows(const Uuid& peer) const {
    (void)peer;
    return true;
}

void ClientChannel::create_flow(const CreateFlow& message, Instant now, Actions& out) {
    ask(message.resource_id, message.connected, true, now, out);
}

void ClientChannel::ask(const Uuid& resource_id, const std::vector<Uuid>& connected,
                        bool may_be_known, Instant now, Actions& out) {
    FlowDecision decision = decide_flow(context(), asker(), resource_id, connected, now);
    switch (decision.outcome) {
        case FlowOutcome::Granted: return authorize(decision, may_be_known, now, out);
        case FlowOutcome::SessionOver: return end_if(decision.refusal, out);
        case FlowOutcome::NotConforming:
            out.emplace_back(to_push(FlowFailed{resource_id, failure_of(decision.outcome),
                                                std::move(decision.violated)}));
            return;
        default: out.emplace_back(to_push(FlowFailed{resource_id, failure_of(decision.outcome)}));
    }
}

const PairCredentials& ClientChannel::credentials(const portal::Clients& client,
                                                  const portal::Gateways& gateway) {
    if (credentials_.size() >= kMaxPeers) credentials_.clear();
    Derived& derived = credentials_[gateway.id];
    if (derived.client_key != client.public_key || derived.gateway_key != gateway.public_key ||
        derived.credentials.preshared_key.empty())
        derived = {client.public_key, gateway.public_key,
                   PairCredentials::derive(context().signer, client.id, client.public_key,
                                           gateway.id, gateway.public_key)};
    return derived.credentials;
}

// The flow by which this client has the same already: asked for by this session, or by one before.
std::optional<ClientChannel::KnownFlow> ClientChannel::known_flow(const Uuid& resource_id,
                                                                  const Uuid& gateway_id,
                                                                  const Authorize& wanted,
                                                                  Instant now) const {
    const auto does = [&](const Justification& by, const std::optional<Instant>& expires_at) {
        return by == wanted.by && context().ends_late_enough(expires_at, wanted.expires_at, now);
    };
    const auto asked = asked_.find(resource_id);
    if (asked != asked_.end() && asked->second.gateway_id == gateway_id &&
        does(asked->second.by, asked->second.expires_at))
        return KnownFlow{asked->second.flow_id, asked->second.expires_at};
    for (const Uuid& id : state().flows_of_client(join_.client_id)) {
        const auto& row = *state().flow(id);
        if (row.resource_id == resource_id && row.gateway_id == gateway_id &&
            does(justification_of(row), row.expires_at))
            return KnownFlow{id, row.expires_at};
    }
    return std::nullopt;
}

void ClientChannel::authorize(const FlowDecision& decision, bool may_be_known, Instant now,
                              Actions& out) {
    const portal::Resources& resource = *decision.resource;
    const OnlineGateway& gateway = *decision.gateway;
    const auto& client = *state().client(join_.client_id);
    // Its row is there: it was found by its site.
    const auto& keys = credentials(client, *state().gateway(gateway.id));

    Authorize message;
    message.client_id = join_.client_id;
    message.resource_id = resource.id;
    message.by = {decision.grant.policy_id, decision.grant.membership_id, join_.token_id};
    message.expires_at = decision.expires_at;
    const auto known = may_be_known ? known_flow(resource.id, gateway.id, message, now)
                                    : std::optional<KnownFlow>();
    message.flow_id = known ? known->id : random_uuid(context().random);
    if (known) message.expires_at = known->expires_at;
    message.known = known.has_value();
    message.decided_at = state().position();
    message.client = session();
    complete_context(state(), client, message.client);
    message.from = {Device::Client, join_.client_id, join_.generation, context().process};
    message.ref = FlowRef{state().account_id(), message.flow_id,  resource.id,      gateway.id,
                          join_.client_id,      join_.generation, context().process}
                      .sign(context().signer);
    message.public_key = client.public_key;
    message.ipv4 = host_of_inet(client.ipv4);
    message.ipv6 = host_of_inet(client.ipv6);
    message.preshared_key = keys.preshared_key;
    message.client_ice = keys.client_ice;
    message.gateway_ice = keys.gateway_ice;
    await_answer(message, gateway.id, now);

    const Address to{Device::Gateway, gateway.id, gateway.generation, gateway.process};
    if (known) {
        out.emplace_back(Send{to, std::move(message)});
        return;
    }
    portal::Flows row = row_of_flow({.flow_id = message.flow_id,
                                     .account_id = state().account_id(),
                                     .pair = {join_.client_id, resource.id},
                                     .gateway_id = gateway.id,
                                     .by = message.by,
                                     .client_ip = join_.remote_ip,
                                     .gateway_ip = gateway.remote_ip,
                                     .expires_at = message.expires_at,
                                     .decided_at = now});
    out.reserve(2);
    out.emplace_back(Send{to, std::move(message)});
    out.emplace_back(WriteFlow{std::move(row)});
}

void ClientChannel::await_answer(const Authorize& message, const Uuid& gateway_id, Instant now) {
    Pending& pending = pending_[message.resource_id];
    pending.deadline = tick(now) + context().answer_within;
    if (std::erase(pending.flows, message.flow_id) == 0 && message.known)
        pending.established.insert(message.flow_id);
    if (pending.flows.size() == kMaxUnanswered) pending.flows.erase(pending.flows.begin());
    pending.flows.push_back(message.flow_id);
    asked_.insert_or_assign(message.resource_id, Asked{message.flow_id, gateway_id, message.by,
                                                       message.expires_at, message.known});
}

void ClientChannel::withdraw(const Pending& pending, const Uuid& flow_id, Actions& out) {
    if (!pending.established.contains(flow_id)) out.emplace_back(DeleteFlow{flow_id});
}

void ClientChannel::fail_pending(const Uuid& resource_id, Actions& out) {
    const auto found = pending_.find(resource_id);
    if (found == pending_.end()) return;
    for (const Uuid& id : found->second.flows) withdraw(found->second, id, out);
    pending_.erase(found);
    out.emplace_back(to_push(FlowFailed{resource_id, "offline"}));
}

void ClientChannel::take_peer(const PeerMessage& message, Instant now, Actions& out) {
    if (const auto* refused = std::get_if<FlowRefused>(&message))
        failed(refused->resource_id, refused->flow_id, now, out);
    else if (const auto* answer = std::get_if<FlowAuthorized>(&message))
        answered(*answer, now, out);
}

void ClientChannel::answered(const FlowAuthorized& answer, Instant now, Actions& out) {
    const auto found = pending_.find(answer.resource_id);
    if (found == pending_.end() || found->second.deadline <= tick(now)) return;
    const auto& flows = found->second.flows;
    if (std::find(flows.begin(), flows.end(), answer.flow_id) == flows.end()) return;
    const auto* gateway = state().gateway(answer.gateway_id);
    const auto* client = state().client(join_.client_id);
    // Taken away while the answer was under way: the device knows already.
    if (gateway == nullptr || client == nullptr || !view_.resources.contains(answer.resource_id))
        return fail_pending(answer.resource_id, out);
    pending_.erase(found);
    const auto& keys = credentials(*client, *gateway);
    out.emplace_back(to_push(FlowCreated{answer.resource_id, *gateway, keys.preshared_key,
                                         keys.client_ice, keys.gateway_ice}));
}

Actions ClientChannel::undeliverable(const PeerMessage& message, Instant now) {
    Actions out;
    if (!joined()) return out;
    if (const auto* request = std::get_if<Authorize>(&message))
        failed(request->resource_id, request->flow_id, now, out);
    else if (const auto* refused = std::get_if<FlowRefused>(&message))
        failed(refused->resource_id, refused->flow_id, now, out);
    return out;
}

void ClientChannel::failed(const Uuid& resource_id, const Uuid& flow_id, Instant now,
                           Actions& out) {
    const auto found = pending_.find(resource_id);
    if (found == pending_.end()) return;
    // One that a later request has replaced fails by itself; the device is notified of the later
    // one.
    auto& flows = found->second.flows;
    if (flows.back() != flow_id) {
        if (std::erase(flows, flow_id) > 0) withdraw(found->second, flow_id, out);
        return;
    }
    const auto asked = asked_.find(resource_id);
    const bool is_last = asked != asked_.end() && asked->second.flow_id == flow_id;
    const bool was_known = is_last && asked->second.known;
    if (is_last) asked_.erase(asked);
    if (!was_known) return fail_pending(resource_id, out);
    // The gateway has it no more and deletes its row; or cannot be reached, and has it on.
    withdraw(found->second, flow_id, out);
    flows.pop_back();
    if (flows.empty()) pending_.erase(found);
    ask(resource_id, {}, false, now, out);
}

}  // namespace fatwal::access
