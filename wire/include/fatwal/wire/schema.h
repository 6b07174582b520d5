// A zero-copy view of a schema message: the columns of one version of one table ("Schema" in
// docs/wire-format.md).
//
//     if (const auto schema = SchemaView::parse(bytes))
//         schema->for_each_column([&](std::uint16_t index, const ColumnView& column) { … });
//
// Bind columns by name once for each id() and keep their indices: for_each_column() reads from the
// start each time. client::Schema does that and owns its bytes. parse() checks all of it, the
// fingerprint too; malformed bytes give nothing. Nothing is allocated or shared.
#pragma once

#include <optional>
#include <string_view>

#include "fatwal/wire/bytes.h"
#include "fatwal/wire/types.h"

namespace fatwal::wire {

struct EnumLabel {
    std::uint32_t oid = 0;
    std::string_view label;
};

// The labels of an enum, in their sort order.
class EnumLabels {
public:
    EnumLabels() = default;
    EnumLabels(std::uint16_t count, Bytes bytes) noexcept : count_(count), bytes_(bytes) {}
    [[nodiscard]] std::uint16_t size() const noexcept { return count_; }
    // Empty when there is no such label.
    [[nodiscard]] std::string_view find(std::uint32_t oid) const noexcept;
    // Reads the next label from `cursor`, which started at bytes().
    [[nodiscard]] static EnumLabel read(Cursor& cursor) noexcept;
    [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }

private:
    std::uint16_t count_ = 0;
    Bytes bytes_;
};

struct ColumnView {
    TypeCode code = TypeCode::Other;
    TypeCode element = TypeCode::Other;
    std::uint8_t flags = 0;
    std::uint32_t type_oid = 0;
    std::uint32_t base_type_oid = 0;
    std::int32_t type_modifier = -1;
    std::int16_t attribute_number = 0;
    std::string_view name;
    std::string_view type_name;
    EnumLabels labels;

    [[nodiscard]] bool has(ColumnFlag flag) const noexcept { return (flags & flag) != 0; }
};

// Valid as long as the bytes it was parsed from.
class SchemaView {
public:
    // Checks the whole message, its columns and its fingerprint. Nothing when `bytes` is not one
    // schema of this version.
    [[nodiscard]] static std::optional<SchemaView> parse(Bytes bytes) noexcept;

    [[nodiscard]] SchemaId id() const noexcept {
        return {load<std::uint32_t>(bytes_.data() + schema_at::kRelation),
                load<std::uint32_t>(bytes_.data() + schema_at::kFingerprint)};
    }
    [[nodiscard]] std::uint16_t columns() const noexcept {
        return load<std::uint16_t>(bytes_.data() + schema_at::kColumns);
    }
    [[nodiscard]] char replica_identity() const noexcept {
        return load<char>(bytes_.data() + schema_at::kReplicaIdentity);
    }
    // -1 when the table has none.
    [[nodiscard]] std::int16_t account_column() const noexcept {
        return load<std::int16_t>(bytes_.data() + schema_at::kAccountColumn);
    }
    [[nodiscard]] std::string_view schema() const noexcept;
    [[nodiscard]] std::string_view table() const noexcept;

    // Calls `visit(std::uint16_t index, const ColumnView&)` for each column.
    template <class Visit>
    void for_each_column(Visit&& visit) const {
        Cursor cursor = at_columns();
        for (std::uint16_t i = 0; i < columns(); ++i) visit(i, read_column(cursor));
    }

    [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }

private:
    explicit SchemaView(Bytes bytes) noexcept : bytes_(bytes) {}
    [[nodiscard]] Cursor at_columns() const noexcept;
    static ColumnView read_column(Cursor& cursor) noexcept;

    Bytes bytes_;
};

// The fingerprint of a schema message: FNV-1a over its bytes from kFingerprintFrom, folded to 32
// bits.
inline constexpr std::size_t kFingerprintFrom = schema_at::kReplicaIdentity;
[[nodiscard]] std::uint32_t fingerprint(Bytes bytes) noexcept;

}  // namespace fatwal::wire
