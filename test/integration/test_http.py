"""fatwald seen from outside: /metrics, /metrics/accounts, /healthz and /readyz."""
import socket
import subprocess
import unittest

from house import BUILD, House, until
from peer import Peer, lsn
from watched import Pages, documented, promtool

TABLE = (
    'CREATE TABLE t (id int, account_id int, n text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)


class Http(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)

    def start(self, name='fatwald', **settings):
        settings = {'http': '127.0.0.1:0', 'confirm-interval-ms': 200} | settings
        process = self.house.fatwald(name, **settings)
        return process, self.pages(name)

    def pages(self, name):
        return Pages(lambda: self.house.read(f'{name}.err'))

    def peer(self):
        peer = Peer(self.house.control)
        self.addCleanup(peer.close)
        return peer

    def insert(self, count=1):
        self.house.sql(f'INSERT INTO t SELECT g, 1 FROM generate_series(1, {count}) g')

    def scraped(self, pages, condition, what):
        """The first scrape for which the condition holds."""
        return until(lambda: condition(scrape := pages.scrape()) and scrape, what)

    def test_a_scrape_has_what_the_docs_say_and_promtool_takes_it(self):
        _, pages = self.start()
        self.peer().attach('1', b'd', durable=True)
        self.insert()
        scrape = self.scraped(pages, lambda of: of['fatwal_published_frames_total'], 'the frame')
        self.assertEqual(scrape.described(), documented('### Of fatwald'))
        status, said = promtool('check', 'metrics', text=scrape.text)
        self.assertEqual((status, said), (0, ''))
        accounts = pages.scrape('/metrics/accounts')
        self.assertEqual(accounts.described(), documented('### Of the accounts'))
        status, said = promtool('check', 'metrics', text=accounts.text)
        self.assertEqual((status, said), (0, ''))

    def test_the_numbers_are_those_of_the_stream(self):
        _, pages = self.start()
        peer = self.peer()
        away = peer.attach('1', b'away', durable=True)
        peer.detach(away.nonce)
        stays = peer.attach('1', b'stays', durable=True)
        for _ in range(3):
            self.insert()
        scrape = self.scraped(pages, lambda of: of['fatwal_published_frames_total'] == 3, 'three')
        self.assertEqual(scrape['fatwal_publish_latency_seconds_count'], 3)
        self.assertLess(scrape['fatwal_publish_latency_seconds_sum'], 30)
        self.assertGreaterEqual(scrape['fatwal_received_frames_total'], 3)
        self.assertEqual(scrape['fatwal_state', {'state': 'streaming'}], 1)
        self.assertEqual(scrape['fatwal_ready'], 1)
        self.assertEqual(scrape['fatwal_accounts'], 1)
        self.assertEqual(scrape['fatwal_subscribers', {'state': 'joining'}], 1)
        self.assertEqual(scrape['fatwal_durable_subscribers', {'attached': 'yes'}], 1)
        self.assertEqual(scrape['fatwal_durable_subscribers', {'attached': 'no'}], 1)
        self.assertEqual(scrape['fatwal_holds', {'kind': 'durable'}], 2)
        self.assertGreater(scrape['fatwal_hold_worst_bytes'], 0)
        self.assertGreater(scrape['fatwal_durable_drop_seconds'], 86_000)
        self.assertLessEqual(scrape['fatwal_durable_drop_seconds'], 86_400)
        self.assertLess(scrape['fatwal_confirmed_lsn_bytes'], scrape['fatwal_published_lsn_bytes'])
        # WAL is kept from before the first change, so its age rises.
        older = self.scraped(
            pages, lambda of: of['fatwal_slot_retained_seconds'] > 1.5, 'the kept WAL to become old'
        )
        self.assertGreater(older['fatwal_hold_longest_seconds'], 1)
        peer.acknowledge(stays.nonce, lsn(peer.status()['published_lsn']))
        subprocess.run(
            [BUILD / 'client' / 'fatwal', 'subscribers', 'forget', 'away', '--account', '1']
            + ['--control', self.house.control],
            check=True,
        )
        free = self.scraped(
            pages, lambda of: of['fatwal_holds', {'kind': 'durable'}] == 0, 'the holds to end'
        )
        self.assertEqual(free['fatwal_durable_drop_seconds'], float('inf'))
        self.scraped(
            pages, lambda of: of['fatwal_slot_retained_seconds'] == 0, 'all to be confirmed'
        )

    def test_snapshots_and_refusals_are_counted(self):
        _, pages = self.start()
        self.insert(100)
        self.house.tail('1', 't', '--snapshot', '--count', '100')
        scrape = self.scraped(pages, lambda of: of['fatwal_snapshot_seconds_count'], 'its end')
        self.assertEqual(scrape['fatwal_snapshot_rows_total'], 100)
        self.assertEqual(scrape['fatwal_snapshot_queries_total'], 1)
        self.assertEqual(scrape['fatwal_refused_requests_total', {'cause': 'bad_account'}], 0)
        with self.assertRaises(Exception):
            self.peer().attach(b'x' * 3, kind=2)
        self.scraped(
            pages,
            lambda of: of['fatwal_refused_requests_total', {'cause': 'bad_account'}] == 1,
            'the refusal',
        )

    def test_readyz_says_streaming_standby_and_why_not(self):
        first, pages = self.start()
        until(lambda: pages.get('/readyz') == (200, 'streaming\n'), 'the first to be ready')
        self.assertEqual(pages.get('/healthz'), (200, 'ok\n'))
        settings = {'http': '127.0.0.1:0', 'run-dir': self.house.folder / 'second'}
        settings['control'] = f'ipc://{self.house.folder}/second/control.sock'
        self.house.fatwald('second', wait=False, **settings)
        second = self.pages('second')
        until(lambda: second.get('/readyz') == (200, 'standby\n'), 'the second to wait')
        self.assertEqual(second.scrape()['fatwal_state', {'state': 'standby'}], 1)
        self.house.stop(first)
        until(lambda: second.get('/readyz') == (200, 'streaming\n'), 'the second to take over')
        away = {'database': 'host=127.0.0.1 port=1 dbname=none', 'http': '127.0.0.1:0'}
        away['run-dir'] = self.house.folder / 'third'
        away['control'] = f'ipc://{self.house.folder}/third/control.sock'
        self.house.fatwald('third', wait=False, **away)
        third = self.pages('third')
        status, said = until(
            lambda: 'refused' in (answer := third.get('/readyz'))[1] and answer, 'the reason'
        )
        self.assertEqual(status, 503)
        self.assertRegex(said, r'^connecting: cannot connect to Postgres')
        self.assertEqual(third.get('/healthz'), (200, 'ok\n'))

    def test_the_accounts_of_which_most_came_are_bounded(self):
        _, pages = self.start()
        peer = self.peer()
        for account in range(1, 6):
            peer.attach(str(account))
        self.house.sql(
            "INSERT INTO t SELECT 1, g, repeat('x', 100 * g) FROM generate_series(1, 5) g"
        )
        self.scraped(pages, lambda of: of['fatwal_published_frames_total'] == 5, 'the frames')
        scrape = pages.scrape('/metrics/accounts?top=2')
        found = [labels for name, labels in scrape.samples if name == 'fatwal_account_subscribers']
        self.assertEqual(found, [(('account', '5'),), (('account', '4'),)])
        self.assertEqual(pages.get('/metrics/accounts?top=501')[0], 400)

    def test_those_who_do_not_read_hold_nobody_up(self):
        _, pages = self.start()
        silent = []
        for _ in range(100):
            silent.append(socket.create_connection(('127.0.0.1', pages.port)))
            self.addCleanup(silent[-1].close)
            silent[-1].sendall(b'GET /metrics HT')
        self.house.tail('1', 't')
        self.insert()
        self.assertEqual(len(self.house.lines('t', 1)), 1)
        self.assertEqual(pages.get('/healthz'), (200, 'ok\n'))

    def test_what_cannot_be_listened_at_ends_the_start(self):
        taken = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        readable = self.house.folder / 'token'
        readable.write_text('0123456789abcdef\n')
        readable.chmod(0o644)
        for name, settings, words in (
            ('taken', {'http': f'127.0.0.1:{port}'}, f'cannot listen at --http 127.0.0.1:{port}'),
            ('open', {'http': '0.0.0.0:0'}, 'needs a token'),
            ('file', {'http': '0.0.0.0:0', 'http-token-file': readable}, 'chmod 600'),
        ):
            process = self.house.fatwald(name, wait=False, **settings)
            self.assertEqual(process.wait(60), 1)
            self.assertIn(words, self.house.read(f'{name}.err'))

    def test_with_a_token_it_may_listen_anywhere(self):
        token = self.house.folder / 'token'
        token.write_text('0123456789abcdef\n')
        token.chmod(0o600)
        _, pages = self.start(**{'http': '0.0.0.0:0', 'http-token-file': token})
        self.assertEqual(pages.get('/metrics')[0], 401)
        self.assertEqual(pages.get('/metrics', token='0123456789abcdeX')[0], 401)
        until(lambda: pages.get('/metrics', token='0123456789abcdef')[0] == 200, 'the first report')
        self.assertEqual(pages.get('/readyz'), (200, 'streaming\n'))


if __name__ == '__main__':
    unittest.main()
