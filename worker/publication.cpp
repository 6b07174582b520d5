#include "publication.h"

#include <spdlog/spdlog.h>

#include "connection.h"
#include "fatwal/channel/row_change.h"

namespace fatwal::worker {
namespace {

// What ($1: the publications, $2: the tables, in schema public) is not as it has to be.
constexpr const char* kFindings = R"(
WITH named AS (SELECT btrim(n) AS name FROM regexp_split_to_table($1, ',') AS n), needed AS (SELECT unnest($2::text[]) AS name),
published AS (SELECT pubname, schemaname, tablename FROM pg_publication_tables WHERE pubname IN (SELECT name FROM named))
SELECT (SELECT string_agg(quote_ident(name), ', ' ORDER BY name) FROM named WHERE name NOT IN (SELECT pubname FROM pg_publication)),
       (SELECT string_agg(quote_ident(name), ', ' ORDER BY name) FROM needed
        WHERE name NOT IN (SELECT tablename FROM published WHERE schemaname = 'public')),
       (SELECT string_agg(quote_ident(pubname), ', ' ORDER BY pubname) FROM pg_publication
        WHERE pubname IN (SELECT name FROM named) AND NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate)),
       (SELECT string_agg(DISTINCT quote_ident(schemaname) || '.' || quote_ident(tablename), ', ') FROM published
        WHERE schemaname <> 'public' OR tablename NOT IN (SELECT name FROM needed)),
       (SELECT quote_ident(name) FROM named LIMIT 1))";

}  // namespace

void check_publication(const std::string& database, const std::string& publications) {
    const auto names = channel::published_tables();
    Connection::Result found;
    try {
        found = Connection(database).run(kFindings, {publications, plain_array({names.begin(), names.end()})});
    } catch (const SqlError& error) {
        spdlog::warn("cannot look whether the publication has all that is needed: {}", error.what());
        return;
    }
    const auto finding = [&](int column) -> std::string { return PQgetvalue(found.get(), 0, column); };
    const std::string first = finding(4);
    if (const std::string missing = finding(0); !missing.empty())
        throw PublicationError("publication " + missing + " does not exist\n  hint: CREATE PUBLICATION " + missing + " FOR TABLE " +
                               finding(1) + ";");
    if (const std::string missing = finding(1); !missing.empty())
        throw PublicationError("publication " + first + " lacks tables that access is decided by: " + missing +
                               "\n  hint: ALTER PUBLICATION " + first + " ADD TABLE " + missing + ";");
    if (const std::string partial = finding(2); !partial.empty())
        throw PublicationError("publication " + partial + " does not publish all that is done to its tables\n  hint: ALTER PUBLICATION " +
                               partial + " SET (publish = 'insert, update, delete, truncate');");
    if (const std::string surplus = finding(3); !surplus.empty())
        spdlog::warn("publication {} has tables that nobody here reads: {}; if nobody else does: ALTER PUBLICATION {} DROP TABLE {};",
                     first, surplus, first, surplus);
}

}  // namespace fatwal::worker
