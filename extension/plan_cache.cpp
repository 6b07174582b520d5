#include "extension/plan_cache.h"

#include <cstring>
#include <initializer_list>

#include "extension/account_column.h"
#include "extension/schema_message.h"

namespace fatwal::plugin {

namespace {

PlanCache* invalidated_cache = nullptr;

void on_relation_invalidated(Datum, Oid relation) {
    if (invalidated_cache != nullptr) invalidated_cache->invalidate(relation);
}

void on_catalog_invalidated(Datum, int, uint32) {
    if (invalidated_cache != nullptr) invalidated_cache->invalidate(InvalidOid);
}

// The attributes of `relation`'s replica identity, offset as bitmaps of attributes are; nullptr
// none. The first function is for decoding alone; the second, which locks the index, for all else.
Bitmapset* identity_attributes(Relation relation, char replica_identity) {
    return replica_identity == REPLICA_IDENTITY_DEFAULT ||
                   replica_identity == REPLICA_IDENTITY_INDEX
               ? (HistoricSnapshotActive()
                      ? RelationGetIdentityKeyBitmap(relation)
                      : RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_IDENTITY_KEY))
               : nullptr;
}

}  // namespace

void PlanCache::init(MemoryContext parent, List* names) {
    context_ = AllocSetContextCreate(parent, "fatwal relation plans", ALLOCSET_DEFAULT_SIZES);
    publications_.count = list_length(names);
    publications_.name = static_cast<PublicationNames::Name*>(MemoryContextAllocZero(
        context_,
        sizeof(PublicationNames::Name) * static_cast<std::size_t>(publications_.count + 1)));
    ListCell* cell = nullptr;
    foreach (cell, names)
        publications_.name[foreach_current_index(cell)].text =
            MemoryContextStrdup(context_, static_cast<char*>(lfirst(cell)));
    last_ = nullptr;
    generation_ = 1;
    invalid_ = 0;
    HASHCTL control = {};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(Plan);
    control.hcxt = context_;
    plans_ =
        hash_create("fatwal relation plans", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    control.entrysize = sizeof(Oid);
    ancestors_ =
        hash_create("fatwal ancestors", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

Plan* PlanCache::find(Relation relation) {
    const Oid oid = RelationGetRelid(relation);
    if (last_ != nullptr && last_->relation == oid && is_valid(*last_)) return last_;
    bool found = false;
    auto* plan = static_cast<Plan*>(hash_search(plans_, &oid, HASH_ENTER, &found));
    if (!found) {
        *plan = Plan{};
        plan->relation = oid;
    }
    if (!is_valid(*plan)) {
        if (found && invalid_ > 0) --invalid_;
        build(plan, relation);
    }
    last_ = plan;
    return plan;
}

void PlanCache::invalidate(Oid relation) {
    if (!OidIsValid(relation)) {
        ++generation_;
        invalid_ = hash_get_num_entries(plans_);
        return;
    }
    const auto mark = [this](Plan* plan) {
        if (is_valid(*plan)) ++invalid_;
        plan->built_in = 0;
    };
    auto* plan = static_cast<Plan*>(hash_search(plans_, &relation, HASH_FIND, nullptr));
    if (plan != nullptr) mark(plan);
    // What an ancestor is, and in which publication, decides how its partitions are published. All
    // partitions are marked, not its own alone: such a change is rare, and a chain of ancestors to
    // follow would itself have to be kept valid.
    if (hash_search(ancestors_, &relation, HASH_FIND, nullptr) == nullptr) return;
    HASH_SEQ_STATUS status;
    hash_seq_init(&status, plans_);
    while (auto* other = static_cast<Plan*>(hash_seq_search(&status)))
        if (other->is_partition) mark(other);
}

void PlanCache::sweep() {
    constexpr long kMaxInvalid = 256;
    if (invalid_ <= kMaxInvalid) return;
    HASH_SEQ_STATUS status;
    hash_seq_init(&status, plans_);
    while (auto* plan = static_cast<Plan*>(hash_seq_search(&status))) {
        if (is_valid(*plan)) continue;
        if (plan->context != nullptr) MemoryContextDelete(plan->context);
        (void)hash_search(plans_, &plan->relation, HASH_REMOVE, nullptr);
    }
    last_ = nullptr;
    invalid_ = 0;
}

void PlanCache::remember_ancestors(Oid relation) {
    ListCell* cell = nullptr;
    foreach (cell, get_partition_ancestors(relation)) {
        Oid ancestor = lfirst_oid(cell);
        (void)hash_search(ancestors_, &ancestor, HASH_ENTER, nullptr);
    }
}

namespace {

// Chains the bytes into a fingerprint.
std::uint64_t mix(std::uint64_t seed, const void* bytes, std::size_t length) {
    return hash_bytes_extended(static_cast<const unsigned char*>(bytes), static_cast<int>(length),
                               seed);
}

// What decides which rows reach whom. A column list counts, so that a column which joins it brings
// a resync; the columns of a table that is published whole do not, or each ADD COLUMN would bring
// one. The name counts, since subscribers keep rows by it.
std::uint64_t route_of(const Plan& plan, const Selection& selection, Relation shown,
                       AttrNumber account_attribute) {
    const std::uint8_t facts[] = {plan.published.insert,
                                  plan.published.update,
                                  plan.published.remove,
                                  plan.published.truncate,
                                  static_cast<std::uint8_t>(plan.account_type),
                                  plan.unrouted};
    std::uint64_t route = mix(0, facts, sizeof facts);
    route = mix(route, &plan.published.as_relation, sizeof plan.published.as_relation);
    const char* name = qualified_name(shown);
    route = mix(route, name, std::strlen(name));
    if (plan.names_account()) route = mix(route, &account_attribute, sizeof account_attribute);
    for (int column = -1; (column = bms_next_member(selection.columns, column)) >= 0;)
        route = mix(route, &column, sizeof column);
    for (int action = 0; action < kFilteredActions; ++action) {
        ListCell* cell = nullptr;
        foreach (cell, selection.filters[action]) {
            const auto* filter = static_cast<const char*>(lfirst(cell));
            route = mix(route, filter, std::strlen(filter));
        }
        route = mix(route, &action, sizeof action);
    }
    // A column that was added with a default gives the rows that were there a value which no change
    // brings.
    for (int i = 0; i < RelationGetDescr(shown)->natts; ++i)
        if (TupleDescAttr(RelationGetDescr(shown), i)->atthasmissing)
            route = mix(route, &i, sizeof i);
    return route;
}

}  // namespace

void PlanCache::build_columns(Plan* plan, Relation relation, Relation shown,
                              const Selection& selection) {
    const bool as_ancestor = relation != shown;
    TupleDesc shown_columns = RelationGetDescr(shown);
    Bitmapset* identity = identity_attributes(relation, plan->replica_identity);
    const AttrNumber account_attribute = account_attribute_of(shown);
    plan->account_column = -1;
    plan->column = static_cast<Column*>(MemoryContextAllocZero(
        plan->context, sizeof(Column) * static_cast<std::size_t>(shown_columns->natts + 1)));
    std::size_t label_bytes = 0;
    for (int i = 0; i < shown_columns->natts; ++i) {
        Form_pg_attribute attribute = TupleDescAttr(shown_columns, i);
        if (attribute->attisdropped) continue;
        const bool is_account = attribute->attnum == account_attribute;
        if (selection.columns != nullptr && !bms_is_member(attribute->attnum, selection.columns)) {
            plan->unrouted |=
                is_account && account_type_of(attribute->atttypid) != AccountType::None;
            continue;
        }
        const AttrNumber in_tuple =
            as_ancestor ? get_attnum(RelationGetRelid(relation), NameStr(attribute->attname))
                        : attribute->attnum;
        Column& column = plan->column[plan->columns];
        const ResolvedType resolved =
            resolve_type(attribute->atttypid, plan->context, &label_bytes);
        column.attribute = in_tuple - 1;
        column.shown = i;
        column.type = resolved.type;
        column.element = resolved.element_type;
        // A partition has all columns of its ancestors; were one missing, its value would be
        // unavailable.
        column.unavailable = is_virtual_generated(attribute) || in_tuple <= 0;
        column.identity = plan->full_identity() ||
                          bms_is_member(in_tuple - FirstLowInvalidHeapAttributeNumber, identity);
        if (is_account) {
            plan->account_type = account_type_of(resolved.base, resolved.type);
            if (plan->names_account())
                plan->account_column = static_cast<std::int16_t>(plan->columns);
        }
        ++plan->columns;
    }
    plan->route = route_of(*plan, selection, shown, account_attribute);
}

namespace {

// Says once in a session what of the publications cannot be sent as they are.
void warn_of_lists(Plan* plan, const Selection& selection, Relation shown) {
    if (selection.lists_differ && !plan->warned.lists) {
        plan->warned.lists = true;
        ereport(
            WARNING,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("publications have different column lists for table %s", qualified_name(shown)),
             errdetail("Only the columns that all of them list are sent."),
             errhint("Give all of them the same list, or: ALTER PUBLICATION %s DROP TABLE %s;",
                     quote_identifier(selection.publication), qualified_name(shown))));
    }
    if (plan->unrouted && !plan->warned.list) {
        plan->warned.list = true;
        ereport(
            WARNING,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg(
                 "publication \"%s\" does not list the column of table %s that names the account",
                 selection.publication, qualified_name(shown)),
             errdetail("Changes of the table go to the operators' stream."),
             errhint("SELECT * FROM fatwal.check(); shows the statement that lists it.")));
    }
}

}  // namespace

void PlanCache::build(Plan* plan, Relation relation) {
    if (plan->context != nullptr) MemoryContextDelete(plan->context);
    const wire::SchemaId described = plan->described ? plan->schema : wire::SchemaId{};
    const Oid oid = plan->relation;
    const Plan::Warned warned = plan->warned;
    *plan = Plan{};
    plan->relation = oid;
    plan->warned = warned;
    plan->is_partition = relation->rd_rel->relispartition;
    plan->context = AllocSetContextCreate(context_, "fatwal relation plan", ALLOCSET_SMALL_SIZES);

    // An invalidation that arrives while the plan is built, by its own look-ups, must leave it
    // invalid.
    plan->built_in = generation_;
    if (plan->is_partition) remember_ancestors(oid);
    Selection selection = {};
    plan->published = look_up_published(relation, publications_, &selection);
    if (!plan->published.any()) return;

    const bool as_ancestor = plan->published.as_relation != oid;
    Relation shown = as_ancestor ? RelationIdGetRelation(plan->published.as_relation) : relation;
    plan->replica_identity = relation->rd_rel->relreplident;
    build_columns(plan, relation, shown, selection);
    plan->filter = compile_row_filter(selection.filters, relation, shown, plan->context);
    build_schema_message(plan, shown);
    plan->described = plan->schema == described;
    warn_of_lists(plan, selection, shown);
    if (as_ancestor) RelationClose(shown);
}

void set_invalidated_cache(PlanCache* cache) {
    static bool registered = false;
    invalidated_cache = cache;
    if (registered || cache == nullptr) return;
    CacheRegisterRelcacheCallback(on_relation_invalidated, Datum{0});
    for (const int catalog : {static_cast<int>(PUBLICATIONOID), static_cast<int>(PUBLICATIONRELMAP),
                              static_cast<int>(PUBLICATIONNAMESPACEMAP),
                              static_cast<int>(NAMESPACEOID), static_cast<int>(ENUMOID)})
        CacheRegisterSyscacheCallback(catalog, on_catalog_invalidated, Datum{0});
    registered = true;
}

}  // namespace fatwal::plugin
