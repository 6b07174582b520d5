// Typed access to one row. Owns nothing: valid as long as the Transaction that it came from.
//
//     row.integer("id");                      // std::optional<std::int64_t>
//     row.text("name").value_or("?");
//     if (row.is_unavailable("picture")) …    // not null: the server did not log it
//     row.json();                             // the whole row, as `fatwal tail` prints it
//
// A getter reads the one value and checks it against the row's bytes: no cost for other columns, no
// allocation but for numeric(), jsonb() and json(). `fatwal codegen` makes structs instead
// (docs/codegen.md). From any thread, as long as the Transaction lives. Nothing throws.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "fatwal/client/schema.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/row.h"

namespace fatwal::client {

// A column is named, or given by its index in schema().columns(); bind the index once for each
// schema in hot code. Each getter gives nothing when the column does not exist, is of another type,
// null, unavailable or malformed; state() tells which.
class Row {
public:
    using State = wire::Cell::State;

    // Either a column's name or its index.
    class Column {
    public:
        Column(std::uint16_t index) : column_(index) {}   // NOLINT(google-explicit-constructor)
        Column(std::string_view name) : column_(name) {}  // NOLINT(google-explicit-constructor)
        Column(const char* name)
            : column_(std::string_view(name)) {}  // NOLINT(google-explicit-constructor)

    private:
        friend class Row;
        std::variant<std::uint16_t, std::string_view> column_;
    };

    Row(const Schema& schema, wire::RowView row) : schema_(&schema), row_(row) {}
    Row(const Schema& schema, wire::OldRowView row) : schema_(&schema), row_(row) {}

    [[nodiscard]] const Schema& schema() const { return *schema_; }

    // Malformed also when there is no such column.
    [[nodiscard]] State state(Column column) const;
    // The value as it lies in the row: for those who know the format.
    [[nodiscard]] wire::Cell cell(Column column) const;
    [[nodiscard]] bool is_null(Column column) const { return state(column) == State::Null; }
    // The server did not log the value. It is not null; nothing is known of it.
    [[nodiscard]] bool is_unavailable(Column column) const {
        return state(column) == State::Unavailable;
    }

    [[nodiscard]] std::optional<bool> boolean(Column column) const;
    // int2, int4, int8, oid.
    [[nodiscard]] std::optional<std::int64_t> integer(Column column) const;
    // float4, float8.
    [[nodiscard]] std::optional<double> floating(Column column) const;
    // text and its kin, json, the label of an enum, the text output of a type that has no form of
    // its own.
    [[nodiscard]] std::optional<std::string_view> text(Column column) const;
    // bytea.
    [[nodiscard]] std::optional<wire::Bytes> bytes(Column column) const;
    [[nodiscard]] std::optional<std::array<std::byte, 16>> uuid(Column column) const;
    // numeric in decimal digits; jsonb as JSON text.
    [[nodiscard]] std::optional<std::string> numeric(Column column) const;
    [[nodiscard]] std::optional<std::string> jsonb(Column column) const;
    // timestamp and timestamptz; nothing for ±infinity, and from the year 294247 on, which
    // microseconds since 1970 do not reach.
    [[nodiscard]] std::optional<std::chrono::sys_time<std::chrono::microseconds>> time(
        Column column) const;

    // Any value as JSON, as `fatwal tail` prints it (docs/tail-json.md): int8 and numeric as
    // strings, or as `numbers` says. Nothing when unavailable or malformed.
    [[nodiscard]] std::optional<std::string> json(
        Column column, wire::Numbers numbers = wire::Numbers::Strings) const;
    // The whole row as a JSON object without the columns that unavailable_json() names. One
    // malformed value costs its column only. Nothing when the row is of another schema, which no
    // row of a Transaction is.
    [[nodiscard]] std::optional<std::string> json(
        wire::Numbers numbers = wire::Numbers::Strings) const;
    // The names of the columns that are not in json(), as a JSON array: they are unavailable or
    // malformed.
    [[nodiscard]] std::string unavailable_json() const;

private:
    struct Found {
        const wire::ColumnView* column = nullptr;
        wire::Cell cell;
    };
    [[nodiscard]] Found find(Column column) const;
    [[nodiscard]] std::optional<wire::Cell> value(Column column, wire::TypeCode code) const;

    const Schema* schema_;
    std::variant<wire::RowView, wire::OldRowView> row_;
};

}  // namespace fatwal::client
