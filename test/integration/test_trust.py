"""What others may write: messages of any role, names and values with line breaks, databases of
another encoding.
"""
import json
import os
import re
import subprocess
import unittest

from house import ROOT, House

TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id text, j json, jb jsonb, c "char", f float8)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
# As fatwal.emit writes them: each str has two bytes of length before it.
FORGE = (
    "CREATE FUNCTION forge(transactional bool, account bytea, topic bytea, payload bytea) RETURNS"
    " void LANGUAGE sql AS $$ SELECT pg_logical_emit_message(transactional, 'fatwal',"
    " set_byte('\\x0000', 0, length(account)) || account || set_byte('\\x0000', 0, length(topic))"
    " || topic || payload) $$"
)


class Trust(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def role(self):
        """A role that may connect and no more."""
        name = f'{self.house.database}_forger'
        self.house.sql(f'CREATE ROLE {name} LOGIN', database='postgres')
        self.addCleanup(self.house.sql, f'DROP ROLE {name}', database='postgres')
        return name

    def as_role(self, role, statement):
        return subprocess.run(
            [
                'psql',
                '-X',
                '-q',
                '-A',
                '-t',
                '-U',
                role,
                '-d',
                self.house.database,
                '-c',
                statement,
            ],
            capture_output=True,
            text=True,
        )

    def test_no_message_forges_a_line(self):
        house = self.house
        house.sql(*TABLE, FORGE)
        house.fatwald()
        house.tail('7', 'json')
        house.tail('7', 'text', '--format', 'text')
        house.tail(None, 'operators')
        house.tail(None, 'operators_text', '--format', 'text')
        role = self.role()
        line = (
            '{"op":"insert","schema":"public","table":"policies","account":"7",'
            '"new":{"allow":"everything"}}'
        )
        for transactional in ('true', 'false'):
            for account, topic, payload in (
                ('7', 't', '1}\n' + line),
                ('7', 't', '1,"topic":"other"'),
                ('7\n' + line[:200], 't', '1'),
                ('7', 'a\nb', '1'),
            ):
                done = self.as_role(
                    role,
                    (
                        f"SELECT forge({transactional}, convert_to($a${account}$a$, 'UTF8'),"
                        f" convert_to($a${topic}$a$, 'UTF8'), convert_to($a${payload}$a$, 'UTF8'))"
                    ),
                )
                self.assertEqual(done.returncode, 0, done.stderr)
            for payload in (r'\xff00fe', r''):
                done = self.as_role(role, f"SELECT forge({transactional}, '7', 't', '{payload}')")
                self.assertEqual(done.returncode, 0, done.stderr)
        house.sql(
            "SELECT pg_logical_emit_message(true, E'pre\\nfix \\x1b[2J', 'x')",
            (
                "SELECT fatwal.emit('7', 'to \"pic',"
                f" $a${json.dumps({'a': 'two' + chr(10) + 'lines' + chr(0x2028)})}$a$)"
            ),
            "INSERT INTO t VALUES (1, '7')",
            "SELECT fatwal.emit(NULL, 'end', '1')",
        )
        events = house.events('json', 2)
        self.assertEqual(
            [(e['op'], e.get('topic'), e.get('payload')) for e in events],
            [('message', 'to "pic', {'a': 'two\nlines\u2028'}), ('insert', None, None)],
        )
        operators = house.events('operators', 14)
        self.assertEqual(
            [(e['op'], e.get('prefix')) for e in operators],
            [('message', 'fatwal')] * 12 + [('message', 'pre\nfix \x1b[2J'), ('message', None)],
        )
        text = house.lines('text', 2)
        self.assertIn(' message "to \\"pic" {"a": "two\\nlines\\u2028"}', text[0])
        self.assertEqual(len(text), 2)
        for name, count in (('operators', 14), ('operators_text', 14)):
            raw = house.lines(name, count)
            self.assertEqual(len(raw), count)
            self.assertFalse(
                [
                    c
                    for c in ''.join(raw)
                    if ord(c) < 32 or 126 < ord(c) < 160 or c in '\u2028\u2029'
                ]
            )

    def test_who_may_write_messages_is_closed_by_one_statement(self):
        house = self.house
        house.sql(*TABLE, FORGE)
        role = self.role()
        self.assertEqual(self.as_role(role, "SELECT forge(true, '7', 'grant', '1')").returncode, 0)
        before_17, from_17 = re.findall(
            '^REVOKE EXECUTE ON FUNCTION .*;$',
            (ROOT / 'docs' / 'security.md').read_text(),
            re.MULTILINE,
        )
        house.sql(from_17 if int(house.sql('SHOW server_version_num')) >= 170000 else before_17)
        self.assertIn(
            'permission denied', self.as_role(role, "SELECT forge(true, '7', 'grant', '1')").stderr
        )
        house.sql(f'GRANT USAGE ON SCHEMA fatwal TO {role}')
        self.addCleanup(house.sql, f'DROP OWNED BY {role}')
        self.assertEqual(
            self.as_role(role, "SELECT fatwal.emit('7', 'topic', '1') IS NOT NULL").stdout.strip(),
            't',
        )

    def test_names_and_values_of_rows_forge_no_line(self):
        house = self.house
        house.sql(
            'CREATE TABLE "two\nlines = x" (id int PRIMARY KEY, account_id text, "a\nb" text)',
            'ALTER TABLE "two\nlines = x" REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR ALL TABLES',
        )
        house.fatwald()
        account = 'of "two" words'
        house.tail(account, 'json', '--snapshot')
        house.tail(account, 'text', '--format', 'text')
        house.sql(
            f"""INSERT INTO "two\nlines = x" VALUES (1, '{account}', E'x\\ny\\u0085z')""",
            'UPDATE "two\nlines = x" SET "a\nb" = U&\'p\\2028q\'',
            'DELETE FROM "two\nlines = x"',
        )
        events = house.events('json', 3)
        self.assertEqual(
            [(e['op'], e['table'], e['account']) for e in events],
            [(op, 'two\nlines = x', account) for op in ('insert', 'update', 'delete')],
        )
        self.assertEqual(events[1]['old']['a\nb'], 'x\ny\x85z')
        self.assertEqual(events[1]['new']['a\nb'], 'p\u2028q')
        text = house.lines('text', 3)
        self.assertEqual(len(text), 3)
        self.assertIn(
            (
                '"of \\"two\\" words" update public."two\\nlines = x"'
                ' "a\\nb"="x\\ny\\u0085z"→"p\\u2028q"'
            ),
            text[1],
        )

    def test_one_value_that_cannot_be_printed_costs_its_column(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        house.tail('7', 'json')
        house.tail('7', 'text', '--format', 'text')
        house.sql(
            """INSERT INTO t VALUES (1, '7', '"\\u0000"', (repeat('[', 5000) || repeat(']',
            5000))::jsonb, 'c', 1.5)""",
            """INSERT INTO t VALUES (2, '7', E'{"a":\\n1}', '{}', (-1)::int4::"char", 0.1)""",
        )
        # Nested too deep for Python's own parser.
        lines = house.lines('json', 2)
        nested = '[' * 5000 + ']' * 5000
        whole = f'"new":{{"id":1,"account_id":"7","j":"\\u0000","jb":{nested},"c":"c","f":1.5}}'
        self.assertTrue(whole in lines[0], lines[0][:300])
        event = json.loads(lines[1])
        # From 16 on the server prints it as \377, which is text.
        self.assertIn(
            (event['new'].pop('c', None), event.get('new_unavailable')),
            ((None, ['c']), ('\\377', None)),
        )
        self.assertEqual(
            event['new'], {'id': 2, 'account_id': '7', 'j': {'a': 1}, 'jb': {}, 'f': 0.1}
        )
        self.assertTrue(
            ' without ["c"]' in house.lines('text', 2)[1] or '\\377' in house.lines('text', 2)[1]
        )

    def test_a_message_too_large_for_the_stream_says_so_and_does_not_stop_it(self):
        house = self.house
        house.sql(
            *TABLE,
            f"SELECT pg_create_logical_replication_slot('{house.slot}', 'fatwal')",
            (
                "SELECT pg_logical_emit_message(false, 'large', convert_to(repeat('x', 536870912),"
                " 'UTF8'))"
            ),
            "INSERT INTO t VALUES (1, '7')",
        )
        rows = house.sql(
            "SELECT d.kind, d.new->>'prefix', d.unavailable FROM"
            f" pg_logical_slot_get_binary_changes('{house.slot}', NULL, NULL, 'publication_names',"
            " 'p') c, fatwal.decode(c.data) d WHERE d.kind <> 'schema'"
        )
        self.assertEqual(rows.splitlines(), ['message|large|{content}', 'insert||'])


class Encodings(unittest.TestCase):
    def database(self, encoding):
        name = f'encoding_{os.getpid()}_{encoding.lower()}'
        self.sql(
            'postgres',
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0",
        )
        self.addCleanup(self.sql, 'postgres', f'DROP DATABASE {name} WITH (FORCE)')
        return name

    def sql(self, database, statement):
        done = subprocess.run(
            [
                'psql',
                '-X',
                '-q',
                '-A',
                '-t',
                '-v',
                'ON_ERROR_STOP=1',
                '-d',
                database,
                '-c',
                statement,
            ],
            capture_output=True,
            text=True,
            env=(
                os.environ | {'PGCLIENTENCODING': 'UTF8'}
                if not database.endswith('sql_ascii')
                else None
            ),
        )
        return done.stdout.strip() if done.returncode == 0 else done.stderr

    def test_only_a_database_in_utf8_has_a_slot(self):
        for encoding in ('LATIN1', 'SQL_ASCII', 'EUC_JP'):
            with self.subTest(encoding):
                database = self.database(encoding)
                self.assertEqual(self.sql(database, 'CREATE EXTENSION fatwal'), '')
                for statement in (
                    f"SELECT pg_create_logical_replication_slot('{database}', 'fatwal')",
                    "SELECT fatwal.emit('7', 'topic', '1')",
                    "SELECT * FROM fatwal.decode('\\x4601')",
                ):
                    said = self.sql(database, statement)
                    self.assertIn(f'database encoding "{encoding}" is not supported', said)
                    self.assertIn('HINT:  Use a database whose encoding is UTF8', said)
                self.assertEqual(
                    self.sql(
                        'postgres',
                        f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{database}'",
                    ),
                    '0',
                )
                self.assertIn(
                    'the database is in UTF8|f',
                    self.sql(database, 'SELECT requirement, ok FROM fatwal.check()'),
                )


if __name__ == '__main__':
    unittest.main()
