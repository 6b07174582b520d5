// fatwal.snapshot: the rows of an account, by the stream's encoder, a message a call.
//
// It reads one table after the other by a cursor of its own. What it holds at a time is one frame,
// and the rows that the cursor has fetched ahead: their large values stay where they are stored
// until they are encoded, and a frame is closed as soon as it is full, so a row more than
// `frame_bytes` is the most that a frame has, however many rows there are and however large.
//
// The rows are those of the caller's snapshot, but a table is locked only when its turn comes. A
// table that was rewritten in between (ALTER TYPE, VACUUM FULL, TRUNCATE) shows no rows to a
// snapshot from before, and the stream says nothing of a rewrite. So each table is checked once it
// is locked: if its catalog row is of a transaction that the snapshot does not see, the function
// ends with a serialization failure, and the caller takes the snapshot again.
#include <algorithm>
#include <cstring>

#include "extension/account_of.h"
#include "extension/options.h"
#include "extension/own_tables.h"
#include "extension/plan_cache.h"
#include "extension/server.h"
#include "extension/utf8_database.h"

namespace fatwal::plugin {

namespace {

constexpr long kFirstFetch = 16;
constexpr long kMostRowsAtATime = 256;

struct Snapshot {
    MemoryContext context;
    MemoryContext row_context;
    wire::AccountView account;
    const char* account_text;  // nullptr: the operators'
    PlanCache plans;
    FrameBuilder frame;
    Oid* tables;
    std::uint64_t table_count;
    std::uint64_t next_table;
    const Plan* plan;    // of the table that is being read; nullptr none
    const char* portal;  // nullptr: no cursor is open
    long fetch;          // rows at a time
    MemoryContext fetched_context;
    HeapTuple* fetched;  // rows of the cursor that are not encoded yet, from next_fetched on
    TupleDesc fetched_columns;
    std::uint64_t fetched_count;
    std::uint64_t next_fetched;
    bool schema_is_due;  // before the frame
    bool ended;
    bool watched;  // the query will call end_early()
    std::uint32_t ordinal;
};

const char* column_name(Relation relation, const Plan& plan) {
    return quote_identifier(NameStr(
        TupleDescAttr(RelationGetDescr(relation), plan.column[plan.account_column].attribute)
            ->attname));
}

// What selects the account's rows, so that an index on the column can serve; nullptr when the table
// has none of its kind, empty when all are. It may select more than those: each row's account is
// checked again.
const char* condition(Relation relation, const Plan& plan, wire::AccountView account) {
    if (account.kind == wire::AccountKind::Operators) {
        if (!plan.names_account()) return "";
        const char* name = column_name(relation, plan);
        if (plan.account_type != AccountType::Text && plan.account_type != AccountType::BlankPadded)
            return psprintf("%s IS NULL", name);
        return psprintf("%s IS NULL OR pg_catalog.octet_length(%s::pg_catalog.text) > %zu", name,
                        name, wire::kMaxAccountBytes);
    }
    const bool is_uuid = account.kind == wire::AccountKind::Uuid;
    switch (plan.account_type) {
        case AccountType::None: return nullptr;
        case AccountType::Uuid:
            return is_uuid ? psprintf("%s OPERATOR(pg_catalog.=) $1::pg_catalog.uuid",
                                      column_name(relation, plan))
                           : nullptr;
        case AccountType::Int2:
        case AccountType::Int4:
        case AccountType::Int8:
            if (account.kind != wire::AccountKind::Integer) return nullptr;
            return psprintf("%s OPERATOR(pg_catalog.=) $1::pg_catalog.int8",
                            column_name(relation, plan));
        case AccountType::Text:
        case AccountType::BlankPadded: break;
    }
    const char* name = column_name(relation, plan);
    // A text that spells a uuid is that account in either case.
    if (is_uuid)
        return psprintf(
            "pg_catalog.lower(%s::pg_catalog.text) OPERATOR(pg_catalog.=) pg_catalog.lower($1)",
            name);
    return plan.account_type == AccountType::BlankPadded
               ? psprintf("%s OPERATOR(pg_catalog.=) $1::pg_catalog.bpchar", name)
               : psprintf("%s::pg_catalog.text OPERATOR(pg_catalog.=) $1", name);
}

// What the publications' row filters select; nullptr: all rows.
const char* row_filter_condition(const Selection& selection, Oid table) {
    if (selection.row_filters == NIL) return nullptr;
    StringInfoData any;
    initStringInfo(&any);
    ListCell* cell = nullptr;
    foreach (cell, selection.row_filters) {
        const Datum stored = CStringGetTextDatum(static_cast<char*>(lfirst(cell)));
        const Datum deparsed = DirectFunctionCall2(pg_get_expr, stored, ObjectIdGetDatum(table));
        appendStringInfo(&any, "%s(%s)", any.len == 0 ? "" : " OR ", TextDatumGetCString(deparsed));
    }
    return any.data;
}

// The query for the plan's columns of the rows that `account_condition` and the row filters select.
const char* query_of(Relation relation, const Plan& plan, PublicationNames& publications,
                     const char* account_condition) {
    Selection selection = {};
    (void)look_up_published(relation, publications, &selection);
    const char* filter = row_filter_condition(selection, RelationGetRelid(relation));
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT");
    for (std::uint16_t c = 0; c < plan.columns; ++c)
        appendStringInfo(
            &query, "%s %s", c == 0 ? "" : ",",
            quote_identifier(NameStr(
                TupleDescAttr(RelationGetDescr(relation), plan.column[c].attribute)->attname)));
    appendStringInfo(&query, " FROM %s%s",
                     relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
                     qualified_name(relation));
    if (account_condition[0] != '\0') appendStringInfo(&query, " WHERE (%s)", account_condition);
    if (filter != nullptr)
        appendStringInfo(&query, " %s (%s)", account_condition[0] == '\0' ? "WHERE" : "AND",
                         filter);
    return query.data;
}

void list_tables(Snapshot* snapshot, List* names) {
    constexpr char kQuery[] =
        "SELECT c.oid FROM (SELECT t.relid FROM pg_catalog.unnest($1::pg_catalog.text[]) AS n, "
        "LATERAL pg_catalog.pg_get_publication_tables(n) AS t UNION SELECT "
        "pg_catalog.to_regclass(n)::pg_catalog.oid FROM pg_catalog.unnest($2::pg_catalog.text[]) "
        "AS n) AS sent JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) relid "
        "JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace ORDER BY "
        "s.nspname, c.relname";
    ArrayBuildState* publications = nullptr;
    ListCell* cell = nullptr;
    foreach (cell, names)
        publications =
            accumArrayResult(publications, CStringGetTextDatum(static_cast<char*>(lfirst(cell))),
                             false, TEXTOID, CurrentMemoryContext);
    // The operators' stream has the credentials without a publication.
    ArrayBuildState* own = initArrayResult(TEXTOID, CurrentMemoryContext, false);
    if (snapshot->account.kind == wire::AccountKind::Operators)
        for (const char* name : kCredentials)
            own = accumArrayResult(
                own, CStringGetTextDatum(quote_qualified_identifier(kExtension, name)), false,
                TEXTOID, CurrentMemoryContext);
    Oid types[] = {TEXTARRAYOID, TEXTARRAYOID};
    Datum arguments[] = {makeArrayResult(publications, CurrentMemoryContext),
                         makeArrayResult(own, CurrentMemoryContext)};
    if (SPI_execute_with_args(kQuery, 2, types, arguments, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "cannot list the published tables");
    snapshot->table_count = SPI_processed;
    snapshot->tables =
        static_cast<Oid*>(MemoryContextAlloc(snapshot->context, sizeof(Oid) * (SPI_processed + 1)));
    for (std::uint64_t i = 0; i < SPI_processed; ++i) {
        bool is_null = false;
        snapshot->tables[i] = DatumGetObjectId(
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    }
}

// Ends with a serialization failure if the relation, which is locked, was changed by a transaction
// that the snapshot does not see. Its catalog row tells: a rewrite writes a new one, statistics are
// changed in place.
void require_unchanged(Oid oid) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(oid));
    if (!HeapTupleIsValid(tuple)) return;
    const TransactionId changed_by = HeapTupleHeaderGetXmin(tuple->t_data);
    ReleaseSysCache(tuple);
    if (!TransactionIdIsNormal(changed_by) || TransactionIdIsCurrentTransactionId(changed_by) ||
        !XidInMVCCSnapshot(changed_by, GetActiveSnapshot()))
        return;
    ereport(ERROR,
            (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
             errmsg("table %s was changed after the snapshot was taken", qualified_name(oid)),
             errdetail("A snapshot does not see the rows of a table that was rewritten after it."),
             errhint("Take the snapshot again, in a new transaction.")));
}

// Opens a cursor on the account's rows of the table, if it can have any. The lock stays to the end
// of the transaction.
bool open_table(Snapshot* snapshot, Oid table) {
    Relation relation = try_relation_open(table, AccessShareLock);
    if (relation == nullptr) return false;  // dropped meanwhile: the stream has its resync
    require_unchanged(table);
    const Plan* plan = snapshot->plans.find(relation);
    // A leaf that goes by its ancestor's name is read with that.
    const bool is_read =
        (plan->published.insert || plan->published.update || plan->published.remove) &&
        plan->published.as_relation == table;
    const char* where = is_read ? condition(relation, *plan, snapshot->account) : nullptr;
    if (where != nullptr) {
        const char* query = query_of(relation, *plan, snapshot->plans.publications(), where);
        Oid types[] = {TEXTOID};
        Datum arguments[] = {snapshot->account_text == nullptr
                                 ? Datum{0}
                                 : CStringGetTextDatum(snapshot->account_text)};
        const int count = snapshot->account_text == nullptr ? 0 : 1;
        Portal portal = SPI_cursor_open_with_args(nullptr, query, count, types, arguments, nullptr,
                                                  true, CURSOR_OPT_NO_SCROLL);
        snapshot->portal = MemoryContextStrdup(snapshot->context, portal->name);
        // The query has locked the partitions that it reads.
        ListCell* cell = nullptr;
        if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
            foreach (cell, find_all_inheritors(table, AccessShareLock, nullptr))
                require_unchanged(lfirst_oid(cell));
        snapshot->plan = plan;
        snapshot->schema_is_due = true;
        snapshot->fetch = kFirstFetch;
    }
    relation_close(relation, NoLock);
    return where != nullptr;
}

// A row of the query, which has the columns of the plan, as a tuple of the table would have them.
Values values_of(const Plan& plan, HeapTuple tuple, TupleDesc columns) {
    Values selected = deform(tuple, columns);
    int attributes = 0;
    for (std::uint16_t c = 0; c < plan.columns; ++c)
        attributes = std::max(attributes, plan.column[c].attribute + 1);
    Values values = {};
    values.value =
        static_cast<Datum*>(palloc0(sizeof(Datum) * static_cast<std::size_t>(attributes + 1)));
    values.null =
        static_cast<bool*>(palloc0(sizeof(bool) * static_cast<std::size_t>(attributes + 1)));
    values.readable = true;
    for (std::uint16_t c = 0; c < plan.columns; ++c) {
        values.value[plan.column[c].attribute] = selected.value[c];
        values.null[plan.column[c].attribute] = selected.null[c];
    }
    return values;
}

void close_cursor(Snapshot* snapshot) {
    Portal portal = snapshot->portal == nullptr ? nullptr : SPI_cursor_find(snapshot->portal);
    if (portal != nullptr) SPI_cursor_close(portal);
    snapshot->portal = nullptr;
}

// Fetches the next rows of the table; false at its end. The copies outlast SPI, which is left
// between two messages.
bool fetch_rows(Snapshot* snapshot) {
    Portal portal = SPI_cursor_find(snapshot->portal);
    if (portal == nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_STATE), errmsg("the snapshot was cut off"),
                        errdetail("Its own cursor ended with a savepoint, or with the transaction "
                                  "of a cursor WITH HOLD."),
                        errhint("Read a snapshot to its end in the transaction and at the "
                                "savepoint level that began it.")));
    SPI_cursor_fetch(portal, true, snapshot->fetch);
    if (SPI_processed == 0) {
        close_cursor(snapshot);
        return false;
    }
    if (SPI_tuptable->tupdesc->natts != snapshot->plan->columns)
        elog(ERROR, "the query has %d columns, %d were expected", SPI_tuptable->tupdesc->natts,
             snapshot->plan->columns);
    MemoryContextReset(snapshot->fetched_context);
    MemoryContext caller = MemoryContextSwitchTo(snapshot->fetched_context);
    snapshot->fetched_columns = CreateTupleDescCopy(SPI_tuptable->tupdesc);
    snapshot->fetched = static_cast<HeapTuple*>(palloc(sizeof(HeapTuple) * SPI_processed));
    for (std::uint64_t i = 0; i < SPI_processed; ++i)
        snapshot->fetched[i] = heap_copytuple(SPI_tuptable->vals[i]);
    MemoryContextSwitchTo(caller);
    snapshot->fetched_count = SPI_processed;
    snapshot->next_fetched = 0;
    SPI_freetuptable(SPI_tuptable);
    return true;
}

// Appends the account's rows to the frame until it is full or the fetched rows are all done. False
// at the end of the table.
bool read_rows(Snapshot* snapshot) {
    if (snapshot->next_fetched == snapshot->fetched_count && !fetch_rows(snapshot)) return false;
    const Plan& plan = *snapshot->plan;
    FrameBuilder& frame = snapshot->frame;
    const std::size_t before = frame.buffer.size();
    const std::uint64_t first = snapshot->next_fetched;
    while (snapshot->next_fetched < snapshot->fetched_count && !frame.is_full(kDefaultFrameBytes)) {
        MemoryContext caller = MemoryContextSwitchTo(snapshot->row_context);
        const Values values =
            values_of(plan, snapshot->fetched[snapshot->next_fetched++], snapshot->fetched_columns);
        wire::AccountBuffer buffer;
        if (account_of(plan, values, buffer) == snapshot->account) {
            const std::size_t record =
                frame.start_record(wire::Op::Insert, 0, plan.schema, snapshot->ordinal++);
            wire::encode_new_row(frame.buffer, record + wire::kMaxRecordBytes, plan, values,
                                 Values{});
            (void)frame.finish_record(record);
        }
        MemoryContextSwitchTo(caller);
        MemoryContextReset(snapshot->row_context);
    }
    // As many next as fill about one frame.
    const std::uint64_t rows = std::max<std::uint64_t>(snapshot->next_fetched - first, 1);
    const std::size_t bytes = std::max<std::size_t>((frame.buffer.size() - before) / rows, 1);
    snapshot->fetch =
        std::clamp(static_cast<long>(kDefaultFrameBytes / bytes), 1L, kMostRowsAtATime);
    return true;
}

// Reads until a message is to be returned, and gives it; it lasts until the next call. Nothing at
// the end.
wire::Bytes next_message(Snapshot* snapshot) {
    FrameBuilder& frame = snapshot->frame;
    std::uint16_t flags = wire::kSnapshot;
    if (snapshot->ended) return {};
    while (!frame.is_full(kDefaultFrameBytes)) {
        if (snapshot->plan == nullptr) {
            if (snapshot->next_table == snapshot->table_count) {
                flags |= wire::kLastOfAccount;
                snapshot->ended = true;
                break;
            }
            (void)open_table(snapshot, snapshot->tables[snapshot->next_table++]);
            continue;
        }
        const std::uint32_t before = frame.records();
        const Plan* plan = snapshot->plan;
        if (!read_rows(snapshot)) snapshot->plan = nullptr;
        if (snapshot->schema_is_due && frame.records() > before) {
            snapshot->schema_is_due = false;
            return plan->schema_message;
        }
    }
    frame.close({flags, 0, 0, 0, GetCurrentTransactionStartTimestamp(), snapshot->account});
    return frame.buffer.bytes();
}

Snapshot* begin(FunctionCallInfo fcinfo, MemoryContext context) {
    if (PG_ARGISNULL(1))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("publication must not be null")));
    require_utf8_database();
    auto* snapshot = static_cast<Snapshot*>(palloc0(sizeof(Snapshot)));
    snapshot->context = context;
    snapshot->row_context =
        AllocSetContextCreate(context, "fatwal snapshot row", ALLOCSET_DEFAULT_SIZES);
    snapshot->fetched_context =
        AllocSetContextCreate(context, "fatwal snapshot rows", ALLOCSET_DEFAULT_SIZES);
    if (!PG_ARGISNULL(0)) {
        snapshot->account_text = text_to_cstring(PG_GETARG_TEXT_PP(0));
        const std::string_view text = snapshot->account_text;
        if (text.size() > wire::kMaxAccountBytes)
            ereport(ERROR,
                    (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION), errmsg("account is too long"),
                     errdetail("It has at most %zu bytes.", wire::kMaxAccountBytes)));
        auto* buffer = static_cast<wire::AccountBuffer*>(palloc0(sizeof(wire::AccountBuffer)));
        snapshot->account = wire::account_from_text(text, *buffer);
    }
    List* names = parse_publication_names(text_to_cstring(PG_GETARG_TEXT_PP(1)));
    snapshot->plans.init(context, names);
    snapshot->frame.init({context});
    snapshot->frame.open(snapshot->account);
    SPI_connect();
    list_tables(snapshot, names);
    SPI_finish();
    return snapshot;
}

// A caller that does not read to the end (LIMIT, a closed cursor) leaves our cursor open: it is
// closed with the query.
void end_early(Datum snapshot) {
    close_cursor(reinterpret_cast<Snapshot*>(DatumGetPointer(snapshot)));
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_snapshot);
PGDLLEXPORT Datum fatwal_snapshot(PG_FUNCTION_ARGS) {
    if (SRF_IS_FIRSTCALL()) {
        FuncCallContext* first = SRF_FIRSTCALL_INIT();
        MemoryContext caller = MemoryContextSwitchTo(first->multi_call_memory_ctx);
        first->user_fctx = begin(fcinfo, first->multi_call_memory_ctx);
        MemoryContextSwitchTo(caller);
    }
    FuncCallContext* call = SRF_PERCALL_SETUP();
    auto* snapshot = static_cast<Snapshot*>(call->user_fctx);
    ExprContext* query = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo)->econtext;
    if (!snapshot->watched)
        RegisterExprContextCallback(query, end_early, PointerGetDatum(snapshot));
    snapshot->watched = true;
    SPI_connect();
    const wire::Bytes message = next_message(snapshot);
    SPI_finish();
    if (message.empty()) {
        UnregisterExprContextCallback(query, end_early, PointerGetDatum(snapshot));
        SRF_RETURN_DONE(call);
    }
    auto* result = static_cast<struct varlena*>(palloc(VARHDRSZ + message.size()));
    SET_VARSIZE(result, VARHDRSZ + message.size());
    std::memcpy(VARDATA(result), message.data(), message.size());
    if (message.data() == snapshot->frame.buffer.bytes().data()) {
        // A frame of one large row must not hold its memory to the end.
        if (snapshot->frame.buffer.capacity() > 16 * kDefaultFrameBytes)
            snapshot->frame.buffer.release();
        snapshot->frame.open(snapshot->account);
    }
    SRF_RETURN_NEXT(call, PointerGetDatum(result));
}

}  // extern "C"

}  // namespace fatwal::plugin
