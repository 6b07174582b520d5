// fatwal.filter_can_fail: may a publication's row filter raise an error, depending on the row?
//
// Such a filter stops the stream for all accounts, because the server decodes the same row again
// after each error. Whoever may write the row can bring that about, so fatwal.check() names these
// filters. Postgres allows a filter only built-in immutable functions and operators, of which it
// marks those that never raise an error by an argument's value as leakproof. The mark is given
// sparingly, so three kinds are added here: comparisons, conversions to a wider type, and what only
// looks into a text or a jsonb. The answer errs on the side of "may fail".
#include <algorithm>
#include <iterator>

#include "extension/server.h"

namespace fatwal::plugin {

namespace {

// Functions without the mark that are total over what a column can hold.
constexpr Oid kTotal[] = {
    F_FLOAT8_FLOAT4,
    F_FLOAT8_INT2,
    F_FLOAT8_INT4,
    F_FLOAT8_INT8,
    F_INT4_INT2,
    F_INT8_INT2,
    F_INT8_INT4,
    F_JSONB_ARRAY_ELEMENT,
    F_JSONB_ARRAY_ELEMENT_TEXT,
    F_JSONB_CONTAINS,
    F_JSONB_EXISTS,
    F_JSONB_OBJECT_FIELD,
    F_JSONB_OBJECT_FIELD_TEXT,
    F_LENGTH_TEXT,
    F_NUMERIC_INT2,
    F_NUMERIC_INT4,
    F_NUMERIC_INT8,
    F_OCTET_LENGTH_TEXT,
    F_STARTS_WITH,
    F_TEXT_BPCHAR,
};

bool function_can_fail(Oid function, void*) {
    if (get_func_leakproof(function)) return false;
    return std::find(std::begin(kTotal), std::end(kTotal), function) == std::end(kTotal);
}

// A comparison of a built-in type orders all values of its type.
bool is_total_operator(const Node* node) {
    switch (nodeTag(node)) {
        case T_OpExpr:
        case T_DistinctExpr:  // the same struct as OpExpr, as is the next
        case T_NullIfExpr: return is_comparison(reinterpret_cast<const OpExpr*>(node)->opno);
        case T_ScalarArrayOpExpr: {
            const auto* any = reinterpret_cast<const ScalarArrayOpExpr*>(node);
            return is_comparison(any->opno);
        }
        case T_RowCompareExpr: return true;
        default: return false;
    }
}

bool can_fail(Node* node, void* context) {
    if (node == nullptr) return false;
    // Without a column it fails for every row or for none: the first change shows it.
    if (!contain_var_clause(node)) return false;
    const bool calls = !is_total_operator(node);
    if (calls && check_functions_in_node(node, function_can_fail, context)) return true;
    return walk_expression(node, can_fail, context);
}

}  // namespace

extern "C" {

// pg_node_tree has no input function, so the argument can only be what the server stored in a
// catalog.
PG_FUNCTION_INFO_V1(fatwal_filter_can_fail);
PGDLLEXPORT Datum fatwal_filter_can_fail(PG_FUNCTION_ARGS) {
    const char* stored = text_to_cstring(PG_GETARG_TEXT_PP(0));
    PG_RETURN_BOOL(can_fail(static_cast<Node*>(stringToNode(stored)), nullptr));
}

}  // extern "C"

}  // namespace fatwal::plugin
