#include "fatwal/wire/schema.h"

#include "fatwal/wire/frame.h"

namespace fatwal::wire {

std::uint32_t fingerprint(Bytes bytes) noexcept {
    std::uint64_t hash = 0xCBF2'9CE4'8422'2325U;
    for (const std::byte byte : bytes) {
        hash ^= std::to_integer<std::uint64_t>(byte);
        hash *= 0x0000'0100'0000'01B3U;
    }
    return static_cast<std::uint32_t>(hash ^ (hash >> 32U));
}

EnumLabel EnumLabels::read(Cursor& cursor) noexcept {
    const auto oid = cursor.read<std::uint32_t>();
    return {oid, cursor.text()};
}

std::string_view EnumLabels::find(std::uint32_t oid) const noexcept {
    Cursor cursor(bytes_);
    for (std::uint16_t i = 0; i < count_; ++i) {
        const EnumLabel label = read(cursor);
        if (label.oid == oid) return label.label;
    }
    return {};
}

ColumnView SchemaView::read_column(Cursor& cursor) noexcept {
    ColumnView column;
    column.code = static_cast<TypeCode>(cursor.read<std::uint8_t>());
    column.element = static_cast<TypeCode>(cursor.read<std::uint8_t>());
    column.flags = cursor.read<std::uint8_t>();
    cursor.read<std::uint8_t>();
    column.type_oid = cursor.read<std::uint32_t>();
    column.base_type_oid = cursor.read<std::uint32_t>();
    column.type_modifier = cursor.read<std::int32_t>();
    column.attribute_number = cursor.read<std::int16_t>();
    column.name = cursor.text();
    column.type_name = cursor.text();
    const auto labels = cursor.read<std::uint16_t>();
    // The labels are passed over to find where they end; EnumLabels reads them when it is asked.
    Cursor ahead = cursor;
    for (std::uint16_t i = 0; i < labels && ahead.ok(); ++i) (void)EnumLabels::read(ahead);
    column.labels = EnumLabels(labels, cursor.take(ahead.at() - cursor.at()));
    if (!ahead.ok()) cursor = ahead;
    return column;
}

Cursor SchemaView::at_columns() const noexcept {
    Cursor cursor(bytes_);
    cursor.take(kSchemaHeaderBytes);
    cursor.text();
    cursor.text();
    return cursor;
}

std::string_view SchemaView::schema() const noexcept {
    Cursor cursor(bytes_.subspan(kSchemaHeaderBytes));
    return cursor.text();
}

std::string_view SchemaView::table() const noexcept {
    Cursor cursor(bytes_.subspan(kSchemaHeaderBytes));
    cursor.text();
    return cursor.text();
}

// A code that is not known passes: only its column cannot be read. Elements of an array that are
// arrays have no form, so they are malformed and not of a later release.
std::optional<SchemaView> SchemaView::parse(Bytes bytes) noexcept {
    if (bytes.size() < kSchemaHeaderBytes || message_kind(bytes) != kSchemaKind)
        return std::nullopt;
    if (load<std::uint32_t>(bytes.data() + schema_at::kLength) != bytes.size()) return std::nullopt;
    const SchemaView schema(bytes);
    if (schema.account_column() < -1 ||
        schema.account_column() >= static_cast<std::int32_t>(schema.columns()))
        return std::nullopt;
    Cursor cursor = schema.at_columns();
    for (std::uint16_t i = 0; i < schema.columns() && cursor.ok(); ++i) {
        if (read_column(cursor).element == TypeCode::Array) return std::nullopt;
    }
    if (!cursor.ok() || align8(cursor.at()) != bytes.size()) return std::nullopt;
    if (fingerprint(bytes.subspan(kFingerprintFrom)) != schema.id().fingerprint)
        return std::nullopt;
    return schema;
}

}  // namespace fatwal::wire
