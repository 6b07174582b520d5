#include "plan.h"

#include <initializer_list>

#include "account_column.h"
#include "schema_message.h"

namespace fatwal {

namespace {

PlanCache* invalidated_cache = nullptr;

void on_relation_invalidated(Datum, Oid relation) {
    if (invalidated_cache != nullptr) invalidated_cache->invalidate(relation);
}

void on_catalog_invalidated(Datum, int, uint32) {
    if (invalidated_cache != nullptr) invalidated_cache->invalidate(InvalidOid);
}

AccountType account_type_of(Oid base_type, const ValueType& type) {
    switch (base_type) {
        case UUIDOID: return AccountType::Uuid;
        case INT2OID: return AccountType::Int2;
        case INT4OID: return AccountType::Int4;
        case INT8OID: return AccountType::Int8;
        case BPCHAROID: return AccountType::BlankPadded;
        default: return type.code == wire::TypeCode::Text && type.length == -1 ? AccountType::Text : AccountType::None;
    }
}

}  // namespace

AccountType account_type_of(Oid type) {
    const ResolvedType resolved = resolve_type(type, CurrentMemoryContext);
    return account_type_of(resolved.base, resolved.type);
}

namespace {

// The attributes of `relation`'s replica identity, offset as bitmaps of attributes are; nullptr none.
Bitmapset* identity_attributes(Relation relation, char replica_identity) {
    return replica_identity == REPLICA_IDENTITY_DEFAULT || replica_identity == REPLICA_IDENTITY_INDEX
               ? RelationGetIdentityKeyBitmap(relation)
               : nullptr;
}

}  // namespace

void PlanCache::init(MemoryContext parent, List* publication_names) {
    context_ = AllocSetContextCreate(parent, "fatwal relation plans", ALLOCSET_DEFAULT_SIZES);
    publication_names_ = publication_names;
    last_ = nullptr;
    HASHCTL control = {};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(Plan);
    control.hcxt = context_;
    plans_ = hash_create("fatwal relation plans", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

Plan* PlanCache::find(Relation relation) {
    const Oid oid = RelationGetRelid(relation);
    if (last_ != nullptr && last_->relation == oid && last_->valid) return last_;
    bool found = false;
    auto* plan = static_cast<Plan*>(hash_search(plans_, &oid, HASH_ENTER, &found));
    if (!found) {
        *plan = Plan{};
        plan->relation = oid;
    }
    if (!plan->valid) build(plan, relation);
    last_ = plan;
    return plan;
}

void PlanCache::invalidate(Oid relation) {
    if (OidIsValid(relation)) {
        auto* plan = static_cast<Plan*>(hash_search(plans_, &relation, HASH_FIND, nullptr));
        if (plan != nullptr) plan->valid = false;
    }
    // A change of an ancestor changes the plans of the leaves that are published as it.
    HASH_SEQ_STATUS status;
    hash_seq_init(&status, plans_);
    while (auto* plan = static_cast<Plan*>(hash_seq_search(&status)))
        if (!OidIsValid(relation) || (plan->published.as_relation == relation && plan->relation != relation)) plan->valid = false;
}

void PlanCache::build(Plan* plan, Relation relation) {
    if (plan->context != nullptr) MemoryContextDelete(plan->context);
    const wire::SchemaId described = plan->described ? plan->schema : wire::SchemaId{};
    const Oid oid = plan->relation;
    *plan = Plan{};
    plan->relation = oid;
    plan->context = AllocSetContextCreate(context_, "fatwal relation plan", ALLOCSET_SMALL_SIZES);

    // An invalidation that arrives while the plan is built, by its own look-ups, must leave it invalid.
    plan->valid = true;
    Selection selection = {};
    plan->published = is_own_relation(relation) ? Published{false, false, false, false, oid}
                                                : look_up_published(relation, publication_names_, &selection);
    if (!plan->published.any()) return;

    const bool as_ancestor = plan->published.as_relation != oid;
    Relation shown = as_ancestor ? RelationIdGetRelation(plan->published.as_relation) : relation;
    if (!RelationIsValid(shown)) elog(ERROR, "could not open relation %u", plan->published.as_relation);
    TupleDesc shown_columns = RelationGetDescr(shown);

    plan->replica_identity = relation->rd_rel->relreplident;
    Bitmapset* identity = identity_attributes(relation, plan->replica_identity);
    const AttrNumber account_attribute = account_attribute_of(shown);
    if (selection.columns != nullptr && account_attribute > 0 && !bms_is_member(account_attribute, selection.columns))
        refuse_list_without_account(selection, shown, account_attribute);
    plan->account_column = -1;
    plan->column =
        static_cast<Column*>(MemoryContextAllocZero(plan->context, sizeof(Column) * static_cast<std::size_t>(shown_columns->natts + 1)));
    for (int i = 0; i < shown_columns->natts; ++i) {
        Form_pg_attribute attribute = TupleDescAttr(shown_columns, i);
        if (attribute->attisdropped || (selection.columns != nullptr && !bms_is_member(attribute->attnum, selection.columns))) continue;
        const AttrNumber in_tuple = as_ancestor ? get_attnum(oid, NameStr(attribute->attname)) : attribute->attnum;
        if (in_tuple == InvalidAttrNumber) elog(ERROR, "column \"%s\" is missing in a partition", NameStr(attribute->attname));
        Column& column = plan->column[plan->columns];
        const ResolvedType resolved = resolve_type(attribute->atttypid, plan->context);
        column.attribute = in_tuple - 1;
        column.shown = i;
        column.type = resolved.type;
        column.element = resolved.element_type;
        column.unavailable = is_virtual_generated(attribute);
        column.identity = plan->full_identity() || bms_is_member(in_tuple - FirstLowInvalidHeapAttributeNumber, identity);
        if (attribute->attnum == account_attribute) {
            plan->account_type = account_type_of(resolved.base, resolved.type);
            if (plan->account_type != AccountType::None) plan->account_column = static_cast<std::int16_t>(plan->columns);
        }
        ++plan->columns;
    }
    plan->filter = compile_row_filter(selection.filters, relation, shown, plan->context);
    build_schema_message(plan, shown);
    plan->described = plan->schema == described;
    if (as_ancestor) RelationClose(shown);
}

void set_invalidated_cache(PlanCache* cache) {
    static bool registered = false;
    invalidated_cache = cache;
    if (registered || cache == nullptr) return;
    CacheRegisterRelcacheCallback(on_relation_invalidated, Datum{0});
    for (const int catalog : {static_cast<int>(PUBLICATIONOID), static_cast<int>(PUBLICATIONRELMAP),
                              static_cast<int>(PUBLICATIONNAMESPACEMAP), static_cast<int>(NAMESPACEOID), static_cast<int>(ENUMOID)})
        CacheRegisterSyscacheCallback(catalog, on_catalog_invalidated, Datum{0});
    registered = true;
}

}  // namespace fatwal
