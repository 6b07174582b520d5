// Who may reach what, by an account's state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "portal/access/account_state.h"

namespace fatwal::access {

// Why a session may not be, as its device reads it.
using Refusal = std::string;

// What of a token decides, wherever its row was read.
struct TokenTerms {
    bool is_of_role = false;  // its type is the device's kind
    std::optional<Uuid> device_id;
    std::optional<Instant> expires_at;
};

// Whether a token lets the device in: invalid_token, then token_expired. `device`: nothing when it
// is not known, or when the token is not one device's, as a gateway's.
[[nodiscard]] std::optional<Refusal> token_refusal(const TokenTerms& token,
                                                   const std::optional<Uuid>& device, Instant now);

// Whether a client's session may be: its token, account, row, actor, identity and provider are
// there, fit together, are enabled, and the token has not expired. The reasons: invalid_token,
// token_expired, account_disabled, client_not_found, actor_disabled, identity_disabled,
// provider_disabled.
[[nodiscard]] std::optional<Refusal> client_refusal(const AccountState& state,
                                                    const Uuid& client_id, const Uuid& token_id,
                                                    Instant now);

// The same of a gateway: invalid_token, token_expired, account_disabled, gateway_not_found.
[[nodiscard]] std::optional<Refusal> gateway_refusal(const AccountState& state,
                                                     const Uuid& gateway_id, const Uuid& token_id,
                                                     Instant now);

// What of the client's context comes from rows: the provider of its identity, and whether it is
// verified.
void complete_context(const AccountState& state, const portal::Clients& client,
                      ClientContext& context);

// The context by the client's row alone: where it was last seen.
[[nodiscard]] ClientContext context_of_row(const AccountState& state,
                                           const portal::Clients& client);

struct Grant {
    Uuid policy_id;
    Uuid membership_id;
    std::optional<Instant> until;  // nothing: no end
};

// What one policy is to an actor, in the order in which it is checked.
enum class PolicyStanding : std::uint8_t {
    NotInForce,     // disabled, or of conditions that the account may not use
    NoGroup,        // it names none
    NotMember,      // the actor is not in its group
    NotConforming,  // a condition does not hold
    Grants,
};
struct PolicyJudgement {
    PolicyStanding standing = PolicyStanding::NotInForce;
    Grant grant;  // of Grants
};

// The one place where a policy is judged for a client; longest_grant() and grant_by() ask it.
[[nodiscard]] PolicyJudgement judge(const Policy& policy, const AccountState& state,
                                    const Uuid& actor_id, const ClientContext& context,
                                    Instant now);

// Whether to grant by `one` rather than by `other`: it holds longer, or as long and its policy has
// the smaller id.
[[nodiscard]] bool is_better(const Grant& one, const Grant& other);

// The policy that grants the resource to the actor for longest; nothing when none does. Of several
// without difference the one with the smallest id. Sites, versions and the session are not
// checked.
[[nodiscard]] std::optional<Grant> longest_grant(const AccountState& state, const Uuid& actor_id,
                                                 const Uuid& resource_id,
                                                 const ClientContext& context, Instant now);

// Whether this policy by this membership grants the resource now, and until when.
[[nodiscard]] std::optional<Grant> grant_by(const AccountState& state, const Uuid& policy_id,
                                            const Uuid& membership_id, const Uuid& actor_id,
                                            const Uuid& resource_id, const ClientContext& context,
                                            Instant now);

// Whether any enabled policy of the actor's groups names the resource, whatever its conditions.
[[nodiscard]] bool has_policy(const AccountState& state, const Uuid& actor_id,
                              const Uuid& resource_id);

// The properties that stand between the actor and the resource: of all its policies (by id), each
// once, in their order.
[[nodiscard]] std::vector<std::string> violated_properties(const AccountState& state,
                                                           const Uuid& actor_id,
                                                           const Uuid& resource_id,
                                                           const ClientContext& context,
                                                           Instant now);

// The earlier of two ends, nothing being no end.
[[nodiscard]] std::optional<Instant> earlier(std::optional<Instant> a, std::optional<Instant> b);

}  // namespace fatwal::access
