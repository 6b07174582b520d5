"""SQL in, WebSocket frames out: fatwal-channel with real devices, fatwald and Postgres. The
names have the ids of docs' scenarios. Run by: scripts/with-postgres /usr/bin/python3 -m unittest
discover -s test/integration"""
import json
import signal
import time
import unittest

from house import PLUGIN, Session, of_the_plugin, until
from portal import (
    ACCOUNT,
    ACTOR,
    CLIENT,
    GATEWAY,
    GATEWAY_TOKEN,
    GROUP,
    HASH,
    MEMBERSHIP,
    OTHER_ACCOUNT,
    OTHER_ACTOR,
    OTHER_CLIENT,
    OTHER_GROUP,
    OTHER_SITE,
    OTHER_TENANT,
    OTHER_TOKEN,
    P1,
    P2,
    Portal,
    R1,
    R2,
    RELAY_TOKEN,
    TOKEN,
    uid,
)


class Channels(Portal):
    # One process.

    def test_A5_init_and_C1_C16_a_policy_comes_and_goes(self):
        self.channel()
        client = self.client()
        init = self.joined(client)
        self.assertEqual(self.shown(init), ['r1'])
        self.assertEqual(init['interface']['ipv4'], '100.64.0.1')
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P2}',"
            f" '{ACCOUNT}', '{GROUP}', '{R2}')"
        )
        event = self.expect(client, 'resource_created_or_updated', id=R2, name='r2')
        self.assertLess(abs(event['received_at'] - event['committed_at']), 30_000_000)
        self.house.sql(f"DELETE FROM policies WHERE id = '{P2}'")
        self.expect(client, 'resource_deleted', id=R2)

    def test_B3_B11_D1_D8_D11_what_an_administrator_does(self):
        self.channel()
        client = self.client()
        self.joined(client)
        # B11
        self.house.sql(f"DELETE FROM actor_group_memberships WHERE id = '{MEMBERSHIP}'")
        self.expect(client, 'resource_deleted', id=R1)
        self.house.sql(
            "INSERT INTO actor_group_memberships (id, account_id, actor_id, group_id) VALUES"
            f" ('{MEMBERSHIP}', '{ACCOUNT}', '{ACTOR}', '{GROUP}')"
        )
        self.expect(client, 'resource_created_or_updated', id=R1)
        # D1
        self.house.sql(f"UPDATE resources SET name = 'wiki' WHERE id = '{R1}'")
        self.expect(client, 'resource_created_or_updated', id=R1, name='wiki')
        # D8
        self.house.sql(
            "INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES"
            f" ('{ACCOUNT}', '{R1}', '{OTHER_SITE}')"
        )
        self.expect(client, 'resource_deleted', id=R1)
        self.expect(client, 'resource_created_or_updated', id=R1)
        # D11: seen whole
        self.house.sql(
            f"BEGIN; DELETE FROM resource_connections WHERE resource_id = '{R1}' AND site_id ="
            f" '{OTHER_SITE}'; INSERT INTO resource_connections (account_id, resource_id, site_id)"
            f" VALUES ('{ACCOUNT}', '{R1}', '{OTHER_SITE}'); COMMIT"
        )
        # B2
        self.house.sql("UPDATE accounts SET name = 'nobody is shown'")
        # B15
        self.house.sql(f"UPDATE clients SET last_seen_at = now() WHERE id = '{CLIENT}'")
        # C13
        self.house.sql(f"UPDATE policies SET disabled_at = now() WHERE id = '{P1}'")
        self.expect(client, 'resource_deleted', id=R1)

    def test_B18_B21_B23_sessions_that_may_not_be(self):
        self.channel()
        self.expect_end(self.client(secret='wrong'), 'invalid_token')
        self.expect_end(self.device('client', CLIENT, uid(0x70, 99)), 'invalid_token')
        self.expect_end(self.device('client', CLIENT, GATEWAY_TOKEN), 'invalid_token')
        # another actor's
        self.expect_end(self.device('client', CLIENT, OTHER_TOKEN), 'invalid_token')
        self.expect_end(self.client(version='x'), 'invalid_version')  # A4
        with self.assertRaises(Exception):
            self.device('client', CLIENT, TOKEN, account='x')
        client = self.client()
        self.joined(client)
        self.house.sql(f"DELETE FROM tokens WHERE id = '{TOKEN}'")  # B18
        self.expect_end(client, 'token_expired')
        other = self.device('client', OTHER_CLIENT, OTHER_TOKEN)
        self.assertEqual(self.shown(self.joined(other)), [])  # A10
        self.house.sql(f"UPDATE accounts SET disabled_at = now() WHERE id = '{ACCOUNT}'")  # B21
        self.expect_end(other, 'account_disabled')
        self.expect_end(self.device('client', OTHER_CLIENT, OTHER_TOKEN), 'account_disabled')  # B23

    def test_a_version_that_is_too_old_has_its_own_reason(self):
        self.channel(**{'minimum-client-version': '1.5.0', 'minimum-gateway-version': '1.4.0'})
        self.expect_end(self.client(version='1.4.9'), 'version_too_old')
        self.joined(self.client())
        self.joined(self.gateway(version='1.4.0'))

    def test_A2_a_token_expires(self):
        self.channel()
        self.house.sql(
            f"UPDATE tokens SET expires_at = now() + interval '2 seconds' WHERE id = '{TOKEN}'"
        )
        client = self.client()
        self.joined(client)
        self.expect_end(client, 'token_expired')

    def test_a_token_made_a_moment_before(self):
        self.channel()
        first = self.client()
        self.joined(first)
        client, token = uid(0xC, 9), uid(0x70, 9)
        self.house.sql(
            "INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key, ipv4,"
            f" ipv6) VALUES ('{client}', '{ACCOUNT}', '{ACTOR}', 'c9', 'c9', 'k9', '100.64.0.9',"
            " 'fd00::9'); INSERT INTO tokens (id, account_id, type, actor_id, secret_hash) VALUES"
            f" ('{token}', '{ACCOUNT}', 'client', '{ACTOR}', {HASH})"
        )
        self.assertEqual(self.shown(self.joined(self.device('client', client, token))), ['r1'])

    def test_G7_K2_H6_a_flow_is_granted_kept_by_another_policy_and_taken_away(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.assertEqual(self.joined(gateway)['authorizations'], [])
        self.joined(client)
        self.flow(client, gateway)
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P2}',"
            f" '{ACCOUNT}', '{GROUP}', '{R1}')"
        )
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")  # K2
        self.expect(
            gateway, 'access_authorization_expiry_updated', client_id=CLIENT, resource_id=R1
        )
        until(lambda: self.house.sql('SELECT policy_id FROM flows') == P2, 'the new row')
        self.house.sql(f"DELETE FROM actor_group_memberships WHERE id = '{MEMBERSHIP}'")  # H6
        event = self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)
        self.assertIn('committed_at', event)
        self.assertEqual(self.house.sql('SELECT count(*) FROM flows'), '0')

    def test_G1_G3_G4_G22_G25_what_cannot_be(self):
        self.channel()
        client = self.client()
        self.joined(client)
        for resource, reason in ((uid(0xE, 99), 'not_found'), (R2, 'not_found'), (R1, 'offline')):
            client.send('create_flow', {'resource_id': resource, 'connected_gateway_ids': []})
            self.expect(client, 'flow_creation_failed', resource_id=resource, reason=reason)
        client.send('sing', {}, ref=7)  # G25
        answer = self.expect(client, 'reply', reason='unknown_message')
        self.assertEqual((answer['ref'], answer['status']), (7, 'error'))
        client.send_text('{"event')
        self.expect(client, 'reply', reason='malformed_message')
        gateway = self.gateway()
        self.joined(gateway)
        gateway.send('flow_authorized', {'ref': 'forged'})  # G22
        self.expect(gateway, 'reply', reason='invalid_ref')

    def test_a_flow_whose_parent_is_gone_is_rejected(self):
        self.channel(**{'flow-batch-ms': '3000'})
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        authorization = self.expect(gateway, 'authorize_flow')['payload']
        gateway.send('flow_authorized', {'ref': authorization['ref']})
        self.expect(client, 'flow_created')
        # Before its row is written; the stream takes the access away, the writer leaves the row
        # out.
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        until(lambda: self.stats()['flows_waiting'] == 0, 'the batch')
        self.assertEqual(self.house.sql('SELECT count(*) FROM flows'), '0')

    def test_flows_are_written_when_the_database_is_back(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        # A column's name routes no row elsewhere, so the stream has nothing to tell.
        self.house.sql('ALTER TABLE flows RENAME COLUMN gateway_remote_ip TO hidden')
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        gateway.send(
            'flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']}
        )
        self.expect(client, 'flow_created')
        until(lambda: 'cannot write flows' in self.house.read('channel.err'), 'the writer to fail')
        self.house.sql('ALTER TABLE flows RENAME COLUMN hidden TO gateway_remote_ip')
        until(lambda: self.house.sql('SELECT count(*) FROM flows') == '1', 'the row')
        self.quiet(gateway)

    def test_K6_a_client_comes_again_and_takes_over(self):
        self.channel()
        first = self.client()
        self.joined(first)
        second = self.client()
        self.joined(second)
        self.expect_end(first, 'replaced')
        self.house.sql(f"UPDATE resources SET name = 'wiki' WHERE id = '{R1}'")
        self.expect(second, 'resource_created_or_updated', name='wiki')
        self.assertEqual(self.stats()['clients'], 1)

    def test_H33_a_gateway_that_is_there_stays(self):
        self.channel()
        first = self.gateway()
        self.joined(first)
        self.expect_end(self.gateway(), 'already_connected')
        first.close()
        self.joined(self.gateway())

    def test_I_relays_come_and_go(self):
        self.channel(**{'relay-debounce-ms': '200'})
        client = self.client()
        self.assertEqual(self.joined(client)['relays'], [])
        relay = self.device('relay', uid(0x4E, 1), RELAY_TOKEN, account=None)
        self.expect(relay, 'init')
        relay.send(
            'announce',
            {
                'ipv4': '192.0.2.1',
                'ipv6': '2001:db8::1',
                'port': 3478,
                'lat': 48.8,
                'lon': 2.3,
                'secret': 's',
            },
        )
        event = self.expect(client, 'relays_presence', disconnected_ids=[])  # I2
        self.assertEqual(
            [entry['addr'] for entry in event['payload']['connected']],
            ['192.0.2.1:3478', '[2001:db8::1]:3478'],
        )
        relay.close()
        self.expect(client, 'relays_presence', disconnected_ids=[uid(0x4E, 1)], connected=[])  # I5
        again = self.device('relay', uid(0x4E, 1), RELAY_TOKEN, account=None)
        self.expect(again, 'init')
        self.house.sql(f"DELETE FROM tokens WHERE id = '{RELAY_TOKEN}'")  # J5
        self.expect_end(again, 'token_expired')

    def announce(self, relay, address):
        self.expect(relay, 'init')
        relay.send('announce', {'ipv4': address, 'secret': 's'})

    def test_an_accounts_own_relay_is_for_its_devices_alone(self):
        self.house.sql(
            OTHER_TENANT,
            (
                f"INSERT INTO tokens (id, account_id, type, secret_hash) VALUES ('{uid(0x70, 20)}',"
                f" '{ACCOUNT}', 'relay', {HASH})"
            ),
        )
        self.channel(**{'relay-debounce-ms': '100', 'account-linger-s': '1'})
        relay, client, stranger = (
            self.device('relay', uid(0x4E, 1), uid(0x70, 20)),
            self.client(),
            self.other_client(),
        )
        self.announce(relay, '192.0.2.1')
        shown = (
            self.joined(client)['relays']
            or self.expect(client, 'relays_presence')['payload']['connected']
        )
        self.assertEqual([entry['addr'] for entry in shown], ['192.0.2.1:3478'])
        self.assertEqual(self.joined(stranger)['relays'], [])
        self.quiet(stranger, 'a relay of another account')
        # The operators' relay of the same id is another one.
        common = self.device('relay', uid(0x4E, 1), RELAY_TOKEN, account=None)
        self.announce(common, '192.0.2.2')
        self.assertEqual(len(self.expect(client, 'relays_presence')['payload']['connected']), 2)
        self.assertEqual(len(self.expect(stranger, 'relays_presence')['payload']['connected']), 1)
        # Its account's token is no operator's, and no other account's.
        self.expect_end(
            self.device('relay', uid(0x4E, 3), uid(0x70, 20), account=None), 'invalid_token'
        )
        self.expect_end(
            self.device('relay', uid(0x4E, 3), uid(0x70, 20), account=OTHER_ACCOUNT),
            'invalid_token',
        )
        until(
            lambda: self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{uid(0x70, 20)}'")
            == uid(0x4E, 1),
            'the token to be its own',
        )
        self.expect_end(self.device('relay', uid(0x4E, 3), uid(0x70, 20)), 'invalid_token')
        self.house.sql(f"DELETE FROM tokens WHERE id = '{uid(0x70, 20)}'")
        self.expect_end(relay, 'token_expired')
        self.expect(client, 'relays_presence', disconnected_ids=[uid(0x4E, 1)])
        self.quiet(stranger)

    def test_the_rows_of_an_account_are_followed_for_its_relay_alone(self):
        self.house.sql(
            f"INSERT INTO tokens (id, account_id, type, secret_hash) VALUES ('{uid(0x70, 20)}',"
            f" '{ACCOUNT}', 'relay', {HASH})"
        )
        self.channel(**{'account-linger-s': '0'})
        relay = self.device('relay', uid(0x4E, 1), uid(0x70, 20))
        self.announce(relay, '192.0.2.1')
        self.quiet(relay)
        time.sleep(2)  # longer than the process keeps an account that nobody needs
        self.house.sql(f"UPDATE accounts SET disabled_at = now() WHERE id = '{ACCOUNT}'")
        self.expect_end(relay, 'token_expired')

    def test_an_accounts_relay_is_not_judged_in_the_middle_of_a_transaction(self):
        row = (
            f"INSERT INTO tokens (id, account_id, type, secret_hash) VALUES ('{uid(0x70, 20)}',"
            f" '{ACCOUNT}', 'relay', {HASH})"
        )
        self.house.sql(row, row.replace(uid(0x70, 20), uid(0x70, 21)))
        self.channel(**{'connects-per-second': '100000'})
        relay, client = self.device('relay', uid(0x4E, 1), uid(0x70, 20)), self.client()
        self.announce(relay, '192.0.2.1')
        self.joined(client)
        # The token is away while these rows come in, which takes several turns of the loop.
        session = self.house.session()
        session.run(
            'BEGIN',
            f"DELETE FROM tokens WHERE id = '{uid(0x70, 20)}'",
            (
                f"INSERT INTO actors (account_id, name) SELECT '{ACCOUNT}', 'a' || n FROM"
                " generate_series(1, 100000) n"
            ),
            row,
            f"UPDATE resources SET name = 'last' WHERE id = '{R1}'",
            'COMMIT',
        )

        def shown():
            # relays are judged as it comes
            other = self.device('relay', uid(0x4E, 2), uid(0x70, 21))
            self.expect(other, 'init')
            other.close()
            events = [client.next() for _ in range(client.events.qsize())]
            return [
                event['payload'].get('name')
                for event in events
                if event['event'] != 'relays_presence'
            ]

        self.assertEqual(until(shown, 'the transaction'), ['last'])
        self.quiet(relay)

    def test_another_process_is_told_of_an_accounts_relay(self):
        self.house.sql(
            (
                f"INSERT INTO tokens (id, account_id, type, secret_hash) VALUES ('{uid(0x70, 20)}',"
                f" '{ACCOUNT}', 'relay', {HASH})"
            ),
            OTHER_TENANT,
        )
        self.two_processes()
        relay = self.device('relay', uid(0x4E, 1), uid(0x70, 20), process='a')
        client, stranger = self.client('b'), self.other_client(process='b')
        self.joined(client)
        self.joined(stranger)
        self.announce(relay, '192.0.2.1')
        self.assertEqual(len(self.expect(client, 'relays_presence')['payload']['connected']), 1)
        self.quiet(stranger, 'a relay of another account')

    def test_a_managed_group_is_everyones(self):
        self.house.sql(
            "UPDATE policies SET disabled_at = now()",
            f"UPDATE actor_groups SET type = 'managed' WHERE id = '{OTHER_GROUP}'",
            (
                "INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES"
                f" ('{P2}', '{ACCOUNT}', '{OTHER_GROUP}', '{R1}')"
            ),
        )
        self.channel()
        gateway, client, other = (
            self.gateway(),
            self.client(),
            self.device('client', OTHER_CLIENT, OTHER_TOKEN),
        )
        self.joined(gateway)
        self.assertEqual(self.shown(self.joined(client)), ['r1'])
        self.assertEqual(self.shown(self.joined(other)), ['r1'])
        self.flow(client, gateway)
        self.assertEqual(self.house.sql('SELECT membership_id IS NULL FROM flows'), 't')
        with self.assertRaisesRegex(AssertionError, 'a managed group has every actor in it'):
            self.house.sql(
                "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
                f" ('{ACCOUNT}', '{OTHER_ACTOR}', '{OTHER_GROUP}')"
            )
        with self.assertRaisesRegex(AssertionError, 'delete its memberships first'):
            self.house.sql(f"UPDATE actor_groups SET type = 'managed' WHERE id = '{GROUP}'")
        self.house.sql(f"UPDATE actor_groups SET type = 'static' WHERE id = '{OTHER_GROUP}'")
        # Nor by two transactions at once.
        session = Session(self.house.database)
        self.addCleanup(session.close)
        session.run(
            'BEGIN',
            f"UPDATE actor_groups SET type = 'managed' WHERE id = '{OTHER_GROUP}'",
            "SELECT pg_sleep(1)",
            'COMMIT',
        )
        until(
            lambda: self.house.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query"
                " = 'SELECT pg_sleep(1);'"
            )
            == '1',
            'the other transaction',
        )
        with self.assertRaisesRegex(AssertionError, 'a managed group has every actor in it'):
            self.house.sql(
                "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
                f" ('{ACCOUNT}', '{OTHER_ACTOR}', '{OTHER_GROUP}')"
            )
        self.house.sql(f"UPDATE actor_groups SET type = 'static' WHERE id = '{OTHER_GROUP}'")
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)
        self.expect(other, 'resource_deleted', id=R1)
        until(lambda: self.house.sql('SELECT count(*) FROM flows') == '0', 'the row to go')

    def test_J29_many_memberships_in_one_transaction_are_one_push(self):
        self.channel()
        self.house.sql(
            (
                "INSERT INTO actor_groups (id, account_id, name) SELECT md5('g' || n)::uuid,"
                f" '{ACCOUNT}', 'g' || n FROM generate_series(1, 10000) n"
            ),
            (
                "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) SELECT"
                f" '{ACCOUNT}', '{ACTOR}', md5('g' || n)::uuid FROM generate_series(1, 10000) n"
            ),
            (
                "INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES"
                f" ('{P2}', '{ACCOUNT}', md5('g1')::uuid, '{R2}')"
            ),
        )
        client = self.client()
        self.assertEqual(sorted(self.shown(self.joined(client))), ['r1', 'r2'])
        self.house.sql('DELETE FROM actor_group_memberships')
        self.assertEqual(
            {self.expect(client, 'resource_deleted')['payload']['id'] for _ in range(2)}, {R1, R2}
        )
        self.quiet(client)

    def test_fatwald_killed_and_the_worker_killed(self):
        process = self.channel()
        client = self.client()
        self.joined(client)
        fatwald = self.house.processes[0]
        self.house.stop(fatwald, signal.SIGKILL)
        self.house.sql(f"UPDATE resources SET name = 'while away' WHERE id = '{R1}'")
        self.house.fatwald('fatwald2', publication='portal')
        self.expect(client, 'resource_created_or_updated', name='while away')
        # the device learns it by its connection
        self.house.stop(process, signal.SIGKILL)
        self.assertIsNone(client.next())
        self.channel()
        self.assertEqual(self.shown(self.joined(self.client())), ['while away'])

    def test_without_a_fatwald_nothing_new_is_granted_for_long(self):
        self.channel(**{'stale-after-s': '1'})
        client, gateway = self.client(), self.gateway()
        self.joined(client), self.joined(gateway)
        sidecar = self.house.processes[0]
        sidecar.kill()
        sidecar.wait()
        until(
            lambda: 'nothing was heard for 1 s' in self.house.read('channel.err'),
            'the state to be put aside',
        )
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        self.expect(client, 'flow_creation_failed', resource_id=R1, reason='offline')
        self.house.fatwald(publication='portal')
        self.expect(client, 'resource_deleted', id=R1)
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P1}',"
            f" '{ACCOUNT}', '{GROUP}', '{R1}')"
        )
        self.expect(client, 'resource_created_or_updated', id=R1)
        self.flow(client, gateway)

    def test_a_device_waits_for_its_accounts_turn_at_fatwald_however_long(self):
        # Another account's snapshot has the only turn, and waits for a lock.
        self.house.sql(OTHER_TENANT)
        self.house.stop(self.house.processes[0])
        self.house.fatwald('fatwald2', publication='portal', **{'snapshot-concurrency': '1'})
        self.channel(**{'join-timeout-s': '1'})
        session = self.house.locking('policies')
        first = self.other_client()
        until(
            lambda: self.house.status().get('snapshot_queries') == '1',
            'the snapshot that has the turn',
        )
        second = self.client()
        until(lambda: self.house.status().get('snapshots_waiting') == '1', 'the one that waits')
        # Of a process that has no fatwald at all a device learns it after a longer join_timeout.
        self.channel(
            'alone', **{'control': f'ipc://{self.house.folder}/nobody', 'join-timeout-s': '3'}
        )
        self.expect_end(self.client('alone'), 'try_again')
        session.run('COMMIT')
        self.joined(second)
        self.joined(first)

    @of_the_plugin
    def test_a_device_is_sent_elsewhere_when_the_rows_cannot_be_read(self):
        self.channel(**{'join-timeout-s': '1'})
        self.house.sql('ALTER FUNCTION fatwal.snapshot(text, text) RENAME TO no_snapshot')
        self.expect_end(self.client(), 'try_again')

    def test_J12_a_poisoned_account_is_put_aside_alone(self):
        self.channel()
        self.house.sql(
            (
                f"INSERT INTO actors (id, account_id, name) VALUES ('{uid(0xac, 7)}',"
                f" '{OTHER_ACCOUNT}', 'O')"
            ),
            (
                "INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key,"
                f" ipv4, ipv6) VALUES ('{uid(0xc, 7)}', '{OTHER_ACCOUNT}', '{uid(0xac, 7)}', 'o',"
                " 'o', 'o', '100.64.0.7', 'fd00::7')"
            ),
            (
                "INSERT INTO tokens (id, account_id, type, actor_id, secret_hash) VALUES"
                f" ('{uid(0x70, 7)}', '{OTHER_ACCOUNT}', 'client', '{uid(0xac, 7)}', {HASH})"
            ),
        )
        client, other = self.client(), self.device(
            'client', uid(0xC, 7), uid(0x70, 7), account=OTHER_ACCOUNT
        )
        self.joined(client)
        self.joined(other)
        # A truncate is not understood: each account takes a new snapshot, and continues.
        self.house.sql('TRUNCATE flows')
        until(lambda: self.house.read('channel.err').count('rows as of') >= 4, 'new snapshots')
        self.house.sql(f"UPDATE resources SET name = 'after' WHERE id = '{R1}'")
        self.expect(client, 'resource_created_or_updated', name='after')
        self.quiet(other)

    def test_drain_and_limits(self):
        process = self.channel(**{'max-sessions': '2'})
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        with self.assertRaises(Exception) as refused:
            self.device('client', OTHER_CLIENT, OTHER_TOKEN)
        self.assertIn('503', str(refused.exception))
        self.flow(client, gateway)
        process.send_signal(signal.SIGTERM)
        self.expect_end(client, 'going_away')
        self.assertEqual(client.close_code, 1012)
        self.expect_end(gateway, 'going_away')
        self.assertEqual(process.wait(20), 0)
        until(
            lambda: self.house.sql('SELECT count(*) FROM fatwal.subscriber') == '0',
            'nothing to be kept',
        )

    def test_errors_say_what_to_do(self):
        (self.house.folder / 'short').write_text('x')
        for setting, value, words in (
            ('secret-file', self.house.folder / 'short', 'openssl rand'),
            ('listen', 'here', '127.0.0.1:8080'),
            ('trusted-proxy', 'x', '10.0.0.0/8'),
            ('fleet-peer', 'ipc:///x', '--fleet-endpoint'),
        ):
            process = self.channel('wrong', wait=False, **{setting: value})
            self.assertNotEqual(process.wait(20), 0)
            self.assertIn(words, self.house.read('wrong.err') + self.house.read('wrong.out'))

    def test_J17_what_the_publication_lacks_and_has_too_much(self):
        def refused(*words):
            process = self.channel('refused', wait=False)
            self.assertEqual(process.wait(20), 1)
            for word in words:
                self.assertIn(word, self.house.read('refused.err'))

        self.house.sql('ALTER PUBLICATION portal DROP TABLE policies, sites')
        refused(
            'lacks tables that access is decided by: policies, sites',
            'ALTER PUBLICATION portal ADD TABLE policies, sites;',
        )
        self.house.sql(
            'ALTER PUBLICATION portal ADD TABLE policies, sites',
            "ALTER PUBLICATION portal SET (publish = 'insert, update')",
        )
        refused("ALTER PUBLICATION portal SET (publish = 'insert, update, delete, truncate');")
        self.house.sql(
            "ALTER PUBLICATION portal SET (publish = 'insert, update, delete, truncate')",
            'ALTER PUBLICATION portal ADD TABLE change_log',
        )
        self.channel()
        self.assertIn(
            'ALTER PUBLICATION portal DROP TABLE public.change_log;', self.house.read('channel.err')
        )
        self.assertEqual(self.shown(self.joined(self.client())), ['r1'])
        self.processes['channel'].kill()
        self.house.sql('DROP PUBLICATION portal')
        refused(
            'publication portal does not exist', 'CREATE PUBLICATION portal FOR TABLE accounts, '
        )

    def test_publications_by_their_exact_names(self):
        self.house.sql(
            'ALTER PUBLICATION portal RENAME TO "My, Portal"', 'CREATE PUBLICATION "Empty One"'
        )
        for names in ('"My, Portal"', ' Empty One , "My, Portal"'):
            process = self.channel(publication=names)
            self.assertEqual(self.house.stop(process), 0)
        for names, said in (
            ('My, Portal', 'publication "My" does not exist'),
            ('"My, Portal', 'A double quote is not closed.'),
            ('portal,', 'A name is empty.'),
        ):
            process = self.channel('wrong', wait=False, publication=names)
            self.assertNotEqual(process.wait(20), 0)
            self.assertIn(said, self.house.read('wrong.err') + self.house.read('wrong.out'))

    def test_B7_tables_without_whole_old_rows_are_refused_at_the_start(self):
        def refused(*statements):
            process = self.channel('refused', wait=False)
            self.assertEqual(process.wait(20), 1)
            for statement in statements:
                self.assertIn(statement, self.house.read('refused.err'))
            self.house.sql(*statements)

        self.house.sql(
            'ALTER TABLE policies REPLICA IDENTITY DEFAULT',
            'ALTER TABLE tokens REPLICA IDENTITY NOTHING',
        )
        refused(
            'ALTER TABLE public.policies REPLICA IDENTITY FULL;',
            'ALTER TABLE public.tokens REPLICA IDENTITY FULL;',
        )
        # A partition has an identity of its own, whatever its parent's is.
        self.house.sql(
            'CREATE SCHEMA apart',
            'DROP TABLE flows CASCADE',
            (
                'CREATE TABLE flows (id uuid NOT NULL, account_id uuid NOT NULL) PARTITION BY HASH'
                ' (id)'
            ),
            (
                'CREATE TABLE flows_0 PARTITION OF flows FOR VALUES WITH (MODULUS 2, REMAINDER 0)'
                ' PARTITION BY HASH (id)'
            ),
            (
                'CREATE TABLE apart."Flows 00" PARTITION OF flows_0 FOR VALUES WITH (MODULUS 1,'
                ' REMAINDER 0)'
            ),
            'CREATE TABLE flows_1 PARTITION OF flows FOR VALUES WITH (MODULUS 2, REMAINDER 1)',
            'ALTER TABLE flows_1 REPLICA IDENTITY FULL',
            'ALTER TABLE flows REPLICA IDENTITY FULL',
            'ALTER PUBLICATION portal ADD TABLE flows',
            'ALTER PUBLICATION portal SET (publish_via_partition_root = true)',
        )
        refused('ALTER TABLE apart."Flows 00" REPLICA IDENTITY FULL;')
        self.channel()

    def test_B7_a_table_that_loses_its_whole_old_rows_puts_its_accounts_aside(self):
        self.channel()
        client, gateway = self.client(), self.gateway()
        self.joined(client)
        self.joined(gateway)
        self.house.sql(
            'ALTER TABLE policies REPLICA IDENTITY DEFAULT',
            f"UPDATE policies SET id = id WHERE id = '{P1}'",
        )
        until(
            lambda: 'ALTER TABLE public.policies REPLICA IDENTITY FULL;'
            in self.house.read('channel.err'),
            'the log to name the statement',
        )
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        self.expect(client, 'flow_creation_failed', resource_id=R1, reason='offline')
        # Snapshots do not mend it, the statement does.
        self.house.sql(
            'ALTER TABLE policies REPLICA IDENTITY FULL', f"DELETE FROM policies WHERE id = '{P1}'"
        )
        self.expect(client, 'resource_deleted', id=R1)

    def both_with_access(self):
        client, gateway = self.client(), self.gateway()
        self.joined(client)
        self.joined(gateway)
        self.authorized(client, gateway)
        until(lambda: self.flows(ACCOUNT) == 1, 'the row')
        return client, gateway

    def test_C7_what_is_no_longer_published_puts_its_accounts_aside_until_it_is_mended(self):
        self.channel()
        client, gateway = self.both_with_access()

        def put_aside(broken, mended):
            self.house.sql(broken)
            until(lambda: mended in self.house.read('channel.err'), 'the log to name the statement')

        def is_offline():
            client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
            self.expect(client, 'flow_creation_failed', resource_id=R1, reason='offline')

        mended = "ALTER PUBLICATION portal SET (publish = 'insert, update, delete, truncate');"
        put_aside("ALTER PUBLICATION portal SET (publish = 'insert')", mended)
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")  # of which nobody is notified
        is_offline()
        self.house.sql(mended)
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P1}',"
            f" '{ACCOUNT}', '{GROUP}', '{R1}')"
        )
        self.expect(client, 'resource_created_or_updated', id=R1)
        # The stream tells by itself of a table that has gone from the publication; there are no
        # rows of it.
        put_aside(
            'ALTER PUBLICATION portal DROP TABLE policies',
            'ALTER PUBLICATION portal ADD TABLE policies;',
        )
        # With pgoutput fatwald tells it later, and the accounts are aside by then.
        if PLUGIN == 'fatwal':
            self.expect(client, 'resource_deleted', id=R1)
        is_offline()
        self.house.sql('ALTER PUBLICATION portal ADD TABLE policies')
        if PLUGIN == 'fatwal':
            self.expect(client, 'resource_created_or_updated', id=R1)
        # All columns but the one by which rows are deleted.
        self.house.sql('ALTER TABLE policies ADD COLUMN deleted_at timestamptz')
        columns = self.house.sql(
            "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid ="
            " 'policies'::regclass AND attnum > 0 AND attname <> 'deleted_at'"
        )
        put_aside(
            (
                'BEGIN; ALTER PUBLICATION portal DROP TABLE policies; ALTER PUBLICATION portal ADD'
                f' TABLE policies ({columns}); COMMIT'
            ),
            (
                'BEGIN; ALTER PUBLICATION portal DROP TABLE policies; ALTER PUBLICATION portal ADD'
                ' TABLE policies; COMMIT;'
            ),
        )
        is_offline()

    def test_C7_the_operators_relays_hear_of_what_was_not_published(self):
        self.channel(**{'join-timeout-s': '1'})
        mended = "ALTER PUBLICATION portal SET (publish = 'insert, update, delete, truncate')"
        # Also where the first relay comes while the publication is at fault.
        self.house.sql("ALTER PUBLICATION portal SET (publish = 'insert')")
        until(lambda: mended in self.house.read('channel.err'), 'the log to name the statement')
        self.expect_end(self.device('relay', uid(0x4E, 1), RELAY_TOKEN, account=None), 'try_again')
        self.house.sql(mended)

        def admitted():
            relay = self.device('relay', uid(0x4E, 1), RELAY_TOKEN, account=None)
            return relay if relay.next()['event'] == 'init' else None

        relay = until(admitted, 'the relay to be let in')
        self.house.sql(
            "ALTER PUBLICATION portal SET (publish = 'insert')",
            f"DELETE FROM tokens WHERE id = '{RELAY_TOKEN}'",
            mended,
        )
        self.expect_end(relay, 'token_expired')

    def test_C7_what_was_not_published_for_a_moment_is_found_out(self):
        self.channel()
        client, gateway = self.both_with_access()
        self.house.sql(
            "ALTER PUBLICATION portal SET (publish = 'insert')",
            f"DELETE FROM policies WHERE id = '{P1}'",
            "ALTER PUBLICATION portal SET (publish = 'insert, update, delete, truncate')",
        )
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)

    def test_C7_a_table_that_was_another_for_a_moment_is_found_out(self):
        self.channel()
        client, gateway = self.both_with_access()
        self.house.sql(
            'ALTER TABLE policies RENAME TO others',
            f"DELETE FROM others WHERE id = '{P1}'",
            'ALTER TABLE others RENAME TO policies',
        )
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)
        # Without an identity nothing can be lost unheard.
        with self.assertRaisesRegex(AssertionError, 'does not have a replica identity'):
            self.house.sql(
                'BEGIN; ALTER TABLE flows REPLICA IDENTITY NOTHING; DELETE FROM flows; COMMIT'
            )

    def test_C7_what_is_done_to_a_table_every_day_costs_no_snapshot(self):
        self.channel()
        client, gateway = self.both_with_access()
        before = self.house.read('channel.err').count('rows as of')
        self.house.sql(
            'ALTER TABLE policies ADD COLUMN note text',
            'ANALYZE flows',
            'VACUUM FULL flows',
            'GRANT SELECT ON flows TO PUBLIC',
        )
        now = self.house.sql('SELECT clock_timestamp()')
        until(
            lambda: self.house.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%needed AS%' AND pid <>"
                f" pg_backend_pid() AND query_start > '{now}'"
            )
            != '0',
            'the watch to look',
        )
        self.house.sql('ALTER PUBLICATION portal SET (publish_via_partition_root = true)')
        until(
            lambda: 'what is published was changed' in self.house.read('channel.err'),
            'the watch to look',
        )
        until(
            lambda: self.house.read('channel.err').count('rows as of') > before,
            'the snapshot for the publication',
        )
        self.assertEqual(self.house.read('channel.err').count('rows as of'), before + 1)

    def test_a_row_filter_that_hides_what_grants_by_its_absence_is_refused(self):
        self.channel()
        client, gateway = self.both_with_access()
        for table in ('actor_group_memberships', 'flows'):
            mended = (
                f'BEGIN; ALTER PUBLICATION portal DROP TABLE {table}; ALTER PUBLICATION portal ADD'
                f' TABLE {table}; COMMIT;'
            )
            self.house.sql(
                f"BEGIN; ALTER PUBLICATION portal DROP TABLE {table}; ALTER PUBLICATION portal ADD"
                f" TABLE {table} WHERE (id <> '{P1}'); COMMIT"
            )
            until(lambda: mended in self.house.read('channel.err'), 'the log to name the statement')
            refused = self.channel('refused', wait=False)
            self.assertEqual(refused.wait(20), 1)
            self.assertIn(mended, self.house.read('refused.err'))
            # Another publication that has the table without a filter publishes all of it.
            self.house.sql(f'CREATE PUBLICATION more FOR TABLE {table}')
            self.assertEqual(self.house.stop(self.channel('two', publication='portal,more')), 0)
            self.house.sql('DROP PUBLICATION more', mended)
        # Of other tables it hides, and grants nothing.
        self.house.sql(
            "BEGIN; ALTER PUBLICATION portal DROP TABLE policies; ALTER PUBLICATION portal ADD"
            f" TABLE policies WHERE (id <> '{P1}'); COMMIT"
        )
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)

    def test_C7_a_column_deleted_at_that_is_added_later_deletes(self):
        self.channel()
        client, gateway = self.both_with_access()
        self.house.sql('ALTER TABLE policies ADD COLUMN deleted_at timestamptz')
        self.house.sql(f"UPDATE policies SET deleted_at = now() WHERE id = '{P1}'")
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)
        self.house.sql(f"UPDATE policies SET deleted_at = NULL WHERE id = '{P1}'")
        self.expect(client, 'resource_created_or_updated', id=R1)

    def test_C7_a_table_that_cannot_be_read_any_more_grants_nothing(self):
        self.channel()
        self.house.sql(
            f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P2}',"
            f" '{ACCOUNT}', '{GROUP}', '{R2}')"
        )
        client, gateway = self.both_with_access()
        self.assertNotIn(
            'were changed',
            self.house.read('channel.err'),
            'snapshots and the stream have the same columns',
        )
        self.house.sql(
            'ALTER TABLE policies RENAME disabled_at TO disabled_since',
            f"UPDATE policies SET disabled_since = now() WHERE id = '{P2}'",
        )
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.assertEqual(
            {self.expect(client, 'resource_deleted')['payload']['id'] for _ in range(2)}, {R1, R2}
        )
        self.house.sql(
            'ALTER TABLE policies RENAME disabled_since TO disabled_at',
            f"UPDATE policies SET description = 'x' WHERE id = '{P1}'",
        )
        self.expect(client, 'resource_created_or_updated', id=R1)

    def test_behind_a_proxy_conditions_see_the_device(self):
        self.channel(
            **{
                'trusted-proxy': '127.0.0.0/8',
                'region-header': 'CF-IPCountry',
                'coordinates-header': 'X-Coordinates',
            }
        )
        region = json.dumps(
            {'property': 'remote_ip_location_region', 'operator': 'is_in', 'values': ['FR']}
        )
        self.house.sql(f"UPDATE policies SET conditions = ARRAY['{region}']::jsonb[]")
        headers = {
            'X-Forwarded-For': '203.0.113.9, 127.0.0.2',
            'CF-IPCountry': 'FR',
            'X-Coordinates': '48.85, 2.35',
        }
        self.assertEqual(self.shown(self.joined(self.client(headers=headers))), ['r1'])
        until(
            lambda: self.house.sql(
                "SELECT last_seen_remote_ip, last_seen_remote_ip_location_region FROM clients"
                f" WHERE id = '{CLIENT}'"
            )
            == '203.0.113.9|FR',
            'last_seen',
        )
        self.assertEqual(
            self.shown(self.joined(self.client(headers=headers | {'CF-IPCountry': 'DE'}))), []
        )

    # Two processes behind one account.

    def test_a_client_here_and_its_gateway_there(self):
        self.two_processes()
        gateway, client = self.gateway('b'), self.client('a')
        self.joined(gateway)
        self.joined(client)
        self.news('a')
        self.flow(client, gateway)
        # G24
        client.send('broadcast_ice_candidates', {'candidates': ['c'], 'gateway_ids': [GATEWAY]})
        self.expect(gateway, 'ice_candidates', client_id=CLIENT, candidates=['c'])
        gateway.send('broadcast_ice_candidates', {'candidates': ['w'], 'client_ids': [CLIENT]})
        self.expect(client, 'ice_candidates', gateway_id=GATEWAY, candidates=['w'])
        self.house.sql(f"UPDATE policies SET disabled_at = now() WHERE id = '{P1}'")
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)

    def test_takeovers_between_processes(self):
        self.two_processes()
        first = self.client('a')
        self.joined(first)
        second = self.client('b')
        self.joined(second)
        self.expect_end(first, 'replaced')
        gateway = self.gateway('a')
        self.joined(gateway)
        self.news('b')
        self.expect_end(self.gateway('b'), 'already_connected')  # H33

    def test_G21_the_gateways_process_is_killed(self):
        self.two_processes()
        gateway, client = self.gateway('b'), self.client('a')
        self.joined(gateway)
        self.joined(client)
        self.news('a')
        self.flow(client, gateway)
        self.house.stop(self.processes['b'], signal.SIGKILL)
        until(lambda: self.stats('a')['fleet'] == 0, 'a to miss b')
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        self.expect(client, 'flow_creation_failed', resource_id=R1, reason='offline')
        again = self.gateway('a')
        # from its row
        self.assertEqual(
            [(a['client_id'], a['resource_id']) for a in self.joined(again)['authorizations']],
            [(CLIENT, R1)],
        )
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(again, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.expect(client, 'resource_deleted', id=R1)


if __name__ == '__main__':
    unittest.main()
