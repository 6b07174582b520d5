"""What a device is shown never goes back, whoever restarts, pauses or sets a clock.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import unittest

import test_channels
from house import until
from test_channels import ACCOUNT, GROUP, P1, P2, R1, R2


def policy(id, resource):
    return f"INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{id}', '{ACCOUNT}', '{GROUP}', '{resource}')"


class Order(test_channels.Channels):
    # Its world and its helpers, not its tests.
    locals().update({name: None for name in dir(test_channels.Channels) if name.startswith('test_')})

    def snapshots(self, name='channel'):
        return self.house.read(f'{name}.err').count('rows as of')

    def grant(self, client, gateway, resource):
        client.send('create_flow', {'resource_id': resource, 'connected_gateway_ids': []})
        gateway.send('flow_authorized', {'ref': self.expect(gateway, 'authorize_flow')['payload']['ref']})
        self.expect(client, 'flow_created', resource_id=resource)
        until(lambda: self.house.sql(f"SELECT count(*) FROM flows WHERE resource_id = '{resource}'") == '1', 'the row')


class Snapshots(Order):
    def test_a_snapshot_of_before_does_not_bring_back_what_was_taken_away(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway), self.joined(client)
        self.house.sql(policy(P2, R2))
        self.expect(client, 'resource_created_or_updated', id=R2)
        self.grant(client, gateway, R2)
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(client, 'resource_deleted', id=R1)
        before = self.snapshots()
        self.house.sql('BEGIN; CREATE TABLE keep AS SELECT * FROM flows; TRUNCATE flows; INSERT INTO flows SELECT * FROM keep; COMMIT')
        until(lambda: self.snapshots() > before, 'a new snapshot')
        # One is enough: it was taken after the truncate, whatever fatwald had from before.
        self.house.sql(f"UPDATE resources SET name = 'behind' WHERE id = '{R2}'")
        self.expect(client, 'resource_created_or_updated', id=R2, name='behind')
        self.assertEqual(self.snapshots(), before + 1)
        self.quiet(gateway)
        self.assertEqual(self.house.sql('SELECT count(*) FROM flows'), '1')

    def test_the_first_init_of_a_second_process_is_of_the_present(self):
        self.channel('a')
        first = self.client('a')
        self.assertEqual(self.shown(self.joined(first)), ['r1'])
        self.house.sql(f"DELETE FROM policies WHERE id = '{P1}'")
        self.expect(first, 'resource_deleted', id=R1)
        # fatwald serves the snapshot that it has just taken to this one too.
        self.channel('b')
        self.assertEqual(self.shown(self.joined(self.client('b'))), [])

    def test_a_new_snapshot_takes_access_away_each_time(self):
        self.channel()
        gateway, client = self.gateway(), self.client()
        self.joined(gateway), self.joined(client)
        for _ in range(3):
            self.grant(client, gateway, R1)
            self.house.sql(f"BEGIN; DELETE FROM policies WHERE id = '{P1}'; TRUNCATE flows; COMMIT")
            self.expect(gateway, 'reject_access', resource_id=R1)
            self.expect(client, 'resource_deleted', id=R1)
            self.house.sql(policy(P1, R1))
            self.expect(client, 'resource_created_or_updated', id=R1)


if __name__ == '__main__':
    unittest.main()
