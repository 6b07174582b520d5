#include "extension/rerouting.h"

namespace fatwal::plugin {

namespace {

HTAB* make_table(const char* name, std::size_t entry_bytes, MemoryContext context) {
    HASHCTL control = {};
    control.keysize = sizeof(Oid);
    control.entrysize = entry_bytes;
    control.hcxt = context;
    return hash_create(name, 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

// The kind of a relation that a publication can hold, else 0. It asks the catalog cache alone: a
// transaction that makes a temporary table must not pay for a relation cache entry.
char publishable_kind(Oid relation) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple)) return 0;
    auto form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    const bool is_table =
        form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE;
    const char kind = is_table && form->relpersistence == RELPERSISTENCE_PERMANENT &&
                              relation >= FirstNormalObjectId
                          ? form->relkind
                          : '\0';
    ReleaseSysCache(tuple);
    return kind;
}

std::uint64_t mix_oid(std::uint64_t seed, Oid oid) {
    return hash_combine64(seed, hash_bytes_uint32_extended(oid, seed));
}

std::uint64_t mix_list(std::uint64_t seed, List* oids) {
    list_sort(oids, list_oid_cmp);
    ListCell* cell = nullptr;
    foreach (cell, oids) seed = mix_oid(seed, lfirst_oid(cell));
    return seed;
}

void warn_of_lost_account(Oid relation) {
    const char* name = qualified_name(relation);
    ereport(WARNING,
            (errmsg("table %s does not name its account any more", name),
             errdetail("Its changes go to the operators' stream from here on."),
             errhint("SELECT fatwal.set_account_column(%s, ...);", quote_literal_cstr(name))));
}

}  // namespace

void Rerouting::init(MemoryContext parent) {
    context_ = AllocSetContextCreate(parent, "fatwal rerouting", ALLOCSET_DEFAULT_SIZES);
    watched_ = nullptr;
    known_ = nullptr;
}

// Which publications the names find and what those publish. Their tables only when the transaction
// has not named the relations that it invalidates: an ALTER PUBLICATION of thousands of tables does
// not.
std::uint64_t Rerouting::publications_now(PlanCache& plans) const {
    std::uint64_t mixed = 0;
    for (int i = 0; i < plans.publications().count; ++i) {
        Publication* publication = find_publication(plans.publications().name[i]);
        mixed = mix_oid(mixed, publication == nullptr ? InvalidOid : publication->oid);
        if (publication == nullptr) continue;
        const PublicationActions& acts = publication->pubactions;
        mixed = mix_oid(
            mixed, static_cast<Oid>(acts.pubinsert | acts.pubupdate << 1 | acts.pubdelete << 2 |
                                    acts.pubtruncate << 3 | publication->pubviaroot << 4 |
                                    publication->alltables << 5));
        if (!all_ || publication->alltables) continue;
        mixed = mix_list(mixed, GetPublicationRelations(publication->oid, PUBLICATION_PART_ROOT));
        mixed = mix_list(mixed, GetPublicationSchemas(publication->oid));
    }
    return mixed;
}

Rerouting::Route Rerouting::route_of(Oid oid, PlanCache& plans) {
    Route route = {};
    if (publishable_kind(oid) == 0) return route;
    Relation relation = RelationIdGetRelation(oid);
    if (!RelationIsValid(relation)) return route;
    const Plan& plan = *plans.find(relation);
    route.exists = true;
    route.published = plan.published.any();
    route.as_relation = plan.published.as_relation;
    route.tenants = plan.names_account();
    route.unrouted = plan.unrouted;
    route.fingerprint = plan.route;
    if (route.published) {
        bool found = false;
        auto* known =
            static_cast<Known*>(hash_search(known_, &route.as_relation, HASH_ENTER, &found));
        if (!found) {
            auto* copy =
                static_cast<std::byte*>(MemoryContextAlloc(context_, plan.schema_message.size()));
            std::memcpy(copy, plan.schema_message.data(), plan.schema_message.size());
            known->schema = plan.schema;
            known->message = {copy, plan.schema_message.size()};
        }
    }
    RelationClose(relation);
    return route;
}

bool Rerouting::remember(Oid relation, PlanCache& plans) {
    bool found = false;
    auto* watched = static_cast<Watched*>(hash_search(watched_, &relation, HASH_ENTER, &found));
    if (found) return false;
    watched->before = route_of(relation, plans);
    watched->unpublished_change = false;
    return true;
}

void Rerouting::watch(Oid relation, PlanCache& plans) {
    if (!remember(relation, plans)) return;
    if (publishable_kind(relation) != RELKIND_PARTITIONED_TABLE) return;
    // How a partitioned table is published decides it for its partitions.
    ListCell* cell = nullptr;
    foreach (cell, find_all_inheritors(relation, NoLock, nullptr))
        (void)remember(lfirst_oid(cell), plans);
}

void Rerouting::begin(ReorderBufferTXN* txn, PlanCache& plans) {
    if (watched_ != nullptr) MemoryContextReset(context_);
    watched_ = nullptr;
    if (!rbtxn_has_catalog_changes(txn) || txn->ninvalidations == 0) return;
    MemoryContext caller = MemoryContextSwitchTo(context_);
    watched_ = make_table("fatwal watched relations", sizeof(Watched), context_);
    known_ = make_table("fatwal known schemas", sizeof(Known), context_);
    all_ = false;
    for (uint32 i = 0; i < txn->ninvalidations; ++i) {
        const SharedInvalidationMessage& message = txn->invalidations[i];
        if (message.id != SHAREDINVALRELCACHE_ID ||
            (message.rc.dbId != MyDatabaseId && OidIsValid(message.rc.dbId)))
            continue;
        if (OidIsValid(message.rc.relId))
            watch(message.rc.relId, plans);
        else
            all_ = true;
    }
    publications_ = publications_now(plans);
    MemoryContextSwitchTo(caller);
}

void Rerouting::unpublished_change(Oid relation) {
    if (watched_ == nullptr) return;
    auto* watched = static_cast<Watched*>(hash_search(watched_, &relation, HASH_FIND, nullptr));
    if (watched != nullptr) watched->unpublished_change = true;
}

void Rerouting::resync(Output& output, Oid relation, bool tenants, Transaction& transaction) {
    const auto* known =
        static_cast<const Known*>(hash_search(known_, &relation, HASH_FIND, nullptr));
    Assert(known != nullptr);
    if (transaction.resync(known->schema, tenants)) output.write_message(known->message);
}

void Rerouting::commit(Output& output, PlanCache& plans, Transaction& transaction) {
    if (watched_ == nullptr) return;
    MemoryContext caller = MemoryContextSwitchTo(context_);
    if (publications_now(plans) != publications_) transaction.resync_all();
    HASH_SEQ_STATUS status;
    hash_seq_init(&status, watched_);
    while (auto* watched = static_cast<Watched*>(hash_seq_search(&status))) {
        const Route& before = watched->before;
        const Route after = route_of(watched->relation, plans);
        if (!before.published && !after.published) continue;
        if (before.published && after.published && before.fingerprint == after.fingerprint)
            continue;
        // A new relation's rows were sent when they were inserted, unless it was published only
        // later in the transaction.
        if (!before.exists && !watched->unpublished_change) continue;
        const bool tenants = before.tenants || after.tenants;
        if (before.published) resync(output, before.as_relation, tenants, transaction);
        if (after.published) resync(output, after.as_relation, tenants, transaction);
        if (before.tenants && after.published && !after.tenants && !after.unrouted)
            warn_of_lost_account(watched->relation);
    }
    MemoryContextSwitchTo(caller);
}

}  // namespace fatwal::plugin
