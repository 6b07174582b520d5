#include "extension/account_of.h"

namespace fatwal::plugin {

namespace {

wire::AccountView text_account(const Plan& plan, std::string_view text,
                               wire::AccountBuffer& buffer) {
    if (text.size() <= wire::kMaxAccountBytes) return wire::account_from_text(text, buffer);
    // Once for each table and session: the rows are whoever writes them's, the server's log is
    // everybody's.
    if (!plan.warned.key) {
        plan.warned.key = true;
        const char* name = qualified_name(plan.relation);
        ereport(WARNING,
                (errmsg("a row of table %s has an account key of %zu bytes", name, text.size()),
                 errdetail("A key has at most %zu bytes. Such rows go to the operators' stream.",
                           wire::kMaxAccountBytes)));
    }
    return {};
}

}  // namespace

wire::AccountView account_of(const Plan& plan, const Values& values, wire::AccountBuffer& buffer) {
    if (!plan.names_account() || !values.present()) return {};
    const Column& column = plan.column[plan.account_column];
    if (column.unavailable || values.null[column.attribute] || values.is_unlogged_toast(column))
        return {};
    const Datum value = values.value[column.attribute];
    switch (plan.account_type) {
        case AccountType::Uuid:
            return {wire::AccountKind::Uuid,
                    {reinterpret_cast<const std::byte*>(DatumGetPointer(value)), UUID_LEN}};
        case AccountType::Int2: return wire::account_from_integer(DatumGetInt16(value), buffer);
        case AccountType::Int4: return wire::account_from_integer(DatumGetInt32(value), buffer);
        case AccountType::Int8: return wire::account_from_integer(DatumGetInt64(value), buffer);
        case AccountType::Text:
        case AccountType::BlankPadded: {
            struct varlena* text = PG_DETOAST_DATUM_PACKED(value);
            std::size_t length = VARSIZE_ANY_EXHDR(text);
            const char* bytes = VARDATA_ANY(text);
            if (plan.account_type == AccountType::BlankPadded)
                while (length > 0 && bytes[length - 1] == ' ') --length;
            return text_account(plan, {bytes, length}, buffer);
        }
        case AccountType::None: break;
    }
    return {};
}

}  // namespace fatwal::plugin
