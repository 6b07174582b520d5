"""The random walk of test/channel is the same for the same seed. Run by: scripts/with-postgres
/usr/bin/python3 -m unittest discover -s test/integration
"""
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import House  # noqa: E402

TABLES = (
    'accounts',
    'actors',
    'actor_groups',
    'actor_group_memberships',
    'auth_providers',
    'auth_identities',
    'sites',
    'tokens',
    'clients',
    'gateways',
    'resources',
    'resource_connections',
    'policies',
    'flows',
)


class Walk(unittest.TestCase):
    def world(self, seed):
        house = House()
        self.addCleanup(house.close)
        house.load('portal/example/schema.sql', 'test/access/walk.sql', 'test/access/oracle.sql')
        house.sql(f'ALTER DATABASE {house.database} SET jit = off')
        said = house.sql(f'SELECT walk.setup({seed})')
        self.assertIn('700 clients, 240 gateways, 260 policies, 120 resources, 180 groups', said)
        return house

    def rows(self, house):
        return [
            house.sql(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} t')
            for table in TABLES
        ]

    def test_the_same_seed_gives_the_same_steps_and_rows(self):
        one, two, other = self.world(7), self.world(7), self.world(8)
        self.assertEqual(self.rows(one), self.rows(two))
        self.assertNotEqual(self.rows(one), self.rows(other))
        # One transaction each for one of them, all in one for the other: a step sees no difference.
        said = one.sql('SELECT walk.step(7, n) FROM generate_series(1, 60) AS n').splitlines()
        separately = subprocess.run(
            ['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', two.database],
            capture_output=True,
            text=True,
            check=True,
            input=''.join(f'SELECT walk.step(7, {n});\n' for n in range(1, 61)),
        ).stdout.splitlines()
        self.assertEqual(said, separately)
        self.assertEqual(self.rows(one), self.rows(two))

    def test_it_reaches_every_kind_and_keeps_the_account_large(self):
        house = self.world(1)
        done = house.sql(
            "SELECT DISTINCT split_part(walk.step(1, n), ':', 1) FROM generate_series(1, 1000) AS n"
        ).splitlines()
        self.assertEqual(
            house.sql(
                "SELECT name FROM walk.kinds WHERE name <> ALL"
                f" (string_to_array('{'|'.join(done)}', '|'))"
            ),
            '',
        )
        for table, least in (
            ('clients', 600),
            ('gateways', 200),
            ('policies', 200),
            ('resources', 100),
            ('actor_groups', 150),
            ('flows', 300),
        ):
            self.assertGreater(int(house.sql(f'SELECT count(*) FROM {table}')), least, table)
        # Some of everything that a channel has to tell apart.
        at = '2026-01-05 10:00+00'
        self.assertGreater(
            int(
                house.sql(
                    "SELECT count(*) FROM (SELECT id FROM clients ORDER BY id LIMIT 100) c,"
                    f" oracle.client_view(c.id, '{at}', '1.5.0')"
                )
            ),
            100,
        )
        kinds = house.sql(
            f"SELECT DISTINCT justified, own FROM gateways w, oracle.gateway_pairs(w.id, '{at}')"
            " ORDER BY 1, 2"
        ).splitlines()
        self.assertEqual(kinds, ['f|f', 't|f', 't|t'])


if __name__ == '__main__':
    unittest.main()
