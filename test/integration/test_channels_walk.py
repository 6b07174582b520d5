"""The channels of one large account follow random transactions and are held against the oracle
(test/channel) by what their devices are pushed.

Here 150 steps; FATWAL_WALK_STEPS and FATWAL_WALK_SEED make it longer and another:
  FATWAL_WALK_STEPS=10000 scripts/with-postgres
      /usr/bin/python3 -m unittest discover -s test/integration -p test_channels_walk.py

Queries are counted by the server: it logs every statement of every session in this database but
the one that drives the walk, with the role. fatwald's role may not even read the tables once the
snapshot is taken, and the program that holds the channels has no other session.
"""
import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import BUILD, House, until  # noqa: E402

STEPS = int(os.environ.get('FATWAL_WALK_STEPS', 150))
SEED = int(os.environ.get('FATWAL_WALK_SEED', 1))
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


class ChannelsWalk(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.role = f'sidecar_{self.house.database}'
        self.log = pathlib.Path(os.environ['FATWAL_PGDATA']).parent / 'log'
        self.house.load(
            'portal/example/schema.sql', 'test/access/walk.sql', 'test/access/oracle.sql'
        )
        self.house.sql(
            f'ALTER DATABASE {self.house.database} SET jit = off',
            f'SELECT walk.setup({SEED})',
            'ANALYZE',
            f'CREATE ROLE {self.role} LOGIN REPLICATION',
            f"GRANT SELECT ON {', '.join(TABLES)} TO {self.role}",
            f'GRANT USAGE ON SCHEMA fatwal TO {self.role}',
            (
                'GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.subscriber, fatwal.slot TO'
                f' {self.role}'
            ),
            f'GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO {self.role}',
        )
        # Undone in the opposite order: the privileges, the role, the database.
        self.addCleanup(self.house.sql, f'DROP ROLE {self.role}', database='postgres')
        self.addCleanup(self.house.sql, f'DROP OWNED BY {self.role}')
        self.addCleanup(
            self.house.sql,
            'ALTER SYSTEM RESET log_line_prefix',
            'SELECT pg_reload_conf()',
            database='postgres',
        )
        self.house.sql(
            "ALTER SYSTEM SET log_line_prefix = 'role=%u session=%a '",
            'SELECT pg_reload_conf()',
            f"ALTER DATABASE {self.house.database} SET log_statement = 'all'",
            database='postgres',
        )

    def statements(self, offset):
        """Of fatwald's role, from this place of the server's log."""
        with open(self.log, encoding='utf-8') as file:
            file.seek(offset)
            return re.findall(
                (
                    rf'^role={self.role} session=.*? LOG:  (?:statement|execute [^:]*):'
                    r' (.*(?:\n\t.*)*)'
                ),
                file.read(),
                re.M,
            )

    def test_what_devices_are_pushed_is_what_they_may_reach(self):
        house = self.house
        start = self.log.stat().st_size
        house.fatwald(
            publication='portal',
            database=house.conninfo().replace(f"user={os.environ['PGUSER']}", f'user={self.role}'),
        )
        conninfo = f"{house.conninfo()} application_name=walk options='-c log_statement=none'"
        walk = house.start(
            [
                BUILD / 'test' / 'walk_channels',
                conninfo,
                house.control,
                SEED,
                STEPS,
                *os.environ.get('FATWAL_WALK_CHECKS', '').split(),
            ],
            'walk',
        )
        until(
            lambda: 'channels:' in house.read('walk.out') or walk.poll() is not None,
            'the channels to be there',
        )
        house.sql(f"REVOKE SELECT ON {', '.join(TABLES)} FROM {self.role}")
        offset = self.log.stat().st_size
        sessions = house.sql(
            "SELECT DISTINCT usename, application_name FROM pg_stat_activity WHERE datname ="
            f" '{house.database}' AND pid <> pg_backend_pid()"
        ).splitlines()
        status = walk.wait()
        said = house.read('walk.out')
        self.assertEqual(status, 0, said + house.read('walk.err'))
        named = re.compile(rf"\b({'|'.join(TABLES)}|fatwal\.snapshot)\b")
        self.assertEqual(
            len([s for s in self.statements(start) if named.search(s)]), 1, 'the snapshot'
        )
        queries = [s for s in self.statements(offset) if named.search(s)]
        print(
            (
                f'\n{said}queries of the tables but by what drives the walk: {len(queries)} (of'
                f' {len(self.statements(offset))} statements of fatwald)'
            ),
            flush=True,
        )
        self.assertEqual(queries, [])
        # Nobody else is there who could ask.
        self.assertEqual([s for s in sessions if not s.startswith(self.role)], ['postgres|walk'])
        self.assertIn(f'steps {STEPS}, ', said)
        self.assertNotIn('permission denied', house.read('fatwald.err'))


if __name__ == '__main__':
    unittest.main()
