"""Everything that waits for Postgres has a deadline, and settings of a role, a network or a
switch-over stop nothing: see docs/operations.md.
"""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest

import zmq

from house import BUILD, House, until
from proxy import Proxy
from subscriber import Subscriber

TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, n bigint)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)


class Connections(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)

    def through_a_proxy(self, options=''):
        self.proxy = Proxy('127.0.0.1', os.environ['PGPORT'])
        self.addCleanup(self.proxy.close)
        server = f"host=127.0.0.1 port={self.proxy.port} user={os.environ['PGUSER']}"
        return f'{server} dbname={self.house.database} {options}'

    def numbers(self, name, count):
        return [event['new']['n'] for event in self.house.events(name, count)]

    def insert(self, n):
        self.house.sql(f'INSERT INTO t VALUES ({n}, 1, {n})')

    def durable(self, name):
        return self.house.start(
            [
                BUILD / 'client' / 'fatwal',
                'tail',
                '--control',
                self.house.control,
                '--account',
                '1',
                '--durable',
                name,
                '--snapshot',
            ],
            name,
        )

    # A network that freezes.

    def test_a_stream_that_goes_silent_is_stalled_then_lost_and_made_again(self):
        house = self.house
        house.fatwald(database=self.through_a_proxy("options='-c wal_sender_timeout=4s'"))
        house.tail('1', 'one')
        self.insert(1)
        self.assertEqual(self.numbers('one', 1), [1])
        self.proxy.freeze(b'START_REPLICATION')
        until(lambda: house.status()['state'] == 'stalled', 'the silence to be noticed')
        until(
            lambda: 'no heartbeat came' in house.read('one.err'),
            'the subscriber not to be kept content',
        )
        until(lambda: 'the stream is lost' in house.read('fatwald.err'), 'the loss')
        self.insert(2)
        self.proxy.thaw()
        self.assertEqual(self.numbers('one', 2), [1, 2])

    def test_an_idle_stream_is_alive(self):
        house = self.house
        house.fatwald(
            database=self.through_a_proxy("options='-c wal_sender_timeout=2s'"),
            **{'confirm-interval-ms': '10000'},
        )
        end = time.monotonic() + 6
        until(lambda: time.monotonic() > end, 'three times the timeout')
        self.assertEqual(
            (house.status()['state'], house.status()['reconnects']), ('streaming', '0')
        )

    def test_a_frozen_housekeeping_connection_is_left_with_a_reason(self):
        house = self.house
        house.fatwald(database=self.through_a_proxy())
        self.durable('first')
        until(lambda: 'attached' in house.read('first.err'), 'the first durable subscriber')
        self.assertGreater(self.proxy.freeze(b'fatwal.subscriber AS s', new=False), 0)
        self.durable('second')
        until(lambda: 'gave no answer for 13 s' in house.read('fatwald.err'), 'the reason')
        until(lambda: 'attached' in house.read('second.err'), 'a new connection to be made')

    def test_a_lock_on_the_tables_of_fatwald_ends_a_statement_not_durability(self):
        house = self.house
        house.fatwald()
        locker = house.locking('fatwal.subscriber')
        self.durable('one')
        until(lambda: 'statement timeout' in house.read('fatwald.err'), 'the reason')
        locker.run('COMMIT')
        until(lambda: 'attached' in house.read('one.err'), 'it to be written down')

    def test_it_ends_although_the_network_hangs(self):
        house = self.house
        fatwald = house.fatwald(database=self.through_a_proxy(), **{'shutdown-drain-ms': '1000'})
        self.durable('one')
        until(lambda: 'attached' in house.read('one.err'), 'a durable subscriber')
        self.proxy.freeze()
        begin = time.monotonic()
        fatwald.send_signal(signal.SIGTERM)
        fatwald.wait(30)
        self.assertLess(time.monotonic() - begin, 12)

    # The end.

    def test_making_a_slot_names_whom_it_waits_for_and_can_be_stopped(self):
        house = self.house
        writer = subprocess.Popen(
            ['psql', '-X', '-q', '-d', house.database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(writer.stdout.close)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.stdin.close)
        writer.stdin.write('BEGIN; INSERT INTO t VALUES (1, 1, 1); SELECT pg_backend_pid();\n')
        writer.stdin.flush()
        until(
            lambda: house.sql(
                "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode ="
                " 'RowExclusiveLock'"
            )
            == '1',
            'the transaction',
        )
        pid = house.sql(
            "SELECT pid FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock'"
        )
        fatwald = house.fatwald(wait=False)
        until(
            lambda: f'it waits for transactions of pids {pid},' in house.read('fatwald.err'),
            'the reason',
        )
        self.assertEqual(house.stop(fatwald), 0)
        gone = f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{house.slot}'"
        until(lambda: house.sql(gone) == '0', 'the server to make it no more')

    def test_nobody_who_reads_standard_error_stops_nothing(self):
        house = self.house
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        fatwald = subprocess.Popen(
            [
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
            stderr=write,
        )
        os.close(write)
        house.processes.append(fatwald)
        until(lambda: house.status().get('state') == 'streaming', 'the stream')
        house.tail('1', 'one')
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        socket_ = context.socket(zmq.DEALER)
        self.addCleanup(socket_.close, 0)
        socket_.rcvtimeo = 10000
        socket_.connect(house.control)
        # Each is refused with a line of the log: together they are more than a pipe holds.
        everyone = (
            os.urandom(16)
            + struct.pack('<BBHH', 1, 0, 0, 63)
            + b'f' * 63
            + struct.pack('<QQI', 0, 0, 0)
        )
        for number in range(1500):
            socket_.send(b'FW\x01\x01' + struct.pack('<I', number + 1) + everyone)
            self.assertEqual(socket_.recv()[3], 255)
        self.insert(1)
        self.assertEqual(self.numbers('one', 1), [1])
        self.assertEqual(house.stop(fatwald), 0)

    # What is final, and what passes.

    def test_what_nobody_mends_by_waiting_ends_the_first_start(self):
        house = self.house
        host = f"host={os.environ['PGHOST']} port={os.environ['PGPORT']}"
        for number, (database, reason) in enumerate(
            (
                ("host='x", 'the connection string is malformed'),
                ('nonsense=1', 'the connection string is malformed'),
                (f'{host} user=postgres dbname=nowhere', 'database "nowhere" does not exist'),
                (
                    f"{host} user=nobody_of_that_name dbname={house.database}",
                    'role "nobody_of_that_name" does not exist',
                ),
                (
                    f'{host} user=postgres dbname={house.database} sslmode=nonsense',
                    'invalid sslmode',
                ),
            )
        ):
            fatwald = house.fatwald(f'final{number}', wait=False, database=database)
            self.assertEqual(fatwald.wait(30), 1)
            self.assertIn(reason, house.read(f'final{number}.err'))

    def test_what_passes_is_waited_for(self):
        house = self.house
        with socket.socket() as nobody:
            nobody.bind(('127.0.0.1', 0))
            fatwald = house.fatwald(
                wait=False,
                database=(
                    f"host=127.0.0.1 port={nobody.getsockname()[1]} user=postgres"
                    f" dbname={house.database}"
                ),
            )
            until(lambda: house.read('fatwald.err').count('trying again') > 1, 'another attempt')
            self.assertIsNone(fatwald.poll())
            self.assertEqual(house.stop(fatwald), 0)

    def test_once_it_has_streamed_what_is_final_is_waited_for_too(self):
        house = self.house
        fatwald = house.fatwald()
        house.tail('1', 'one')
        house.sql(
            'DROP PUBLICATION p',
            (
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name"
                f" = '{house.slot}'"
            ),
        )
        until(lambda: 'publication p does not exist' in house.read('fatwald.err'), 'the reason')
        self.assertIsNone(fatwald.poll())
        house.sql('CREATE PUBLICATION p FOR TABLE t')
        self.insert(1)
        # The publication's change itself has subscribers resync.
        until(lambda: '"op":"insert"' in house.read('one.out'), 'the stream to go on')

    def test_a_publication_that_is_dropped_and_made_again_stops_nothing(self):
        house = self.house
        again = (
            'DROP PUBLICATION p',
            'INSERT INTO t VALUES (-1, 1, -1)',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        fatwald = house.fatwald()
        house.tail('1', 'one', '--durable', 'd', '--snapshot')
        house.sql(*again)
        self.insert(1)
        until(
            lambda: '"n":1,' in house.read('one.out') or '"n":1}' in house.read('one.out'),
            'the stream',
        )
        house.stop(fatwald)
        house.sql('DELETE FROM t', *again)
        second = house.fatwald('second')
        self.insert(2)
        until(
            lambda: '"n":2,' in house.read('one.out') or '"n":2}' in house.read('one.out'),
            'the stream after a restart',
        )
        self.assertIsNone(second.poll())
        self.assertNotIn('does not exist', house.read('second.err'))

    # Several servers, a pooler.

    def test_a_first_host_that_hangs_is_left(self):
        house = self.house
        with socket.socket() as hung:
            hung.bind(('127.0.0.1', 0))
            hung.listen(50)
            port = hung.getsockname()[1]
            house.fatwald(
                database=(
                    f"host=127.0.0.1,127.0.0.1 port={port},{os.environ['PGPORT']} user=postgres"
                    f" dbname={house.database} connect_timeout=2"
                )
            )
            self.assertIn(f'127.0.0.1:{port}: it gave no answer for 2 s', house.read('fatwald.err'))
        house.tail('1', 'one')
        self.insert(1)
        self.assertEqual(self.numbers('one', 1), [1])

    def test_a_pooler_is_named(self):
        house = self.house
        database = self.through_a_proxy()
        self.proxy.refused = (
            b'replication\0database\0',
            '08P01',
            'unsupported startup parameter: replication',
        )
        fatwald = house.fatwald(wait=False, database=database)
        self.assertEqual(fatwald.wait(30), 1)
        self.assertIn('connection pooler', house.read('fatwald.err'))

    def test_settings_of_the_database_change_nothing(self):
        house = self.house
        house.sql('ALTER TABLE t ADD r tstzrange, ADD b bytea[], ADD m money')
        row = (
            "INSERT INTO t VALUES ({0}, 1, {0}, '[2026-11-28 12:00:00+00,)', ARRAY[decode('00ff',"
            " 'hex')], 1234.5)"
        )
        fatwald = house.fatwald()
        house.tail('1', 'before')
        house.sql(row.format(1))
        before = house.events('before', 1)[0]['new']
        house.stop(fatwald)
        for setting in (
            "timezone = 'Asia/Tokyo'",
            "datestyle = 'SQL, DMY'",
            "bytea_output = 'escape'",
            "search_path = nowhere",
            "default_transaction_read_only = on",
            "default_transaction_isolation = 'serializable'",
            "statement_timeout = '700ms'",
            "lock_timeout = '100ms'",
            "idle_session_timeout = '300ms'",
            "idle_in_transaction_session_timeout = '300ms'",
            "standard_conforming_strings = off",
        ):
            house.sql(f'ALTER DATABASE {house.database} SET {setting}', database='postgres')
        house.fatwald('second')
        house.tail('1', 'after', '--durable', "d'x\\y", '--snapshot')
        snapshot = house.events('after', 1)[0]['new']
        house.sql(
            'SET default_transaction_read_only = off', 'SET search_path = public', row.format(2)
        )
        streamed = house.events('after', 2)[1]['new']
        self.assertEqual(snapshot, before)
        self.assertEqual(streamed | {'id': 1, 'n': 1}, before)
        kept = 'SELECT subscriber, acknowledged > pg_lsn(0::numeric) FROM fatwal.subscriber'
        until(lambda: house.sql(kept) == "d'x\\y|t", 'an acknowledgement to be written')
        self.assertNotIn('[warning]', house.read('second.err'))

    # A switch-over.

    def test_cursors_hold_over_a_switch_over(self):
        house = self.house
        pgctl, data = os.environ['FATWAL_PGCTL'], pathlib.Path(os.environ['FATWAL_PGDATA'])
        house.fatwald(**{'confirm-interval-ms': '200'})
        house.tail('1', 'durable', '--durable', 'd', '--cursor-file', house.folder / 'cursor')
        house.tail('1', 'fleeting')
        self.insert(1)
        for name in ('durable', 'fleeting'):
            house.lines(name, 1)
        subprocess.run([pgctl, 'stop', '-m', 'fast'], check=True, capture_output=True)
        (data / 'standby.signal').touch()
        shutil.chown(data / 'standby.signal', data.stat().st_uid, data.stat().st_gid)
        subprocess.run([pgctl, 'start'], check=True, capture_output=True)
        until(
            lambda: 'the server is a standby' in house.read('fatwald.err'),
            'the standby to be named',
        )
        subprocess.run([pgctl, 'promote'], check=True, capture_output=True)
        until(lambda: house.sql('SELECT pg_is_in_recovery()') == 'f', 'the promotion')
        self.insert(2)
        for name in ('durable', 'fleeting'):
            self.assertEqual(self.numbers(name, 2), [1, 2])
            self.assertNotIn('changes were missed', house.read(f'{name}.err'))
        self.assertRegex(
            house.read('fatwald.err'), r'timeline \d+ now: cursors of timeline \d+ hold'
        )

    # Heartbeats.

    def test_heartbeats_come_as_often_as_announced(self):
        house = self.house
        house.fatwald(**{'heartbeat-interval-ms': '3000'})
        subscriber = Subscriber(house.control, '1')
        self.addCleanup(subscriber.control.close)
        self.addCleanup(subscriber.data.close)
        beats = []
        end = time.monotonic() + 15
        while len(beats) < 3 and time.monotonic() < end:
            if subscriber.data.poll(1000) and subscriber.data.recv_multipart()[0][:1] == b'H':
                beats.append(time.monotonic())
        self.assertEqual(len(beats), 3)
        self.assertGreater(beats[2] - beats[1], 2.5)
        second = house.fatwald(
            'second',
            wait=False,
            **{'heartbeat-interval-ms': '60000', 'run-dir': house.folder / 'other'},
        )
        self.assertNotEqual(second.wait(30), 0)
        self.assertIn('heartbeat-interval-ms', house.read('second.err'))

    # The way out of a change that cannot be decoded.

    def skip(self, *options):
        return subprocess.run(
            [
                BUILD / 'client' / 'fatwal',
                'slot',
                'skip',
                '--database',
                self.house.conninfo(),
                '--slot',
                self.house.slot,
                *options,
            ],
            capture_output=True,
            text=True,
        )

    def test_a_change_that_cannot_be_decoded_is_skipped_by_a_command(self):
        house = self.house
        house.sql('ALTER PUBLICATION p SET TABLE t WHERE (100 / n > 0)')
        fatwald = house.fatwald()
        house.tail('1', 'one', '--durable', 'd', '--snapshot')
        house.tail('1', 'fleeting', '--snapshot')
        self.insert(1)
        house.lines('one', 1)
        house.lines('fleeting', 1)
        house.sql('INSERT INTO t VALUES (2, 1, 0)')
        until(lambda: 'division by zero' in house.read('fatwald.err'), 'the failure')
        self.assertIn('fatwal slot skip', house.read('fatwald.err'))
        self.assertIn('associated LSN', house.read('fatwald.err'))
        self.assertIsNone(fatwald.poll())
        house.sql(
            'ALTER PUBLICATION p SET TABLE t WHERE (n > 0 AND n <= 100)',
            'INSERT INTO t VALUES (3, 1, 3)',
        )
        asked = self.skip()
        self.assertEqual(asked.returncode, 2)
        self.assertIn('takes a new snapshot', asked.stderr)
        self.assertIn('--yes', asked.stderr)
        done = self.skip('--yes')
        self.assertEqual(done.returncode, 0, done.stderr)
        house.sql('INSERT INTO t VALUES (4, 1, 4)')
        for name in ('one', 'fleeting'):
            self.assertEqual(
                sorted(self.numbers(name, 4)[1:]), [1, 3, 4], 'the rows again, by a snapshot'
            )
            self.assertIn('changes were missed', house.read(f'{name}.err'))
        self.assertIsNone(fatwald.poll(), 'it goes on by itself')

    def test_only_a_slot_of_fatwal_is_skipped(self):
        house = self.house
        self.assertEqual(self.skip('--yes').returncode, 1)
        self.assertIn('does not exist', self.skip('--yes').stderr)
        house.sql(f"SELECT pg_create_logical_replication_slot('{house.slot}', 'pgoutput')")
        self.assertIn("is not fatwald's", self.skip('--yes').stderr)


if __name__ == '__main__':
    unittest.main()
