"""Who may connect to fatwal-channel, and what a connection may cost before it has said who it is.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import base64
import json
import os
import resource
import socket
import struct
import threading
import unittest
import urllib.error
import urllib.request
import uuid

from house import until
from portal import (
    ACCOUNT,
    ACTOR,
    CLIENT,
    HASH,
    OTHER_ACCOUNT,
    OTHER_TENANT,
    OTHER_TOKEN,
    P1,
    R1,
    RELAY_TOKEN,
    SECRET,
    TOKEN,
    Portal,
    uid,
)
from proxy import Proxy

SENTENCE = f'{ACCOUNT}.{TOKEN}.{SECRET}'


class Door(Portal):
    def connection(self):
        connection = socket.create_connection(('127.0.0.1', self.ports['channel']), timeout=20)
        self.addCleanup(connection.close)
        return connection

    def request(self, token, *headers):
        lines = [
            f'GET /client?id={CLIENT}&version=1.5.0 HTTP/1.1',
            'Host: x',
            'Connection: Upgrade',
            'Upgrade: websocket',
            'Sec-WebSocket-Version: 13',
            f'Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}',
            *headers,
        ]
        if token:
            lines.append(f'Authorization: Bearer {token}')
        return '\r\n'.join([*lines, '', '']).encode('latin-1')

    def upgrade(self, *headers, token=SENTENCE):
        """The head of the answer to a client's request, and the connection. A header that comes
        twice stays twice.
        """
        connection = self.connection()
        connection.sendall(self.request(token, *headers))
        answer = b''
        while b'\r\n\r\n' not in answer:
            part = connection.recv(1)
            if not part:
                break
            answer += part
        return answer.decode(), connection

    def resources(self, connection):
        """The names of what init shows."""
        got = b''
        while True:
            head = connection.recv(2)
            length = head[1]
            if length == 126:
                length = int.from_bytes(connection.recv(2), 'big')
            body = b''
            while len(body) < length:
                body += connection.recv(length - len(body))
            event = json.loads(body)
            if event['event'] == 'init':
                return self.shown(event['payload'])

    def condition(self, property, operator, *values):
        json_text = json.dumps({'property': property, 'operator': operator, 'values': values})
        self.house.sql(f"UPDATE policies SET conditions = ARRAY['{json_text}']::jsonb[]")

    def health(self):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports['channel']}/health", timeout=20
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def test_of_several_forwarded_lines_the_proxys_own_is_believed(self):
        self.channel(**{'trusted-proxy': '127.0.0.0/8'})
        self.condition('remote_ip', 'is_in_cidr', '10.1.2.0/24')
        # HAProxy adds a line of its own behind what the device itself has sent.
        _, connection = self.upgrade('X-Forwarded-For: 10.1.2.3', 'X-Forwarded-For: 203.0.113.9')
        self.assertEqual(self.resources(connection), [])
        _, connection = self.upgrade('X-Forwarded-For: 203.0.113.9', 'X-Forwarded-For: 10.1.2.3')
        self.assertEqual(self.resources(connection), ['r1'])

    def test_a_place_that_no_setting_names_and_one_that_is_none_are_unknown(self):
        self.channel(**{'trusted-proxy': '127.0.0.0/8', 'region-header': 'CF-IPCountry'})
        self.condition('remote_ip_location_region', 'is_not_in', 'RU')
        for header, shown in (
            ('CF-IPCountry: FR', ['r1']),
            ('CF-IPCountry: RU', []),
            ('CF-IPCountry: XX', []),
            ('CF-IPCountry: T1', []),
            ('CF-IPCountry: ru', []),
            ('X-Location-Region: FR', []),
        ):
            with self.subTest(header):
                _, connection = self.upgrade('X-Forwarded-For: 203.0.113.9', header)
                self.assertEqual(self.resources(connection), shown)

    def test_a_browser_offers_its_token_as_a_protocol(self):
        self.house.sql("UPDATE tokens SET secret_hash = sha256('in-base64_url')")
        self.channel()
        answer, connection = self.upgrade(
            f'Sec-WebSocket-Protocol: fatwal, {ACCOUNT}.{TOKEN}.in-base64_url', token=None
        )
        self.assertIn('101', answer.splitlines()[0])
        self.assertIn('sec-websocket-protocol: fatwal\r\n', answer.lower())
        self.assertEqual(self.resources(connection), ['r1'])

    def test_strangers_learn_no_counts(self):
        self.channel()
        self.assertEqual(self.health(), (200, {'status': 'ok'}))

    # The token first.

    def test_strangers_of_made_up_accounts_leave_nothing_behind(self):
        process = self.channel()
        before = len(os.listdir(f'/proc/{process.pid}/fd'))
        strangers = [
            self.device('client', CLIENT, str(uuid.uuid4()), account=str(uuid.uuid4()))
            for _ in range(60)
        ]
        for stranger in strangers:
            self.expect_end(stranger, 'invalid_token')
        self.expect_end(self.client(secret='wrong'), 'invalid_token')
        self.assertEqual(self.stats()['accounts'], 0)
        self.assertEqual(self.house.sql('SELECT count(*) FROM fatwal.subscriber'), '0')
        until(
            lambda: len(os.listdir(f'/proc/{process.pid}/fd')) < before + 10,
            'their descriptors to be free',
        )

    def test_whoever_guesses_tokens_leaves_room_for_others(self):
        self.channel(**{'connects-per-second': '20'})
        stop, answers = threading.Event(), []

        def guess():
            """As fast as it goes, from an address of its own."""
            while not stop.is_set():
                with socket.create_connection(
                    ('127.0.0.1', self.ports['channel']),
                    timeout=20,
                    source_address=('127.0.0.2', 0),
                ) as connection:
                    connection.sendall(self.request(f'{uuid.uuid4()}.{uuid.uuid4()}.x'))
                    answers.append(connection.recv(12)[9:])
                    # Some read their answer, some are gone before, some with a reset.
                    if len(answers) % 3 == 0 and answers[-1] == b'101':
                        heard = b''
                        while b'invalid_token' not in heard and (part := connection.recv(4096)):
                            heard += part
                    elif len(answers) % 3 == 1:
                        connection.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)
                        )

        guessing = threading.Thread(target=guess, daemon=True)
        guessing.start()
        self.addCleanup(guessing.join, 20)
        self.addCleanup(stop.set)
        until(lambda: answers.count(b'101') > 25, 'some guesses to be judged')
        for _ in range(6):
            self.joined(self.client())
            count = len(answers)
            until(lambda count=count: len(answers) > count + 100, 'more guesses')
        self.assertIn(b'503', answers)

    def test_without_the_database_a_stranger_waits_and_who_is_known_comes_in(self):
        proxy = Proxy('127.0.0.1', os.environ['PGPORT'])
        self.addCleanup(proxy.close)
        self.channel(
            database=(
                "host=127.0.0.1"
                f" port={proxy.port} user={os.environ['PGUSER']} dbname={self.house.database}"
            ),
            **{'join-timeout-s': '1'},
        )
        self.joined(self.client())
        proxy.freeze()
        stranger = self.device('client', CLIENT, str(uuid.uuid4()))
        self.joined(self.client())
        self.expect_end(stranger, 'try_again')

    def test_whoever_may_not_in_puts_nobody_out(self):
        self.house.sql(OTHER_TENANT)
        self.channel()
        client = self.client()
        self.joined(client)
        # another actor's
        self.expect_end(self.device('client', CLIENT, OTHER_TOKEN), 'invalid_token')
        # another account's
        self.expect_end(
            self.device('client', CLIENT, uid(0x70, 8), account=OTHER_ACCOUNT), 'client_not_found'
        )
        self.expect_end(self.client(version='x'), 'invalid_version')
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(client, 'resource_deleted', id=R1)

    def test_a_relay_is_put_out_by_itself_alone(self):
        relay_id, other_id = uid(0x4E, 1), uid(0x4E, 2)
        other_token = uid(0x70, 10)
        self.house.sql(
            f"INSERT INTO tokens (id, type, secret_hash) VALUES ('{other_token}', 'relay', {HASH})"
        )
        self.channel(**{'relay-debounce-ms': '100'})
        client = self.client()
        self.joined(client)
        relay = self.device('relay', relay_id, RELAY_TOKEN, account=None)
        self.expect(relay, 'init')
        relay.send('announce', {'ipv4': '192.0.2.1', 'port': 3478, 'secret': 's'})
        self.expect(client, 'relays_presence')
        until(
            lambda: self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{RELAY_TOKEN}'")
            == relay_id,
            'the token to be the relay\'s',
        )
        self.expect_end(
            self.device('relay', relay_id, str(uuid.uuid4()), account=None), 'invalid_token'
        )
        self.expect_end(self.device('relay', other_id, RELAY_TOKEN, account=None), 'invalid_token')
        other = self.device('relay', other_id, other_token, account=None)
        self.expect(other, 'init')
        until(
            lambda: self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{other_token}'")
            == other_id,
            'the other token to be the other relay\'s',
        )
        self.expect_end(self.device('relay', relay_id, other_token, account=None), 'invalid_token')
        self.quiet(relay)
        self.quiet(client)
        again = self.device('relay', relay_id, RELAY_TOKEN, account=None)
        self.expect(again, 'init')
        self.expect_end(relay, 'replaced')

    def test_a_token_is_its_first_devices(self):
        second = uid(0xC, 9)
        self.house.sql(
            "INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key, ipv4,"
            f" ipv6) VALUES ('{second}', '{ACCOUNT}', '{ACTOR}', 'c9', 'c9', 'k9', '100.64.0.9',"
            " 'fd00::9')"
        )
        self.channel()
        self.joined(self.client())
        until(
            lambda: self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{TOKEN}'") == CLIENT,
            'the token to be the client\'s',
        )

        # The process knows it as soon as the row has come to it; until then it ends who it let in.
        def is_refused():
            device = self.device('client', second, TOKEN)
            event = device.next()
            device.close()
            return event['event'] == 'disconnect' and event['payload']['reason'] == 'invalid_token'

        until(is_refused, 'another device to be refused')
        client = self.client()
        self.joined(client)
        # Of two that use it first at the same time, in two processes, the one that is not written
        # goes.
        self.house.sql(f"UPDATE tokens SET device_id = '{second}' WHERE id = '{TOKEN}'")
        self.expect_end(client, 'token_expired')

    # Before a token.

    def test_connections_that_say_nothing_keep_nobody_out(self):
        self.channel(**{'max-pending': '20'})
        silent = [self.connection() for _ in range(60)]
        self.assertEqual(self.health()[0], 200)
        self.assertEqual(self.shown(self.joined(self.client())), ['r1'])
        # All but the last of them are closed.
        for connection in silent[:30]:
            self.assertEqual(connection.recv(1), b'')

    def test_descriptors_are_raised_and_their_end_ends_nothing(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        try:
            process = self.channel(**{'max-sessions': '1000000'})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(resource.prlimit(process.pid, resource.RLIMIT_NOFILE), (hard, hard))
        self.assertIn('raise it (LimitNOFILE=', self.house.read('channel.err'))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (200, hard))
        silent = [self.connection() for _ in range(300)]
        until(
            lambda: len(os.listdir(f'/proc/{process.pid}/fd')) > 100, 'the connections to be there'
        )
        self.assertLess(len(os.listdir(f'/proc/{process.pid}/fd')), 190)
        for connection in silent:
            connection.close()
        self.assertEqual(self.shown(self.joined(self.client())), ['r1'])

    # After it.

    def test_what_a_device_says_is_bounded_in_depth(self):
        process = self.channel()
        client = self.client()
        self.joined(client)
        for field in ('ref', 'payload'):
            client.send_text('{"event":"x","%s":%s%s}' % (field, '[' * 30000, ']' * 30000))
            self.assertEqual(self.expect(client, 'reply')['payload']['reason'], 'malformed_message')
        self.assertIsNone(process.poll())

    def test_who_reads_nothing_and_goes_on_sending_is_cut(self):
        self.channel(**{'idle-timeout-s': '2', 'max-queue-bytes': '1000000000'})
        _, connection = self.upgrade()
        until(lambda: self.stats()['clients'] == 1, 'the client')
        for number in range(12):  # more than the sockets take
            self.house.sql(
                f"UPDATE resources SET name = repeat('n{number % 10}', 300000) WHERE id = '{R1}'"
            )

        def is_cut():
            try:
                connection.sendall(b'\x81\x81\x00\x00\x00\x00x')  # a masked text, x
            except OSError:
                return True
            return self.stats()['clients'] == 0

        until(is_cut, 'it to be cut')

    def test_a_user_agent_is_text_whatever_was_sent(self):
        self.channel()
        _, connection = self.upgrade('User-Agent: phone\xff 1')
        self.resources(connection)
        until(
            lambda: self.house.sql(f"SELECT last_seen_user_agent FROM tokens WHERE id = '{TOKEN}'")
            == 'phone? 1',
            'last_seen',
        )
        self.assertNotIn('cannot write', self.house.read('channel.err'))


if __name__ == '__main__':
    unittest.main()
