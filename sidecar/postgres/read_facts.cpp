#include "sidecar/postgres/read_facts.h"

#include <string_view>

#include "fatwal/wire/transaction_snapshot.h"
#include "sidecar/postgres/number.h"
#include "sidecar/postgres/patience.h"

namespace fatwal::sidecar {

namespace {

// Each row has a kind, and texts by its kind:
//   relation                                                               it is there
//   setting   oid, column      what names the account: of it, and of what it is a partition of
//   column    name, number, not null, primary key, generated
//   type      oid, name, full name, kind, category, length, base, element, delimiter
//   snapshot  what the catalogs were read by
//   label     type, oid, label                                              in their sort order
//
// The settings are what fatwal.account_column() reads, which would lock the table: labels with the
// extension, without it the table of settings.
constexpr char kFacts[] = R"(
WITH RECURSIVE wanted(oid) AS (
    SELECT oid FROM unnest('{%TYPES%}'::oid[]) AS oid
    UNION
    SELECT part FROM wanted JOIN pg_type t USING (oid) CROSS JOIN LATERAL (VALUES
        (t.typbasetype),
        (CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem END))
        AS parts(part) WHERE part <> 0),
chain(oid, level) AS (
    SELECT %RELATION%::oid, 0
    UNION ALL
    SELECT relid::oid, level FROM pg_partition_ancestors(%RELATION%::oid::regclass)
        WITH ORDINALITY AS ancestors(relid, level) WHERE relid <> %RELATION%::oid)
SELECT kind, a, b, c, d, e, f, g, h, i FROM (
    SELECT 'relation' AS kind, '' AS a, '' AS b, '' AS c, '' AS d, '' AS e, '' AS f, '' AS g,
        '' AS h, '' AS i, 0::float4 AS place FROM pg_class WHERE oid = %RELATION%
    UNION ALL
    SELECT 'snapshot', pg_current_snapshot()::text, '', '', '', '', '', '', '', '', 0
    UNION ALL
    SELECT 'setting', chain.oid::text, %SETTING%, '', '', '', '', '', '', '', chain.level
    FROM chain
    UNION ALL
    SELECT 'column', a.attname, a.attnum::text, a.attnotnull::text,
        coalesce(a.attnum = ANY ((k.indkey::int2[])[0:k.indnkeyatts - 1]), false)::text,
        (a.attgenerated <> '')::text, '', '', '', '', a.attnum
    FROM pg_attribute a
    LEFT JOIN pg_index k ON k.indrelid = a.attrelid AND k.indisprimary
    WHERE a.attrelid = %RELATION% AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'type', t.oid::text, t.typname, format_type(t.oid, NULL), t.typtype::text,
        t.typcategory::text, t.typlen::text, t.typbasetype::text,
        CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem::text
            ELSE '0' END, t.typdelim::text, 1
    FROM wanted JOIN pg_type t USING (oid)
    UNION ALL
    SELECT 'type label', l.enumtypid::text, l.oid::text, l.enumlabel, '', '', '', '', '', '',
        l.enumsortorder
    FROM wanted JOIN pg_enum l ON l.enumtypid = wanted.oid) AS facts
ORDER BY kind, place)";

constexpr char kLabel[] = R"((SELECT a.attname::text FROM pg_seclabel l
        JOIN pg_attribute a ON a.attrelid = l.objoid AND a.attnum = l.objsubid
        WHERE l.objoid = chain.oid AND l.classoid = 'pg_class'::regclass
            AND l.provider = 'fatwal' AND l.label = 'account'))";
constexpr char kRowOfSettings[] = R"((SELECT s.column_name::text FROM fatwal.account_setting s
        WHERE s.relation_oid = chain.oid))";

std::string replaced(std::string text, std::string_view name, std::string_view value) {
    for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at))
        text.replace(at, name.size(), value);
    return text;
}

constexpr char kReading[] = "cannot read the catalogs of a table";
// A COMMIT is visible some microseconds after it is in the log, unless it waits for a standby.
constexpr int kAttempts = 20;
constexpr std::chrono::milliseconds kBetweenAttempts{10};

char letter(const std::string& text) { return text.empty() ? '\0' : text.front(); }

std::string statement(bool has_settings, const pgoutput::Wanted& wanted) {
    std::string types;
    for (const std::uint32_t type : wanted.types)
        types += (types.empty() ? "" : ",") + std::to_string(type);
    std::string sql = replaced(kFacts, "%SETTING%", has_settings ? kRowOfSettings : kLabel);
    sql = replaced(std::move(sql), "%TYPES%", types);
    return replaced(std::move(sql), "%RELATION%", std::to_string(wanted.relation));
}

pgoutput::RelationFacts facts_from(PGresult* rows, const pgoutput::Wanted& wanted) {
    pgoutput::RelationFacts facts;
    facts.relation = wanted.relation;
    for (int i = 0; i < PQntuples(rows); ++i) {
        const auto field = [&](int column) { return std::string(PQgetvalue(rows, i, column)); };
        const std::string kind = field(0);
        if (kind == "relation") {
            facts.exists = true;
        } else if (kind == "snapshot") {
            const auto snapshot = wire::TransactionSnapshot::from_text(field(1));
            facts.visible = wanted.xid == 0 || (snapshot && snapshot->sees(wanted.xid));
        } else if (kind == "setting") {
            facts.account_settings.emplace_back(number<std::uint32_t>(field(1)), field(2));
        } else if (kind == "column") {
            facts.columns[field(1)] = {number<std::int16_t>(field(2)), field(3) == "true",
                                       field(4) == "true", field(5) == "true"};
        } else if (kind == "type") {
            pgoutput::TypeRow& type = facts.types[number<std::uint32_t>(field(1))];
            type.name = field(2);
            type.full_name = field(3);
            type.kind = letter(field(4));
            type.category = letter(field(5));
            type.length = number<int>(field(6));
            type.base = number<std::uint32_t>(field(7));
            type.element = number<std::uint32_t>(field(8));
            type.delimiter = letter(field(9));
        } else {
            facts.types[number<std::uint32_t>(field(1))].labels.emplace_back(
                number<std::uint32_t>(field(2)), field(3));
        }
    }
    return facts;
}

}  // namespace

bool has_table_of_settings(PGconn* connection) {
    const Result found =
        run(connection, kReading,
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
            "n.nspname = 'fatwal' AND c.relname = 'account_setting'");
    return PQntuples(found.get()) > 0;
}

std::string account_setting_of(PGconn* connection, const std::string& oid) {
    const char* setting = has_table_of_settings(connection) ? kRowOfSettings : kLabel;
    return "(SELECT setting FROM (SELECT " + oid +
           "::oid AS oid, 0::bigint AS level UNION ALL SELECT relid::oid, level FROM "
           "pg_partition_ancestors(" +
           oid + "::oid::regclass) WITH ORDINALITY AS ancestors(relid, level) WHERE relid <> " +
           oid + "::oid) AS chain CROSS JOIN LATERAL (SELECT " + setting +
           " AS setting) AS settings WHERE setting IS NOT NULL ORDER BY level LIMIT 1)";
}

pgoutput::RelationFacts read_facts(PGconn* connection, const pgoutput::Wanted& wanted) {
    const std::string sql = statement(has_table_of_settings(connection), wanted);
    for (int attempt = 0;; ++attempt) {
        const Result rows = run(connection, kReading, sql);
        pgoutput::RelationFacts facts = facts_from(rows.get(), wanted);
        if (facts.visible || attempt == kAttempts) return facts;
        if (wait_for(-1, 0, std::chrono::steady_clock::now() + kBetweenAttempts) ==
            WaitEnd::Stopped)
            throw Failure{kReading, "fatwald was stopped.", {}, false};
    }
}

}  // namespace fatwal::sidecar
