"""Who may connect to fatwal-channel, and what a connection may cost before it has said who it is.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import base64
import json
import os
import resource
import socket
import unittest
import urllib.error
import urllib.request

from house import until
from portal import ACCOUNT, CLIENT, SECRET, TOKEN, Portal

SENTENCE = f'{ACCOUNT}.{TOKEN}.{SECRET}'


class Door(Portal):
    def connection(self):
        connection = socket.create_connection(('127.0.0.1', self.ports['channel']), timeout=20)
        self.addCleanup(connection.close)
        return connection

    def upgrade(self, *headers, token=SENTENCE):
        """The head of the answer to a client's request, and the connection. A header that comes twice stays twice."""
        connection = self.connection()
        lines = [f'GET /client?id={CLIENT}&version=1.5.0 HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
                 f'Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}', *headers]
        if token:
            lines.append(f'Authorization: Bearer {token}')
        connection.sendall('\r\n'.join([*lines, '', '']).encode())
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
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['channel']}/health", timeout=20) as answer:
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
        for header, shown in (('CF-IPCountry: FR', ['r1']), ('CF-IPCountry: RU', []), ('CF-IPCountry: XX', []), ('CF-IPCountry: T1', []), ('CF-IPCountry: ru', []),
                              ('X-Location-Region: FR', [])):
            with self.subTest(header):
                _, connection = self.upgrade('X-Forwarded-For: 203.0.113.9', header)
                self.assertEqual(self.resources(connection), shown)

    def test_a_browser_offers_its_token_as_a_protocol(self):
        self.house.sql("UPDATE tokens SET secret_hash = sha256('in-base64_url')")
        self.channel()
        answer, connection = self.upgrade(f'Sec-WebSocket-Protocol: fatwal, {ACCOUNT}.{TOKEN}.in-base64_url', token=None)
        self.assertIn('101', answer.splitlines()[0])
        self.assertIn('sec-websocket-protocol: fatwal\r\n', answer.lower())
        self.assertEqual(self.resources(connection), ['r1'])

    def test_strangers_learn_no_counts(self):
        self.channel()
        self.assertEqual(self.health(), (200, {'status': 'ok'}))

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
        until(lambda: len(os.listdir(f'/proc/{process.pid}/fd')) > 100, 'the connections to be there')
        self.assertLess(len(os.listdir(f'/proc/{process.pid}/fd')), 190)
        for connection in silent:
            connection.close()
        self.assertEqual(self.shown(self.joined(self.client())), ['r1'])


if __name__ == '__main__':
    unittest.main()
