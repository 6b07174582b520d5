"""fatwal-channel seen from outside: /metrics, /healthz and /readyz."""
import socket
import unittest

from house import until
from portal import P1, R1, R2, Portal
from watched import Pages, documented, promtool


class Metrics(Portal):
    def start(self, name='channel', **settings):
        process = self.channel(name, **{'http': '127.0.0.1:0'} | settings)
        return process, Pages(lambda: self.house.read(f'{name}.err'))

    def scraped(self, pages, condition, what):
        return until(lambda: condition(scrape := pages.scrape()) and scrape, what)

    def test_a_scrape_has_what_the_docs_say_and_promtool_takes_it(self):
        _, pages = self.start()
        scrape = pages.scrape()
        self.assertEqual(scrape.described(), documented('### Of fatwal-channel'))
        status, said = promtool('check', 'metrics', text=scrape.text)
        self.assertEqual((status, said), (0, ''))
        self.assertEqual(pages.get('/metrics/accounts')[0], 404)

    def test_devices_flows_and_revocations_are_counted(self):
        _, pages = self.start()
        client, gateway = self.client(), self.gateway()
        self.joined(client)
        self.joined(gateway)
        self.flow(client, gateway)
        client.send('create_flow', {'resource_id': R2, 'connected_gateway_ids': []})
        self.expect(client, 'flow_creation_failed', resource_id=R2)
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(gateway, 'reject_access', resource_id=R1)
        self.expect(client, 'resource_deleted')
        scrape = self.scraped(
            pages,
            lambda of: of['fatwal_channel_authorizations_total', {'outcome': 'revoked'}] == 1,
            'the revocation',
        )
        for kind, count in (('client', 1), ('gateway', 1), ('relay', 0)):
            self.assertEqual(scrape['fatwal_channel_devices', {'kind': kind}], count)
        outcomes = {
            outcome: scrape['fatwal_channel_authorizations_total', {'outcome': outcome}]
            for outcome in ('granted', 'not_found', 'forbidden', 'offline', 'other')
        }
        self.assertEqual(outcomes['granted'], 1)
        self.assertEqual(sum(outcomes.values()), 2, outcomes)
        self.assertEqual(scrape['fatwal_channel_accounts'], 1)
        self.assertEqual(scrape['fatwal_channel_accounts_live'], 1)
        # Of the revocation, both.
        self.assertGreaterEqual(scrape['fatwal_channel_push_latency_seconds_count'], 2)
        self.assertGreaterEqual(scrape['fatwal_channel_transaction_latency_seconds_count'], 1)
        self.assertGreaterEqual(scrape['fatwal_channel_decision_seconds_count'], 2)
        self.assertLess(scrape['fatwal_channel_push_latency_seconds_sum'], 60)
        self.assertGreaterEqual(scrape['fatwal_channel_pushes_total', {'kind': 'client'}], 3)
        self.assertGreater(scrape['fatwal_channel_loop_delay_seconds_count'], 0)

    def test_it_is_ready_until_it_ends(self):
        process, pages = self.start(**{'drain-s': '20'})
        until(lambda: pages.get('/readyz') == (200, 'ok\n'), 'it to be ready')
        self.assertEqual(pages.get('/healthz'), (200, 'ok\n'))
        # A client that stays, so that the drain takes its time.
        client = self.client()
        self.joined(client)
        lock = self.house.locking('flows')
        gateway = self.gateway()
        self.joined(gateway)
        self.authorized(client, gateway)
        process.terminate()
        until(
            lambda: pages.get('/readyz') == (503, 'draining: the process ends\n'),
            'it to say that it ends',
        )
        lock.run('ROLLBACK')
        self.assertEqual(process.wait(60), 0)

    def test_a_port_that_is_taken_ends_the_start(self):
        taken = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        process = self.channel(wait=False, http=f'127.0.0.1:{port}')
        self.assertEqual(process.wait(60), 1)
        self.assertIn(f'cannot listen at --http 127.0.0.1:{port}', self.house.read('channel.err'))


if __name__ == '__main__':
    unittest.main()
