// The published tables as the database's catalog describes them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fatwal/wire/types.h"

namespace fatwal::cli {

struct EnumType {
    std::string schema;
    std::string name;
    std::vector<std::string> labels;  // in their sort order
};

struct TableColumn {
    std::string name;
    bool not_null = false;
    wire::TypeCode code = wire::TypeCode::Other;
    wire::TypeCode element = wire::TypeCode::Other;  // of an array
    std::size_t enum_type = 0;  // index into Catalog::enums, of an enum and of an array of one
};

struct Table {
    std::string schema;
    std::string name;
    std::vector<TableColumn> columns;
};

// Sorted by schema and name.
struct Catalog {
    std::vector<Table> tables;
    std::vector<EnumType> enums;  // those of the tables' columns
};

// By psql, which every client installation has: the command line does not link libpq. `database` is
// a libpq connection string. Nothing when it cannot be read or the publication has no tables; then
// the reason is on stderr.
[[nodiscard]] std::optional<Catalog> read_catalog(const std::string& database,
                                                  const std::string& publication);

}  // namespace fatwal::cli
