"""The schema fatwal without the extension: for servers that load none. The same statements run in a
database with the extension and in one without give the same rows, errors, details and hints.
"""
import re
import subprocess
import unittest

from house import ROOT, House

# What only the output plugin and the functions in C can do.
OF_THE_PLUGIN = re.compile(
    r'changes\(|replication_slot|forge\(|fatwal\.(snapshot|decode)|EXTENSION'
)
# Where an error was raised, and what check() says of the other plugin and of the settings' table.
ELSEWHERE = re.compile(
    r'^(psql:.*?:\d+: )?(LOCATION|CONTEXT|QUERY|LINE|SQL (function|statement)|PL/pgSQL| +\^)'
    r'|which fatwald follows|^the setting of|output_plugin_libraries'
)
# In C in the extension, and nowhere else.
MISSING = {'decode', 'snapshot'}


def statements(script):
    """Those of a regression test that need no plugin."""
    text = (ROOT / 'sql' / f'{script}.sql').read_text().partition('DROP EXTENSION')[0]
    text = re.sub(r'^--.*\n', '', text, flags=re.M)
    parts = re.split(r';$', text, flags=re.M)
    return [part.strip() for part in parts if part.strip() and not OF_THE_PLUGIN.search(part)]


class Managed(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.extension, self.managed = House(), House()
        for house in (self.extension, self.managed):
            self.addCleanup(house.close)
        self.script = subprocess.run(
            [ROOT / 'extension' / 'managed-sql'], capture_output=True, text=True, check=True
        ).stdout
        # As a role that may nothing but own its database.
        owner = self.managed.role()
        self.managed.sql(
            'DROP EXTENSION fatwal',
            'DROP SCHEMA fatwal',
            f'ALTER DATABASE {self.managed.database} OWNER TO {owner}',
        )
        self.addCleanup(
            self.managed.sql, f'REASSIGN OWNED BY {owner} TO CURRENT_USER', f'DROP OWNED BY {owner}'
        )
        self.run_script(owner)
        self.owner = owner

    def run_script(self, user):
        done = subprocess.run(
            ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', self.managed.conninfo(user)],
            input=self.script,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def outcome(self, house, script):
        done = subprocess.run(
            ['psql', '-X', '-A', '-t', '-v', 'VERBOSITY=verbose', '-d', house.database],
            input=script.replace('OTHER', f'{house.database}_other'),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout.replace(house.database, 'DATABASE')
        # SQL with a search_path of its own qualifies a type's name.
        done = done.replace('of type public.', 'of type ')
        return [line for line in done.splitlines() if not ELSEWHERE.search(line)]

    def assert_same(self, *script):
        text = ';\n'.join(script) + ';\n'
        expected = self.outcome(self.extension, text)
        self.assertEqual(self.outcome(self.managed, text), expected)
        return expected

    def test_the_functions_and_tables_are_the_extensions(self):
        def functions(house):
            return set(
                house.sql(
                    "SELECT p.oid::regprocedure, proargnames, pg_get_function_result(p.oid),"
                    " proisstrict FROM pg_proc p WHERE pronamespace = 'fatwal'::regnamespace"
                    " AND prorettype <> 'trigger'::regtype"
                ).splitlines()
            )

        def columns(house):
            return house.sql(
                "SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull"
                " FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace ="
                " 'fatwal'::regnamespace AND relkind IN ('r', 'i') AND attnum > 0"
                " AND relname NOT LIKE 'account_setting%' ORDER BY 1, attnum"
            )

        extension, managed = functions(self.extension), functions(self.managed)
        missing = {re.match(r'fatwal\.(\w+)', line)[1] for line in extension - managed}
        self.assertEqual(missing, MISSING)
        self.assertEqual(columns(self.managed), columns(self.extension))
        docs = (ROOT / 'docs' / 'managed.md').read_text()
        for name in MISSING:
            self.assertIn(f'`fatwal.{name}`', docs)

    def test_the_regression_tests_give_the_same_without_the_plugin(self):
        for script in ('accounts', 'messages', 'check', 'identities', 'credentials'):
            with self.subTest(script):
                lines = self.assert_same(*statements(script))
                self.assertGreater(len(lines), 10)

    def test_account_columns(self):
        other = "CREATE ROLE OTHER LOGIN; GRANT USAGE ON SCHEMA fatwal TO OTHER"
        lines = self.assert_same(
            (
                'CREATE TABLE t (id int PRIMARY KEY, account_id int, "Owner" varchar(9), at date,'
                ' gone text)'
            ),
            'CREATE VIEW v AS SELECT * FROM t',
            'CREATE TABLE parts (id int, account_id int, owner text) PARTITION BY LIST (id)',
            'CREATE TABLE part PARTITION OF parts FOR VALUES IN (1) PARTITION BY LIST (owner)',
            'CREATE TABLE leaf (id int, owner text, account_id int)',
            "ALTER TABLE part ATTACH PARTITION leaf FOR VALUES IN ('a')",
            'CREATE DOMAIN word AS text',
            'CREATE DOMAIN words AS word[]',
            "CREATE TYPE mood AS ENUM ('a')",
            (
                'CREATE TABLE typed (a word, b words, c mood, d char(3), e name, f numeric, g uuid,'
                ' h smallint, i bigint, j text[], k oid)'
            ),
            (
                "SELECT column_name, fatwal.set_account_column('typed', column_name) FROM"
                " unnest('{a,d,g,h,i}'::name[]) AS column_name"
            ),
            *(f"SELECT fatwal.set_account_column('typed', '{c}')" for c in 'bcefjk'),
            "SELECT fatwal.account_column('typed')",
            (
                "SELECT fatwal.account_column('t'), fatwal.account_column('v'),"
                " fatwal.account_column('parts'), fatwal.account_column('leaf')"
            ),
            "SELECT fatwal.set_account_column('t', 'Owner')",
            "SELECT fatwal.account_column('t')",
            "SELECT fatwal.set_account_column('t', 'owner')",
            "SELECT fatwal.set_account_column('t', 'at')",
            "SELECT fatwal.set_account_column('v', 'id')",
            "SELECT fatwal.set_account_column(NULL, 'id'), fatwal.set_account_column('t', NULL)",
            "SELECT fatwal.set_account_column(4000000000, 'id')",
            "SELECT fatwal.clear_account_column(4000000000)",
            "SELECT fatwal.account_column(4000000000)",
            "SELECT fatwal.clear_account_column('t'), fatwal.clear_account_column('t')",
            "SELECT fatwal.account_column('t')",
            "SELECT fatwal.set_account_column('parts', 'owner')",
            (
                "SELECT fatwal.account_column('parts'), fatwal.account_column('part'),"
                " fatwal.account_column('leaf')"
            ),
            "SELECT fatwal.set_account_column('leaf', 'id')",
            "SELECT fatwal.account_column('part'), fatwal.account_column('leaf')",
            "SELECT fatwal.clear_account_column('leaf')",
            "SELECT fatwal.account_column('leaf')",
            'ALTER TABLE part DETACH PARTITION leaf',
            "SELECT fatwal.account_column('leaf')",
            (
                "SELECT fatwal.account_column('fatwal.credential_grant'),"
                " fatwal.account_column('fatwal.subscriber')"
            ),
            'CREATE PUBLICATION p FOR TABLE t (id, account_id), parts',
            "SELECT fatwal.set_account_column('t', 'Owner')",
            'BEGIN',
            "SELECT fatwal.set_account_column('t', 'gone')",
            'ROLLBACK',
            "SELECT fatwal.account_column('t')",
            'ALTER TABLE t RENAME TO renamed',
            "SELECT fatwal.account_column('renamed')",
            # The lock keeps writers out, partitions included.
            'BEGIN',
            "SELECT fatwal.set_account_column('parts', 'id')",
            (
                "SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid() AND"
                " mode = 'ShareRowExclusiveLock' AND relation IN ('parts'::regclass,"
                " 'part'::regclass) ORDER BY 1"
            ),
            'ROLLBACK',
            # Of another role.
            other,
            'GRANT SELECT ON renamed TO OTHER',
            'SET ROLE OTHER',
            "SELECT fatwal.account_column('renamed')",
            "SELECT fatwal.set_account_column('renamed', 'id')",
            "SELECT fatwal.clear_account_column('renamed')",
            "SELECT fatwal.emit('7', 'topic', '1') IS NOT NULL",
            "SELECT fatwal.grant('worker', '7')",
            'RESET ROLE',
            'CREATE TABLE theirs (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE theirs OWNER TO OTHER',
            'SET ROLE OTHER',
            "SELECT fatwal.set_account_column('theirs', 'id')",
            "SELECT fatwal.account_column('theirs')",
            'RESET ROLE',
            'DROP OWNED BY OTHER',
            'DROP ROLE OTHER',
        )
        self.assertGreater(sum('ERROR' in line for line in lines), 10)

    def test_emit_writes_the_same_bytes(self):
        def messages(house):
            options = "'proto_version', '1', 'publication_names', 'p', 'messages', 'true'"
            slot = house.slot
            house.sql(
                'CREATE PUBLICATION p',
                f"SELECT FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')",
                "SELECT fatwal.emit('7', 'topic', '{\"b\": [1, \"ü\"], \"a\": null}')",
                "SELECT fatwal.emit(NULL, '', NULL)",
                "SELECT fatwal.emit('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', repeat('é', 127), '1')",
            )
            # Behind the kind, the flags and the position.
            rows = house.sql(
                "SELECT get_byte(data, 1), substring(data FROM 11) FROM"
                f" pg_logical_slot_get_binary_changes('{slot}', NULL, NULL, {options})"
                " WHERE get_byte(data, 0) = ascii('M')"
            )
            return rows.splitlines()

        expected = messages(self.extension)
        self.assertEqual(len(expected), 3)
        self.assertEqual(messages(self.managed), expected)

    def test_a_column_with_another_name_names_no_account_and_check_says_so(self):
        self.managed.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, owner text)',
            "SELECT fatwal.set_account_column('t', 'owner')",
            'ALTER TABLE t RENAME owner TO holder',
        )
        self.assertEqual(self.managed.sql("SELECT fatwal.account_column('t') IS NULL"), 't')
        failed = (
            'SELECT found, mend FROM fatwal.check() WHERE NOT ok AND requirement ~ '
            '\'^the setting of\''
        )
        self.assertEqual(
            self.managed.sql(failed),
            "no column owner|SELECT fatwal.set_account_column('public.t', ...);",
        )
        self.managed.sql('DROP TABLE t')
        found, mend = self.managed.sql(failed).split('|')
        self.assertEqual(found, 'the table has gone')
        self.managed.sql(mend)
        self.assertEqual(self.managed.sql(failed), '')

    def test_check_names_generated_columns_which_pgoutput_leaves_out(self):
        self.managed.sql(
            'CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED,'
            ' account_id int GENERATED ALWAYS AS (id % 10) STORED)',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        rows = self.managed.sql(
            "SELECT requirement, ok FROM fatwal.check() WHERE requirement ~ '^pgoutput sends'"
        )
        self.assertEqual(
            rows.splitlines(),
            [
                'pgoutput sends column account_id of public.t|f',
                'pgoutput sends column twice of public.t|',
            ],
        )

    def test_a_dump_has_the_settings_and_check_mends_their_numbers(self):
        self.managed.sql(
            'CREATE TABLE t (id int PRIMARY KEY, owner text)',
            "SELECT fatwal.set_account_column('t', 'owner')",
        )
        copy = f'{self.managed.database}_copy'
        self.managed.sql(f'CREATE DATABASE {copy}', database='postgres')
        self.addCleanup(self.managed.sql, f'DROP DATABASE {copy}', database='postgres')
        # The server's own: another version refuses it.
        programs = self.managed.sql("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        dump = subprocess.run(
            [f'{programs}/pg_dump', '-d', self.managed.database], capture_output=True, check=True
        ).stdout
        # So that numbers differ.
        self.managed.sql('CREATE TABLE other (id int)', database=copy)
        subprocess.run(
            ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', copy],
            input=dump,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        self.assertEqual(
            self.managed.sql("SELECT fatwal.account_column('t')", database=copy), 'owner'
        )
        failed = (
            "SELECT found, mend FROM fatwal.check() WHERE NOT ok AND requirement ~ '^the setting'"
        )
        found, mend = self.managed.sql(failed, database=copy).split('|')
        self.assertEqual(found, 'it comes from a restored dump')
        self.managed.sql(mend, database=copy)
        self.assertEqual(self.managed.sql(failed, database=copy), '')

    def test_it_may_be_run_again_and_keeps_what_is_there(self):
        self.managed.sql(
            'CREATE TABLE t (id int PRIMARY KEY, owner text)',
            "SELECT fatwal.set_account_column('t', 'owner')",
            f"SELECT fatwal.add_credential('worker', '{'a' * 40}')",
        )
        self.run_script(self.owner)
        self.assertEqual(self.managed.sql("SELECT fatwal.account_column('t')"), 'owner')
        self.assertEqual(self.managed.sql('SELECT name FROM fatwal.credential'), 'worker')

    def test_beside_the_extension_it_is_refused(self):
        done = subprocess.run(
            ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', self.extension.database],
            input=self.script,
            capture_output=True,
            text=True,
        )
        self.assertIn('the extension fatwal is in the database', done.stderr)

    def test_filters_that_can_fail_are_the_same(self):
        filters = (
            'id > 4',
            'id + 1 > 4',
            'id > 1 + 1',
            '100 / id > 5',
            "data ->> 'kind' = 'a'",
            "data -> 'n' @> '1'",
            "starts_with(note, 'a')",
            'length(note) > 3 AND id IN (1, 2)',
            'note IS DISTINCT FROM NULL',
            "note ~ 'a'",
            'big = id',
            'flag AND NOT flag',
            "(id, note) < (1, 'a')",
            'nullif(id, 3) IS NULL',
            'real > 1.5',
            'abs(id) = 1',
            "note = ANY (ARRAY['a', '}{'])",
            'CASE WHEN flag THEN id ELSE big END > 1',
            'coalesce(id, 1) > 1',
            "upper(note) = 'A'",
            'NOT id = ANY (ARRAY[1, 2])',
            'small::int8 > 1',
            'id::int2 > 1',
            "padded = 'a'",
        )
        published = [
            'CREATE TABLE t (id int PRIMARY KEY, note text, data jsonb, big bigint, flag boolean,'
            ' real float8, small int2, padded char(3))'
        ]
        for filter in filters:
            published += [
                f'CREATE PUBLICATION p FOR TABLE t WHERE ({filter})',
                'SELECT prqual IS NOT NULL, fatwal.filter_can_fail(prqual) FROM pg_publication_rel',
                'DROP PUBLICATION p',
            ]
        lines = self.assert_same(*published)
        self.assertEqual(sum(line.startswith('t|') for line in lines), len(filters), lines)
        self.assertIn('t|t', lines)
        self.assertIn('t|f', lines)


if __name__ == '__main__':
    unittest.main()
