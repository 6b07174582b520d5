#include "portal/access/explanation.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace fatwal::access {
namespace {

constexpr std::size_t kMostValues = 20;  // of one condition

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }
Json text_or_null(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }
Json id_or_null(const std::optional<Uuid>& id) { return id ? Json(id->to_text()) : Json(); }
Json time_or_null(const std::optional<Instant>& time) {
    return time ? Json(utc_text(*time)) : Json();
}

// Puts the first entries under the name, and how many are left out.
void put_list(Json& out, const std::string& name, std::vector<Json> entries) {
    if (entries.size() > kMostExplained) {
        out[name + "_left_out"] = entries.size() - kMostExplained;
        entries.resize(kMostExplained);
    }
    out[name] = std::move(entries);
}

std::vector<Uuid> sorted(const Ids& ids) {
    std::vector<Uuid> out(ids.begin(), ids.end());
    std::sort(out.begin(), out.end());
    return out;
}

const char* outcome_name(FlowOutcome outcome) {
    switch (outcome) {
        case FlowOutcome::Granted: return "granted";
        case FlowOutcome::NotLive: return "account_not_live";
        case FlowOutcome::SessionOver: return "session";
        case FlowOutcome::NoResource: return "no_resource";
        case FlowOutcome::NoPolicy: return "no_policy";
        case FlowOutcome::NotShown: return "not_shown";
        case FlowOutcome::NotConforming: return "not_conforming";
        case FlowOutcome::Offline: return "no_gateway_online";
        case FlowOutcome::VersionMismatch: return "no_gateway_fits";
    }
    return "";
}

const char* standing_name(PolicyStanding standing, const Policy& policy) {
    switch (standing) {
        case PolicyStanding::NotInForce: return policy.row.disabled_at ? "disabled" : "feature_off";
        case PolicyStanding::NoGroup: return "no_group";
        case PolicyStanding::NotMember: return "not_member";
        case PolicyStanding::NotConforming: return "not_conforming";
        case PolicyStanding::Grants: return "grants";
    }
    return "";
}

const char* standing_name(GatewayStanding standing) {
    switch (standing) {
        case GatewayStanding::Candidate: return "candidate";
        case GatewayStanding::Offline: return "offline";
        case GatewayStanding::NotHeld: return "not_held";
        case GatewayStanding::Incompatible: return "incompatible";
        case GatewayStanding::Inexpressive: return "inexpressive";
    }
    return "";
}

// The sites that are there: a connection may be left of one that is gone.
std::vector<Uuid> sites_of(const AccountState& state, const Uuid& resource_id) {
    std::vector<Uuid> out = sorted(state.sites_of_resource(resource_id));
    std::erase_if(out, [&](const Uuid& id) { return state.site(id) == nullptr; });
    return out;
}

// Why clients of the version are not shown it; the order of AccountState::view_of().
std::string why_not_shown(const AccountState& state, const portal::Resources& resource) {
    if (!state.offers(resource)) return "feature_off";
    if (sites_of(state, resource.id).empty()) return "no_site";
    const std::string_view column = malformed_column(resource);
    return column.empty() ? "client_too_old" : "malformed_" + std::string(column);
}

class Explanation {
public:
    Explanation(const ChannelContext& context, const FlowAsker& asker, const Uuid& resource_id,
                Instant now)
        : context_(context),
          state_(context.state),
          asker_(asker),
          resource_id_(resource_id),
          now_(now) {}

    [[nodiscard]] Json verdict(const FlowDecision& decision) const {
        if (decision.outcome == FlowOutcome::Granted) return granted(decision);
        Json out = {{"granted", false},
                    {"reason", outcome_name(decision.outcome)},
                    {"device_reason", failure_of(decision.outcome)}};
        if (decision.outcome == FlowOutcome::SessionOver) {
            // Of a client that is gone its token is gone too, and that is checked first.
            const bool is_there = state_.client(asker_.client_id) != nullptr;
            out["device_reason"] = decision.refusal;
            out["detail"] = is_there ? decision.refusal : Refusal("client_not_found");
        } else if (decision.outcome == FlowOutcome::NotShown) {
            out["detail"] = why_not_shown(state_, *decision.resource);
        } else if (decision.outcome == FlowOutcome::NotLive) {
            out["detail"] = state_.reason();
        }
        if (!decision.violated.empty()) out["violated_properties"] = decision.violated;
        return out;
    }

    [[nodiscard]] Json client(const portal::Clients& row, bool is_connected) const {
        ClientContext about = context_of(row);
        const auto* actor = state_.actor(row.actor_id);
        return {
            {"id", row.id.to_text()},
            {"name", row.name},
            {"actor",
             {{"id", row.actor_id.to_text()}, {"name", actor ? Json(actor->name) : Json()}}},
            {"source", is_connected ? "session" : "last_seen"},
            {"online", is_connected || context_.presence.client(row.id) != nullptr},
            {"version", asker_.version == Version{} ? Json() : Json(asker_.version.to_text())},
            {"remote_ip", about.remote_ip ? Json(about.remote_ip->to_text()) : Json()},
            {"region", text_or_null(about.region)},
            {"location",
             asker_.location ? Json::array({asker_.location->lat, asker_.location->lon}) : Json()},
            {"provider_id", id_or_null(about.provider_id)},
            {"verified", about.verified},
            {"token_id", asker_.token_id == Uuid{} ? Json() : Json(asker_.token_id.to_text())},
            {"token_expires_at", time_or_null(asker_.token_expires_at)}};
    }

    [[nodiscard]] std::vector<Json> groups(const Uuid& actor_id) const {
        std::vector<Uuid> ids;
        state_.for_each_group_of(actor_id, [&](const Uuid& id) { ids.push_back(id); });
        std::sort(ids.begin(), ids.end());
        std::vector<Json> out;
        for (const Uuid& id : ids) {
            const auto* group = state_.group(id);
            const Uuid* membership = state_.membership(actor_id, id);
            out.push_back({{"id", id.to_text()},
                           {"name", group ? Json(group->name) : Json()},
                           {"type", group ? Json(to_text(group->type)) : Json()},
                           {"membership_id",
                            membership ? id_or_null(membership_column(*membership)) : Json()}});
        }
        return out;
    }

    [[nodiscard]] Json resource(const portal::Resources& row) const {
        Json sites = Json::array();
        for (const Uuid& id : sites_of(state_, row.id))
            sites.push_back({{"id", id.to_text()}, {"name", state_.site(id)->name}});
        return {{"id", row.id.to_text()},
                {"name", row.name},
                {"type", to_text(row.type)},
                {"address", text_or_null(row.address)},
                {"ip_stack", row.ip_stack ? Json(to_text(*row.ip_stack)) : Json()},
                {"filters", row.filters},
                {"sites", std::move(sites)}};
    }

    [[nodiscard]] std::vector<Json> policies(const portal::Clients& client) const {
        const ClientContext about = context_of(client);
        std::vector<Json> out;
        for (const Uuid& id : sorted(state_.policies_of_resource(resource_id_)))
            if (const Policy* found = state_.policy(id))
                out.push_back(policy(*found, client.actor_id, about));
        return out;
    }

    // By the choice that decide_flow() makes, here with its trace.
    [[nodiscard]] std::vector<Json> gateways(const portal::Resources& resource,
                                             const std::vector<Uuid>& connected,
                                             const OnlineGateway* chosen) const {
        std::vector<TracedGateway> trace;
        const auto choice = choose_gateway(state_, context_.presence, resource, asker_.version,
                                           asker_.location, connected, context_.random, &trace);
        // What is not granted has a gateway nonetheless, once it is.
        if (chosen == nullptr && std::holds_alternative<const OnlineGateway*>(choice))
            chosen = std::get<const OnlineGateway*>(choice);
        const auto best = std::find_if(trace.begin(), trace.end(), [&](const TracedGateway& one) {
            return chosen != nullptr && one.candidate.gateway == chosen;
        });
        std::vector<std::pair<std::string, Json>> ranked;  // candidates first
        for (const TracedGateway& one : trace) {
            const bool is_candidate = one.standing == GatewayStanding::Candidate;
            Json entry = gateway(one.id, one.site_id,
                                 is_candidate ? outranked(one.candidate, best->candidate)
                                              : standing_name(one.standing));
            if (is_candidate) {
                entry["connected"] = one.candidate.connected;
                if (asker_.location && one.candidate.gateway->location)
                    entry["distance_km"] = std::llround(one.candidate.distance);
            }
            ranked.emplace_back((is_candidate ? "0" : "1") + one.id.to_text(), std::move(entry));
        }
        for (const auto& [id, online] : context_.presence.gateways()) {
            const auto* row = state_.gateway(id);
            if (row != nullptr && !state_.connected(resource_id_, row->site_id))
                ranked.emplace_back("2" + id.to_text(), gateway(id, row->site_id, "other_site"));
        }
        std::sort(ranked.begin(), ranked.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
        std::vector<Json> out;
        out.reserve(ranked.size());
        for (auto& [rank, entry] : ranked) out.push_back(std::move(entry));
        return out;
    }

    [[nodiscard]] std::vector<Json> flows() const {
        std::vector<Json> out;
        for (const Uuid& id : sorted(state_.flows_of_client(asker_.client_id))) {
            const auto& row = *state_.flow(id);
            if (row.resource_id != resource_id_ || (row.expires_at && *row.expires_at <= now_))
                continue;
            out.push_back({{"id", id.to_text()},
                           {"gateway_id", row.gateway_id.to_text()},
                           {"policy_id", row.policy_id.to_text()},
                           {"expires_at", time_or_null(row.expires_at)}});
        }
        return out;
    }

private:
    [[nodiscard]] ClientContext context_of(const portal::Clients& client) const {
        ClientContext out = asker_.session;
        complete_context(state_, client, out);
        return out;
    }

    [[nodiscard]] Json granted(const FlowDecision& decision) const {
        Json ended_by;
        if (decision.expires_at && decision.expires_at == decision.grant.until)
            ended_by = "policy";
        else if (decision.expires_at && decision.expires_at == asker_.token_expires_at)
            ended_by = "token";
        else if (decision.expires_at)
            ended_by = "flow_lifetime";
        return {{"granted", true},
                {"policy_id", decision.grant.policy_id.to_text()},
                {"membership_id", id_or_null(membership_column(decision.grant.membership_id))},
                {"gateway_id", decision.gateway->id.to_text()},
                {"expires_at", time_or_null(decision.expires_at)},
                {"ended_by", std::move(ended_by)}};
    }

    [[nodiscard]] Json policy(const Policy& policy, const Uuid& actor_id,
                              const ClientContext& about) const {
        const auto judgement = judge(policy, state_, actor_id, about, now_);
        const auto& group_id = policy.row.actor_group_id;
        const auto* group = group_id ? state_.group(*group_id) : nullptr;
        Json conditions = Json::array();
        const auto parts = policy.conditions.parts(about, now_);
        for (std::size_t i = 0; i < parts.size() && i < kMostExplained; ++i)
            conditions.push_back(condition(parts[i], policy.row.conditions.at(i)));
        return {{"id", policy.row.id.to_text()},
                {"description", text_or_null(policy.row.description)},
                {"group_id", id_or_null(group_id)},
                {"group", group ? Json(group->name) : Json()},
                {"standing", standing_name(judgement.standing, policy)},
                {"holds_until", time_or_null(judgement.grant.until)},
                {"conditions", std::move(conditions)}};
    }

    // `form`: as the row has it.
    [[nodiscard]] static Json condition(const Conditions::Part& part,
                                        const std::optional<Json>& form) {
        Json out = {{"property", part.property},
                    {"understood", part.is_understood},
                    {"holds", part.verdict.holds},
                    {"value", text_or_null(part.value)},
                    {"holds_until", time_or_null(part.verdict.until)},
                    {"changes_at", time_or_null(part.next_change)}};
        if (!form || !form->is_object()) return out;
        if (const auto op = form->find("operator"); op != form->end() && op->is_string())
            out["operator"] = *op;
        const auto values = form->find("values");
        if (values == form->end() || !values->is_array()) return out;
        const auto count = std::min(values->size(), kMostValues);
        out["values"] = Json::array();
        for (std::size_t i = 0; i < count; ++i) out["values"].push_back((*values)[i]);
        if (count < values->size()) out["values_left_out"] = values->size() - count;
        return out;
    }

    // By what the best one is better, if it is.
    [[nodiscard]] static const char* outranked(const GatewayCandidate& one,
                                               const GatewayCandidate& best) {
        if (one.gateway == best.gateway) return "chosen";
        if (!is_better(best, one)) return "alike";
        if (one.connected != best.connected) return "not_connected";
        return one.distance != best.distance ? "farther" : "older";
    }

    [[nodiscard]] Json gateway(const Uuid& id, const Uuid& site_id, const char* standing) const {
        const auto* row = state_.gateway(id);
        const OnlineGateway* online = context_.presence.find(id);
        return {{"id", id.to_text()},
                {"name", row ? Json(row->name) : Json()},
                {"site_id", site_id.to_text()},
                {"standing", standing},
                {"version", online ? Json(online->version.to_text()) : Json()}};
    }

    const ChannelContext& context_;
    const AccountState& state_;
    const FlowAsker& asker_;
    Uuid resource_id_;
    Instant now_;
};

}  // namespace

FlowAsker asker_of_row(const AccountState& state, const Uuid& client_id) {
    FlowAsker out{.client_id = client_id,
                  .token_id = {},
                  .version = {},
                  .session = {},
                  .location = {},
                  .token_expires_at = {}};
    const auto* client = state.client(client_id);
    if (client == nullptr) return out;
    out.token_id = client->last_used_token_id.value_or(Uuid{});
    out.version = Version::parse(client->last_seen_version.value_or("")).value_or(Version{});
    out.session = context_of_row(state, *client);
    if (client->last_seen_remote_ip_location_lat && client->last_seen_remote_ip_location_lon)
        out.location = Location{*client->last_seen_remote_ip_location_lat,
                                *client->last_seen_remote_ip_location_lon};
    if (const auto* token = state.token(out.token_id)) out.token_expires_at = token->expires_at;
    return out;
}

std::vector<Uuid> gateways_of_flows(const AccountState& state, const Uuid& client_id) {
    Ids out;
    for (const Uuid& id : state.flows_of_client(client_id)) out.insert(state.flow(id)->gateway_id);
    return sorted(out);
}

Json explain(const ChannelContext& context, const FlowAsker& asker, bool is_connected,
             const Uuid& resource_id, const std::vector<Uuid>& connected, Instant now) {
    // Of gateways alike the first stands for all: the process's generator is not used up.
    ChannelContext own = context;
    own.random = [] { return std::uint64_t{1}; };
    const AccountState& state = own.state;
    const FlowDecision decision = decide_flow(own, asker, resource_id, connected, now);
    const Explanation parts(own, asker, resource_id, now);
    Json out = {{"at", utc_text(now)}, {"verdict", parts.verdict(decision)}};
    const auto* client = state.client(asker.client_id);
    if (!state.live() || client == nullptr) return out;
    out["client"] = parts.client(*client, is_connected);
    put_list(out, "groups", parts.groups(client->actor_id));
    const auto* resource = state.resource(resource_id);
    if (resource == nullptr) return out;
    out["resource"] = parts.resource(*resource);
    put_list(out, "policies", parts.policies(*client));
    put_list(out, "gateways", parts.gateways(*resource, connected, decision.gateway));
    put_list(out, "flows", parts.flows());
    return out;
}

}  // namespace fatwal::access
