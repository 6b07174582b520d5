#include "extension/published.h"

#include "extension/own_tables.h"

namespace fatwal::plugin {

namespace {

struct Restriction {
    Bitmapset* columns;  // nullptr none
    char* filter;        // nullptr none
};

bool lists_all_columns(Bitmapset* columns, Relation relation) {
    TupleDesc all = RelationGetDescr(relation);
    for (int i = 0; i < all->natts; ++i)
        if (!TupleDescAttr(all, i)->attisdropped && !bms_is_member(i + 1, columns)) return false;
    return true;
}

// What the publication restricts of the table that it names. One of all tables, or of the table's
// schema, restricts nothing.
Restriction restriction_of(Publication* publication, Relation relation) {
    Restriction restriction = {};
    const Datum publication_oid = ObjectIdGetDatum(publication->oid);
    if (publication->alltables ||
        SearchSysCacheExists2(PUBLICATIONNAMESPACEMAP,
                              ObjectIdGetDatum(RelationGetNamespace(relation)), publication_oid))
        return restriction;
    HeapTuple tuple = SearchSysCache2(
        PUBLICATIONRELMAP, ObjectIdGetDatum(RelationGetRelid(relation)), publication_oid);
    if (!HeapTupleIsValid(tuple)) return restriction;
    bool is_null = true;
    const Datum filter =
        SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prqual, &is_null);
    if (!is_null) restriction.filter = TextDatumGetCString(filter);
    const Datum columns =
        SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prattrs, &is_null);
    if (!is_null)
        restriction.columns = pub_collist_to_bitmapset(nullptr, columns, CurrentMemoryContext);
    ReleaseSysCache(tuple);
    if (restriction.columns != nullptr && lists_all_columns(restriction.columns, relation))
        restriction.columns = nullptr;
    return restriction;
}

Bitmapset* all_columns(Relation relation) {
    Bitmapset* columns = nullptr;
    for (int i = 0; i < RelationGetDescr(relation)->natts; ++i)
        if (!TupleDescAttr(RelationGetDescr(relation), i)->attisdropped)
            columns = bms_add_member(columns, i + 1);
    return columns;
}

// The columns that both lists have; nullptr is the list of all. An error would stop the stream for
// good, and the list of either alone might show a column that the other hides.
Bitmapset* common_columns(Bitmapset* a, Bitmapset* b, Relation relation) {
    return bms_intersect(a == nullptr ? all_columns(relation) : a,
                         b == nullptr ? all_columns(relation) : b);
}

void select(List* publications, Relation relation, Selection* selection) {
    bool unfiltered[kFilteredActions] = {};
    bool all_rows = false;
    bool is_first = true;
    ListCell* cell = nullptr;
    foreach (cell, publications) {
        auto* publication = static_cast<Publication*>(lfirst(cell));
        const Restriction restriction = restriction_of(publication, relation);
        if (is_first) {
            is_first = false;
            selection->columns = restriction.columns;
            selection->publication = publication->name;
        } else if (!bms_equal(selection->columns, restriction.columns)) {
            selection->columns = common_columns(selection->columns, restriction.columns, relation);
            selection->lists_differ = true;
            if (restriction.columns != nullptr) selection->publication = publication->name;
        }
        const bool acts[kFilteredActions] = {publication->pubactions.pubinsert,
                                             publication->pubactions.pubupdate,
                                             publication->pubactions.pubdelete};
        bool any = false;
        for (int action = 0; action < kFilteredActions; ++action) {
            if (!acts[action]) continue;
            any = true;
            unfiltered[action] |= restriction.filter == nullptr;
            if (restriction.filter != nullptr)
                selection->filters[action] =
                    lappend(selection->filters[action], restriction.filter);
        }
        if (!any) continue;
        all_rows |= restriction.filter == nullptr;
        if (restriction.filter != nullptr)
            selection->row_filters = lappend(selection->row_filters, restriction.filter);
    }
    for (int action = 0; action < kFilteredActions; ++action)
        if (unfiltered[action]) selection->filters[action] = NIL;
    if (all_rows) selection->row_filters = NIL;
}

// How `publication` publishes the relation: nothing, itself, or as the ancestor at `level`.
bool covers(Publication* publication, Oid relation, List* ancestors, List* by_relation,
            List* by_schema, Oid* as, int* level) {
    *as = relation;
    *level = 0;
    if (publication->alltables) {
        if (publication->pubviaroot && ancestors != NIL) {
            *as = llast_oid(ancestors);
            *level = list_length(ancestors);
        }
        return true;
    }
    bool covered = list_member_oid(by_relation, publication->oid) ||
                   list_member_oid(by_schema, publication->oid);
    if (ancestors == NIL) return covered;
    int ancestor_level = 0;
    const Oid ancestor =
        GetTopMostAncestorInPublication(publication->oid, ancestors, &ancestor_level);
    if (!OidIsValid(ancestor)) return covered;
    if (publication->pubviaroot) {
        *as = ancestor;
        *level = ancestor_level;
    }
    return true;
}

}  // namespace

const char* qualified_name(Relation relation) {
    return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
                                      RelationGetRelationName(relation));
}

const char* qualified_name(Oid relation) {
    return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
                                      get_rel_name(relation));
}

Publication* find_publication(PublicationNames::Name& name) {
    Publication* publication = GetPublicationByName(name.text, true);
    if (publication == nullptr && !name.missing)
        ereport(WARNING, (errcode(ERRCODE_UNDEFINED_OBJECT),
                          errmsg("publication \"%s\" does not exist", name.text),
                          errdetail("At this point of the log it publishes nothing."),
                          errhint("CREATE PUBLICATION %s ...;", quote_identifier(name.text))));
    name.missing = publication == nullptr;
    return publication;
}

Published look_up_published(Relation relation, PublicationNames& names, Selection* selection) {
    *selection = Selection{};
    const Oid oid = RelationGetRelid(relation);
    Published published = {false, false, false, false, oid};
    if (!is_publishable_relation(relation)) return published;
    switch (own_table_of(relation)) {
        case OwnTable::Notes: return published;
        case OwnTable::Credentials: return {true, true, true, true, oid};
        case OwnTable::None: break;
    }
    List* ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(oid) : NIL;
    List* by_relation = GetRelationPublications(oid);
    List* by_schema = GetSchemaPublications(RelationGetNamespace(relation));
    int highest = 0;
    List* chosen = NIL;  // those that publish it as as_relation

    for (int i = 0; i < names.count; ++i) {
        Publication* publication = find_publication(names.name[i]);
        if (publication == nullptr) continue;
        Oid as = InvalidOid;
        int level = 0;
        if (!covers(publication, oid, ancestors, by_relation, by_schema, &as, &level)) continue;
        // A partitioned table itself only has truncates, and they are its own business only when
        // its changes go by its name.
        if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && !publication->pubviaroot)
            continue;
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
    Relation shown =
        published.as_relation == oid ? relation : RelationIdGetRelation(published.as_relation);
    if (!RelationIsValid(shown)) {
        // The catalogs name the ancestor, so it is there; if ever not, the leaf goes by its own
        // name.
        published.as_relation = oid;
        shown = relation;
    }
    select(chosen, shown, selection);
    if (shown != relation) RelationClose(shown);
    return published;
}

}  // namespace fatwal::plugin
