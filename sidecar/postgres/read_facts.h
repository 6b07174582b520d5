// Reads from the catalogs what pgoutput does not say of a relation (sidecar/pgoutput/catalogue.h).
#pragma once

#include "sidecar/pgoutput/catalogue.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

// In one statement, so of one moment. It locks no table: the stream must not wait for whoever has
// locked one. Throws a Failure.
[[nodiscard]] pgoutput::RelationFacts read_facts(PGconn* connection,
                                                 const pgoutput::Wanted& wanted);

}  // namespace fatwal::sidecar
