"""Programs of two versions that meet while a set-up is upgraded, and go on. What one does not know
of the other's control protocol it says.

Those with an older version's programs need a build of them, FATWAL_OLDER_BUILD:
scripts/versions-apart makes one and runs them.
"""
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import threading
import time
import unittest

import zmq

from house import BUILD, ROOT, House, until
from peer import Peer, Refused

UNKNOWN_TYPE = 3
# Requests and replies of this version, from the table of messages.
KNOWN_TYPES = {
    int(number)
    for number in re.findall(
        r'^\| (\d+) \| [A-Z_]+ \|', (ROOT / 'docs' / 'control-protocol.md').read_text(), re.M
    )
}
TABLE = (
    'CREATE TABLE t (id int, account_id int)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
older = os.environ.get('FATWAL_OLDER_BUILD')
OLDER = pathlib.Path(older or '.')


def string(text):
    return struct.pack('<H', len(text)) + text


class OldFatwald(threading.Thread):
    """Knows no request, as one of a version before them all."""

    def __init__(self, control):
        super().__init__(daemon=True)
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(control)
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.is_set():
            if not self.socket.poll(50):
                continue
            peer, request = self.socket.recv_multipart()
            error = struct.pack('<H', UNKNOWN_TYPE) + string(b'unknown message type') + bytes(4)
            self.socket.send_multipart([peer, b'FW\x01\xff' + request[4:8] + error])
        self.socket.close(0)

    def close(self):
        self.ended.set()
        self.join()


class Apart(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)

    def insert(self, *ids):
        for number in ids:
            self.house.sql(f'INSERT INTO t VALUES ({number}, 1)')

    def fatwal(self, *arguments, build=BUILD):
        """What the command did, and how long it took."""
        begun = time.monotonic()
        done = subprocess.run(
            [build / 'client' / 'fatwal', *arguments, '--control', self.house.control],
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done, time.monotonic() - begun

    def assertSaysThatFatwaldIsOlder(self, *command):
        done, seconds = self.fatwal(*command)
        self.assertEqual((done.returncode, done.stdout), (1, ''), command)
        self.assertRegex(
            done.stderr, r'^fatwald does not know this request: it is older .*Upgrade fatwald\.$'
        )
        self.assertLess(seconds, 4, 'it does not wait until the time for a reply has passed')


class Unknown(Apart):
    def test_a_request_that_is_not_known_is_answered_and_nothing_else_suffers(self):
        self.assertGreater(len(KNOWN_TYPES), 25)
        process = self.house.fatwald()
        peer = Peer(self.house.control)
        self.addCleanup(peer.close)
        attached = peer.attach('1')
        for kind in sorted(set(range(256)) - KNOWN_TYPES):
            with self.assertRaises(Refused) as refused:
                peer.ask(kind, b'a body that is not known either')
            self.assertEqual(refused.exception.code, UNKNOWN_TYPE, kind)
        self.assertEqual(peer.status()['subscribers'], '1')
        peer.detach(attached.nonce)
        self.assertIsNone(process.poll())

    def test_a_command_says_that_fatwald_is_older(self):
        control = self.house.folder / 'control.sock'
        self.house.control = f'ipc://{control}'
        old = OldFatwald(self.house.control)
        self.addCleanup(old.close)
        for command in (
            ('status',),
            ('holds',),
            ('subscribers',),
            ('accounts',),
            ('events',),
            ('events', '--follow'),
        ):
            self.assertSaysThatFatwaldIsOlder(*command)


@unittest.skipUnless(older, 'FATWAL_OLDER_BUILD names no build of an older version')
class Mixed(Apart):
    def follow(self, name, build):
        """A durable subscriber, from where it stood."""
        return self.house.tail(
            '1',
            name,
            *('--snapshot', '--durable', 'd', '--cursor-file', self.house.folder / 'cursor'),
            build=build,
        )

    def ids(self, name, count):
        return [each['new']['id'] for each in self.house.events(name, count)]

    def stream(self, fatwald_build, tail_build, return_build):
        """Rows, changes, changes of while it was away, and changes again, each once."""
        self.insert(1, 2)
        self.house.fatwald(build=fatwald_build)
        tail = self.follow('first', tail_build)
        self.assertEqual(sorted(self.ids('first', 2)), [1, 2])
        self.insert(3)
        self.assertEqual(self.ids('first', 3)[2:], [3])
        self.assertEqual(self.house.stop(tail), 0)
        self.insert(4, 5)
        self.follow('second', return_build)
        self.insert(6)
        self.assertEqual(self.ids('second', 3), [4, 5, 6])

    def test_an_older_subscriber_follows_this_fatwald(self):
        self.stream(BUILD, OLDER, OLDER)

    def test_this_subscriber_follows_an_older_fatwald(self):
        self.stream(OLDER, BUILD, BUILD)

    def test_a_subscriber_is_upgraded_and_resumes_where_it_stood(self):
        self.stream(OLDER, OLDER, BUILD)

    def test_a_subscriber_is_put_back_and_resumes_where_it_stood(self):
        self.stream(BUILD, BUILD, OLDER)

    def replace(self, first, second):
        """The one that waits takes over from the one that is stopped, and knows who is durable."""
        process = self.house.fatwald('first', build=first)
        other = f'ipc://{self.house.folder}/other/control.sock'
        self.house.fatwald(
            'second',
            wait=False,
            build=second,
            control=other,
            **{'run-dir': self.house.folder / 'other'},
        )
        controls = self.house.control = f'{self.house.control},{other}'
        tails = {
            name: self.house.tail('1', name, '--snapshot', build=build)
            for name, build in (('older', OLDER), ('this', BUILD))
        }
        away = self.follow('away', OLDER)
        self.insert(1)
        for name in (*tails, 'away'):
            self.assertEqual(self.ids(name, 1), [1])
        self.house.stop(away)
        self.insert(2)
        for name in tails:
            self.assertEqual(self.ids(name, 2), [1, 2])
        self.assertEqual(self.house.stop(process), 0)
        self.insert(3)
        for name in tails:
            self.assertEqual(self.ids(name, 3), [1, 2, 3])
            self.assertNotIn('resync', self.house.read(f'{name}.out'))
        self.assertEqual(self.house.control, controls)
        self.follow('back', BUILD)
        self.assertEqual(self.ids('back', 2), [2, 3])

    def test_this_fatwald_takes_over_from_an_older_one(self):
        self.replace(OLDER, BUILD)

    def test_an_older_fatwald_takes_over_from_this_one(self):
        self.replace(BUILD, OLDER)

    def test_commands_say_what_an_older_fatwald_does_not_know(self):
        self.house.fatwald(build=OLDER)
        for command in ('holds', 'subscribers', 'accounts', 'events'):
            self.assertSaysThatFatwaldIsOlder(command)
        done, seconds = self.fatwal('doctor', '--json', '--database', self.house.conninfo())
        self.assertEqual(done.stderr, '')
        self.assertLess(seconds, 30)
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        found = {each['about']: each['found'] for each in findings}
        self.assertEqual(found['holds'], 'fatwald is older')
        done, _ = self.fatwal('status')
        self.assertIn('streaming', done.stdout)

    def test_commands_of_the_older_version_ask_this_fatwald(self):
        self.house.fatwald()
        tail = self.follow('durable', OLDER)
        done, _ = self.fatwal('durable', 'list', build=OLDER)
        self.assertEqual(json.loads(done.stdout)['subscriber'], 'd')
        self.house.stop(tail, signal.SIGTERM)
        forget = ('durable', 'forget', '--name', 'd', '--account', '1')
        done, _ = self.fatwal(*forget, build=OLDER)
        self.assertEqual(done.returncode, 0, done.stderr)
        until(lambda: self.house.status()['durable_subscribers'] == '0', 'it to be forgotten')


if __name__ == '__main__':
    unittest.main()
