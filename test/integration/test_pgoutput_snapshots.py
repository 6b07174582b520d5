"""Snapshots of a server without the extension's own: by COPY, with the same rows, tables and
accounts as fatwal.snapshot gives. Run by: scripts/with-postgres /usr/bin/python3 -m unittest
discover -s test/integration
"""
import json
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_pgoutput as twins  # noqa: E402
from house import BUILD, House, unkeyed, until  # noqa: E402


@unkeyed
class Snapshots(unittest.TestCase):
    role, end = twins.Twins.role, twins.Twins.end

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.taken = 0

    def start(self, **settings):
        self.house.sql(
            'DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relkind IN'
            " ('r', 'p') AND relnamespace = 'public'::regnamespace LOOP"
            " EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', t); END LOOP; END $$"
        )
        twins.Twins.start(self, **settings)
        self.house.sql(
            'GRANT SELECT ON ALL TABLES IN SCHEMA public TO ' + ', '.join(self.house.roles)
        )

    def rows(self, plugin, account):
        """(table, row) of an account's snapshot, in the order in which they came."""
        self.taken += 1
        name = f'taken{self.taken}'
        self.house.control = self.controls[plugin]
        process = self.house.tail(account, name, '--snapshot', '--numbers', 'exact')
        until(lambda: '"snapshot_end"' in self.house.read(f'{name}.out'), 'the snapshot')
        self.house.stop(process)
        lines = [json.loads(line) for line in self.house.read(f'{name}.out').splitlines()]
        return [(e['schema'], e['table'], e['new']) for e in lines if 'new' in e]

    def reader(self, name):
        """`fatwal tail --snapshot` of account 1 through pgoutput, which may not join."""
        control = self.controls['pgoutput']
        return self.house.start(
            [BUILD / 'client' / 'fatwal', 'tail', '--control', control, '--account', '1',
             '--snapshot'],
            name,
        )

    def compare(self, *accounts):
        found = {}
        for account in accounts:
            ours, twin = self.rows('fatwal', account), self.rows('pgoutput', account)
            for one, other in zip(ours, twin):
                self.assertEqual(one, other)
            self.assertEqual(len(ours), len(twin))
            found[account] = ours
        return found

    def test_each_type_reads_the_same(self):
        house = self.house
        house.sql(
            *twins.EVERYTHING,
            'ALTER TABLE everything REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE everything',
            *twins.rows(),
        )
        self.start()
        self.assertGreater(len(self.compare('42')['42']), 250)

    def test_accounts_and_odd_texts(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, v text)',
            'CREATE TABLE named (id int PRIMARY KEY, owner text)',
            'CREATE TABLE padded (id int PRIMARY KEY, account_id char(12))',
            'CREATE TABLE ids (id int PRIMARY KEY, account_id uuid)',
            'CREATE TABLE nobody (id int PRIMARY KEY, v text)',
            'CREATE TABLE "Odd ""name" ("a b" int PRIMARY KEY, account_id int, "\'" text)',
            'CREATE TABLE bare ()',
            "SELECT fatwal.set_account_column('named', 'owner')",
            'CREATE PUBLICATION p FOR TABLE t, named, padded, ids, nobody, "Odd ""name", bare',
            'INSERT INTO t SELECT g, g % 3, g FROM generate_series(1, 3000) g',
            'UPDATE t SET account_id = NULL WHERE id = 7',
            "INSERT INTO t VALUES (-1, 1, E'\\b\\f\\n\\r\\t\\x0b\\\\N\\\\.'), (-2, 1, '\\N'),"
            " (-3, 1, NULL), (-4, 1, ''), (-5, 1, E'\\\\'), (-6, 1, repeat(E'\\n', 300000))",
            f"INSERT INTO named VALUES (1, '{twins.UUID.upper()}'), (2, 'acme'), (3, '1'),"
            " (4, repeat('k', 256)), (5, NULL), (6, 'it''s \\ odd')",
            "INSERT INTO padded VALUES (1, 'acme'), (2, '1')",
            f"INSERT INTO ids VALUES (1, '{twins.UUID}')",
            "INSERT INTO nobody VALUES (1, 'x')",
            'INSERT INTO "Odd ""name" VALUES (1, 1, \'o\')',
            'INSERT INTO bare DEFAULT VALUES',
        )
        self.start()
        found = self.compare('1', 'acme', twins.UUID, "it's \\ odd", None, '99')
        self.assertEqual(len(found['1']), 999 + 6 + 3)
        self.assertEqual(len(found[twins.UUID]), 2)
        self.assertEqual(found['99'], [])

    def test_partitions_filters_and_lists(self):
        house = self.house
        house.sql(
            'CREATE TABLE part (id int, account_id int, v text, region int, PRIMARY KEY (id,'
            ' region)) PARTITION BY LIST (region)',
            'CREATE TABLE leaf0 PARTITION OF part FOR VALUES IN (0)',
            'CREATE TABLE leaf1 (v text, region int NOT NULL, account_id int, id int NOT NULL)',
            'ALTER TABLE part ATTACH PARTITION leaf1 FOR VALUES IN (1)',
            'CREATE TABLE leaves (id int PRIMARY KEY, account_id int) PARTITION BY HASH (id)',
            'CREATE TABLE leaves0 PARTITION OF leaves FOR VALUES WITH (MODULUS 2, REMAINDER 0)',
            'CREATE TABLE leaves1 PARTITION OF leaves FOR VALUES WITH (MODULUS 2, REMAINDER 1)',
            'CREATE TABLE parent (id int PRIMARY KEY, account_id int)',
            'CREATE TABLE child (extra text) INHERITS (parent)',
            'CREATE TABLE filtered (id int PRIMARY KEY, account_id int, n int)',
            'CREATE TABLE twice (id int PRIMARY KEY, account_id int, n int)',
            'CREATE TABLE listed (id int PRIMARY KEY, account_id int, n int, secret text)',
            'CREATE TABLE unheard (id int PRIMARY KEY, account_id int)',
            'CREATE PUBLICATION p FOR TABLE part, filtered WHERE (n > 10), twice WHERE (n < 3)'
            ' WITH (publish_via_partition_root = true)',
            'CREATE PUBLICATION q FOR TABLE leaves, parent, twice WHERE (n > 8),'
            ' listed (id, account_id, n), leaf0',
            "CREATE PUBLICATION r FOR TABLE unheard WITH (publish = 'truncate')",
            *(
                f'INSERT INTO {table} SELECT g, g % 3{more} FROM generate_series(1, 20) g'
                for table, more in (
                    ('part', ", 'v', g % 2"), ('leaves', ''), ('parent', ''),
                    ('child', ", 'x'"), ('filtered', ', g'), ('twice', ', g % 11'),
                    ('listed', ", g, 'secret'"), ('unheard', ''),
                )
            ),
        )
        self.start(publication='p,q,r')
        found = self.compare('1', '2')['1']
        self.assertFalse([row for _, _, row in found if 'secret' in row])
        self.assertNotIn('unheard', {table for _, table, _ in found})
        self.assertLess({'part', 'leaves0', 'parent', 'child', 'twice'}, {t for _, t, _ in found})

    def test_a_table_that_is_rewritten_after_the_snapshot_was_taken(self):
        """COPY waits for its lock; it would find an empty file."""
        house = self.house
        house.sql(
            'CREATE TABLE a (id int PRIMARY KEY, account_id int)',
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, v int)',
            'CREATE TABLE part (id int, account_id int) PARTITION BY LIST (account_id)',
            'CREATE TABLE leaf PARTITION OF part FOR VALUES IN (1)',
            'CREATE PUBLICATION p FOR TABLE a, t, part WITH (publish_via_partition_root = true)',
            'INSERT INTO t SELECT g, 1, g FROM generate_series(1, 10) g',
            'INSERT INTO part SELECT g, 1 FROM generate_series(1, 10) g',
        )
        self.start()
        for rewrite in (
            'ALTER TABLE t ALTER v TYPE bigint USING v',
            'VACUUM FULL leaf',
            'ALTER TABLE t DROP COLUMN v',
            'CLUSTER t USING t_pkey',
        ):
            with self.subTest(rewrite):
                lock = house.locking('a')
                name = f'rewritten{len(house.processes)}'
                reader = self.reader(name)
                until(
                    lambda: house.sql(
                        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND"
                        " wait_event_type = 'Lock'"
                    )
                    == '1',
                    'the snapshot to wait',
                )
                house.sql(rewrite)
                lock.close()
                until(lambda: '"snapshot_end"' in house.read(f'{name}.out'), 'the snapshot')
                whole = house.read(f'{name}.out').rpartition('"snapshot_begin"')[2]
                self.assertEqual(whole.count('"new"'), 20)
                house.stop(reader)
                time.sleep(5.1)  # it does not serve the next

    def test_rows_that_the_role_may_not_see_are_an_error(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'CREATE PUBLICATION p FOR TABLE t',
            'INSERT INTO t VALUES (1, 1)',
            'ALTER TABLE t ENABLE ROW LEVEL SECURITY',
        )
        self.start()
        self.reader('refused')
        until(lambda: 'BYPASSRLS' in house.read('refused.err'), 'the reason')

    def test_a_role_without_rights_is_an_error(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        twins.Twins.start(self)
        self.reader('refused')
        until(lambda: 'GRANT SELECT' in house.read('refused.err'), 'the reason')


if __name__ == '__main__':
    unittest.main()
