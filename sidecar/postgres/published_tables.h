// The tables of publications as the session's snapshot has them, each as pgoutput would describe
// it, and how their rows are selected.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sidecar/pgoutput/messages.h"
#include "sidecar/postgres/connection.h"

namespace fatwal::sidecar {

struct PublishedTable {
    pgoutput::Relation relation;
    bool partitioned = false;
    std::string filter;   // of the publications, in SQL; empty: all rows
    std::string version;  // another one when the catalogs say something else of the table
};

// In the order of their names. `has_settings`: account columns are rows of fatwal.account_setting.
// Throws a Failure.
[[nodiscard]] std::vector<PublishedTable> published_tables(
    PGconn* session, const std::vector<std::string>& publications, bool has_settings);

struct UnpublishedOwnTables {
    Failure failure;
    bool stream_is_wrong = false;  // it lacks revocations, or settings of account columns
};
// fatwal's own tables that a stream of pgoutput has to have and none of the publications publishes.
// Throws a Failure.
[[nodiscard]] std::optional<UnpublishedOwnTables> unpublished_own_tables(PGconn* session,
                                                                         const Settings& settings);

// Writes down in fatwal.publication_state how the publications are, if they were altered since it
// was written: a stream of pgoutput does not say so. The row's place in the stream is that of the
// resync which all subscribers then have. Throws a Failure.
void note_publications(PGconn* session, const Settings& settings);

}  // namespace fatwal::sidecar
