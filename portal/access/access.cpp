#include "portal/access/access.h"

#include <algorithm>

namespace fatwal::access {
namespace {

std::optional<Refusal> account_refusal(const AccountState& state) {
    const auto* account = state.account();
    if (account == nullptr || account->disabled_at) return "account_disabled";
    return std::nullopt;
}

std::optional<Refusal> row_refusal(const portal::Tokens* token, portal::TokenType type,
                                   const std::optional<Uuid>& device, Instant now) {
    if (token == nullptr) return "invalid_token";
    return token_refusal({token->type == type, token->device_id, token->expires_at}, device, now);
}

std::optional<Refusal> identity_refusal(const AccountState& state, const std::optional<Uuid>& id,
                                        const Uuid& actor_id) {
    if (!id) return std::nullopt;
    const auto* identity = state.identity(*id);
    if (identity == nullptr || identity->actor_id != actor_id) return "identity_disabled";
    const auto* provider = state.provider(identity->provider_id);
    if (provider == nullptr || provider->disabled_at) return "provider_disabled";
    return std::nullopt;
}

std::optional<Grant> grant_of(const Policy& policy, const AccountState& state, const Uuid& actor_id,
                              const ClientContext& context, Instant now) {
    const auto judgement = judge(policy, state, actor_id, context, now);
    if (judgement.standing != PolicyStanding::Grants) return std::nullopt;
    return judgement.grant;
}

}  // namespace

std::optional<Instant> earlier(std::optional<Instant> a, std::optional<Instant> b) {
    if (!a || !b) return a ? a : b;
    return std::min(*a, *b);
}

std::optional<Refusal> token_refusal(const TokenTerms& token, const std::optional<Uuid>& device,
                                     Instant now) {
    if (!token.is_of_role) return "invalid_token";
    if (device && token.device_id.value_or(*device) != *device) return "invalid_token";
    if (token.expires_at && *token.expires_at <= now) return "token_expired";
    return std::nullopt;
}

std::optional<Refusal> client_refusal(const AccountState& state, const Uuid& client_id,
                                      const Uuid& token_id, Instant now) {
    const auto* token = state.token(token_id);
    if (auto refusal = row_refusal(token, portal::TokenType::Client, client_id, now))
        return refusal;
    if (auto refusal = account_refusal(state)) return refusal;
    const auto* client = state.client(client_id);
    if (client == nullptr) return "client_not_found";
    const auto* actor = state.actor(client->actor_id);
    if (actor == nullptr || actor->disabled_at) return "actor_disabled";
    if (token->actor_id != client->actor_id) return "invalid_token";
    if (auto refusal = identity_refusal(state, token->identity_id, client->actor_id))
        return refusal;
    return identity_refusal(state, client->identity_id, client->actor_id);
}

std::optional<Refusal> gateway_refusal(const AccountState& state, const Uuid& gateway_id,
                                       const Uuid& token_id, Instant now) {
    const auto* token = state.token(token_id);
    if (auto refusal = row_refusal(token, portal::TokenType::Gateway, {}, now)) return refusal;
    if (auto refusal = account_refusal(state)) return refusal;
    const auto* gateway = state.gateway(gateway_id);
    if (gateway == nullptr) return "gateway_not_found";
    if (token->site_id != gateway->site_id) return "invalid_token";
    return std::nullopt;
}

void complete_context(const AccountState& state, const portal::Clients& client,
                      ClientContext& context) {
    context.verified = client.verified_at.has_value();
    const auto* identity = client.identity_id ? state.identity(*client.identity_id) : nullptr;
    context.provider_id = identity != nullptr ? std::optional(identity->provider_id) : std::nullopt;
}

ClientContext context_of_row(const AccountState& state, const portal::Clients& client) {
    ClientContext out;
    if (client.last_seen_remote_ip)
        out.remote_ip = IpAddress::parse(host_of_inet(*client.last_seen_remote_ip));
    out.region = client.last_seen_remote_ip_location_region;
    complete_context(state, client, out);
    return out;
}

PolicyJudgement judge(const Policy& policy, const AccountState& state, const Uuid& actor_id,
                      const ClientContext& context, Instant now) {
    if (!state.in_force(policy)) return {PolicyStanding::NotInForce, {}};
    if (!policy.row.actor_group_id) return {PolicyStanding::NoGroup, {}};
    const Uuid* membership = state.membership(actor_id, *policy.row.actor_group_id);
    if (membership == nullptr) return {PolicyStanding::NotMember, {}};
    const auto verdict = policy.conditions.evaluate(context, now);
    if (!verdict.holds) return {PolicyStanding::NotConforming, {}};
    return {PolicyStanding::Grants, {policy.row.id, *membership, verdict.until}};
}

bool is_better(const Grant& one, const Grant& other) {
    if (one.until == other.until) return one.policy_id < other.policy_id;
    return other.until && (!one.until || *one.until > *other.until);
}

std::optional<Grant> longest_grant(const AccountState& state, const Uuid& actor_id,
                                   const Uuid& resource_id, const ClientContext& context,
                                   Instant now) {
    if (state.resource(resource_id) == nullptr) return std::nullopt;
    std::optional<Grant> best;
    for (const Uuid& id : state.policies_of_resource(resource_id)) {
        const Policy* policy = state.policy(id);
        const auto grant =
            policy != nullptr ? grant_of(*policy, state, actor_id, context, now) : std::nullopt;
        if (grant && (!best || is_better(*grant, *best))) best = grant;
    }
    return best;
}

std::optional<Grant> grant_by(const AccountState& state, const Uuid& policy_id,
                              const Uuid& membership_id, const Uuid& actor_id,
                              const Uuid& resource_id, const ClientContext& context, Instant now) {
    const Policy* policy = state.policy(policy_id);
    if (policy == nullptr || policy->row.resource_id != resource_id ||
        state.resource(resource_id) == nullptr)
        return std::nullopt;
    auto grant = grant_of(*policy, state, actor_id, context, now);
    if (grant && grant->membership_id != membership_id) return std::nullopt;
    return grant;
}

bool has_policy(const AccountState& state, const Uuid& actor_id, const Uuid& resource_id) {
    const Ids& policies = state.policies_of_resource(resource_id);
    return std::any_of(policies.begin(), policies.end(), [&](const Uuid& id) {
        const Policy* policy = state.policy(id);
        return policy != nullptr && state.in_force(*policy) && policy->row.actor_group_id &&
               state.membership(actor_id, *policy->row.actor_group_id) != nullptr;
    });
}

std::vector<std::string> violated_properties(const AccountState& state, const Uuid& actor_id,
                                             const Uuid& resource_id, const ClientContext& context,
                                             Instant now) {
    const Ids& found = state.policies_of_resource(resource_id);
    std::vector<Uuid> ids(found.begin(), found.end());
    std::sort(ids.begin(), ids.end());
    std::vector<std::string> out;
    for (const Uuid& id : ids) {
        const Policy* policy = state.policy(id);
        if (policy == nullptr || !state.in_force(*policy) || !policy->row.actor_group_id) continue;
        if (state.membership(actor_id, *policy->row.actor_group_id) == nullptr) continue;
        for (std::string& property : policy->conditions.violated(context, now))
            if (std::find(out.begin(), out.end(), property) == out.end())
                out.push_back(std::move(property));
    }
    return out;
}

}  // namespace fatwal::access
