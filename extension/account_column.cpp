#include "extension/account_column.h"

#include <cstring>

#include "extension/account_type.h"
#include "extension/own_tables.h"

namespace fatwal::plugin {

namespace {

constexpr char kProvider[] = "fatwal";
constexpr char kLabel[] = "account";
constexpr char kDefaultColumn[] = "account_id";

bool text_is(Datum text, const char* expected) {
    struct varlena* value = PG_DETOAST_DATUM_PACKED(text);
    return std::string_view(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == expected;
}

// The attribute of `relation` that has the label; InvalidAttrNumber none.
AttrNumber labelled_attribute(Oid relation) {
    Relation labels = table_open(SecLabelRelationId, AccessShareLock);
    TupleDesc columns = RelationGetDescr(labels);
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], Anum_pg_seclabel_objoid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(relation));
    ScanKeyInit(&keys[1], Anum_pg_seclabel_classoid, BTEqualStrategyNumber, F_OIDEQ,
                ObjectIdGetDatum(RelationRelationId));
    SysScanDesc scan = systable_beginscan(labels, SecLabelObjectIndexId, true, nullptr, 2, keys);
    AttrNumber attribute = InvalidAttrNumber;
    while (HeapTuple tuple = systable_getnext(scan)) {
        bool is_null = false;
        const auto number = static_cast<AttrNumber>(
            DatumGetInt32(heap_getattr(tuple, Anum_pg_seclabel_objsubid, columns, &is_null)));
        if (number > 0 &&
            text_is(heap_getattr(tuple, Anum_pg_seclabel_provider, columns, &is_null), kProvider) &&
            text_is(heap_getattr(tuple, Anum_pg_seclabel_label, columns, &is_null), kLabel))
            attribute = number;
    }
    systable_endscan(scan);
    table_close(labels, AccessShareLock);
    return attribute;
}

[[noreturn]] void refuse_label(const char* label) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
         errmsg("\"%s\" is not a valid security label of fatwal", label),
         errhint("The label is '%s', on the column of a table that names the account of its rows.",
                 kLabel)));
    pg_unreachable();
}

// One column of a table names the account: a new label takes the place of the one before.
void clear_other_labels(const ObjectAddress& object) {
    for (;;) {
        const AttrNumber other = labelled_attribute(object.objectId);
        if (other == InvalidAttrNumber || other == object.objectSubId) return;
        const ObjectAddress address = {object.classId, object.objectId, other};
        SetSecurityLabel(&address, kProvider, nullptr);
        CommandCounterIncrement();
    }
}

// Warns of publications whose column list leaves the account column out: if fatwald streams one of
// them, the table's changes go to the operators. A warning and no error, since the publication may
// be for another subscriber.
void warn_of_lists_without(Oid relation, AttrNumber attribute) {
    ListCell* cell = nullptr;
    foreach (cell, GetRelationPublications(relation)) {
        HeapTuple tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(relation),
                                          ObjectIdGetDatum(lfirst_oid(cell)));
        if (!HeapTupleIsValid(tuple)) continue;
        bool is_null = true;
        const Datum list =
            SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prattrs, &is_null);
        const bool lacks =
            !is_null && !bms_is_member(attribute, pub_collist_to_bitmapset(nullptr, list,
                                                                           CurrentMemoryContext));
        ReleaseSysCache(tuple);
        if (!lacks) continue;
        ereport(
            WARNING,
            (errmsg("publication \"%s\" does not list column \"%s\" of table %s, which names the "
                    "account",
                    get_publication_name(lfirst_oid(cell), false),
                    get_attname(relation, attribute, false),
                    quote_identifier(get_rel_name(relation))),
             errdetail("If fatwald streams it, changes of the table go to the operators' stream."),
             errhint("SELECT * FROM fatwal.check(); shows the statement that lists it.")));
    }
}

// The server calls this before it sets or drops (`label` null) a label of ours. The lock waits for
// the transactions that have written to the table, and keeps others from writing until this one
// ends: so each change is decoded with the same setting whenever a decoding session begins. The
// partitions are locked too, for they inherit the setting; all of them are looked up again by every
// session, and by the stream at this place in the log.
void check_label(const ObjectAddress* object, const char* label) {
    if (label != nullptr && std::strcmp(label, kLabel) != 0) refuse_label(label);
    if (object->classId != RelationRelationId || object->objectSubId <= 0) {
        if (label != nullptr) refuse_label(label);
        return;
    }
    const char kind = get_rel_relkind(object->objectId);
    if (label != nullptr && kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("\"%s\" is not a table", get_rel_name(object->objectId))));
    LockRelationOid(object->objectId, ShareRowExclusiveLock);
    List* relations = find_all_inheritors(object->objectId, ShareRowExclusiveLock, nullptr);
    if (label != nullptr) {
        const Oid type =
            get_atttype(object->objectId, static_cast<AttrNumber>(object->objectSubId));
        if (account_type_of(type) == AccountType::None)
            ereport(ERROR,
                    (errcode(ERRCODE_DATATYPE_MISMATCH),
                     errmsg("column \"%s\" of type %s cannot name an account",
                            get_attname(object->objectId,
                                        static_cast<AttrNumber>(object->objectSubId), false),
                            format_type_be(type)),
                     errhint("An account column is of type uuid, int2, int4, int8 or text.")));
        clear_other_labels(*object);
        warn_of_lists_without(object->objectId, static_cast<AttrNumber>(object->objectSubId));
    }
    ListCell* cell = nullptr;
    foreach (cell, relations) CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
}

SecLabelStmt* label_statement(Oid relation, const char* column, const char* label) {
    auto* statement = makeNode(SecLabelStmt);
    statement->objtype = OBJECT_COLUMN;
    statement->object = reinterpret_cast<Node*>(
        list_make3(makeString(get_namespace_name(get_rel_namespace(relation))),
                   makeString(get_rel_name(relation)), makeString(pstrdup(column))));
    statement->provider = pstrdup(kProvider);
    statement->label = label == nullptr ? nullptr : pstrdup(label);
    return statement;
}

void require_relation(Oid relation) {
    if (get_rel_name(relation) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("relation with OID %u does not exist", relation)));
}

}  // namespace

AttrNumber account_attribute_of(Relation relation) {
    const Oid oid = RelationGetRelid(relation);
    if (own_table_of(relation) != OwnTable::None) return InvalidAttrNumber;
    const AttrNumber own = labelled_attribute(oid);
    if (own != InvalidAttrNumber) return own;
    List* ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(oid) : NIL;
    ListCell* cell = nullptr;
    foreach (cell, ancestors) {
        const AttrNumber inherited = labelled_attribute(lfirst_oid(cell));
        if (inherited == InvalidAttrNumber) continue;
        const char* name = get_attname(lfirst_oid(cell), inherited, true);
        if (name != nullptr) return get_attnum(oid, name);
    }
    return get_attnum(oid, kDefaultColumn);
}

void register_account_labels() { register_label_provider(kProvider, check_label); }

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_set_account_column);
PGDLLEXPORT Datum fatwal_set_account_column(PG_FUNCTION_ARGS) {
    const Oid relation = PG_GETARG_OID(0);
    require_relation(relation);
    (void)ExecSecLabelStmt(label_statement(relation, NameStr(*PG_GETARG_NAME(1)), kLabel));
    CommandCounterIncrement();  // the statement may call us again
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(fatwal_clear_account_column);
PGDLLEXPORT Datum fatwal_clear_account_column(PG_FUNCTION_ARGS) {
    const Oid relation = PG_GETARG_OID(0);
    require_relation(relation);
    const AttrNumber attribute = labelled_attribute(relation);
    if (attribute != InvalidAttrNumber)
        (void)ExecSecLabelStmt(
            label_statement(relation, get_attname(relation, attribute, false), nullptr));
    CommandCounterIncrement();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(fatwal_account_column);
PGDLLEXPORT Datum fatwal_account_column(PG_FUNCTION_ARGS) {
    Relation relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
    if (relation == nullptr) PG_RETURN_NULL();
    const AttrNumber attribute = account_attribute_of(relation);
    const Oid oid = RelationGetRelid(relation);
    const char* name = attribute <= 0 ? nullptr : get_attname(oid, attribute, true);
    if (name != nullptr && account_type_of(get_atttype(oid, attribute)) == AccountType::None)
        name = nullptr;
    relation_close(relation, AccessShareLock);
    if (name == nullptr) PG_RETURN_NULL();
    return DirectFunctionCall1(namein, CStringGetDatum(name));
}

}  // extern "C"

}  // namespace fatwal::plugin
