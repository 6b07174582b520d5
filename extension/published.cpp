#include "published.h"

namespace fatwal {

namespace {

// What would be ignored must not be: a filter that is not applied shows a tenant's rows to those who may not see them.
void refuse_filters(Publication* publication, Oid relation) {
    HeapTuple tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(relation), ObjectIdGetDatum(publication->oid));
    if (!HeapTupleIsValid(tuple)) return;
    bool has_no_filter = true;
    bool has_no_list = true;
    (void)SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prqual, &has_no_filter);
    (void)SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prattrs, &has_no_list);
    ReleaseSysCache(tuple);
    if (has_no_filter && has_no_list) return;
    const char* name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("publication \"%s\" has a %s on table %s, which fatwal does not apply", publication->name,
                           has_no_filter ? "column list" : "row filter", name),
                    errhint("ALTER PUBLICATION %s DROP TABLE %s; ALTER PUBLICATION %s ADD TABLE %s;", quote_identifier(publication->name),
                            name, quote_identifier(publication->name), name)));
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
    refuse_filters(publication, ancestor);
    if (publication->pubviaroot) {
        *as = ancestor;
        *level = ancestor_level;
    }
    return true;
}

}  // namespace

Published look_up_published(Relation relation, List* names) {
    Published published = {false, false, false, false, RelationGetRelid(relation)};
    const Oid oid = RelationGetRelid(relation);
    List* ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(oid) : NIL;
    List* by_relation = GetRelationPublications(oid);
    List* by_schema = GetSchemaPublications(RelationGetNamespace(relation));
    int highest = 0;

    ListCell* cell = nullptr;
    foreach (cell, names) {
        Publication* publication = GetPublicationByName(static_cast<char*>(lfirst(cell)), false);
        Oid as = InvalidOid;
        int level = 0;
        if (!covers(publication, oid, ancestors, by_relation, by_schema, &as, &level)) continue;
        refuse_filters(publication, oid);
        // A partitioned table itself only has truncates, and they are its own business only when its changes go by its name.
        if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && !publication->pubviaroot) continue;
        published.insert |= publication->pubactions.pubinsert;
        published.update |= publication->pubactions.pubupdate;
        published.remove |= publication->pubactions.pubdelete;
        published.truncate |= publication->pubactions.pubtruncate;
        if (level > highest) {
            highest = level;
            published.as_relation = as;
        }
    }
    return published;
}

}  // namespace fatwal
