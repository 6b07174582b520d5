// The plans of a decoding session: each relation is looked up once for each of its versions.
//
// A plan is built at the relation's first change in a session and lasts until an invalidation of
// the server says that something it was built from has changed: the relation, an ancestor, a
// publication, a namespace, an enum. Invalidations arrive in the midst of our own catalog look-ups,
// so they only mark. What they mark is built again at the next change, or freed by sweep() between
// two transactions.
#pragma once

#include "extension/plan.h"
#include "extension/published.h"
#include "extension/server.h"

namespace fatwal::plugin {

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
