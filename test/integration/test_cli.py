"""The command line: what `fatwal tail` acknowledges, its JSON, and keys.
"""
import fcntl
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import termios
import threading
import unittest

import zmq
import zmq.auth

from house import BUILD, House, until

FATWAL = str(BUILD / 'client' / 'fatwal')
TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, note text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)


def ids(lines):
    return [json.loads(line)['new']['id'] for line in lines]


class WithHouse(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)


class Acknowledgements(WithHouse):
    """A durable tail with a cursor file: what one run did not write, the next one prints."""

    def setUp(self):
        super().setUp()
        self.cursor = self.house.folder / 'cursor'
        self.house.sql(*TABLE)
        self.house.fatwald()
        # The cursor file names a position from here on: what follows is missed by nobody.
        first = self.tail('first', '--count', '1')
        self.insert(0, 0)
        self.assertEqual(first.wait(60), 0)

    def insert(self, first, last):
        """In one transaction."""
        self.house.sql(
            f"INSERT INTO t SELECT g, 1, repeat('x', 1000) FROM generate_series({first}, {last}) g"
        )

    def options(self, *more):
        return ['--durable', 'd', '--cursor-file', self.cursor, *more]

    def tail(self, name, *more):
        return self.house.tail('1', name, *self.options(*more))

    def run_into(self, output, *more):
        """A run whose standard output is `output`; its process."""
        command = [
            FATWAL,
            'tail',
            '--control',
            self.house.control,
            '--account',
            '1',
            *self.options(*more),
        ]
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.PIPE, text=True
        )
        self.house.processes.append(process)
        self.addCleanup(process.stderr.close)
        return process

    def the_next_prints(self, first, last):
        process = self.tail('next', '--count', str(last - first + 1))
        self.assertEqual(process.wait(60), 0, self.house.read('next.err'))
        self.assertEqual(
            ids(self.house.read('next.out').splitlines()), list(range(first, last + 1))
        )

    def test_a_transaction_that_count_cuts_comes_again_whole(self):
        self.insert(1, 10)
        process = self.tail('cut', '--count', '3')
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(ids(self.house.read('cut.out').splitlines()), [1, 2, 3])
        self.the_next_prints(1, 10)

    def test_one_that_count_ends_at_does_not(self):
        self.insert(1, 3)
        self.insert(4, 6)
        self.assertEqual(self.tail('whole', '--count', '3').wait(60), 0)
        self.the_next_prints(4, 6)

    def test_what_a_full_disk_does_not_take_comes_again(self):
        self.insert(1, 10)
        with open('/dev/full', 'w') as full:
            process = self.run_into(full)
        self.assertEqual(process.wait(60), 1)
        self.assertIn(
            'standard output cannot be written: No space left on device', process.stderr.read()
        )
        self.the_next_prints(1, 10)

    def test_what_a_closed_pipe_does_not_take_comes_again(self):
        reading, writing = os.pipe()
        os.close(reading)
        process = self.run_into(writing)
        os.close(writing)
        self.insert(1, 10)
        self.assertEqual(process.wait(60), 1)
        self.assertIn('Broken pipe', process.stderr.read())
        self.the_next_prints(1, 10)

    def test_a_pipe_that_nobody_reads_is_left_by_a_signal(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        process = self.run_into(writing)
        os.close(writing)
        self.insert(1, 200)  # more than a pipe holds
        until(lambda: self.waiting_bytes(reading) == 65536, 'the pipe to be full')
        self.assertEqual(self.house.stop(process), 0)
        self.the_next_prints(1, 200)

    @staticmethod
    def waiting_bytes(pipe):
        return struct.unpack('i', fcntl.ioctl(pipe, termios.FIONREAD, b'\0' * 4))[0]

    def test_an_empty_torn_or_unreadable_cursor_file_is_refused(self):
        whole = self.cursor.read_text()
        for text, reason in (
            ('', 'is empty'),
            (whole[:-2], 'one whole line'),
            (whole + 'x', 'one whole line'),
            ('garbage\n', 'one whole line'),
        ):
            self.cursor.write_text(text)
            done = subprocess.run(
                [
                    FATWAL,
                    'tail',
                    '--control',
                    self.house.control,
                    '--account',
                    '1',
                    *map(str, self.options()),
                ],
                capture_output=True,
                text=True,
            )
            self.assertEqual((done.returncode, done.stdout), (1, ''))
            self.assertIn(reason, done.stderr)
            self.assertIn(str(self.cursor), done.stderr)
        self.cursor.unlink()
        self.cursor.mkdir()
        done = subprocess.run(
            [
                FATWAL,
                'tail',
                '--control',
                self.house.control,
                '--account',
                '1',
                *map(str, self.options()),
            ],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn('Is a directory', done.stderr)

    def test_the_cursor_is_on_the_disk_before_it_is_acknowledged(self):
        trace = self.house.folder / 'trace'
        try:
            subprocess.run(['strace', '-V'], capture_output=True)
        except FileNotFoundError:
            self.skipTest('strace is not installed')
        self.insert(1, 1)
        output = self.house.folder / 'lines'
        with open(output, 'w') as lines:
            command = [
                'strace',
                '-f',
                '-o',
                trace,
                '-e',
                'trace=write,fsync,fdatasync,rename,openat',
                FATWAL,
                'tail',
                '--control',
                self.house.control,
                '--account',
                '1',
                *self.options('--count', '1'),
            ]
            self.assertEqual(
                subprocess.run(
                    [str(part) for part in command], stdout=lines, stderr=subprocess.DEVNULL
                ).returncode,
                0,
            )
        steps = []
        for line in trace.read_text().splitlines():
            for step in ('write(1,', 'fdatasync(1', 'fsync(', 'rename('):
                if step in line and not ('rename' in line and 'cursor' not in line):
                    steps.append(step)
        at = steps.index('write(1,')
        self.assertEqual(
            steps[at : at + 5], ['write(1,', 'fdatasync(1', 'fsync(', 'rename(', 'fsync(']
        )

    def test_a_ready_file_that_cannot_be_made_is_an_error(self):
        done = subprocess.run(
            [
                FATWAL,
                'tail',
                '--control',
                self.house.control,
                '--account',
                '1',
                '--ready-file',
                '/nonexistent/ready',
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn('/nonexistent/ready', done.stderr)


class TailJson(WithHouse):
    def test_a_column_has_one_type_whatever_its_value(self):
        house = self.house
        house.sql(
            (
                'CREATE TABLE t (id int PRIMARY KEY, account_id int, i8 int8, n numeric, f8 float8,'
                ' o oid, a int8[])'
            ),
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        house.fatwald()
        house.tail('1', 'exact', '--numbers', 'exact')
        house.tail('1', 'json', '--numbers', 'json')
        house.sql(
            "INSERT INTO t VALUES (1, 1, 1, 1.50, 1.5, 4294967295, '{1,NULL}'),"
            " (2, 1, 9223372036854775807, 12345678901234567890.5, 0.1, 1, '{9223372036854775807}')"
        )
        house.lines('exact', 2)
        house.lines('json', 2)
        exact = [
            json.loads(line, parse_float=str)['new']
            for line in house.read('exact.out').splitlines()
        ]
        self.assertEqual(
            [(row['i8'], row['n'], row['a']) for row in exact],
            [
                ('1', '1.50', ['1', None]),
                ('9223372036854775807', '12345678901234567890.5', ['9223372036854775807']),
            ],
        )
        self.assertEqual(
            [(row['f8'], row['o']) for row in exact], [('1.5', 4294967295), ('0.1', 1)]
        )
        self.assertIn(
            '"i8":9223372036854775807,"n":12345678901234567890.5,', house.lines('json', 2)[1]
        )
        self.assertIn('"i8":1,"n":1.50,', house.lines('json', 2)[0])

    def test_snapshots_and_resyncs_have_lines_of_their_own(self):
        house = self.house
        house.sql(
            *TABLE, "INSERT INTO t VALUES (1, 1, 'a')", 'ALTER TABLE t REPLICA IDENTITY DEFAULT'
        )
        house.fatwald(**{'snapshot-reuse-ms': '0'})
        house.tail('1', 'tail', '--snapshot')
        self.assertEqual(
            [(e['op'], e['account']) for e in house.events('tail', 3, all=True)],
            [('snapshot_begin', '1'), ('row', '1'), ('snapshot_end', '1')],
        )
        house.sql('DELETE FROM t')
        resync, begin, end = house.events('tail', 6, all=True)[3:6]
        self.assertEqual(
            [e['op'] for e in (resync, begin, end)], ['resync', 'snapshot_begin', 'snapshot_end']
        )
        self.assertIn('public.t', resync['reason'])
        house.tail('1', 'text', '--snapshot', '--format', 'text')
        self.assertEqual(
            house.lines('text', 2, all=True)[:2], ['- - 1 snapshot_begin', '- - 1 snapshot_end']
        )

    def test_the_empty_account_is_not_the_operators(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id text)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        house.fatwald()
        house.tail('', 'empty')
        house.tail('', 'text', '--format', 'text')
        house.tail(None, 'operators')
        house.sql(
            "INSERT INTO t VALUES (1, '')",
            'INSERT INTO t VALUES (2, NULL)',
            "INSERT INTO t VALUES (3, '')",
        )
        self.assertEqual(
            [(e['account'], e['new']['id']) for e in house.events('empty', 2)], [('', 1), ('', 3)]
        )
        self.assertEqual(
            [(e['account'], e['new']['id']) for e in house.events('operators', 1)], [(None, 2)]
        )
        self.assertEqual(house.lines('text', 1)[0].split()[2:4], ['""', 'insert'])

    def test_a_transaction_beyond_the_bound_says_so_and_a_greater_bound_has_it(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        house.tail('1', 'small', '--max-transaction-bytes', '1MB')
        house.tail('1', 'large', '--max-transaction-bytes', '20MB')
        house.sql(
            "INSERT INTO t SELECT g, 1, repeat('x', 1000) FROM generate_series(1, 5000) g",
            "INSERT INTO t VALUES (5001, 1, 'after')",
        )
        self.assertEqual(ids(house.lines('large', 5001)), list(range(1, 5002)))
        resync, after = house.events('small', 2, all=True)
        self.assertIn('larger than max_transaction_bytes, 1048576', resync['reason'])
        self.assertEqual((resync['op'], after['new']['id']), ('resync', 5001))
        self.assertEqual(house.stop(house.processes[1]), 3)


class Keys(unittest.TestCase):
    """Key files, and what is said when keys lack or do not fit."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def fatwal(self, *arguments, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith('FATWAL_')}
        return subprocess.run(
            [FATWAL, *map(str, arguments)],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def keygen(self, name):
        """A file and its public key."""
        made = self.fatwal('keygen', self.folder / name)
        self.assertEqual((made.returncode, made.stderr), (0, ''))
        return self.folder / name, made.stdout.rstrip('\n')

    def test_a_key_file_is_for_its_owner_alone_and_read_by_pyzmq(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        file, public = self.keygen('a')
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        read, secret = zmq.auth.load_certificate(file)
        self.assertEqual(read.decode(), public)
        self.assertEqual(zmq.curve_public(secret), read)
        self.assertEqual(len(public), 40)
        os.umask(0o777)
        file, _ = self.keygen('b')
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    def test_no_file_is_ever_overwritten(self):
        file, _ = self.keygen('a')
        text = file.read_text()
        again = self.fatwal('keygen', file)
        self.assertEqual((again.returncode, again.stdout), (1, ''))
        self.assertIn('a key that is replaced is lost', again.stderr)
        self.assertEqual(file.read_text(), text)
        (self.folder / 'link').symlink_to(self.folder / 'elsewhere')
        self.assertEqual(self.fatwal('keygen', self.folder / 'link').returncode, 1)
        self.assertFalse((self.folder / 'elsewhere').exists())
        nowhere = self.fatwal('keygen', self.folder / 'no' / 'folder')
        self.assertEqual(nowhere.returncode, 1)
        self.assertIn('No such file or directory', nowhere.stderr)

    def test_both_are_needed_and_over_tcp_they_are(self):
        file, public = self.keygen('a')
        tcp, ipc = 'tcp://127.0.0.1:1', f'ipc://{self.folder}/no.sock'
        for command in (
            ('tail', '--account', '1', '--control'),
            ('doctor', '--control'),
            ('status', '--control'),
            ('durable', '--control'),
        ):
            end = ('list',) if command[0] == 'durable' else ()
            for arguments, variables, words in (
                ((tcp,), {}, 'over the network fatwald answers nobody without keys'),
                # fatwald's own, in its environment.
                ((tcp,), {'FATWAL_KEY_FILE': str(file)}, 'answers nobody without keys'),
                ((ipc, '--key-file', file), {}, '--key-file needs --server-key KEY'),
                ((ipc, '--server-key', public), {}, '--server-key needs --key-file FILE'),
                ((ipc,), {'FATWAL_SERVER_KEY': public}, '--server-key needs --key-file FILE'),
            ):
                refused = self.fatwal(*command, *arguments, *end, **variables)
                self.assertEqual(refused.returncode, 2, refused)
                self.assertIn(words, refused.stderr)

    def test_a_key_file_that_others_can_read_is_refused_with_the_statement(self):
        file, public = self.keygen('a')
        file.chmod(0o640)
        for command in (('tail', '--account', '1'), ('status',), ('durable',)):
            refused = self.fatwal(
                *command,
                *('--control', 'tcp://127.0.0.1:1', '--key-file', file, '--server-key', public),
                *(('list',) if command[0] == 'durable' else ()),
            )
            self.assertEqual(refused.returncode, 1, refused)
            self.assertIn(f'chmod 600 {file}', refused.stderr)

    def test_status_speaks_with_the_keys_and_says_when_nobody_answers(self):
        _, server = self.keygen('server')
        file, public = self.keygen('client')
        port = self.answer_status(self.folder / 'server')
        keys = ('--key-file', file, '--server-key', server)
        control = ('--control', f'tcp://127.0.0.1:{port}')
        checked = self.fatwal('status', *control, *keys)
        self.assertEqual(checked.returncode, 0, checked)
        self.assertRegex(checked.stdout, r'^state +streaming$')
        by_variables = self.fatwal(
            'status', *control, FATWAL_KEY_FILE=str(file), FATWAL_SERVER_KEY=server
        )
        self.assertEqual(by_variables.returncode, 0, by_variables)
        wrong = ('--key-file', file, '--server-key', public)
        refused = self.fatwal('status', *control, *wrong)
        self.assertEqual(refused.returncode, 1, refused)
        self.assertIn('--server-key', refused.stderr)

    def answer_status(self, key_file):
        """Answers STATUS with the server's keys, on a port of its own, until the test ends."""
        context = zmq.Context()
        socket = context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(key_file)
        socket.curve_server = True
        port = socket.bind_to_random_port('tcp://127.0.0.1')
        ended = threading.Event()

        def answer():
            while not ended.is_set():
                if not socket.poll(50):
                    continue
                peer, request = socket.recv_multipart()
                value = b''.join(struct.pack('<H', len(t)) + t for t in (b'state', b'streaming'))
                socket.send_multipart([peer, b'FW\x01\x08' + request[4:8] + b'\x01\x00' + value])
            socket.close()
            context.term()

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(ended.set)
        return port


if __name__ == '__main__':
    unittest.main()
