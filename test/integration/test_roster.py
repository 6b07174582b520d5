"""What operators list: who holds WAL and until when, who is attached, which accounts there are, and
what the log says.
"""
import json
import re
import signal
import struct
import subprocess
import time
import unittest

from house import BUILD, House, until
from peer import Peer, connect, frame, lsn

ABSENT, UNACKNOWLEDGED, REPLAY, SNAPSHOT_READER, SNAPSHOT = 1, 2, 3, 4, 5
JOINING, LIVE, REPLAYING, SNAPSHOTTING = 1, 2, 3, 4
TABLE = (
    'CREATE TABLE t (id int, account_id int, n text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
RETENTION_S, RETENTION_BYTES = 3600, 1 << 30
PAGE = 512
INFO, WARNING = 1, 2
PAGE_OF_LINES = 128


def key(number):
    return 3, struct.pack('<q', number)


class Roster(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)
        self.process = self.house.fatwald(
            **{
                'confirm-interval-ms': 200,
                'retention-s': RETENTION_S,
                'retention-bytes': RETENTION_BYTES,
                'max-account-durables': 2000,
            }
        )
        self.peer = self.new_peer()

    def restart(self, **settings):
        self.house.stop(self.process)
        self.process = self.house.fatwald(wait=False, **settings)
        until(lambda: self.house.status().get('state') == 'streaming', 'fatwald to stream')

    def new_peer(self):
        peer = Peer(self.house.control)
        self.addCleanup(peer.close)
        return peer

    def insert(self, account, count=1, size=0):
        self.house.sql(
            f"INSERT INTO t SELECT g, {account}, repeat('x', {size})"
            f" FROM generate_series(1, {count}) g"
        )

    def fatwal(self, *arguments):
        done = subprocess.run(
            [BUILD / 'client' / 'fatwal', *arguments, '--control', self.house.control],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def listed(self, *arguments):
        json_flag = () if arguments[0] == 'durable' else ('--json',)
        return [json.loads(line) for line in self.fatwal(*arguments, *json_flag).splitlines()]

    def subscriber(self, name, peer=None):
        found = [each for each in (peer or self.peer).subscriber_list()[0] if each['name'] == name]
        return found[0] if found else None

    def test_a_row_whose_account_is_no_text_for_a_line_hides_no_other(self):
        self.house.sql(
            'CREATE TABLE named (id int PRIMARY KEY, account_id text)',
            'ALTER TABLE named REPLICA IDENTITY FULL',
            'ALTER PUBLICATION p ADD TABLE named',
            "INSERT INTO named VALUES (1, e'a\\tb'), (2, e'c\\x1b[2Jd'), (3, '(operators)'),"
            " (4, 'ok')",
        )

        def accounts(*options):
            done = subprocess.run(
                [
                    BUILD / 'client' / 'fatwal', 'accounts', '--control', self.house.control,
                    *options,
                ],
                capture_output=True,
                text=True,
                timeout=30,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        until(lambda: ' ok ' in f' {accounts()} '.replace('\n', ' '), 'the accounts to be there')
        keys = {json.loads(line)['account'] for line in accounts('--json').splitlines()}
        self.assertLessEqual({'a\tb', 'c\x1b[2Jd', '(operators)', 'ok'}, keys)
        shown = accounts()
        self.assertNotIn('\x1b', shown)
        self.assertIn('"a\\tb"', shown)
        self.assertIn('"(operators)"', shown)

    def test_holds_name_who_and_why_the_worst_first(self):
        gone, slow = self.new_peer(), self.new_peer()
        away = gone.attach('1', b'gone', durable=True)
        self.insert(1)
        until(lambda: self.peer.hold_list()[1] == 1, 'the first hold')
        gone.detach(away.nonce)
        # The confirmed position moves on behind the first, so the second holds less.
        stays = slow.attach('2', b'slow', durable=True)
        self.insert(2)
        holds, total, end = until(
            lambda: (page := self.peer.hold_list())[1] == 2 and page, 'both holds'
        )
        self.assertEqual((total, end), (2, 1))
        self.assertEqual(
            {(hold['account'], hold['name'], hold['kind']) for hold in holds},
            {(key(1), 'gone', ABSENT), (key(2), 'slow', UNACKNOWLEDGED)},
        )
        self.assertEqual(holds, sorted(holds, key=lambda hold: hold['from']))
        for hold in holds:
            self.assertGreater(hold['behind'], 0)
            self.assertEqual(hold['bytes_left'], RETENTION_BYTES - hold['behind'])
            self.assertLess(hold['held_s'], 60)
            self.assertIn(hold['seconds_left'] + hold['held_s'], (RETENTION_S - 1, RETENTION_S))
        self.assertEqual(self.peer.hold_list(skip=1)[0][0]['name'], holds[1]['name'])
        self.assertEqual(self.peer.hold_list(skip=2)[0], [])
        table = self.fatwal('holds').splitlines()
        self.assertEqual(len(table), 3, table)
        self.assertRegex(table[0], '^ACCOUNT +SUBSCRIBER +HELD BY .* DROPPED IN')
        self.assertEqual(len(self.listed('holds', '--top', '1')), 1)
        by_name = {hold['subscriber']: hold for hold in self.listed('holds')}
        self.assertEqual(by_name['gone']['kind'], 'absent')
        self.assertEqual(by_name['slow']['kind'], 'unacknowledged')
        self.assertEqual(by_name['slow']['account'], '2')
        # The hold ends with the acknowledgement, and for one that is forgotten.
        slow.acknowledge(stays.nonce, lsn(self.peer.status()['published_lsn']))
        until(lambda: self.peer.hold_list()[1] == 1, 'the acknowledgement to be stored')
        self.fatwal('subscribers', 'forget', 'gone', '--account', '1')
        until(lambda: self.peer.hold_list()[1] == 0, 'the hold to end')
        self.assertEqual(self.listed('durable', 'list')[0]['subscriber'], 'slow')

    def test_a_snapshot_and_its_reader_hold(self):
        self.insert(1, count=2000, size=1000)
        reader = self.new_peer()
        attached = reader.attach('1', b'reads')
        self.join(attached)
        reader.receive(reader.snapshot(attached.nonce, credit=1))
        holds, _, _ = self.peer.hold_list()
        kinds = {hold['kind']: hold for hold in holds}
        self.assertEqual(kinds[SNAPSHOT_READER]['name'], 'reads')
        self.assertEqual(kinds[SNAPSHOT]['account'], key(1))
        self.assertEqual(kinds[SNAPSHOT]['name'], '')
        self.assertEqual(self.subscriber('reads')['state'], SNAPSHOTTING)

    def join(self, attached, read=True):
        """A SUB by hand that has subscribed to all; with `read` its marker is read."""
        connection = connect(attached.endpoint)
        self.addCleanup(connection.close)
        for topic in (b'E', b'H', b'\xff' + attached.nonce):
            connection.sendall(frame(b'\x01' + topic))
        if read:
            connection.recv(1)
        until(
            lambda: [each for each in self.peer.subscriber_list()[0] if each['state'] != JOINING],
            'the marker to be answered',
        )
        return connection

    def test_subscribers_are_listed_with_what_they_have_not_read(self):
        slow, joins = self.new_peer(), self.new_peer()
        self.join(slow.attach('1', b'slow', durable=True), read=False)
        joins.attach('2', b'joins')
        listed, end = self.peer.subscriber_list()
        self.assertEqual(end, 1)
        self.assertEqual(
            [
                (each['account'], each['name'], each['state'], each['durable'], each['credential'])
                for each in listed
            ],
            [(key(1), 'slow', LIVE, 1, ''), (key(2), 'joins', JOINING, 0, '')],
        )
        self.assertEqual(self.peer.subscriber_list(after=listed[0]['number'])[0], listed[1:])
        self.insert(1, count=50, size=1000)
        until(lambda: self.subscriber('slow')['unread'] > 1000, 'its connection to fill')
        until(lambda: self.subscriber('slow')['lag'], 'it to lag')
        self.assertEqual(self.subscriber('joins')['lag'], 0)
        table = self.fatwal('subscribers').splitlines()
        self.assertRegex(table[0], '^ACCOUNT +SUBSCRIBER +DURABLE +STATE +LAG +UNREAD')
        self.assertRegex(table[1], '^1 +slow +yes +live ')
        self.assertEqual(
            [each['subscriber'] for each in self.listed('subscribers', '--of-account', '2')],
            ['joins'],
        )

    def test_accounts_are_listed_by_key_bytes_and_subscribers(self):
        crowd = self.new_peer()
        for number in range(3):
            crowd.attach('7', b'%d' % number)
        crowd.attach('8', b'd', durable=True)
        self.insert(7)
        self.insert(8, count=10, size=100)
        until(lambda: self.peer.status()['published_frames'] == '2', 'both to be published')
        accounts, total, end = self.peer.account_list()
        self.assertEqual((total, end), (2, 1))
        self.assertEqual([each['account'] for each in accounts], [key(7), key(8)])
        seven, eight = accounts
        self.assertEqual((seven['subscribers'], seven['durables'], seven['frames']), (3, 0, 1))
        self.assertEqual((eight['subscribers'], eight['durables'], eight['frames']), (1, 1, 1))
        # A schema and a frame.
        self.assertEqual(eight['sequence'], 2)
        self.assertGreater(eight['bytes'], seven['bytes'])
        self.assertGreater(eight['newest'], seven['newest'])
        self.assertEqual(self.peer.account_list(order=1)[0], [eight, seven])
        self.assertEqual(self.peer.account_list(order=2)[0], [seven, eight])
        self.assertEqual(self.peer.account_list(skip=1)[0], [eight])
        self.assertEqual(self.listed('accounts', '--by', 'bytes', '--top', '1')[0]['account'], '8')

    def test_a_reply_is_bounded_and_the_pages_are_all(self):
        crowd = self.new_peer()
        names = [b'%04d' % number for number in range(PAGE + 20)]
        # A long name each, so that a page is as large as it gets.
        for name in names:
            crowd.attach('1', b'n' * 50 + name, durable=True)
        self.insert(1)
        until(lambda: self.peer.hold_list()[1] == len(names), 'a hold for each')
        first, _, end = self.peer.hold_list()
        self.assertEqual((len(first), end), (PAGE, 0))
        rest, _, end = self.peer.hold_list(skip=PAGE)
        self.assertEqual((len(rest), end), (20, 1))
        self.assertEqual(len({hold['name'] for hold in first + rest}), len(names))
        page, end = self.peer.subscriber_list()
        self.assertEqual((len(page), end), (PAGE, 0))
        page, end = self.peer.subscriber_list(after=page[-1]['number'])
        self.assertEqual((len(page), end), (20, 1))
        self.assertEqual(len(self.listed('subscribers')), len(names))
        self.assertEqual(len(self.listed('holds')), len(names))

    def sighup(self, count):
        """Each writes a warning, as there is no settings file."""
        newest = self.peer.event_list()[0][-1]['number']
        for number in range(newest, newest + count):
            self.process.send_signal(signal.SIGHUP)
            until(lambda: self.peer.event_list(number)[0], 'the warning')

    def test_the_log_is_listed_whatever_is_written_of_it(self):
        begun = time.time()
        self.restart(**{'log-level': 'error'})
        self.sighup(1)
        events, start, end = self.peer.event_list()
        self.assertEqual(end, 1)
        self.assertEqual([each['number'] for each in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[0]['text'], f'control endpoint {self.house.control}')
        self.assertEqual((events[0]['level'], events[-1]['level']), (INFO, WARNING))
        self.assertRegex(events[-1]['text'], '^SIGHUP: nothing to read again')
        self.assertAlmostEqual(start / 1e6, begun, delta=60)
        times = [start] + [each['unix_us'] for each in events] + [time.time() * 1e6]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.peer.event_list(events[0]['number'])[0], events[1:])
        self.assertEqual(self.peer.event_list(events[-1]['number']), ([], start, 1))
        self.assertEqual(self.peer.event_list(2**64 - 1), ([], start, 1))
        self.assertNotIn('control endpoint', self.house.read('fatwald.err'))
        listed = self.listed('events')
        self.assertEqual([each['text'] for each in listed], [each['text'] for each in events])
        self.assertEqual((listed[0]['level'], listed[-1]['level']), ('info', 'warning'))
        for line in self.fatwal('events').splitlines():
            self.assertTrue(re.match(r'\d{4}-\d\d-\d\dT\S+Z (info|warning) +\S', line), line)

    def test_the_log_comes_in_pages(self):
        self.sighup(PAGE_OF_LINES)
        page, _, end = self.peer.event_list()
        self.assertEqual((len(page), end), (PAGE_OF_LINES, 0))
        rest, _, end = self.peer.event_list(page[-1]['number'])
        self.assertEqual(end, 1)
        self.assertEqual(
            [each['number'] for each in self.listed('events')],
            [each['number'] for each in page + rest],
        )

    def test_who_follows_the_log_reads_on_behind_a_restart(self):
        self.house.start(
            [
                *(BUILD / 'client' / 'fatwal', 'events', '--follow', '--json'),
                *('--control', self.house.control),
            ],
            'events',
        )
        printed = lambda: self.house.read('events.out').split('\n')
        lines = lambda: [json.loads(line) for line in printed()[:-1]]
        until(lambda: len(lines()) == len(self.peer.event_list()[0]), 'the first lines')
        self.sighup(1)
        until(lambda: lines()[-1]['level'] == 'warning', 'a line that came later')
        first = lines()
        self.restart()
        again = until(
            lambda: [each for each in lines() if each['start'] != first[0]['start']],
            'the lines of the new process',
        )
        self.assertEqual(again[0]['number'], 1)
        self.assertEqual(again[0]['text'], f'control endpoint {self.house.control}')
        numbers = [each['number'] for each in lines() if each['start'] == first[0]['start']]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)), 'each once')


if __name__ == '__main__':
    unittest.main()
