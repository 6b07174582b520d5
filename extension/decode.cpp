// fatwal.decode: the plugin's messages as rows, for people.
//
// The bytes are anybody's: nothing in them is trusted. The views of wire/ check every bound; here
// all text is checked before it becomes a datum of the server, and all JSON before it becomes one
// of type json. A value that cannot be read costs its column, a row that cannot be read costs its
// row: both are named in `unavailable`. Only bytes that are no message of the plugin, and frames
// whose schema is unknown, are errors.
//
// Each row is made in a memory context of its own, which is reset after it, so a message of
// millions of records needs no more memory than its largest row; the rows go to a tuplestore, which
// the server spills to disk.
#include <cstring>

#include "extension/server.h"
#include "extension/utf8_database.h"
#include "fatwal/wire/frame.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text.h"

namespace fatwal::plugin {

namespace {

enum Output {
    kKind,
    kRelation,
    kAccount,
    kXid,
    kCommitLsn,
    kOrdinal,
    kCommitTs,
    kLast,
    kNew,
    kOld,
    kUnavailable,
    kOutputs
};

[[noreturn]] void refuse(const char* what) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("malformed %s", what),
         errhint(
             "Give it the data of pg_logical_slot_peek_binary_changes with the plugin fatwal.")));
    pg_unreachable();
}

// Whether the server takes it as text: its text has no NUL.
bool is_server_text(std::string_view text) {
    return wire::is_utf8(text) &&
           (text.empty() || std::memchr(text.data(), 0, text.size()) == nullptr);
}

// JSON that is being written. Two of them fit into one row of the server, which is below 1 GB.
constexpr std::size_t kMaxJsonBytes = std::size_t{500} * 1024 * 1024;

struct Json {
    StringInfoData text;
    bool too_long;
};

void write_to_json(void* target, const char* text, std::size_t length) {
    CHECK_FOR_INTERRUPTS();
    auto* json = static_cast<Json*>(target);
    json->too_long =
        json->too_long || length > kMaxJsonBytes - static_cast<std::size_t>(json->text.len);
    if (!json->too_long) appendBinaryStringInfo(&json->text, text, static_cast<int>(length));
}

wire::Sink sink_to(Json* json) {
    initStringInfo(&json->text);
    json->too_long = false;
    return {json, write_to_json};
}

struct Row {
    Datum value[kOutputs];
    bool null[kOutputs];
    ArrayBuildState* unavailable;

    void set(Output column, Datum datum) {
        value[column] = datum;
        null[column] = false;
    }
    void set_text(Output column, std::string_view text) {
        if (!is_server_text(text)) refuse("text");
        set(column,
            PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))));
    }
    // The type json is stored as its text.
    void set_json(Output column, const char* name, const Json& json) {
        if (json.too_long) return add_unavailable(name);
        set(column, PointerGetDatum(cstring_to_text_with_len(json.text.data, json.text.len)));
    }
    void add_unavailable(const char* name) {
        unavailable = accumArrayResult(unavailable, CStringGetTextDatum(name), false, TEXTOID,
                                       CurrentMemoryContext);
    }
};

// Where the rows go, and where each is made.
struct Rows {
    ReturnSetInfo* result;
    MemoryContext row_context;
};

// The schemas that this session has decoded. A frame names them, and its schema message came before
// it in the stream. When they hold more than kMaxSchemaBytes, those that were not used for longest
// are forgotten: a frame that names one of them is then an error that says so.
constexpr std::size_t kMaxSchemaBytes = std::size_t{16} * 1024 * 1024;

struct KnownSchema {
    wire::SchemaId id;  // key
    std::byte* bytes;
    std::size_t length;
    std::uint64_t used;  // when it was used last, by `uses`
};

struct KnownSchemas {
    HTAB* table;
    MemoryContext context;
    std::size_t bytes;
    std::uint64_t uses;
};

KnownSchemas known_schemas;

void make_known_schemas() {
    if (known_schemas.table != nullptr) return;
    if (known_schemas.context == nullptr)
        known_schemas.context = AllocSetContextCreate(TopMemoryContext, "fatwal decoded schemas",
                                                      ALLOCSET_DEFAULT_SIZES);
    HASHCTL control = {};
    control.keysize = sizeof(wire::SchemaId);
    control.entrysize = sizeof(KnownSchema);
    control.hcxt = known_schemas.context;
    known_schemas.table =
        hash_create("fatwal decoded schemas", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void forget(KnownSchema* known) {
    std::byte* bytes = known->bytes;
    known_schemas.bytes -= known->length;
    wire::SchemaId id = known->id;
    (void)hash_search(known_schemas.table, &id, HASH_REMOVE, nullptr);
    pfree(bytes);
}

void forget_unused() {
    while (known_schemas.bytes > kMaxSchemaBytes) {
        KnownSchema* oldest = nullptr;
        HASH_SEQ_STATUS all;
        hash_seq_init(&all, known_schemas.table);
        while (auto* known = static_cast<KnownSchema*>(hash_seq_search(&all)))
            if (oldest == nullptr || known->used < oldest->used) oldest = known;
        if (oldest == nullptr) return;
        forget(oldest);
    }
}

void remember(const wire::SchemaView& schema) {
    make_known_schemas();
    wire::SchemaId id = schema.id();
    if (auto* known =
            static_cast<KnownSchema*>(hash_search(known_schemas.table, &id, HASH_FIND, nullptr))) {
        known->used = ++known_schemas.uses;
        return;
    }
    // First what may fail, then the entry, which is whole from its first moment.
    auto* bytes =
        static_cast<std::byte*>(MemoryContextAlloc(known_schemas.context, schema.bytes().size()));
    std::memcpy(bytes, schema.bytes().data(), schema.bytes().size());
    auto* known =
        static_cast<KnownSchema*>(hash_search(known_schemas.table, &id, HASH_ENTER, nullptr));
    known->bytes = bytes;
    known->length = schema.bytes().size();
    known->used = ++known_schemas.uses;
    known_schemas.bytes += known->length;
    forget_unused();
}

wire::SchemaView schema_of(wire::SchemaId id) {
    make_known_schemas();
    auto* known =
        static_cast<KnownSchema*>(hash_search(known_schemas.table, &id, HASH_FIND, nullptr));
    if (known == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("the schema of relation %u was not decoded in this session", id.relation),
                 errhint("Decode the stream in one query from a message before the relation's "
                         "first frame.")));
    known->used = ++known_schemas.uses;
    const auto schema = wire::SchemaView::parse({known->bytes, known->length});
    if (!schema) refuse("schema");
    return *schema;
}

// The names of a schema go into text and JSON; those of types and labels too.
void check_names(const wire::SchemaView& schema) {
    bool good = is_server_text(schema.schema()) && is_server_text(schema.table());
    schema.for_each_column([&](std::uint16_t, const wire::ColumnView& column) {
        good = good && is_server_text(column.name) && is_server_text(column.type_name);
    });
    if (!good) refuse("schema");
}

// A row as JSON, its numbers as numbers: the server's json keeps all their digits. Its columns that
// cannot be read are named in `unavailable`, all of it when the row is no row of the schema.
template <class RowView>
void set_row(Row& row, Output column, const char* which, const std::optional<RowView>& view,
             const wire::SchemaView& schema) {
    Json json;
    if (!view || wire::render_row(*view, schema, sink_to(&json), wire::Numbers::Json) !=
                     wire::RenderError::None)
        return row.add_unavailable(which);
    row.set_json(column, which, json);
    schema.for_each_column([&](std::uint16_t index, const wire::ColumnView& described) {
        if (wire::can_render(view->cell(index, described.code), described)) return;
        const std::string_view name = described.name;
        row.add_unavailable(psprintf("%s.%.*s", which, static_cast<int>(name.size()), name.data()));
    });
}

void set_relation(Row& row, const wire::SchemaView& schema) {
    const char* table = pnstrdup(schema.table().data(), schema.table().size());
    const char* space = pnstrdup(schema.schema().data(), schema.schema().size());
    row.set_text(kRelation, quote_qualified_identifier(space, table));
}

void set_account(Row& row, wire::AccountView account) {
    if (account.kind == wire::AccountKind::Operators) return;
    if (account.kind == wire::AccountKind::Everyone) return row.set_text(kAccount, "*");
    char text[wire::kMaxAccountBytes];
    row.set_text(kAccount, {text, wire::account_to_text(account, text)});
}

const char* marks_of(const wire::FrameView& frame) {
    if (frame.has(wire::kLastOfTransaction)) return "transaction";
    return frame.has(wire::kLastOfAccount) ? "account" : nullptr;
}

// {"topic": …, "payload": …} of fatwal.emit, {"prefix": …, "content": "\x…"} of others. What the
// stream does not hold, and what is not what it says, is left out and named.
void set_message(Row& row, const wire::RecordView& record) {
    const auto message = record.message();
    if (!message) return row.add_unavailable("new");
    const bool emitted = record.has(wire::kEmitted);
    Json json;
    const wire::Sink sink = sink_to(&json);
    sink(emitted ? "{\"topic\":" : "{\"prefix\":");
    wire::render_string(message->prefix, sink);
    const std::string_view payload = wire::as_text(message->content);
    if (record.has(wire::kContentUnavailable)) {
        row.add_unavailable("content");
    } else if (!emitted) {
        sink(",\"content\":");
        const wire::Cell cell = {wire::Cell::State::Value, 0, message->content};
        (void)wire::render_value(cell, wire::TypeCode::Bytea, wire::TypeCode::Other, {}, sink);
    } else if (wire::is_json(payload)) {
        sink(",\"payload\":");
        wire::render_json(payload, sink);
    } else {
        row.add_unavailable("content");
    }
    sink('}');
    row.set_json(kNew, "new", json);
}

void set_rows(Row& row, const wire::RecordView& record, const wire::SchemaView& schema) {
    if (record.op() == wire::Op::Insert || record.op() == wire::Op::Update)
        set_row(row, kNew, "new", record.new_row(), schema);
    if (record.op() == wire::Op::Update || record.op() == wire::Op::Delete)
        set_row(row, kOld, "old", record.old_row(), schema);
}

Row frame_row(const wire::FrameView& frame) {
    Row row = {};
    std::memset(row.null, true, sizeof row.null);
    set_account(row, frame.account());
    if (frame.xid() != 0) row.set(kXid, TransactionIdGetDatum(frame.xid()));
    if (!frame.has(wire::kSnapshot)) row.set(kCommitLsn, LSNGetDatum(frame.commit_lsn()));
    if (frame.has(wire::kNonTransactional)) return row;
    if (IS_VALID_TIMESTAMP(frame.commit_time()))
        row.set(kCommitTs, TimestampTzGetDatum(frame.commit_time()));
    else
        row.add_unavailable("commit_ts");
    return row;
}

void put(const Rows& rows, Row& row) {
    if (row.unavailable != nullptr)
        row.set(kUnavailable, makeArrayResult(row.unavailable, CurrentMemoryContext));
    tuplestore_putvalues(rows.result->setResult, rows.result->setDesc, row.value, row.null);
    MemoryContextReset(rows.row_context);
}

void put_record(const Rows& rows, const wire::FrameView& frame, const wire::RecordView& record,
                bool last) {
    Row row = frame_row(frame);
    row.set_text(kKind, wire::op_name(record.op()));
    row.set(kOrdinal, Int64GetDatum(record.ordinal()));
    if (last && marks_of(frame) != nullptr) row.set_text(kLast, marks_of(frame));
    if (record.op() == wire::Op::Message) {
        set_message(row, record);
    } else if (record.relation() != wire::kNoRelation) {  // a resync may be of all tables
        const wire::SchemaView schema = schema_of(frame.relation(record.relation()));
        set_relation(row, schema);
        set_rows(row, record, schema);
    }
    if (record.has(wire::kUnrouted)) row.add_unavailable("account");
    put(rows, row);
}

void decode_frame(const Rows& rows, const wire::FrameView& frame) {
    if (frame.record_count() == 0) {
        Row row = frame_row(frame);
        row.set_text(kKind, "end");
        row.set_text(kLast, marks_of(frame) == nullptr ? "" : marks_of(frame));
        put(rows, row);
        return;
    }
    std::uint32_t left = frame.record_count();
    frame.for_each_record([&](const wire::RecordView& record) {
        CHECK_FOR_INTERRUPTS();
        put_record(rows, frame, record, --left == 0);
        return true;
    });
}

void decode_schema(const Rows& rows, const wire::SchemaView& schema) {
    check_names(schema);
    remember(schema);
    Json json;
    const wire::Sink sink = sink_to(&json);
    sink('{');
    schema.for_each_column([&](std::uint16_t index, const wire::ColumnView& column) {
        if (index != 0) sink(',');
        wire::render_string(column.name, sink);
        sink(':');
        wire::render_string(column.type_name, sink);
    });
    sink('}');
    Row row = {};
    std::memset(row.null, true, sizeof row.null);
    row.set_text(kKind, "schema");
    set_relation(row, schema);
    row.set_json(kNew, "new", json);
    put(rows, row);
}

void decode_message(const Rows& rows, wire::Bytes message) {
    if (const auto frame = wire::FrameView::parse(message))
        decode_frame(rows, *frame);
    else if (const auto schema = wire::SchemaView::parse(message))
        decode_schema(rows, *schema);
    else
        refuse("message");
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_decode);
PGDLLEXPORT Datum fatwal_decode(PG_FUNCTION_ARGS) {
    require_utf8_database();
    struct varlena* argument = PG_GETARG_BYTEA_PP(0);
    InitMaterializedSRF(fcinfo, 0);
    const Rows rows = {
        reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo),
        AllocSetContextCreate(CurrentMemoryContext, "fatwal decoded row", ALLOCSET_DEFAULT_SIZES)};
    MemoryContext caller = MemoryContextSwitchTo(rows.row_context);
    wire::Bytes messages(reinterpret_cast<const std::byte*>(VARDATA_ANY(argument)),
                         VARSIZE_ANY_EXHDR(argument));
    do {
        const std::size_t length = wire::message_length(messages);
        if (length == 0) refuse("message");
        decode_message(rows, messages.first(length));
        messages = messages.subspan(length);
    } while (!messages.empty());
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(rows.row_context);
    return Datum{0};
}

}  // extern "C"

}  // namespace fatwal::plugin
