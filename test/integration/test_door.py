"""What peers send to fatwald: names, nonces, numbers and floods. One peer costs the others
nothing.
"""
import os
import shutil
import socket
import stat
import struct
import subprocess
import unittest

import zmq

from house import BUILD, House, until
from peer import Peer, Refused, connect, frame, lsn

TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, n text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
MALFORMED, BAD_ACCOUNT, SNAPSHOT_GONE, NOT_ATTACHED, BAD_NAME, TOO_MANY, BAD_POSITION, DROPPED = (
    2,
    4,
    11,
    13,
    14,
    15,
    16,
    17,
)
NO_SUCH_CURSOR = 2**64 - 1


def memory(process):
    """Resident, in MiB."""
    with open(f'/proc/{process.pid}/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmRSS')) >> 10


class Case(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def start(self, *sql, **settings):
        self.house.sql(*(sql or TABLE))
        self.process = self.house.fatwald(**settings)

    def peer(self, **options):
        peer = Peer(self.house.control, **options)
        self.addCleanup(peer.close)
        return peer

    def refused(self, code, function, *arguments, **named):
        with self.assertRaises(Refused) as caught:
            function(*arguments, **named)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def stored(self):
        return self.house.sql(
            'SELECT account_kind, account, subscriber FROM fatwal.subscriber ORDER BY 2, 3'
        ).splitlines()

    def alive(self):
        self.assertIsNone(self.process.poll(), self.house.read('fatwald.err'))


class Door(Case):
    # Names and accounts.

    def test_a_name_or_account_that_cannot_be_costs_its_sender_only(self):
        self.start()
        peer = self.peer()
        for name in (b'\xff\xfe', b'a\0b', b'a\nb', b'\x1b[31m', b'', b'x' * 64):
            self.refused(BAD_NAME, peer.attach, '2', name=name, durable=True)
        for key in (b'42', b'\xff', b'a\0b'):
            self.refused(BAD_ACCOUNT, peer.attach, key, kind=4, durable=True)
        self.refused(BAD_ACCOUNT, peer.attach, b'short', kind=2)
        self.refused(BAD_ACCOUNT, peer.attach, b'', kind=9)
        peer.attach('1', name='wörker'.encode(), durable=True)
        self.assertEqual(self.stored(), ['3|1|wörker'])

    def test_a_row_that_the_table_refuses_does_not_refuse_the_others(self):
        self.start(
            *TABLE, "ALTER TABLE fatwal.subscriber ADD CONSTRAINT good CHECK (subscriber <> 'bad')"
        )
        peer = self.peer()
        requests = [
            (name, peer.id + 1, peer.send(1, self.attach_body(name)))
            for name in (b'good 1', b'bad', b'good 2')
        ]
        self.assertEqual(peer.receive(requests[0][2])[0][3], 2)
        error = self.refused(8, peer.receive, requests[1][2])
        self.assertIn('good', error.detail)
        self.assertEqual(peer.receive(requests[2][2])[0][3], 2)
        self.assertEqual(self.stored(), ['3|1|good 1', '3|1|good 2'])
        until(
            lambda: self.house.status()['durable_subscribers'] == '2',
            'the refused one to be dropped',
        )

    def attach_body(self, name):
        return (
            os.urandom(16)
            + struct.pack('<BBq', 3, 8, 1)
            + struct.pack('<HH', 1, len(name))
            + name
            + struct.pack('<QQI', 0, 0, 0)
        )

    def test_names_and_accounts_that_join_to_the_same_text_are_two(self):
        self.start(
            'CREATE TABLE t (id int PRIMARY KEY, account_id text)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
            **{'confirm-interval-ms': '200'},
        )
        peer = self.peer()
        one = peer.attach('acme', name=b'a of account 4:b', durable=True)
        other = peer.attach('b of account 4:acme', name=b'a', durable=True)
        peer.detach(other.nonce, forget=True)
        self.house.sql("INSERT INTO t VALUES (1, 'acme')")
        until(lambda: peer.status()['holds'] == '1', 'the change to be held')
        peer.acknowledge(one.nonce, lsn(peer.status()['published_lsn']))
        until(lambda: peer.status()['holds'] == '0', 'the acknowledgement to be stored')
        self.alive()

    def test_a_nonce_names_one_session_only(self):
        self.start(
            **{'replay-bytes': '0', 'replay-account-bytes': '0', 'confirm-interval-ms': '200'}
        )
        peer = self.peer()
        peer.attach('1', name=b'keeper', durable=True)
        self.house.sql(
            "INSERT INTO t SELECT g, 1 + g % 2, '' FROM generate_series(1, 20) g",
            "INSERT INTO t SELECT g, 2, '' FROM generate_series(21, 40) g",
        )
        cursor = until(
            lambda: (status := peer.status())['published_frames'] >= '3'
            and lsn(status['confirmable_lsn']),
            'the rows',
        )
        attached = peer.attach('1')
        peer.receive(peer.replay(attached, cursor))
        peer.detach(attached.nonce)
        self.refused(MALFORMED, peer.attach, '2', nonce=attached.nonce)
        self.refused(NOT_ATTACHED, peer.receive, peer.replay(attached, cursor, how=2))
        self.alive()

    def test_rows_of_the_table_that_name_no_subscriber_are_skipped(self):
        self.start()
        self.house.stop(self.process)
        rows = (
            "4, repeat('x', 300), 'n'",
            "4, '42', 'n'",
            "3, 'acme', 'n'",
            "9, 'acme', 'n'",
            "4, 'acme', E'a\\nb'",
            "4, 'acme', ''",
            "4, 'acme', 'fine'",
        )
        self.house.sql(
            *(
                f"INSERT INTO fatwal.subscriber VALUES ('{self.house.slot}', {row}, '0/1')"
                for row in rows
            )
        )
        self.process = self.house.fatwald('again')
        self.assertEqual(self.house.status()['durable_subscribers'], '1')
        log = self.house.read('again.err')
        self.assertEqual(log.count('a row of fatwal.subscriber is skipped'), 6)
        self.assertIn(
            (
                f"DELETE FROM fatwal.subscriber WHERE slot = '{self.house.slot}' AND account_kind ="
                " 4 AND account = '42' AND subscriber = 'n';"
            ),
            log,
        )

    def test_a_text_key_of_any_length_can_be_attached_to(self):
        self.start()
        for length in (250, 251, 255):
            self.peer().attach('x' * length)
        self.alive()

    # Whose requests.

    def test_requests_count_for_their_own_sessions_only(self):
        self.start(
            *TABLE, "INSERT INTO t VALUES (1, 1, 'secret of one')", **{'confirm-interval-ms': '200'}
        )
        owner, other = self.peer(), self.peer()
        attached = owner.attach('1', name=b'victim', durable=True)
        parts = owner.receive(owner.snapshot(attached.nonce))
        number, following = struct.unpack_from('<QQ', parts[0], 8)
        self.assertTrue(any(b'secret of one' in part for part in parts))
        # By the number alone, from another account.
        foreign = other.attach('2')
        self.refused(SNAPSHOT_GONE, other.receive, other.snapshot(foreign.nonce, number))
        # By the nonce of another connection.
        self.refused(NOT_ATTACHED, other.receive, other.snapshot(attached.nonce))
        self.refused(NOT_ATTACHED, other.receive, other.replay(attached, 0))
        self.refused(NOT_ATTACHED, other.receive, other.acknowledge(attached.nonce, 1))
        other.detach(attached.nonce, forget=True)
        self.assertEqual(self.stored(), ['3|1|victim'])
        self.assertEqual(owner.receive(owner.snapshot(attached.nonce, number, following))[0][3], 16)
        # Without any session.
        stranger = self.peer()
        self.refused(NOT_ATTACHED, stranger.ask, 5, struct.pack('<HII', 1, 1, 1))
        self.refused(NOT_ATTACHED, stranger.ask, 18, b'\0\0\0\0')
        self.refused(NOT_ATTACHED, other.ask, 20, b'\3\x08' + struct.pack('<q', 1) + b'\6\0victim')

    def test_an_acknowledgement_beyond_what_was_sent_is_refused(self):
        self.start(**{'confirm-interval-ms': '200'})
        peer = self.peer()
        attached = peer.attach('1', name=b'd', durable=True)
        self.refused(BAD_POSITION, peer.receive, peer.acknowledge(attached.nonce, NO_SUCH_CURSOR))
        # Nor by the cursor of an attach.
        again = peer.attach(
            '1', name=b'e', durable=True, cursor=NO_SUCH_CURSOR, history=attached.history
        )
        self.house.sql("INSERT INTO t VALUES (1, 1, '')")
        until(lambda: peer.status()['holds'] == '2', 'the change to be held for both')
        for nonce in (attached.nonce, again.nonce):
            peer.acknowledge(nonce, lsn(peer.status()['published_lsn']))
        until(lambda: peer.status()['holds'] == '0', 'both to be stored')

    def test_an_offset_that_was_never_given_is_refused(self):
        self.start(
            *TABLE, "INSERT INTO t SELECT g, 1, repeat('x', 1000) FROM generate_series(1, 1000) g"
        )
        peer = self.peer()
        attached = peer.attach('1')
        number, following = struct.unpack_from(
            '<QQ', peer.receive(peer.snapshot(attached.nonce, credit=1))[0], 8
        )
        for offset in (1, following + 1, 1 << 40):
            self.refused(BAD_POSITION, peer.receive, peer.snapshot(attached.nonce, number, offset))
        self.assertEqual(peer.receive(peer.snapshot(attached.nonce, number, following))[0][3], 16)

    def test_a_name_is_never_sql(self):
        self.start(
            *TABLE,
            'CREATE TABLE victim (i int)',
            f'ALTER DATABASE {self.house.database} SET standard_conforming_strings = off',
        )
        name = b"\\',$$0/0$$);DROP TABLE victim--"
        self.peer().attach('1', name=name, durable=True)
        self.assertEqual(self.house.sql("SELECT to_regclass('victim') IS NOT NULL"), 't')
        self.assertEqual(self.stored(), [f'3|1|{name.decode()}'])
        self.house.stop(self.process)
        self.process = self.house.fatwald('again')
        self.assertEqual(self.house.status()['durable_subscribers'], '1')

    def test_lines_about_peers_are_neither_forged_nor_many(self):
        self.start()
        peer = self.peer()
        for _ in range(100):
            requests = [
                peer.send(
                    1, os.urandom(16) + b'\1\0\0\0' + struct.pack('<H', 63) + b'f' * 63 + bytes(20)
                )
                for _ in range(100)
            ]
            for request in requests:
                self.refused(BAD_ACCOUNT, peer.receive, request)
        self.assertLess(os.path.getsize(self.house.folder / 'fatwald.err'), 400_000)
        self.assertIn('attach of "ffff', self.house.read('fatwald.err'))

    # Durable names.

    def durable(self, *arguments, status=0):
        done = subprocess.run(
            [BUILD / 'client' / 'fatwal', 'durable', '--control', self.house.control, *arguments],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout + done.stderr

    def test_durable_names_are_listed_and_forgotten_and_whoever_is_attached_comes_again(self):
        self.start(**{'confirm-interval-ms': '200'})
        self.house.tail('1', 'kept', '--durable', 'kept', '--snapshot')
        peer = self.peer()
        gone = peer.attach('2', name=b'gone', durable=True)
        peer.detach(gone.nonce)
        lines = self.durable('list').splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn('{"account":"1","subscriber":"kept",', lines[0])
        self.assertIn('"attached":true', lines[0])
        self.assertIn('{"account":"2","subscriber":"gone",', lines[1])
        self.assertIn('"attached":false', lines[1])
        self.durable('forget', '--account', '2', '--name', 'gone')
        until(lambda: self.stored() == ['3|1|kept'], 'it to be taken out of the table')
        self.assertIn(
            'there is no durable subscriber of this name',
            self.durable('forget', '--account', '2', '--name', 'gone', status=1),
        )
        self.durable('forget', '--account', '1', '--name', 'kept')
        until(
            lambda: 'was forgotten' in self.house.read('kept.err'),
            'the attached one to be notified',
        )
        until(lambda: self.stored() == ['3|1|kept'], 'it to come again')
        self.house.sql("INSERT INTO t VALUES (1, 1, 'x')")
        self.house.lines('kept', 1)

    def test_more_than_one_part_of_durable_names(self):
        self.start()
        peer = self.peer()
        requests = [peer.send(1, self.attach_body(b'n%03d' % i)) for i in range(300)]
        for request in requests:
            peer.receive(request)
        self.assertEqual(len(self.durable('list').splitlines()), 300)

    def test_durable_names_have_a_cap(self):
        self.start(**{'max-durables': '3', 'max-account-durables': '2'})
        peer = self.peer()
        for name in (b'a', b'b', b'a'):
            peer.attach('1', name=name, durable=True)
        error = self.refused(TOO_MANY, peer.attach, '1', name=b'c', durable=True)
        self.assertIn('max_account_durables', error.hint)
        peer.attach('2', name=b'a', durable=True)
        error = self.refused(TOO_MANY, peer.attach, '3', name=b'a', durable=True)
        self.assertIn('max_durables', error.hint)
        peer.attach('3', name=b'a')

    def test_one_that_is_dropped_while_it_is_attached_is_notified(self):
        self.start(**{'retention-bytes': '1000', 'confirm-interval-ms': '200'})
        peer = self.peer()
        request = peer.send(1, self.attach_body(b'slow'))
        peer.receive(request)
        self.house.sql(
            "INSERT INTO t SELECT g, 1, '' FROM generate_series(1, 1000) g",
            "INSERT INTO t VALUES (0, 1, '')",
        )
        self.refused(DROPPED, peer.receive, request)
        self.assertIn(
            'durable subscriber "slow" of account "1" is dropped after retention',
            self.house.read('fatwald.err'),
        )


class Floods(Case):
    def crowd(self, endpoint, limit):
        """Connects to it far more often than fatwald may open descriptors, and says nothing."""
        sockets = []
        self.addCleanup(lambda: [one.close() for one in sockets])
        for i in range(2 * limit):
            one = socket.socket(socket.AF_UNIX)
            sockets.append(one)
            try:
                one.connect(endpoint[6:])
            except OSError:
                break

    def bounded(self, limit):
        house = self.house
        house.sql(*TABLE)
        self.process = house.start(
            [
                'prlimit',
                f'--nofile={limit}:{limit}',
                BUILD / 'sidecar' / 'fatwald',
                '--database',
                house.conninfo(),
                '--slot',
                house.slot,
                '--publication',
                'p',
                '--run-dir',
                house.folder / 'run',
                '--control',
                house.control,
            ],
            'fatwald',
        )
        until(lambda: 'streaming' in house.read('fatwald.err'), 'fatwald to stream')

    def test_connections_to_the_control_socket_do_not_end_it(self):
        self.bounded(200)
        self.house.tail('1', 'one')
        self.crowd(self.house.control, 200)
        until(
            lambda: 'file descriptors run out' in self.house.read('fatwald.err')
            or self.process.poll() is not None,
            'connections to be refused',
        )
        self.house.sql("INSERT INTO t VALUES (1, 1, '')")
        self.house.lines('one', 1)
        self.alive()

    def test_connections_to_an_accounts_socket_do_not_end_it(self):
        self.bounded(200)
        self.house.tail('1', 'one')
        attached = self.peer().attach('1')
        self.crowd(attached.endpoint, 200)
        until(
            lambda: 'file descriptors run out' in self.house.read('fatwald.err')
            or self.process.poll() is not None,
            'connections to be refused',
        )
        self.house.sql("INSERT INTO t VALUES (1, 1, '')")
        self.house.lines('one', 1)
        self.alive()

    def flood(self, block):
        """A peer that sends blocks to account 1's socket until it is cut; whether it was."""
        attached = self.peer().attach('1')
        connection = connect(attached.endpoint)
        self.addCleanup(connection.close)
        for n in range(5000):
            try:
                connection.sendall(block(n))
            except (BrokenPipeError, ConnectionResetError):
                return True
            except TimeoutError:
                return False
        return False

    def test_a_peer_that_subscribes_and_cancels_is_cut(self):
        self.start()
        self.house.tail('2', 'two')
        self.assertTrue(self.flood(lambda _: (frame(b'\1' + b'E') + frame(b'\0' + b'E')) * 1000))
        self.house.sql("INSERT INTO t VALUES (1, 2, '')")
        self.house.lines('two', 1)
        self.assertNotIn('trying again', self.house.read('two.err'))

    def test_a_peer_that_invents_topics_is_cut_before_it_costs_memory(self):
        self.start()
        before = memory(self.process)
        self.assertTrue(
            self.flood(
                lambda n: b''.join(
                    frame(b'\1' + struct.pack('>Q', n * 1000 + i) * 25) for i in range(1000)
                )
            )
        )
        # libzmq stores what it reads in one go, before fatwald sees the first of it: up to 260 MB
        # on two busy processors. The whole flood has 1 GB of topics.
        self.assertLess(memory(self.process) - before, 600)
        self.alive()

    def test_a_message_of_endless_parts_is_cut(self):
        self.start()
        attached = self.peer().attach('1')
        for endpoint, kind, part in (
            (self.house.control, b'DEALER', b'z' * 8000),
            (attached.endpoint, b'SUB', b'z' * 200),
        ):
            before = memory(self.process)
            connection = connect(endpoint, kind)
            self.addCleanup(connection.close)
            block = frame(part, more=True) * 1000
            with self.assertRaises((BrokenPipeError, ConnectionResetError)):
                for _ in range(1 + (100 << 20) // len(block)):
                    connection.sendall(block)
            self.assertLess(memory(self.process) - before, 100)
        self.alive()

    def test_a_peer_that_never_reads_its_snapshots_costs_little(self):
        self.start(
            *TABLE,
            "INSERT INTO t SELECT g, 1, repeat(md5(g::text), 32) FROM generate_series(1, 20000) g",
        )
        peer = self.peer()
        attached = peer.attach('1')
        (number,) = struct.unpack_from('<Q', peer.receive(peer.snapshot(attached.nonce))[0], 8)
        before = memory(self.process)
        lazy = self.peer(hold_back=True)
        lazy_nonce = lazy.attach('1').nonce
        for _ in range(150):
            lazy.snapshot(lazy_nonce, number, credit=8 << 20)
        # Each answer to another's request shows that fatwald still reads those.
        peak = 0
        for _ in range(2000):
            peer.ask(11)
            peak = max(peak, memory(self.process) - before)
        self.assertLess(peak, 200)
        # And one who reads has all.
        self.assertEqual(
            peer.receive(peer.snapshot(attached.nonce, number, credit=8 << 20))[0][3], 16
        )

    def test_a_reply_to_describe_is_bounded(self):
        columns = ','.join(f'a_column_with_a_long_name_number_{i} text' for i in range(1000))
        self.start(
            *(
                f'CREATE TABLE wide{k} (id int PRIMARY KEY, account_id int, {columns})'
                for k in range(25)
            ),
            'CREATE PUBLICATION p FOR ALL TABLES',
        )
        peer = self.peer()
        attached = peer.attach('1')
        data = zmq.Context.instance().socket(zmq.SUB)
        self.addCleanup(data.close, 0)
        data.rcvtimeo, data.rcvhwm = 20000, 0
        for topic in (b'E', b'\xff' + attached.nonce):
            data.subscribe(topic)
        data.connect(attached.endpoint)
        data.recv_multipart()
        ids = []
        for k in range(25):
            self.house.sql(f'INSERT INTO wide{k} (id, account_id) VALUES (1, 1)')
            message = [b'']
            while message[-1][:1] != b'S':
                message = data.recv_multipart()
            ids.append(struct.unpack_from('<II', message[1], 4))

        def described(ids):
            parts = peer.ask(
                5, struct.pack('<H', len(ids)) + b''.join(struct.pack('<II', *one) for one in ids)
            )
            self.assertLess(len(parts[0]), 2 << 20)
            (reader,) = struct.unpack_from('<H', parts[0], 8)
            return reader

        self.assertEqual(described(ids[:1] * 256), 1)
        first = described(ids)
        self.assertLess(first, 25)
        self.assertEqual(described(ids[first:]), 25 - first)
        self.refused(MALFORMED, described, ids[:1] * 257)


class Folders(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)

    def failed(self, name, **settings):
        environment = settings.pop('environment', None)
        settings = {
            'database': self.house.conninfo(),
            'slot': self.house.slot,
            'publication': 'p',
            'run-dir': self.house.folder / 'run',
        } | settings
        done = subprocess.run(
            [
                str(part)
                for part in (
                    BUILD / 'sidecar' / 'fatwald',
                    *(part for key, value in settings.items() for part in (f'--{key}', value)),
                )
            ],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(name, done.stderr)
        return done.stderr

    def mode(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)

    def test_a_folder_that_was_there_keeps_its_mode(self):
        folder = self.house.folder / 'shared'
        folder.mkdir()
        folder.chmod(0o755)
        self.house.fatwald(**{'run-dir': folder, 'control': f'ipc://{folder}/control.sock'})
        self.assertEqual(self.mode(folder), 0o755)
        self.assertEqual(self.mode(folder / 'a'), 0o750)

    def test_a_folder_that_everybody_may_write_to_is_refused(self):
        folder = self.house.folder / 'open'
        folder.mkdir()
        folder.chmod(0o1777)
        self.assertIn(
            f"chmod o-w '{folder}'",
            self.failed('everybody may write to the run folder', **{'run-dir': folder}),
        )
        self.assertEqual(self.mode(folder), 0o1777)
        link = self.house.folder / 'link'
        link.symlink_to(folder)
        self.failed('the run folder is not a folder', **{'run-dir': link})

    def test_what_cannot_be_used_is_refused_with_its_reason(self):
        self.failed('the run folder has no name', **{'run-dir': '', 'control': self.house.control})
        self.failed(
            'no folder for temporary files', environment=os.environ | {'TMPDIR': '/nowhere'}
        )
        for control in (
            'tcp://127.0.0.1:5999',
            'inproc://x',
            'ipc://@abstract',
            'ipc://*',
            'ipc://',
        ):
            self.failed('the control endpoint is not a socket file', control=control)
        self.failed('path is too long', control='ipc:///' + 'x' * 120)
        self.failed('cannot open the lock', control='ipc:///nowhere/control.sock')

    def test_a_folder_that_was_cleaned_up_is_made_again(self):
        house = self.house
        process = house.fatwald()
        shutil.rmtree(house.folder / 'run' / 'a')
        house.tail('1', 'one')
        house.sql("INSERT INTO t VALUES (1, 1, '')")
        house.lines('one', 1)
        # A folder that cannot be made refuses the attach, and no more.
        shutil.rmtree(house.folder / 'run' / 'a')
        (house.folder / 'run' / 'a').touch()
        peer = Peer(house.control)
        self.addCleanup(peer.close)
        with self.assertRaises(Refused) as caught:
            peer.attach('2')
        self.assertIn("the account's socket cannot be opened", str(caught.exception))
        (house.folder / 'run' / 'a').unlink()
        peer.attach('2')
        # All of it, with the control socket.
        shutil.rmtree(house.folder / 'run')
        (house.folder / 'run').mkdir()
        until((house.folder / 'run' / 'control.sock').exists, 'the control socket to be made again')
        house.tail('3', 'three')
        self.assertIsNone(process.poll())

    def test_two_with_one_control_endpoint_are_refused(self):
        house = self.house
        first = house.fatwald()
        inode = os.stat(house.folder / 'run' / 'control.sock').st_ino
        self.failed(
            'another fatwald listens at the control endpoint',
            **{'run-dir': house.folder / 'other', 'control': house.control},
        )
        self.assertEqual(os.stat(house.folder / 'run' / 'control.sock').st_ino, inode)
        self.assertEqual(house.status()['state'], 'streaming')
        # What another has put in its place is not removed.
        (house.folder / 'run' / 'control.sock').unlink()
        os.mkfifo(house.folder / 'run' / 'control.sock')
        until(
            lambda: 'another process has put its socket' in house.read('fatwald.err')
            or 'made again' in house.read('fatwald.err'),
            'it to be noticed',
        )
        if 'made again' in house.read('fatwald.err'):
            return
        house.stop(first)
        self.assertTrue((house.folder / 'run' / 'control.sock').exists())
