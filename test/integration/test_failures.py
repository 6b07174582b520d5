"""An exception in a thread beside the loop ends neither fatwald nor fatwal-channel.

test/support/failing_new.cpp lets allocations fail in the threads that are named.
"""
import unittest

from house import House, failing, until
from portal import ACCOUNT, TOKEN, Portal

AGAIN = 'failed and is started again'


class OfFatwald(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )

    def test_no_thread_that_runs_out_of_memory_ends_fatwald(self):
        house = self.house
        threads = ('connector', 'housekeeping', 'snapshots', 'reread')
        process = house.fatwald(environment=failing(threads, 12))
        house.sql('INSERT INTO t VALUES (0, 1)')
        house.tail('1', 'one', '--durable', 'one', '--snapshot')
        number = 0

        def came():
            nonlocal number
            number += 1
            house.sql(f'INSERT INTO t VALUES ({number}, 1)')
            return AGAIN in house.read('fatwald.err')

        until(came, 'a thread to be started again')
        self.assertIsNone(process.poll(), house.read('fatwald.err'))
        ids = [event['new']['id'] for event in house.events('one', number + 1)]
        self.assertEqual(sorted(set(ids)), list(range(number + 1)))
        # A new one has its snapshot and is stored, and what it acknowledges is confirmed.
        house.tail('1', 'two', '--durable', 'two', '--snapshot')
        house.events('two', number + 1)
        self.assertEqual(house.sql('SELECT count(*) FROM fatwal.subscriber'), '2')
        self.assertIsNone(process.poll(), house.read('fatwald.err'))


class OfTheChannel(Portal):
    def test_no_thread_that_runs_out_of_memory_ends_the_process(self):
        threads = ('doorkeeper', 'registrar', 'flow-writer', 'last-seen', 'publication')
        process = self.channel(environment=failing(threads, 12))
        end = self.house.folder / 'channel.err'

        def came():
            client, gateway = self.client(), self.gateway()
            client.close()
            gateway.close()
            # Most threads report what fails themselves, and go on.
            return AGAIN in end.read_text() or 'bad_alloc' in end.read_text()

        until(came, 'an allocation to fail')

        # What failed on the way cost no more than the devices that waited for it.
        def is_let_in():
            client = self.client()
            first = client.next()
            client.close()
            return first['event'] == 'init'

        until(is_let_in, 'devices to be let in')
        client, gateway = self.client(), self.gateway()
        self.joined(client)
        self.joined(gateway)

    def test_what_a_thread_writes_as_json_ends_nothing(self):
        process = self.channel(environment=failing(('last-seen',), 300))

        def failed_often():
            client = self.client()
            self.joined(client)
            client.close()
            self.assertIsNone(process.poll(), self.house.read('channel.err'))
            return self.house.read('channel.err').count('bad_alloc') >= 5

        until(failed_often, 'allocations to fail')
