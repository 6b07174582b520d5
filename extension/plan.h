// What is known of a relation, for each of its versions: its publication, account column, columns
// and schema message. PlanCache (plan_cache.h) builds it and keeps it.
#pragma once

#include "extension/account_type.h"
#include "extension/column.h"
#include "extension/published.h"
#include "extension/server.h"
#include "fatwal/wire/account.h"

namespace fatwal::plugin {

struct Plan {
    Oid relation;            // key
    std::uint64_t built_in;  // the generation of the cache that it belongs to; 0: not valid
    bool described;          // its schema was sent in this session
    Published published;
    RowFilter filter;
    char replica_identity;
    std::uint16_t columns;
    Column* column;
    AccountType account_type;
    std::int16_t account_column;  // index into `column`; -1 none
    bool
        unrouted;  // the column list leaves the account column out: the changes go to the operators
    bool is_partition;
    std::uint64_t route;    // equal for two plans that send the same rows to the same accounts
    wire::SchemaId schema;  // names the schema message
    wire::Bytes schema_message;
    MemoryContext context;  // holds what the pointers point to
    // Which warnings the relation has had in this session; they outlast the plan.
    struct Warned {
        bool identity, list, lists, key;
    };
    mutable Warned warned;

    [[nodiscard]] bool full_identity() const { return replica_identity == REPLICA_IDENTITY_FULL; }
    // Whether its rows name an account; else its changes are the operators'.
    [[nodiscard]] bool names_account() const { return account_type != AccountType::None; }
    // Whether an update or a delete says whose row it was, if anybody's.
    [[nodiscard]] bool knows_old_account() const {
        return !names_account() || old_rows_name_account();
    }
    // Whether an old row that the log has names the account.
    [[nodiscard]] bool old_rows_name_account() const {
        return names_account() && column[account_column].identity;
    }
};

}  // namespace fatwal::plugin
