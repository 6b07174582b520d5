"""The twin test: one WAL, two slots, one with the plugin fatwal and one with pgoutput. The
subscribers of both fatwalds print the same lines, positions included; docs/pgoutput.md lists where
not. Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration
"""
import json
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from all_types import EVERYTHING, UUID, rows  # noqa: E402
from house import House, position, unkeyed, until  # noqa: E402

@unkeyed
class Twins(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.endings = 0

    def role(self):
        """A role without superuser, with settings that change the text of values."""
        house = self.house
        role = house.role('REPLICATION')
        for setting in (
            'extra_float_digits = 0',
            "datestyle = 'German, DMY'",
            "timezone = 'America/St_Johns'",
            "intervalstyle = 'sql_standard'",
            "bytea_output = 'escape'",
            "lc_monetary = 'C.UTF-8'",
            'search_path = public, pg_catalog',
            'quote_all_identifiers = on',
        ):
            house.sql(f'ALTER ROLE {role} SET {setting}')
        house.sql(
            f'GRANT USAGE ON SCHEMA fatwal TO {role}',
            'GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.subscriber, fatwal.slot,'
            f' fatwal.publication_state TO {role}',
            f'GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO {role}',
        )
        return role

    def start(self, *accounts, **settings):
        """Both fatwalds with a subscriber of each account; what they were given stays with them."""
        house = self.house
        user = self.role()
        self.accounts = accounts
        self.controls = {}
        for plugin in ('fatwal', 'pgoutput'):
            house.control = f'ipc://{house.folder}/{plugin}.sock'
            self.controls[plugin] = house.control
            process = house.fatwald(
                name=f'fatwald-{plugin}',
                **{
                    'slot': f'{house.database}_{plugin}',
                    'run-dir': house.folder / f'run-{plugin}',
                    'control': house.control,
                    'plugin': plugin,
                    'database': house.conninfo(user),
                }
                | settings,
            )
            self.addCleanup(self.end, process, f'{house.database}_{plugin}')
            for account in accounts:
                house.tail(account, f'{plugin}-{account}', '--numbers', 'exact')

    def end(self, process, slot):
        process.kill()
        process.wait()
        until(
            lambda: self.house.sql(
                f'SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name = \'{slot}\''
            )
            == '0',
            'the slot to be free',
        )

    def lines(self, plugin, account):
        """All lines of a subscriber up to the ending that was written last."""
        name = f'{plugin}-{account}'
        mark = f'"topic":"ending {self.endings}"'

        def come():
            read = self.house.read(f'{name}.out')
            return read if any(mark in line for line in read.splitlines()) else None

        return until(come, f'the ending of {name}').splitlines()

    def compare(self):
        """The lines of each account, which are the same with both."""
        self.endings += 1
        for account in self.accounts:
            key = 'NULL' if account is None else f"'{account}'"
            self.house.sql(f"SELECT fatwal.emit({key}, 'ending {self.endings}', '1')")
        all_lines = {}
        for account in self.accounts:
            ours, twin = (self.lines(plugin, account) for plugin in ('fatwal', 'pgoutput'))
            for one, other in zip(ours, twin):
                self.assertEqual(one, other)
            self.assertEqual(len(ours), len(twin))
            all_lines[account] = [json.loads(line) for line in ours]
        return all_lines

    def test_each_type_reads_the_same(self):
        house = self.house
        house.sql(
            *EVERYTHING,
            'ALTER TABLE everything REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE everything',
        )
        self.start('42')
        house.sql(*rows())
        events = self.compare()['42']
        self.assertGreater(len(events), 900)
        self.assertFalse([e for e in events if e.get('new_unavailable')])
        self.assertNotIn('travels as text', house.read('fatwald-pgoutput.err'))

    def test_accounts_moves_truncates_messages_and_toast(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, n bigint, big text)',
            'CREATE TABLE keyed (id int, account_id int, v text, PRIMARY KEY (id, account_id))',
            'CREATE TABLE named (id int PRIMARY KEY, owner text, big text)',
            'CREATE TABLE padded (id int PRIMARY KEY, account_id char(12))',
            'CREATE TABLE nobody (id int PRIMARY KEY, v text)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'ALTER TABLE named REPLICA IDENTITY FULL',
            'ALTER TABLE padded REPLICA IDENTITY FULL',
            'ALTER TABLE t ALTER big SET STORAGE EXTERNAL',
            'ALTER TABLE keyed ALTER v SET STORAGE EXTERNAL',
            "SELECT fatwal.set_account_column('named', 'owner')",
            'CREATE PUBLICATION p FOR TABLE t, keyed, named, padded, nobody',
        )
        self.start('1', '2', UUID, 'acme', None)
        house.sql(
            'INSERT INTO t SELECT g, g % 3, g, repeat($$x$$, 5000) FROM generate_series(1, 30) g',
            'UPDATE t SET n = n + 1',
            'UPDATE t SET account_id = 2 WHERE id % 5 = 0',
            'UPDATE t SET account_id = NULL WHERE id = 7',
            'UPDATE t SET id = id + 100 WHERE id < 5',
            'INSERT INTO keyed SELECT g, g % 3, repeat($$y$$, 5000) FROM generate_series(1, 9) g',
            'UPDATE keyed SET v = v WHERE id = 1',
            'UPDATE keyed SET id = id + 10',
            'UPDATE keyed SET account_id = 2 WHERE id = 11',
            'DELETE FROM keyed WHERE id > 15',
            (
                f"INSERT INTO named VALUES (1, '{UUID.upper()}', repeat('z', 5000)), (2, 'acme',"
                " 'v'), (3, '1', NULL), (4, repeat('k', 256), 'long key')"
            ),
            "UPDATE named SET owner = 'acme' WHERE id = 1",
            "UPDATE named SET big = '' WHERE id = 4",
            "INSERT INTO padded VALUES (1, 'acme'), (2, '2')",
            'UPDATE padded SET id = id + 10',
            "INSERT INTO nobody VALUES (1, 'x')",
            'UPDATE nobody SET id = 2',
            'DELETE FROM nobody',
            "SELECT fatwal.emit('1', 'topic', '{\"x\": [1]}')",
            "SELECT pg_logical_emit_message(false, 'foreign', 'text')",
            "SELECT pg_logical_emit_message(true, 'foreign', 'text')",
            "SELECT pg_logical_emit_message(true, 'fatwal', 'not ours')",
            (
                "BEGIN; INSERT INTO t VALUES (200, 1), (201, 2); SELECT fatwal.emit('2', 'in',"
                " '1'); SAVEPOINT s; INSERT INTO t VALUES (202, 1); ROLLBACK TO s; TRUNCATE t,"
                " nobody; INSERT INTO t VALUES (203, 1); INSERT INTO nobody VALUES (9); COMMIT"
            ),
            'TRUNCATE nobody',
            'TRUNCATE t, keyed RESTART IDENTITY CASCADE',
            (
                "BEGIN; INSERT INTO t VALUES (300, 1); PREPARE TRANSACTION 'two'"
                if house.sql('SHOW max_prepared_transactions') != '0'
                else 'SELECT 1'
            ),
        )
        if house.sql('SHOW max_prepared_transactions') != '0':
            house.sql("COMMIT PREPARED 'two'")
        lines = self.compare()
        self.assertTrue(any(e.get('moved') for e in lines['2']))
        self.assertTrue(any(e['op'] == 'truncate' for e in lines['2']))
        self.assertTrue(any(e['op'] == 'delete' for e in lines['acme'] + lines[UUID]))

    def test_columns_and_labels_that_come_and_go(self):
        house = self.house
        house.sql(
            "CREATE TYPE mood AS ENUM ('sad', 'happy')",
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, m mood)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        self.start('1')
        house.sql(
            "INSERT INTO t VALUES (1, 1, 'sad')",
            "ALTER TYPE mood ADD VALUE 'sound' BEFORE 'happy'",
            "INSERT INTO t VALUES (2, 1, 'sound')",
            'ALTER TABLE t ADD COLUMN moods mood[]',
            "UPDATE t SET moods = ARRAY[m, NULL, 'happy']",
            'ALTER TABLE t DROP COLUMN m',
            "ALTER TABLE t ADD COLUMN later text COLLATE \"C\"",
            "UPDATE t SET later = 'now'",
            'ALTER TABLE t RENAME COLUMN later TO "Now"',
            'DELETE FROM t WHERE id = 1',
        )
        self.compare()

    def test_partitions_filters_and_lists(self):
        house = self.house
        house.sql(
            (
                'CREATE TABLE part (id int, account_id int, v text, region int, PRIMARY KEY (id,'
                ' region)) PARTITION BY LIST (region)'
            ),
            'CREATE TABLE leaf0 PARTITION OF part FOR VALUES IN (0)',
            'CREATE TABLE leaf1 (v text, region int NOT NULL, account_id int, id int NOT NULL)',
            'ALTER TABLE part ATTACH PARTITION leaf1 FOR VALUES IN (1)',
            'CREATE TABLE filtered (id int PRIMARY KEY, account_id int, n int, secret text)',
            *(
                f'ALTER TABLE {table} REPLICA IDENTITY FULL'
                for table in ('part', 'leaf0', 'leaf1', 'filtered')
            ),
            (
                'CREATE PUBLICATION p FOR TABLE part, filtered WHERE (n > 10)'
                ' WITH (publish_via_partition_root = true)'
            ),
            'CREATE TABLE listed (id int PRIMARY KEY, account_id int, n int, secret text)',
            'CREATE UNIQUE INDEX listed_key ON listed (id, account_id)',
            'ALTER TABLE listed ALTER account_id SET NOT NULL',
            'ALTER TABLE listed REPLICA IDENTITY USING INDEX listed_key',
            'CREATE PUBLICATION q FOR TABLE listed (id, account_id, n)',
        )
        self.start('1', '2', publication='p,q')
        house.sql(
            'INSERT INTO part SELECT g, g % 3, $$v$$, g % 2 FROM generate_series(1, 20) g',
            'UPDATE part SET v = $$w$$',
            'UPDATE part SET region = 1 - region WHERE id < 5',
            'DELETE FROM part WHERE id > 15',
            'INSERT INTO filtered SELECT g, g % 3, g, $$s$$ FROM generate_series(1, 20) g',
            'UPDATE filtered SET n = 21 - n',
            'UPDATE filtered SET account_id = 3 - account_id WHERE account_id > 0',
            'DELETE FROM filtered',
            'INSERT INTO listed SELECT g, g % 3, g, $$s$$ FROM generate_series(1, 9) g',
            'UPDATE listed SET n = n + 1',
            'UPDATE listed SET account_id = 2 WHERE id = 1',
            'UPDATE listed SET secret = $$changed$$',
            'DELETE FROM listed WHERE id > 5',
            'TRUNCATE part',
        )
        lines = self.compare()
        self.assertFalse(
            [
                e
                for e in lines['1']
                if 'secret' in (e.get('new') or {}) and e.get('table') == 'listed'
            ]
        )

    def test_a_transaction_of_more_accounts_than_can_be_closed_one_by_one(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, v text)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        self.start('1', '17000')
        house.sql(
            'INSERT INTO t SELECT g, g, $$v$$ FROM generate_series(1, 20000) g',
            'UPDATE t SET v = repeat($$w$$, 3000) WHERE id < 15000',
            'UPDATE t SET account_id = 1 WHERE id > 16990 AND id < 17010',
        )
        lines = self.compare()
        self.assertEqual(len([e for e in lines['17000'] if e['op'] == 'delete']), 1)

    def test_a_walk_through_the_tables_of_the_channels(self):
        house = self.house
        house.load('portal/example/schema.sql', 'test/access/walk.sql')
        tables = house.sql(
            "SELECT string_agg(quote_ident(relname), ', ') FROM pg_class WHERE relnamespace ="
            " 'public'::regnamespace AND relkind = 'r'"
        )
        house.sql(*(f'ALTER TABLE {table} REPLICA IDENTITY FULL' for table in tables.split(', ')))
        house.sql("SELECT fatwal.set_account_column('accounts', 'id')")
        house.sql(f'CREATE PUBLICATION p FOR TABLE {tables}', 'SELECT walk.setup(3)')
        account = house.sql('SELECT walk.account()')
        self.start(account, None)
        subprocess.run(
            ['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', house.database],
            capture_output=True,
            text=True,
            check=True,
            input=''.join(f'SELECT walk.step(3, {n});\n' for n in range(1, 401)),
        )
        self.assertGreater(len(self.compare()[account]), 1000)

    def test_what_left_memory_is_read_again_through_the_decoder(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, v text)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        self.start('1', **{'replay-bytes': 0})
        house.control = self.controls['pgoutput']
        cursor = house.folder / 'cursor'
        durable = house.tail('1', 'durable', '--durable', 'd', '--cursor-file', cursor)
        house.sql("INSERT INTO t VALUES (1, 1, 'a')")
        house.lines('durable', 1)
        house.stop(durable)
        house.sql(
            'INSERT INTO t SELECT g, g % 2, $$b$$ FROM generate_series(2, 2000) g',
            'UPDATE t SET v = $$c$$',
        )
        lines = self.compare()['1']
        house.tail('1', 'again', '--durable', 'd', '--cursor-file', cursor)
        again = house.events('again', len(lines) - 1)
        strip = ('commit_lsn', 'ordinal', 'op')
        self.assertEqual(
            [[e[key] for key in strip] for e in again],
            [[e[key] for key in strip] for e in lines[1:]],
        )
        self.assertGreater(position(again[-1]['commit_lsn']), position(again[0]['commit_lsn']))


@unkeyed
class Start(unittest.TestCase):
    """What fatwald finds before it streams through pgoutput, and what mends it."""

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def refused(self, **settings):
        """What fatwald says when it ends."""
        process = self.house.fatwald(wait=False, **{'plugin': 'pgoutput'} | settings)
        self.assertEqual(process.wait(60), 1)
        return self.house.read('fatwald.err')

    def mend(self, said):
        """Runs the statements of the hint."""
        self.house.sql(re.search(r'hint: (.*)', said)[1])

    def streams(self, **settings):
        self.house.stop(self.house.fatwald(**{'plugin': 'pgoutput'} | settings))

    def test_a_slot_of_the_other_plugin(self):
        house = self.house
        house.sql('CREATE TABLE t (id int PRIMARY KEY)', 'CREATE PUBLICATION p FOR TABLE t')
        self.streams(plugin='fatwal')
        self.assertIn('is not of the output plugin pgoutput', self.refused())
        house.drop_slot()
        self.streams()
        self.assertIn('is not of the output plugin fatwal', self.refused(plugin='fatwal'))

    def test_an_identity_without_the_account_column(self):
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'CREATE TABLE "Other" (id int PRIMARY KEY, owner text)',
            "SELECT fatwal.set_account_column('\"Other\"', 'owner')",
            'CREATE TABLE fine (id int, account_id int, PRIMARY KEY (id, account_id))',
            'CREATE TABLE nobody (id int PRIMARY KEY, account_id point)',
            'CREATE PUBLICATION p FOR TABLE t, "Other", fine, nobody',
        )
        said = self.refused()
        self.assertIn('of table public.t leaves out the column that names the account', said)
        self.assertIn('ALTER TABLE public."Other" REPLICA IDENTITY FULL;', said)
        self.assertNotRegex(said, 'TABLE public.(fine|nobody)')
        self.mend(said)
        self.streams()
        # Where it streams already, one table must not keep the others from their subscribers.
        self.house.sql('ALTER TABLE t REPLICA IDENTITY DEFAULT')
        self.streams()
        said = self.house.read('fatwald.err')
        self.assertIn('of table public.t leaves out the column that names the account', said)

    def test_a_partition_with_another_identity_than_its_table(self):
        self.house.sql(
            (
                'CREATE TABLE part (id int, account_id int, PRIMARY KEY (id, account_id)) PARTITION'
                ' BY LIST (account_id)'
            ),
            'CREATE TABLE leaf PARTITION OF part DEFAULT',
            'ALTER TABLE part REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE part WITH (publish_via_partition_root = true)',
        )
        said = self.refused()
        self.assertIn(
            'partition public.leaf has another replica identity than table public.part', said
        )
        self.mend(said)
        self.streams()

    def test_publications_with_different_lists(self):
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, a int, b int)',
            'CREATE PUBLICATION p FOR TABLE t (id, a)',
            'CREATE PUBLICATION q FOR TABLE t (id, b)',
        )
        said = self.refused(publication='p,q')
        self.assertIn('different column lists for table public.t', said)
        self.house.sql('ALTER PUBLICATION q DROP TABLE t')
        self.streams(publication='p,q')

    # Where there is no extension; the table alone is enough to see what the stream makes of it.
    def test_settings_of_account_columns_take_effect_at_their_place(self):
        house = self.house
        house.sql(
            (
                'CREATE TABLE fatwal.account_setting (relation regclass PRIMARY KEY, relation_oid'
                ' oid NOT NULL, column_name name NOT NULL)'
            ),
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, owner int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        said = self.refused()
        self.assertIn('fatwal.account_setting is not published', said)
        self.mend(said)
        house.fatwald(plugin='pgoutput')
        house.tail('1', 'one')
        house.tail('7', 'seven')
        setting = "INSERT INTO fatwal.account_setting VALUES ('t', 't'::regclass::oid, 'owner')"
        house.sql(
            'INSERT INTO t VALUES (1, 1, 7)',
            (
                f'BEGIN; INSERT INTO t VALUES (2, 1, 7); {setting}; INSERT INTO t VALUES (3, 1, 7);'
                ' COMMIT'
            ),
            'INSERT INTO t VALUES (4, 1, 7)',
            'DELETE FROM fatwal.account_setting',
            'INSERT INTO t VALUES (5, 1, 7)',
        )
        one = [(e['op'], (e.get('new') or {}).get('id')) for e in house.events('one', 5)]
        seven = [(e['op'], (e.get('new') or {}).get('id')) for e in house.events('seven', 4)]
        self.assertEqual(
            one, [('insert', 1), ('insert', 2), ('resync', None), ('resync', None), ('insert', 5)]
        )
        self.assertEqual(seven, [('insert', 3), ('resync', None), ('insert', 4), ('resync', None)])

    def test_a_slot_changes_its_plugin_and_durable_subscribers_miss_nothing(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, v jsonb)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        seen, cursor = [], house.folder / 'cursor'
        for number, plugin in enumerate(('fatwal', 'pgoutput', 'fatwal')):
            if number > 0:
                name = house.slot
                house.free_slot()
                house.sql(
                    (
                        f"SELECT pg_copy_logical_replication_slot('{name}', 'moved', false,"
                        f" '{plugin}')"
                    ),
                    f"SELECT pg_drop_replication_slot('{name}')",
                    f"SELECT pg_copy_logical_replication_slot('moved', '{name}')",
                    "SELECT pg_drop_replication_slot('moved')",
                )
            fatwald = house.fatwald(f'fatwald{number}', plugin=plugin)
            tail = house.tail('1', f'tail{number}', '--durable', 'd', '--cursor-file', cursor)
            house.sql(f"INSERT INTO t VALUES ({2 * number}, 1, '{{}}')")
            seen += house.events(f'tail{number}', 1 if number == 0 else 2, all=True)
            house.stop(tail)
            # One for the next to find.
            house.sql(f"INSERT INTO t VALUES ({2 * number + 1}, 1, '{{}}')")
            house.stop(fatwald)
        self.assertEqual(
            [(e['op'], e['new']['id']) for e in seen], [('insert', n) for n in range(5)]
        )

    def test_a_locked_table_does_not_hold_up_the_stream(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        first = house.fatwald(plugin='pgoutput')
        cursor = house.folder / 'cursor'
        house.stop(house.tail('1', 'durable', '--durable', 'd', '--cursor-file', cursor))
        house.stop(first)
        house.sql('INSERT INTO t VALUES (1, 1)')
        house.locking('t')
        house.fatwald('second', plugin='pgoutput')
        house.tail('1', 'again', '--durable', 'd', '--cursor-file', cursor)
        self.assertEqual(house.events('again', 1)[0]['new'], {'id': 1, 'account_id': 1})

    # A publication says nothing in the stream.

    def test_an_altered_publication_brings_a_resync(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t WHERE (id > 10)',
        )
        first = house.fatwald(plugin='pgoutput')
        house.tail('1', 'live')
        cursor = house.folder / 'cursor'
        away = house.tail('1', 'away', '--durable', 'd', '--cursor-file', cursor)
        until(lambda: self.noted() == 'f', 'fatwald to note the publication')
        house.stop(away)
        house.sql('ALTER PUBLICATION p SET TABLE t, fatwal.publication_state')
        self.assertEqual(house.events('live', 1)[0]['op'], 'resync')
        self.assertEqual(self.noted(), 't')
        # Who was away finds it in its place, and so does what is altered while fatwald is down.
        house.sql('INSERT INTO t VALUES (1, 1)')
        house.stop(first)
        house.sql('ALTER PUBLICATION p SET TABLE t WHERE (id > 5), fatwal.publication_state')
        house.fatwald('second', plugin='pgoutput')
        house.tail('1', 'back', '--durable', 'd', '--cursor-file', cursor)
        self.assertEqual(
            [e['op'] for e in house.events('back', 3)], ['resync', 'insert', 'resync']
        )

    def test_what_was_open_when_a_publication_was_altered_is_resynced_when_it_ends(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p',
        )
        house.fatwald(plugin='pgoutput')
        house.tail('1', 'one')
        session = house.session()
        session.run('BEGIN', 'INSERT INTO t VALUES (1, 1)')
        until(
            lambda: house.sql(
                "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND granted"
            )
            != '0',
            'the row',
        )
        house.sql('ALTER PUBLICATION p ADD TABLE t')
        self.assertEqual(house.events('one', 1)[0]['op'], 'resync')
        session.run('COMMIT')
        until(
            lambda: house.read('one.out').count('"ordinal"') == 2, 'a resync behind the transaction'
        )

    def test_a_partition_that_comes_with_another_identity_loses_nothing(self):
        house = self.house
        house.sql(
            'CREATE TABLE part (id int, account_id int, v text) PARTITION BY RANGE (id)',
            'CREATE TABLE one_to_9 PARTITION OF part FOR VALUES FROM (1) TO (10)',
            'ALTER TABLE part REPLICA IDENTITY FULL',
            'ALTER TABLE one_to_9 REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE part WITH (publish_via_partition_root)',
        )
        house.fatwald(plugin='pgoutput')
        house.tail('1', 'one')
        house.sql(
            "INSERT INTO part VALUES (1, 1, 'a')",
            'CREATE TABLE ten_to_19 (LIKE part, PRIMARY KEY (id))',
            'ALTER TABLE part ATTACH PARTITION ten_to_19 FOR VALUES FROM (10) TO (20)',
            "INSERT INTO part VALUES (11, 1, 'x')",
            'DELETE FROM part WHERE id = 11',
        )
        until(
            lambda: '"resync"' in house.read('one.out').split('"id":11')[-1],
            'a resync behind the delete',
        )

    def test_the_stream_rests_while_its_own_tables_are_not_published(self):
        house = self.house
        house.sql(
            'CREATE TABLE fatwal.account_setting (relation regclass PRIMARY KEY, relation_oid'
            ' oid NOT NULL, column_name name NOT NULL)',
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t, fatwal.account_setting',
        )
        house.fatwald(plugin='pgoutput')
        house.sql('ALTER PUBLICATION p SET TABLE t')
        lacking = 'fatwal.account_setting, fatwal.publication_state is not published'
        until(lambda: lacking in house.read('fatwald.err'), 'the stream to end with its reason')
        house.sql(re.search(r'hint: (ALTER [^;]*);', house.read('fatwald.err'))[1])
        until(lambda: house.read('fatwald.err').count('streaming slot') == 2, 'it to be back')
        self.assertEqual(self.noted(), 't')

    def noted(self):
        return self.house.sql('SELECT resync FROM fatwal.publication_state')

    def test_the_state_of_publications_is_to_be_published(self):
        house = self.house
        house.publishes_state = False
        house.sql('CREATE TABLE t (id int PRIMARY KEY)', 'CREATE PUBLICATION p FOR TABLE t')
        said = self.refused()
        self.assertIn('fatwal.publication_state is not published', said)
        self.mend(said)
        self.streams()
        # A stream that was there has no less than before.
        house.sql('ALTER PUBLICATION p DROP TABLE fatwal.publication_state')
        self.streams()


if __name__ == '__main__':
    unittest.main()
