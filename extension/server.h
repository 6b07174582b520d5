// The one door to Postgres's headers: C linkage, the macros that hurt C++ undone, the differences
// between 15 and 18 hidden. Nothing else of the project includes the server.
#pragma once

extern "C" {
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/tupmacs.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/seclabel.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "replication/logical.h"
#include "replication/message.h"
#include "replication/origin.h"
#include "replication/output_plugin.h"
#include "replication/reorderbuffer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inet.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
#include "utils/varlena.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

// Before 16 it is empty, and we hide what is not marked.
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

#undef Min
#undef Max
#undef Abs
#undef gettext
#undef dgettext
#undef ngettext
#undef dngettext
#undef printf
#undef fprintf
#undef snprintf
#undef sprintf
#undef vsnprintf
#undef vsprintf
#undef strerror
#undef strtou64

namespace fatwal::plugin {

inline HeapTuple changed_tuple(
#if PG_VERSION_NUM >= 170000
    HeapTuple tuple
#else
    ReorderBufferTupleBuf* tuple
#endif
) {
#if PG_VERSION_NUM >= 170000
    return tuple;
#else
    return tuple == nullptr ? nullptr : &tuple->tuple;
#endif
}

inline Oid primary_key_index(Relation relation) {
#if PG_VERSION_NUM >= 180000
    return RelationGetPrimaryKeyIndex(relation, false);
#else
    return RelationGetPrimaryKeyIndex(relation);
#endif
}

// Whether it is a built-in operator by which values are ordered or found equal or not.
inline bool is_comparison(Oid op) {
#if PG_VERSION_NUM >= 180000
    return op < FirstNormalObjectId && get_op_index_interpretation(op) != NIL;
#else
    return op < FirstNormalObjectId && get_op_btree_interpretation(op) != NIL;
#endif
}

// Before 16 the server declares the walker's callback without its arguments.
inline bool walk_expression(Node* node, bool (*walker)(Node*, void*), void* context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, walker, context);
#else
    auto* any =
        reinterpret_cast<void (*)()>(walker);  // the one type that the compiler lets be cast
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(any), context);
#endif
}

inline bool is_virtual_generated(Form_pg_attribute attribute) {
    return attribute->attgenerated == 'v';
}

}  // namespace fatwal::plugin
