#include "fatwal/channel/gateway_channel.h"

#include <algorithm>

#include "channel/src/device_message.h"

namespace fatwal::channel {
namespace {

// Flows or pairs of one part: each costs 5 to 10 microseconds.
constexpr std::size_t kMostOfPart = 200;

}  // namespace

GatewayChannel::GatewayChannel(ChannelContext context, GatewayJoin join)
    : context_(std::move(context)), join_(std::move(join)) {}

GatewayChannel::~GatewayChannel() {
    while (let_go()) continue;
    if (phase_ != Phase::Created)
        context_.state.watchers().detach_gateway(join_.gateway_id, join_.token_id);
}

bool GatewayChannel::let_go() {
    if (phase_ != Phase::Created) phase_ = Phase::Closed;
    for (std::size_t left = kMostOfPart; left > 0 && !pairs_.empty(); --left) drop(pairs_.begin());
    return !pairs_.empty();
}

Actions GatewayChannel::start(Time now) {
    Actions out;
    if (phase_ != Phase::Created) return out;
    context_.state.watchers().attach_gateway(join_.gateway_id, join_.token_id);
    phase_ = Phase::Waiting;
    if (context_.state.live()) join(now, out);
    return out;
}

void GatewayChannel::join(Time now, Actions& out) {
    const auto version = Version::parse(join_.version);
    auto refusal = version ? gateway_refusal(context_.state, join_.gateway_id, join_.token_id, now)
                           : Refusal("invalid_version");
    if (refusal) {
        phase_ = Phase::Closed;
        out.emplace_back(Refuse{std::move(*refusal)});
        return;
    }
    version_ = *version;
    phase_ = Phase::Joined;
    token_expires_at_ = context_.state.token(join_.token_id)->expires_at;
    const Ids& flows = context_.state.flows_of_gateway(join_.gateway_id);
    begin({.flows = {{flows.begin(), flows.end()}}, .is_join = true}, now, out);
}

void GatewayChannel::begin(Rest rest, Time now, Actions& out) {
    rest_ = std::move(rest);
    rest_->unread = rest_->deleted.begin();
    work_off(now, out);
}

Actions GatewayChannel::go_on(Time now) {
    Actions out;
    if (rest_) work_off(now, out);
    return out;
}

void GatewayChannel::work_off(Time now, Actions& out) {
    Rest& rest = *rest_;
    std::size_t left = kMostOfPart;
    for (; left > 0 && !rest.flows.empty(); --left) take_in(rest.flows.take(), now, out);
    for (; left > 0 && rest.unread != rest.deleted.end(); --left) {
        const auto found = pair_of_flow_.find(*rest.unread++);
        if (found != pair_of_flow_.end() &&
            !std::binary_search(rest.pairs.all.begin(), rest.pairs.all.end(), found->second))
            rest.also.push_back(found->second);
    }
    if (!rest.flows.empty() || rest.unread != rest.deleted.end()) return;
    if (!std::exchange(rest.is_gathered, true)) gather(now);
    Actions reviewed;
    for (; left > 0 && !rest.pairs.empty(); --left) {
        const Pair& pair = rest.pairs.take();
        if (rest.rejects) {
            if (const auto held = pairs_.find(pair); held != pairs_.end())
                reject(held, {}, reviewed);
            continue;
        }
        if (rest.moved_clients.contains(pair.client_id))
            if (const auto held = pairs_.find(pair); held != pairs_.end())
                held->second.client.reset();
        review_resource(pair, rest.deleted, reviewed);
        review(pair, rest.deleted, now, reviewed);
    }
    for (Action& action : reviewed)
        if (!rest.is_join || !std::holds_alternative<Push>(action))
            out.push_back(std::move(action));
    if (!rest.pairs.empty()) return;

    if (rest.refusal) {
        disconnect(*rest.refusal == "invalid_token" ? "token_expired" : *rest.refusal, out);
    } else if (!rest.pages && (rest.is_join || (rest.is_of_itself && shown() != shown_)))
        begin_init(now);
    if (rest.pages) {
        out.emplace_back(
            rest.pages->next([&](std::size_t i) { return authorization(rest.shown[i]); }));
        if (!rest.pages->done()) return;
    }
    rest_.reset();
}

void GatewayChannel::gather(Time now) {
    Rest& rest = *rest_;
    std::vector<Pair>& pairs = rest.pairs.all;
    if (rest.is_of_itself) {
        if (const auto* token = context_.state.token(join_.token_id))
            token_expires_at_ = token->expires_at;
        rest.refusal = gateway_refusal(context_.state, join_.gateway_id, join_.token_id, now);
        // A disabled account's gateways stay, with nothing to let through, for when it is enabled
        // again.
        if (rest.refusal == "account_disabled") rest.refusal.reset();
    }
    if (rest.is_join || (rest.is_of_itself && !rest.refusal)) {
        pairs = all_pairs();
    } else if (!rest.also.empty()) {
        pairs.insert(pairs.end(), rest.also.begin(), rest.also.end());
        std::sort(pairs.begin(), pairs.end());
        pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    }
}

void GatewayChannel::take_in(const Uuid& flow_id, Time now, Actions& out) {
    const auto& row = *context_.state.flow(flow_id);
    if (row.expires_at && *row.expires_at <= now) return;
    const auto* resource = context_.state.resource(row.resource_id);
    if (resource == nullptr || !render_for_gateway(*resource, version_)) {
        out.emplace_back(DeleteFlow{flow_id});
        return;
    }
    add({row.client_id, row.resource_id}, *resource, flow_id,
        {{row.policy_id, row.membership_id.value_or(kEveryone), row.token_id},
         row.expires_at,
         {},
         {},
         true});
}

std::vector<Pair> GatewayChannel::all_pairs() const {
    std::vector<Pair> out;
    out.reserve(pairs_.size());
    for (const auto& [pair, held] : pairs_) out.push_back(pair);
    return out;
}

Json GatewayChannel::shown() const {
    const auto* account = context_.state.account();
    const auto* gateway = context_.state.gateway(join_.gateway_id);
    if (account == nullptr || gateway == nullptr) return shown_;
    return {{"account_slug", account->slug},
            {"interface",
             {{"ipv4", host_of_inet(gateway->ipv4)}, {"ipv6", host_of_inet(gateway->ipv6)}}}};
}

void GatewayChannel::begin_init(Time now) {
    shown_ = shown();
    Json payload = shown_;
    payload["relays"] = relays_.init(context_.relays, relay_user(), now, context_.random);
    rest_->shown = all_pairs();
    rest_->pages.emplace(std::move(payload), "authorizations", rest_->shown.size());
}

Json GatewayChannel::authorization(const Pair& pair) const {
    const Held& held = pairs_.at(pair);
    return {{"client_id", pair.client_id.to_text()},
            {"resource_id", pair.resource_id.to_text()},
            {"expires_at", time_payload(expiry_of(held))},
            {"client",
             {{"public_key", held.tunnel.public_key},
              {"ipv4", held.tunnel.ipv4},
              {"ipv6", held.tunnel.ipv6}}}};
}

void GatewayChannel::disconnect(std::string reason, Actions& out) {
    phase_ = Phase::Closed;
    out.emplace_back(Disconnect{std::move(reason)});
}

Actions GatewayChannel::on_snapshot(Time now) {
    Actions out;
    if (!context_.state.live()) return out;
    if (phase_ == Phase::Waiting)
        join(now, out);
    else if (phase_ == Phase::Joined)
        begin({.deleted = missing_rows(now), .is_of_itself = true}, now, out);
    return out;
}

Actions GatewayChannel::on_transaction(GatewayImpact impact, Time now) {
    Actions out;
    if (phase_ != Phase::Joined || !context_.state.live()) return out;
    for (const Uuid& id : impact.deleted_flows) unasked_.erase(id);
    // The row is seen in the stream before its writer has told of it.
    for (const Uuid& id : impact.written_flows) {
        const auto found = pair_of_flow_.find(id);
        if (found == pair_of_flow_.end()) {
            await_request(id, now + context_.durable_within);
            continue;
        }
        Flow& flow = pairs_.at(found->second).flows.at(id);
        flow.seen = true;
        flow.durable_by.reset();
    }
    begin({.deleted = std::move(impact.deleted_flows),
           .pairs = {std::move(impact.pairs)},
           .moved_clients = std::move(impact.moved_clients),
           .is_of_itself = impact.itself},
          now, out);
    return out;
}

RelayUser GatewayChannel::relay_user() const {
    return {context_.state.account_id(), join_.gateway_id, join_.location, token_expires_at_};
}

Actions GatewayChannel::on_relays(Time now) {
    Actions out;
    if (phase_ == Phase::Joined) tell_relays(now, out);
    return out;
}

void GatewayChannel::tell_relays(Time now, Actions& out) {
    if (auto payload = relays_.update(context_.relays, relay_user(), now, context_.random))
        out.emplace_back(Push{"relays_presence", std::move(*payload)});
}

Actions GatewayChannel::on_time(Time now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (token_expires_at_ && *token_expires_at_ <= now) {
        disconnect("token_expired", out);
        return out;
    }
    if (relays_.next_deadline() && *relays_.next_deadline() <= now) tell_relays(now, out);
    // What is left is due at once.
    for (std::size_t left = kMostOfPart; left > 0 && !due_.empty() && due_.begin()->first <= now;
         --left) {
        const Uuid id = due_.begin()->second;
        due_.erase(due_.begin());
        const auto pair = pair_of_flow_.find(id);
        if (pair == pair_of_flow_.end()) {
            if (const auto unasked = unasked_.find(id);
                unasked != unasked_.end() && unasked->second <= now) {
                unasked_.erase(unasked);
                out.emplace_back(DeleteFlow{id});
            }
            continue;
        }
        const auto held = pairs_.find(pair->second);
        const Flow& flow = held->second.flows.at(id);
        if (flow.expires_at && *flow.expires_at <= now) {
            remove_expired(held->second, id, out);
            // The device ends the pair by its own clock. It is rejected all the same, as ours may
            // be ahead: a pair that is dropped here is followed by nobody when it is revoked.
            if (held->second.flows.empty()) reject(held, {}, out);
        } else if (flow.durable_by && *flow.durable_by <= now) {
            // The database does not answer: another flow's row would fare no better.
            out.emplace_back(DeleteFlow{id});
            end_flow(id, out);
        }
    }
    return out;
}

Actions GatewayChannel::clock_was_set(Time::duration moved, Time now) {
    for (auto& [pair, held] : pairs_)
        for (auto& [id, flow] : held.flows)
            if (flow.durable_by) {
                *flow.durable_by += moved;
                due_.emplace(*flow.durable_by, id);
            }
    for (const auto& [id, until] : std::exchange(unasked_, {})) await_request(id, until + moved);
    Actions out = on_time(now);
    // A clock that goes back leaves windows that have not begun: no deadline says so.
    if (phase_ == Phase::Joined && context_.state.live()) begin({.pairs = {all_pairs()}}, now, out);
    return out;
}

void GatewayChannel::await_request(const Uuid& flow_id, Time until) {
    unasked_.insert_or_assign(flow_id, until);
    due_.emplace(until, flow_id);
}

std::optional<Time> GatewayChannel::next_deadline() const {
    if (phase_ != Phase::Joined) return std::nullopt;
    const auto out = earlier(token_expires_at_, relays_.next_deadline());
    return due_.empty() ? out : earlier(out, due_.begin()->first);
}

Actions GatewayChannel::on_message(std::string_view event, const Json& payload, Time now) {
    (void)now;
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (event == "flow_authorized")
        answer(payload, out);
    else if (event == "broadcast_ice_candidates")
        broadcast(payload, false, out);
    else if (event == "broadcast_invalidated_ice_candidates")
        broadcast(payload, true, out);
    else
        out.emplace_back(Reply{false, {{"reason", "unknown_message"}}});
    return out;
}

void GatewayChannel::answer(const Json& payload, Actions& out) {
    const auto text = payload.is_object() ? payload.find("ref") : payload.end();
    const auto ref = text != payload.end() && text->is_string()
                         ? FlowRef::verify(context_.signer, text->get_ref<const std::string&>())
                         : std::nullopt;
    if (!ref || ref->gateway_id != join_.gateway_id ||
        ref->account_id != context_.state.account_id()) {
        out.emplace_back(Reply{false, {{"reason", "invalid_ref"}}});
        return;
    }
    const Address to{Device::Client, ref->client_id, ref->client_generation, ref->client_process};
    // Taken back before the device answered: the client need not wait for the end of its patience.
    // Unless another flow has taken its place.
    if (!pairs_.contains(Pair{ref->client_id, ref->resource_id}))
        out.emplace_back(Send{to, FlowRefused{ref->flow_id, ref->resource_id}});
    else
        out.emplace_back(
            Send{to, FlowAuthorized{ref->flow_id, ref->resource_id, join_.gateway_id}});
}

void GatewayChannel::broadcast(const Json& payload, bool invalidated, Actions& out) {
    const auto clients = read_ids(payload, "client_ids");
    const auto candidates = read_candidates(payload);
    if (!clients || !candidates) {
        out.emplace_back(Reply{false, {{"reason", "invalid_message"}}});
        return;
    }
    for (const Uuid& id : std::set<Uuid>(clients->begin(), clients->end())) {
        // Only to those who may reach something here; at whichever session they have now.
        const auto first = pairs_.lower_bound(Pair{id, Uuid{}});
        if (first == pairs_.end() || first->first.client_id != id) continue;
        out.emplace_back(Send{{Device::Client, id, 0, 0},
                              IceCandidates{join_.gateway_id, *candidates, invalidated}});
    }
}

Actions GatewayChannel::reject(const Pair& pair) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (const auto held = pairs_.find(pair); held != pairs_.end()) reject(held, {}, out);
    return out;
}

Actions GatewayChannel::reject_all() {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    begin({.pairs = {all_pairs()}, .rejects = true}, {}, out);
    return out;
}

Actions GatewayChannel::on_peer(const PeerMessage& message, Time now) {
    Actions out;
    if (phase_ != Phase::Joined) return out;
    if (const auto* request = std::get_if<Authorize>(&message)) {
        authorize(*request, now, out);
    } else if (const auto* durable = std::get_if<FlowsDurable>(&message)) {
        for (const Uuid& id : durable->flow_ids) written(id, now);
    } else if (const auto* lost = std::get_if<FlowsLost>(&message)) {
        for (const Uuid& id : lost->flow_ids) lose(id, now, out);
    } else if (const auto* ice = std::get_if<IceCandidates>(&message)) {
        // Of a client that may reach nothing here the device knows nothing.
        const auto first = pairs_.lower_bound(Pair{ice->from, Uuid{}});
        if (first == pairs_.end() || first->first.client_id != ice->from) return out;
        out.emplace_back(
            Push{ice->invalidated ? "invalidate_ice_candidates" : "ice_candidates",
                 {{"client_id", ice->from.to_text()}, {"candidates", ice->candidates}}});
    }
    return out;
}

}  // namespace fatwal::channel
