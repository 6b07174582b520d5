#include "sidecar/postgres/published_tables.h"

#include <string_view>

#include <spdlog/spdlog.h>

#include "fatwal/wire/publication_names.h"
#include "sidecar/postgres/number.h"
#include "sidecar/postgres/read_facts.h"

namespace fatwal::sidecar {

namespace {

// A row for each published column, or one with nulls for a table that has none. A table is
// published in the place of its partitions when it is listed itself. Row filters of several
// publications are alternatives, and one without a filter lets all rows through.
//
// The version: what the catalogs' rows of the table and of its columns are, and in one digest for
// all tables what the settings of account columns, the types and the labels of enums are.
constexpr char kTables[] = R"(
WITH sent AS (
    SELECT DISTINCT ON (p.pubname, t.published_as) t.published_as AS relid, t.prattrs AS attrs,
        pg_get_expr(t.prqual, t.published_as) AS filter
    FROM fatwal.published_relations($1::text[]) t JOIN pg_publication p USING (pubname)
    WHERE p.pubinsert OR p.pubupdate OR p.pubdelete),
tables AS (
    SELECT relid, string_to_array(CASE WHEN bool_and(attrs IS NOT NULL)
            THEN min(attrs::text) END, ' ')::int2[] AS columns,
        CASE WHEN bool_and(filter IS NOT NULL)
            THEN string_agg(DISTINCT '(' || filter || ')', ' OR ') END AS filter
    FROM sent
    WHERE NOT EXISTS (SELECT FROM pg_partition_ancestors(sent.relid::regclass) AS above
        JOIN sent AS other ON other.relid = above::oid WHERE above::oid <> sent.relid)
    GROUP BY relid),
digest AS (
    SELECT hashtextextended(concat_ws('/', %SETTINGS%,
        (SELECT sum(xmin::text::bigint) FROM pg_type WHERE oid >= 16384),
        (SELECT sum(oid::bigint + hashtext(enumlabel)) FROM pg_enum)), 0) AS digest)
SELECT c.oid, s.nspname, c.relname, c.relreplident, c.relkind = 'p', tables.filter,
    concat_ws('/', c.xmin, digest, (SELECT string_agg(concat_ws('.', k.indexrelid, k.indisprimary,
        k.indisreplident), ',' ORDER BY k.indexrelid) FROM pg_index k WHERE k.indrelid = c.oid)),
    a.xmin, a.attname, a.atttypid, a.atttypmod,
    c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index k WHERE k.indrelid = c.oid
        AND CASE c.relreplident WHEN 'd' THEN k.indisprimary AND k.indimmediate
            WHEN 'i' THEN k.indisreplident END
        AND a.attnum = ANY ((k.indkey::int2[])[0:k.indnkeyatts - 1]))
FROM digest, tables
JOIN pg_class c ON c.oid = relid
JOIN pg_namespace s ON s.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND CASE WHEN columns IS NULL THEN a.attgenerated = '' ELSE a.attnum = ANY (columns) END
ORDER BY s.nspname, c.relname, c.oid, a.attnum)";

constexpr char kLabels[] = R"((SELECT string_agg(concat_ws('.', l.objoid, l.objsubid, l.label), ','
            ORDER BY l.objoid, l.objsubid) FROM pg_seclabel l WHERE l.provider = 'fatwal'))";
constexpr char kSettings[] = R"((SELECT string_agg(concat_ws('.', relation_oid, column_name), ','
            ORDER BY relation_oid) FROM fatwal.account_setting))";

std::string statement(bool has_settings) {
    constexpr std::string_view kPlace = "%SETTINGS%";
    std::string sql = kTables;
    return sql.replace(sql.find(kPlace), kPlace.size(), has_settings ? kSettings : kLabels);
}

}  // namespace

std::vector<PublishedTable> published_tables(PGconn* session,
                                             const std::vector<std::string>& publications,
                                             bool has_settings) {
    const Result rows = run(session, "cannot list the published tables", statement(has_settings),
                            {wire::text_array(publications)});
    std::vector<PublishedTable> tables;
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
        const auto field = [&](int column) -> std::string_view {
            return PQgetvalue(rows.get(), i, column);
        };
        const auto oid = number<std::uint32_t>(field(0));
        if (tables.empty() || tables.back().relation.oid != oid) {
            PublishedTable& table = tables.emplace_back();
            table.relation.oid = oid;
            table.relation.schema = field(1);
            table.relation.name = field(2);
            table.relation.replica_identity = field(3).empty() ? 'n' : field(3).front();
            table.partitioned = field(4) == "t";
            table.filter = field(5);
            table.version = field(6);
        }
        if (PQgetisnull(rows.get(), i, 8) != 0) continue;
        PublishedTable& table = tables.back();
        table.version += ' ' + std::string(field(7)) + (field(11) == "t" ? "i" : "");
        table.relation.columns.push_back({std::string(field(8)), field(11) == "t",
                                          number<std::uint32_t>(field(9)),
                                          number<std::int32_t>(field(10))});
    }
    return tables;
}

// Here and below: a walsender's connection takes no parameters.
std::optional<UnpublishedOwnTables> unpublished_own_tables(PGconn* session,
                                                           const Settings& settings) {
    const std::string publications =
        quote_literal(session, wire::text_array(settings.publications));
    std::string names = "publication_state";
    if (settings.keyed()) names += ",credential,credential_grant";
    if (has_table_of_settings(session)) names += ",account_setting";
    const Result missing =
        run(session, "cannot look for fatwal's own tables in the publications",
            "SELECT string_agg('fatwal.' || name, ', ' ORDER BY name), bool_or(name <> "
            "'publication_state'), quote_ident((" +
                publications + "::text[])[1]) FROM unnest('{" + names +
                "}'::text[]) AS name WHERE NOT EXISTS (SELECT FROM "
                "fatwal.published_relations(" +
                publications + ") t WHERE t.relation = to_regclass('fatwal.' || name))");
    const std::string tables = PQgetvalue(missing.get(), 0, 0);
    if (tables.empty()) return std::nullopt;
    const bool stream_is_wrong = *PQgetvalue(missing.get(), 0, 1) == 't';
    return UnpublishedOwnTables{
        {tables + " is not published",
         stream_is_wrong ? "fatwald would not learn that a credential was revoked, or which column "
                           "names the account."
                         : "Subscribers would not learn that the publication was altered.",
         std::string("ALTER PUBLICATION ") + PQgetvalue(missing.get(), 0, 2) + " ADD TABLE " +
             tables + ";"},
        stream_is_wrong};
}

void note_publications(PGconn* session, const Settings& settings) {
    const Result altered =
        run(session, "cannot compare the publications",
            "SELECT fatwal.note_publications(" + quote_literal(session, settings.slot) + ", " +
                quote_literal(session, wire::text_array(settings.publications)) + ")");
    if (*PQgetvalue(altered.get(), 0, 0) == 't')
        spdlog::info("what is published was altered: all subscribers take a new snapshot");
}

}  // namespace fatwal::sidecar
