// Finds the tables whose rows a transaction sends elsewhere without changing them.
//
// DDL can change who sees a row and no log record says so for each row: a partition is detached or
// dropped, an account column set or renamed, a publication or its filter altered, a table dropped.
// Subscribers would keep such rows for ever, or never have them. So the plugin compares: for each
// relation that the transaction has invalidated, how it is published and to whom in the catalogs as
// they were before the transaction, and as they are at its end. Both are at hand, for the server
// decodes begin and commit with the catalogs of their time. Where they differ the transaction ends
// with a resync of the table. So the result depends on the log alone, not on when the session
// began.
#pragma once

#include "extension/output.h"
#include "extension/plan_cache.h"
#include "extension/server.h"

namespace fatwal::plugin {

class Rerouting {
public:
    // Its memory is a child of `parent`.
    void init(MemoryContext parent);

    // At the begin of a transaction: remembers how what it invalidates is routed before it.
    void begin(ReorderBufferTXN* txn, PlanCache& plans);
    // A change of `relation` was not published: if the relation is new and published at the end,
    // its rows were missed.
    void unpublished_change(Oid relation);
    // At the end: writes the schemas of the tables that are routed otherwise now, and has
    // `transaction` resync them.
    void commit(Output& output, PlanCache& plans, Transaction& transaction);

private:
    // How the rows of a relation are routed.
    struct Route {
        bool exists;
        bool published;
        bool tenants;   // they name accounts
        bool unrouted;  // a column list hides the account, which has its own warning
        Oid as_relation;
        std::uint64_t fingerprint;
    };
    struct Watched {
        Oid relation;  // key
        Route before;
        bool unpublished_change;
    };
    // The schema by which a relation was published before: after a DROP TABLE nothing else
    // describes it.
    struct Known {
        Oid relation;  // key
        wire::SchemaId schema;
        wire::Bytes message;
    };

    // Remembers the relation as it is before; false when it is remembered already.
    bool remember(Oid relation, PlanCache& plans);
    // The same with its partitions.
    void watch(Oid relation, PlanCache& plans);
    Route route_of(Oid relation, PlanCache& plans);
    void resync(Output& output, Oid relation, bool tenants, Transaction& transaction);
    std::uint64_t publications_now(PlanCache& plans) const;

    MemoryContext context_;
    HTAB* watched_;  // nullptr: the transaction changes no catalog
    HTAB* known_;
    bool all_;  // it invalidates all relations: publications are compared, not each relation
    std::uint64_t publications_;  // as they were before
};

}  // namespace fatwal::plugin
