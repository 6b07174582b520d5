// fatwal.account_key: an account's key as the stream spells it, by the rule that the stream itself
// and every client have.
#include "extension/server.h"
#include "extension/utf8_database.h"
#include "fatwal/wire/account.h"
#include "fatwal/wire/text.h"

namespace fatwal::plugin {

extern "C" {

PG_FUNCTION_INFO_V1(fatwal_account_key);
PGDLLEXPORT Datum fatwal_account_key(PG_FUNCTION_ARGS) {
    require_utf8_database();
    struct varlena* argument = PG_GETARG_TEXT_PP(0);
    const std::string_view account(VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument));
    if (account.size() > wire::kMaxAccountBytes)
        ereport(ERROR,
                (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION), errmsg("account is too long"),
                 errdetail("It has %zu bytes; at most %zu are allowed.", account.size(),
                           wire::kMaxAccountBytes),
                 errhint("Rows with such a key go to the operators' stream.")));
    if (!wire::is_one_line(account))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("account is not one line of text"),
                        errdetail("It contains a control character or a line separator."),
                        errhint("Give the account's key as the account column holds it, without "
                                "control characters.")));
    wire::AccountBuffer buffer;
    char text[wire::kMaxAccountBytes];
    const std::size_t length =
        wire::account_to_text(wire::account_from_text(account, buffer), text);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(text, static_cast<int>(length)));
}

}  // extern "C"

}  // namespace fatwal::plugin
