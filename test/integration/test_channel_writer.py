"""What fatwal-channel writes: flows, and where devices were last seen, while others lock, change
and stop the database. Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s
test/integration"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest

from house import until
from portal import (
    ACCOUNT,
    ACTOR,
    CLIENT,
    GROUP,
    OTHER_ACCOUNT,
    OTHER_TENANT,
    P1,
    P2,
    R1,
    R2,
    TOKEN,
    Portal,
    uid,
)
from proxy import Proxy


class Writer(Portal):
    def proxied(self, **settings):
        proxy = Proxy('127.0.0.1', os.environ['PGPORT'])
        self.addCleanup(proxy.close)
        process = self.channel(
            database=(
                "host=127.0.0.1"
                f" port={proxy.port} user={os.environ['PGUSER']} dbname={self.house.database}"
            ),
            **settings,
        )
        return proxy, process

    def joined_both(self, *devices):
        for device in devices:
            self.joined(device)
        return devices

    def pair(self):
        return self.joined_both(self.gateway(), self.client())

    def test_a_tenants_open_transaction_holds_up_nobody_else(self):
        self.house.sql(OTHER_TENANT)
        self.channel()
        gateway, client = self.pair()
        other_gateway, other_client = self.joined_both(self.other_gateway(), self.other_client())
        session = self.open_transaction(f"DELETE FROM policies WHERE id = '{P1}'")
        self.authorized(client, gateway)
        self.authorized(other_client, other_gateway, uid(0xE, 7))
        until(lambda: self.flows(OTHER_ACCOUNT) == 1, 'the row of the other tenant')
        self.assertEqual(self.flows(ACCOUNT), 0)
        session.run('ROLLBACK')
        until(lambda: self.flows(ACCOUNT) == 1, 'the row that waited')
        self.quiet(gateway)

    def test_a_row_that_is_locked_is_deleted_later(self):
        self.house.sql(OTHER_TENANT)
        self.channel()
        gateway, client = self.pair()
        other_gateway, other_client = self.joined_both(self.other_gateway(), self.other_client())
        self.authorized(client, gateway)
        self.authorized(other_client, other_gateway, uid(0xE, 7))
        until(lambda: self.flows(ACCOUNT) == self.flows(OTHER_ACCOUNT) == 1, 'the rows')
        session = self.open_transaction(
            f"SELECT FROM flows WHERE account_id = '{ACCOUNT}' FOR UPDATE"
        )
        self.house.sql('UPDATE policies SET disabled_at = now()')
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the row of the other tenant to go')
        self.assertEqual(self.flows(ACCOUNT), 1)
        session.run('COMMIT')
        until(lambda: self.flows(ACCOUNT) == 0, 'the row that was locked to go')

    def test_a_column_that_the_process_does_not_know_is_filled_by_its_default(self):
        self.house.sql("ALTER TABLE flows ADD COLUMN note text NOT NULL DEFAULT 'x'")
        self.channel()
        gateway, client = self.pair()
        self.authorized(client, gateway)
        until(lambda: self.house.sql('SELECT note FROM flows') == 'x', 'the row')
        self.assertNotIn('refused', self.house.read('channel.err'))

    def test_a_row_that_the_database_refuses_is_found_among_others(self):
        self.house.sql(
            (
                "INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES"
                f" ('{P2}', '{ACCOUNT}', '{GROUP}', '{R2}')"
            ),
            f"ALTER TABLE flows ADD CHECK (resource_id <> '{R2}')",
        )
        self.channel(**{'flow-batch-ms': '1000'})
        gateway, client = self.pair()
        self.authorized(client, gateway, R2)
        self.authorized(client, gateway, R1)
        self.expect(gateway, 'reject_access', resource_id=R2)
        until(lambda: self.house.sql('SELECT resource_id FROM flows') == R1, 'the other row')
        self.assertIn('is refused', self.house.read('channel.err'))

    def test_a_connection_that_hangs_is_replaced_before_a_flow_is_rejected(self):
        proxy, _ = self.proxied()
        gateway, client = self.pair()
        self.authorized(client, gateway)
        until(lambda: self.flows(ACCOUNT) == 1, 'the first row')
        proxy.freeze(b'pg_temp.staged', new=False)
        self.house.sql('DELETE FROM flows')
        self.expect(gateway, 'reject_access')
        self.authorized(client, gateway)
        until(lambda: self.flows(ACCOUNT) == 1, 'the row')
        self.quiet(gateway)

    def test_C9_a_row_that_was_deleted_before_its_commit_was_answered_stays_deleted(self):
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P2}',"
            f" '{ACCOUNT}', '{GROUP}', '{R2}')"
        )
        proxy, _ = self.proxied()
        gateway, client = self.pair()
        proxy.unanswered = (b'staged', b'COMMIT\0')
        self.authorized(client, gateway)
        until(lambda: self.flows(ACCOUNT) == 1, 'the row')
        self.house.sql('DELETE FROM flows')
        self.expect(gateway, 'reject_access')
        # The batch goes again, with the next flow.
        until(
            lambda: 'cannot write flows' in self.house.read('channel.err'),
            'the connection to be given up',
        )
        self.authorized(client, gateway, R2)
        until(lambda: R2 in self.house.sql('SELECT resource_id FROM flows'), 'the next row')
        self.quiet(gateway)
        self.assertEqual(self.house.sql('SELECT resource_id FROM flows'), R2)

    def doubt(self, restart, flows, lost):
        """The answer to the COMMIT of these flows' rows is lost, some rows go, and the server is
        restarted before it is asked how that ended.
        """
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P2}',"
            f" '{ACCOUNT}', '{GROUP}', '{R2}')"
        )
        proxy, _ = self.proxied(**{'flow-batch-ms': '3000'})
        gateway, client = self.pair()
        proxy.unanswered = (b'staged', b'COMMIT\0')
        for resource in flows:
            self.authorized(client, gateway, resource)
        until(lambda: self.flows(ACCOUNT) == len(flows), 'the rows')
        self.assertEqual(self.house.sql('SELECT count(DISTINCT xmin::text) FROM flows'), '1')
        proxy.freeze_new = True
        self.house.sql(f"DELETE FROM flows WHERE resource_id = '{lost}'")
        self.expect(gateway, 'reject_access', resource_id=lost)
        restart()
        proxy.thaw(muted=False)
        until(
            lambda: 'cannot write flows' in self.house.read('channel.err')
            and self.stats()['flows_waiting'] == 0,
            'the batch to go again',
        )

    def crash(self):
        subprocess.run(
            [os.environ['FATWAL_PGCTL'], 'restart', '-m', 'immediate'],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def another_timeline(self):
        """As on a server that was restored, or promoted."""
        pgctl, data = os.environ['FATWAL_PGCTL'], pathlib.Path(os.environ['FATWAL_PGDATA'])
        timeline = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
        before = self.house.sql(timeline)
        subprocess.run([pgctl, 'stop', '-m', 'fast'], check=True, stdout=subprocess.DEVNULL)
        (data / 'recovery.signal').touch()
        shutil.chown(data / 'recovery.signal', data.owner())
        subprocess.run(
            [pgctl, 'start', '-o', '-c restore_command=false'],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        until(lambda: self.house.sql('SELECT pg_is_in_recovery()') == 'f', 'the promotion')
        self.assertGreater(self.house.sql(timeline), before)

    # A row that was deleted meanwhile stands for one that was lost, its transaction's number for
    # that of another one, which was committed.

    def test_a_row_that_a_crash_lost_is_written_again_whatever_is_said_of_its_number(self):
        self.doubt(self.crash, (R1,), R1)
        self.assertEqual(self.flows(ACCOUNT), 1)

    def test_a_row_that_a_failover_lost_is_written_again_whatever_is_said_of_its_number(self):
        self.doubt(self.another_timeline, (R1,), R1)
        self.assertEqual(self.flows(ACCOUNT), 1)

    def test_a_row_that_was_deleted_before_a_crash_stays_deleted_beside_another(self):
        self.doubt(self.crash, (R1, R2), R1)
        self.assertEqual(self.house.sql('SELECT resource_id FROM flows'), R2)

    def test_a_second_signal_ends_at_once_whatever_hangs(self):
        proxy, process = self.proxied()
        gateway, client = self.pair()
        proxy.freeze()
        self.authorized(client, gateway)
        process.send_signal(signal.SIGTERM)
        until(lambda: 'are sent elsewhere' in self.house.read('channel.err'), 'the drain')
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 1)
        self.assertLess(time.monotonic() - begin, 3)
        self.assertIn('ended by a second signal', self.house.read('channel.err'))

    def test_where_a_device_was_seen_waits_for_its_row_and_is_written_once_a_second(self):
        self.channel()
        session = self.open_transaction(f"SELECT FROM clients WHERE id = '{CLIENT}' FOR UPDATE")
        gateway, client = self.pair()
        until(
            lambda: self.house.sql('SELECT last_seen_version FROM gateways') == '1.5.0',
            'the gateway to be seen',
        )
        self.assertEqual(
            self.house.sql(f"SELECT last_seen_version FROM clients WHERE id = '{CLIENT}'"), ''
        )
        session.run('COMMIT')
        until(
            lambda: self.house.sql(
                f"SELECT last_seen_version, last_used_token_id FROM clients WHERE id = '{CLIENT}'"
            )
            == f'1.5.0|{TOKEN}',
            'the client to be seen',
        )

    def test_where_a_device_was_seen_is_not_lost_while_the_database_is_away(self):
        proxy, process = self.proxied()
        gateway, client = self.pair()
        until(
            lambda: self.house.sql('SELECT last_seen_version FROM gateways') == '1.5.0', 'the first'
        )
        proxy.freeze()
        self.joined(self.client(version='1.5.1'))
        until(
            lambda: 'cannot write where devices were last seen' in self.house.read('channel.err'),
            'the failure',
        )
        proxy.thaw()
        until(
            lambda: self.house.sql(f"SELECT last_seen_version FROM clients WHERE id = '{CLIENT}'")
            == '1.5.1',
            'the second',
        )

    def test_rows_of_flows_that_have_ended_are_taken_away(self):
        self.channel(**{'flow-lifetime-s': '3600'})
        gateway, client = self.pair()
        self.authorized(client, gateway)
        until(
            lambda: self.house.sql(
                "SELECT expires_at BETWEEN now() AND now() + interval '1 hour' FROM flows"
            )
            == 't',
            'the row, of a bounded life',
        )
        self.house.stop(self.processes['channel'])
        self.house.sql("UPDATE flows SET expires_at = now() - interval '2 minutes'")
        self.channel()
        until(lambda: self.flows(ACCOUNT) == 0, 'the row to go')

    def test_deletions_are_waited_for_at_the_end(self):
        process = self.channel(**{'drain-s': '0'})
        gateway, client = self.pair()
        self.authorized(client, gateway)
        until(lambda: self.flows(ACCOUNT) == 1, 'the row')
        session = self.open_transaction('SELECT FROM flows FOR UPDATE')
        self.house.sql(f"UPDATE resources SET address = 'other.example.com' WHERE id = '{R1}'")
        self.expect(gateway, 'reject_access')
        process.send_signal(signal.SIGTERM)
        until(lambda: 'are sent elsewhere' in self.house.read('channel.err'), 'the drain')
        time.sleep(0.5)
        session.run('COMMIT')
        self.assertEqual(process.wait(20), 0)
        self.assertEqual(self.flows(ACCOUNT), 0)

    def test_it_names_the_privileges_that_its_role_lacks_and_needs_no_others(self):
        self.house.sql(f'REVOKE TEMPORARY ON DATABASE {self.house.database} FROM PUBLIC')
        database = self.house.conninfo(self.house.role())
        refused = self.channel('refused', wait=False, database=database)
        self.assertEqual(refused.wait(20), 1)
        said = self.house.read('refused.err')
        self.assertNotIn(' UPDATE ON', said, 'by column')
        self.house.sql(*re.findall(r'GRANT [^;]*;', said))
        self.channel(database=database)
        gateway, client = self.pair()
        self.authorized(client, gateway)
        until(lambda: self.flows(ACCOUNT) == 1, 'the row')
        self.house.sql(f"UPDATE policies SET disabled_at = now() WHERE id = '{P1}'")
        until(lambda: self.flows(ACCOUNT) == 0, 'the row to go')
        until(
            lambda: self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{TOKEN}'") == CLIENT,
            'the token to be the client\'s',
        )
        self.assertNotIn('cannot', self.house.read('channel.err'))

    def test_rows_of_two_tenants_cannot_be_mixed_up(self):
        self.house.sql(OTHER_TENANT)
        for statement in (
            f"UPDATE policies SET resource_id = '{uid(0xe, 7)}' WHERE id = '{P1}'",
            f"UPDATE clients SET actor_id = '{uid(0xac, 7)}' WHERE id = '{CLIENT}'",
            f"UPDATE tokens SET actor_id = '{uid(0xac, 7)}' WHERE id = '{TOKEN}'",
            (
                "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
                f" ('{ACCOUNT}', '{ACTOR}', '{uid(0x9, 7)}')"
            ),
        ):
            with self.assertRaisesRegex(AssertionError, 'foreign key'):
                self.house.sql(statement)


if __name__ == '__main__':
    unittest.main()
