"""What the rows of one tenant, or a client that reads nothing, cost the other tenants of a
fatwal-channel: nothing. Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s
test/integration"""
import base64
import json
import os
import socket
import struct
import threading
import unittest
import urllib.error
import urllib.request

from house import until
from portal import (
    ACCOUNT,
    ACTOR,
    CLIENT,
    GATEWAY,
    GROUP,
    HASH,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    OTHER_TENANT,
    OTHER_TOKEN,
    SECRET,
    SITE,
    TOKEN,
    Portal,
    uid,
)

NEIGHBOUR, NEIGHBOURS_TOKEN = uid(0xC, 7), uid(0x70, 8)


class Rows(Portal):
    """Statements that handle the rows of several tenants, one of which fails."""

    def setUp(self):
        super().setUp()
        self.house.sql(OTHER_TENANT)

    def register(self, account, token, name):
        """The status and the reason."""
        body = json.dumps(
            {
                'external_id': name,
                'name': name,
                'public_key': base64.b64encode(os.urandom(32)).decode(),
            }
        )
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['channel']}/client",
            body.encode(),
            {'Authorization': f'Bearer {account}.{token}.{SECRET}'},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())['reason']

    def log(self):
        return self.house.read('channel.err')

    def of_client(self, client, *columns):
        return self.house.sql(f"SELECT {', '.join(columns)} FROM clients WHERE id = '{client}'")

    def bound_to(self, token):
        return self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{token}'")

    # Tokens are looked up.

    def test_an_infinite_end_of_a_token_is_none(self):
        self.house.sql(
            f"UPDATE tokens SET expires_at = 'infinity' WHERE id = '{TOKEN}'",
            f"UPDATE tokens SET expires_at = '-infinity' WHERE id = '{OTHER_TOKEN}'",
            f"UPDATE tokens SET expires_at = '294276-12-31' WHERE id = '{NEIGHBOURS_TOKEN}'",
        )
        self.channel()
        # Of accounts that are not followed yet, so that all are looked up.
        devices = (
            self.client(),
            self.device('client', OTHER_CLIENT, OTHER_TOKEN),
            self.other_client(),
        )
        self.joined(devices[0])
        self.expect_end(devices[1], 'token_expired')
        self.joined(devices[2])
        self.assertNotIn('cannot look', self.log())
        self.assertEqual(self.register(ACCOUNT, TOKEN, 'c1'), (200, None))
        self.assertEqual(self.register(ACCOUNT, OTHER_TOKEN, 'c2'), (401, 'token_expired'))

    def unreadable(self, token):
        """A connection string by which the row of this token cannot be read, whoever's it is
        looked up with.
        """
        self.house.sql(
            'CREATE SCHEMA broken',
            f"""CREATE VIEW broken.tokens AS SELECT id,
            account_id, type, actor_id, identity_id, site_id, secret_hash, device_id,
            expires_at + (1 / (id <> '{token}')::int - 1) * interval '1 s' AS expires_at,
                last_seen_at, last_seen_remote_ip, last_seen_user_agent FROM public.tokens""",
        )
        return self.house.conninfo() + " options='-c search_path=broken,public'"

    def test_a_token_that_cannot_be_read_keeps_out_its_own_device_alone(self):
        self.channel(database=self.unreadable(TOKEN))
        devices = self.client(), self.other_client()
        self.expect_end(devices[0], 'try_again')
        self.joined(devices[1])
        self.assertIn(f'cannot look the token {TOKEN} up', self.log())
        self.assertEqual(self.register(ACCOUNT, TOKEN, 'c1'), (503, 'try_again'))
        self.assertEqual(self.register(OTHER_ACCOUNT, NEIGHBOURS_TOKEN, 'o'), (200, None))

    # Where devices were last seen.

    def test_a_token_that_is_deleted_before_its_device_is_written_stops_nothing(self):
        self.channel()
        session = self.open_transaction(f"SELECT FROM clients WHERE id = '{CLIENT}' FOR UPDATE")
        client = self.client()
        self.joined(client)
        session.run(f"DELETE FROM tokens WHERE id = '{TOKEN}'", 'COMMIT')
        self.expect_end(client, 'token_expired')
        self.ended_flow(OTHER_ACCOUNT, NEIGHBOUR, uid(0x6, 7), NEIGHBOURS_TOKEN)
        self.joined(self.other_client())
        until(
            lambda: self.of_client(NEIGHBOUR, 'last_seen_version', 'last_used_token_id')
            == f'1.5.0|{NEIGHBOURS_TOKEN}',
            'the neighbour to be seen',
        )
        until(lambda: self.bound_to(NEIGHBOURS_TOKEN) == NEIGHBOUR, 'its token to be bound')
        until(
            lambda: self.of_client(CLIENT, 'last_seen_version', 'last_used_token_id') == '1.5.0|',
            'the device without its token to be seen',
        )
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the flow that has ended to go')
        self.assertNotIn('cannot', self.log())

    def test_a_device_that_the_database_refuses_to_write_costs_itself_alone(self):
        self.house.sql("ALTER TABLE clients ADD CHECK (last_seen_version <> '1.5.7')")
        self.channel()
        # Written together: the locks go at once.
        session = self.open_transaction('LOCK TABLE clients IN EXCLUSIVE MODE')
        self.joined(self.client(version='1.5.7'))
        self.joined(self.device('client', OTHER_CLIENT, OTHER_TOKEN))
        self.joined(self.other_client())
        session.run('COMMIT')
        for client in (OTHER_CLIENT, NEIGHBOUR):
            until(
                lambda client=client: self.of_client(client, 'last_seen_version') == '1.5.0',
                'it to be seen',
            )
        for client, token in (
            (CLIENT, TOKEN),
            (OTHER_CLIENT, OTHER_TOKEN),
            (NEIGHBOUR, NEIGHBOURS_TOKEN),
        ):
            until(
                lambda client=client, token=token: self.bound_to(token) == client,
                'its token to be bound',
            )
        self.assertEqual(self.of_client(CLIENT, 'last_seen_version'), '')
        self.assertIn(f'cannot write where the client {CLIENT} was last seen', self.log())

    # Flows are deleted.

    def ended_flow(self, account, client, gateway, token):
        self.house.sql(
            "INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id, resource_id,"
            f" token_id, expires_at) SELECT gen_random_uuid(), account_id, id, '{client}',"
            f" '{gateway}', resource_id, '{token}', now() - interval '2 minutes' FROM policies"
            f" WHERE account_id = '{account}'"
        )

    def referred(self, condition):
        """Rows of another table refer to these flows, so that nobody can delete them."""
        self.house.sql(
            'CREATE TABLE notes (flow_id uuid REFERENCES flows)',
            f'INSERT INTO notes SELECT id FROM flows WHERE {condition}',
        )

    def test_a_flow_that_cannot_be_deleted_keeps_no_other(self):
        self.channel()
        devices = self.gateway(), self.client(), self.other_gateway(), self.other_client()
        for device in devices:
            self.joined(device)
        self.authorized(devices[1], devices[0])
        self.authorized(devices[3], devices[2], uid(0xE, 7))
        until(lambda: self.flows(ACCOUNT) == self.flows(OTHER_ACCOUNT) == 1, 'the rows')
        self.referred(f"account_id = '{ACCOUNT}'")
        self.house.sql('UPDATE policies SET disabled_at = now()')
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the row of the other tenant to go')
        self.assertEqual(self.flows(ACCOUNT), 1)
        self.house.sql('DELETE FROM notes')
        until(lambda: self.flows(ACCOUNT) == 0, 'the row to be tried again')

    def test_a_flow_that_has_ended_and_cannot_be_deleted_keeps_no_other(self):
        self.ended_flow(ACCOUNT, CLIENT, GATEWAY, TOKEN)
        self.ended_flow(OTHER_ACCOUNT, NEIGHBOUR, uid(0x6, 7), NEIGHBOURS_TOKEN)
        self.referred(f"account_id = '{ACCOUNT}'")
        self.channel()
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the row of the other tenant to go')
        self.assertEqual(self.flows(ACCOUNT), 1)


TEXT, PONG, CONTINUATION = 1, 10, 0


class Raw:
    """A WebSocket by hand, which reads when it is asked to and not before."""

    def __init__(self, port, id, sentence, receive_buffer):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect(('127.0.0.1', port))
        self.socket.sendall(
            '\r\n'.join(
                [
                    f'GET /client?id={id}&version=1.5.0 HTTP/1.1',
                    'Host: x',
                    'Connection: Upgrade',
                    'Upgrade: websocket',
                    'Sec-WebSocket-Version: 13',
                    f'Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}',
                    f'Authorization: Bearer {sentence}',
                    '',
                    '',
                ]
            ).encode()
        )
        answer = b''
        while not answer.endswith(b'\r\n\r\n'):
            part = self.socket.recv(1)
            assert part, answer
            answer += part
        self.status = int(answer.split()[1])

    def send(self, opcode, payload=b'', is_last=True):
        """False when the connection is closed. Masked with zeros."""
        length = (
            struct.pack('!B', 0x80 | len(payload))
            if len(payload) < 126
            else struct.pack('!BH', 0x80 | 126, len(payload))
        )
        try:
            self.socket.sendall(
                struct.pack('!B', (0x80 if is_last else 0) | opcode)
                + length
                + b'\0\0\0\0'
                + payload
            )
        except OSError:
            return False
        return True

    def is_open(self):
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b'\x01'

    def ask(self, count):
        """What makes no sense is answered with its ref: 60 kB each time."""
        for _ in range(count):
            self.send(TEXT, json.dumps({'event': 'x', 'ref': 'r' * 60000}).encode())
        until(lambda: self.unread() == 0, 'the server to read it')

    def unread(self):
        """Bytes that wait at the server's end; 0 when that is closed."""
        own = f':{self.socket.getsockname()[1]:04X}'
        with open('/proc/net/tcp') as file:
            return next(
                (
                    int(fields[4].split(':')[1], 16)
                    for fields in map(str.split, file)
                    if fields[2].endswith(own)
                ),
                0,
            )

    def answers(self):
        """How many such answers come until the connection ends or nothing does for 5 s."""
        self.socket.settimeout(5)
        got = bytearray()
        try:
            while part := self.socket.recv(1 << 20):
                got += part
        except OSError:
            pass
        return got.count(b'"reply"')


class Deaf(Portal):
    """Clients that read nothing."""

    def setUp(self):
        super().setUp()
        self.house.sql(OTHER_TENANT)
        self.deaf = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.pong)
        self.thread.start()
        self.addCleanup(self.thread.join)
        self.addCleanup(self.is_over.set)

    def pong(self):
        """All the time, so that none of them is silent."""
        while not self.is_over.wait(0.5):
            for raw in list(self.deaf):
                raw.send(PONG, b'x')

    def raw(self, id=CLIENT, token=TOKEN, account=ACCOUNT, receive_buffer=4096):
        raw = Raw(self.ports['channel'], id, f'{account}.{token}.{SECRET}', receive_buffer)
        self.addCleanup(raw.socket.close)
        return raw

    def neighbour(self):
        return self.raw(NEIGHBOUR, NEIGHBOURS_TOKEN, OTHER_ACCOUNT)

    def serve(self, **settings):
        return self.channel(
            **{'idle-timeout-s': '2', 'client-messages-per-second': '10000'} | settings
        )

    def clients(self, count):
        until(lambda: self.stats()['clients'] == count, f'{count} clients')

    def test_who_reads_nothing_is_cut_though_it_sends_pongs(self):
        self.serve()
        raw = self.raw()
        self.clients(1)
        raw.ask(110)
        self.deaf.append(raw)
        self.clients(0)
        until(lambda: not raw.is_open(), 'the connection to end')
        self.assertIn('it reads nothing', self.house.read('channel.err'))

    def test_who_reads_nothing_is_cut_though_it_sends_a_message_without_end(self):
        self.serve()
        raw = self.raw()
        self.clients(1)
        raw.ask(110)
        raw.send(TEXT, is_last=False)
        until(
            lambda: not raw.send(CONTINUATION, is_last=False) or self.stats()['clients'] == 0,
            'it to be cut',
        )

    def test_who_reads_slowly_stays(self):
        self.serve(**{'idle-timeout-s': '6'})
        raw = self.raw(receive_buffer=100000)
        self.clients(1)
        raw.ask(110)
        self.deaf.append(raw)
        got = 0
        while got < 100 * 60000:  # for longer than the idle timeout
            self.is_over.wait(0.06)
            part = raw.socket.recv(40000)
            self.assertTrue(part, 'it was cut')
            got += len(part)
        self.assertEqual(self.stats()['clients'], 1)

    def test_a_session_that_was_replaced_gives_its_place_back(self):
        # Long enough that nobody is cut for the idle timeout.
        self.serve(**{'max-sessions': '4', 'idle-timeout-s': '600'})
        since = 0
        for _ in range(4):
            raw = self.raw()
            self.assertEqual(raw.status, 101)
            since = until(
                lambda since=since: next(
                    (
                        session['connected_at']
                        for session in self.fatwal_channel('list')
                        if session['connected_at'] > since
                    ),
                    None,
                ),
                'its session',
            )
            raw.ask(110)
            self.deaf.append(raw)
        until(lambda: self.neighbour().status == 101, 'a place')
        self.assertTrue(self.deaf[3].is_open(), 'the session of now')

    def large(self, clients):
        """Resources that make an init of 10 MB, and as many clients more that are shown them."""
        self.house.sql(
            (
                "INSERT INTO resources (id, account_id, name, type, address, address_description)"
                f" SELECT md5('r' || n)::uuid, '{ACCOUNT}', 'r' || n, 'dns', 'r' || n ||"
                " '.example.com', repeat('d', 40000) FROM generate_series(1, 250) n"
            ),
            (
                "INSERT INTO resource_connections (account_id, resource_id, site_id) SELECT"
                f" '{ACCOUNT}', md5('r' || n)::uuid, '{SITE}' FROM generate_series(1, 250) n"
            ),
            (
                "INSERT INTO policies (account_id, actor_group_id, resource_id) SELECT"
                f" '{ACCOUNT}', '{GROUP}', md5('r' || n)::uuid FROM generate_series(1, 250) n"
            ),
            (
                "INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key,"
                f" ipv4, ipv6) SELECT ('{uid(0xd, 0)[:-4]}' || to_char(n, 'FM0000'))::uuid,"
                f" '{ACCOUNT}', '{ACTOR}', 'x' || n, 'x', 'x' || n, '100.65.0.0'::inet + n,"
                f" 'fd00:1::'::inet + n FROM generate_series(1, {clients}) n"
            ),
            (
                "INSERT INTO tokens (id, account_id, type, actor_id, secret_hash) SELECT"
                f" ('{uid(0x7d, 0)[:-4]}' || to_char(n, 'FM0000'))::uuid, '{ACCOUNT}', 'client',"
                f" '{ACTOR}', {HASH} FROM generate_series(1, {clients}) n"
            ),
        )

    def memory(self, process):
        """MB in use."""
        with open(f'/proc/{process.pid}/status') as file:
            return next(int(line.split()[1]) // 1024 for line in file if line.startswith('VmRSS'))

    def test_what_clients_do_not_take_at_first_is_bounded_and_costs_others_nothing(self):
        self.large(10)
        process = self.serve(
            **{'max-queued-mib': '64', 'idle-timeout-s': '5', 'join-timeout-s': '120'}
        )
        neighbour = self.neighbour()
        self.joined(self.client())
        before = self.memory(process)
        for number in range(1, 11):
            self.deaf.append(self.raw(uid(0xD, number), uid(0x7D, number)))
        self.clients(4)  # two of them, as two inits of 10 MB take up the tenant's 16 MiB
        self.assertLess(self.memory(process) - before, 80)
        # A neighbour that is slow for a moment has 4.8 MB waiting.
        neighbour.ask(80)
        self.assertEqual(neighbour.answers(), 80)
        # Those that do not take theirs are cut, and the others come in.
        self.joined(self.client())

    def test_one_client_that_comes_again_and_again_has_one_init_waiting(self):
        self.large(0)
        process = self.serve(
            **{'max-queued-mib': '64', 'idle-timeout-s': '600', 'join-timeout-s': '120'}
        )
        neighbour = self.neighbour()
        self.clients(1)
        before = self.memory(process)
        for _ in range(30):
            self.deaf.append(self.raw())
        until(lambda: sum(raw.is_open() for raw in self.deaf) == 1, 'the earlier sessions to end')
        self.assertLess(self.memory(process) - before, 160)
        neighbour.ask(1)
        self.assertEqual(neighbour.answers(), 1)


if __name__ == '__main__':
    unittest.main()
