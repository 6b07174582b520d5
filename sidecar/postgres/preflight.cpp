#include "sidecar/postgres/preflight.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "fatwal/wire/publication_names.h"
#include "sidecar/postgres/published_tables.h"
#include "sidecar/postgres/read_facts.h"

namespace fatwal::sidecar {

namespace {

Result query(PGconn* connection, const std::string& sql,
             const std::vector<std::string>& parameters = {}) {
    return run(connection, "a check of the server failed", sql, parameters);
}

std::string value(const Result& result, int row = 0, int column = 0) {
    return PQgetvalue(result.get(), row, column);
}

void check_version(PGconn* connection) {
    if (PQserverVersion(connection) >= 150000) return;
    throw Failure{"the server is too old",
                  "It is version " + std::to_string(PQserverVersion(connection) / 10000) + ".",
                  "fatwal needs Postgres 15 or later."};
}

// Also a server that was a primary until now, in a switch-over: it may become one again.
void check_primary(PGconn* connection) {
    if (value(query(connection, "SELECT pg_is_in_recovery()")) != "t") return;
    const char* host = PQhost(connection);
    throw Failure{
        "the server is a standby",
        "It is " + std::string(host == nullptr ? "" : host) + ":" + PQport(connection) +
            ", and takes no acknowledgements.",
        "Give the address of the primary, or of all servers: host=a,b; fatwald then takes "
        "the primary.",
        false};
}

void check_wal_level(PGconn* connection) {
    const std::string level = value(query(connection, "SELECT current_setting('wal_level')"));
    if (level == "logical") return;
    throw Failure{"wal_level does not allow logical decoding", "It is " + level + ".",
                  "ALTER SYSTEM SET wal_level = logical; then restart the server. On a managed "
                  "server: fatwal init --provider NAME --dry-run says how."};
}

// Since the minor releases of August 2026 (CVE-2026-6471) a server loads only the output plugins
// that are listed.
void check_plugin_allowed(PGconn* connection, const std::string& plugin) {
    const Result list =
        query(connection, "SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'");
    if (PQntuples(list.get()) == 0) return;
    const Result allowed = query(connection,
                                 "SELECT 1 FROM regexp_split_to_table($1, ',') AS library WHERE "
                                 "btrim(library, ' \"') = $2",
                                 {value(list), plugin});
    if (PQntuples(allowed.get()) > 0) return;
    const std::string listed = value(list);
    throw Failure{"the server may not load the output plugin " + plugin,
                  "output_plugin_libraries is " + (listed.empty() ? "empty" : listed) + ".",
                  "ALTER SYSTEM SET output_plugin_libraries = " +
                      (listed.empty() ? "" : listed + ", ") + plugin +
                      "; SELECT pg_reload_conf(); (no quotes round the list: they make one name of "
                      "it)"};
}

bool has_schema(PGconn* connection) {
    const Result schema =
        query(connection,
              "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
              "WHERE n.nspname = 'fatwal' AND c.relname = 'subscriber'");
    return PQntuples(schema.get()) > 0;
}

void check_database(PGconn* connection, const Settings& settings) {
    const std::string encoding =
        value(query(connection, "SELECT current_setting('server_encoding')"));
    if (encoding != "UTF8")
        throw Failure{"the database's encoding is not supported", "It is " + encoding + ".",
                      "Use a database whose encoding is UTF8."};
    if (settings.plugin == Plugin::Pgoutput) {
        // A server that loads no plugin of ours has no extension of ours either, but its tables and
        // functions.
        if (has_schema(connection)) return;
        throw Failure{
            "the schema fatwal is not in the database",
            "Database " + std::string(PQdb(connection)) + ".",
            "fatwal init --plugin pgoutput makes it, and says who may. Where the server has "
            "the extension: CREATE EXTENSION fatwal;"};
    }
    const Result extension =
        query(connection, "SELECT 1 FROM pg_extension WHERE extname = 'fatwal'");
    if (PQntuples(extension.get()) == 0)
        throw Failure{"the extension fatwal is not in the database",
                      "Database " + std::string(PQdb(connection)) + ".",
                      has_schema(connection)
                          ? "The schema fatwal is there without it: start with --plugin pgoutput."
                          : "CREATE EXTENSION fatwal;"};
}

void check_role(PGconn* connection, Plugin plugin) {
    // RDS and Aurora give the right by a role of theirs.
    const Result role = query(
        connection,
        "SELECT rolreplication OR rolsuper OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = "
        "'rds_replication' AND pg_has_role(g.oid, 'USAGE')), quote_ident(current_user), EXISTS "
        "(SELECT FROM pg_roles WHERE rolname = 'rds_replication') FROM pg_roles WHERE rolname = "
        "current_user");
    const std::string name = value(role, 0, 1);
    if (value(role) != "t")
        throw Failure{"the role may not replicate", "Role " + name + ".",
                      value(role, 0, 2) == "t" ? "GRANT rds_replication TO " + name + ";"
                                               : "ALTER ROLE " + name + " REPLICATION;"};
    // In this order: without USAGE the names of the tables cannot be looked up.
    const std::string notes = plugin == Plugin::Pgoutput
                                  ? "fatwal.subscriber, fatwal.slot, fatwal.publication_state"
                                  : "fatwal.subscriber, fatwal.slot";
    const Result lacking =
        query(connection,
              "SELECT CASE WHEN NOT has_schema_privilege('fatwal', 'USAGE') OR NOT (SELECT "
              "bool_and(has_table_privilege(t, p)) FROM "
              "string_to_table($1, ', ') t, "
              "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p) "
              "THEN 'the role may not write down durable subscribers' WHEN NOT (SELECT "
              "bool_and(has_table_privilege(t, 'SELECT')) FROM "
              "unnest(ARRAY['fatwal.credential', 'fatwal.credential_grant']) t) "
              "THEN 'the role may not read the credentials' END",
              {notes});
    if (value(lacking).empty()) return;
    throw Failure{value(lacking), "Role " + name + ".",
                  "GRANT USAGE ON SCHEMA fatwal TO " + name +
                      "; GRANT SELECT, INSERT, UPDATE, DELETE ON " + notes + " TO " + name +
                      "; GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO " + name +
                      "; (and, for snapshots, SELECT on the published tables)"};
}

// Since 18 the server invalidates a slot that nobody has streamed for so long, as while fatwald is
// down over a weekend.
void warn_of_idle_timeout(PGconn* connection) {
    constexpr int kDay = 86'400;
    const Result timeout = query(
        connection, "SELECT setting FROM pg_settings WHERE name = 'idle_replication_slot_timeout'");
    if (PQntuples(timeout.get()) == 0) return;
    const long seconds = std::stol(value(timeout));
    if (seconds == 0 || seconds >= kDay) return;
    spdlog::warn(
        "idle_replication_slot_timeout is {} s: the server drops the WAL of a fatwald that is away "
        "for so long; ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
        seconds);
}

void check_publications(PGconn* connection, const Settings& settings) {
    const std::string names = wire::text_array(settings.publications);
    const Result missing =
        query(connection,
              "SELECT quote_ident(name) FROM unnest($1::text[]) AS name "
              "WHERE name NOT IN (SELECT pubname FROM pg_publication) ORDER BY 1",
              {names});
    if (PQntuples(missing.get()) > 0)
        throw Failure{"publication " + value(missing) + " does not exist",
                      "In database " + std::string(PQdb(connection)) + ".",
                      "CREATE PUBLICATION " + value(missing) +
                          " FOR ALL TABLES; (or FOR TABLE …, FOR TABLES IN SCHEMA …)"};
}

// A table whose column list leaves its account column out, if there is one. Its changes go to the
// operators (docs/architecture.md, decision 13).
std::optional<Failure> check_lists(PGconn* connection, const Settings& settings) {
    const Result unlisted = query(
        connection,
        "SELECT quote_ident(p.pubname), r.prrelid::regclass, quote_ident(a.attname), "
        "(SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY c.attnum) FROM pg_attribute c "
        "WHERE c.attrelid = r.prrelid AND c.attnum = ANY (r.prattrs)), "
        "coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '') FROM "
        "pg_publication_rel r "
        "JOIN pg_publication p ON p.oid = r.prpubid "
        "JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attname = coalesce(" +
            account_setting_of(connection, "r.prrelid") +
            ", 'account_id') "
            "WHERE r.prattrs IS NOT NULL AND a.attnum <> ALL (r.prattrs) AND p.pubname = ANY "
            "($1::text[]) "
            "ORDER BY 1, 2",
        {wire::text_array(settings.publications)});
    if (PQntuples(unlisted.get()) == 0) return std::nullopt;
    const std::string publication = value(unlisted);
    const std::string table = value(unlisted, 0, 1);
    const std::string account = value(unlisted, 0, 2);
    return Failure{"publication " + publication + " does not list column " + account +
                       " of table " + table + ", which names the account",
                   "The table's rows could not be sent to their accounts.",
                   "ALTER PUBLICATION " + publication + " DROP TABLE " + table +
                       "; ALTER PUBLICATION " + publication + " ADD TABLE " + table + " (" +
                       value(unlisted, 0, 3) + ", " + account + ")" + value(unlisted, 0, 4) + ";"};
}

// With pgoutput an error of the server's would end the stream for good, or a row would be taken for
// whole that is not.
void require_one_list(PGconn* connection, const std::string& names) {
    const Result differing =
        query(connection,
              "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), "
              "quote_ident(max(t.pubname)) FROM (SELECT pubname, published_as, (SELECT "
              "array_agg(a.attnum ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = "
              "published_as AND a.attnum > 0 AND NOT a.attisdropped AND (prattrs IS NULL OR "
              "a.attnum = ANY (prattrs))) AS listed FROM fatwal.published_relations($1::text[])) t "
              "JOIN pg_class c ON c.oid = t.published_as "
              "JOIN pg_namespace n ON n.oid = c.relnamespace "
              "GROUP BY n.nspname, c.relname HAVING count(DISTINCT t.listed) > 1 ORDER BY 1",
              {names});
    if (PQntuples(differing.get()) == 0) return;
    throw Failure{"publications have different column lists for table " + value(differing),
                  "pgoutput ends the stream at the first change of such a table.",
                  "Give all of them the same list, or: ALTER PUBLICATION " +
                      value(differing, 0, 1) + " DROP TABLE " + value(differing) + ";"};
}

// The statements that mend the identities of the tables in the first column.
std::string full_identities(const Result& tables) {
    std::string mends;
    for (int i = 0; i < PQntuples(tables.get()); ++i)
        mends += (mends.empty() ? "" : " ") + ("ALTER TABLE " + value(tables, i)) +
                 " REPLICA IDENTITY FULL;";
    return mends;
}

// The leaves of a table that is published as a whole. pgoutput names the identity of the table, and
// sends rows by that of the leaf.
std::optional<Failure> check_one_identity(PGconn* connection, const std::string& names) {
    const Result leaves =
        query(connection,
              "SELECT DISTINCT leaf.oid::regclass, root.oid::regclass "
              "FROM fatwal.published_relations($1::text[]) AS t "
              "JOIN pg_class root ON root.oid = t.published_as AND root.relkind = 'p' "
              "JOIN pg_class leaf ON leaf.oid = t.relation AND leaf.relkind = 'r' "
              "WHERE root.relreplident = 'f' AND leaf.relreplident <> 'f' ORDER BY 1",
              {names});
    if (PQntuples(leaves.get()) == 0) return std::nullopt;
    return Failure{"partition " + value(leaves) + " has another replica identity than table " +
                       value(leaves, 0, 1) + ", which is published in its place",
                   "The table's old rows say nothing then: all subscribers take a new snapshot "
                   "after each transaction that updates or deletes some.",
                   full_identities(leaves)};
}

// Tables whose old rows lack the account, whoever has them locked: with pgoutput a DELETE does not
// say whose row it was. Of a partition that is published as its table the table's own identity
// counts, too: by that pgoutput describes the row.
std::optional<Failure> check_identities(PGconn* connection, const std::string& names) {
    const Result lacking =
        query(connection,
              "SELECT DISTINCT c.oid::regclass FROM fatwal.published_relations($1::text[]) AS t "
              "JOIN pg_publication p ON p.pubname = t.pubname "
              "JOIN pg_class c ON c.oid IN (t.relation, t.published_as) "
              "CROSS JOIN LATERAL (SELECT coalesce(" +
                  account_setting_of(connection, "t.published_as") +
                  ", 'account_id') AS name) AS account "
                  "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = account.name AND NOT "
                  "a.attisdropped JOIN pg_type y ON y.oid = a.atttypid AND (y.typtype = 'd' OR "
                  "y.typname IN "
                  "('uuid', 'int2', 'int4', 'int8', 'text', 'varchar', 'bpchar', 'citext')) "
                  "LEFT JOIN pg_index i ON i.indrelid = c.oid AND CASE c.relreplident WHEN 'i' "
                  "THEN i.indisreplident WHEN 'd' THEN i.indisprimary ELSE false END "
                  "WHERE (p.pubupdate OR p.pubdelete) "
                  "AND c.relreplident <> 'f' "
                  "AND NOT coalesce(a.attnum = ANY (i.indkey), false) ORDER BY 1",
              {names});
    if (PQntuples(lacking.get()) == 0) return std::nullopt;
    return Failure{"the replica identity of table " + value(lacking) +
                       " leaves out the column that names the account",
                   "A DELETE would not say whose row it was.", full_identities(lacking)};
}

std::vector<Failure> check_pgoutput(PGconn* connection, const Settings& settings) {
    const std::string names = wire::text_array(settings.publications);
    require_one_list(connection, names);
    std::vector<Failure> lacks;
    if (auto other = check_one_identity(connection, names)) lacks.push_back(std::move(*other));
    if (auto own = unpublished_own_tables(connection, settings)) {
        if (own->stream_is_wrong) throw Failure(own->failure);
        lacks.push_back(std::move(own->failure));
    }
    if (auto lacking = check_identities(connection, names)) lacks.push_back(std::move(*lacking));
    return lacks;
}

constexpr char kResyncHint[] =
    " Or start fatwald with --on-lost-slot=resync: it does both, and tells every subscriber to "
    "take a new snapshot.";

// Whether there is a slot to stream; if not, one is to be made.
bool check_slot(PGconn* connection, const Settings& settings, bool streamed_before) {
    const Result slot = query(connection,
                              "SELECT plugin, database, wal_status, database = current_database() "
                              "FROM pg_replication_slots WHERE slot_name = $1",
                              {settings.slot});
    const bool resync = settings.on_lost_slot == OnLostSlot::Resync;
    const std::string name = "slot \"" + settings.slot + "\"";
    if (PQntuples(slot.get()) == 0) {
        const Result waiting = query(
            connection, "SELECT count(*) FROM fatwal.subscriber WHERE slot = $1", {settings.slot});
        if ((value(waiting) == "0" && !streamed_before) || resync) return false;
        throw Failure{
            name + " is missing",
            "It was streamed before" +
                (value(waiting) == "0" ? "."
                                       : ": " + value(waiting) +
                                             (value(waiting) == "1" ? " durable subscriber waits"
                                                                    : " durable subscribers wait") +
                                             " for it."),
            "If it is gone for good: DELETE FROM fatwal.subscriber WHERE slot = " +
                quote_literal(connection, settings.slot) + "; then start fatwald again." +
                kResyncHint,
            true,
            {},
            true};
    }
    const std::string drop =
        "SELECT pg_drop_replication_slot(" + quote_literal(connection, settings.slot) + ");";
    if (value(slot) != settings.plugin_name())
        throw Failure{
            name + " is not of the output plugin " + settings.plugin_name(),
            "Its plugin is " + (value(slot).empty() ? "none (physical)" : value(slot)) + ".",
            "Choose another name with --slot, or, if nobody needs it: " + drop};
    if (value(slot, 0, 3) != "t")
        throw Failure{name + " belongs to another database", "Database " + value(slot, 0, 1) + ".",
                      "Choose another name with --slot."};
    if (value(slot, 0, 2) != "lost") return true;
    if (resync) {
        (void)query(connection, "SELECT pg_drop_replication_slot($1)", {settings.slot});
        return false;
    }
    throw Failure{name + " is lost: the server removed WAL that it needed",
                  "Changes since its last confirmed position cannot be streamed any more.",
                  drop + " DELETE FROM fatwal.subscriber WHERE slot = " +
                      quote_literal(connection, settings.slot) +
                      "; then start fatwald again. Raise max_slot_wal_keep_size to keep more." +
                      kResyncHint,
                  true,
                  {},
                  true};
}

}  // namespace

Server preflight(PGconn* connection, const Settings& settings, bool streamed_before) {
    Server server;
    check_version(connection);
    check_primary(connection);
    check_wal_level(connection);
    check_plugin_allowed(connection, settings.plugin_name());
    check_database(connection, settings);
    check_role(connection, settings.plugin);
    check_publications(connection, settings);
    warn_of_idle_timeout(connection);
    server.slot_exists = check_slot(connection, settings, streamed_before);
    // Who sets fatwald up gets an error. Where it streams already, one table's list must not keep
    // all other tables from their subscribers.
    if (const auto unlisted = check_lists(connection, settings)) {
        if (!server.slot_exists) throw Failure(*unlisted);
        spdlog::warn("{}", unlisted->text());
    }
    if (settings.plugin == Plugin::Pgoutput) {
        for (const Failure& lack : check_pgoutput(connection, settings)) {
            if (!server.slot_exists) throw Failure(lack);
            spdlog::warn("{}", lack.text());
        }
    }
    server.sender_timeout = std::chrono::milliseconds(std::stoll(value(
        query(connection, "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'"))));
    return server;
}

}  // namespace fatwal::sidecar
