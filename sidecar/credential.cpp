#include "sidecar/credential.h"

namespace fatwal::sidecar {

std::optional<CredentialGrant> credential_grant(const std::string& name, std::string_view scope,
                                                const std::string& account) {
    if (scope == "every account") return CredentialGrant{name, GrantScope::EveryAccount, {}};
    if (scope == "operators") return CredentialGrant{name, GrantScope::Operators, {}};
    if (scope != "account" || account.size() > wire::kMaxAccountBytes) return std::nullopt;
    return CredentialGrant{name, GrantScope::Account, wire::AccountKey::from_text(account)};
}

}  // namespace fatwal::sidecar
