"""What docs/delivery.md promises of snapshots when readers are slow, sessions fail, rights are
missing, room is short, or a crowd asks.
"""
import os
import re
import struct
import subprocess
import threading
import time
import unittest

import zmq
from house import BUILD, DEADLINE_SECONDS, House, position, until
from subscriber import Subscriber, account_bytes

TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, n text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
POSTGRES_EPOCH = 946_684_800


class Reader:
    """A subscriber by the control protocol alone that reads a snapshot when it is asked to."""

    def __init__(self, control, account):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger, self.socket.rcvtimeo = 0, 30_000
        self.socket.connect(control)
        self.nonce = os.urandom(16)
        self.account = account_bytes(str(account))
        self.reply = None

    def send(self, kind, body):
        self.socket.send(b'FW\x01' + bytes([kind]) + struct.pack('<I', 1) + body)

    def ask(self, kind, body):
        self.send(kind, body)
        self.reply = self.socket.recv_multipart()
        return self.reply[0]

    def attach(self):
        kind, key = self.account
        return self.ask(
            1,
            self.nonce
            + struct.pack('<BB', kind, len(key))
            + key
            + struct.pack('<HH', 0, 6)
            + b'reader'
            + struct.pack('<QQI', 0, 0, 0),
        )

    def join(self):
        """Attaches, and connects to the account's socket, so that the attachment stays."""
        reply = self.attach()
        (length,) = struct.unpack_from('<H', reply, 40)
        endpoint = reply[42 : 42 + length].decode()
        self.data = zmq.Context.instance().socket(zmq.SUB)
        self.data.linger, self.data.rcvtimeo = 0, 30_000
        self.data.subscribe(b'\xff' + self.nonce)
        self.data.connect(endpoint)
        self.data.recv_multipart()
        return self

    def part(self, snapshot=0, offset=0, not_before=0):
        """The kind of the reply, the snapshot's number, the next offset, whether it is the last."""
        least = struct.pack('<Q', not_before) if not_before else b''
        head = self.ask(15, self.nonce + struct.pack('<QQI', snapshot, offset, 65536) + least)
        return (
            (head[3], *struct.unpack_from('<QQB', head, 8))
            if head[3] == 16
            else (head[3], None, None, None)
        )

    def close(self):
        self.socket.close()
        if hasattr(self, 'data'):
            self.data.close()


class Snapshots(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)

    def reader(self, account):
        reader = Reader(self.house.control, account)
        self.addCleanup(reader.close)
        return reader

    def insert(self, first, last, account=1, text="'n'"):
        self.house.sql(
            f'INSERT INTO t SELECT g, {account}, {text} FROM generate_series({first}, {last}) g'
        )

    def value(self, name):
        return int(self.house.status()[name])

    def test_a_snapshot_older_than_asked_for_is_not_the_one_that_others_are_served(self):
        self.insert(1, 10)
        self.house.fatwald()
        one, two, three, four = (self.reader(1).join() for _ in range(4))
        shared = one.part()[1]
        self.assertEqual(two.part()[1], shared)
        self.insert(11, 11, text="'marker'")
        now = sum(
            part << shift
            for part, shift in zip(
                position(self.house.sql('SELECT pg_current_wal_insert_lsn()')), (32, 0)
            )
        )
        kind, later = three.part(not_before=now)[:2]
        self.assertEqual(kind, 16)
        self.assertNotEqual(later, shared)
        self.assertIn(b'marker', b''.join(three.reply[1:]))
        # Who demands nothing is served either of them.
        self.assertIn(four.part()[1], (shared, later))

    def sessions(self):
        return int(
            self.house.sql(
                "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
            )
        )

    def rows(self, name):
        return sorted(
            int(line) for line in re.findall(r'"new":\{"id":(\d+)', self.house.read(f'{name}.out'))
        )

    def restricted(self, *grants):
        """fatwald with a role of its own, which has no right to the table."""
        role = self.house.role('REPLICATION')
        self.house.sql(
            f'GRANT USAGE ON SCHEMA fatwal TO {role}',
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.subscriber, fatwal.slot TO {role}',
            f'GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO {role}',
            *(grant.format(role=role) for grant in grants),
        )
        self.house.fatwald(database=self.house.conninfo(role))
        return role

    # Slow readers, and what they may hold.

    def test_a_snapshot_is_kept_for_as_long_as_its_reader_is_attached(self):
        self.insert(1, 5000, text="repeat(md5(g::text), 4)")
        self.insert(5001, 5001, account=2)
        self.house.fatwald()
        slow = self.reader(1).join()
        kind, snapshot, offset, last = slow.part()
        self.assertEqual((kind, last), (16, 0))
        self.house.tail('2', 'other', '--snapshot')
        self.house.lines('other', 1)
        # The other one, which is younger, has nobody who reads it: it is forgotten before the
        # first.
        until(lambda: self.value('snapshots') == 1, 'the snapshot without a reader to be forgotten')
        while not last:
            kind, _, offset, last = slow.part(snapshot, offset)
            self.assertEqual(kind, 16, slow.reply)
        until(
            lambda: self.value('snapshots') == 0,
            'the snapshot that was read to its end to be forgotten',
        )

    def test_a_snapshot_is_not_kept_for_a_reader_that_has_gone(self):
        self.insert(1, 5000, text="repeat(md5(g::text), 4)")
        self.house.fatwald()
        reader = self.reader(1).join()
        self.assertEqual(reader.part()[0], 16)
        reader.ask(3, reader.nonce + struct.pack('<H', 0))
        until(lambda: self.value('snapshots') == 0, 'its snapshot to be forgotten')

    def test_what_waits_for_its_readers_is_bounded_in_bytes(self):
        self.insert(1, 30000, text="repeat(md5(g::text), 4)")
        self.insert(30001, 30003, account=2)
        self.house.fatwald(**{'spool-bytes': '1048576'})
        self.house.tail('1', 'large', '--snapshot')
        until(
            lambda: 'there is no room for what waits to be read' in self.house.read('large.err'),
            'the large one to be refused',
        )
        self.assertIn('--spool-bytes', self.house.read('large.err'))
        self.house.tail('2', 'small', '--snapshot')
        until(lambda: self.rows('small') == [30001, 30002, 30003], 'the small one to have its rows')
        self.assertLessEqual(self.value('spool_bytes'), 1048576)

    # Snapshots that fail.

    def test_a_right_that_is_missing_is_logged_once_and_asked_for_more_and_more_slowly(self):
        self.insert(1, 3)
        role = self.restricted()
        for number in range(5):
            self.house.tail('1', f'tail{number}', '--snapshot')
        begin = time.monotonic()
        until(lambda: self.value('snapshot_queries') >= 3, 'the third try')
        self.assertGreater(time.monotonic() - begin, 2, 'after 1 s and 2 s')
        for number in range(5):
            until(
                lambda: 'GRANT SELECT' in self.house.read(f'tail{number}.err'),
                'each to have the reason',
            )
        self.assertIn('permission denied for table t', self.house.status()['snapshot_failure'])
        self.assertGreaterEqual(self.value('snapshot_failures'), 2)
        log = self.house.read('fatwald.err')
        self.assertIn('permission denied for table t', log)
        self.assertLess(
            log.count('permission denied for table t'), 3, 'once a minute, with its count'
        )
        self.house.sql(f'GRANT SELECT ON t TO {role}')
        for number in range(5):
            until(lambda: self.rows(f'tail{number}') == [1, 2, 3], 'each to have its rows')
        until(lambda: 'snapshot_failure' not in self.house.status(), 'nothing to be wrong any more')

    def test_rows_that_the_role_may_not_see_are_an_error(self):
        self.insert(1, 3)
        self.house.sql('ALTER TABLE t ENABLE ROW LEVEL SECURITY')
        self.restricted('GRANT SELECT ON t TO {role}')
        self.house.tail('1', 'one', '--snapshot')
        until(lambda: 'BYPASSRLS' in self.house.read('one.err'), 'the reason')
        self.assertEqual(self.rows('one'), [])

    def test_the_operators_have_the_credentials_in_the_snapshot_and_in_the_stream(self):
        self.house.sql(f"SELECT fatwal.add_credential('worker-1', '{'a' * 40}')")
        self.restricted('GRANT SELECT ON t TO {role}')
        self.house.tail(None, 'operators', '--snapshot')
        until(lambda: 'worker-1' in self.house.read('operators.out'), 'the credential')
        self.house.sql("SELECT fatwal.grant('worker-1', '42')")
        until(lambda: 'credential_grant' in self.house.read('operators.out'), 'the grant')
        rows = self.house.events('operators', 2)
        self.assertEqual(
            [(row['op'], row['schema'], row['table']) for row in rows],
            [('row', 'fatwal', 'credential'), ('insert', 'fatwal', 'credential_grant')],
        )
        self.assertEqual(rows[1]['new'], {'name': 'worker-1', 'scope': 'account', 'account': '42'})

    def test_a_role_that_may_not_read_the_credentials_learns_the_statement(self):
        role = self.house.role('REPLICATION')
        self.house.sql(
            f'GRANT USAGE ON SCHEMA fatwal TO {role}',
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.subscriber, fatwal.slot TO {role}',
        )
        database = self.house.conninfo(role)
        refused = self.house.fatwald('refused', wait=False, database=database)
        self.assertNotEqual(refused.wait(60), 0)
        log = self.house.read('refused.err')
        self.assertIn('the role may not read the credentials', log)
        self.house.sql(*re.findall(r'GRANT [^;]*;', log))
        self.house.fatwald(database=database)

    # Sessions.

    def test_a_crowd_costs_few_connections(self):
        self.house.sql('INSERT INTO t SELECT g, g, g FROM generate_series(1, 200) g')
        self.house.fatwald()
        before = self.sessions()
        readers = [self.reader(account) for account in range(1, 201)]
        for reader in readers:
            reader.attach()
        for reader in readers:
            reader.send(15, reader.nonce + struct.pack('<QQI', 0, 0, 65536))
        for reader in readers:
            self.assertEqual(reader.socket.recv_multipart()[0][3], 16)
        self.assertEqual(self.value('snapshot_queries'), 200)
        # Those of psql, which reads the count, are among them; so is one that fatwald writes down
        # with.
        self.assertLess(self.sessions() - before, 12)

    def test_sessions_that_are_ended_while_they_are_idle_cost_nothing(self):
        self.insert(1, 3)
        self.insert(4, 4, account=2)
        self.house.fatwald(**{'snapshot-concurrency': '1'})
        self.house.tail('1', 'one', '--snapshot')
        until(lambda: self.rows('one') == [1, 2, 3], 'the first')
        ended = self.house.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname ="
            " current_database() AND query LIKE 'BEGIN ISOLATION%'"
        )
        self.assertEqual(ended, '1')
        self.house.tail('2', 'two', '--snapshot')
        until(lambda: self.rows('two') == [4], 'the second')
        self.assertNotIn('refused', self.house.read('two.err'))
        self.assertEqual(self.value('snapshot_queries'), 2)

    def test_a_session_that_is_ended_while_it_reads_is_tried_again(self):
        self.insert(1, 3)
        self.house.fatwald()
        session = self.house.locking('t')
        self.house.tail('1', 'one', '--snapshot')
        waits = (
            "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'BEGIN"
            " ISOLATION%' AND wait_event_type = 'Lock'"
        )
        until(lambda: self.house.sql(f'SELECT count(*) {waits}') == '1', 'the snapshot to wait')
        self.house.sql(f'SELECT pg_terminate_backend(pid) {waits}')
        until(lambda: 'is taken again' in self.house.read('fatwald.err'), 'another try')
        session.run('COMMIT')
        until(lambda: self.rows('one') == [1, 2, 3], 'the rows')
        self.assertNotIn('refused', self.house.read('one.err'))

    # Which snapshot serves whom.

    def test_who_joins_after_a_resync_has_a_snapshot_that_sees_it(self):
        self.insert(1, 1)
        self.house.sql(
            'CREATE TABLE late (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE late REPLICA IDENTITY FULL',
            'INSERT INTO late VALUES (10, 1)',
        )
        self.house.fatwald(**{'snapshot-reuse-ms': '600000'})
        self.house.tail('1', 'before', '--snapshot')
        until(lambda: self.rows('before') == [1], 'the first')
        begin = time.monotonic()
        self.house.sql('ALTER PUBLICATION p ADD TABLE late')
        until(lambda: 10 in self.rows('before'), 'the rows of the new table')
        # At once; or after one resync_interval (10 s), if the snapshot was taken before the commit
        # was visible. Never after a second one: that snapshot serves nobody again.
        self.assertLess(time.monotonic() - begin, 18)
        self.house.tail('1', 'behind', '--snapshot')
        until(lambda: self.rows('behind') == [1, 10], 'the same for one that joins behind it')
        self.assertIn(self.value('snapshot_queries'), (2, 3), 'one serves both')

    def test_a_snapshot_behind_which_nothing_can_be_replayed_serves_nobody_else(self):
        self.insert(1, 1)
        self.house.fatwald(
            **{
                'snapshot-reuse-ms': '600000',
                'reread-concurrency': '0',
                'replay-bytes': '2000',
                'replay-account-bytes': '2000',
            }
        )
        self.house.tail('1', 'one', '--snapshot')
        until(lambda: self.rows('one') == [1], 'the first')
        for number in range(2, 30):
            self.insert(number, number)
        until(lambda: self.rows('one') == list(range(1, 30)), 'the changes')
        self.house.tail('1', 'two', '--snapshot')
        until(lambda: self.rows('two') == list(range(1, 30)), 'the second')
        self.assertLess(self.value('snapshot_queries'), 4)

    # Clocks, and queues.

    def test_headers_have_postgress_time(self):
        self.house.fatwald()
        subscriber = Subscriber(self.house.control, '1')
        self.addCleanup(subscriber.control.close)
        self.addCleanup(subscriber.data.close)
        self.insert(1, 1)
        times = []
        while len(times) < 3:
            head, *_ = subscriber.data.recv_multipart()
            times.append(struct.unpack_from('<I', head, len(subscriber.topic) + 4)[0])
        now = (
            int(self.house.sql("SELECT floor(extract(epoch FROM clock_timestamp()))"))
            - POSTGRES_EPOCH
        )
        for at in times:
            self.assertLess(abs(at - now), 20, times)

    def test_a_worker_that_is_busy_costs_a_bounded_memory_and_has_all(self):
        self.house.fatwald()
        ready = self.house.folder / 'busy.ready'
        # Its output is not read, so its thread waits, while ZeroMQ's receives.
        busy = subprocess.Popen(
            [
                BUILD / 'client' / 'fatwal',
                'tail',
                '--control',
                self.house.control,
                '--account',
                '1',
                '--durable',
                'd',
                '--snapshot',
                '--ready-file',
                ready,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.house.processes.append(busy)
        deadline = threading.Timer(2 * DEADLINE_SECONDS, busy.kill)
        self.addCleanup(deadline.cancel)
        deadline.start()
        until(ready.exists, 'it to join')

        def memory():
            with open(f'/proc/{busy.pid}/status') as file:
                return int(re.search(r'VmHWM:\s+(\d+)', file.read()).group(1)) // 1024

        before = memory()
        for first in range(1, 2001, 100):
            self.house.sql(
                *(
                    f"INSERT INTO t VALUES ({number}, 1, repeat('x', 100000))"
                    for number in range(first, first + 100)
                )
            )
        until(lambda: self.value('published_frames') >= 2000, 'all to be published')
        self.assertLess(memory() - before, 110, 'of 200 MB')
        seen = 0
        for line in busy.stdout:
            if line.startswith(b'{"op":"snapshot'):
                continue
            seen += 1
            self.assertIn(b'"id":%d,' % seen, line[:400])
            if seen == 2000:
                break
        self.assertEqual(seen, 2000)
        busy.kill()
        busy.stdout.close()

    def test_a_connection_that_never_joined_is_cut_when_it_does_not_read(self):
        self.house.fatwald()
        self.house.tail('1', 'one')
        (endpoint,) = (
            path
            for path in (self.house.folder / 'run').rglob('*')
            if path.is_socket() and path.name != 'control.sock'
        )
        stranger = zmq.Context.instance().socket(zmq.SUB)
        self.addCleanup(stranger.close)
        stranger.linger, stranger.rcvhwm = 0, 1
        stranger.subscribe(b'E')
        stranger.connect(f'ipc://{endpoint}')
        number = 0
        while self.value('cut_subscribers') == 0:
            self.insert(number + 1, number + 200, text="repeat('x', 2000)")
            number += 200
            self.assertLess(number, 100_000)


if __name__ == '__main__':
    unittest.main()
