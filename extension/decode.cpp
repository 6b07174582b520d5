// fatwal.decode: the plugin's messages as rows, for people.
#include <cstring>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/schema.h"
#include "server.h"

namespace fatwal {

namespace {

enum Output { kKind, kRelation, kAccount, kXid, kCommitLsn, kOrdinal, kCommitTs, kLast, kNew, kOld, kUnavailable, kOutputs };

struct Row {
    Datum value[kOutputs];
    bool null[kOutputs];

    void set(Output column, Datum datum) {
        value[column] = datum;
        null[column] = false;
    }
    void set_text(Output column, std::string_view text) {
        set(column, PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))));
    }
};

Row empty_row() {
    Row row = {};
    std::memset(row.null, true, sizeof row.null);
    return row;
}

void write_to_string(void* target, const char* text, std::size_t length) {
    appendBinaryStringInfo(static_cast<StringInfo>(target), text, static_cast<int>(length));
}

wire::Sink sink_to(StringInfo string) {
    initStringInfo(string);
    return {string, write_to_string};
}

[[noreturn]] void refuse(const char* what) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("malformed %s", what),
                    errhint("Give it the data of pg_logical_slot_peek_binary_changes with the plugin fatwal.")));
    pg_unreachable();
}

// The schemas that this session has decoded. A frame names them, and its schema message came before it in the stream.
struct KnownSchema {
    wire::SchemaId id;  // key
    std::byte* bytes;
    std::size_t length;
};

HTAB* known_schemas() {
    static HTAB* schemas = nullptr;
    if (schemas != nullptr) return schemas;
    HASHCTL control = {};
    control.keysize = sizeof(wire::SchemaId);
    control.entrysize = sizeof(KnownSchema);
    schemas = hash_create("fatwal decoded schemas", 64, &control, HASH_ELEM | HASH_BLOBS);
    return schemas;
}

void remember(const wire::SchemaView& schema) {
    wire::SchemaId id = schema.id();
    bool found = false;
    auto* known = static_cast<KnownSchema*>(hash_search(known_schemas(), &id, HASH_ENTER, &found));
    if (found) return;
    known->length = 0;
    known->bytes = static_cast<std::byte*>(MemoryContextAlloc(TopMemoryContext, schema.bytes().size()));
    std::memcpy(known->bytes, schema.bytes().data(), schema.bytes().size());
    known->length = schema.bytes().size();
}

wire::SchemaView schema_of(wire::SchemaId id) {
    auto* known = static_cast<KnownSchema*>(hash_search(known_schemas(), &id, HASH_FIND, nullptr));
    if (known == nullptr || known->length == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the schema of relation %u was not decoded in this session", id.relation),
                        errhint("Decode the stream in one query from a message before the relation's first frame.")));
    const auto schema = wire::SchemaView::parse({known->bytes, known->length});
    if (!schema) refuse("schema");
    return *schema;
}

Datum jsonb_of(StringInfo json) { return DirectFunctionCall1(jsonb_in, CStringGetDatum(json->data)); }

template <class RowView>
Datum row_as_jsonb(const RowView& row, const wire::SchemaView& schema) {
    StringInfoData json;
    const wire::Sink sink = sink_to(&json);
    if (wire::render_row(row, schema, sink) != wire::RenderError::None) refuse("row");
    return jsonb_of(&json);
}

template <class RowView>
ArrayBuildState* gather_unavailable(ArrayBuildState* names, const char* which, const RowView& row, const wire::SchemaView& schema) {
    schema.for_each_column([&](std::uint16_t index, const wire::ColumnView& column) {
        if (row.cell(index, column.code).state != wire::Cell::State::Unavailable) return;
        const char* name = psprintf("%s.%.*s", which, static_cast<int>(column.name.size()), column.name.data());
        names = accumArrayResult(names, CStringGetTextDatum(name), false, TEXTOID, CurrentMemoryContext);
    });
    return names;
}

void set_relation(Row& row, const wire::SchemaView& schema) {
    StringInfoData name;
    initStringInfo(&name);
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

void set_message(Row& row, const wire::RecordView& record) {
    const auto message = record.message();
    if (!message) refuse("message");
    StringInfoData json;
    const wire::Sink sink = sink_to(&json);
    sink(record.has(wire::kEmitted) ? "{\"topic\":" : "{\"prefix\":");
    wire::render_string(message->prefix, sink);
    sink(record.has(wire::kEmitted) ? ",\"payload\":" : ",\"content\":");
    if (record.has(wire::kEmitted)) {
        sink(wire::as_text(message->content));
    } else {
        const wire::Cell cell = {wire::Cell::State::Value, 0, message->content};
        (void)wire::render_value(cell, wire::TypeCode::Bytea, wire::TypeCode::Other, {}, sink);
    }
    sink('}');
    row.set(kNew, jsonb_of(&json));
}

void set_rows(Row& row, const wire::RecordView& record, const wire::SchemaView& schema) {
    ArrayBuildState* unavailable = nullptr;
    if (record.op() == wire::Op::Insert || record.op() == wire::Op::Update) {
        const auto newer = record.new_row();
        if (!newer) refuse("row");
        row.set(kNew, row_as_jsonb(*newer, schema));
        unavailable = gather_unavailable(unavailable, "new", *newer, schema);
    }
    if (record.op() == wire::Op::Update || record.op() == wire::Op::Delete) {
        const auto old = record.old_row();
        if (!old) refuse("row");
        row.set(kOld, row_as_jsonb(*old, schema));
        unavailable = gather_unavailable(unavailable, "old", *old, schema);
    }
    if (unavailable != nullptr) row.set(kUnavailable, makeArrayResult(unavailable, CurrentMemoryContext));
}

Row frame_row(const wire::FrameView& frame) {
    Row row = empty_row();
    set_account(row, frame.account());
    if (frame.xid() != 0) row.set(kXid, TransactionIdGetDatum(frame.xid()));
    if (!frame.has(wire::kSnapshot)) row.set(kCommitLsn, LSNGetDatum(frame.commit_lsn()));
    if (!frame.has(wire::kNonTransactional)) row.set(kCommitTs, TimestampTzGetDatum(frame.commit_time()));
    return row;
}

void put(ReturnSetInfo* result, Row& row) { tuplestore_putvalues(result->setResult, result->setDesc, row.value, row.null); }

void decode_frame(ReturnSetInfo* result, const wire::FrameView& frame) {
    if (frame.record_count() == 0) {
        Row row = frame_row(frame);
        row.set_text(kKind, "end");
        row.set_text(kLast, marks_of(frame) == nullptr ? "" : marks_of(frame));
        put(result, row);
        return;
    }
    std::uint32_t left = frame.record_count();
    frame.for_each_record([&](const wire::RecordView& record) {
        Row row = frame_row(frame);
        row.set_text(kKind, wire::op_name(record.op()));
        row.set(kOrdinal, Int64GetDatum(record.ordinal()));
        if (--left == 0 && marks_of(frame) != nullptr) row.set_text(kLast, marks_of(frame));
        if (record.op() == wire::Op::Message) {
            set_message(row, record);
        } else if (record.relation() != wire::kNoRelation) {
            const wire::SchemaView schema = schema_of(frame.relation(record.relation()));
            set_relation(row, schema);
            set_rows(row, record, schema);
        }
        put(result, row);
        return true;
    });
}

void decode_schema(ReturnSetInfo* result, const wire::SchemaView& schema) {
    remember(schema);
    StringInfoData json;
    const wire::Sink sink = sink_to(&json);
    sink('{');
    schema.for_each_column([&](std::uint16_t index, const wire::ColumnView& column) {
        if (index != 0) sink(',');
        wire::render_string(column.name, sink);
        sink(':');
        wire::render_string(column.type_name, sink);
    });
    sink('}');
    Row row = empty_row();
    row.set_text(kKind, "schema");
    set_relation(row, schema);
    row.set(kNew, jsonb_of(&json));
    put(result, row);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_decode);
PGDLLEXPORT Datum fatwal_decode(PG_FUNCTION_ARGS) {
    struct varlena* message = PG_GETARG_BYTEA_PP(0);
    InitMaterializedSRF(fcinfo, 0);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    const wire::Bytes bytes(reinterpret_cast<const std::byte*>(VARDATA_ANY(message)), VARSIZE_ANY_EXHDR(message));
    for (wire::Bytes rest = bytes; !rest.empty();) {
        const std::size_t length = wire::message_length(rest);
        if (length == 0) refuse("message");
        if (const auto frame = wire::FrameView::parse(rest.first(length)))
            decode_frame(result, *frame);
        else if (const auto schema = wire::SchemaView::parse(rest.first(length)))
            decode_schema(result, *schema);
        else
            refuse("message");
        rest = rest.subspan(length);
    }
    return Datum{0};
}

}  // extern "C"

}  // namespace fatwal
