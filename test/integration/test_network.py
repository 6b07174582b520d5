"""Subscribers with keys: what each attempt at what is not granted comes to, and that a revocation
stands in one order with the changes.
"""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

import zmq
import zmq.auth

from house import BUILD, House, position, until
from peer import Peer, Refused, lsn

FORBIDDEN, NOT_ATTACHED = 18, 13
# Connections with keys that are let in; one credential has a quarter of them.
PLACES = 400
# What is to stay away is waited for so long.
SILENCE_MS = 700
REVOCATIONS = int(os.environ.get('FATWAL_REVOCATIONS', '25'))


def curve(socket_, keyring, key_file):
    public, secret = zmq.auth.load_certificate(str(key_file))
    socket_.curve_publickey, socket_.curve_secretkey = public, secret
    socket_.curve_serverkey = keyring.server_key.encode()


class KeyedPeer(Peer):
    """A DEALER with a key on the control endpoint, and one on the data endpoint when it joins."""

    def __init__(self, house, key_file, hold_back=False, reconnects=True):
        self.keyring, self.key_file, self.reconnects = house.keyring, key_file, reconnects
        self.keyed_control, self.keyed_data = house.keyring.listening(house.control)
        super().__init__(self.keyed_control, self.keyed, hold_back)
        self.data = None

    def keyed(self, socket_):
        if not self.reconnects:
            socket_.reconnect_ivl = -1
        curve(socket_, self.keyring, self.key_file)

    def open_data(self, kind=zmq.DEALER):
        self.data = zmq.Context.instance().socket(kind)
        self.data.linger = 0
        self.data.rcvtimeo = 20000
        self.keyed(self.data)
        self.data.connect(self.keyed_data)

    def join(self, nonce):
        """Asks to receive what belongs to this nonce, until its marker has come."""
        if self.data is None:
            self.open_data()
        # fatwald drops what it cannot tell from the last words of a connection that was there
        # before, so a subscriber asks again.
        for _ in range(10):
            self.data.send(b'\x01\xff' + nonce)
            while self.data.poll(2000):
                if self.data.recv_multipart()[0] == b'\xff' + nonce:
                    return
        raise AssertionError('the marker does not come')

    def messages(self):
        """What has come on the data socket: a list of parts each."""
        found = []
        while self.data.poll(0):
            found.append(self.data.recv_multipart())
        return found

    def commits(self, topic):
        """The commit positions of the frames of a topic that have come."""
        return [
            struct.unpack_from('<Q', parts[1], 8)[0]
            for parts in self.messages()
            if len(parts) == 2 and parts[0].startswith(topic) and parts[1][:1] == b'F'
        ]

    def close(self):
        super().close()
        if self.data is not None:
            self.data.close(0)


class Network(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = house = House()
        cls.addClassCleanup(house.close)
        house.sql(
            'CREATE TABLE t (id bigint PRIMARY KEY, account_id bigint, n bigint)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        house.sql("SELECT fatwal.set_account_column('t', 'account_id')")
        cls.worker = house.keyring.credential('worker', "grant('worker', '1')")
        cls.other = house.keyring.credential('other', "grant('other', '2')")
        cls.fatwald = house.fatwald(
            **house.keyring.settings(house.control),
            **{'max-credential-durables': 2, 'max-keyed-connections': PLACES},
        )
        cls.next_id = 0

    def peer(self, key_file):
        peer = KeyedPeer(self.house, key_file)
        self.addCleanup(peer.close)
        return peer

    def credential(self, name, *grants):
        """The key file of a credential that fatwald knows by now."""
        before = int(self.house.status()['credential_keys'])
        path = self.house.keyring.credential(name, *grants)
        until(
            lambda: int(self.house.status()['credential_keys']) > before, 'the key to be followed'
        )
        return path

    def insert(self, account, count=1):
        begin = Network.next_id + 1
        Network.next_id += count
        self.house.sql(
            f'INSERT INTO t SELECT i, {account}, i'
            f' FROM generate_series({begin}, {Network.next_id}) AS i'
        )

    def is_silent(self, peer):
        """It asks, and nobody answers."""
        peer.send(11)
        if not peer.socket.poll(SILENCE_MS):
            return True
        peer.socket.recv_multipart()
        return False

    def assertSilent(self, peer):
        self.assertTrue(self.is_silent(peer))

    def assertForbidden(self, ask, hint=''):
        with self.assertRaises(Refused) as refused:
            ask()
        self.assertEqual(refused.exception.code, FORBIDDEN, refused.exception)
        self.assertIn(hint, refused.exception.hint)
        return refused.exception

    # Who is let in.

    def test_with_its_key_a_subscriber_receives_its_account(self):
        peer = self.peer(self.worker)
        attached = peer.attach('1')
        peer.join(attached.nonce)
        self.insert(1)
        until(lambda: peer.commits(attached.topic), 'a change of its account')

    def test_without_a_key_nobody_is_answered(self):
        plain = Peer(self.house.keyring.listening(self.house.control)[0])
        self.addCleanup(plain.close)
        self.assertSilent(plain)

    def test_a_key_that_no_credential_has_is_refused(self):
        path, _ = self.house.keyring.make('stranger')
        before = int(self.house.status()['refused_keys'])
        self.assertSilent(self.peer(path))
        self.assertGreater(int(self.house.status()['refused_keys']), before)

    def test_a_subscriber_that_expects_another_fatwald_is_not_served_by_this_one(self):
        peer = Peer(
            self.house.keyring.listening(self.house.control)[0],
            lambda socket_: (
                curve(socket_, self.house.keyring, self.worker),
                setattr(socket_, 'curve_serverkey', zmq.curve_keypair()[0]),
            ),
        )
        self.addCleanup(peer.close)
        self.assertSilent(peer)

    def test_a_peer_that_chooses_its_routing_id_is_not_let_in(self):
        """Nor one that chooses an id as libzmq makes them, which it takes for its own later."""
        for routing_id in (b'chosen', b'\0\1\2\3\4'):
            before = int(self.house.status()['refused_routing_ids'])
            peer = Peer(
                self.house.keyring.listening(self.house.control)[0],
                lambda socket_: (
                    curve(socket_, self.house.keyring, self.worker),
                    setattr(socket_, 'routing_id', routing_id),
                ),
            )
            self.addCleanup(peer.close)
            self.assertSilent(peer)
            data = zmq.Context.instance().socket(zmq.DEALER)
            self.addCleanup(data.close, 0)
            curve(data, self.house.keyring, self.worker)
            data.routing_id = routing_id
            data.connect(self.house.keyring.listening(self.house.control)[1])
            until(
                lambda: int(self.house.status()['refused_routing_ids']) >= before + 2,
                'both to be refused',
            )
            peer.close()
            data.close(0)

    def test_an_expired_key_is_refused_and_one_that_expires_is_ended(self):
        path, key = self.house.keyring.make('brief')
        self.house.sql(
            f"SELECT fatwal.add_credential('brief', '{key}', now() - interval '1 s')",
            "SELECT fatwal.grant('brief', '1')",
        )
        self.assertSilent(self.peer(path))
        self.house.sql(f"SELECT fatwal.add_credential('brief', '{key}', now() + interval '4 s')")
        peer = self.peer(path)
        attached = peer.attach('1')
        peer.join(attached.nonce)
        self.assertForbidden(lambda: peer.receive(peer.id))
        peer.messages()
        self.insert(1)
        self.assertEqual(peer.data.poll(SILENCE_MS), 0)

    def test_garbage_and_a_flood_of_handshakes_disturb_nobody(self):
        peer = self.peer(self.worker)
        attached = peer.attach('1')
        peer.join(attached.nonce)
        ports = [
            int(endpoint.rpartition(':')[2])
            for endpoint in self.house.keyring.listening(self.house.control)
        ]
        greeting = b'\xff' + b'\0' * 8 + b'\x7f\x03\x00CURVE' + b'\0' * 15 + b'\0' * 32
        idle = []
        for number in range(4000):
            connection = socket.socket()
            connection.settimeout(5)
            try:
                connection.connect(('127.0.0.1', ports[number % 2]))
                connection.sendall(
                    (os.urandom(64), greeting, greeting + b'\x04\x20' + os.urandom(32), b'')[
                        number % 4
                    ]
                )
            except OSError:
                continue  # closed as it came
            finally:
                if number % 3:
                    connection.close()
                else:
                    idle.append(connection)
        self.insert(1)
        until(lambda: peer.commits(attached.topic), 'a change meanwhile')
        for connection in idle:
            connection.close()
        self.assertGreater(int(self.house.status()['throttled_connections']), 0)
        # The bucket of this address fills again for the tests behind.
        time.sleep(2)
        self.assertTrue(self.peer(self.worker).ask(11))

    # What it may ask for.

    def test_another_account_is_forbidden_until_the_hint_is_followed(self):
        path = self.credential('asks', "grant('asks', '8')")
        peer = self.peer(path)
        refused = self.assertForbidden(lambda: peer.attach('7'), "fatwal.grant('asks', '7')")
        self.house.sql(refused.hint)
        until(lambda: self.granted(peer, '7'), 'the grant to be followed')

    def granted(self, peer, account):
        try:
            return peer.attach(account)
        except Refused:
            return None

    def test_the_operators_requests_are_forbidden(self):
        peer = self.peer(self.worker)
        for ask in (
            lambda: peer.attach(None),
            lambda: peer.ask(7),  # STATUS
            lambda: peer.ask(9),  # CONFIRM
            peer.hold_list,
            peer.subscriber_list,
            peer.account_list,
            peer.event_list,
        ):
            self.assertForbidden(ask, "fatwal.grant_operators('worker')")
        for kind, body in ((18, b'\0\0\0\0'), (20, b'\x03\x08' + bytes(8) + b'\x01\0d')):
            with self.assertRaises(Refused) as refused:
                peer.ask(kind, body)
            self.assertEqual(refused.exception.code, NOT_ATTACHED)
        self.assertTrue(peer.ask(11), 'a PING is for everybody')

    def test_a_durable_subscriber_has_its_credentials_name(self):
        peer = self.peer(self.worker)
        for name in (b'other', b'workerly', b'w', b'other/worker'):
            self.assertForbidden(lambda: peer.attach('1', name, durable=True), 'worker/')
        attached = [
            peer.attach('1', name, durable=True) for name in (b'worker', b'worker/audit')
        ]
        with self.assertRaises(Refused) as refused:
            peer.attach('1', b'worker/third', durable=True)
        self.assertIn('max_credential_durables', refused.exception.hint)
        for each in attached:
            peer.detach(each.nonce, forget=True)

    def test_nobody_uses_anothers_nonce_or_snapshot(self):
        mine, theirs = self.peer(self.worker), self.peer(self.other)
        attached, others = mine.attach('1'), theirs.attach('2')
        theirs.join(others.nonce)
        snapshot = theirs.receive(theirs.snapshot(others.nonce))[0]
        number = struct.unpack_from('<Q', snapshot, 8)[0]
        mine.open_data()
        mine.data.send(b'\x01\xff' + others.nonce)
        mine.data.send(b'\x00\xff' + others.nonce)
        for ask in (
            lambda: mine.receive(mine.replay(others, 1)),
            lambda: mine.receive(mine.snapshot(others.nonce)),
            lambda: mine.receive(mine.acknowledge(others.nonce, 1)),
        ):
            with self.assertRaises(Refused) as refused:
                ask()
            self.assertEqual(refused.exception.code, NOT_ATTACHED)
        with self.assertRaises(Refused):
            mine.receive(mine.snapshot(attached.nonce, number, 0))
        mine.detach(others.nonce)
        self.insert(2)
        until(lambda: theirs.commits(others.topic), 'what is theirs to reach them')
        self.assertEqual(mine.messages(), [])

    def test_no_topic_brings_what_was_not_attached(self):
        mine, theirs = self.peer(self.worker), self.peer(self.other)
        attached, others = mine.attach('1'), theirs.attach('2')
        theirs.join(others.nonce)
        mine.join(attached.nonce)
        for topic in (b'', b'E', b'H', others.topic, others.topic[:4], b'\xff'):
            mine.data.send(b'\x01' + topic)
        # And as a SUB, which takes all that comes.
        as_sub = self.peer(self.worker)
        as_sub.open_data(zmq.SUB)
        as_sub.data.setsockopt(zmq.SUBSCRIBE, b'')
        self.insert(2)
        until(lambda: theirs.commits(others.topic), 'what is theirs to reach them')
        self.assertEqual(
            [parts for parts in mine.messages() if not parts[0].startswith(attached.topic)], []
        )
        self.assertEqual(as_sub.data.poll(SILENCE_MS), 0)

    def test_who_asks_for_nothing_receives_nothing_of_those_that_vanish(self):
        """Connections come where others were killed, and take their places in fatwald."""
        program = (
            'import os, sys, zmq\n'
            f'sys.path.insert(0, {os.path.dirname(__file__)!r})\n'
            'import test_network as t\n'
            'class House: pass\n'
            'house = House(); house.keyring = House(); house.control = ""\n'
            'house.keyring.server_key = sys.argv[2]\n'
            'house.keyring.listening = lambda _: sys.argv[3:5]\n'
            'peers = [t.KeyedPeer(house, sys.argv[1]) for _ in range(10)]\n'
            'for peer in peers:\n'
            '    peer.join(peer.attach("1").nonce)\n'
            'print("ready", flush=True)\n'
            'sys.stdin.read()\n'
        )
        newcomers = []
        for _ in range(12):
            started = [
                subprocess.Popen(
                    [
                        sys.executable, '-c', program, self.worker,
                        self.house.keyring.server_key,
                        *self.house.keyring.listening(self.house.control),
                    ],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
                for _ in range(2)
            ]
            for process in started:
                self.assertEqual(process.stdout.readline(), 'ready\n')
            for process in started:
                process.send_signal(signal.SIGKILL)
            for _ in range(10):
                peer = self.peer(self.other)
                peer.open_data()
                newcomers.append(peer)
            self.insert(1, 50)
            for process in started:
                process.wait()
                process.stdin.close()
                process.stdout.close()
        time.sleep(SILENCE_MS / 1000)
        self.assertEqual([peer.messages() for peer in newcomers], [[]] * len(newcomers))

    # What it may cost.

    def connections(self):
        return int(self.house.status()['keyed_connections'])

    def test_a_peer_that_sends_what_is_no_request_is_cut(self):
        observer = self.peer(self.worker)
        attached = observer.attach('1')
        observer.join(attached.nonce)
        flood = [
            ('of two parts', lambda peer: peer.socket.send_multipart([b'a', b'b']), 1),
            ('malformed', lambda peer: peer.socket.send(b'nonsense'), 2000),
        ]
        for what, send, count in flood:
            with self.subTest(what):
                peer = self.peer(self.other)
                self.assertTrue(peer.ask(11))
                monitor = peer.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
                for _ in range(count):
                    send(peer)
                self.assertTrue(monitor.poll(20000), 'it was not cut')
                peer.socket.disable_monitor()
                monitor.close(0)
        data = self.peer(self.other)
        data.open_data()
        monitor = data.data.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        for _ in range(600):
            data.data.send(b'nonsense')
        self.assertTrue(monitor.poll(20000), 'it was not cut')
        data.data.disable_monitor()
        monitor.close(0)
        self.insert(1)
        until(lambda: observer.commits(attached.topic), 'a change meanwhile')

    def test_replies_that_nobody_reads_are_bounded_for_a_credential(self):
        self.house.sql(
            'CREATE TABLE large (id bigint PRIMARY KEY, account_id bigint, data text)',
            'ALTER PUBLICATION p ADD TABLE large',
            "SELECT fatwal.set_account_column('large', 'account_id')",
            'ALTER TABLE large ALTER COLUMN data SET STORAGE EXTERNAL',
            "INSERT INTO large SELECT i, 5, repeat('x', 1000000) FROM generate_series(1, 30) AS i",
        )
        path = self.credential('greedy', "grant('greedy', '5')")
        before = self.resident()
        peers = []
        for _ in range(60):
            peer = KeyedPeer(self.house, path, hold_back=True)
            self.addCleanup(peer.close)
            attached = peer.attach('5')
            number = struct.unpack_from('<Q', peer.receive(peer.snapshot(attached.nonce))[0], 8)[0]
            peers.append((peer, attached.nonce, number))
        for peer, nonce, number in peers:
            for _ in range(8):
                peer.snapshot(nonce, number, 0, 8 << 20)
        observer = self.peer(self.worker)
        attached = observer.attach('1')
        observer.join(attached.nonce)
        time.sleep(2)
        self.insert(1)
        until(lambda: observer.commits(attached.topic), 'a change meanwhile')
        grown = self.resident() - before
        self.assertLess(grown, 500 << 20)

    def resident(self):
        """Bytes of memory that fatwald has."""
        with open(f'/proc/{self.fatwald.pid}/statm') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def test_a_credential_has_a_part_of_the_connections(self):
        path = self.credential('many', "grant('many', '6')")
        peers = [self.peer(path) for _ in range(PLACES // 4 + 20)]
        for peer in peers:
            peer.send(11)
        answered = until(
            lambda: (sum(bool(peer.socket.poll(0)) for peer in peers) >= PLACES // 4), 'answers'
        )
        self.assertTrue(answered)
        self.assertTrue(self.peer(self.worker).ask(11), 'the others have theirs')
        time.sleep(SILENCE_MS / 1000)
        self.assertEqual(sum(bool(peer.socket.poll(0)) for peer in peers), PLACES // 4)

    def test_who_proves_nothing_leaves_half_of_the_places(self):
        host, port = self.house.keyring.listening(self.house.control)[0][6:].split(':')
        held = [socket.create_connection((host, int(port))) for _ in range(PLACES)]
        refused = lambda: int(self.house.status()['refused_keyed_connections'])
        until(lambda: refused() >= PLACES // 2, 'half of them to be refused')
        for connection in held:
            connection.close()
        self.assertTrue(self.peer(self.worker).ask(11))

    def test_who_connects_and_says_nothing_makes_room(self):
        path = self.credential('silent', "grant('silent', '6')")
        refused = lambda: int(self.house.status()['refused_keyed_connections'])
        before = refused()
        # Who is refused does not come again: all room that is made is the worker's.
        for _ in range(PLACES + 20):
            peer = KeyedPeer(self.house, path, reconnects=False)
            self.addCleanup(peer.close)
        until(lambda: refused() > before, 'all places to be taken')
        self.assertTrue(self.peer(self.worker).ask(11), 'one of them has made room')

    # A revocation.

    def test_a_revocation_that_waits_for_a_standby_holds_over_a_new_stream(self):
        """It is in the log, and no snapshot sees it: reading the tables again does not bring it."""
        house = self.house
        path = self.credential('standby', "grant('standby', '12')")
        self.insert(12)
        peer = self.peer(path)
        attached = until(lambda: self.granted(peer, '12'), 'the grant')
        attach = peer.id
        peer.join(attached.nonce)
        house.sql(
            "ALTER SYSTEM SET synchronous_commit = 'local'",
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
            'SELECT pg_reload_conf()',
        )
        # The first keeps the slot back, so that there is much to read again before the second.
        waiting = [house.session(), house.session()]
        try:
            # No commit waits before the checkpointer has read the setting.
            waiting[0].run('SET synchronous_commit = on', 'CREATE TABLE probe ()')
            until(lambda: self.commits_that_wait() or self.probe(waiting[0]), 'a commit to wait')
            self.insert(13, 100_000)
            waiting[1].run(
                'SET synchronous_commit = on', "SELECT fatwal.revoke('standby', '12')"
            )
            until(lambda: self.commits_that_wait() == 2, 'the revocation to wait')
            self.insert(13, 100_000)
            self.assertEqual(
                house.sql("SELECT account FROM fatwal.credential_grant WHERE name = 'standby'"),
                '12',
                'no query sees the revocation',
            )
            self.assertForbidden(lambda: peer.receive(attach))
            self.insert(12)
            for _ in range(5):
                before = int(house.status()['reconnects'])
                until(
                    lambda: house.sql(
                        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots'
                        f" WHERE slot_name = '{house.slot}' AND active"
                    ),
                    'a stream',
                )
                until(
                    # It asks all the while; what counts is an answer behind the reconnect.
                    lambda: all(
                        (
                            int(house.status()['reconnects']) > before,
                            self.answer_of_revoked(peer, '12') == FORBIDDEN,
                        )
                    ),
                    'the stream to be back',
                )
        finally:
            house.sql(
                'ALTER SYSTEM RESET synchronous_standby_names',
                'ALTER SYSTEM RESET synchronous_commit',
                'SELECT pg_reload_conf()',
            )
            for session in waiting:
                session.close()

    def commits_that_wait(self):
        """How many sessions wait for a standby."""
        return int(
            self.house.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                ' AND datname = current_database()'
            )
        )

    def probe(self, session):
        """Commits once more, as the commits before did not wait; false."""
        session.run('ALTER TABLE probe SET (fillfactor = 90)')
        time.sleep(0.2)

    def answer_of_revoked(self, peer, account):
        """The code of the error that an ATTACH is refused with. One that is not is a failure."""
        try:
            peer.attach(account)
        except Refused as refused:
            return refused.code
        self.fail('a key attached whose right was revoked')

    def test_a_snapshot_shows_nothing_that_the_stream_has_not_reached(self):
        """A right is revoked while the stream stands still; what is committed behind stays away."""
        house = self.house
        path = self.credential('late', "grant('late', '9')")
        peer = self.peer(path)
        attached = until(lambda: self.granted(peer, '9'), 'the grant')
        attach = peer.id
        walsender = int(
            house.sql(
                'SELECT active_pid FROM pg_replication_slots'
                f" WHERE slot_name = '{house.slot}' AND active"
            )
        )
        os.kill(walsender, signal.SIGSTOP)
        try:
            house.sql("SELECT fatwal.revoke('late', '9')")
            self.insert(9, 10)
            asked = peer.snapshot(attached.nonce)
            self.assertEqual(peer.socket.poll(SILENCE_MS), 0)
        finally:
            os.kill(walsender, signal.SIGCONT)
        self.assertForbidden(lambda: peer.receive(attach))
        replies = []
        until(lambda: self.drained(peer, replies) or self.is_silent(peer), 'silence')
        self.assertNotIn(asked, [struct.unpack_from('<I', parts[0], 4)[0] for parts in replies])

    def drained(self, peer, replies):
        while peer.socket.poll(SILENCE_MS):
            replies.append(peer.socket.recv_multipart())
        return True

    def test_a_snapshot_is_answered_while_a_transaction_is_open(self):
        """What is not committed is in the log and not flushed, so the stream does not reach it."""
        session = self.house.session()
        session.run('BEGIN', 'INSERT INTO t VALUES (-1, 99, 1)')
        time.sleep(1)
        peer = self.peer(self.worker)
        attached = peer.attach('1')
        peer.join(attached.nonce)
        self.assertTrue(peer.receive(peer.snapshot(attached.nonce)))
        session.close()

    def test_a_position_of_the_future_begins_no_snapshot_after_another(self):
        peer = self.peer(self.worker)
        attached = peer.attach('1')
        before = int(self.house.status()['snapshot_queries'])
        for _ in range(100):
            peer.send(15, attached.nonce + struct.pack('<QQIQ', 0, 0, 1 << 20, 1 << 62))
        try:
            peer.receive(peer.id)
        except Refused as refused:
            self.assertIn('too many snapshots', str(refused))
        self.assertLess(int(self.house.status()['snapshot_queries']) - before, 10)

    def test_a_durable_subscriber_that_is_revoked_while_it_is_stored_is_not_attached(self):
        house = self.house
        path = self.credential('waits', "grant('waits', '10')")
        peer = self.peer(path)
        until(lambda: self.granted(peer, '10'), 'the grant')
        lock = house.locking('fatwal.subscriber')
        revoke = threading.Timer(0.5, house.sql, ["SELECT fatwal.revoke('waits', '10')"])
        revoke.start()
        self.assertForbidden(lambda: peer.attach('10', b'waits', durable=True))
        lock.close()
        revoke.join()
        replies = []
        self.drained(peer, replies)
        self.assertEqual([parts[0][3] for parts in replies if parts[0][3] == 2], [])

    def test_no_change_behind_a_revocation_reaches_it(self):
        """By position, while thousands of changes a second come."""
        house = self.house
        path = self.credential('revoked', "grant('revoked', '3')")
        house.tail(None, 'operators')
        stop = threading.Event()
        writer = threading.Thread(target=self.write, args=(stop, 3))
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(stop.set)
        beyond, received = [], 0
        for number in range(REVOCATIONS):
            peer = KeyedPeer(house, path)
            attached = until(lambda: self.granted(peer, '3'), 'the grant')
            attach = peer.id
            peer.join(attached.nonce)
            commits = []
            until(lambda: commits.extend(peer.commits(attached.topic)) or commits, 'changes')
            house.sql("SELECT fatwal.revoke('revoked', '3')")
            self.assertForbidden(lambda: peer.receive(attach))
            revoked = self.revoked(number + 1)
            time.sleep(0.02)
            commits.extend(peer.commits(attached.topic))
            received += len(commits)
            beyond += [commit for commit in commits if commit > revoked]
            peer.close()
            house.sql("SELECT fatwal.grant('revoked', '3')")
        self.assertEqual(beyond, [])
        self.assertGreater(received, REVOCATIONS)
        print(f'{REVOCATIONS} revocations, {received} frames before them', file=sys.stderr)

    def write(self, stop, account):
        begin = 10_000_000_000
        while not stop.is_set():
            self.house.sql(
                f'INSERT INTO t SELECT i, {account}, i FROM'
                f' generate_series({begin}, {begin + 99}) AS i',
                f'UPDATE t SET n = -n WHERE id BETWEEN {begin} AND {begin + 99}',
                f'DELETE FROM t WHERE id BETWEEN {begin} AND {begin + 99}',
            )
            begin += 100

    def revoked(self, count):
        """The position at which the revocation of this number has committed."""
        wanted = re.compile(r'"op":"delete".*"table":"credential_grant"')

        def found():
            lines = [
                line
                for line in self.house.read('operators.out').splitlines()
                if wanted.search(line) and 'revoked' in line and line.endswith('}')
            ]
            return lines[count - 1] if len(lines) >= count else None

        return lsn(json.loads(until(found, f'revocation {count}'))['commit_lsn'])

    def test_a_removed_key_ends_its_connections_and_a_second_one_does_not_notice(self):
        first = self.credential('rotates', "grant('rotates', '4')")
        second, key = self.house.keyring.make('rotates2')
        before = int(self.house.status()['credential_keys'])
        self.house.sql(f"SELECT fatwal.add_credential('rotates', '{key}')")
        until(lambda: int(self.house.status()['credential_keys']) > before, 'the second key')
        old = self.peer(first)
        self.assertTrue(old.attach('4'))
        new = self.peer(second)
        until(lambda: self.granted(new, '4'), 'the second key')
        attached = new.attach('4')
        new.join(attached.nonce)
        old_key = zmq.auth.load_certificate(str(first))[0].decode()
        self.house.sql(f"SELECT fatwal.remove_credential('rotates', '{old_key}')")
        self.assertForbidden(lambda: old.receive(old.id))
        until(lambda: self.is_silent(old), 'its connection to end')
        self.insert(4)
        until(lambda: new.commits(attached.topic), 'the second key to receive')


if __name__ == '__main__':
    unittest.main()
