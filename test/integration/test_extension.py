"""What the extension promises and one SQL session cannot show: races with DDL, the walsender's
memory, dumps.
"""
import os
import pathlib
import re
import subprocess
import unittest

from house import House, until

BINARIES = pathlib.Path(
    subprocess.run(
        [os.environ.get('PG_CONFIG', '/usr/lib/postgresql/15/bin/pg_config'), '--bindir'],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
)
MEGABYTE = 1_000_000


class Walsender:
    """A slot that pg_recvlogical reads to the end of the log, and the server's process that
    decodes it.
    """

    def __init__(self, house):
        self.house = house
        house.sql(f"SELECT pg_create_logical_replication_slot('{house.slot}', 'fatwal')")

    def __enter__(self):
        self.reader = self.house.start(
            [
                BINARIES / 'pg_recvlogical',
                '-d',
                self.house.database,
                '-S',
                self.house.slot,
                '--start',
                '--no-loop',
                '-s',
                '1',
                '-f',
                '/dev/null',
                '-o',
                'publication_names=p',
            ],
            'recvlogical',
        )
        self.pid = int(
            until(
                lambda: self.house.sql(
                    "SELECT active_pid FROM pg_replication_slots WHERE slot_name ="
                    f" '{self.house.slot}'"
                ),
                'the walsender',
            )
        )
        return self

    def __exit__(self, *_):
        self.house.stop(self.reader)

    def read_all(self, meanwhile=lambda: None):
        """Waits until everything that is in the log now was sent."""
        end = self.house.sql('SELECT pg_current_wal_lsn()')

        def sent():
            meanwhile()
            return (
                self.house.sql(
                    f"SELECT sent_lsn >= '{end}' FROM pg_stat_replication WHERE pid = {self.pid}"
                )
                == 't'
            )

        until(sent, 'the walsender to send all')

    def memory(self):
        """Bytes of its own, without what it shares with the server."""
        status = pathlib.Path(f'/proc/{self.pid}/status').read_text()
        return int(re.search(r'RssAnon:\s+(\d+) kB', status)[1]) * 1024


class Extension(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def snapshot_after(self, statement):
        """What a snapshot of account 7 says when another session runs `statement` after it was
        taken.
        """
        script = '\n'.join(
            [
                '\\set VERBOSITY verbose',
                'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;',
                'SELECT pg_current_snapshot() IS NULL;',
                f'\\! psql -X -q -d {self.house.database} -c "{statement}"',
                (
                    "SELECT kind, new->>'id' FROM fatwal.snapshot('7', 'p') m, fatwal.decode(m)"
                    " WHERE kind = 'insert' ORDER BY 2;"
                ),
                'COMMIT;',
            ]
        )
        done = subprocess.run(
            ['psql', '-X', '-q', '-A', '-t', '-d', self.house.database],
            input=script,
            capture_output=True,
            text=True,
        )
        return done.stdout.split()[1:], done.stderr

    def test_a_table_that_is_rewritten_after_the_snapshot_fails_it(self):
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, v int)',
            'INSERT INTO t VALUES (1, 7, 1)',
            (
                'CREATE TABLE parted (id int PRIMARY KEY, account_id int, v int) PARTITION BY RANGE'
                ' (id)'
            ),
            'CREATE TABLE leaf PARTITION OF parted DEFAULT',
            'INSERT INTO parted VALUES (2, 7, 1)',
            'CREATE PUBLICATION p FOR TABLE t, parted WITH (publish_via_partition_root = true)',
        )
        for statement in (
            'ALTER TABLE t ALTER v TYPE bigint',
            'VACUUM FULL t',
            'CLUSTER t USING t_pkey',
            'VACUUM FULL leaf',
            'ALTER TABLE parted ALTER v TYPE bigint',
        ):
            with self.subTest(statement):
                rows, error = self.snapshot_after(statement)
                self.assertIn('40001: table public.', error)
                self.assertIn('Take the snapshot again', error)
        for statement in ('ANALYZE t', 'VACUUM t', 'VACUUM leaf', 'INSERT INTO t VALUES (3, 7, 1)'):
            with self.subTest(statement):
                self.assertEqual(self.snapshot_after(statement), (['insert|1', 'insert|2'], ''))

    def test_the_memory_of_a_transaction_is_bounded_whatever_accounts_it_has(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int, account_id int, pad text)',
            'ALTER TABLE t ALTER pad SET STORAGE EXTERNAL',
            "CREATE PUBLICATION p FOR TABLE t WITH (publish = 'insert')",
        )
        walsender = Walsender(house)
        house.sql(
            f"INSERT INTO t SELECT g, g, repeat('x', {5 * MEGABYTE}) FROM generate_series(1, 60) g"
        )
        with walsender:
            most = 0

            def look():
                nonlocal most
                most = max(most, walsender.memory())

            walsender.read_all(look)
        # 32 MiB of parts and three times the largest record; the 300 MB of the transaction are far
        # beyond.
        self.assertLess(most, 120 * MEGABYTE)

    def test_plans_of_dropped_tables_are_freed(self):
        house = self.house
        house.sql('CREATE PUBLICATION p FOR ALL TABLES')
        with Walsender(house) as walsender:
            house.sql(
                """DO $$ BEGIN FOR i IN 1..1500 LOOP
                EXECUTE format('CREATE TABLE x%s (id int PRIMARY KEY, account_id int)', i);
                    EXECUTE format('INSERT INTO x%s VALUES (1, 1)', i);
                EXECUTE format('DROP TABLE x%s', i); COMMIT; END LOOP; END $$"""
            )
            walsender.read_all()
            house.sql(f'SELECT pg_log_backend_memory_contexts({walsender.pid})')
            log = pathlib.Path(os.environ['FATWAL_PGDATA']).parent / 'log'
            house.sql('SELECT pg_log_backend_memory_contexts(pg_backend_pid())')
            logged = until(
                lambda: re.search(
                    rf'logging memory contexts of PID {walsender.pid}\n(.*?)Grand total',
                    log.read_text(errors='replace'),
                    re.DOTALL,
                ),
                'the memory contexts',
            )[1]
        plans = len(re.findall(r'; fatwal relation plan:', logged)) + sum(
            int(n) for n in re.findall(r'; (\d+) more child contexts', logged)
        )
        self.assertGreater(plans, 0)
        self.assertLess(plans, 400)

    def test_a_dump_carries_the_account_columns(self):
        house = self.house
        odd = '"Sch x"."Ta""ble é"'
        house.sql(
            'CREATE SCHEMA "Sch x"',
            f'CREATE TABLE {odd} (id int PRIMARY KEY, "Owner \'\'x" text)',
            'CREATE TABLE gone (id int, owner text)',
            'CREATE TABLE root (id int, owner text) PARTITION BY RANGE (id)',
            'CREATE TABLE leaf PARTITION OF root DEFAULT',
            f"SELECT fatwal.set_account_column('{odd}', 'Owner ''''x')",
            "SELECT fatwal.set_account_column('gone', 'owner')",
            "SELECT fatwal.set_account_column('root', 'owner')",
            'DROP TABLE gone',
        )
        dump = house.folder / 'dump'
        subprocess.run(['pg_dump', '-Fc', '-d', house.database, '-f', dump], check=True)
        other = House()
        self.addCleanup(other.close)
        other.sql('DROP EXTENSION fatwal', 'DROP SCHEMA fatwal')
        for options in (['-j', '2'], ['--clean', '--if-exists']):
            subprocess.run(
                ['pg_restore', *options, '--exit-on-error', '-d', other.database, dump],
                check=True,
                capture_output=True,
            )
            columns = other.sql(
                f"SELECT fatwal.account_column('{odd}'), fatwal.account_column('root'),"
                " fatwal.account_column('leaf')"
            )
            self.assertEqual(columns, "Owner ''x|owner|owner")
            self.assertEqual(other.sql('SELECT count(*) FROM pg_seclabels'), '2')

    def test_a_dump_carries_the_credentials(self):
        house = self.house
        role = house.role()
        key = 'a' * 40
        house.sql(
            f"SELECT fatwal.add_credential('worker-1', '{key}', '2030-01-01 00:00+00')",
            "SELECT fatwal.grant('worker-1', '42'), fatwal.grant_operators('worker-1')",
            f'GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO {role}',
        )
        dump = house.folder / 'dump'
        subprocess.run(['pg_dump', '-Fc', '-d', house.database, '-f', dump], check=True)
        other = House()
        self.addCleanup(other.close)
        other.sql('DROP EXTENSION fatwal', 'DROP SCHEMA fatwal')
        everything = f"""SELECT c, g, has_table_privilege('{role}', 'fatwal.credential', 'SELECT'),
            has_table_privilege('{role}', 'fatwal.credential', 'INSERT')
            FROM fatwal.credential c JOIN fatwal.credential_grant g USING (name) ORDER BY 1, 2"""
        for options in (['-j', '2'], ['--clean', '--if-exists']):
            subprocess.run(
                ['pg_restore', *options, '--exit-on-error', '-d', other.database, dump],
                check=True,
                capture_output=True,
            )
            self.assertEqual(other.sql(everything), house.sql(everything))
            self.assertEqual(len(other.sql(everything).splitlines()), 2)

    def test_a_grant_never_outlives_a_removal_that_it_meets(self):
        house = self.house
        waiting = 'SELECT count(*) FROM pg_locks WHERE NOT granted'
        grant = "SELECT fatwal.grant('worker-1', '42')"
        removal = "SELECT fatwal.remove_credential('worker-1')"
        for first, second in ((grant, removal), (removal, grant)):
            house.sql(f"SELECT fatwal.add_credential('worker-1', '{'a' * 40}')")
            one, other = house.session(), house.session()
            one.run('BEGIN', first, 'CREATE TABLE done ()')
            until(
                lambda: house.sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND"
                    " query ~ 'done' AND datname = current_database()"
                )
                == '1',
                'the first to be done',
            )
            other.run(second, 'CREATE TABLE done_too ()')
            until(lambda: house.sql(waiting) == '1', 'the second to wait for it')
            one.run('COMMIT')
            until(
                lambda: house.sql("SELECT to_regclass('done_too') IS NOT NULL") == 't',
                'the second to be done',
            )
            self.assertEqual(house.sql('SELECT count(*) FROM fatwal.credential'), '0')
            self.assertEqual(house.sql('SELECT count(*) FROM fatwal.credential_grant'), '0')
            house.sql('DROP TABLE done, done_too')


if __name__ == '__main__':
    unittest.main()
