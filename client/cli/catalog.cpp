// One query gives everything as one JSON object: the server resolves domains and arrays, which
// needs a recursion over pg_type, and psql needs to print one value only.
#include "client/cli/catalog.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "client/cli/psql.h"
#include "fatwal/wire/publication_names.h"

namespace fatwal::cli {

namespace {

using wire::TypeCode;

// Virtual generated columns have no value in the log, so they are left out.
constexpr char kQuery[] = R"(
SET search_path = pg_catalog;
WITH RECURSIVE
columns AS (
    -- A table of several of the publications counts once.
    SELECT DISTINCT p.schemaname, p.tablename, a.attnum, a.attname, a.attnotnull, a.atttypid AS type
    FROM pg_publication_tables p
    JOIN pg_namespace n ON n.nspname = p.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
    JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE p.pubname = ANY (:'publications'::text[]) AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated <> 'v'),
-- What is below a type: of a domain its base, of an array its elements.
below(type, at, is_array) AS (
    SELECT DISTINCT type, type, false FROM columns
    UNION
    SELECT b.type, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END,
        b.is_array OR t.typtype <> 'd'
    FROM below b JOIN pg_type t ON t.oid = b.at
    WHERE t.typtype = 'd'
        OR (t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc)),
types AS (
    SELECT b.type, t.oid, t.typname AS name, t.typtype = 'e' AS is_enum, n.nspname AS schema,
        b.is_array,
        t.typname = 'citext' AND t.typcategory = 'S' AND t.typlen = -1 AS is_citext,
        -- An array of a domain over an array travels as text.
        (SELECT count(*) FROM below l JOIN pg_type e ON e.oid = l.at
            WHERE l.type = b.type AND e.typtype <> 'd') > 2 AS is_text
    FROM below b JOIN pg_type t ON t.oid = b.at JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype <> 'd'
        AND NOT (t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc))
SELECT jsonb_build_object(
    -- One of them, as the statement that mends it takes one.
    'missing', (SELECT quote_ident(n) FROM unnest(:'publications'::text[]) n
        WHERE n NOT IN (SELECT pubname FROM pg_publication) LIMIT 1),
    'first', (SELECT quote_ident(n) FROM unnest(:'publications'::text[]) n LIMIT 1),
    'publications', (SELECT coalesce(jsonb_agg(pubname ORDER BY pubname), '[]')
        FROM pg_publication),
    'columns', (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'schema', c.schemaname, 'table', c.tablename, 'number', c.attnum, 'name', c.attname,
            'not_null', c.attnotnull, 'type', CASE
                WHEN t.is_text THEN '' WHEN t.is_enum THEN 'enum' WHEN t.is_citext THEN 'text'
                WHEN t.schema = 'pg_catalog' THEN t.name ELSE '' END,
            'is_array', t.is_array AND NOT t.is_text,
            'enum_schema', t.schema, 'enum', t.name)), '[]')
        FROM columns c JOIN types t USING (type)),
    'enums', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', e.schema, 'name', e.name,
            'labels', (SELECT jsonb_agg(enumlabel ORDER BY enumsortorder)
                FROM pg_enum WHERE enumtypid = e.oid))), '[]')
        FROM (SELECT DISTINCT oid, schema, name FROM types WHERE is_enum AND NOT is_text) e));
)";

// kQuery gives `enum` for any enum.
#define FATWAL_NAMED_TYPE(name, oid, number, code) \
    std::pair{std::string_view(#name), TypeCode::code},
constexpr std::pair<std::string_view, TypeCode> kNamedTypes[] = {
    FATWAL_POSTGRES_TYPES(FATWAL_NAMED_TYPE){"enum", TypeCode::Enum}};
#undef FATWAL_NAMED_TYPE

TypeCode code_of(std::string_view name) {
    const auto* found = std::find_if(std::begin(kNamedTypes), std::end(kNamedTypes),
                                     [&](const auto& type) { return type.first == name; });
    return found == std::end(kNamedTypes) ? TypeCode::Other : found->second;
}

Catalog catalog_from(const nlohmann::json& found) {
    Catalog catalog;
    for (const auto& type : found.at("enums")) {
        EnumType& made =
            catalog.enums.emplace_back(EnumType{type.at("schema"), type.at("name"), {}});
        if (type.at("labels").is_array())
            made.labels = type.at("labels").get<std::vector<std::string>>();
    }
    const auto name_of = [](const auto& named) { return std::tie(named.schema, named.name); };
    const auto by_name = [&](const auto& a, const auto& b) { return name_of(a) < name_of(b); };
    std::sort(catalog.enums.begin(), catalog.enums.end(), by_name);

    std::vector<nlohmann::json> columns = found.at("columns");
    const auto place_of = [](const nlohmann::json& column) {
        return std::tuple<std::string, std::string, int>(column.at("schema"), column.at("table"),
                                                         column.at("number"));
    };
    std::sort(columns.begin(), columns.end(),
              [&](const auto& a, const auto& b) { return place_of(a) < place_of(b); });
    for (const auto& column : columns) {
        const auto [schema, table, number] = place_of(column);
        if (catalog.tables.empty() || catalog.tables.back().schema != schema ||
            catalog.tables.back().name != table)
            catalog.tables.push_back({schema, table, {}});
        TableColumn& made = catalog.tables.back().columns.emplace_back();
        made.name = column.at("name");
        made.not_null = column.at("not_null");
        const std::string type = column.at("type");
        made.code = code_of(type);
        if (made.code == TypeCode::Enum)
            made.enum_type = static_cast<std::size_t>(
                std::find_if(catalog.enums.begin(), catalog.enums.end(),
                             [&](const EnumType& known) {
                                 return known.schema == column.at("enum_schema") &&
                                        known.name == column.at("enum");
                             }) -
                catalog.enums.begin());
        if (column.at("is_array")) made.element = std::exchange(made.code, TypeCode::Array);
    }
    return catalog;
}

}  // namespace

std::optional<Catalog> read_catalog(const std::string& database, const std::string& publication) {
    std::string error;
    const auto names = wire::split_publication_names(publication, error);
    if (!names) {
        std::fprintf(stderr, "fatwal: --publication %s is not a list of publication names. %s %s\n",
                     publication.c_str(), error.c_str(), wire::kPublicationNamesHint);
        return std::nullopt;
    }
    const auto output = run_psql(database, {{"publications", wire::text_array(*names)}}, kQuery);
    if (!output) {
        std::fprintf(stderr,
                     "fatwal: the catalog of --database '%s' cannot be read. Give a libpq "
                     "connection string, such as "
                     "'host=/var/run/postgresql dbname=app user=app'.\n",
                     database.c_str());
        return std::nullopt;
    }
    const auto found = nlohmann::json::parse(*output, nullptr, false);
    if (found.is_discarded()) {
        std::fprintf(stderr, "fatwal: what psql printed is not understood: %s\n", output->c_str());
        return std::nullopt;
    }
    if (found.at("missing").is_string()) {
        const std::string name = found.at("missing");
        std::fprintf(stderr,
                     "fatwal: there is no publication %s in this database; it has: %s. Make it: "
                     "CREATE PUBLICATION %s FOR ALL TABLES;\n",
                     name.c_str(), found.at("publications").dump().c_str(), name.c_str());
        return std::nullopt;
    }
    Catalog catalog = catalog_from(found);
    if (!catalog.tables.empty()) return catalog;
    const std::string name = found.at("first");
    std::fprintf(
        stderr,
        "fatwal: publication %s has no tables. Add them: ALTER PUBLICATION %s ADD TABLE …;\n",
        name.c_str(), name.c_str());
    return std::nullopt;
}

}  // namespace fatwal::cli
