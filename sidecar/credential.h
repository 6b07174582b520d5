// Who may connect with keys, as the tables fatwal.credential and fatwal.credential_grant have it,
// and who a peer of such a connection is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fatwal/wire/control.h"
#include "fatwal/wire/transaction_snapshot.h"

namespace fatwal::sidecar {

// A key of a credential; several may have one name, so that a key is replaced without a gap.
struct CredentialKey {
    std::string name;
    std::string public_key;                        // Z85, 40 characters
    std::optional<wire::Microseconds> expires_at;  // since 2000-01-01; nothing: never
};

enum class GrantScope : std::uint8_t { Account, EveryAccount, Operators };

struct CredentialGrant {
    std::string name;
    GrantScope scope = GrantScope::Account;
    wire::AccountKey account;  // of GrantScope::Account

    friend auto operator<=>(const CredentialGrant&, const CredentialGrant&) = default;
};

// A row of fatwal.credential_grant; nothing when it is none that this release knows.
[[nodiscard]] std::optional<CredentialGrant> credential_grant(const std::string& name,
                                                              std::string_view scope,
                                                              const std::string& account);

// Both tables in one snapshot of the database.
struct CredentialTables {
    std::vector<CredentialKey> keys;
    std::vector<CredentialGrant> grants;
    wire::TransactionSnapshot sees;
    // A transaction that commits here or later is not in it, whatever its number.
    wire::Lsn read_at = 0;
};

// Who is behind a connection. One without a key came through a socket file whose permissions admit
// it (`control`): it may do what that file's readers may, which is everything.
struct Caller {
    std::string credential;
    std::string public_key;

    [[nodiscard]] bool is_local() const { return public_key.empty(); }
    friend bool operator==(const Caller&, const Caller&) = default;
};

}  // namespace fatwal::sidecar
