// How the rows of a relation travel, decided once for each Relation message: what the message says,
// and what the catalogs of now add to it (catalogue.h).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fatwal/wire/account.h"
#include "sidecar/pgoutput/catalogue.h"
#include "sidecar/pgoutput/heap_memory.h"
#include "sidecar/pgoutput/messages.h"
#include "sidecar/pgoutput/text_values.h"

namespace fatwal::sidecar::pgoutput {

// What names an account, by its type: its text alone says which. Of bpchar the blanks at its end do
// not count.
enum class AccountType : std::uint8_t { None, Text, BlankPadded };

struct PlanColumn {
    std::size_t field = 0;  // of a tuple
    bool identity = false;
    bool unavailable = false;  // generated columns that no change has are not in the message either
    TextType type;
};

// What wire/encoding/row_encoder.h and change_writer.h ask for.
struct Plan {
    std::uint16_t columns = 0;
    PlanColumn* column = nullptr;
    std::int16_t account_column = -1;
    AccountType account_type = AccountType::None;
    bool unrouted = false;
    bool uncertain = false;  // which column named the account then is not known
    char replica_identity = 'd';
    wire::SchemaId schema;
    std::string route;  // equal for two plans that send the same rows to the same accounts

    std::vector<PlanColumn> storage;
    std::map<std::uint32_t, Labels> labels;  // of the enums
    std::unique_ptr<HeapBuffer> schema_message;

    // Rows go to the operators, and their subscribers are resynced.
    void hide_account() {
        account_type = AccountType::None;
        unrouted = uncertain = true;
    }
    [[nodiscard]] bool full_identity() const { return replica_identity == 'f'; }
    [[nodiscard]] bool names_account() const { return account_type != AccountType::None; }
    [[nodiscard]] bool old_rows_name_account() const {
        return names_account() && column[account_column].identity;
    }
    [[nodiscard]] bool knows_old_account() const {
        return !names_account() || old_rows_name_account();
    }
};

// The type names that Type messages have told, by their oids.
struct NamedType {
    std::string schema;
    std::string name;
};
using NamedTypes = std::map<std::uint32_t, NamedType>;

// Settings of account columns that the stream has brought, by the tables' oids: they are newer than
// what the catalogs said. Empty: not set any more.
using AccountSettings = std::map<std::uint32_t, std::string>;

// `as_text`: the columns, by their place in the message, of which a value was not understood.
[[nodiscard]] std::unique_ptr<Plan> make_plan(const Relation& relation, const RelationFacts& facts,
                                              const AccountSettings& streamed,
                                              const NamedTypes& named,
                                              const std::vector<bool>& as_text);

// The table of fatwal's own that the relation is, by its name. Settings: those of account columns,
// where there is no extension. Publications: that fatwald has found one altered.
enum class OwnTable : std::uint8_t { None, Notes, Credentials, Settings, Publications };
[[nodiscard]] OwnTable own_table_of(const Relation& relation);

}  // namespace fatwal::sidecar::pgoutput
