// What the server's catalogs say of a relation that pgoutput does not: which columns are not null,
// of the primary key or generated, their attribute numbers, what their types are made of, and which
// column names the account.
//
// The catalogs are of now, the stream of then. So what a Relation message says wins, and a column
// or a type that is not found here travels as text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fatwal::sidecar::pgoutput {

// A row of pg_type.
struct TypeRow {
    std::string name;           // of the type alone
    std::string full_name;      // as format_type() prints it
    char kind = 'b';            // typtype
    char category = 'U';        // typcategory
    int length = -1;            // typlen
    std::uint32_t base = 0;     // of a domain
    std::uint32_t element = 0;  // of a true array
    char delimiter = ',';
    std::vector<std::pair<std::uint32_t, std::string>> labels;  // of an enum, in their sort order
};
using TypeRows = std::map<std::uint32_t, TypeRow>;

struct ColumnRow {
    std::int16_t attribute_number = 0;
    bool not_null = false;
    bool primary_key = false;
    bool generated = false;
};

struct RelationFacts {
    std::uint32_t relation = 0;
    // Whether the catalogs that were read have what the transaction in hand has changed. A
    // transaction is in the log a moment before it is visible, and for as long as its COMMIT waits
    // for a standby. What earlier ones have changed of the relation is visible: this one has used
    // it.
    bool visible = true;
    bool exists = false;  // in the catalogs of now
    std::map<std::string, ColumnRow> columns;
    // Of the relation and then of the tables that it is a partition of, the nearest first: which
    // column names the account; empty: not set.
    std::vector<std::pair<std::uint32_t, std::string>> account_settings;
    TypeRows types;  // those that were asked for, and all that they are made of
};

// What a decoder needs before it can go on.
struct Wanted {
    std::uint32_t relation = 0;
    std::uint32_t xid = 0;  // of the transaction in hand
    std::vector<std::uint32_t> types;
};

}  // namespace fatwal::sidecar::pgoutput
