#include "extension/row_filter.h"

namespace fatwal::plugin {

namespace {

bool is_unlogged(const Values& values, int attribute, Form_pg_attribute column) {
    return column->attlen == -1 && !values.null[attribute] &&
           VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(values.value[attribute]));
}

bool matches(const RowFilter& filter, ExprState* expression, const Values& values) {
    TupleTableSlot* slot = filter.slot;
    (void)ExecClearTuple(slot);
    for (int i = 0; i < slot->tts_tupleDescriptor->natts; ++i) {
        const int from = filter.attribute[i];
        // The server sees to it that a filter needs nothing that was not logged; its TOAST may be
        // gone, so it is not asked for.
        slot->tts_isnull[i] =
            from < 0 || values.null[from] ||
            is_unlogged(values, from, TupleDescAttr(slot->tts_tupleDescriptor, i));
        slot->tts_values[i] = slot->tts_isnull[i] ? Datum{0} : values.value[from];
    }
    (void)ExecStoreVirtualTuple(slot);
    ResetPerTupleExprContext(filter.state);
    ExprContext* context = GetPerTupleExprContext(filter.state);
    context->ecxt_scantuple = slot;
    bool is_null = false;
    const Datum result = ExecEvalExprSwitchContext(expression, context, &is_null);
    return !is_null && DatumGetBool(result);
}

void fill_unlogged(const RowFilter& filter, Values* newer, const Values& old) {
    TupleDesc columns = filter.slot->tts_tupleDescriptor;
    for (int i = 0; i < columns->natts; ++i) {
        const int a = filter.attribute[i];
        if (a < 0 || old.null[a] || !is_unlogged(*newer, a, TupleDescAttr(columns, i)) ||
            is_unlogged(old, a, TupleDescAttr(columns, i)))
            continue;
        newer->value[a] = old.value[a];
    }
}

ExprState* compile(List* filters, Relation shown, EState* state) {
    List* expressions = NIL;
    ListCell* cell = nullptr;
    foreach (cell, filters) {
        auto* node = static_cast<Node*>(stringToNode(static_cast<char*>(lfirst(cell))));
#if PG_VERSION_NUM >= 180000
        node = expand_generated_columns_in_expr(node, shown, 1);
#else
        (void)shown;
#endif
        expressions = lappend(expressions, node);
    }
    return ExecPrepareExpr(list_length(expressions) == 1 ? static_cast<Expr*>(linitial(expressions))
                                                         : make_orclause(expressions),
                           state);
}

}  // namespace

RowFilter compile_row_filter(List* const filters[kFilteredActions], Relation relation,
                             Relation shown, MemoryContext context) {
    RowFilter filter = {};
    bool any = false;
    for (int action = 0; action < kFilteredActions; ++action) any |= filters[action] != NIL;
    if (!any) return filter;
    MemoryContext caller = MemoryContextSwitchTo(context);
    filter.state = CreateExecutorState();
    TupleDesc columns = CreateTupleDescCopy(RelationGetDescr(shown));
    filter.slot = MakeSingleTupleTableSlot(columns, &TTSOpsVirtual);
    filter.attribute =
        static_cast<int*>(palloc(sizeof(int) * static_cast<std::size_t>(columns->natts + 1)));
    for (int i = 0; i < columns->natts; ++i) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped)
            filter.attribute[i] = -1;
        else
            filter.attribute[i] =
                relation == shown
                    ? i
                    : get_attnum(RelationGetRelid(relation), NameStr(column->attname)) - 1;
    }
    for (int action = 0; action < kFilteredActions; ++action)
        if (filters[action] != NIL)
            filter.expression[action] = compile(filters[action], shown, filter.state);
    MemoryContextSwitchTo(caller);
    return filter;
}

bool passes_filter(const RowFilter& filter, ReorderBufferChangeType* action, Values* newer,
                   const Values& old) {
    const bool is_update = *action == REORDER_BUFFER_CHANGE_UPDATE;
    const FilteredAction filtered = is_update                                 ? kFilteredUpdate
                                    : *action == REORDER_BUFFER_CHANGE_INSERT ? kFilteredInsert
                                                                              : kFilteredDelete;
    ExprState* expression = filter.expression[filtered];
    if (expression == nullptr) return true;
    // A delete of which the log has no old row shows none.
    if (!is_update && !newer->present() && !old.present()) return false;
    // An update that logs no old row left what the filter looks at as it was.
    if (!is_update || !old.present())
        return matches(filter, expression, newer->present() ? *newer : old);
    fill_unlogged(filter, newer, old);
    const bool was = matches(filter, expression, old);
    const bool is = matches(filter, expression, *newer);
    if (was != is) *action = is ? REORDER_BUFFER_CHANGE_INSERT : REORDER_BUFFER_CHANGE_DELETE;
    return was || is;
}

}  // namespace fatwal::plugin
