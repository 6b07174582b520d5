// What is known of a relation, looked up once for each of its versions: its publication, account
// column, columns and schema message.
//
// A plan is built at the relation's first change in a session and lasts until an invalidation of
// the server says that something it was built from has changed: the relation, an ancestor, a
// publication, a namespace, an enum. Invalidations arrive in the midst of our own catalog look-ups,
// so they only mark. What they mark is built again at the next change, or freed by sweep() between
// two transactions.
#pragma once

#include "extension/column.h"
#include "extension/published.h"
#include "extension/server.h"
#include "fatwal/wire/account.h"

namespace fatwal::plugin {

enum class AccountType : std::uint8_t { None, Uuid, Int2, Int4, Int8, Text, BlankPadded };

// How a column of the declared type `type` names an account; None: it cannot.
AccountType account_type_of(Oid type);

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

// The plans of one decoding session. Its memory is a child of `parent`; it is forgotten when
// `parent` is reset.
class PlanCache {
public:
    // `names`: of char*.
    void init(MemoryContext parent, List* names);

    // The plan of `relation` as of the change that is being decoded. It lasts until the next find()
    // or sweep().
    Plan* find(Relation relation);

    // Called by the invalidation callbacks: marks only, never frees. InvalidOid: all.
    void invalidate(Oid relation);
    // Frees the plans that are not valid, when there are many: those of dropped tables are never
    // asked for again.
    void sweep();

    [[nodiscard]] PublicationNames& publications() { return publications_; }

private:
    [[nodiscard]] bool is_valid(const Plan& plan) const { return plan.built_in == generation_; }
    void build(Plan* plan, Relation relation);
    void build_columns(Plan* plan, Relation relation, Relation shown, const Selection& selection);
    void remember_ancestors(Oid relation);

    HTAB* plans_;
    HTAB* ancestors_;  // relations whose change is a change of partitions that have a plan
    Plan* last_;
    std::uint64_t generation_;  // raised to make all plans invalid at once
    long invalid_;              // how many plans are, about
    MemoryContext context_;
    PublicationNames publications_;
};

// Registers the invalidation callbacks, once in the life of a backend (they cannot be
// unregistered); they act on the cache set here, if any.
void set_invalidated_cache(PlanCache* cache);

}  // namespace fatwal::plugin
