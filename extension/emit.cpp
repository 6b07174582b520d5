// fatwal.emit: a message to an account, in the order of the transaction's changes.
#include "fatwal/wire/account.h"
#include "server.h"

namespace fatwal {

namespace {

constexpr char kPrefix[] = "fatwal";

void append_str(StringInfo out, struct varlena* text) {
    const auto length = static_cast<std::uint16_t>(VARSIZE_ANY_EXHDR(text));
    appendBinaryStringInfo(out, reinterpret_cast<const char*>(&length), sizeof length);
    appendBinaryStringInfo(out, VARDATA_ANY(text), length);
}

struct varlena* text_argument(FunctionCallInfo fcinfo, int index, std::size_t most, const char* name) {
    if (PG_ARGISNULL(index)) return reinterpret_cast<struct varlena*>(cstring_to_text(""));
    struct varlena* argument = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(index));
    if (VARSIZE_ANY_EXHDR(argument) > most)
        ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION), errmsg("%s is too long", name),
                        errdetail("It has at most %zu bytes.", most)));
    return argument;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_emit);
PGDLLEXPORT Datum fatwal_emit(PG_FUNCTION_ARGS) {
    constexpr std::size_t kMaxTopicBytes = 255;
    if (PG_ARGISNULL(1)) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("topic must not be null")));
    StringInfoData message;
    initStringInfo(&message);
    append_str(&message, text_argument(fcinfo, 0, wire::kMaxAccountBytes, "account"));
    append_str(&message, text_argument(fcinfo, 1, kMaxTopicBytes, "topic"));
    if (PG_ARGISNULL(2)) {
        appendStringInfoString(&message, "null");
    } else {
        Jsonb* payload = PG_GETARG_JSONB_P(2);
        (void)JsonbToCString(&message, &payload->root, VARSIZE(payload));
    }
#if PG_VERSION_NUM >= 170000
    PG_RETURN_LSN(LogLogicalMessage(kPrefix, message.data, static_cast<Size>(message.len), true, false));
#else
    PG_RETURN_LSN(LogLogicalMessage(kPrefix, message.data, static_cast<Size>(message.len), true));
#endif
}

}  // extern "C"

}  // namespace fatwal
