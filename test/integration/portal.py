"""A portal to test: a small world in Postgres, fatwald, processes fatwal-channel, and devices
that connect to them.
"""
import json
import queue
import socket
import subprocess
import sys
import unittest

from house import BUILD, ROOT, House, until

sys.path.insert(0, str(ROOT / 'portal' / 'example'))
from device import Device  # noqa: E402


def uid(kind, number):
    return f'{kind:08x}-0000-4000-8000-{number:012x}'


ACCOUNT, OTHER_ACCOUNT, ACTOR, OTHER_ACTOR = (
    uid(0xACC, 1),
    uid(0xACC, 2),
    uid(0xAC, 1),
    uid(0xAC, 2),
)
CLIENT, OTHER_CLIENT, TOKEN, OTHER_TOKEN, GATEWAY_TOKEN, RELAY_TOKEN = (
    uid(0xC, 1),
    uid(0xC, 2),
    uid(0x70, 1),
    uid(0x70, 2),
    uid(0x70, 3),
    uid(0x70, 4),
)
GROUP, OTHER_GROUP, SITE, OTHER_SITE, GATEWAY = (
    uid(0x9, 1),
    uid(0x9, 2),
    uid(0x5, 1),
    uid(0x5, 2),
    uid(0x6, 1),
)
R1, R2, P1, P2, MEMBERSHIP = uid(0xE, 1), uid(0xE, 2), uid(0xB, 1), uid(0xB, 2), uid(0x33, 1)
SECRET = 'correct horse battery staple'
HASH = "sha256('correct horse battery staple')"

# Actors A (in group g1, with client c1) and B (in no group, with c2); policy p1 grants g1 the
# resource r1; r1 and r2 are in site s1 with gateway w1.
WORLD = f"""
INSERT INTO accounts (id, name, slug) VALUES ('{ACCOUNT}', 'a', 'a'), ('{OTHER_ACCOUNT}', 'b', 'b');
INSERT INTO actors (id, account_id, name) VALUES ('{ACTOR}', '{ACCOUNT}', 'A'), ('{OTHER_ACTOR}',
    '{ACCOUNT}', 'B');
INSERT INTO actor_groups (id, account_id, name) VALUES ('{GROUP}', '{ACCOUNT}', 'g1'),
    ('{OTHER_GROUP}', '{ACCOUNT}', 'g2');
INSERT INTO actor_group_memberships (id, account_id, actor_id, group_id) VALUES ('{MEMBERSHIP}',
    '{ACCOUNT}', '{ACTOR}', '{GROUP}');
INSERT INTO sites (id, account_id, name) VALUES ('{SITE}', '{ACCOUNT}', 's1'), ('{OTHER_SITE}',
    '{ACCOUNT}', 's2');
INSERT INTO tokens (id, account_id, type, actor_id, site_id, secret_hash) VALUES ('{TOKEN}',
    '{ACCOUNT}', 'client', '{ACTOR}', NULL, {HASH}),
    ('{OTHER_TOKEN}', '{ACCOUNT}', 'client', '{OTHER_ACTOR}', NULL, {HASH}), ('{GATEWAY_TOKEN}',
        '{ACCOUNT}', 'gateway', NULL, '{SITE}', {HASH}),
    ('{RELAY_TOKEN}', NULL, 'relay', NULL, NULL, {HASH});
INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key, ipv4, ipv6) VALUES
    ('{CLIENT}', '{ACCOUNT}', '{ACTOR}', 'c1', 'c1', 'k1', '100.64.0.1', 'fd00::1'),
        ('{OTHER_CLIENT}', '{ACCOUNT}', '{OTHER_ACTOR}', 'c2', 'c2', 'k2', '100.64.0.3', 'fd00::3');
INSERT INTO gateways (id, account_id, site_id, external_id, name, public_key, ipv4, ipv6)
    VALUES ('{GATEWAY}', '{ACCOUNT}', '{SITE}', 'w1', 'w1', 'kw', '100.64.0.2', 'fd00::2');
INSERT INTO resources (id, account_id, name, type, address) VALUES ('{R1}', '{ACCOUNT}', 'r1',
    'dns', 'r1.example.com'), ('{R2}', '{ACCOUNT}', 'r2', 'cidr', '10.0.0.0/8');
INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES ('{ACCOUNT}', '{R1}',
    '{SITE}'), ('{ACCOUNT}', '{R2}', '{SITE}');
INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{P1}', '{ACCOUNT}',
    '{GROUP}', '{R1}');
"""


# Another tenant with all that a flow needs: the kinds' number 7, and tokens 8 (of its client) and 9
# (of its gateway).
OTHER_TENANT = f"""
INSERT INTO actors (id, account_id, name) VALUES ('{uid(0xac, 7)}', '{OTHER_ACCOUNT}', 'O');
INSERT INTO actor_groups (id, account_id, name) VALUES ('{uid(0x9, 7)}', '{OTHER_ACCOUNT}', 'g');
INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES ('{OTHER_ACCOUNT}',
    '{uid(0xac, 7)}', '{uid(0x9, 7)}');
INSERT INTO sites (id, account_id, name) VALUES ('{uid(0x5, 7)}', '{OTHER_ACCOUNT}', 's');
INSERT INTO tokens (id, account_id, type, actor_id, site_id, secret_hash) VALUES ('{uid(0x70, 8)}',
    '{OTHER_ACCOUNT}', 'client', '{uid(0xac, 7)}', NULL, {HASH}),
    ('{uid(0x70, 9)}', '{OTHER_ACCOUNT}', 'gateway', NULL, '{uid(0x5, 7)}', {HASH});
INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key, ipv4, ipv6) VALUES
    ('{uid(0xc, 7)}', '{OTHER_ACCOUNT}', '{uid(0xac, 7)}', 'o', 'o', 'o', '100.64.0.7', 'fd00::7');
INSERT INTO gateways (id, account_id, site_id, external_id, name, public_key, ipv4, ipv6) VALUES
    ('{uid(0x6, 7)}', '{OTHER_ACCOUNT}', '{uid(0x5, 7)}', 'o', 'o', 'ow', '100.64.0.8', 'fd00::8');
INSERT INTO resources (id, account_id, name, type, address) VALUES ('{uid(0xe, 7)}',
    '{OTHER_ACCOUNT}', 'o', 'dns', 'o.example.com');
INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES ('{OTHER_ACCOUNT}',
    '{uid(0xe, 7)}', '{uid(0x5, 7)}');
INSERT INTO policies (account_id, actor_group_id, resource_id) VALUES ('{OTHER_ACCOUNT}',
    '{uid(0x9, 7)}', '{uid(0xe, 7)}');
"""


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Portal(unittest.TestCase):
    database = None  # a name of its own

    def setUp(self):
        self.house = House(self.database)
        self.addCleanup(self.house.close)
        self.house.load('portal/example/schema.sql')
        self.house.sql(WORLD)
        self.house.fatwald(publication='portal')
        (self.house.folder / 'secret').write_text('0123456789abcdef0123456789abcdef\n')
        self.ports = {}
        self.processes = {}

    def channel(self, name='channel', wait=True, environment=None, **settings):
        """A process fatwal-channel; when this returns devices can connect."""
        ready = self.house.folder / f'{name}.ready'
        ready.unlink(missing_ok=True)
        settings = {
            'database': self.house.conninfo(),
            'publication': 'portal',
            'control': self.house.control,
            'listen': '127.0.0.1:0',
            'secret-file': self.house.folder / 'secret',
            'name': name,
            'ready-file': ready,
            'admin-socket': self.admin(name),
            'drain-s': '1',
            'flow-batch-ms': '50',
        } | settings
        arguments = [part for key, value in settings.items() for part in (f'--{key}', value)]
        process = self.processes[name] = self.house.start(
            [BUILD / 'portal' / 'process' / 'fatwal-channel', *arguments], name, environment
        )
        if wait:
            until(
                lambda: ready.exists() and ready.read_text().strip() or process.poll() is not None,
                f'{name} to listen',
            )
            self.assertIsNone(process.poll(), self.house.read(f'{name}.err'))
            self.ports[name] = int(ready.read_text())
        return process

    def open_transaction(self, statement):
        """A session whose transaction has run the statement, and stays open."""
        session = self.house.session()
        session.run('BEGIN', statement)
        until(
            lambda: self.house.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND"
                " datname = current_database()"
            )
            == '1',
            'the transaction',
        )
        return session

    def two_processes(self):
        """They know each other when this returns."""
        ends = [f'ipc://{self.house.folder}/fleet-{name}' for name in 'ab']
        for name, own, other in (('a', *ends), ('b', *reversed(ends))):
            self.channel(name, **{'fleet-endpoint': own, 'fleet-peer': other})
        for name in 'ab':
            until(lambda name=name: self.stats(name)['fleet'] == 1, f'{name} to see the other')

    def news(self, process):
        until(
            lambda: self.stats(process)['gateways_online'] == 1, f'{process} to know of the gateway'
        )

    def admin(self, process='channel'):
        return self.house.folder / f'{process}.admin'

    def fatwal_channel(self, *arguments, process='channel'):
        """The lines that `fatwal channel` prints, read as JSON."""
        done = subprocess.run(
            [
                BUILD / 'client' / 'fatwal',
                'channel',
                '--admin-socket',
                self.admin(process),
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def stats(self, process='channel'):
        return self.fatwal_channel('stats', process=process)[0]

    def device(self, role, id, token, account=ACCOUNT, process='channel', secret=SECRET, **options):
        device = Device(
            f'ws://127.0.0.1:{self.ports[process]}',
            role,
            id,
            f"{account or '-'}.{token}.{secret}",
            **options,
        )
        self.addCleanup(device.close)
        return device

    def client(self, process='channel', **options):
        return self.device('client', CLIENT, TOKEN, process=process, **options)

    def gateway(self, process='channel', **options):
        return self.device('gateway', GATEWAY, GATEWAY_TOKEN, process=process, **options)

    def expect(self, device, event, **payload):
        """The next event is this one, with at least this payload; the event."""
        got = device.next()
        self.assertIsNotNone(got, f'closed instead of {event}')
        self.assertEqual(got['event'], event, got)
        for key, value in payload.items():
            self.assertEqual(got['payload'].get(key), value, got)
        return got

    def joined(self, device):
        return self.expect(device, 'init')['payload']

    def expect_end(self, device, reason):
        self.expect(device, 'disconnect', reason=reason)
        self.assertIsNone(device.next())

    def quiet(self, device, what='nothing'):
        """Nothing has come; shown by a change that comes behind it."""
        try:
            got = device.next(timeout=0.4)
        except queue.Empty:
            return
        self.fail(f'{got} instead of {what}')

    def shown(self, init):
        return [resource['name'] for resource in init['resources']]

    def flow(self, client, gateway):
        """A flow from the client through the gateway to r1; its authorization."""
        client.send('create_flow', {'resource_id': R1, 'connected_gateway_ids': []})
        authorization = self.expect(gateway, 'authorize_flow')['payload']
        self.assertEqual(authorization['client']['id'], CLIENT)
        gateway.send('flow_authorized', {'ref': authorization['ref']})
        created = self.expect(client, 'flow_created', resource_id=R1, gateway_id=GATEWAY)['payload']
        self.assertEqual(created['preshared_key'], authorization['client']['preshared_key'])
        until(lambda: self.house.sql('SELECT count(*) FROM flows') == '1', 'the row of the flow')
        return authorization

    def other_client(self, **options):
        return self.device('client', uid(0xC, 7), uid(0x70, 8), account=OTHER_ACCOUNT, **options)

    def other_gateway(self, **options):
        return self.device('gateway', uid(0x6, 7), uid(0x70, 9), account=OTHER_ACCOUNT, **options)

    def authorized(self, client, gateway, resource=R1):
        """Asks for a flow, which the gateway takes; its row is on its way."""
        client.send('create_flow', {'resource_id': resource, 'connected_gateway_ids': []})
        gateway.send(
            'flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']}
        )
        self.expect(client, 'flow_created', resource_id=resource)

    def flows(self, account):
        return int(self.house.sql(f"SELECT count(*) FROM flows WHERE account_id = '{account}'"))
