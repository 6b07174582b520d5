"""What a device is shown never goes back, whoever restarts, pauses or sets a clock.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import hashlib
import hmac
import json
import select
import signal
import socket
import time
import unittest

import zmq
import zmq.utils.z85

from house import until
from portal import (
    ACCOUNT,
    CLIENT,
    GATEWAY,
    GATEWAY_TOKEN,
    GROUP,
    MEMBERSHIP,
    OTHER_ACTOR,
    OTHER_CLIENT,
    OTHER_TOKEN,
    P1,
    P2,
    Portal,
    R1,
    R2,
    SECRET,
    SITE,
    TOKEN,
)


def policy(id, resource):
    return (
        f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{id}',"
        f" '{ACCOUNT}', '{GROUP}', '{resource}')"
    )


def upgrade(role, id, token):
    """The request of a device that connects."""
    return '\r\n'.join(
        (
            f'GET /{role}?id={id}&version=1.5.0 HTTP/1.1',
            'Host: x',
            'Upgrade: websocket',
            'Connection: Upgrade',
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
            'Sec-WebSocket-Version: 13',
            f'Authorization: Bearer {ACCOUNT}.{token}.{SECRET}',
            '',
            '',
        )
    ).encode()


class Wire:
    """A device that is read when the test wants it, as far as something has come."""

    def __init__(self, port, role, id, token):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=20)
        self.socket.sendall(upgrade(role, id, token))
        self.received = b''
        while b'\r\n\r\n' not in self.received:
            self.received += self.socket.recv(65536)
        self.received = self.received.split(b'\r\n\r\n', 1)[1]
        self.socket.setblocking(False)
        self.close = self.socket.close

    def events(self):
        """The names of the events that are here."""
        try:
            while data := self.socket.recv(1 << 20):
                self.received += data
        except BlockingIOError:
            pass
        names = []
        while len(self.received) >= 2:
            # RFC 6455, 5.2: what a server sends is not masked.
            opcode, length, begin = self.received[0] & 15, self.received[1], 2
            if length > 125:
                begin = 4 if length == 126 else 10
                length = int.from_bytes(self.received[2:begin], 'big')
            if len(self.received) < begin + length:
                break
            if opcode == 1:
                names.append(json.loads(self.received[begin : begin + length])['event'])
            self.received = self.received[begin + length :]
        return names


class Order(Portal):
    def snapshots(self, name='channel'):
        return self.house.read(f'{name}.err').count('rows as of')

    def grant(self, client, gateway, resource):
        client.send('create_flow', {'resource_id': resource, 'connected_gateway_ids': []})
        gateway.send(
            'flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']}
        )
        self.expect(client, 'flow_created', resource_id=resource)
        until(
            lambda: self.house.sql(f"SELECT count(*) FROM flows WHERE resource_id = '{resource}'")
            == '1',
            'the row',
        )


class Snapshots(Order):
    def test_a_snapshot_of_before_does_not_bring_back_what_was_taken_away(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway), self.joined(client)
        self.house.sql(policy(P2, R2))
        self.expect(client, 'resource_created_or_updated', id=R2)
        self.grant(client, gateway, R2)
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(client, 'resource_deleted', id=R1)
        before = self.snapshots()
        self.house.sql(
            'BEGIN; CREATE TABLE keep AS SELECT * FROM flows; TRUNCATE flows; INSERT INTO flows'
            ' SELECT * FROM keep; COMMIT'
        )
        until(lambda: self.snapshots() > before, 'a new snapshot')
        # One is enough: it was taken after the truncate, whatever fatwald had from before.
        self.house.sql(f"UPDATE resources SET name = 'behind' WHERE id = '{R2}'")
        self.expect(client, 'resource_created_or_updated', id=R2, name='behind')
        self.assertEqual(self.snapshots(), before + 1)
        self.quiet(gateway)
        self.assertEqual(self.house.sql('SELECT count(*) FROM flows'), '1')

    def test_the_first_init_of_a_second_process_is_of_the_present(self):
        self.channel('a')
        first = self.client('a')
        self.assertEqual(self.shown(self.joined(first)), ['r1'])
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(first, 'resource_deleted', id=R1)
        # fatwald serves the snapshot that it has just taken to this one too.
        self.channel('b')
        self.assertEqual(self.shown(self.joined(self.client('b'))), [])

    def test_a_new_snapshot_takes_access_away_each_time(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway), self.joined(client)
        for _ in range(3):
            self.grant(client, gateway, R1)
            self.house.sql(f"BEGIN; DELETE FROM policies WHERE id = '{P1}'; TRUNCATE flows; COMMIT")
            self.expect(gateway, 'reject_access', resource_id=R1)
            self.expect(client, 'resource_deleted', id=R1)
            self.house.sql(policy(P1, R1))
            self.expect(client, 'resource_created_or_updated', id=R1)

    def test_C4_a_new_snapshot_is_told_to_gateways_before_clients(self):
        # So many resources that a gateway behind the clients would be notified milliseconds later.
        many = (
            f"SELECT md5('r' || n)::uuid AS id, '{ACCOUNT}'::uuid AS account, n FROM"
            " generate_series(1, 3000) n"
        )
        self.house.sql(
            (
                "INSERT INTO resources (id, account_id, name, type, address) SELECT id, account,"
                f" 'r' || n, 'dns', 'r' || n || '.example.com' FROM ({many}) m"
            ),
            (
                "INSERT INTO resource_connections (account_id, resource_id, site_id) SELECT"
                f" account, id, '{SITE}' FROM ({many}) m"
            ),
            (
                "INSERT INTO policies (account_id, actor_group_id, resource_id) SELECT account,"
                f" '{GROUP}', id FROM ({many}) m"
            ),
            (
                "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
                f" ('{ACCOUNT}', '{OTHER_ACTOR}', '{GROUP}')"
            ),
            f"""INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id,
                           resource_id, token_id, membership_id)
                           VALUES (gen_random_uuid(), '{ACCOUNT}', '{P1}', '{CLIENT}', '{GATEWAY}',
                               '{R1}', '{TOKEN}', '{MEMBERSHIP}')""",
        )
        self.channel()
        gateway, *clients = (
            Wire(self.ports['channel'], *who)
            for who in (
                ('gateway', GATEWAY, GATEWAY_TOKEN),
                ('client', CLIENT, TOKEN),
                ('client', OTHER_CLIENT, OTHER_TOKEN),
            )
        )
        for device, pages in ((gateway, 0), *((client, 4) for client in clients)):
            self.addCleanup(device.close)
            until(
                lambda device=device, pages=pages: device.events()[-1:]
                == ['init_page' if pages else 'init'],
                'the init',
            )
        self.house.sql(f"BEGIN; DELETE FROM policies WHERE id = '{P1}'; TRUNCATE flows; COMMIT")
        told = []
        while 'resource_deleted' not in told:
            came, _, _ = select.select([client.socket for client in clients], [], [], 20)
            self.assertTrue(came, 'a client to be told')
            told = [name for client in clients for name in client.events()]
        self.assertIn('reject_access', gateway.events())


class AnotherProcess:
    """A process of the fleet by hand: JSON over CURVE, with the key that the fleet's secret
    gives.
    """

    def __init__(self, secret, own, other):
        key = zmq.utils.z85.encode(
            hmac.new(secret, b'fatwal fleet curve key 1', hashlib.sha256).digest()
        )
        public = zmq.curve_public(key)
        self.endpoint = own
        self.inbox, self.outbox = (
            zmq.Context.instance().socket(kind) for kind in (zmq.PULL, zmq.PUSH)
        )
        for end in (self.inbox, self.outbox):
            end.linger, end.rcvtimeo, end.curve_publickey, end.curve_secretkey = (
                0,
                20_000,
                public,
                key,
            )
        self.inbox.curve_server = True
        self.inbox.bind(own)
        self.outbox.curve_serverkey = public
        self.outbox.connect(other)

    def send(self, kind, body=None, version=1):
        self.outbox.send_json(
            {
                'version': version,
                'from': 7,
                'endpoint': self.endpoint,
                'number': 0,
                'kind': kind,
                'body': body,
            }
        )

    def next(self, event):
        """The next message with this event."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            got = self.inbox.recv_json()
            if got['kind'] == 'message' and got['body'].get('event') == event:
                return got['body']
        raise AssertionError(f'waited in vain for {event}')

    def close(self):
        self.inbox.close()
        self.outbox.close()


class Fleet(Order):
    def setUp(self):
        super().setUp()
        ends = [f'ipc://{self.house.folder}/fleet-{name}' for name in 'ab']
        self.channel(**{'fleet-endpoint': ends[0], 'fleet-peer': ends[1]})
        self.other = AnotherProcess(b'0123456789abcdef0123456789abcdef', ends[1], ends[0])
        self.addCleanup(self.other.close)
        self.other.inbox.recv()  # its connection to us is there

    def misunderstood(self, count):
        until(
            lambda: self.stats()['fleet_not_understood'] == count,
            f'{count} messages not to be understood',
        )

    def test_one_bad_body_costs_an_introduction_nothing_else(self):
        online = {
            'event': 'gateway_online',
            'account': ACCOUNT,
            'id': GATEWAY,
            'generation': 5,
            'version': '1.5.0',
            'location': None,
            'remote_ip': None,
        }
        self.other.send(
            'introduction',
            [
                {'event': 'gateway_online', 'account': ACCOUNT},
                5,
                {'event': 'of a later version', 'account': ACCOUNT, 'id': GATEWAY},
                online,
            ],
        )
        self.misunderstood(3)
        self.other.send('alive')
        self.assertEqual(self.stats()['gateways_online'], 1)

    def test_what_cannot_be_read_goes_back(self):
        self.other.send('introduction', [], version=2)
        until(lambda: self.stats()['fleet'] == 1, 'the other process')
        sender = {'device': 'client', 'id': CLIENT, 'generation': 1, 'process': 7}
        self.other.send(
            'message',
            {
                'event': 'deliver',
                'account': ACCOUNT,
                'sender': sender,
                'to': {'device': 'gateway'},
                'message': {'of': 'a later version'},
            },
        )
        self.assertEqual(self.other.next('undelivered')['message'], {'of': 'a later version'})
        self.misunderstood(1)


class Away(Order):
    def test_what_was_granted_ends_when_nothing_was_heard_for_too_long(self):
        self.channel(**{'stale-after-s': '1', 'revoke-after-s': '2'})
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        self.grant(client, gateway, R1)
        self.house.stop(self.house.processes[0], signal.SIGKILL)
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.house.fatwald('again', publication='portal')
        until(lambda: self.house.sql('SELECT count(*) FROM flows') == '0', 'the row to go')
        until(lambda: self.snapshots() == 2, 'the rows')
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        gateway.send(
            'flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']}
        )
        self.expect(client, 'flow_created', resource_id=R1)

    def test_what_was_granted_ends_when_no_snapshot_comes_for_too_long(self):
        self.channel(**{'stale-after-s': '1', 'revoke-after-s': '3'})
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        self.grant(client, gateway, R1)
        # The account needs a new snapshot, and no snapshot can be taken. A fatwald is there.
        other = self.house.session()
        other.run('BEGIN', 'LOCK TABLE auth_providers')
        self.house.sql(*self.truncated_and_put_back)
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        other.run('ROLLBACK')
        until(lambda: self.snapshots() == 2, 'the rows')
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        gateway.send(
            'flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']}
        )
        self.expect(client, 'flow_created', resource_id=R1)

    truncated_and_put_back = (
        'TRUNCATE resource_connections',
        (
            "INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES"
            f" ('{ACCOUNT}', '{R1}', '{SITE}')"
        ),
    )


class Sessions(Order):
    def silent_gateway(self, process):
        """A gateway that has joined and whose machine is gone: nothing is ever read or answered."""
        gateway = socket.create_connection(('127.0.0.1', self.ports[process]), timeout=10)
        self.addCleanup(gateway.close)
        gateway.sendall(upgrade('gateway', GATEWAY, GATEWAY_TOKEN))
        return gateway

    def test_a_client_that_moves_takes_over_whichever_process_started_first(self):
        self.two_processes()
        for first, second in (('a', 'b'), ('b', 'a')):
            old = self.client(first)
            self.joined(old)
            new = self.client(second)
            self.joined(new)
            self.expect_end(old, 'replaced')
            new.close()
            until(
                lambda: self.stats(first)['clients'] + self.stats(second)['clients'] == 0,
                'nobody to be there',
            )

    def test_a_gateways_candidates_find_the_session_of_now(self):
        self.two_processes()
        gateway = self.gateway('a')
        self.joined(gateway)
        self.news('b')
        old = self.client('b')
        self.joined(old)
        self.grant(old, gateway, R1)
        new = self.client('a')
        self.joined(new)
        self.expect_end(old, 'replaced')
        gateway.send('broadcast_ice_candidates', {'candidates': ['c1'], 'client_ids': [CLIENT]})
        self.expect(new, 'ice_candidates', candidates=['c1'])
        # The pair comes from its row at the next session, which has not heard of the client.
        gateway.close()
        until(lambda: self.stats('b')['gateways_online'] == 0, 'b to miss the gateway')
        gateway = self.gateway('b')
        self.assertEqual(len(self.joined(gateway)['authorizations']), 1)
        gateway.send('broadcast_ice_candidates', {'candidates': ['c2'], 'client_ids': [CLIENT]})
        self.expect(new, 'ice_candidates', candidates=['c2'])

    def test_a_process_that_starts_anew_learns_who_is_where(self):
        self.two_processes()
        client = self.client('a')
        self.joined(client)
        self.house.stop(self.processes['b'], signal.SIGKILL)
        until(lambda: self.stats('a')['fleet'] == 0, 'a to miss b')
        ends = [f'ipc://{self.house.folder}/fleet-{name}' for name in 'ab']
        self.channel('b', **{'fleet-endpoint': ends[1], 'fleet-peer': ends[0]})
        gateway = self.gateway('b')
        self.joined(gateway)
        self.news('a')
        self.grant(client, gateway, R1)
        gateway.close()
        until(lambda: self.stats('a')['gateways_online'] == 0, 'a to miss the gateway')
        gateway = self.gateway('b')
        self.joined(gateway)
        gateway.send('broadcast_ice_candidates', {'candidates': ['c'], 'client_ids': [CLIENT]})
        self.expect(client, 'ice_candidates', candidates=['c'])

    def test_a_process_that_wakes_puts_nobody_out(self):
        self.two_processes()
        gateway, client = self.gateway('b'), self.client('b')
        self.joined(gateway), self.joined(client)
        self.news('a')
        self.processes['b'].send_signal(signal.SIGSTOP)
        until(lambda: self.stats('a')['gateways_online'] == 0, 'a to miss b')
        # Somebody tries b in vain; its request waits there.
        late = socket.create_connection(('127.0.0.1', self.ports['b']), timeout=10)
        self.addCleanup(late.close)
        late.sendall(upgrade('client', CLIENT, TOKEN))
        moved, mobile = self.gateway('a'), self.client('a')
        self.joined(moved), self.joined(mobile)
        late.close()
        self.processes['b'].send_signal(signal.SIGCONT)
        self.expect_end(gateway, 'replaced')
        self.expect_end(client, 'replaced')
        until(
            lambda: self.stats('b')['fleet'] == 1 and self.stats('b')['gateways_online'] == 1,
            'b to know',
        )
        self.grant(mobile, moved, R1)
        self.quiet(mobile)

    def test_a_gateway_that_is_back_takes_the_place_of_its_dead_connection(self):
        self.two_processes()
        for there in ('a', 'b'):
            self.silent_gateway('a')
            for name in 'ab':
                self.news(name)
            start = time.monotonic()
            gateway = self.gateway(there)
            self.joined(gateway)
            self.assertLess(time.monotonic() - start, 8)
            # One that is there stays.
            for other in 'ab':
                self.expect_end(self.gateway(other), 'already_connected')
            self.quiet(gateway)
            gateway.close()
            for name in 'ab':
                until(lambda name=name: self.stats(name)['gateways_online'] == 0, 'it to be gone')


if __name__ == '__main__':
    unittest.main()
