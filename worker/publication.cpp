#include "publication.h"

#include <spdlog/spdlog.h>

#include "connection.h"
#include "fatwal/channel/row_change.h"
#include "fatwal/wire/publication_names.h"

namespace fatwal::worker {
namespace {

constexpr Connection::Limits kLimits{std::chrono::seconds(30), std::chrono::seconds(30)};

// What ($1: the publications, $2: the tables, in schema public) is not as it has to be.
constexpr const char* kFindings = R"(
WITH named AS (SELECT unnest($1::text[]) AS name), needed AS (SELECT unnest($2::text[]) AS name),
published AS (SELECT pubname, schemaname, tablename FROM pg_publication_tables WHERE pubname IN (SELECT name FROM named))
-- Of several publications one, as the statement that mends it takes one.
SELECT (SELECT quote_ident(name) FROM named WHERE name NOT IN (SELECT pubname FROM pg_publication) ORDER BY name LIMIT 1),
       (SELECT string_agg(quote_ident(name), ', ' ORDER BY name) FROM needed
        WHERE name NOT IN (SELECT tablename FROM published WHERE schemaname = 'public')),
       (SELECT quote_ident(pubname) FROM pg_publication
        WHERE pubname IN (SELECT name FROM named) AND NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate) ORDER BY pubname LIMIT 1),
       (SELECT string_agg(DISTINCT quote_ident(schemaname) || '.' || quote_ident(tablename), ', ') FROM published
        WHERE schemaname <> 'public' OR tablename NOT IN (SELECT name FROM needed)),
       (SELECT quote_ident(name) FROM named LIMIT 1),
       -- The schema that travels has the identity of the table, but the log has a leaf's: Postgres gives each partition its own.
       (SELECT string_agg(format('ALTER TABLE %I.%I REPLICA IDENTITY FULL;', c.relnamespace::regnamespace::text, c.relname), ' '
                          ORDER BY c.relnamespace::regnamespace::text, c.relname)
        FROM pg_class c WHERE c.relreplident <> 'f' AND c.oid IN (
            SELECT unnest(array_append(ARRAY(SELECT relid::oid FROM pg_partition_tree(t.oid) WHERE isleaf), t.oid))
            FROM needed JOIN pg_class t ON t.relname = needed.name AND t.relnamespace = 'public'::regnamespace)))";

}  // namespace

void check_publication(const std::string& database, const std::vector<std::string>& publications) {
    const auto names = channel::published_tables();
    Connection::Result found;
    try {
        found = Connection(database, kLimits)
                    .run(kFindings, {wire::text_array(publications),
                                     wire::text_array({names.begin(), names.end()})});
    } catch (const SqlError& error) {
        spdlog::warn("cannot look whether the publication has all that is needed: {}",
                     error.what());
        return;
    }
    const auto finding = [&](int column) -> std::string {
        return PQgetvalue(found.get(), 0, column);
    };
    const std::string first = finding(4);
    if (const std::string missing = finding(0); !missing.empty())
        throw RequirementError("publication " + missing +
                               " does not exist\n  hint: CREATE PUBLICATION " + missing +
                               " FOR TABLE " + finding(1) + ";");
    if (const std::string missing = finding(1); !missing.empty())
        throw RequirementError(
            "publication " + first + " lacks tables that access is decided by: " + missing +
            "\n  hint: ALTER PUBLICATION " + first + " ADD TABLE " + missing + ";");
    if (const std::string partial = finding(2); !partial.empty())
        throw RequirementError(
            "publication " + partial +
            " does not publish all that is done to its tables\n  hint: ALTER PUBLICATION " +
            partial + " SET (publish = 'insert, update, delete, truncate');");
    if (const std::string partial = finding(5); !partial.empty())
        throw RequirementError(
            "tables that access is decided by do not log whole old rows: a deleted row would not "
            "say whose it was, and access would stay"
            "\n  hint: " +
            partial);
    if (const std::string surplus = finding(3); !surplus.empty())
        spdlog::warn(
            "publication {} has tables that nobody here reads: {}; if nobody else does: ALTER "
            "PUBLICATION {} DROP TABLE {};",
            first, surplus, first, surplus);
}

}  // namespace fatwal::worker
