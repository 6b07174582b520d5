"""The log of changes (portal/example/change_log.cpp): a worker whose effects are in a database.
Scenarios J26, J27 and J30. Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover
-s test/integration"""
import json
import signal
import unittest

from house import BUILD, House, until

ACCOUNT, OTHER = 'aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002'


class ChangeLog(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.load('portal/example/schema.sql')
        self.house.sql(
            f"INSERT INTO accounts (id, name, slug) VALUES ('{ACCOUNT}', 'a', 'a'), ('{OTHER}',"
            " 'b', 'b')"
        )
        self.fatwald = self.house.fatwald(publication='portal')

    def logger(self, *accounts):
        """Logs what comes when this returns."""
        process = self.house.start(
            [
                BUILD / 'portal' / 'example' / 'change_log',
                self.house.conninfo(),
                self.house.control,
                *accounts,
            ],
            'log',
        )
        until(
            lambda: self.house.sql('SELECT count(*) FROM change_log_cursor') == str(len(accounts)),
            'the log to begin',
        )
        return process

    def log(self, count, account=ACCOUNT):
        """The entries of an account, when there are so many: (op, table, old, new)."""
        until(
            lambda: int(
                self.house.sql(f"SELECT count(*) FROM change_log WHERE account_id = '{account}'")
            )
            >= count,
            f'{count} entries',
        )
        lines = self.house.sql(
            "SELECT jsonb_build_array(op, table_name, old, new) FROM change_log WHERE account_id ="
            f" '{account}' ORDER BY id"
        ).splitlines()
        return [json.loads(line) for line in lines]

    def test_over_the_network_with_its_key(self):
        self.house.stop(self.fatwald)
        self.house.is_keyed = True
        self.house.fatwald(publication='portal')
        self.logger(ACCOUNT)
        self.house.sql(f"UPDATE accounts SET name = 'c' WHERE id = '{ACCOUNT}'")
        self.assertEqual([entry[:2] for entry in self.log(1)], [['update', 'accounts']])

    def test_J26_one_entry_for_each_change_and_none_for_what_was_marked_as_deleted(self):
        self.logger(ACCOUNT, OTHER)
        site, group = 'bbbbbbbb-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002'
        self.house.sql('ALTER TABLE actor_groups ADD COLUMN deleted_at timestamptz')
        self.house.sql(
            (
                f"INSERT INTO sites (id, account_id, name) VALUES ('{site}', '{ACCOUNT}', 'it''s"
                " \"a\" site\\')"
            ),
            f"INSERT INTO actor_groups (id, account_id, name) VALUES ('{group}', '{ACCOUNT}', 'g')",
            f"UPDATE sites SET name = 'x' WHERE id = '{site}'",
            f"UPDATE actor_groups SET deleted_at = now() WHERE id = '{group}'",
            f"DELETE FROM actor_groups WHERE id = '{group}'",
            f"DELETE FROM sites WHERE id = '{site}'",
            f"UPDATE accounts SET name = 'B' WHERE id = '{OTHER}'",
        )
        entries = self.log(5)
        self.assertEqual(
            [(op, table) for op, table, _, _ in entries],
            [
                ('insert', 'sites'),
                ('insert', 'actor_groups'),
                ('update', 'sites'),
                ('update', 'actor_groups'),
                ('delete', 'sites'),
            ],
        )
        self.assertEqual(
            [entry[3]['name'] for entry in entries[:3]], ['it\'s "a" site\\', 'g', 'x']
        )
        self.assertEqual(
            [entries[0][2], entries[2][2]['name'], entries[4][2]['name'], entries[4][3]],
            [None, 'it\'s "a" site\\', 'x', None],
        )
        self.assertEqual(
            [(op, table) for op, table, _, _ in self.log(1, OTHER)], [('update', 'accounts')]
        )

    def test_J27_what_is_delivered_twice_is_logged_once(self):
        process = self.logger(ACCOUNT)
        cursor = self.house.sql('SELECT cursor FROM change_log_cursor')
        for number in range(20):
            self.house.sql(f"UPDATE accounts SET name = '{number}' WHERE id = '{ACCOUNT}'")
        self.log(20)
        process.kill()
        process.wait()
        # As if its database had been restored from before the last of them.
        self.house.sql(
            f"UPDATE change_log_cursor SET cursor = '{cursor}'",
            "DELETE FROM change_log WHERE new->>'name' IN ('18', '19')",
        )
        self.logger(ACCOUNT)
        self.assertEqual(
            [new['name'] for _, _, _, new in self.log(20)], [str(number) for number in range(20)]
        )
        self.house.sql(f"UPDATE accounts SET name = 'last' WHERE id = '{ACCOUNT}'")
        self.assertEqual(len(self.log(21)), 21)

    def test_J30_all_that_happens_while_it_is_stopped_is_logged_in_order(self):
        process = self.logger(ACCOUNT)
        self.house.sql(f"UPDATE accounts SET name = 'first' WHERE id = '{ACCOUNT}'")
        self.log(1)
        process.kill()
        process.wait()
        self.house.sql(
            f"""DO $$ BEGIN FOR i IN 1..5000 LOOP UPDATE accounts SET name = i::text
            WHERE id = '{ACCOUNT}'; COMMIT; END LOOP; END $$"""
        )
        process = self.logger(ACCOUNT)
        self.assertEqual(
            [new['name'] for _, _, _, new in self.log(5001)], ['first', *map(str, range(1, 5001))]
        )
        until(
            lambda: self.house.sql(
                'SELECT acknowledged > (SELECT max(lsn) FROM change_log) FROM fatwal.subscriber'
            )
            == 't',
            'the acknowledgement of the last',
        )
        self.assertEqual(self.house.stop(process, signal.SIGTERM), 0)


if __name__ == '__main__':
    unittest.main()
