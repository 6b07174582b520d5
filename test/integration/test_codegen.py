"""fatwal codegen against a real database. Run by: scripts/with-postgres /usr/bin/python3 -m
unittest discover -s test/integration
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import BUILD, ROOT, House  # noqa: E402

ACCOUNT = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'

# A condition of every sort of character that some form or other has to escape: scenario J21.
CONDITIONS = """ARRAY['{"property": "a\\"b",
 "values": ["c\\\\d", "e,f", "{g}", "NULL", "\\u00fc\\n\\u2028",
  {"h": [1.50, null, true, [], {}]}]}',
 NULL, 'null', '"NULL"', '[[1, "x"], {"y": {"z": "}"}}]',
 '{}', '12345678901234567890']::jsonb[]"""

AWKWARD = (
    (
        "CREATE TYPE mood AS ENUM ('so-so', 'so so', 'unknown', '9 lives', 'NULL', 'quo\"te\\', '',"
        " 'ü')"
    ),
    'CREATE TYPE empty AS ENUM ()',
    'CREATE DOMAIN amount AS numeric CHECK (VALUE > 0)',
    'CREATE DOMAIN moods AS mood[]',
    'CREATE DOMAIN list AS int[]',
    'CREATE SCHEMA other',
    (
        'CREATE TABLE "odd-table" ("class" int NOT NULL, "with space" text, "2nd" mood, "NULL"'
        ' mood[] NOT NULL, decode bool, "kTable" float4 NOT NULL, "Uuid" uuid, read date, row int2,'
        ' "out" time, error oid NOT NULL, bindings timestamp, a amount NOT NULL, m moods, nested'
        ' list[], i interval, p point, b bytea[], j json NOT NULL, js jsonb[], e empty, v'
        ' varchar(3)[], "OddTable" int, "with-space" text, g int GENERATED ALWAYS AS (1) STORED,'
        ' "quo""te\\" macaddr)'
    ),
    'CREATE TABLE t (id int)',
    'CREATE TABLE other.t (id int)',
    'CREATE TABLE mood_ (id int)',
    'CREATE TABLE nothing ()',
    'CREATE TABLE "any_row" (id cidr)',
    'CREATE PUBLICATION p FOR TABLE "odd-table", t, other.t, mood_, nothing, any_row',
)


class Codegen(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def codegen(self, publication='p', name_space='a::b', folder=None, **options):
        folder = folder or self.house.folder
        return subprocess.run(
            [
                BUILD / 'client' / 'fatwal',
                'codegen',
                '--database',
                options.pop('database', self.house.conninfo()),
                '--publication',
                publication,
                '--language',
                'cpp',
                '--namespace',
                name_space,
                '--output-header',
                folder / 'rows.h',
                '--output-source',
                folder / 'rows.cpp',
            ],
            capture_output=True,
            text=True,
            **options,
        )

    def compile(self, source):
        done = subprocess.run(
            [
                'c++',
                '-std=c++20',
                '-fsyntax-only',
                '-Wall',
                '-Wextra',
                '-Wpedantic',
                '-Wconversion',
                '-Wshadow',
                '-Werror',
                f'-I{ROOT}/client/include',
                f'-I{ROOT}/wire/include',
                source,
            ],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_portals_rows_are_those_of_its_schema(self):
        done = subprocess.run(
            [ROOT / 'scripts' / 'portal-rows', self.house.folder],
            capture_output=True,
            text=True,
            env={**os.environ, 'FATWAL_BUILD': str(BUILD)},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ('portal.h', 'portal.cpp'):
            self.assertEqual(
                (ROOT / 'portal' / 'rows' / name).read_text(),
                self.house.read(name),
                (
                    f'portal/rows/{name} is not what codegen writes for'
                    ' portal/example/schema.sql; renew it: scripts/portal-rows'
                ),
            )

    @unittest.skipUnless(shutil.which('clang-format'), 'no clang-format')
    def test_what_it_writes_is_formatted(self):
        self.house.sql(*AWKWARD)
        self.assertEqual(self.codegen().returncode, 0)
        style = (ROOT / '.clang-format').read_text().replace('ColumnLimit: 100', 'ColumnLimit: 140')
        (self.house.folder / '.clang-format').write_text(style)
        done = subprocess.run(
            [
                'clang-format',
                '--dry-run',
                '--Werror',
                self.house.folder / 'rows.h',
                self.house.folder / 'rows.cpp',
            ],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_awkward_names_and_types_compile(self):
        self.house.sql(*AWKWARD)
        done = self.codegen()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.compile(self.house.folder / 'rows.cpp')
        header = self.house.read('rows.h')
        for line in (
            'struct OddTable {',
            'struct PublicT {',
            'struct OtherT {',
            'std::int64_t class_ = 0;',
            'std::optional<std::string> with_space;',
            'std::optional<Mood_> n2nd;',
            'std::vector<std::optional<Mood_>> NULL_;',
            'std::optional<bool> decode_;',
            'double kTable_ = 0;',
            'std::optional<Uuid> Uuid_;',
            'std::string a;',
            'std::optional<std::vector<std::optional<Mood_>>> m;',
            'std::optional<std::string> nested;',
            'nlohmann::json j;',
            'std::optional<std::string> with_space_;',
            'std::optional<std::vector<std::optional<nlohmann::json>>> js;',
            'std::optional<std::vector<std::optional<std::string>>> b;',
            'SoSo,',
            'SoSo_,',
            'Unknown_,',
            'N9Lives,',
            'struct AnyRow_ {',
        ):
            self.assertIn(line, header)

    def test_the_same_database_gives_the_same_bytes(self):
        self.house.sql(*AWKWARD)
        written = set()
        for _ in range(2):
            self.assertEqual(self.codegen().returncode, 0)
            written.add(self.house.read('rows.h') + self.house.read('rows.cpp'))
        self.assertEqual(len(written), 1)

    def test_without_json_no_json_library_is_needed(self):
        self.house.sql('CREATE TABLE t (id int)', 'CREATE PUBLICATION p FOR TABLE t')
        self.assertEqual(self.codegen().returncode, 0)
        self.assertNotIn('nlohmann', self.house.read('rows.h') + self.house.read('rows.cpp'))
        self.compile(self.house.folder / 'rows.cpp')

    def test_publications_by_their_exact_names(self):
        self.house.sql(
            'CREATE TABLE t (id int)',
            'CREATE TABLE u (id int)',
            'CREATE PUBLICATION "My Pub" FOR TABLE t',
            'CREATE PUBLICATION q FOR TABLE t, u',
        )
        for names, tables in (('My Pub', ['t']), ('"My Pub"', ['t']), ('"My Pub" , q', ['t', 'u'])):
            done = self.codegen(names)
            self.assertEqual(done.returncode, 0, done.stderr)
            header = self.house.read('rows.h')
            self.assertEqual(
                [table for table in ('t', 'u') if f'kTable = "{table}"' in header], tables
            )

    def test_what_is_wrong_is_said(self):
        self.house.sql(
            'CREATE PUBLICATION "it\'s"',
            'CREATE TABLE t (id int)',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        for status, said, done in (
            (
                1,
                (
                    'there is no publication x in this database; it has: ["it\'s","p"]. Make it:'
                    ' CREATE PUBLICATION x'
                ),
                self.codegen('p,x'),
            ),
            (
                1,
                (
                    '--publication p,"q is not a list of publication names. A double quote is not'
                    ' closed.'
                ),
                self.codegen('p,"q'),
            ),
            (
                1,
                'publication "it\'s" has no tables. Add them: ALTER PUBLICATION "it\'s" ADD TABLE',
                self.codegen("it's"),
            ),
            (1, 'Give a libpq connection string', self.codegen(database='host=/nowhere')),
            (
                1,
                'psql is not to be found. Install it (postgresql-client) or set PATH',
                self.codegen(env={'PATH': str(self.house.folder)}),
            ),
            (2, '--namespace a:b is no namespace', self.codegen(name_space='a:b')),
            (2, '--namespace int is no namespace', self.codegen(name_space='int')),
            (1, 'cannot write', self.codegen(folder=self.house.folder / 'missing')),
        ):
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertEqual(
            list(self.house.folder.glob('rows*')), [], 'nothing is written when something is wrong'
        )

    def test_decoded_rows_of_the_stream_equal_what_the_database_says(self):
        house = self.house
        house.load('portal/example/schema.sql')
        # In the snapshot: the account, two actors, a group, a resource, a policy.
        house.sql(
            f"INSERT INTO accounts (id, name, slug) VALUES ('{ACCOUNT}', 'a', 'a')",
            (
                f"INSERT INTO actors (account_id, name, type, disabled_at) VALUES ('{ACCOUNT}',"
                f" 'A', 'account_user', NULL), ('{ACCOUNT}', E'\\u00fc\"', 'service_account',"
                " '2026-01-01 00:00:00.000001+00')"
            ),
            f"INSERT INTO actor_groups (account_id, name) VALUES ('{ACCOUNT}', 'g')",
            (
                "INSERT INTO resources (account_id, name, type, address, filters) VALUES"
                f" ('{ACCOUNT}', 'r', 'dns', 'x', '[{{\"protocol\": \"tcp\", \"ports\":"
                " [\"80\"]}]')"
            ),
            (
                f"INSERT INTO policies (account_id, resource_id, conditions) SELECT '{ACCOUNT}',"
                f" id, {CONDITIONS} FROM resources"
            ),
        )
        house.fatwald(publication='portal')
        count = 6 + 5 + 2
        process = house.start([BUILD / 'test' / 'rows', house.control, ACCOUNT, count], 'rows')
        house.lines('rows', 6)
        # In the stream.
        house.sql(
            (
                "INSERT INTO tokens (account_id, type, secret_hash, expires_at) VALUES"
                f" ('{ACCOUNT}', 'client', '\\x00ff22', 'infinity')"
            ),
            (
                "INSERT INTO clients (account_id, actor_id, external_id, name, public_key, ipv4,"
                f" ipv6, last_seen_remote_ip, last_seen_remote_ip_location_lat) SELECT '{ACCOUNT}',"
                " id, 'e', 'n', 'k', '100.64.0.1', 'fd00::1', '10.1.2.3/8', 48.5 FROM actors WHERE"
                " name = 'A'"
            ),
            (
                "INSERT INTO policies (account_id, resource_id, actor_group_id, description,"
                f" conditions) SELECT '{ACCOUNT}', r.id, g.id, E'd\\\\', {CONDITIONS} FROM"
                " resources r, actor_groups g"
            ),
            "UPDATE resources SET type = 'cidr', filters = '[]'",
            "UPDATE tokens SET expires_at = '-infinity'",
            "UPDATE accounts SET limits = '[1e400]'",
            "UPDATE accounts SET limits = '[1e40]'",
        )
        lines = [json.loads(line) for line in house.lines('rows', count)]
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(
            lines.pop(-2),
            {'error': 'public.accounts: column limits is malformed'},
            'no double holds 1e400',
        )
        # The last of each row that was printed.
        decoded = {(line['table'], line['row']['id']): line['row'] for line in lines if line['row']}
        self.assertEqual(len(decoded), 7)
        time = (
            "CASE WHEN isfinite({0}) THEN to_jsonb((extract(epoch FROM {0}) * 1000000)::bigint)"
            " ELSE to_jsonb({0}::text) END"
        )
        said = json.loads(
            house.sql(
                f"""SELECT jsonb_agg(q.line) FROM (
            SELECT jsonb_build_object('table', 'actors', 'row', jsonb_build_object('id', id, 'type',
                type, 'name', name, 'disabled_at', {time.format('disabled_at')})) AS line FROM
                actors
            UNION ALL SELECT jsonb_build_object('table', 'policies', 'row', jsonb_build_object('id',
                id, 'actor_group_id', actor_group_id, 'description', description, 'conditions',
                (SELECT jsonb_agg(CASE WHEN c IS NOT NULL THEN jsonb_build_object('json', c) END
                    ORDER BY n) FROM unnest(conditions) WITH ORDINALITY AS u (c, n)))) FROM policies
            UNION ALL SELECT jsonb_build_object('table', 'tokens', 'row', jsonb_build_object('id',
                id, 'secret_hash', encode(secret_hash, 'hex'), 'expires_at',
                {time.format('expires_at')})) FROM tokens
            UNION ALL SELECT jsonb_build_object('table', 'clients', 'row', jsonb_build_object('id',
                id, 'ipv4', host(ipv4), 'ipv6', host(ipv6), 'last_seen_remote_ip',
                last_seen_remote_ip::text,
                'lat', last_seen_remote_ip_location_lat)) FROM clients
            UNION ALL SELECT jsonb_build_object('table', 'resources', 'row',
                jsonb_build_object('id', id, 'type', type, 'filters', filters)) FROM resources) AS
                q"""
            )
        )
        self.assertEqual(
            decoded, {(line['table'], line['row']['id']): line['row'] for line in said}
        )


if __name__ == '__main__':
    unittest.main()
