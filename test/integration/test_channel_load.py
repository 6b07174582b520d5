"""What one device or one tenant asks of fatwal-channel, and how much of it: others do not feel it.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import asyncio
import json
import queue

from house import until
from portal import (
    ACCOUNT,
    ACTOR,
    GATEWAY,
    GROUP,
    MEMBERSHIP,
    OTHER_CLIENT,
    OTHER_TENANT,
    OTHER_TOKEN,
    R1,
    SITE,
    TOKEN,
    Portal,
)

CREATE = {'resource_id': R1, 'connected_gateway_ids': []}


class Load(Portal):
    def flood(self, device, message, count):
        """Sends the message many times, as fast as it goes."""
        text = json.dumps(message)

        async def send_all():
            for _ in range(count):
                await device._socket.send(text)

        asyncio.run_coroutine_threadsafe(send_all(), device._loop).result(60)

    def events(self, device, wait=1):
        """All that come until none does for a while."""
        out = []
        while True:
            try:
                event = device.next(wait)
            except queue.Empty:
                return out
            self.assertIsNotNone(event, 'the device was cut')
            out.append(event)

    def wide(self, clients, resources):
        """A gateway with a flow of each of many clients to each of many resources, all by one
        membership.
        """
        self.house.sql(
            (
                "INSERT INTO clients (id, account_id, actor_id, external_id, name, public_key,"
                f" ipv4, ipv6) SELECT md5('c' || n)::uuid, '{ACCOUNT}', '{ACTOR}', 'wide' || n,"
                " 'w', 'k', '100.80.0.0'::inet + n, 'fd01::'::inet + n FROM generate_series(1,"
                f" {clients}) n"
            ),
            (
                "INSERT INTO resources (id, account_id, name, type, address) SELECT md5('r' ||"
                f" n)::uuid, '{ACCOUNT}', 'r' || n, 'dns', 'r' || n || '.example.com' FROM"
                f" generate_series(1, {resources}) n"
            ),
            (
                "INSERT INTO resource_connections (account_id, resource_id, site_id) SELECT"
                f" '{ACCOUNT}', md5('r' || n)::uuid, '{SITE}' FROM generate_series(1,"
                f" {resources}) n"
            ),
            (
                "INSERT INTO policies (id, account_id, actor_group_id, resource_id) SELECT md5('p'"
                f" || n)::uuid, '{ACCOUNT}', '{GROUP}', md5('r' || n)::uuid FROM generate_series(1,"
                f" {resources}) n"
            ),
            (
                "INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id, resource_id,"
                f" token_id, membership_id) SELECT gen_random_uuid(), '{ACCOUNT}', md5('p' ||"
                f" r)::uuid, md5('c' || c)::uuid, '{GATEWAY}', md5('r' || r)::uuid, '{TOKEN}',"
                f" '{MEMBERSHIP}' FROM generate_series(1, {clients}) c, generate_series(1,"
                f" {resources}) r"
            ),
        )

    def test_a_flow_that_is_asked_for_again_is_the_one_there_is(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        self.flood(client, {'event': 'create_flow', 'payload': CREATE}, 50)
        refs = {self.expect(gateway, 'authorize_flow')['payload']['ref'] for _ in range(50)}
        self.assertEqual(len(refs), 1)
        gateway.send('flow_authorized', {'ref': refs.pop()})
        self.expect(client, 'flow_created')
        until(lambda: self.house.sql('SELECT count(*) FROM flows') == '1', 'the row')
        # As well by a session that knows it from its row alone.
        client.close()
        client = self.client()
        self.joined(client)
        client.send('create_flow', CREATE)
        gateway.send(
            'flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']}
        )
        self.expect(client, 'flow_created')
        self.assertEqual(self.house.sql('SELECT count(*) FROM flows'), '1')

    def test_who_asks_for_more_than_a_share_is_told_so(self):
        self.channel(**{'client-flows-per-second': '1', 'client-messages-per-second': '10'})
        gateway, client = self.gateway(), self.client()
        self.joined(gateway)
        self.joined(client)
        self.flood(client, {'event': 'create_flow', 'payload': CREATE, 'ref': 7}, 100)
        replies = self.events(client)
        self.assertEqual({reply['payload']['reason'] for reply in replies}, {'rate_limited'})
        self.assertEqual({reply['ref'] for reply in replies}, {7})
        self.assertLess(len(self.events(gateway)), 40)
        self.flood(client, {'event': 'unknown', 'payload': {}}, 1000)
        reasons = [reply['payload']['reason'] for reply in self.events(client)]
        self.assertEqual(set(reasons), {'unknown_message', 'rate_limited'})

    def test_candidates_go_only_where_a_flow_is_and_once(self):
        self.channel()
        gateway, stranger, client = (
            self.gateway(),
            self.device('client', OTHER_CLIENT, OTHER_TOKEN),
            self.client(),
        )
        self.joined(gateway)
        self.joined(stranger)
        self.joined(client)
        candidates = {
            'event': 'broadcast_ice_candidates',
            'payload': {'candidates': ['x'], 'gateway_ids': [GATEWAY] * 256},
        }
        self.flood(stranger, candidates, 3)
        self.quiet(gateway, 'candidates of a stranger')
        client.send('create_flow', CREATE)
        self.expect(gateway, 'authorize_flow')
        self.flood(client, candidates, 1)
        self.expect(gateway, 'ice_candidates')
        self.quiet(gateway, 'the same candidates again')

    def test_what_a_device_is_shown_first_goes_in_pages_of_any_sum(self):
        self.wide(60, 25)
        self.channel(**{'max-queue-bytes': '65536'})
        gateway = self.gateway()
        init = self.joined(gateway)
        self.assertEqual(init['pages'], 1)
        self.assertEqual(
            len({(a['client_id'], a['resource_id']) for a in init['authorizations']}), 1500
        )

    def test_much_that_one_tenant_loses_at_once_is_handed_over_in_turns(self):
        self.wide(60, 100)
        self.house.sql(OTHER_TENANT)
        self.channel()
        gateway, client, neighbour = self.gateway(), self.client(), self.other_client()
        self.assertEqual(len(self.joined(gateway)['authorizations']), 6000)
        self.joined(client)
        self.joined(neighbour)
        self.house.sql(f"DELETE FROM actor_group_memberships WHERE id = '{MEMBERSHIP}'")
        rejected = set()
        for number in range(6000):
            payload = self.expect(gateway, 'reject_access')['payload']
            rejected.add((payload['client_id'], payload['resource_id']))
            if number % 1000 == 0:
                neighbour.send('nothing', {}, ref=number)
                self.assertEqual(neighbour.next()['ref'], number)
        self.assertEqual(len(rejected), 6000)
        self.assertEqual(
            {self.expect(client, 'resource_deleted')['payload']['id'] for _ in range(101)} & {R1},
            {R1},
        )
        # The next transaction comes behind, and the process continues to acknowledge.
        self.house.sql(
            "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
            f" ('{ACCOUNT}', '{ACTOR}', '{GROUP}')"
        )
        self.assertEqual(
            {self.expect(client, 'resource_created_or_updated')['event'] for _ in range(101)},
            {'resource_created_or_updated'},
        )
