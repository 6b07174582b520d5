#include "fatwal/client/row.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "fatwal/wire/text_sink.h"

namespace fatwal::client {

namespace {

template <class Render>
std::optional<std::string> rendered(Render&& render) {
    std::string text;
    if (render(wire::sink_to(text)) != wire::RenderError::None) return std::nullopt;
    return text;
}

}  // namespace

Row::Found Row::find(Column column) const {
    std::optional<std::uint16_t> index;
    if (const auto* given = std::get_if<std::uint16_t>(&column.column_))
        index = *given;
    else
        index = schema_->find(std::get<std::string_view>(column.column_));
    if (!index || *index >= schema_->columns().size()) return {};
    const wire::ColumnView& found = schema_->columns()[*index];
    return {&found,
            std::visit([&](const auto& row) { return row.cell(*index, found.code); }, row_)};
}

std::optional<wire::Cell> Row::value(Column column, wire::TypeCode code) const {
    const Found found = find(column);
    if (found.column == nullptr || found.column->code != code || !found.cell.has_value())
        return std::nullopt;
    return found.cell;
}

wire::Cell Row::cell(Column column) const { return find(column).cell; }

Row::State Row::state(Column column) const { return find(column).cell.state; }

std::optional<bool> Row::boolean(Column column) const {
    const auto cell = value(column, wire::TypeCode::Bool);
    if (!cell) return std::nullopt;
    return cell->slot != 0;
}

std::optional<std::int64_t> Row::integer(Column column) const {
    const Found found = find(column);
    // A cell that has a value is of a type that is known.
    if (found.column == nullptr || !found.cell.has_value() ||
        wire::info_of(found.column->code).cpp != wire::CppType::Integer)
        return std::nullopt;
    return static_cast<std::int64_t>(found.cell.slot);
}

std::optional<double> Row::floating(Column column) const {
    if (const auto cell = value(column, wire::TypeCode::Float8))
        return std::bit_cast<double>(cell->slot);
    if (const auto cell = value(column, wire::TypeCode::Float4))
        return std::bit_cast<float>(static_cast<std::uint32_t>(cell->slot));
    return std::nullopt;
}

std::optional<std::string_view> Row::text(Column column) const {
    const Found found = find(column);
    if (found.column == nullptr || !found.cell.has_value()) return std::nullopt;
    switch (found.column->code) {
        case wire::TypeCode::Text:
        case wire::TypeCode::Json:
        case wire::TypeCode::Other: return wire::as_text(found.cell.bytes);
        case wire::TypeCode::Enum:
            return found.column->labels.find(static_cast<std::uint32_t>(found.cell.slot));
        default: return std::nullopt;
    }
}

std::optional<wire::Bytes> Row::bytes(Column column) const {
    const auto cell = value(column, wire::TypeCode::Bytea);
    if (!cell) return std::nullopt;
    return cell->bytes;
}

std::optional<std::array<std::byte, 16>> Row::uuid(Column column) const {
    const auto cell = value(column, wire::TypeCode::Uuid);
    if (!cell || cell->bytes.size() != 16) return std::nullopt;
    std::array<std::byte, 16> uuid{};
    std::copy(cell->bytes.begin(), cell->bytes.end(), uuid.begin());
    return uuid;
}

std::optional<std::string> Row::numeric(Column column) const {
    const auto cell = value(column, wire::TypeCode::Numeric);
    if (!cell) return std::nullopt;
    return rendered(
        [&](const wire::Sink& sink) { return wire::render_numeric(cell->bytes, sink); });
}

std::optional<std::string> Row::jsonb(Column column) const {
    const auto cell = value(column, wire::TypeCode::Jsonb);
    if (!cell) return std::nullopt;
    return rendered([&](const wire::Sink& sink) { return wire::render_jsonb(cell->bytes, sink); });
}

std::optional<std::chrono::sys_time<std::chrono::microseconds>> Row::time(Column column) const {
    auto cell = value(column, wire::TypeCode::TimestampTz);
    if (!cell) cell = value(column, wire::TypeCode::Timestamp);
    if (!cell) return std::nullopt;
    const auto microseconds = static_cast<std::int64_t>(cell->slot);
    using Limits = std::numeric_limits<std::int64_t>;
    constexpr std::int64_t kEpoch = wire::kPostgresEpochUnixSeconds * 1'000'000;
    if (microseconds == Limits::min() || microseconds > Limits::max() - kEpoch) return std::nullopt;
    return std::chrono::sys_time<std::chrono::microseconds>(
        std::chrono::microseconds(microseconds + kEpoch));
}

std::optional<std::string> Row::json(Column column, wire::Numbers numbers) const {
    const Found found = find(column);
    if (found.column == nullptr || found.cell.state == State::Unavailable) return std::nullopt;
    return rendered([&](const wire::Sink& sink) {
        return wire::render_value(found.cell, found.column->code, found.column->element,
                                  found.column->labels, sink, numbers);
    });
}

std::optional<std::string> Row::json(wire::Numbers numbers) const {
    return std::visit(
        [&](const auto& row) {
            return rendered([&](const wire::Sink& sink) {
                return wire::render_row(row, schema_->view(), sink, numbers);
            });
        },
        row_);
}

std::string Row::unavailable_json() const {
    return std::visit(
               [&](const auto& row) {
                   return rendered([&](const wire::Sink& sink) {
                       return wire::render_unavailable(row, schema_->view(), sink);
                   });
               },
               row_)
        .value_or("[]");
}

}  // namespace fatwal::client
