// What is known of a relation, looked up once for each of its versions: its publication, account column, columns and schema message.
#pragma once

#include "column.h"
#include "fatwal/wire/account.h"
#include "published.h"
#include "server.h"

namespace fatwal {

enum class AccountType : std::uint8_t { None, Uuid, Int2, Int4, Int8, Text, BlankPadded };

// How a column of the declared type `type` names an account; None: it cannot.
AccountType account_type_of(Oid type);

struct Plan {
    Oid relation;  // key
    bool valid;
    bool described;  // its schema was sent in this session
    Published published;
    RowFilter filter;
    char replica_identity;
    std::uint16_t columns;
    Column* column;
    AccountType account_type;
    std::int16_t account_column;  // index into `column`; -1 none
    wire::SchemaId schema;        // names the schema message
    wire::Bytes schema_message;
    MemoryContext context;  // holds what the pointers point to

    [[nodiscard]] bool full_identity() const { return replica_identity == REPLICA_IDENTITY_FULL; }
};

// The plans of one decoding session. Its memory is a child of `parent`; it is forgotten when `parent` is reset.
class PlanCache {
public:
    void init(MemoryContext parent, List* publication_names);

    // The plan of `relation` as of the change that is being decoded.
    Plan* find(Relation relation);

    // Called by the invalidation callbacks: mark only, never free. InvalidOid: all.
    void invalidate(Oid relation);

    [[nodiscard]] List* publication_names() const { return publication_names_; }

private:
    void build(Plan* plan, Relation relation);

    HTAB* plans_;
    Plan* last_;
    MemoryContext context_;
    List* publication_names_;
};

// Registers the invalidation callbacks, once in the life of a backend (they cannot be unregistered); they act on the cache set here, if
// any.
void set_invalidated_cache(PlanCache* cache);

}  // namespace fatwal
