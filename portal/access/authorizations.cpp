#include "portal/access/authorizations.h"

#include <algorithm>
#include <utility>

#include "fatwal/wire/invariant.h"
#include "portal/access/flow_row.h"

namespace fatwal::access {
namespace {

bool is_expired(const std::optional<Instant>& expires_at, Instant now) {
    return expires_at && *expires_at <= now;
}

}  // namespace

Authorizations::Authorizations(ChannelContext context, const Uuid& gateway_id,
                               std::optional<IpAddress> remote_ip, const Version& version)
    : context_(std::move(context)),
      gateway_id_(gateway_id),
      remote_ip_(remote_ip),
      version_(version) {}

Authorizations::~Authorizations() {
    while (let_go()) continue;
}

bool Authorizations::let_go() {
    for (std::size_t left = kMostOfPart; left > 0 && !pairs_.empty(); --left) drop(pairs_.begin());
    return !pairs_.empty();
}

// What is held
// ------------------------------------------------------------------------------------

bool Authorizations::holds_any_of(const Uuid& client_id) const {
    const auto first = pairs_.lower_bound(Pair{client_id, Uuid{}});
    return first != pairs_.end() && first->first.client_id == client_id;
}

std::vector<Pair> Authorizations::pairs() const {
    std::vector<Pair> out;
    out.reserve(pairs_.size());
    for (const auto& [pair, held] : pairs_) out.push_back(pair);
    return out;
}

// The latest of the flows.
std::optional<Instant> Authorizations::expiry_of(const Held& held) {
    Instant latest = Instant::min();
    for (const auto& [id, flow] : held.flows) {
        if (!flow.expires_at) return std::nullopt;
        latest = std::max(latest, *flow.expires_at);
    }
    return latest;
}

std::optional<Instant> Authorizations::expiry_of(const Pair& pair) const {
    return expiry_of(pairs_.at(pair));
}

Authorizations::Flow* Authorizations::find(const Uuid& flow_id) {
    const auto pair = pair_of_flow_.find(flow_id);
    return pair == pair_of_flow_.end() ? nullptr : &pairs_.at(pair->second).flows.at(flow_id);
}

Authorizations::Held& Authorizations::add(const Pair& pair, const portal::Resources& resource,
                                          const Uuid& flow_id, const Flow& flow) {
    const auto [held, is_new] = pairs_.try_emplace(pair);
    if (is_new) {
        if (const auto* client = context_.state.client(pair.client_id))
            held->second.tunnel = tunnel_of(*client);
        context_.state.watchers().hold(gateway_id_, pair);
        const auto [given, first] = resources_.try_emplace(pair.resource_id);
        if (first) given->second.row = resource;
        ++given->second.pairs;
    }
    if (flow.durable_by) rows_.emplace(*flow.durable_by, flow_id);
    if (flow.expires_at) ends_.emplace(*flow.expires_at, flow_id);
    unasked_.erase(flow_id);
    pair_of_flow_[flow_id] = pair;
    held->second.flows.insert_or_assign(flow_id, flow);
    return held->second;
}

void Authorizations::remove_flow(Held& held, const Uuid& flow_id) {
    held.flows.erase(flow_id);
    pair_of_flow_.erase(flow_id);
}

void Authorizations::remove_expired(Held& held, const Uuid& flow_id, Decisions& out) {
    if (held.flows.at(flow_id).shortened) out.emplace_back(FlowEnded{flow_id});
    remove_flow(held, flow_id);
}

void Authorizations::drop(Pairs::iterator pair) {
    for (const auto& [id, flow] : pair->second.flows) pair_of_flow_.erase(id);
    context_.state.watchers().release(gateway_id_, pair->first);
    const auto given = resources_.find(pair->first.resource_id);
    FATWAL_INVARIANT(given != resources_.end() && given->second.pairs > 0,
                     "a resource is kept while any pair has it");
    if (--given->second.pairs == 0) resources_.erase(given);
    pairs_.erase(pair);
}

void Authorizations::reject(Pairs::iterator pair, const Ids& deleted, Decisions& out) {
    out.emplace_back(PairRejected{pair->first});
    for (const auto& [id, flow] : pair->second.flows)
        if (!deleted.contains(id)) out.emplace_back(FlowEnded{id});
    drop(pair);
}

void Authorizations::reject(const Pair& pair, Decisions& out) {
    if (const auto held = pairs_.find(pair); held != pairs_.end()) reject(held, {}, out);
}

void Authorizations::end_flow(const Uuid& flow_id, Decisions& out) {
    const auto found = pairs_.find(pair_of_flow_.at(flow_id));
    const auto before = expiry_of(found->second);
    remove_flow(found->second, flow_id);
    if (found->second.flows.empty()) return reject(found, {}, out);
    const auto after = expiry_of(found->second);
    if (after != before) out.emplace_back(PairExpiry{found->first, after});
}

// Jobs
// --------------------------------------------------------------------------------------------

void Authorizations::begin(Job job) {
    FATWAL_INVARIANT(!progress_, "one job at a time");
    progress_.emplace(Progress{std::move(job)});
    progress_->unread = progress_->job.deleted.begin();
}

bool Authorizations::work(Instant now, Tick tick, Decisions& out) {
    FATWAL_INVARIANT(progress_.has_value(), "a job was begun");
    Progress& progress = *progress_;
    Job& job = progress.job;
    std::size_t left = kMostOfPart;
    for (; left > 0 && progress.flow < job.flows.size(); --left)
        take_in(job.flows[progress.flow++], now, out);
    for (; left > 0 && progress.unread != job.deleted.end(); --left) {
        const auto found = pair_of_flow_.find(*progress.unread++);
        if (found != pair_of_flow_.end() &&
            !std::binary_search(job.pairs.begin(), job.pairs.end(), found->second))
            progress.also.push_back(found->second);
    }
    if (progress.flow < job.flows.size() || progress.unread != job.deleted.end()) return false;
    if (!std::exchange(progress.is_gathered, true)) gather(progress);
    for (; left > 0 && progress.pair < job.pairs.size(); --left) {
        const Pair& pair = job.pairs[progress.pair++];
        if (job.rejects_all) {
            reject(pair, out);
            continue;
        }
        if (job.moved_clients.contains(pair.client_id))
            if (const auto held = pairs_.find(pair); held != pairs_.end())
                held->second.client.reset();
        review_resource(pair, job.deleted, out);
        review(pair, job.deleted, now, tick, out);
    }
    if (progress.pair < job.pairs.size()) return false;
    progress_.reset();
    check();
    return true;
}

void Authorizations::gather(Progress& progress) const {
    std::vector<Pair>& all = progress.job.pairs;
    if (progress.job.reviews_all || progress.job.rejects_all) {
        all = pairs();
    } else if (!progress.also.empty()) {
        all.insert(all.end(), progress.also.begin(), progress.also.end());
        std::sort(all.begin(), all.end());
        all.erase(std::unique(all.begin(), all.end()), all.end());
    }
}

void Authorizations::take_in(const Uuid& flow_id, Instant now, Decisions& out) {
    const auto& row = *context_.state.flow(flow_id);
    if (is_expired(row.expires_at, now)) return;
    const auto* resource = context_.state.resource(row.resource_id);
    if (resource == nullptr || !render_for_gateway(*resource, version_)) {
        out.emplace_back(FlowEnded{flow_id});
        return;
    }
    Flow flow{justification_of(row), row.expires_at};
    flow.seen = true;
    add({row.client_id, row.resource_id}, *resource, flow_id, flow);
}

// Reviews
// -----------------------------------------------------------------------------------------

ClientContext Authorizations::context_of(const portal::Clients& client, const Held& held) const {
    if (!held.client) return context_of_row(context_.state, client);
    ClientContext out = *held.client;
    complete_context(context_.state, client, out);
    return out;
}

std::optional<Grant> Authorizations::judge(const Pair& pair, const Held& held,
                                           const Justification& by, Instant now) const {
    const AccountState& state = context_.state;
    const auto* gateway = state.gateway(gateway_id_);
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

Authorizations::Tunnel Authorizations::tunnel_of(const portal::Clients& client) {
    return {client.public_key, host_of_inet(client.ipv4), host_of_inet(client.ipv6)};
}

bool Authorizations::is_another_peer(const Pair& pair, const Held& held) const {
    const auto* client = context_.state.client(pair.client_id);
    return client != nullptr && !context_.state.position().is_behind(held.given_at) &&
           tunnel_of(*client) != held.tunnel;
}

void Authorizations::review_resource(const Pair& pair, const Ids& deleted, Decisions& out) {
    const auto given = resources_.find(pair.resource_id);
    const auto* row = context_.state.resource(pair.resource_id);
    if (given == resources_.end() || row == nullptr) return;
    portal::Resources& before = given->second.row;
    const bool is_another = before.type != row->type || before.address != row->address ||
                            before.ip_stack != row->ip_stack;
    if (!is_another && before.filters == row->filters) return;
    auto shown = render_for_gateway(*row, version_);
    if (is_another || !shown) {
        // Another target is another resource: nothing of what was allowed is said of it.
        if (const auto held = pairs_.find(pair); held != pairs_.end()) reject(held, deleted, out);
        return;
    }
    before = *row;
    out.emplace_back(ResourceDiffers{std::move(*shown)});
}

// What is expired is not there any more, whether it has been pruned or not.
void Authorizations::remove_expired_flows(Held& held, Instant now, Decisions& out) {
    std::vector<Uuid> expired;
    for (const auto& [id, flow] : held.flows)
        if (is_expired(flow.expires_at, now)) expired.push_back(id);
    for (const Uuid& id : expired) remove_expired(held, id, out);
}

std::vector<Justification> Authorizations::remove_unjustified(const Pair& pair, Held& held,
                                                              const Ids& deleted, Instant now,
                                                              Decisions& out) {
    std::vector<Justification> lost;
    std::vector<Uuid> ended;
    for (auto& [id, flow] : held.flows) {
        const bool is_deleted = deleted.contains(id);
        if (!is_deleted && context_.state.position().is_behind(flow.decided_at)) continue;
        const auto grant = is_deleted ? std::nullopt : judge(pair, held, flow.by, now);
        if (!grant) {
            if (!is_deleted) out.emplace_back(FlowEnded{id});
            lost.push_back(flow.by);
            ended.push_back(id);
        } else if (grant->until && (!flow.expires_at || *grant->until < *flow.expires_at)) {
            flow.expires_at = grant->until;
            flow.shortened = true;
            ends_.emplace(*flow.expires_at, id);
        }
    }
    for (const Uuid& id : ended) remove_flow(held, id);
    return lost;
}

void Authorizations::review(const Pair& pair, const Ids& deleted, Instant now, Tick tick,
                            Decisions& out) {
    const auto found = pairs_.find(pair);
    if (found == pairs_.end()) return;
    Held& held = found->second;
    remove_expired_flows(held, now, out);
    if (held.flows.empty()) return reject(found, {}, out);
    // The old key may not stay let through; the client asks again with the new one.
    if (is_another_peer(pair, held)) return reject(found, deleted, out);

    const auto before = expiry_of(held);
    const auto lost = remove_unjustified(pair, held, deleted, now, out);
    const bool is_replaced = held.flows.empty();
    if (is_replaced && !replace(pair, held, lost, now, tick, out)) return reject(found, {}, out);
    const auto after = expiry_of(held);
    if (after != before || is_replaced) out.emplace_back(PairExpiry{pair, after});
}

bool Authorizations::replace(const Pair& pair, Held& held, const std::vector<Justification>& lost,
                             Instant now, Tick tick, Decisions& out) {
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
            if (best && !is_better(*grant, *best)) continue;
            best = grant;
            token_id = before.token_id;
        }
    }
    if (!best) return false;
    const Justification by{best->policy_id, best->membership_id, token_id};
    portal::Flows row = row_of_flow({.flow_id = random_uuid(context_.random),
                                     .account_id = state.account_id(),
                                     .pair = pair,
                                     .gateway_id = gateway_id_,
                                     .by = by,
                                     .client_ip = context_of(*client, held).remote_ip,
                                     .gateway_ip = remote_ip_,
                                     .expires_at = context_.end_of_flow(best->until, now),
                                     .decided_at = now});
    add(pair, resources_.at(pair.resource_id).row, row.id,
        {by, row.expires_at, {}, tick + context_.durable_within});
    out.emplace_back(FlowBegun{std::move(row)});
    return true;
}

std::optional<Json> Authorizations::authorize(const Authorize& request, Instant now, Tick tick,
                                              Decisions& out) {
    const bool is_here = pair_of_flow_.contains(request.flow_id);
    const AccountState& state = context_.state;
    const Pair pair{request.client_id, request.resource_id};
    const auto* resource = state.live() ? state.resource(request.resource_id) : nullptr;
    auto shown = resource != nullptr ? render_for_gateway(*resource, version_) : std::nullopt;
    Held asked;
    asked.client = request.client;
    // A state that is behind the one that decided cannot judge it yet; each change that concerns it
    // will have it judged.
    const bool may =
        shown && is_here == request.known &&
        (state.position().is_behind(request.decided_at) || judge(pair, asked, request.by, now)) &&
        !is_expired(request.expires_at, now);
    if (!may) {
        if (request.known && !is_here && state.live()) out.emplace_back(FlowEnded{request.flow_id});
        return std::nullopt;
    }
    Flow flow{request.by, request.expires_at, request.decided_at, tick + context_.durable_within};
    if (unasked_.contains(request.flow_id)) see_row(flow);
    Held& held = is_here ? pairs_.at(pair) : add(pair, *resource, request.flow_id, flow);
    held.client = request.client;
    held.tunnel = {request.public_key, request.ipv4, request.ipv6};
    held.given_at = request.decided_at;
    return shown;
}

// Rows of flows
// -----------------------------------------------------------------------------------

void Authorizations::see_row(Flow& flow) {
    flow.seen = true;
    flow.durable_by.reset();
}

void Authorizations::await_row(const Uuid& flow_id, Flow& flow, Tick tick) {
    flow.durable_by = tick + context_.durable_within;
    rows_.emplace(*flow.durable_by, flow_id);
}

// The row is seen in the stream before its writer has told of it.
void Authorizations::row_written(const Uuid& flow_id, Tick tick) {
    if (Flow* flow = find(flow_id)) return see_row(*flow);
    const Tick until = tick + context_.durable_within;
    unasked_.insert_or_assign(flow_id, until);
    rows_.emplace(until, flow_id);
}

void Authorizations::confirmed(const Uuid& flow_id, Tick tick) {
    Flow* flow = find(flow_id);
    if (flow == nullptr) return;
    // The row was written before the snapshot and deleted before it, or it is yet to come in the
    // stream: that is known when its time is over.
    if (flow->missed && !flow->seen) return await_row(flow_id, *flow, tick);
    flow->durable_by.reset();
}

void Authorizations::lost(const Uuid& flow_id, Instant now, Tick tick, Decisions& out) {
    const auto pair = pair_of_flow_.find(flow_id);
    if (pair == pair_of_flow_.end()) return;
    // A state that is not live has no rows to judge the pair's other flows by, nor to replace this
    // one.
    if (context_.state.live())
        review(Pair(pair->second), {flow_id}, now, tick, out);
    else
        end_flow(flow_id, out);
}

Ids Authorizations::missing_rows(Tick tick) {
    Ids out;
    for (auto& [pair, held] : pairs_) {
        for (auto& [id, flow] : held.flows) {
            if (context_.state.flow(id) != nullptr) {
                see_row(flow);
            } else if (flow.seen) {
                out.insert(id);
            } else {
                // Either its row is still to come (it was written after the snapshot, or is not
                // yet), or it was written and deleted before the snapshot. Only time tells.
                flow.missed = true;
                if (!flow.durable_by) await_row(id, flow, tick);
            }
        }
    }
    return out;
}

// Time
// --------------------------------------------------------------------------------------------

std::optional<Instant> Authorizations::next_end() const {
    return ends_.empty() ? std::nullopt : std::optional(ends_.begin()->first);
}

std::optional<Tick> Authorizations::next_row() const {
    return rows_.empty() ? std::nullopt : std::optional(rows_.begin()->first);
}

void Authorizations::pass(Instant now, Tick tick, Decisions& out) {
    std::size_t left = kMostOfPart;
    pass_ends(now, left, out);
    pass_rows(tick, left, out);
}

void Authorizations::pass_ends(Instant now, std::size_t& left, Decisions& out) {
    for (; left > 0 && !ends_.empty() && ends_.begin()->first <= now; --left) {
        const Uuid id = ends_.begin()->second;
        ends_.erase(ends_.begin());
        const Flow* flow = find(id);
        if (flow == nullptr || !is_expired(flow->expires_at, now)) continue;
        const auto held = pairs_.find(pair_of_flow_.at(id));
        remove_expired(held->second, id, out);
        // The device ends the pair by its own clock. It is rejected all the same, as ours may be
        // ahead: a pair that is dropped here is followed by nobody when it is revoked.
        if (held->second.flows.empty()) reject(held, {}, out);
    }
}

void Authorizations::pass_rows(Tick tick, std::size_t& left, Decisions& out) {
    for (; left > 0 && !rows_.empty() && rows_.begin()->first <= tick; --left) {
        const Uuid id = rows_.begin()->second;
        rows_.erase(rows_.begin());
        if (const Flow* flow = find(id)) {
            if (!flow->durable_by || *flow->durable_by > tick) continue;
            // The database does not answer: another flow's row would fare no better.
            out.emplace_back(FlowEnded{id});
            end_flow(id, out);
        } else if (const auto unasked = unasked_.find(id);
                   unasked != unasked_.end() && unasked->second <= tick) {
            unasked_.erase(unasked);
            out.emplace_back(FlowEnded{id});
        }
    }
}

void Authorizations::check() const {
#ifndef NDEBUG
    std::size_t flows = 0;
    std::unordered_map<Uuid, std::size_t> of_resource;
    for (const auto& [pair, held] : pairs_) {
        FATWAL_INVARIANT(!held.flows.empty(), "a pair that is held has a flow");
        ++of_resource[pair.resource_id];
        for (const auto& [id, flow] : held.flows) {
            ++flows;
            const auto found = pair_of_flow_.find(id);
            FATWAL_INVARIANT(found != pair_of_flow_.end() && found->second == pair,
                             "a flow is of one pair");
            FATWAL_INVARIANT(!flow.expires_at || ends_.contains({*flow.expires_at, id}),
                             "the end of a flow is due");
            FATWAL_INVARIANT(!flow.durable_by || rows_.contains({*flow.durable_by, id}),
                             "the row of a flow is due");
        }
    }
    FATWAL_INVARIANT(flows == pair_of_flow_.size(), "a flow is of one pair");
    FATWAL_INVARIANT(of_resource.size() == resources_.size(), "resources are those of pairs");
    for (const auto& [id, given] : resources_)
        FATWAL_INVARIANT(of_resource[id] == given.pairs, "a resource counts its pairs");
#endif
}

}  // namespace fatwal::access
