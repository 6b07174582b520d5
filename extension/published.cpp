#include "published.h"

namespace fatwal {

namespace {

struct Restriction {
    Bitmapset* columns;  // nullptr none
    char* filter;        // nullptr none
};

const char* qualified_name(Relation relation) {
    return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation));
}

bool lists_all_columns(Bitmapset* columns, Relation relation) {
    TupleDesc all = RelationGetDescr(relation);
    for (int i = 0; i < all->natts; ++i)
        if (!TupleDescAttr(all, i)->attisdropped && !bms_is_member(i + 1, columns)) return false;
    return true;
}

// What the publication restricts of the table that it names. One of all tables, or of the table's schema, restricts nothing.
Restriction restriction_of(Publication* publication, Relation relation) {
    Restriction restriction = {};
    const Datum publication_oid = ObjectIdGetDatum(publication->oid);
    if (publication->alltables ||
        SearchSysCacheExists2(PUBLICATIONNAMESPACEMAP, ObjectIdGetDatum(RelationGetNamespace(relation)), publication_oid))
        return restriction;
    HeapTuple tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(RelationGetRelid(relation)), publication_oid);
    if (!HeapTupleIsValid(tuple)) return restriction;
    bool is_null = true;
    const Datum filter = SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prqual, &is_null);
    if (!is_null) restriction.filter = TextDatumGetCString(filter);
    const Datum columns = SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prattrs, &is_null);
    if (!is_null) restriction.columns = pub_collist_to_bitmapset(nullptr, columns, CurrentMemoryContext);
    ReleaseSysCache(tuple);
    if (restriction.columns != nullptr && lists_all_columns(restriction.columns, relation)) restriction.columns = nullptr;
    return restriction;
}

void refuse_different_lists(Publication* a, Publication* b, Publication* listing, Relation relation) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("publications \"%s\" and \"%s\" have different column lists for table %s", a->name, b->name, qualified_name(relation)),
             errhint("Give both the same list, or: ALTER PUBLICATION %s DROP TABLE %s;", quote_identifier(listing->name),
                     qualified_name(relation))));
}

void select(List* publications, Relation relation, Selection* selection) {
    bool unfiltered[kFilteredActions] = {};
    bool all_rows = false;
    Publication* first = nullptr;
    ListCell* cell = nullptr;
    foreach (cell, publications) {
        auto* publication = static_cast<Publication*>(lfirst(cell));
        const Restriction restriction = restriction_of(publication, relation);
        if (first == nullptr) {
            first = publication;
            selection->columns = restriction.columns;
            selection->publication = publication->name;
        } else if (!bms_equal(selection->columns, restriction.columns)) {
            refuse_different_lists(first, publication, restriction.columns == nullptr ? first : publication, relation);
        }
        const bool acts[kFilteredActions] = {publication->pubactions.pubinsert, publication->pubactions.pubupdate,
                                             publication->pubactions.pubdelete};
        bool any = false;
        for (int action = 0; action < kFilteredActions; ++action) {
            if (!acts[action]) continue;
            any = true;
            unfiltered[action] |= restriction.filter == nullptr;
            if (restriction.filter != nullptr) selection->filters[action] = lappend(selection->filters[action], restriction.filter);
        }
        if (!any) continue;
        all_rows |= restriction.filter == nullptr;
        if (restriction.filter != nullptr) selection->row_filters = lappend(selection->row_filters, restriction.filter);
    }
    for (int action = 0; action < kFilteredActions; ++action)
        if (unfiltered[action]) selection->filters[action] = NIL;
    if (all_rows) selection->row_filters = NIL;
}

// How `publication` publishes the relation: nothing, itself, or as the ancestor at `level`.
bool covers(Publication* publication, Oid relation, List* ancestors, List* by_relation, List* by_schema, Oid* as, int* level) {
    *as = relation;
    *level = 0;
    if (publication->alltables) {
        if (publication->pubviaroot && ancestors != NIL) {
            *as = llast_oid(ancestors);
            *level = list_length(ancestors);
        }
        return true;
    }
    bool covered = list_member_oid(by_relation, publication->oid) || list_member_oid(by_schema, publication->oid);
    if (ancestors == NIL) return covered;
    int ancestor_level = 0;
    const Oid ancestor = GetTopMostAncestorInPublication(publication->oid, ancestors, &ancestor_level);
    if (!OidIsValid(ancestor)) return covered;
    if (publication->pubviaroot) {
        *as = ancestor;
        *level = ancestor_level;
    }
    return true;
}

}  // namespace

Published look_up_published(Relation relation, List* names, Selection* selection) {
    *selection = Selection{};
    Published published = {false, false, false, false, RelationGetRelid(relation)};
    const Oid oid = RelationGetRelid(relation);
    List* ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(oid) : NIL;
    List* by_relation = GetRelationPublications(oid);
    List* by_schema = GetSchemaPublications(RelationGetNamespace(relation));
    int highest = 0;
    List* chosen = NIL;  // those that publish it as as_relation

    ListCell* cell = nullptr;
    foreach (cell, names) {
        Publication* publication = GetPublicationByName(static_cast<char*>(lfirst(cell)), false);
        Oid as = InvalidOid;
        int level = 0;
        if (!covers(publication, oid, ancestors, by_relation, by_schema, &as, &level)) continue;
        // A partitioned table itself only has truncates, and they are its own business only when its changes go by its name.
        if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && !publication->pubviaroot) continue;
        published.insert |= publication->pubactions.pubinsert;
        published.update |= publication->pubactions.pubupdate;
        published.remove |= publication->pubactions.pubdelete;
        published.truncate |= publication->pubactions.pubtruncate;
        if (level < highest) continue;
        if (level > highest) {
            highest = level;
            published.as_relation = as;
            chosen = NIL;
        }
        chosen = lappend(chosen, publication);
    }
    if (chosen == NIL) return published;
    Relation shown = published.as_relation == oid ? relation : RelationIdGetRelation(published.as_relation);
    if (!RelationIsValid(shown)) elog(ERROR, "could not open relation %u", published.as_relation);
    select(chosen, shown, selection);
    if (shown != relation) RelationClose(shown);
    return published;
}

void refuse_list_without_account(const Selection& selection, Relation shown, AttrNumber account_attribute) {
    TupleDesc columns = RelationGetDescr(shown);
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < columns->natts; ++i) {
        if (TupleDescAttr(columns, i)->attisdropped) continue;
        if (i + 1 != account_attribute && !bms_is_member(i + 1, selection.columns)) continue;
        appendStringInfo(&list, "%s%s", list.len == 0 ? "" : ", ", quote_identifier(NameStr(TupleDescAttr(columns, i)->attname)));
    }
    const char* publication = quote_identifier(selection.publication);
    const char* table = qualified_name(shown);
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("publication \"%s\" does not list column \"%s\" of table %s, which names the account", selection.publication,
                           NameStr(TupleDescAttr(columns, account_attribute - 1)->attname), table),
                    errhint("ALTER PUBLICATION %s DROP TABLE %s; ALTER PUBLICATION %s ADD TABLE %s (%s)%s;", publication, table,
                            publication, table, list.data, selection.row_filters == NIL ? "" : " WHERE (…)")));
    pg_unreachable();
}

}  // namespace fatwal
