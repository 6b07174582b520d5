#include "portal/process/publication.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "fatwal/wire/publication_names.h"
#include "portal/access/row_change.h"
#include "portal/process/connection.h"
#include "service/failure.h"

namespace fatwal::process {
namespace {

constexpr Connection::Limits kPreflightLimits{std::chrono::seconds(30), std::chrono::seconds(30)};
constexpr Connection::Limits kWatchLimits{std::chrono::seconds(5), std::chrono::seconds(2)};
constexpr auto kPublicationEvery = std::chrono::seconds(2);

// What ($1: the publications, $2: the tables, in schema public) is not as it has to be.
constexpr const char* kFindings = R"(
WITH named AS (SELECT unnest($1::text[]) AS name), needed AS (SELECT unnest($2::text[]) AS name),
published AS (SELECT pubname, schemaname, tablename, rowfilter
    FROM pg_publication_tables WHERE pubname IN (SELECT name FROM named)),
-- The needed tables, and their partitions that have rows.
present AS (SELECT c.oid, relname, relnamespace, relreplident FROM pg_class c WHERE c.oid IN (
    SELECT unnest(array_append(
        ARRAY(SELECT relid::oid FROM pg_partition_tree(t.oid) WHERE isleaf), t.oid))
    FROM needed JOIN pg_class t ON t.relname = needed.name
        AND t.relnamespace = 'public'::regnamespace)),
-- What a publication says of a needed table, with the statements that make it say nothing.
listed AS (SELECT r.oid, r.xmin, r.prattrs, r.prrelid, c.relname, p.pubname,
                  format('ALTER PUBLICATION %1$I DROP TABLE %2$s; '
                         'ALTER PUBLICATION %1$I ADD TABLE %2$s;',
                         p.pubname, r.prrelid::regclass) AS mend
           FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
               AND p.pubname IN (SELECT name FROM named)
           JOIN pg_class c ON c.oid = r.prrelid AND c.relnamespace = 'public'::regnamespace
               AND c.relname IN (SELECT name FROM needed))
-- Of several publications one, as the statement that mends it takes one.
SELECT (SELECT quote_ident(name) FROM named WHERE name NOT IN (SELECT pubname FROM pg_publication)
    ORDER BY name LIMIT 1),
       (SELECT string_agg(quote_ident(name), ', ' ORDER BY name) FROM needed
        WHERE name NOT IN (SELECT tablename FROM published WHERE schemaname = 'public')),
       (SELECT quote_ident(pubname) FROM pg_publication
        WHERE pubname IN (SELECT name FROM named)
            AND NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate)
        ORDER BY pubname LIMIT 1),
       (SELECT string_agg(DISTINCT quote_ident(schemaname) || '.' || quote_ident(tablename), ', ')
           FROM published
        WHERE schemaname <> 'fatwal'
            AND (schemaname <> 'public' OR tablename NOT IN (SELECT name FROM needed))),
       (SELECT quote_ident(name) FROM named LIMIT 1),
       -- The schema that travels has the identity of the table, but the log has a leaf's: Postgres
       -- gives each partition its own.
       (SELECT string_agg(format('ALTER TABLE %I.%I REPLICA IDENTITY FULL;',
                                 relnamespace::regnamespace::text, relname), ' '
                          ORDER BY relnamespace::regnamespace::text, relname)
        FROM present WHERE relreplident <> 'f'),
       -- A deleted row whose deleted_at is left out is seen as one that is there.
       (SELECT string_agg(mend, ' ' ORDER BY mend) FROM listed
        WHERE EXISTS (SELECT FROM pg_attribute a
                      WHERE a.attrelid = prrelid AND a.attname = 'deleted_at'
                          AND NOT a.attisdropped AND a.attnum <> ALL (prattrs))),
       -- A row that a filter hides is as good as deleted, and an update that takes a row out of the
       -- filter comes as its deletion. Mostly that grants nothing: a session needs its account,
       -- actor, identity, provider, token and device, a grant its policy, group, resource and site.
       -- But a hidden membership leaves a managed group without members, which is everyone's. And
       -- of a flow whose row was never seen the deletion is not seen either, so what its gateway
       -- lets through would stay.
       (SELECT string_agg(mend, ' ' ORDER BY mend) FROM listed
        WHERE relname IN ('actor_group_memberships', 'flows')
        -- Of several publications the one with the widest filter counts.
        AND relname IN (SELECT tablename FROM published WHERE schemaname = 'public'
            GROUP BY tablename HAVING bool_and(rowfilter IS NOT NULL))),
       -- Each ALTER PUBLICATION writes a new version of such a row, whatever it changes. The rows
       -- of the tables themselves have no part in it: TRUNCATE, ADD COLUMN and GRANT would cost
       -- each account a snapshot. What a table under another name loses comes as a resync in the
       -- stream, and Postgres refuses to delete from a published table without a replica identity.
       (SELECT md5(string_agg(entry, ',' ORDER BY entry)) FROM (
            SELECT format('p%s.%s', p.oid, p.xmin) AS entry
                FROM pg_publication p WHERE p.pubname IN (SELECT name FROM named)
            UNION ALL SELECT format('r%s.%s', oid, xmin) FROM listed
            UNION ALL SELECT format('n%s.%s', n.oid, n.xmin) FROM pg_publication_namespace n
                JOIN pg_publication p ON p.oid = n.pnpubid
                    AND p.pubname IN (SELECT name FROM named)) entries),
       pg_current_wal_insert_lsn() - '0/0')";

struct Findings {
    PublicationLook look;
    std::string first;    // one of the publications
    std::string surplus;  // tables that nobody here reads
};

Findings look(Connection& connection, const std::vector<std::string>& publications) {
    const auto names = access::published_tables();
    const auto found = connection.run(kFindings, {wire::text_array(publications),
                                                  wire::text_array({names.begin(), names.end()})});
    const auto finding = [&](int column) -> std::string {
        return PQgetvalue(found.get(), 0, column);
    };
    Findings out;
    out.first = finding(4);
    out.surplus = finding(3);
    out.look.version = finding(8);
    out.look.at = std::stoull(finding(9));
    std::string& fault = out.look.fault;
    if (const std::string missing = finding(0); !missing.empty())
        fault = "publication " + missing + " does not exist\n  hint: CREATE PUBLICATION " +
                missing + " FOR TABLE " + finding(1) + ";";
    else if (const std::string lacking = finding(1); !lacking.empty())
        fault = "publication " + out.first + " lacks tables that access is decided by: " + lacking +
                "\n  hint: ALTER PUBLICATION " + out.first + " ADD TABLE " + lacking + ";";
    else if (const std::string partial = finding(2); !partial.empty())
        fault = "publication " + partial +
                " does not publish all that is done to its tables\n  hint: ALTER PUBLICATION " +
                partial + " SET (publish = 'insert, update, delete, truncate');";
    else if (const std::string keyed = finding(5); !keyed.empty())
        fault =
            "tables that access is decided by do not log whole old rows: a deleted row would not "
            "say whose it was, and access would stay\n  hint: " +
            keyed;
    else if (const std::string listed = finding(6); !listed.empty())
        fault =
            "a publication leaves out the column deleted_at of tables that access is decided by: "
            "access would stay\n  hint: BEGIN; " +
            listed + " COMMIT;";
    else if (const std::string hidden = finding(7); !hidden.empty())
        fault =
            "a row filter hides rows whose absence grants access: a managed group without "
            "memberships is everyone's, and a flow whose deletion is not seen stays\n  hint: "
            "BEGIN; " +
            hidden + " COMMIT;";
    return out;
}

}  // namespace

std::optional<PublicationLook> check_publication(const std::string& database,
                                                 const std::vector<std::string>& publications) {
    Findings found;
    try {
        Connection connection(database, kPreflightLimits);
        found = look(connection, publications);
    } catch (const SqlError& error) {
        spdlog::warn("cannot look whether the publication has all that is needed: {}",
                     error.what());
        return std::nullopt;
    }
    if (!found.look.fault.empty()) throw service::Failure(found.look.fault);
    if (!found.surplus.empty())
        spdlog::warn(
            "publication {} has tables that nobody here reads: {}; if nobody else does: ALTER "
            "PUBLICATION {} DROP TABLE {};",
            found.first, found.surplus, found.first, found.surplus);
    return found.look;
}

PublicationWatch::PublicationWatch(std::string database, std::vector<std::string> publications,
                                   std::optional<PublicationLook> first, Changed changed)
    : database_(std::move(database)),
      publications_(std::move(publications)),
      last_(std::move(first)),
      changed_(std::move(changed)) {
    thread_.start("publication", [this] { loop(); });
}

PublicationWatch::~PublicationWatch() { thread_.stop(); }

void PublicationWatch::loop() {
    std::optional<Connection> connection;
    bool is_away = false;
    while (thread_.sleep_until(std::chrono::steady_clock::now() + kPublicationEvery)) {
        try {
            if (!connection || !connection->open()) connection.emplace(database_, kWatchLimits);
            PublicationLook now = look(*connection, publications_).look;
            is_away = false;
            // When the database was away at the start, the first look has nothing to be compared
            // with: then only a fault counts.
            const bool differs = last_ ? now.differs_from(*last_) : !now.fault.empty();
            last_ = now;
            if (differs) changed_(std::move(now));
        } catch (const std::exception& error) {
            if (!std::exchange(is_away, true))
                spdlog::warn("cannot look whether the publication has all that is needed: {}",
                             error.what());
            connection.reset();
        }
    }
}

}  // namespace fatwal::process
