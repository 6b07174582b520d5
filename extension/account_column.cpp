#include "account_column.h"

#include <initializer_list>

namespace fatwal {

namespace {

constexpr char kSchema[] = "fatwal";
constexpr char kTable[] = "account_column";
constexpr char kPrimaryKey[] = "account_column_pkey";
constexpr char kDefaultColumn[] = "account_id";
constexpr AttrNumber kRelationAttribute = 1;
constexpr AttrNumber kColumnAttribute = 2;

Oid own_relation(const char* name) {
    const Oid schema = get_namespace_oid(kSchema, true);
    return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

// The column set for `relation`, copied to the current context; nullptr when none is set.
char* configured_column(Oid relation) {
    const Oid table_oid = own_relation(kTable);
    const Oid index_oid = own_relation(kPrimaryKey);
    if (!OidIsValid(table_oid) || !OidIsValid(index_oid)) return nullptr;

    Relation table = table_open(table_oid, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, kRelationAttribute, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
    SysScanDesc scan = systable_beginscan(table, index_oid, true, nullptr, 1, &key);
    char* column = nullptr;
    HeapTuple tuple = systable_getnext(scan);
    if (HeapTupleIsValid(tuple)) {
        bool is_null = false;
        const Datum value = heap_getattr(tuple, kColumnAttribute, RelationGetDescr(table), &is_null);
        if (!is_null) column = pstrdup(NameStr(*DatumGetName(value)));
    }
    systable_endscan(scan);
    table_close(table, AccessShareLock);
    return column;
}

}  // namespace

AttrNumber account_attribute_of(Relation relation) {
    const char* column = configured_column(RelationGetRelid(relation));
    return get_attnum(RelationGetRelid(relation), column == nullptr ? kDefaultColumn : column);
}

bool is_own_relation(Relation relation) {
    for (const char* name : {kTable, "subscriber", "slot"})
        if (RelationGetRelid(relation) == own_relation(name)) return true;
    return false;
}

extern "C" {

// Trigger on fatwal.account_column: makes every session, and the stream at this point of the log, look the table's account column up again.
PG_FUNCTION_INFO_V1(fatwal_account_column_changed);
PGDLLEXPORT Datum fatwal_account_column_changed(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo)) elog(ERROR, "fatwal_account_column_changed is a trigger");
    auto* trigger = reinterpret_cast<TriggerData*>(fcinfo->context);
    TupleDesc columns = RelationGetDescr(trigger->tg_relation);
    for (HeapTuple tuple : {trigger->tg_trigtuple, trigger->tg_newtuple}) {
        if (tuple == nullptr) continue;
        bool is_null = false;
        const Oid relation = DatumGetObjectId(heap_getattr(tuple, kRelationAttribute, columns, &is_null));
        if (!is_null && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation))) CacheInvalidateRelcacheByRelid(relation);
    }
    return PointerGetDatum(nullptr);
}

}  // extern "C"

}  // namespace fatwal
