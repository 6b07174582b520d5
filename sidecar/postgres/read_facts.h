// Reads from the catalogs what pgoutput does not say of a relation (sidecar/pgoutput/catalogue.h).
#pragma once

#include "sidecar/pgoutput/catalogue.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

// In one statement, so of one moment. It locks no table: the stream must not wait for whoever has
// locked one. Where the transaction in hand is not visible yet it tries for a moment; then
// `visible` is false, and somebody tries again later. Throws a Failure.
[[nodiscard]] pgoutput::RelationFacts read_facts(PGconn* connection,
                                                 const pgoutput::Wanted& wanted);

// Whether account columns are set by rows of a table, as there is no extension.
[[nodiscard]] bool has_table_of_settings(PGconn* connection);

// What names the account of the relation whose oid the SQL expression gives, its own setting or
// that of its nearest ancestor, as an SQL expression: the column's name, or null where nothing is
// set.
[[nodiscard]] std::string account_setting_of(PGconn* connection, const std::string& oid);

}  // namespace fatwal::sidecar
