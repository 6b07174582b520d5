#include "fatwal/client/typed.h"

#include <algorithm>
#include <bit>

#include "fatwal/wire/account.h"
#include "fatwal/wire/text.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::client {

std::optional<Uuid> Uuid::from_text(std::string_view text) {
    if (text.size() > wire::kMaxAccountBytes) return std::nullopt;
    wire::AccountBuffer buffer;
    const wire::AccountView key = wire::account_from_text(text, buffer);
    if (key.kind != wire::AccountKind::Uuid) return std::nullopt;
    Uuid uuid;
    std::copy(key.bytes.begin(), key.bytes.end(), uuid.bytes.begin());
    return uuid;
}

std::string Uuid::to_text() const {
    std::array<char, wire::kMaxAccountBytes> text;
    return {text.data(), wire::account_to_text({wire::AccountKind::Uuid, bytes}, text.data())};
}

std::string DecodeError::message() const {
    const std::string of_column = table + ": column " + column;
    switch (reason) {
        case Reason::None: break;
        case Reason::OtherTable: return table + ": not a table that this code was generated for";
        case Reason::MissingColumn: return of_column + " is missing";
        case Reason::OtherType:
            return of_column + " has another type than when this code was generated";
        case Reason::Null: return of_column + " is null";
        case Reason::Unavailable:
            return of_column +
                   (" has no value here: the server did not log it, or its type is of a later "
                    "release than this program");
        case Reason::Malformed: return of_column + " is malformed";
    }
    return "no error";
}

namespace typed {

namespace {

using wire::TypeCode;

// Types whose values are the same to the reader have one code here; one of a later release has its
// own, so that it differs from all that generated code knows.
TypeCode kin(TypeCode code) { return wire::is_known(code) ? wire::info_of(code).reads_as : code; }

std::vector<std::pair<std::uint32_t, std::uint16_t>> enumerators(
    const wire::EnumLabels& labels, std::span<const std::string_view> known) {
    std::vector<std::pair<std::uint32_t, std::uint16_t>> found;
    wire::Cursor cursor(labels.bytes());
    for (std::uint16_t i = 0; i < labels.size(); ++i) {
        const wire::EnumLabel label = wire::EnumLabels::read(cursor);
        const auto at = std::find(known.begin(), known.end(), label.label);
        if (at != known.end())
            found.emplace_back(label.oid, static_cast<std::uint16_t>(at - known.begin() + 1));
    }
    return found;
}

void tell(DecodeError* error, DecodeError::Reason reason, const Row& row, std::string_view column) {
    if (error == nullptr) return;
    error->reason = reason;
    error->table = std::string(row.schema().schema()) + '.' + std::string(row.schema().table());
    error->column = column;
}

}  // namespace

void other_table(const Row& row, DecodeError* error) {
    tell(error, DecodeError::Reason::OtherTable, row, {});
}

Binding bind(const Schema& schema, const TableSpec& table) {
    Binding binding;
    if (!describes(schema, table)) {
        binding.unbound = DecodeError::Reason::OtherTable;
        return binding;
    }
    for (const ColumnSpec& spec : table.columns) {
        const auto index = schema.find(spec.name);
        if (!index) {
            binding.unbound = DecodeError::Reason::MissingColumn;
            return binding;
        }
        const wire::ColumnView& column = schema.columns()[*index];
        if (kin(column.code) != kin(spec.code) || kin(column.element) != kin(spec.element)) {
            binding.unbound = DecodeError::Reason::OtherType;
            return binding;
        }
        binding.columns.push_back(
            {*index, column.code, column.element, enumerators(column.labels, spec.labels)});
    }
    return binding;
}

bool value_of(const wire::Cell& cell, TypeCode, bool& out) {
    out = cell.slot != 0;
    return cell.slot <= 1;
}

bool value_of(const wire::Cell& cell, TypeCode, std::int64_t& out) {
    out = static_cast<std::int64_t>(cell.slot);
    return true;
}

bool value_of(const wire::Cell& cell, TypeCode code, double& out) {
    out = code == TypeCode::Float8
              ? std::bit_cast<double>(cell.slot)
              : static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(cell.slot)));
    return true;
}

bool value_of(const wire::Cell& cell, TypeCode, Uuid& out) {
    if (cell.bytes.size() != out.bytes.size()) return false;
    std::copy(cell.bytes.begin(), cell.bytes.end(), out.bytes.begin());
    return true;
}

bool value_of(const wire::Cell& cell, TypeCode, Timestamp& out) {
    using Limits = std::numeric_limits<std::int64_t>;
    constexpr std::int64_t kEpoch = wire::kPostgresEpochUnixSeconds * 1'000'000;
    const auto since_2000 = static_cast<std::int64_t>(cell.slot);
    // The last years that Postgres knows (from 294247 on) are beyond microseconds since 1970: they
    // are as good as infinity.
    if (since_2000 == Limits::min())
        out = Timestamp::min();
    else if (since_2000 > Limits::max() - kEpoch)
        out = Timestamp::max();
    else
        out = Timestamp(std::chrono::microseconds(since_2000 + kEpoch));
    return true;
}

bool value_of(const wire::Cell& cell, TypeCode code, std::string& out) {
    switch (code) {
        case TypeCode::Text:
        case TypeCode::Other: out = wire::as_text(cell.bytes); return wire::is_utf8(out);
        case TypeCode::Bytea: out = wire::as_text(cell.bytes); return true;
        case TypeCode::Numeric:
            return wire::render_numeric(cell.bytes, wire::sink_to(out)) == wire::RenderError::None;
        default: break;
    }
    // Dates, times, intervals and addresses: as in JSON, without the quotes. None of them has a
    // character that JSON escapes.
    std::string quoted;
    if (wire::render_value(cell, code, TypeCode::Other, {}, wire::sink_to(quoted)) !=
        wire::RenderError::None)
        return false;
    if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"') return false;
    out.assign(quoted, 1, quoted.size() - 2);
    return true;
}

bool json_text_of(const wire::Cell& cell, TypeCode code, std::string& out) {
    if (code == TypeCode::Jsonb)
        return wire::render_jsonb(cell.bytes, wire::sink_to(out)) == wire::RenderError::None;
    out = wire::as_text(cell.bytes);
    return true;
}

std::uint16_t Reader::enumerator(const Binding::Column& column, const wire::Cell& cell) {
    const auto oid = static_cast<std::uint32_t>(cell.slot);
    for (const auto& [label, value] : column.enumerators)
        if (label == oid) return value;
    return 0;
}

void Reader::fail(Reason reason) {
    ok_ = false;
    tell(error_, reason, row_,
         reason == Reason::OtherTable ? std::string_view() : table_.columns[next_].name);
}

}  // namespace typed

}  // namespace fatwal::client
