"""What the rows of one tenant cost the other tenants of a fatwal-channel: nothing.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import base64
import json
import os
import unittest
import urllib.error
import urllib.request

from house import until
from portal import ACCOUNT, CLIENT, GATEWAY, OTHER_ACCOUNT, OTHER_CLIENT, OTHER_TENANT, OTHER_TOKEN, SECRET, TOKEN, Portal, uid

NEIGHBOUR, NEIGHBOURS_TOKEN = uid(0xc, 7), uid(0x70, 8)


class Rows(Portal):
    """Statements that handle the rows of several tenants, one of which fails."""

    def setUp(self):
        super().setUp()
        self.house.sql(OTHER_TENANT)

    def register(self, account, token, name):
        """The status and the reason."""
        body = json.dumps({'external_id': name, 'name': name, 'public_key': base64.b64encode(os.urandom(32)).decode()})
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['channel']}/client", body.encode(), {'Authorization': f'Bearer {account}.{token}.{SECRET}'})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())['reason']

    def log(self):
        return self.house.read('channel.err')

    def of_client(self, client, *columns):
        return self.house.sql(f"SELECT {', '.join(columns)} FROM clients WHERE id = '{client}'")

    def bound_to(self, token):
        return self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{token}'")

    # Tokens are looked up.

    def test_an_infinite_end_of_a_token_is_none(self):
        self.house.sql(f"UPDATE tokens SET expires_at = 'infinity' WHERE id = '{TOKEN}'", f"UPDATE tokens SET expires_at = '-infinity' WHERE id = '{OTHER_TOKEN}'",
                       f"UPDATE tokens SET expires_at = '294276-12-31' WHERE id = '{NEIGHBOURS_TOKEN}'")
        self.channel()
        # Of accounts that are not followed yet, so that all are looked up.
        devices = self.client(), self.device('client', OTHER_CLIENT, OTHER_TOKEN), self.other_client()
        self.joined(devices[0])
        self.expect_end(devices[1], 'token_expired')
        self.joined(devices[2])
        self.assertNotIn('cannot look', self.log())
        self.assertEqual(self.register(ACCOUNT, TOKEN, 'c1'), (200, None))
        self.assertEqual(self.register(ACCOUNT, OTHER_TOKEN, 'c2'), (401, 'token_expired'))

    def unreadable(self, token):
        """A connection string by which the row of this token cannot be read, whoever's it is looked up with."""
        self.house.sql('CREATE SCHEMA broken', f"""CREATE VIEW broken.tokens AS SELECT id, account_id, type, actor_id, identity_id, site_id, secret_hash, device_id,
            expires_at + (1 / (id <> '{token}')::int - 1) * interval '1 s' AS expires_at, last_seen_at, last_seen_remote_ip, last_seen_user_agent FROM public.tokens""")
        return self.house.conninfo() + " options='-c search_path=broken,public'"

    def test_a_token_that_cannot_be_read_keeps_out_its_own_device_alone(self):
        self.channel(database=self.unreadable(TOKEN))
        devices = self.client(), self.other_client()
        self.expect_end(devices[0], 'try_again')
        self.joined(devices[1])
        self.assertIn(f'cannot look the token {TOKEN} up', self.log())
        self.assertEqual(self.register(ACCOUNT, TOKEN, 'c1'), (503, 'try_again'))
        self.assertEqual(self.register(OTHER_ACCOUNT, NEIGHBOURS_TOKEN, 'o'), (200, None))

    # Where devices were last seen.

    def test_a_token_that_is_deleted_before_its_device_is_written_stops_nothing(self):
        self.channel()
        session = self.open_transaction(f"SELECT FROM clients WHERE id = '{CLIENT}' FOR UPDATE")
        client = self.client()
        self.joined(client)
        session.run(f"DELETE FROM tokens WHERE id = '{TOKEN}'", 'COMMIT')
        self.expect_end(client, 'token_expired')
        self.ended_flow(OTHER_ACCOUNT, NEIGHBOUR, uid(0x6, 7), NEIGHBOURS_TOKEN)
        self.joined(self.other_client())
        until(lambda: self.of_client(NEIGHBOUR, 'last_seen_version', 'last_used_token_id') == f'1.5.0|{NEIGHBOURS_TOKEN}', 'the neighbour to be seen')
        until(lambda: self.bound_to(NEIGHBOURS_TOKEN) == NEIGHBOUR, 'its token to be bound')
        until(lambda: self.of_client(CLIENT, 'last_seen_version', 'last_used_token_id') == '1.5.0|', 'the device without its token to be seen')
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the flow that has ended to go')
        self.assertNotIn('cannot', self.log())

    def test_a_device_that_the_database_refuses_to_write_costs_itself_alone(self):
        self.house.sql("ALTER TABLE clients ADD CHECK (last_seen_version <> '1.5.7')")
        self.channel()
        # Written together: the locks go at once.
        session = self.open_transaction('LOCK TABLE clients IN EXCLUSIVE MODE')
        self.joined(self.client(version='1.5.7'))
        self.joined(self.device('client', OTHER_CLIENT, OTHER_TOKEN))
        self.joined(self.other_client())
        session.run('COMMIT')
        for client in (OTHER_CLIENT, NEIGHBOUR):
            until(lambda client=client: self.of_client(client, 'last_seen_version') == '1.5.0', 'it to be seen')
        for client, token in ((CLIENT, TOKEN), (OTHER_CLIENT, OTHER_TOKEN), (NEIGHBOUR, NEIGHBOURS_TOKEN)):
            until(lambda client=client, token=token: self.bound_to(token) == client, 'its token to be bound')
        self.assertEqual(self.of_client(CLIENT, 'last_seen_version'), '')
        self.assertIn(f'cannot write where the client {CLIENT} was last seen', self.log())

    # Flows are deleted.

    def ended_flow(self, account, client, gateway, token):
        self.house.sql(f"INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id, resource_id, token_id, expires_at) SELECT gen_random_uuid(), account_id, id, '{client}', '{gateway}', "
                       f"resource_id, '{token}', now() - interval '2 minutes' FROM policies WHERE account_id = '{account}'")

    def referred(self, condition):
        """Rows of another table refer to these flows, so that nobody can delete them."""
        self.house.sql('CREATE TABLE notes (flow_id uuid REFERENCES flows)', f'INSERT INTO notes SELECT id FROM flows WHERE {condition}')

    def test_a_flow_that_cannot_be_deleted_keeps_no_other(self):
        self.channel()
        devices = self.gateway(), self.client(), self.other_gateway(), self.other_client()
        for device in devices:
            self.joined(device)
        self.authorized(devices[1], devices[0])
        self.authorized(devices[3], devices[2], uid(0xe, 7))
        until(lambda: self.flows(ACCOUNT) == self.flows(OTHER_ACCOUNT) == 1, 'the rows')
        self.referred(f"account_id = '{ACCOUNT}'")
        self.house.sql('UPDATE policies SET disabled_at = now()')
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the row of the other tenant to go')
        self.assertEqual(self.flows(ACCOUNT), 1)
        self.house.sql('DELETE FROM notes')
        until(lambda: self.flows(ACCOUNT) == 0, 'the row to be tried again')

    def test_a_flow_that_has_ended_and_cannot_be_deleted_keeps_no_other(self):
        self.ended_flow(ACCOUNT, CLIENT, GATEWAY, TOKEN)
        self.ended_flow(OTHER_ACCOUNT, NEIGHBOUR, uid(0x6, 7), NEIGHBOURS_TOKEN)
        self.referred(f"account_id = '{ACCOUNT}'")
        self.channel()
        until(lambda: self.flows(OTHER_ACCOUNT) == 0, 'the row of the other tenant to go')
        self.assertEqual(self.flows(ACCOUNT), 1)


if __name__ == '__main__':
    unittest.main()
