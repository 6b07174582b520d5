// Rows as structs: what the code that `fatwal codegen` writes is made of (docs/codegen.md). Needs
// no JSON library: JSON goes through a parser that the generated code brings along.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fatwal/client/row.h"

namespace fatwal::client {

// In the order in which Postgres sorts them.
struct Uuid {
    std::array<std::byte, 16> bytes{};

    // 8-4-4-4-12 hexadecimal digits, either case; nothing for any other text.
    [[nodiscard]] static std::optional<Uuid> from_text(std::string_view text);
    // In lower case, as Postgres prints it.
    [[nodiscard]] std::string to_text() const;

    friend bool operator==(const Uuid&, const Uuid&) = default;
    friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

// infinity is Timestamp::max(), -infinity Timestamp::min(). A timestamp without zone is taken as
// UTC.
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;

// Why a row gave no struct.
struct DecodeError {
    enum class Reason : std::uint8_t {
        None,
        OtherTable,  // the row is of another table; of decode_any: of a table that it does not know
        MissingColumn,  // the table has it no more
        OtherType,      // the column has another type than when the code was generated
        Null,           // in a column that was NOT NULL when the code was generated
        Unavailable,    // the server did not log the value, or its type is of a later release
        Malformed,
    };

    Reason reason = Reason::None;
    std::string table;   // the row's, with its schema
    std::string column;  // empty for OtherTable

    // "public.policies: column resource_id is missing"
    [[nodiscard]] std::string message() const;

    friend bool operator==(const DecodeError&, const DecodeError&) = default;
};

// For generated code; not to be called by hand.
namespace typed {

// A column as it was when the code was generated. Labels are those of the enum, or of the array's
// elements, in their sort order.
struct ColumnSpec {
    std::string_view name;
    wire::TypeCode code;
    wire::TypeCode element = wire::TypeCode::Other;
    std::span<const std::string_view> labels = {};
};

struct TableSpec {
    std::string_view schema;
    std::string_view table;
    std::span<const ColumnSpec> columns;
};

// Where a table's columns are in one version of it.
struct Binding {
    struct Column {
        std::uint16_t index = 0;
        wire::TypeCode code =
            wire::TypeCode::Other;  // as the row has it: int4 may have become int8
        wire::TypeCode element = wire::TypeCode::Other;
        std::vector<std::pair<std::uint32_t, std::uint16_t>>
            enumerators;  // by the oid of the label; one that is not here is 0
    };
    std::vector<Column> columns;  // as in the TableSpec, up to the first that cannot be bound
    DecodeError::Reason unbound = DecodeError::Reason::None;  // why that cannot
};
[[nodiscard]] Binding bind(const Schema& schema, const TableSpec& table);

[[nodiscard]] inline bool describes(const Schema& schema, const TableSpec& table) {
    return schema.schema() == table.schema && schema.table() == table.table;
}
// That `row` is of no table that is known. `error` may be null.
void other_table(const Row& row, DecodeError* error);

// The label of an enumerator: they begin with Unknown, which has none.
template <class Enum>
[[nodiscard]] std::string_view label_of(std::span<const std::string_view> labels, Enum value) {
    const auto number = static_cast<std::size_t>(value);
    return number == 0 || number > labels.size() ? std::string_view() : labels[number - 1];
}

// What was found for a version of a table, by its descriptor's name, which is made from its
// content: so a row costs a comparison. Not thread-safe: generated code has one a thread. Bounded:
// all is forgotten when a table has had kMost versions.
template <class T>
class ByDescriptor {
public:
    // `make(schema)` makes it the first time. Valid until the next call.
    template <class Make>
    const T& of(const Schema& schema, Make&& make) {
        const wire::SchemaId id = schema.id();
        if (last_ < known_.size() && known_[last_].first == id) return known_[last_].second;
        for (last_ = 0; last_ < known_.size(); ++last_)
            if (known_[last_].first == id) return known_[last_].second;
        if (known_.size() == kMost) known_.clear();
        last_ = known_.size();
        known_.emplace_back(id, make(schema));
        return known_[last_].second;
    }

private:
    static constexpr std::size_t kMost = 64;
    std::vector<std::pair<wire::SchemaId, T>> known_;
    std::size_t last_ = 0;
};

// A value of each kind of member; false when it is malformed. `cell` has a value.
[[nodiscard]] bool value_of(const wire::Cell& cell, wire::TypeCode code, bool& out);
[[nodiscard]] bool value_of(const wire::Cell& cell, wire::TypeCode code, std::int64_t& out);
[[nodiscard]] bool value_of(const wire::Cell& cell, wire::TypeCode code, double& out);
[[nodiscard]] bool value_of(const wire::Cell& cell, wire::TypeCode code, Uuid& out);
[[nodiscard]] bool value_of(const wire::Cell& cell, wire::TypeCode code, Timestamp& out);
[[nodiscard]] bool value_of(const wire::Cell& cell, wire::TypeCode code, std::string& out);
// json and jsonb as JSON text.
[[nodiscard]] bool json_text_of(const wire::Cell& cell, wire::TypeCode code, std::string& out);

// Reads a row's columns one behind the other, in the order of the TableSpec. After the first that
// cannot be read it reads no more.
class Reader {
public:
    using Reason = DecodeError::Reason;

    // `error` may be null. All outlive the reader.
    Reader(const Row& row, const TableSpec& table, ByDescriptor<Binding>& bindings,
           DecodeError* error)
        : row_(row),
          table_(table),
          binding_(
              bindings.of(row.schema(), [&](const Schema& schema) { return bind(schema, table); })),
          error_(error) {
        if (binding_.unbound == Reason::OtherTable) fail(Reason::OtherTable);
    }

    [[nodiscard]] bool ok() const { return ok_; }

    template <class T>
    void operator()(T& out) {
        read(out, [](const wire::Cell& cell, const Binding::Column& column, wire::TypeCode code,
                     auto& value) {
            using Value = std::remove_reference_t<decltype(value)>;
            if constexpr (std::is_enum_v<Value>) {
                value = static_cast<Value>(enumerator(column, cell));
                return true;
            } else {
                return value_of(cell, code, value);
            }
        });
    }
    // Of json and jsonb: `parse(std::string_view text, value)` gives whether it is JSON.
    template <class T, class Parse>
    void operator()(T& out, Parse parse) {
        read(out, [parse](const wire::Cell& cell, const Binding::Column&, wire::TypeCode code,
                          auto& value) {
            std::string text;
            return json_text_of(cell, code, text) && parse(std::string_view(text), value);
        });
    }

private:
    template <class T>
    struct IsOptional : std::false_type {};
    template <class T>
    struct IsOptional<std::optional<T>> : std::true_type {};
    template <class T>
    struct IsArray : std::false_type {};
    template <class T>
    struct IsArray<std::vector<std::optional<T>>> : std::true_type {};

    static std::uint16_t enumerator(const Binding::Column& column, const wire::Cell& cell);
    void fail(Reason reason);

    template <class T, class ReadValue>
    void read(T& out, const ReadValue& read_value) {
        if (!ok_) return;
        if (next_ >= binding_.columns.size()) return fail(binding_.unbound);
        const Binding::Column& column = binding_.columns[next_];
        const wire::Cell cell = row_.cell(column.index);
        switch (cell.state) {
            case wire::Cell::State::Null:
                if constexpr (!IsOptional<T>::value) return fail(Reason::Null);
                break;
            case wire::Cell::State::Unavailable: return fail(Reason::Unavailable);
            case wire::Cell::State::Malformed: return fail(Reason::Malformed);
            case wire::Cell::State::Value:
                if constexpr (IsOptional<T>::value) {
                    if (!read_present(cell, column, out.emplace(), read_value))
                        return fail(Reason::Malformed);
                } else {
                    if (!read_present(cell, column, out, read_value))
                        return fail(Reason::Malformed);
                }
        }
        ++next_;
    }

    template <class T, class ReadValue>
    static bool read_present(const wire::Cell& cell, const Binding::Column& column, T& out,
                             const ReadValue& read_value) {
        if constexpr (IsArray<T>::value) {
            const auto array = wire::ArrayView::parse(cell.bytes);
            if (!array) return false;
            out.reserve(array->size());
            for (std::uint32_t i = 0; i < array->size(); ++i) {
                const wire::Cell element = array->element(i, column.element);
                out.emplace_back();
                if (element.state == wire::Cell::State::Null) continue;
                if (!element.has_value() ||
                    !read_value(element, column, column.element, out.back().emplace()))
                    return false;
            }
            return true;
        } else {
            return read_value(cell, column, column.code, out);
        }
    }

    const Row& row_;
    const TableSpec& table_;
    const Binding& binding_;
    DecodeError* error_;
    std::size_t next_ = 0;
    bool ok_ = true;
};

}  // namespace typed

}  // namespace fatwal::client

template <>
struct std::hash<fatwal::client::Uuid> {
    std::size_t operator()(const fatwal::client::Uuid& uuid) const noexcept {
        std::uint64_t halves[2];
        std::memcpy(halves, uuid.bytes.data(), sizeof halves);
        return static_cast<std::size_t>(halves[0] * 0x9E37'79B9'7F4A'7C15U ^ halves[1]);
    }
};
