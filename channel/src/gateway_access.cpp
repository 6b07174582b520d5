// What a gateway channel lets through: its pairs, and what becomes of them.
#include <algorithm>

#include "channel/src/device_message.h"
#include "fatwal/channel/gateway_channel.h"

namespace fatwal::channel {
namespace {

Json pair_payload(const Pair& pair) {
    return {{"client_id", pair.client_id.to_text()}, {"resource_id", pair.resource_id.to_text()}};
}

bool is_expired(const std::optional<Time>& expires_at, Time now) {
    return expires_at && *expires_at <= now;
}

}  // namespace

GatewayChannel::Expiry GatewayChannel::expiry_of(const Held& held) {
    Expiry latest = Time::min();
    for (const auto& [id, flow] : held.flows) {
        if (!flow.expires_at) return std::nullopt;
        latest = std::max(*latest, *flow.expires_at);
    }
    return latest;
}

ClientContext GatewayChannel::context_of(const portal::Clients& client, const Held& held) const {
    if (!held.client) return context_of_row(context_.state, client);
    ClientContext out = *held.client;
    complete_context(context_.state, client, out);
    return out;
}

std::optional<Grant> GatewayChannel::judge(const Pair& pair, const Held& held,
                                           const Justification& by, Time now) const {
    const AccountState& state = context_.state;
    const auto* gateway = state.gateway(join_.gateway_id);
    if (gateway == nullptr || client_refusal(state, pair.client_id, by.token_id, now))
        return std::nullopt;
    if (!state.connected(pair.resource_id, gateway->site_id)) return std::nullopt;
    const auto* resource = state.resource(pair.resource_id);
    if (resource == nullptr || !state.offers(*resource)) return std::nullopt;
    const auto& client = *state.client(pair.client_id);
    auto grant = grant_by(state, by.policy_id, by.membership_id, client.actor_id, pair.resource_id,
                          context_of(client, held), now);
    if (grant) grant->until = earlier(grant->until, state.token(by.token_id)->expires_at);
    return grant;
}

GatewayChannel::Tunnel GatewayChannel::tunnel_of(const portal::Clients& client) {
    return {client.public_key, host_of_inet(client.ipv4), host_of_inet(client.ipv6)};
}

bool GatewayChannel::is_another_peer(const Pair& pair, const Held& held) const {
    const auto* client = context_.state.client(pair.client_id);
    return client != nullptr && !context_.state.position().is_behind(held.told_at) &&
           tunnel_of(*client) != held.tunnel;
}

GatewayChannel::Held& GatewayChannel::add(const Pair& pair, const portal::Resources& resource,
                                          const Uuid& flow_id, const Flow& flow) {
    const auto [held, is_new] = pairs_.try_emplace(pair);
    if (is_new) {
        if (const auto* client = context_.state.client(pair.client_id))
            held->second.tunnel = tunnel_of(*client);
        context_.state.watchers().hold(join_.gateway_id, pair);
        const auto [shown, first] = resources_.try_emplace(pair.resource_id);
        if (first) shown->second.row = resource;
        ++shown->second.pairs;
    }
    if (flow.durable_by) due_.emplace(*flow.durable_by, flow_id);
    if (flow.expires_at) due_.emplace(*flow.expires_at, flow_id);
    unasked_.erase(flow_id);
    pair_of_flow_[flow_id] = pair;
    held->second.flows.insert_or_assign(flow_id, flow);
    return held->second;
}

void GatewayChannel::remove_flow(Held& held, const Uuid& flow_id) {
    held.flows.erase(flow_id);
    pair_of_flow_.erase(flow_id);
}

void GatewayChannel::remove_expired(Held& held, const Uuid& flow_id, Actions& out) {
    if (held.flows.at(flow_id).shortened) out.emplace_back(DeleteFlow{flow_id});
    remove_flow(held, flow_id);
}

void GatewayChannel::drop(Pairs::iterator pair) {
    for (const auto& [id, flow] : pair->second.flows) pair_of_flow_.erase(id);
    context_.state.watchers().release(join_.gateway_id, pair->first);
    const auto shown = resources_.find(pair->first.resource_id);
    if (--shown->second.pairs == 0) resources_.erase(shown);
    pairs_.erase(pair);
}

void GatewayChannel::reject(Pairs::iterator pair, const Ids& deleted, Actions& out) {
    out.emplace_back(Push{"reject_access", pair_payload(pair->first)});
    for (const auto& [id, flow] : pair->second.flows)
        if (!deleted.contains(id)) out.emplace_back(DeleteFlow{id});
    drop(pair);
}

void GatewayChannel::review_resource(const Pair& pair, const Ids& deleted, Actions& out) {
    const auto shown = resources_.find(pair.resource_id);
    const auto* row = context_.state.resource(pair.resource_id);
    if (shown == resources_.end() || row == nullptr) return;
    portal::Resources& before = shown->second.row;
    const bool is_another = before.type != row->type || before.address != row->address ||
                            before.ip_stack != row->ip_stack;
    if (!is_another && before.filters == row->filters) return;
    const auto payload = render_for_gateway(*row, version_);
    if (is_another || !payload) {
        // Another target is another resource: nothing of what was allowed is said of it.
        if (const auto held = pairs_.find(pair); held != pairs_.end()) reject(held, deleted, out);
        return;
    }
    before = *row;
    out.emplace_back(Push{"resource_updated", *payload});
}

void GatewayChannel::review(const Pair& pair, const Ids& deleted, Time now, Actions& out) {
    const auto found = pairs_.find(pair);
    if (found == pairs_.end()) return;
    Held& held = found->second;
    // What is expired is not there any more, whether it has been pruned or not.
    std::vector<Uuid> expired;
    for (const auto& [id, flow] : held.flows)
        if (is_expired(flow.expires_at, now)) expired.push_back(id);
    for (const Uuid& id : expired) remove_expired(held, id, out);
    if (held.flows.empty()) return reject(found, {}, out);
    // The old key may not stay let through; the client asks again with the new one.
    if (is_another_peer(pair, held)) return reject(found, deleted, out);

    const Expiry before = expiry_of(held);
    std::vector<Justification> lost;
    std::vector<Uuid> gone;
    for (auto& [id, flow] : held.flows) {
        const bool is_deleted = deleted.contains(id);
        if (!is_deleted && context_.state.position().is_behind(flow.decided_at)) continue;
        const auto grant = is_deleted ? std::nullopt : judge(pair, held, flow.by, now);
        if (!grant) {
            if (!is_deleted) out.emplace_back(DeleteFlow{id});
            lost.push_back(flow.by);
            gone.push_back(id);
        } else if (grant->until && (!flow.expires_at || *grant->until < *flow.expires_at)) {
            flow.expires_at = grant->until;
            flow.shortened = true;
            due_.emplace(*flow.expires_at, id);
        }
    }
    for (const Uuid& id : gone) remove_flow(held, id);
    const bool replaced = held.flows.empty();
    if (replaced && !replace(pair, held, lost, now, out)) return reject(found, {}, out);
    const Expiry after = expiry_of(held);
    if (after == before && !replaced) return;
    Json payload = pair_payload(pair);
    payload["expires_at"] = time_payload(after);
    out.emplace_back(Push{"access_authorization_expiry_updated", std::move(payload)});
}

bool GatewayChannel::replace(const Pair& pair, Held& held, const std::vector<Justification>& lost,
                             Time now, Actions& out) {
    const AccountState& state = context_.state;
    const auto* client = state.client(pair.client_id);
    if (client == nullptr) return false;
    std::optional<Grant> best;
    Uuid token_id;
    for (const Uuid& policy_id : state.policies_of_resource(pair.resource_id)) {
        const Policy* policy = state.policy(policy_id);
        if (policy == nullptr || !policy->row.actor_group_id) continue;
        const Uuid* membership = state.membership(client->actor_id, *policy->row.actor_group_id);
        if (membership == nullptr) continue;
        for (const Justification& before : lost) {
            // The token stays: without it the client itself is gone. And what was taken away by
            // itself does not come back by the same right.
            const Justification by{policy_id, *membership, before.token_id};
            if (std::find(lost.begin(), lost.end(), by) != lost.end()) continue;
            const auto grant = judge(pair, held, by, now);
            if (!grant || is_expired(grant->until, now)) continue;
            const bool longer =
                best && best->until && (!grant->until || *grant->until > *best->until);
            const bool same = best && best->until == grant->until;
            if (best && !longer && !(same && policy_id < best->policy_id)) continue;
            best = grant;
            token_id = before.token_id;
        }
    }
    if (!best) return false;
    portal::Flows row;
    row.id = random_uuid(context_.random);
    row.account_id = state.account_id();
    row.policy_id = best->policy_id;
    row.client_id = pair.client_id;
    row.gateway_id = join_.gateway_id;
    row.resource_id = pair.resource_id;
    row.token_id = token_id;
    row.membership_id = membership_column(best->membership_id);
    if (const auto context = context_of(*client, held); context.remote_ip)
        row.client_remote_ip = context.remote_ip->to_text();
    if (join_.remote_ip) row.gateway_remote_ip = join_.remote_ip->to_text();
    row.expires_at = context_.end_of_flow(best->until, now);
    row.created_at = now;
    add(pair, resources_.at(pair.resource_id).row, row.id,
        {{best->policy_id, best->membership_id, token_id},
         row.expires_at,
         {},
         now + context_.durable_within});
    out.emplace_back(WriteFlow{std::move(row)});
    return true;
}

Ids GatewayChannel::missing_rows(Time now) {
    Ids out;
    for (auto& [pair, held] : pairs_) {
        for (auto& [id, flow] : held.flows) {
            if (context_.state.flow(id) != nullptr) {
                flow.seen = true;
                flow.durable_by.reset();
            } else if (flow.seen) {
                out.insert(id);
            } else {
                // Written after the snapshot, then its row is yet to come; or before, and deleted
                // unseen.
                flow.missed = true;
                if (!flow.durable_by) await_row(id, flow, now);
            }
        }
    }
    return out;
}

void GatewayChannel::authorize(const Authorize& message, Time now, Actions& out) {
    const bool is_here = pair_of_flow_.contains(message.flow_id);
    if (is_here && !message.known) return;
    const AccountState& state = context_.state;
    const Pair pair{message.client_id, message.resource_id};
    const auto* resource = state.live() ? state.resource(message.resource_id) : nullptr;
    const auto payload =
        resource != nullptr ? render_for_gateway(*resource, version_) : std::nullopt;
    Held asked;
    asked.client = message.client;
    // A state that is behind the one that decided cannot judge it yet; each change that concerns it
    // will have it judged.
    const bool may =
        payload && is_here == message.known &&
        (state.position().is_behind(message.decided_at) || judge(pair, asked, message.by, now)) &&
        !is_expired(message.expires_at, now);
    if (!may) {
        if (message.known && !is_here && state.live())
            out.emplace_back(DeleteFlow{message.flow_id});
        out.emplace_back(Send{message.from, FlowRefused{message.flow_id, message.resource_id}});
        return;
    }
    Flow flow{message.by, message.expires_at, message.decided_at, now + context_.durable_within};
    if (unasked_.contains(message.flow_id)) {
        flow.seen = true;
        flow.durable_by.reset();
    }
    Held& held = is_here ? pairs_.at(pair) : add(pair, *resource, message.flow_id, flow);
    held.client = message.client;
    held.tunnel = {message.public_key, message.ipv4, message.ipv6};
    held.told_at = message.decided_at;
    out.emplace_back(Push{"authorize_flow",
                          {{"ref", message.ref},
                           {"resource", *payload},
                           {"client",
                            {{"id", message.client_id.to_text()},
                             {"public_key", message.public_key},
                             {"ipv4", message.ipv4},
                             {"ipv6", message.ipv6},
                             {"preshared_key", message.preshared_key}}},
                           {"expires_at", time_payload(message.expires_at)},
                           {"client_ice_credentials", ice_payload(message.client_ice)},
                           {"gateway_ice_credentials", ice_payload(message.gateway_ice)}}});
}

void GatewayChannel::await_row(const Uuid& flow_id, Flow& flow, Time now) {
    flow.durable_by = now + context_.durable_within;
    due_.emplace(*flow.durable_by, flow_id);
}

void GatewayChannel::written(const Uuid& flow_id, Time now) {
    const auto pair = pair_of_flow_.find(flow_id);
    if (pair == pair_of_flow_.end()) return;
    Flow& flow = pairs_.at(pair->second).flows.at(flow_id);
    // The row was written before the snapshot and deleted before it, or it is yet to come in the
    // stream: that is known when its time is over.
    if (flow.missed && !flow.seen) return await_row(flow_id, flow, now);
    flow.durable_by.reset();
}

void GatewayChannel::lose(const Uuid& flow_id, Time now, Actions& out) {
    const auto pair = pair_of_flow_.find(flow_id);
    if (pair == pair_of_flow_.end()) return;
    // A state that is not live has no rows to judge the pair's other flows by, nor to replace this
    // one.
    if (context_.state.live())
        review(Pair(pair->second), {flow_id}, now, out);
    else
        end_flow(flow_id, out);
}

void GatewayChannel::end_flow(const Uuid& flow_id, Actions& out) {
    const Pair pair = pair_of_flow_.at(flow_id);
    const auto found = pairs_.find(pair);
    const Expiry before = expiry_of(found->second);
    remove_flow(found->second, flow_id);
    if (found->second.flows.empty()) return reject(found, {}, out);
    const Expiry after = expiry_of(found->second);
    if (after == before) return;
    Json payload = pair_payload(pair);
    payload["expires_at"] = time_payload(after);
    out.emplace_back(Push{"access_authorization_expiry_updated", std::move(payload)});
}

}  // namespace fatwal::channel
