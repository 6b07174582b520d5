"""A random walk of a fleet: two processes fatwal-channel, one fatwald, a real Postgres, and devices
that move between the processes, while an administrator changes the account and faults come.

A round is a number of random steps and then a quiet point: all that was broken is mended, and an
oracle in the database (test/access/oracle.sql) says what each device should have. Four things
hold:

 1. Within `BOUND` seconds of the quiet point each gateway lets through what is granted and no more,
    each client is shown what it may reach, and who may not be connected is not.
 2. In a round without faults a revocation is effective at its gateway within `PROMPT` seconds.
 3. At a quiet point every client gets every flow that it asks for.
 4. What stood at one quiet point and was granted all the time until the next was never rejected.

The steps of a walk depend on its seed; how they fall together with what the processes do does
not.
"""
import asyncio
import collections
import contextlib
import datetime
import json
import pathlib
import queue
import random
import signal
import sysconfig
import threading
import time

from device import Device
from house import position, until  # noqa: F401
from portal import ACCOUNT, HASH, Portal, SECRET, uid

PROCESSES = 'ab'
CLIENTS, GATEWAYS, SITES, RESOURCES, GROUPS, POLICIES = 8, 4, 3, 10, 5, 18
PROMPT = 5  # s, a revocation without faults
# s, from the quiet point. After several truncates in a row an account's next snapshot is taken only
# after a pause of up to a minute (portal/process/pause.h), for which it stands as it was.
BOUND = 75
ANSWERS = 20  # s, to a request for a flow: longer than a client's patience
ADDRESSES = ('10.1.0.7', '10.2.0.7', '192.0.2.7')
CLOCKS = (0, 0, 7200, 3600, -600, 90)
FAKETIME = pathlib.Path(
    '/usr/lib', sysconfig.get_config_var('MULTIARCH') or '', 'faketime/libfaketimeMT.so.1'
)


def client_id(n):
    return uid(0xC, 100 + n)


def gateway_id(n):
    return uid(0x6, 100 + n)


def resource_id(n):
    return uid(0xE, 100 + n)


def site_id(n):
    return uid(0x5, 100 + n)


def group_id(n):
    return uid(0x9, 100 + n)


def actor_id(n):
    return uid(0xAC, 100 + n)


def policy_id(n):
    return uid(0xB, 100 + n)


def site_token(n):
    return uid(0x70, 1000 + n)


class Violation(AssertionError):
    pass


class Agent(threading.Thread):
    """A device's owner: connects it, again and again, and keeps what it gets."""

    def __init__(self, walk, role, id):
        super().__init__(daemon=True)
        self.walk, self.role, self.id = walk, role, id
        self.at = 'a'  # the process to connect to
        self.token = None  # for the next connection
        self.came_with = None  # the token of the connection of now
        self.address = ADDRESSES[0]
        self.device = None  # of now
        self.earlier = []  # whose place has been taken
        self.orders = queue.Queue()
        self.lock = threading.Lock()
        # client: payload by resource; gateway: the pair's expiry by (client, resource)
        self.told = {}
        # Pairs whose end a clock has passed that was set back since: the process may have rejected
        # them.
        self.doubtful = set()
        self.clock_at_join = 0  # of its process: what had ended by it was not loaded
        self.process = None  # of the device
        self.joined = False
        self.refusals = collections.Counter()
        self.answers = queue.Queue()  # (event, resource)
        self.rejected = []  # (client, resource, received at)
        self.history = collections.deque(maxlen=400)
        self.may_connect_at = 0
        self.stopping = False
        self.random = random.Random(id)

    def run(self):
        while not self.stopping:
            with contextlib.suppress(queue.Empty):
                self.orders.get_nowait()()
            if self.device is None:
                if time.monotonic() >= self.may_connect_at:
                    self.connect()
                else:
                    time.sleep(0.02)
                continue
            try:
                event = self.device.next(0.05)
            except queue.Empty:
                continue
            self.take(event)

    def note(self, *words):
        self.history.append((time.time(), *words))

    def take(self, event):
        if event is None:
            with self.lock:
                self.note('closed', self.process, self.device.close_code)
                self.device, self.joined = None, False
            self.may_connect_at = time.monotonic() + self.random.uniform(0.1, 0.6)
            return
        name, payload = event['event'], event['payload']
        with self.lock:
            self.note(
                name,
                self.process,
                {
                    k: v
                    for k, v in payload.items()
                    if k in ('id', 'resource_id', 'client_id', 'reason', 'expires_at')
                },
            )
            if name == 'init':
                self.joined = True
                if self.role == 'client':
                    self.told = {r['id']: r for r in payload['resources']}
                else:
                    self.told = {
                        (a['client_id'], a['resource_id']): a['expires_at']
                        for a in payload['authorizations']
                    }
            elif name == 'resource_created_or_updated':
                self.told[payload['id']] = payload
            elif name == 'resource_deleted':
                self.told.pop(payload['id'], None)
            elif name == 'authorize_flow':
                self.told[payload['client']['id'], payload['resource']['id']] = payload[
                    'expires_at'
                ]
            elif name == 'access_authorization_expiry_updated':
                self.told[payload['client_id'], payload['resource_id']] = payload['expires_at']
            elif name == 'reject_access':
                pair = payload['client_id'], payload['resource_id']
                if self.has_ended(self.told.pop(pair, None), self.walk.clock[self.process]):
                    self.doubtful.add(pair)
                self.rejected.append(
                    (payload['client_id'], payload['resource_id'], event['received_at'])
                )
            elif name in ('flow_created', 'flow_creation_failed'):
                self.answers.put((name, payload['resource_id'], payload.get('reason')))
            elif name == 'disconnect':
                self.refusals[payload['reason']] += 1
                # Of a gateway that is there twice the owner ends the one that was first.
                leaving = (
                    [d for d in self.earlier if not d.silent]
                    if payload['reason'] == 'already_connected'
                    else []
                )
                # The process that it goes to next, as a balancer would choose.
                if payload['reason'] in ('going_away', 'try_again'):
                    self.at = self.random.choice(PROCESSES)
        if name == 'disconnect':
            for device in leaving:
                device.close()
        if name == 'authorize_flow':
            with contextlib.suppress(Exception):
                self.device.send('flow_authorized', {'ref': payload['ref']})

    @staticmethod
    def has_ended(end, clock):
        return end is not None and end <= time.time() + clock

    def connect(self):
        process, token = self.at, self.token
        try:
            device = Device(
                f'ws://127.0.0.1:{self.walk.ports[process]}',
                self.role,
                self.id,
                f'{ACCOUNT}.{token}.{SECRET}',
                headers={'X-Forwarded-For': self.address},
                open_timeout=1.5,
            )
        except Exception as error:  # the process is away, or paused
            self.note('no connection', process, repr(error)[:80])
            self.may_connect_at = time.monotonic() + 0.3
            self.at = self.random.choice(PROCESSES)
            return
        device.silent = False
        with self.lock:
            self.note('connected', process, token)
            self.device, self.process, self.joined, self.doubtful = device, process, False, set()
            self.came_with = token
            self.clock_at_join = self.walk.clock[process]

    # What the walk asks of it, done by its own thread.
    def move(self, process, overlap):
        def go():
            self.at = process
            if self.device is not None:
                with self.lock:
                    self.earlier.append(self.device)
                    old, self.device, self.joined = self.device, None, False
                if not overlap:
                    old.close()
            self.may_connect_at = 0

        self.orders.put(go)

    def fall_silent(self, seconds):
        """Its machine is gone without a word: nothing is read or answered any more."""

        def go():
            if self.device is None:
                return
            with self.lock:
                self.earlier.append(self.device)
                old, self.device, self.joined = self.device, None, False
            old.silent = True
            old._loop.call_soon_threadsafe(time.sleep, seconds)
            # It is never heard of again.
            asyncio.run_coroutine_threadsafe(old._socket.close(), old._loop)
            self.may_connect_at = 0

        self.orders.put(go)

    def ask(self, resource, connected=()):
        def go():
            if self.device is not None and self.joined:
                with contextlib.suppress(Exception):
                    self.device.send(
                        'create_flow',
                        {'resource_id': resource, 'connected_gateway_ids': list(connected)},
                    )

        self.orders.put(go)

    def session_count(self):
        """Connections that stand, by what the device sees."""
        self.earlier = [d for d in self.earlier if d._thread.is_alive()]
        return len(self.earlier) + (1 if self.device is not None else 0)

    def stop(self):
        self.stopping = True
        self.join(20)
        for device in [*self.earlier, *([self.device] if self.device else [])]:
            device.close()


class Fleet(Portal):
    """The walk itself; a test and test/fault/channels run it."""

    def runTest(self):
        pass

    def begin(self, seed, say=None):
        self.seed, self.random, self.say = seed, random.Random(seed), say or (lambda *words: None)
        self.figures = collections.Counter()
        self.latencies, self.settled = [], []
        self.paused, self.locks, self.generation = {}, [], collections.Counter()
        self.clock = dict.fromkeys(PROCESSES, 0)
        self.log = collections.deque(maxlen=300)
        self.numbers = iter(range(10_000, 1_000_000))
        self.house.sql(f'ALTER DATABASE {self.house.database} SET jit = off')
        self.house.load('test/access/oracle.sql', 'test/access/fleet_walk.sql')
        self.fatwald_process = self.house.processes[0]
        self.make_world()
        ends = {name: f'ipc://{self.house.folder}/fleet-{name}' for name in PROCESSES}
        self.options = {
            name: {
                'fleet-endpoint': ends[name],
                'fleet-peer': ends['b' if name == 'a' else 'a'],
                'trusted-proxy': '127.0.0.0/8',
                'stale-after-s': '3',
            }
            for name in PROCESSES
        }
        for name in PROCESSES:
            self.start(name)
        self.agents = [*self.clients, *self.gateways]
        for agent in self.agents:
            agent.at = self.random.choice(PROCESSES)
            agent.start()
            self.addCleanup(agent.stop)

    def make_world(self):
        r = self.random
        s = [
            f"INSERT INTO sites (id, account_id, name) VALUES ('{site_id(n)}', '{ACCOUNT}', 'site"
            f" {n}');INSERT INTO tokens (id, account_id, type, site_id, secret_hash) VALUES"
            f" ('{site_token(n)}', '{ACCOUNT}', 'gateway', '{site_id(n)}', {HASH})"
            for n in range(SITES)
        ]
        s += [
            f"INSERT INTO actor_groups (id, account_id, name) VALUES ('{group_id(n)}', '{ACCOUNT}',"
            f" 'group {n}')"
            for n in range(GROUPS)
        ]
        self.clients, self.gateways = [], []
        for n in range(CLIENTS):
            s.append(
                f"INSERT INTO actors (id, account_id, name) VALUES ('{actor_id(n)}', '{ACCOUNT}',"
                f" 'actor {n}')"
            )
            s.append(self.client_row(n))
            self.clients.append(Agent(self, 'client', client_id(n)))
            self.clients[n].token = uid(0x70, next(self.numbers))
            s.append(self.token_row(n, self.clients[n].token))
            s += [self.membership_row(n, group) for group in r.sample(range(GROUPS), 2)]
        self.site_of = {}
        for n in range(GATEWAYS):
            self.gateways.append(Agent(self, 'gateway', gateway_id(n)))
            self.site_of[n] = n % SITES
            self.gateways[n].token = site_token(n % SITES)
            s.append(self.gateway_row(n))
        for n in range(RESOURCES):
            s.append(
                "INSERT INTO resources (id, account_id, name, type, address) VALUES"
                f" ('{resource_id(n)}', '{ACCOUNT}', 'r{n}', 'dns', 'r{n}.example.com')"
            )
            s.append(
                "INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES"
                f" ('{ACCOUNT}', '{resource_id(n)}', '{site_id(n % SITES)}')"
            )
        s += [self.policy_row(n) for n in range(POLICIES)]
        self.house.sql(*s)

    def client_row(self, n):
        key = next(self.numbers)
        return (
            "INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key, ipv4,"
            f" ipv6) VALUES ('{client_id(n)}', '{ACCOUNT}', '{actor_id(n)}', 'x{n}', 'c{n}',"
            f" 'k{key}', '100.65.0.{n + 1}', 'fd00:1::{n + 1}')"
        )

    def gateway_row(self, n):
        return (
            "INSERT INTO gateways (id, account_id, site_id, external_id, name, public_key, ipv4,"
            f" ipv6) VALUES ('{gateway_id(n)}', '{ACCOUNT}', '{site_id(self.site_of[n])}', 'y{n}',"
            f" 'w{n}', 'kw{n}', '100.66.0.{n + 1}', 'fd00:2::{n + 1}')"
        )

    def token_row(self, n, token):
        # Some end within an hour, which a clock that is set passes.
        end = self.random.choice(('NULL', 'NULL', "now() + interval '1 hour'"))
        return (
            "INSERT INTO tokens (id, account_id, type, actor_id, secret_hash, expires_at) VALUES"
            f" ('{token}', '{ACCOUNT}', 'client', '{actor_id(n)}', {HASH}, {end})"
        )

    def membership_row(self, actor, group):
        return (
            "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
            f" ('{ACCOUNT}', '{actor_id(actor)}', '{group_id(group)}') ON CONFLICT DO NOTHING"
        )

    def policy_row(self, n):
        r = self.random
        conditions = "'{}'"
        kind = r.randrange(6)
        if kind == 0:
            values = json.dumps(
                {
                    'property': 'remote_ip',
                    'operator': r.choice(('is_in_cidr', 'is_not_in_cidr')),
                    'values': ['10.1.0.0/16'],
                }
            )
            conditions = f"ARRAY['{values}']::jsonb[]"
        elif kind == 1:
            # A window that is open for two or three hours.
            now = datetime.datetime.now(datetime.timezone.utc)
            hours = f"{now.hour:02}:00-{min(now.hour + 2, 23):02}:59"
            values = json.dumps(
                {
                    'property': 'current_utc_datetime',
                    'operator': 'is_in_day_of_week_time_ranges',
                    'values': [f'{day}/{hours}/UTC' for day in 'MTWRFSU'],
                }
            )
            conditions = f"ARRAY['{values}']::jsonb[]"
        elif kind == 2:
            conditions = (
                """ARRAY['{"property": "client_verified", "operator": "is","""
                """ "values": ["true"]}']::jsonb[]"""
            )
        return (
            "INSERT INTO policies (id, account_id, actor_group_id, resource_id, conditions) VALUES"
            f" ('{policy_id(n)}', '{ACCOUNT}', '{group_id(r.randrange(GROUPS))}',"
            f" '{resource_id(n % RESOURCES)}', {conditions}) ON CONFLICT DO NOTHING"
        )

    # Processes ----------------------------------------------------------------------------------

    def clock_file(self, name):
        return self.house.folder / f'{name}.clock'

    def start(self, name):
        self.clock_file(name).write_text(f'{self.clock[name]:+}\n')
        for end in ('err', 'out'):
            old = self.house.folder / f'{name}.{end}'
            if old.exists():
                self.generation[name] += 1
                old.rename(self.house.folder / f'{name}.{end}.{self.generation[name]}')
        self.channel(name, environment=faketime(self.clock_file(name)), **self.options[name])

    def restart_fatwald(self):
        self.generation['fatwald'] += 1
        (self.house.folder / 'fatwald.err').rename(
            self.house.folder / f"fatwald.err.{self.generation['fatwald']}"
        )
        self.fatwald_process = self.house.fatwald(publication='portal')

    def process_of(self, name):
        return self.processes[name]

    def healthy(self):
        return (
            not self.paused
            and not self.locks
            and self.fatwald_process.poll() is None
            and all(self.processes[n].poll() is None for n in PROCESSES)
        )

    # Steps --------------------------------------------------------------------------------------

    def clocks(self):
        return (
            'ARRAY[now(), '
            + ', '.join(f"now() + interval '{self.clock[n]} seconds'" for n in PROCESSES)
            + ']'
        )

    def change(self, what, *statements):
        """One transaction of the administrator; what it takes away has a cause then."""
        self.log.append((time.time(), what))
        for _ in range(20):
            try:
                self.house.sql(
                    'BEGIN; SET LOCAL lock_timeout = 0; '
                    + '; '.join(statements)
                    + f'; SELECT fleet_walk.note({self.clocks()}); COMMIT'
                )
                break
            except AssertionError as error:
                if 'deadlock detected' not in str(error):
                    raise
        self.figures[what] += 1

    def step(self, faults):
        kinds = CHANGES + FAULTS if faults else CHANGES
        kind = self.random.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
        getattr(self, kind)()
        return kind

    def some_client(self):
        return self.random.randrange(CLIENTS)

    def policy_off(self):
        n = self.random.randrange(POLICIES)
        self.change(
            'policy_off', f"UPDATE policies SET disabled_at = now() WHERE id = '{policy_id(n)}'"
        )

    def policy_on(self):
        self.change('policy_on', "UPDATE policies SET disabled_at = NULL WHERE random() < 0.7")

    def policy_deleted(self):
        self.change(
            'policy_deleted',
            f"DELETE FROM policies WHERE id = '{policy_id(self.random.randrange(POLICIES))}'",
        )

    def policy_made(self):
        self.change(
            'policy_made', *[self.policy_row(n) for n in self.random.sample(range(POLICIES), 6)]
        )

    def policy_moved(self):
        n, group = self.random.randrange(POLICIES), self.random.randrange(GROUPS)
        self.change(
            'policy_moved',
            f"UPDATE policies SET actor_group_id = '{group_id(group)}' WHERE id = '{policy_id(n)}'",
        )

    def member_gone(self):
        self.change(
            'member_gone',
            (
                "DELETE FROM actor_group_memberships WHERE id = (SELECT id FROM"
                f" actor_group_memberships WHERE actor_id = '{actor_id(self.some_client())}' ORDER"
                " BY group_id LIMIT 1)"
            ),
        )

    def member_added(self):
        self.change(
            'member_added',
            *[
                self.membership_row(self.some_client(), self.random.randrange(GROUPS))
                for _ in range(3)
            ],
        )

    def token_gone(self):
        n = self.some_client()
        agent, new = self.clients[n], uid(0x70, next(self.numbers))
        # Its flows go with it, whatever else grants them.
        self.change(
            'token_gone',
            f"SELECT fleet_walk.excuse('token deleted', '{client_id(n)}', NULL)",
            f"DELETE FROM tokens WHERE id = '{agent.token}'",
            self.token_row(n, new),
        )
        agent.token = new

    def token_expires(self):
        n = self.some_client()
        agent, new = self.clients[n], uid(0x70, next(self.numbers))
        self.change(
            'token_expires',
            f"SELECT fleet_walk.excuse('token expires', '{client_id(n)}', NULL)",
            (
                "UPDATE tokens SET expires_at = now() + interval"
                f" '{self.random.choice((0, 1, 2))} seconds' WHERE id = '{agent.token}'"
            ),
            self.token_row(n, new),
        )
        agent.token = new

    def client_gone(self):
        n = self.some_client()
        self.change(
            'client_gone',
            f"DELETE FROM clients WHERE id = '{client_id(n)}'",
            f"UPDATE tokens SET device_id = NULL WHERE id = '{self.clients[n].token}'",
        )
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 0.5))
        self.change('client_made', self.client_row(n) + ' ON CONFLICT DO NOTHING')

    def key_changed(self):
        n = self.some_client()
        column = self.random.choice(
            (
                f"public_key = 'k{next(self.numbers)}'",
                f"ipv4 = '100.67.{self.random.randrange(250)}.{n + 1}'",
            )
        )
        self.change(
            'key_changed',
            f"SELECT fleet_walk.excuse('key changed', '{client_id(n)}', NULL)",
            f"UPDATE clients SET {column} WHERE id = '{client_id(n)}'",
        )

    def verified(self):
        n = self.some_client()
        self.change(
            'verified',
            (
                "UPDATE clients SET verified_at = CASE WHEN verified_at IS NULL THEN now() END"
                f" WHERE id = '{client_id(n)}'"
            ),
        )

    def address_changed(self):
        n = self.random.randrange(RESOURCES)
        self.change(
            'address_changed',
            f"SELECT fleet_walk.excuse('another target', NULL, '{resource_id(n)}')",
            (
                f"UPDATE resources SET address = 'r{n}-{next(self.numbers)}.example.com' WHERE id ="
                f" '{resource_id(n)}'"
            ),
        )

    def renamed(self):
        n = self.random.randrange(RESOURCES)
        self.change(
            'renamed',
            (
                f"UPDATE resources SET name = 'name {next(self.numbers)}' WHERE id ="
                f" '{resource_id(n)}'"
            ),
        )

    def site_left(self):
        n, site = self.random.randrange(RESOURCES), self.random.randrange(SITES)
        self.change(
            'site_left',
            (
                f"DELETE FROM resource_connections WHERE resource_id = '{resource_id(n)}' AND"
                f" site_id = '{site_id(site)}'"
            ),
        )

    def site_joined(self):
        self.change(
            'site_joined',
            *[
                "INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES"
                f" ('{ACCOUNT}', '{resource_id(n)}', '{site_id(self.random.randrange(SITES))}') ON"
                " CONFLICT DO NOTHING"
                for n in self.random.sample(range(RESOURCES), 4)
            ],
        )

    def gateway_moved_site(self):
        n = self.random.randrange(GATEWAYS)
        self.site_of[n] = self.random.randrange(SITES)
        self.change(
            'gateway_moved_site',
            (
                f"UPDATE gateways SET site_id = '{site_id(self.site_of[n])}' WHERE id ="
                f" '{gateway_id(n)}'"
            ),
        )
        self.gateways[n].token = site_token(self.site_of[n])

    def gateway_gone(self):
        n = self.random.randrange(GATEWAYS)
        self.change('gateway_gone', f"DELETE FROM gateways WHERE id = '{gateway_id(n)}'")
        time.sleep(self.random.uniform(0, 0.5))
        self.change('gateway_made', self.gateway_row(n))

    def actor_off(self):
        n = self.some_client()
        self.change(
            'actor_off',
            (
                "UPDATE actors SET disabled_at = CASE WHEN disabled_at IS NULL THEN now() END"
                f" WHERE id = '{actor_id(n)}'"
            ),
        )

    def account_off(self):
        self.change(
            'account_off', f"UPDATE accounts SET disabled_at = now() WHERE id = '{ACCOUNT}'"
        )
        time.sleep(self.random.uniform(0, 1))
        self.change('account_on', f"UPDATE accounts SET disabled_at = NULL WHERE id = '{ACCOUNT}'")

    def flows_deleted(self):
        self.change(
            'flows_deleted', f'DELETE FROM flows WHERE random() < {self.random.choice((0.1, 0.3))}'
        )

    def truncated(self):
        how = self.random.choice(('flows', 'flows back', 'connections', 'policies'))
        if how == 'flows':
            self.change('truncated', 'TRUNCATE flows')
        elif how == 'flows back':
            # Nothing is taken away.
            self.change(
                'truncated',
                'CREATE TEMP TABLE keep ON COMMIT DROP AS SELECT * FROM flows',
                "SET LOCAL fleet_walk.comes_back = 'yes'",
                'TRUNCATE flows',
                'INSERT INTO flows SELECT * FROM keep',
            )
        elif how == 'connections':
            self.change(
                'truncated',
                'CREATE TEMP TABLE keep ON COMMIT DROP AS SELECT * FROM resource_connections',
                'TRUNCATE resource_connections',
                'INSERT INTO resource_connections SELECT * FROM keep WHERE random() < 0.8',
            )
        else:
            self.change(
                'truncated',
                'CREATE TEMP TABLE keep ON COMMIT DROP AS SELECT * FROM policies',
                'TRUNCATE policies CASCADE',
                'INSERT INTO policies SELECT * FROM keep WHERE random() < 0.8',
            )

    def move_client(self):
        n = self.some_client()
        agent = self.clients[n]
        if self.random.random() < 0.3:
            agent.address = self.random.choice(ADDRESSES)
            self.change(
                'another network',
                *[
                    f"SELECT fleet_walk.excuse('another network', '{client_id(n)}',"
                    f" '{resource_id(r)}')"
                    for r in range(RESOURCES)
                ],
            )
        self.figures['move_client'] += 1
        agent.move(self.random.choice(PROCESSES), self.random.random() < 0.6)

    def move_gateway(self):
        agent = self.random.choice(self.gateways)
        self.figures['move_gateway'] += 1
        if self.random.random() < 0.3:
            agent.at = self.random.choice(PROCESSES)
            agent.fall_silent(self.random.uniform(2, 6))
        else:
            agent.move(self.random.choice(PROCESSES), self.random.random() < 0.3)

    def ask_flows(self):
        for agent in self.random.sample(self.clients, 3):
            with agent.lock:
                shown = list(agent.told)
            for resource in self.random.sample(shown, min(2, len(shown))):
                agent.ask(resource)
        self.figures['ask_flows'] += 1

    # Faults -------------------------------------------------------------------------------------

    def pause(self):
        name = self.random.choice(PROCESSES)
        if name in self.paused or self.processes[name].poll() is not None:
            return
        self.log.append((time.time(), f'pause {name}'))
        self.processes[name].send_signal(signal.SIGSTOP)
        self.paused[name] = time.monotonic() + self.random.choice((1, 3.5, 4, 6))
        self.figures['pause'] += 1

    def kill(self):
        name = self.random.choice(PROCESSES)
        if name in self.paused or self.processes[name].poll() is not None:
            return
        self.log.append((time.time(), f'kill {name}'))
        self.house.stop(self.processes[name], signal.SIGKILL)
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 1))
        self.start(name)
        self.figures['kill'] += 1

    def restart(self):
        name = self.random.choice(PROCESSES)
        if name in self.paused or self.processes[name].poll() is not None:
            return
        self.log.append((time.time(), f'restart {name}'))
        self.house.stop(self.processes[name], signal.SIGTERM)
        self.start(name)
        self.figures['restart'] += 1

    def kill_fatwald(self):
        self.log.append((time.time(), 'fatwald'))
        self.house.stop(self.fatwald_process, self.random.choice((signal.SIGKILL, signal.SIGTERM)))
        time.sleep(self.random.choice((0, 0.5, 4)))
        self.restart_fatwald()
        self.figures['kill_fatwald'] += 1

    def set_clock(self):
        name = self.random.choice(PROCESSES)
        if not FAKETIME.exists():
            return
        before, old = self.clocks(), self.clock[name]
        self.clock[name] = self.random.choice(CLOCKS)
        for agent in self.gateways:
            with agent.lock:
                if agent.process == name:
                    agent.doubtful |= {
                        pair
                        for pair, end in agent.told.items()
                        if agent.has_ended(end, max(old, self.clock[name]))
                    }
        self.change('set_clock', f'SELECT fleet_walk.note({before})')
        self.clock_file(name).write_text(f'{self.clock[name]:+}\n')
        self.log.append((time.time(), f'clock {name} {self.clock[name]}'))

    def lock(self):
        """A transaction that takes its time; the writers of flows go round it."""
        session = self.house.session()
        what = self.random.choice(
            (
                (
                    "UPDATE policies SET description = 'x' WHERE id ="
                    f" '{policy_id(self.random.randrange(POLICIES))}'"
                ),
                'LOCK TABLE flows IN SHARE MODE',
                (
                    "DELETE FROM resources WHERE id ="
                    f" '{resource_id(self.random.randrange(RESOURCES))}'"
                ),
            )
        )
        session.run(
            'BEGIN', what, f'SELECT pg_sleep({self.random.uniform(0.2, 1.5):.2f})', 'ROLLBACK'
        )
        self.locks.append((session, time.monotonic() + 2))
        self.figures['lock'] += 1

    def tend(self):
        """Ends what has lasted long enough."""
        for name, end in list(self.paused.items()):
            if time.monotonic() >= end:
                self.processes[name].send_signal(signal.SIGCONT)
                del self.paused[name]
        for session, end in list(self.locks):
            if time.monotonic() >= end:
                session.close()
                self.house.sessions.remove(session)
                self.locks.remove((session, end))

    def mend(self):
        while self.paused or self.locks:
            self.tend()
            time.sleep(0.02)

    # The oracle ---------------------------------------------------------------------------------

    def at_clock(self, process):
        return f"now() + interval '{self.clock[process or 'a']} seconds'"

    def should(self):
        """What each agent's device should have."""
        parts = []
        for agent in self.agents:
            parts.append(
                f"fleet_walk.{agent.role}_should('{agent.id}', '{agent.token}',"
                f" {self.at_clock(agent.process)})"
            )
        return json.loads(self.house.sql(f"SELECT jsonb_build_array({', '.join(parts)})"))

    def differences(self):
        """Where devices and the oracle differ; empty when all is well. Two readings of the devices
        with the oracle's between them agree, or it was asked amid a change."""
        before = [(agent.process, agent.joined) for agent in self.agents]
        should = self.should()
        out = []
        for agent, wanted, seen in zip(self.agents, should, before):
            who = f'{agent.role} {agent.id[-3:]} at {agent.process}'
            with agent.lock:
                told, joined, process, doubtful = (
                    dict(agent.told),
                    agent.joined,
                    agent.process,
                    set(agent.doubtful),
                )
            if (process, joined) != seen:
                out.append(f'{who}: moving')
                continue
            if joined != wanted['may']:
                found = 'connected, and may not be' if joined else 'not connected'
                out.append(f'{who}: {found} {dict(agent.refusals)}')
                continue
            if agent.session_count() != (1 if joined else 0) and agent.role == 'client' and joined:
                out.append(f'{who}: {agent.session_count()} sessions')
            if not joined:
                continue
            if agent.role == 'client':
                for id in sorted(set(told) | set(wanted['shown'])):
                    if told.get(id) != wanted['shown'].get(id):
                        shown = 'shown' if id in told else 'not shown'
                        right = 'shown' if id in wanted['shown'] else 'not'
                        if id in told and id in wanted['shown']:
                            right = 'otherwise'
                        out.append(f'{who}: resource {id[-3:]} is {shown}, should be {right}')
            else:
                now = time.time() + self.clock[process]
                granted = {(c, r): own for c, r, justified, own in wanted['pairs'] if justified}
                rows = {(c, r) for c, r, *_ in wanted['pairs']}
                if self.clock[process] < agent.clock_at_join:
                    doubtful |= rows - set(told)
                through = {pair for pair, end in told.items() if end is None or end > now}
                out += [
                    f'{who}: lets {c[-3:]} through to {r[-3:]}'
                    for c, r in sorted(through - set(granted))
                ]
                out += [
                    f'{who}: does not let {c[-3:]} through to {r[-3:]}'
                    for c, r in sorted(set(granted) - set(told) - doubtful)
                ]
                out += [
                    f'{who}: {c[-3:]} to {r[-3:]} stands on a row that is no good'
                    for (c, r), own in sorted(granted.items())
                    if not own and (c, r) not in doubtful
                ]
                out += [
                    f'{who}: a row for {c[-3:]} to {r[-3:]} is left'
                    for c, r in sorted(rows - set(granted) - doubtful)
                ]
        return out

    def not_ready(self):
        """Processes that grant nothing new, as they wait for a snapshot (after fatwald was
        away), or that do not know of all gateways yet (after one of them was paused)."""
        stats = {name: self.stats(name) for name in PROCESSES}
        online = sum(agent.joined for agent in self.gateways)
        return [
            f'{name}: {s["accounts_live"]} of {s["accounts"]} accounts are live,'
            f' {s["gateways_online"]} of {online} gateways known'
            for name, s in stats.items()
            if s['accounts_live'] < s['accounts'] or s['gateways_online'] != online
        ]

    def settle(self, why):
        start = time.monotonic()
        while True:
            self.tend()
            wrong = self.differences() or self.not_ready()
            if not wrong:
                break
            if time.monotonic() - start > BOUND:
                self.violated(f'{why}: after {BOUND} s\n  ' + '\n  '.join(wrong))
            time.sleep(0.1)
        took = time.monotonic() - start
        self.settled.append(took)
        return took

    def ask_for_all(self):
        """Each client asks for what it is shown and gets it."""
        asked = []
        online = {self.site_of[n] for n, agent in enumerate(self.gateways) if agent.joined}
        sites = json.loads(
            self.house.sql(
                "SELECT coalesce(jsonb_agg(jsonb_build_array(resource_id, site_id)), '[]') FROM"
                " resource_connections"
            )
        )
        served = {r for r, s in sites if s in {site_id(n) for n in online}}
        for agent in self.clients:
            while not agent.answers.empty():
                agent.answers.get()
            if not agent.joined:
                continue
            with agent.lock:
                shown = [id for id in agent.told if id in served]
            wanted = self.random.sample(shown, min(4, len(shown)))
            for resource in wanted:
                agent.ask(resource)
            asked.append((agent, set(wanted)))
        end = time.monotonic() + ANSWERS
        for agent, wanted in asked:
            while wanted:
                try:
                    name, resource, reason = agent.answers.get(
                        timeout=max(0.01, end - time.monotonic())
                    )
                except queue.Empty:
                    self.violated(
                        f'client {agent.id[-3:]} at {agent.process} had no answer for'
                        f' {[r[-3:] for r in wanted]}'
                    )
                if resource in wanted:
                    if (
                        name != 'flow_created'
                        and self.house.sql(
                            f"SELECT fleet_walk.granted_by_all('{agent.id}', '{agent.came_with}',"
                            f" '{resource}', {self.clocks()})"
                        )
                        == 't'
                    ):
                        self.violated(
                            f'client {agent.id[-3:]} at {agent.process} is refused {resource[-3:]}:'
                            f' {reason}'
                        )
                    wanted.discard(resource)
                    self.figures['flows'] += 1

    def check_what_stood(self):
        """Nothing that was granted all the time was taken away."""
        excused = {
            tuple(x[:3]): x[3]
            for x in json.loads(
                self.house.sql(
                    "SELECT coalesce(jsonb_agg(jsonb_build_array(gateway_id, client_id,"
                    " resource_id, cause)), '[]') FROM fleet_walk.excused"
                )
            )
        }
        standing = {
            tuple(x)
            for x in json.loads(
                self.house.sql(
                    "SELECT coalesce(jsonb_agg(jsonb_build_array(gateway_id, client_id,"
                    " resource_id)), '[]') FROM fleet_walk.standing"
                )
            )
        }
        for agent in self.gateways:
            for client, resource, at in agent.rejected:
                pair = (agent.id, client, resource)
                self.figures['rejected'] += 1
                if pair in standing and pair not in excused:
                    self.violated(
                        f'gateway {agent.id[-3:]} rejected {client[-3:]} to {resource[-3:]} without'
                        f' a cause at {at / 1e6:.3f}'
                    )
            agent.rejected.clear()
            if agent.joined:
                for gateway, client, resource in standing - set(excused):
                    if gateway == agent.id and (client, resource) not in agent.told:
                        self.violated(
                            f'gateway {gateway[-3:]} lost {client[-3:]} to {resource[-3:]} without'
                            ' a cause'
                        )
        self.figures['stood'] += len(standing - set(excused))

    def quiet_point(self, why):
        self.mend()
        took = self.settle(f'{why}, mended')
        self.change('note', 'SELECT 1')
        self.check_what_stood()
        self.ask_for_all()
        self.settle(f'{why}, after the flows')
        rows = ', '.join(
            f"('{agent.id}'::uuid, '{c}'::uuid, '{r}'::uuid)"
            for agent in self.gateways
            if agent.joined
            for c, r in agent.told
        )
        self.house.sql(
            'TRUNCATE fleet_walk.standing, fleet_walk.excused',
            f'INSERT INTO fleet_walk.standing VALUES {rows}' if rows else 'SELECT 1',
            f'SELECT fleet_walk.note({self.clocks()})',
        )
        return took

    def calm_step(self):
        """A change without faults: how long what it takes away stays let through."""
        before = {agent.id: set(agent.told) for agent in self.gateways}
        start = time.time()
        self.step(False)
        revoked = self.revoked(before)
        slow = revoked
        while slow:
            if time.time() - start > PROMPT:
                self.violated(f'{PROMPT} s after their revocation are let through {slow}')
            time.sleep(0.01)
            slow = {(id, pair) for id, pair in slow if self.lets_through(id, pair)}
            if slow and time.time() - start > 0.5:
                # The row of a flow that was just granted comes later.
                slow &= self.revoked(before)
        if revoked:
            self.latencies.append(time.time() - start)

    def lets_through(self, gateway, pair):
        agent = next(agent for agent in self.gateways if agent.id == gateway)
        with agent.lock:
            if not agent.joined or pair not in agent.told:
                return False
            end = agent.told[pair]
            return end is None or end > time.time() + self.clock[agent.process]

    def revoked(self, before):
        """What gateways let through before and still do, and may not."""
        out = set()
        for agent, wanted in zip(self.agents, self.should()):
            if agent.role == 'gateway' and wanted['may']:
                granted = {(c, r) for c, r, justified, _ in wanted['pairs'] if justified}
                out |= {(agent.id, pair) for pair in before[agent.id] - granted}
        return out

    def round(self, steps, faults):
        for _ in range(steps):
            self.tend()
            if faults:
                self.step(True)
                time.sleep(self.random.choice((0, 0, 0.05, 0.3, 0.8)))
            else:
                self.calm_step()
        self.figures['rounds'] += 1
        return self.quiet_point('faults' if faults else 'calm')

    def violated(self, what):
        recent = '\n'.join(f'    {at:.3f} {what}' for at, what in list(self.log)[-40:])
        devices = '\n'.join(
            f'  {agent.role} {agent.id[-3:]}\n'
            + '\n'.join(f'    {line[0]:.3f} {line[1:]}' for line in list(agent.history)[-25:])
            for agent in self.agents
        )
        rows = self.house.sql(
            "SELECT f.id, right(gateway_id::text, 3), right(client_id::text, 3),"
            " right(resource_id::text, 3), right(policy_id::text, 3), f.expires_at, f.created_at,"
            " f.token_id, t.expires_at FROM flows f JOIN tokens t ON t.id = f.token_id ORDER BY 2,"
            " 3, 4"
        )
        raise Violation(
            f'seed {self.seed}, {time.time():.3f}: {what}\n  steps\n{recent}\n  flows, clocks'
            f' {self.clock}\n{rows}\n{devices}'
        )


# What an administrator and the devices do, and how often.
CHANGES = [
    ('policy_off', 4),
    ('policy_on', 4),
    ('policy_deleted', 2),
    ('policy_made', 4),
    ('policy_moved', 2),
    ('member_gone', 3),
    ('member_added', 4),
    ('token_gone', 2),
    ('token_expires', 2),
    ('client_gone', 1),
    ('key_changed', 2),
    ('verified', 2),
    ('address_changed', 1),
    ('renamed', 2),
    ('site_left', 2),
    ('site_joined', 3),
    ('gateway_moved_site', 1),
    ('gateway_gone', 1),
    ('actor_off', 2),
    ('account_off', 1),
    ('flows_deleted', 2),
    ('move_client', 8),
    ('move_gateway', 5),
    ('ask_flows', 8),
]
# What goes wrong.
FAULTS = [
    ('pause', 5),
    ('kill', 3),
    ('restart', 2),
    ('kill_fatwald', 2),
    ('set_clock', 4),
    ('lock', 3),
    ('truncated', 2),
]


def faketime(file):
    """The environment in which a process's wall clock, and not its steady one, is moved by what
    the file says.
    """
    if not FAKETIME.exists():
        return {}
    return {
        'LD_PRELOAD': str(FAKETIME),
        'FAKETIME_TIMESTAMP_FILE': str(file),
        'FAKETIME_NO_CACHE': '1',
        'FAKETIME_DONT_FAKE_MONOTONIC': '1',
        'DONT_FAKE_MONOTONIC': '1',
    }
