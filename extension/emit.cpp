// fatwal.emit: a message to an account, in the order of the transaction's changes.
#include "extension/server.h"
#include "extension/utf8_database.h"
#include "fatwal/wire/account.h"
#include "fatwal/wire/text.h"
#include "wire/encoding/logical_message.h"

namespace fatwal::plugin {

namespace {

std::string_view text_argument(FunctionCallInfo fcinfo, int index, std::size_t most,
                               const char* name) {
    if (PG_ARGISNULL(index)) return {};
    struct varlena* argument = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(index));
    const std::string_view text(VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument));
    if (text.size() > most)
        ereport(ERROR,
                (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION), errmsg("%s is too long", name),
                 errdetail("It has %zu bytes; at most %zu are allowed.", text.size(), most)));
    return text;
}

std::string_view payload_argument(FunctionCallInfo fcinfo, int index) {
    if (PG_ARGISNULL(index)) return "null";
    Jsonb* payload = PG_GETARG_JSONB_P(index);
    StringInfoData text;
    initStringInfo(&text);
    (void)JsonbToCString(&text, &payload->root, VARSIZE(payload));
    return {text.data, static_cast<std::size_t>(text.len)};
}

// What the plugin would not pass on as a message of fatwal.emit is refused here, where somebody
// reads the error.
void check_message(std::string_view account, std::string_view topic, std::string_view payload) {
    const char* one_line = "It contains a control character or a line separator.";
    switch (wire::fault_of(account, topic, payload)) {
        case wire::EmitFault::None: return;
        case wire::EmitFault::Account:
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("account is not one line of text"), errdetail("%s", one_line),
                            errhint("Give the account's key as the account column holds it, "
                                    "without control characters.")));
        case wire::EmitFault::Topic:
            ereport(
                ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("topic is not one line of text"),
                 errdetail("%s", one_line),
                 errhint(
                     "Name the topic without control characters; the payload may hold any text.")));
        case wire::EmitFault::Size:
            ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("payload is too large"),
                            errdetail("It has %zu bytes as text; at most %zu are sent.",
                                      payload.size(), wire::kMaxMessageBytes - topic.size()),
                            errhint("Keep the payload in a table and send its key.")));
        case wire::EmitFault::Payload:
            ereport(ERROR,
                    (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("payload is nested too deep"),
                     errdetail("At most %zu levels are sent.", wire::kMaxPayloadDepth),
                     errhint("Keep the payload in a table and send its key.")));
    }
}

void append_str(StringInfo out, std::string_view text) {
    const auto length = static_cast<std::uint16_t>(text.size());
    appendBinaryStringInfo(out, reinterpret_cast<const char*>(&length), sizeof length);
    appendBinaryStringInfo(out, text.data(), length);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_emit);
PGDLLEXPORT Datum fatwal_emit(PG_FUNCTION_ARGS) {
    require_utf8_database();
    if (PG_ARGISNULL(1))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("topic must not be null")));
    const std::string_view account = text_argument(fcinfo, 0, wire::kMaxAccountBytes, "account");
    const std::string_view topic = text_argument(fcinfo, 1, wire::kMaxTopicBytes, "topic");
    const std::string_view payload = payload_argument(fcinfo, 2);
    check_message(account, topic, payload);
    StringInfoData message;
    initStringInfo(&message);
    append_str(&message, account);
    append_str(&message, topic);
    appendBinaryStringInfo(&message, payload.data(), static_cast<int>(payload.size()));
#if PG_VERSION_NUM >= 170000
    PG_RETURN_LSN(LogLogicalMessage(wire::kEmitPrefix, message.data, static_cast<Size>(message.len),
                                    true, false));
#else
    PG_RETURN_LSN(
        LogLogicalMessage(wire::kEmitPrefix, message.data, static_cast<Size>(message.len), true));
#endif
}

}  // extern "C"

}  // namespace fatwal::plugin
