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
    P1,
    R1,
    R2,
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

    def why(self, *arguments, process='channel'):
        """The sentences about the client and r1, and the whole answer."""
        question = ['why', '--client', CLIENT, '--resource', R1, *arguments]
        command = [BUILD / 'client' / 'fatwal', 'channel', '--admin-socket', self.admin(process)]
        done = subprocess.run([*command, *question], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, self.fatwal_channel(*question, '--json', process=process)[0]

    def test_says_why_a_client_reaches_a_resource(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        text, answer = self.why()
        self.assertTrue(text.startswith(f'Granted by policy {P1}, through gateway '), text)
        self.assertEqual(answer['verdict']['gateway_id'], GATEWAY)
        self.assertEqual(answer['client']['source'], 'session')
        self.flow(client, gateway)
        until(lambda: 'It has a flow now' in self.why()[0], 'the flow to be shown')

        self.house.sql(
            'UPDATE policies SET conditions = ARRAY[\'{"property": "remote_ip", "operator": '
            f'"is_in_cidr", "values": ["10.0.0.0/8"]}}\']::jsonb[] WHERE id = \'{P1}\''
        )
        self.expect(client, 'resource_deleted', id=R1)
        text, answer = self.why('--account', ACCOUNT)
        self.assertTrue(text.startswith('Refused. '), text)
        self.assertIn(
            'remote_ip is_in_cidr 10.0.0.0/8: the client has 127.0.0.1, which does not hold.', text
        )
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        failed = self.expect(client, 'flow_creation_failed')['payload']
        self.assertEqual(
            [failed['reason'], failed['violated_properties']],
            [answer['verdict']['device_reason'], answer['verdict']['violated_properties']],
        )

    def test_says_why_of_a_client_of_another_process(self):
        self.two_processes()
        gateway, client = self.gateway('b'), self.client('a')
        self.joined(gateway)
        self.joined(client)
        self.news('a')
        for process, source in (('a', 'session'), ('b', 'last_seen')):
            # The row of who was last seen is written a second later.
            until(
                lambda: self.why(process=process)[1]['verdict']['granted'],
                f'process {process} to grant it',
            )
            answer = self.why(process=process)[1]
            self.assertEqual(answer['verdict']['gateway_id'], GATEWAY)
            self.assertEqual(
                (answer['client']['source'], answer['client']['online']), (source, True)
            )

    def choices(self, account=ACCOUNT):
        return self.http(f'GET /choices?account={account} HTTP/1.0\r\n\r\n')

    def test_names_the_clients_and_resources_of_an_account(self):
        self.channel()
        status, answer = self.choices()
        self.assertEqual((status, answer['reason']), (404, 'not_followed'))
        self.joined(self.client())
        status, answer = self.choices()
        self.assertEqual(status, 200)
        self.assertEqual(
            [(each['id'], each['name']) for each in answer['clients']],
            [(CLIENT, 'c1'), (OTHER_CLIENT, 'c2')],
        )
        actor = self.house.sql(
            f"SELECT a.name FROM actors a JOIN clients c ON a.id = actor_id WHERE c.id = '{CLIENT}'"
        )
        self.assertEqual(answer['clients'][0]['actor'], actor)
        self.assertEqual(
            answer['resources'],
            [
                {'id': R1, 'name': 'r1', 'type': 'dns', 'address': 'r1.example.com'},
                {'id': R2, 'name': 'r2', 'type': 'cidr', 'address': '10.0.0.0/8'},
            ],
        )
        self.assertFalse(answer['more'])
        self.assertEqual(self.choices(OTHER_ACCOUNT)[0], 404)

    def test_names_the_first_clients_and_resources_where_there_are_many(self):
        self.channel()
        self.joined(self.client())
        self.house.sql(
            'INSERT INTO resources (id, account_id, name, type, address) SELECT'
            f" gen_random_uuid(), '{ACCOUNT}', to_char(n, 'FM00000'), 'dns', 'x.example.com'"
            ' FROM generate_series(1, 5001) n'
        )
        answer = until(
            lambda: (answer := self.choices()[1]).get('more') and answer, 'the rows to come'
        )
        self.assertEqual(
            [each['name'] for each in answer['resources']], [f'{n:05}' for n in range(1, 5001)]
        )
        self.assertEqual(len(answer['clients']), 2)

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
        for arguments in (('--client', 'x'), ('--client', CLIENT, '--account', 'x')):
            self.assertIn('invalid_id', self.refused('why', *arguments, '--resource', R1))
        self.assertIn('not_followed', self.refused('why', '--client', CLIENT, '--resource', R1))
        for request in (
            'GET /x',
            'GET /why',
            'POST /why',
            'GET /choices',
            'GET /choices?account=x',
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
