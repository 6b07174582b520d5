// What is known of a table's columns, from the schema that travels with its rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fatwal/client/schema.h"

namespace fatwal::access {

// Rows that were read say what they say as long as the table's columns are those. ALTER TABLE
// changes what they say without changing the rows: a column that is dropped, renamed or of another
// type, or a deleted_at with a default, is in no row of the stream.
struct TableShape {
    struct Column {
        std::string name;
        std::int16_t number = 0;  // Postgres gives a number once: another column of the name has
                                  // another one
        wire::TypeCode code = wire::TypeCode::Other;
        wire::TypeCode element = wire::TypeCode::Other;
        friend bool operator==(const Column&, const Column&) = default;
    };

    std::string table;
    std::vector<Column> columns;
    // The column by which rows are deleted without going: its index. Not one of the columns that
    // the structs were made with, so it counts whenever the table gets it.
    std::optional<std::uint16_t> deleted_at;

    // Whether rows that were read by this shape say the same by `later`: no column of it is
    // missing, and there is no new deleted_at. Any other new column says nothing.
    [[nodiscard]] bool holds_in(const TableShape& later) const;

    friend bool operator==(const TableShape&, const TableShape&) = default;
};

// The tables as the rows that were read last had them.
class KnownShapes {
public:
    // False when the rows that are known of the table say by its present columns what they did not
    // say when they were read. Else keeps the shape. `is_unreadable`: this row was left out, as no
    // row of such a table can be read.
    [[nodiscard]] bool accept(const std::shared_ptr<const TableShape>& shape, bool is_unreadable);

private:
    struct Known {
        std::shared_ptr<const TableShape> shape;
        bool is_unreadable = false;  // rows were left out, as no row of such a table can be read
    };
    std::unordered_map<std::string, Known> known_;  // by name: at most the domain's tables
};

// Made once for each version of a table.
[[nodiscard]] std::shared_ptr<const TableShape> shape_of(const client::Schema& schema);

}  // namespace fatwal::access
