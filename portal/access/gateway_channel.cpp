#include "portal/access/gateway_channel.h"

#include <type_traits>
#include <utility>

#include "portal/access/device_message.h"

namespace fatwal::access {
namespace {

Action to_action(const PairRejected& decision) { return to_push(RejectAccess{decision.pair}); }
Action to_action(const PairExpiry& decision) {
    return to_push(ExpiryUpdated{decision.pair, decision.expires_at});
}
Action to_action(ResourceDiffers& decision) {
    return to_push(ResourceUpdated{std::move(decision.resource)});
}
Action to_action(const FlowEnded& decision) { return DeleteFlow{decision.flow_id}; }
Action to_action(FlowBegun& decision) { return WriteFlow{std::move(decision.row)}; }

void translate(Decisions decisions, Actions& out) {
    for (Decision& decision : decisions)
        out.push_back(std::visit([](auto& one) { return to_action(one); }, decision));
}

}  // namespace

GatewayChannel::GatewayChannel(const ChannelContext& context, const GatewayJoin& join)
    : Channel(context,
              {Device::Gateway, join.gateway_id, join.token_id, join.version, join.location}),
      gateway_id_(join.gateway_id),
      // A version that cannot be read is refused at the join, before it would count.
      authorizations_(context, join.gateway_id, join.remote_ip,
                      Version::parse(join.version).value_or(Version{})) {}

bool GatewayChannel::let_go() {
    if (was_started()) close();
    return authorizations_.let_go();
}

std::optional<Refusal> GatewayChannel::refusal(Instant now) const {
    return gateway_refusal(state(), gateway_id_, token_id(), now);
}

void GatewayChannel::enter(Instant now, Actions& out) {
    const Ids& flows = state().flows_of_gateway(gateway_id_);
    begin({.flows = {flows.begin(), flows.end()}, .reviews_all = true}, {.is_join = true}, now,
          out);
}

void GatewayChannel::renew(Instant now, Actions& out) {
    begin_of_itself({.deleted = authorizations_.missing_rows(tick(now))}, now, out);
}

Actions GatewayChannel::on_transaction(GatewayImpact impact, Instant now) {
    Actions out;
    if (!joined() || !state().live()) return out;
    for (const Uuid& id : impact.deleted_flows) authorizations_.row_deleted(id);
    for (const Uuid& id : impact.written_flows) authorizations_.row_written(id, tick(now));
    Authorizations::Job job{.deleted = std::move(impact.deleted_flows),
                            .pairs = std::move(impact.pairs),
                            .moved_clients = std::move(impact.moved_clients)};
    if (impact.itself)
        begin_of_itself(std::move(job), now, out);
    else
        begin(std::move(job), {}, now, out);
    return out;
}

void GatewayChannel::begin_of_itself(Authorizations::Job job, Instant now, Actions& out) {
    read_token();
    auto reason = refusal(now);
    // A disabled account's gateways stay, with nothing to let through, for when it is enabled
    // again.
    if (reason == "account_disabled") reason.reset();
    job.reviews_all = !reason;
    begin(std::move(job), {.is_of_itself = true, .refusal = std::move(reason)}, now, out);
}

Actions GatewayChannel::reject(const Pair& pair) {
    Actions out;
    if (!joined()) return out;
    Decisions decisions;
    authorizations_.reject(pair, decisions);
    translate(std::move(decisions), out);
    return out;
}

Actions GatewayChannel::reject_all() {
    Actions out;
    if (joined()) begin({.rejects_all = true}, {}, {}, out);
    return out;
}

void GatewayChannel::begin(Authorizations::Job job, Rest rest, Instant now, Actions& out) {
    authorizations_.begin(std::move(job));
    rest_ = std::move(rest);
    work_off(now, out);
}

Actions GatewayChannel::go_on(Instant now) {
    Actions out;
    if (rest_) work_off(now, out);
    return out;
}

void GatewayChannel::work_off(Instant now, Actions& out) {
    Rest& rest = *rest_;
    if (!rest.pages) {
        Decisions decisions;
        const bool is_done = authorizations_.work(now, tick(now), decisions);
        Actions reviewed;
        translate(std::move(decisions), reviewed);
        for (Action& action : reviewed)
            if (!rest.is_join || !std::holds_alternative<Push>(action))
                out.push_back(std::move(action));
        if (!is_done) return;
        end_if(rest.refusal, out);
        const bool is_shown = rest.is_of_itself && !rest.refusal && own_parts() != shown_;
        if (rest.is_join || is_shown) begin_init(now);
    }
    if (rest.pages) {
        out.emplace_back(
            rest.pages->next([&](std::size_t i) { return authorization(rest.listed[i]); }));
        if (!rest.pages->done()) return;
    }
    rest_.reset();
}

Json GatewayChannel::own_parts() const {
    const auto* account = state().account();
    const auto* gateway = state().gateway(gateway_id_);
    if (account == nullptr || gateway == nullptr) return shown_;
    return {{"account_slug", account->slug},
            {"interface",
             {{"ipv4", host_of_inet(gateway->ipv4)}, {"ipv6", host_of_inet(gateway->ipv6)}}}};
}

void GatewayChannel::begin_init(Instant now) {
    shown_ = own_parts();
    Json payload = shown_;
    payload["relays"] = relays_of_init(now);
    rest_->listed = authorizations_.pairs();
    rest_->pages.emplace(std::move(payload), "authorizations", rest_->listed.size());
}

Json GatewayChannel::authorization(const Pair& pair) const {
    const auto& tunnel = authorizations_.tunnel_of(pair);
    return to_json(AuthorizationEntry{pair, authorizations_.expiry_of(pair), tunnel.public_key,
                                      tunnel.ipv4, tunnel.ipv6});
}

void GatewayChannel::reconsider(Instant now, Actions& out) {
    begin({.reviews_all = true}, {}, now, out);
}

void GatewayChannel::pass(Instant now, Actions& out) {
    Decisions decisions;
    authorizations_.pass(now, tick(now), decisions);
    translate(std::move(decisions), out);
}

std::optional<Instant> GatewayChannel::own_deadline() const {
    const auto row = authorizations_.next_row();
    return earlier(authorizations_.next_end(), row ? std::optional(instant(*row)) : std::nullopt);
}

void GatewayChannel::answer(const FlowAnswer& message, Instant now, Actions& out) {
    (void)now;
    const auto ref = FlowRef::verify(context().signer, message.ref);
    if (!ref || ref->gateway_id != gateway_id_ || ref->account_id != state().account_id()) {
        out.emplace_back(Reply{false, {{"reason", "invalid_ref"}}});
        return;
    }
    const Address to{Device::Client, ref->client_id, ref->client_generation, ref->client_process};
    // Taken back before the device answered: the client need not wait for the end of its patience.
    // Unless another flow has taken its place.
    if (!authorizations_.holds(Pair{ref->client_id, ref->resource_id}))
        out.emplace_back(Send{to, FlowRefused{ref->flow_id, ref->resource_id}});
    else
        out.emplace_back(Send{to, FlowAuthorized{ref->flow_id, ref->resource_id, gateway_id_}});
}

// Only those who may reach something here; at whichever session they have now.
std::vector<Address> GatewayChannel::reachable(const std::set<Uuid>& peers) const {
    std::vector<Address> out;
    for (const Uuid& id : peers)
        if (authorizations_.holds_any_of(id)) out.push_back({Device::Client, id, 0, 0});
    return out;
}

// Of a client that may reach nothing here the device knows nothing.
bool GatewayChannel::knows(const Uuid& peer) const { return authorizations_.holds_any_of(peer); }

void GatewayChannel::authorize(const Authorize& message, Instant now, Actions& out) {
    if (authorizations_.holds_flow(message.flow_id) && !message.known) return;
    Decisions decisions;
    const auto resource = authorizations_.authorize(message, now, tick(now), decisions);
    translate(std::move(decisions), out);
    if (resource)
        out.emplace_back(to_push(AuthorizeFlow{message, *resource}));
    else
        out.emplace_back(Send{message.from, FlowRefused{message.flow_id, message.resource_id}});
}

void GatewayChannel::take_peer(const PeerMessage& message, Instant now, Actions& out) {
    Decisions decisions;
    if (const auto* request = std::get_if<Authorize>(&message)) {
        authorize(*request, now, out);
    } else if (const auto* durable = std::get_if<FlowsDurable>(&message)) {
        for (const Uuid& id : durable->flow_ids) authorizations_.confirmed(id, tick(now));
    } else if (const auto* lost = std::get_if<FlowsLost>(&message)) {
        for (const Uuid& id : lost->flow_ids) authorizations_.lost(id, now, tick(now), decisions);
    }
    translate(std::move(decisions), out);
}

}  // namespace fatwal::access
