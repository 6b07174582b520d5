#include "portal/access/row_change.h"

#include <algorithm>
#include <utility>

#include "portal/access/row_types.h"

namespace fatwal::access {
namespace {

// In whatever version: a row of the domain's tables that cannot be decoded matters, one of another
// table does not.
bool is_known(const client::Schema& schema) {
    return schema.schema() == portal::Accounts::kSchema &&
           std::find(DomainRows::kNames.begin(), DomainRows::kNames.end(), schema.table()) !=
               DomainRows::kNames.end();
}

// What is wrong with a table whose old rows are not whole, with the statement that mends it; empty
// when they are.
std::string incomplete(const client::Schema& schema) {
    if (schema.view().replica_identity() == 'f') return {};
    const std::string table = std::string(schema.schema()) + '.' + std::string(schema.table());
    return "access is decided by table " + table +
           ", which does not log whole old rows: ALTER TABLE " + table + " REPLICA IDENTITY FULL;";
}

std::optional<Uuid> uuid_of(const client::Row& row, const char* column) {
    const auto bytes = row.uuid(column);
    return bytes ? std::optional(Uuid{*bytes}) : std::nullopt;
}

bool is_of_schema(const client::DecodeError& error) {
    using Reason = client::DecodeError::Reason;
    return error.reason == Reason::MissingColumn || error.reason == Reason::OtherType;
}

BadRow bad_row(const client::Schema& schema, const client::Row* row, std::string reason,
               bool of_schema = false) {
    BadRow out;
    out.of_schema = of_schema;
    out.table = schema.table();
    out.reason = std::move(reason);
    if (row == nullptr) return out;
    DomainRows::for_each([&]<class Row>(std::type_identity<Row>) {
        constexpr auto& kKey = Storage<Row>::kKeyColumns;
        if (out.table != Row::kTable) return;
        out.id = uuid_of(*row, kKey[0]);
        if constexpr (kKey.size() > 1) out.site = uuid_of(*row, kKey[1]);
    });
    return out;
}

// Decodes the row into `into` and tells whether it is one that is not there; else gives what can be
// read of it all the same.
std::optional<BadRow> unread(const client::Row& row, const TableShape& shape, portal::AnyRow& into,
                             bool& is_deleted) {
    client::DecodeError error;
    into = portal::decode_any(row, &error);
    if (into.index() == 0) return bad_row(row.schema(), &row, error.message(), is_of_schema(error));
    if (!shape.deleted_at) return std::nullopt;
    const auto state = row.state(*shape.deleted_at);
    is_deleted = state == client::Row::State::Value;
    if (is_deleted || state == client::Row::State::Null) return std::nullopt;
    into = {};
    return bad_row(row.schema(), &row, "column deleted_at cannot be read");
}

// Whether both rows have the same key, as far as they can be read.
bool keeps_key(const client::Change& change) {
    if (!change.old_row || !change.new_row) return false;
    const BadRow before = bad_row(*change.schema, &*change.old_row, {});
    const BadRow after = bad_row(*change.schema, &*change.new_row, {});
    return before.id && before.id == after.id && before.site == after.site;
}

}  // namespace

std::span<const std::string_view> published_tables() { return DomainRows::kNames; }

void typed_change(const client::Change& change, std::vector<RowChange>& out, std::size_t& unknown) {
    const bool resync = change.op == wire::Op::Resync;
    if (change.schema == nullptr && !resync) return;
    if (change.schema != nullptr && !is_known(*change.schema)) {
        ++unknown;
        return;
    }
    RowChange typed;
    if (change.schema != nullptr) {
        typed.voided_by = incomplete(*change.schema);
        typed.shape = shape_of(*change.schema);
    }
    if (!typed.voided_by.empty()) {
        // Whatever the change says, another of the table may be missing.
    } else if (resync) {
        const std::string rows =
            change.schema == nullptr ? "" : " of " + std::string(change.schema->table());
        typed.voided_by = "rows" + rows + " changed in a way that the stream cannot tell";
    } else if (change.op == wire::Op::Truncate) {
        typed.voided_by = "a table was truncated";
    } else {
        bool is_deleted = false;
        const auto read = [&](const std::optional<client::Row>& row,
                              portal::AnyRow& into) -> std::optional<BadRow> {
            is_deleted = false;
            if (!row) return std::nullopt;
            if (change.malformed) return bad_row(*change.schema, &*row, "malformed");
            return unread(*row, *typed.shape, into, is_deleted);
        };
        auto bad_before = read(change.old_row, typed.before);
        const bool before_is_bad = bad_before.has_value();
        typed.bad = read(change.new_row, typed.after);
        if (change.malformed && !change.old_row && !change.new_row)
            typed.bad = bad_row(*change.schema, nullptr, "malformed");
        // Of a row that keeps its key the new form says all, read or not. If either cannot be read
        // and the key is another, the row that was is taken away first; then comes the one that is.
        if (change.old_row && (before_is_bad || typed.bad || is_deleted) && !keeps_key(change)) {
            RowChange gone;
            gone.before = std::move(typed.before);
            gone.bad = std::move(bad_before);
            if (gone.bad) gone.bad->is_gone = true;
            gone.shape = typed.shape;
            out.push_back(std::move(gone));
            if (!change.new_row) return;
        }
        if (before_is_bad || typed.bad) typed.before = {};
        if (is_deleted) typed.before = std::exchange(typed.after, {});
    }
    out.push_back(std::move(typed));
}

std::vector<RowChange> typed_changes(const client::Transaction& transaction, std::size_t* unknown) {
    std::vector<RowChange> out;
    std::size_t left_out = 0;
    transaction.for_each(
        [&](const client::Change& change) { typed_change(change, out, left_out); });
    if (unknown != nullptr) *unknown += left_out;
    return out;
}

std::optional<RowChange> typed_row(const client::Row& row) {
    if (!is_known(row.schema())) return std::nullopt;
    RowChange out;
    out.voided_by = incomplete(row.schema());
    out.shape = shape_of(row.schema());
    if (!out.voided_by.empty()) return out;
    bool is_deleted = false;
    out.bad = unread(row, *out.shape, out.after, is_deleted);
    if (is_deleted) out.before = std::exchange(out.after, {});
    return out;
}

}  // namespace fatwal::access
