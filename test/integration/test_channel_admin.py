"""What a person can ask a process fatwal-channel, and end: the admin socket and `fatwal channel`.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import json
import os
import socket
import stat
import subprocess
import unittest

from house import BUILD, until
from portal import (
    ACCOUNT,
    CLIENT,
    GATEWAY,
    OTHER_ACCOUNT,
    OTHER_CLIENT,
    OTHER_TOKEN,
    R1,
    TOKEN,
    Portal,
)


class AdminSocket(Portal):
    def http(self, request):
        """The status and the body of the answer to a raw request."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.admin()))
            connection.sendall(request.encode())
            answer = b''
            while part := connection.recv(65536):
                answer += part
        head, _, body = answer.decode().partition('\r\n\r\n')
        return int(head.split()[1]), json.loads(body)

    def refused(self, *arguments):
        done = subprocess.run(
            [BUILD / 'client' / 'fatwal', 'channel', '--admin-socket', self.admin(), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def test_only_its_user_can_open_it(self):
        self.channel()
        self.assertEqual(stat.S_IMODE(os.stat(self.admin()).st_mode), 0o600)

    def test_lists_who_is_connected(self):
        self.channel()
        devices = [
            self.client(headers={'User-Agent': 'phone'}),
            self.gateway(),
            self.device('client', OTHER_CLIENT, OTHER_TOKEN),
        ]
        for device in devices:
            self.joined(device)
        sessions = self.fatwal_channel('list')
        self.assertEqual(
            [(session['kind'], session['id']) for session in sessions],
            [('client', CLIENT), ('client', OTHER_CLIENT), ('gateway', GATEWAY)],
        )
        self.assertEqual(
            {key: sessions[0][key] for key in ('account', 'token', 'version', 'remote_ip')},
            {'account': ACCOUNT, 'token': TOKEN, 'version': '1.5.0', 'remote_ip': '127.0.0.1'},
        )
        self.assertEqual(self.fatwal_channel('list', '--account', OTHER_ACCOUNT), [])
        # In pages.
        status, first = self.http('GET /sessions?limit=2 HTTP/1.0\r\n\r\n')
        self.assertEqual((status, len(first['sessions'])), (200, 2))
        status, last = self.http(f"GET /sessions?limit=2&after={first['next']} HTTP/1.0\r\n\r\n")
        self.assertEqual(
            ([session['id'] for session in last['sessions']], 'next' in last), ([GATEWAY], False)
        )
        self.assertEqual(self.stats()['clients'], 2)

    def test_ends_a_session(self):
        self.channel()
        client = self.client()
        self.joined(client)
        ended = self.fatwal_channel(
            'disconnect', '--account', ACCOUNT, '--kind', 'client', '--id', CLIENT
        )
        self.assertEqual(ended, [{'disconnected': 1}])
        self.expect_end(client, 'disconnected')
        self.assertEqual(
            self.fatwal_channel(
                'disconnect', '--account', ACCOUNT, '--kind', 'client', '--id', CLIENT
            ),
            [{'disconnected': 0}],
        )

    def test_takes_a_pair_away(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        self.flow(client, gateway)
        taken = self.fatwal_channel(
            'reject', '--account', ACCOUNT, '--client', CLIENT, '--resource', R1
        )
        self.assertEqual(taken, [{'gateways': 1}])
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        until(lambda: self.house.sql('SELECT count(*) FROM flows') == '0', 'the row to be gone')

    def test_reaches_the_other_processes(self):
        self.two_processes()
        gateway, client = self.gateway('b'), self.client('a')
        self.joined(gateway)
        self.joined(client)
        self.news('a')
        self.flow(client, gateway)
        self.fatwal_channel(
            'reject', '--account', ACCOUNT, '--client', CLIENT, '--resource', R1, process='a'
        )
        self.expect(gateway, 'reject_access', client_id=CLIENT, resource_id=R1)
        self.fatwal_channel(
            'disconnect', '--account', ACCOUNT, '--kind', 'client', '--id', CLIENT, process='b'
        )
        self.expect_end(client, 'disconnected')

    def test_says_what_is_wrong(self):
        self.channel()
        self.assertIn('is the id of an account', self.refused('list', '--account', 'x'))
        self.assertIn(
            'invalid_id',
            self.refused('disconnect', '--account', ACCOUNT, '--kind', 'client', '--id', 'x'),
        )
        for request in (
            'GET /x',
            'GET /disconnect',
            'POST /stats',
            'GET /sessions?limit=0',
            'GET /sessions?after=x',
            'GET /sessions?account=%',
        ):
            status, body = self.http(f'{request} HTTP/1.0\r\n\r\n')
            self.assertIn(status, (400, 404), request)
            self.assertTrue(body['hint'], request)

    def test_takes_the_place_of_a_dead_process_and_of_no_other(self):
        process = self.channel()
        process.kill()
        process.wait()
        self.assertTrue(self.admin().exists())
        self.channel()
        self.assertEqual(self.stats()['status'], 'ok')
        second = self.channel('second', wait=False, **{'admin-socket': self.admin()})
        self.assertEqual(second.wait(20), 1)
        self.assertIn('another process', self.house.read('second.err'))
        self.assertEqual(self.stats()['status'], 'ok')
        self.house.stop(self.processes['channel'])
        self.assertFalse(self.admin().exists())


if __name__ == '__main__':
    unittest.main()
