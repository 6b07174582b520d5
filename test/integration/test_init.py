"""`fatwal init`, and the ways in which newcomers stumble: each is a prepared server that it names,
and that is mended by what it prints.
"""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from house import BUILD, ROOT, House, until

FATWAL = BUILD / 'client' / 'fatwal'
NOTHING_CHANGED = 'Nothing was changed.'
ALL_IS_THERE = 'All is there: nothing to do.'
TABLES = (
    'CREATE TABLE orders (id int PRIMARY KEY, account_id int, item text)',
    'CREATE TABLE accounts (id int PRIMARY KEY, name text)',
)
ARGUMENTS = ('--tables', 'orders,accounts', '--account-column', 'accounts=id')


class Init(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql('DROP EXTENSION fatwal', 'DROP SCHEMA fatwal', *TABLES)
        # Where roles' rights are; before the roles go.
        self.addCleanup(lambda: [self.forget(role) for role in self.house.roles])
        self.fatwald_role = f'{self.house.database}_fatwald'
        self.arguments = (
            *ARGUMENTS,
            *('--role', self.fatwald_role, '--publication', 'p', '--slot', self.house.slot),
        )
        self.addCleanup(self.forget, self.fatwald_role, drop=True)

    def forget(self, role, drop=False):
        house = self.house
        if not house.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            return
        house.sql(f'REASSIGN OWNED BY {role} TO CURRENT_USER', f'DROP OWNED BY {role}')
        if drop:
            house.sql(f'DROP ROLE {role}')

    def init(self, *more, user=None, arguments=None, database=None):
        done = subprocess.run(
            [
                FATWAL,
                'init',
                '--database',
                database or self.house.conninfo(user),
                *(self.arguments if arguments is None else arguments),
                *more,
            ],
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    def assert_done(self, *more, **how):
        """It does what is to be done, and a second time finds nothing to do."""
        status, output = self.init(*more, **how)
        self.assertEqual(status, 0, output)
        status, again = self.init(*more, **how)
        self.assertEqual(status, 0, again)
        self.assertIn(ALL_IS_THERE, again)
        return output

    def assert_refused(self, *more, **how):
        """It names what others have to do, and has changed nothing."""
        before = self.catalog()
        status, output = self.init(*more, **how)
        self.assertEqual(status, 3, output)
        self.assertIn(NOTHING_CHANGED, output)
        self.assertEqual(self.catalog(), before)
        return output

    def catalog(self):
        return self.house.sql(
            "SELECT array_agg(r ORDER BY r) FROM (SELECT 'relation', relname, relacl::text,"
            " relreplident::text FROM pg_class WHERE oid >= 16384 UNION ALL SELECT 'schema',"
            " nspname, nspacl::text, '' FROM pg_namespace UNION ALL SELECT 'publication', pubname,"
            " '', '' FROM pg_publication UNION ALL SELECT 'role', rolname, rolreplication::text, ''"
            " FROM pg_roles) AS r"
        )

    def check(self):
        """2: the database lacks something. The server of the tests has warnings."""
        done = subprocess.run(
            [FATWAL, 'doctor', '-v', '--database', self.house.conninfo()],
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    def statements_for(self, output, who):
        """Those that it prints for somebody."""
        part = re.search(rf'to be run by {who}.*?:\n((?: {{11}}.*\n)+)', output)
        self.assertIsNotNone(part, output)
        return [line.strip() for line in part[1].splitlines()]

    def assert_streams(self, **settings):
        """fatwald runs as the role that was set up, with rows and changes."""
        house = self.house
        house.sql("INSERT INTO orders VALUES (1, 7, 'bolt')")
        house.fatwald(database=house.conninfo(self.fatwald_role), **settings)
        house.tail('7', 'tail', '--snapshot', '--count', '3')
        # Once the snapshot has it: of a row that is deleted before nothing comes.
        house.lines('tail', 1)
        house.sql('DELETE FROM orders', "INSERT INTO accounts VALUES (7, 'seven')")
        events = house.events('tail', 3)
        self.assertEqual(
            [(e['op'], e['table']) for e in events],
            [('row', 'orders'), ('delete', 'orders'), ('insert', 'accounts')],
        )

    def test_a_superuser_sets_all_up_and_fatwald_streams(self):
        self.assert_done()
        self.assertLess(self.check()[0], 2, self.check()[1])
        self.assert_streams()

    def test_the_dry_run_is_a_script_that_does_the_same(self):
        for plugin in ('fatwal', 'pgoutput'):
            with self.subTest(plugin):
                before = self.catalog()
                status, script = self.init('--plugin', plugin, '--dry-run')
                self.assertEqual(status, 0, script)
                self.assertEqual(self.catalog(), before)
                done = subprocess.run(
                    ['psql', '-X', '-q', '-d', self.house.database],
                    input=script,
                    capture_output=True,
                    text=True,
                )
                self.assertEqual(done.returncode, 0, done.stderr)
                status, output = self.init('--plugin', plugin)
                self.assertIn(ALL_IS_THERE, output)
                status, script = self.init('--plugin', plugin, '--dry-run')
                self.assertIn(ALL_IS_THERE, script)
                self.house.sql(
                    'DROP PUBLICATION p',
                    *(('DROP EXTENSION fatwal',) if plugin == 'fatwal' else ()),
                    'DROP SCHEMA fatwal CASCADE',
                )

    def owner(self):
        """A role that owns the database and its tables, and may nothing else."""
        owner = self.house.role()
        self.house.sql(
            f'ALTER DATABASE {self.house.database} OWNER TO {owner}',
            f'ALTER TABLE orders OWNER TO {owner}',
            f'ALTER TABLE accounts OWNER TO {owner}',
        )
        return owner

    def test_an_owner_needs_others_for_the_role_alone(self):
        owner = self.owner()
        output = self.assert_refused('--plugin', 'pgoutput', user=owner)
        statements = self.statements_for(output, 'a superuser')
        self.assertEqual(statements, [f'CREATE ROLE {self.fatwald_role} LOGIN REPLICATION;'])
        self.assertEqual(output.count('to be run by'), 1, output)
        self.house.sql(*statements)
        self.assert_done('--plugin', 'pgoutput', user=owner)
        self.assertLess(self.check()[0], 2, self.check()[1])
        self.assert_streams(plugin='pgoutput')

    def test_the_extension_is_for_a_superuser(self):
        owner = self.owner()
        self.house.sql(f'CREATE ROLE {self.fatwald_role} LOGIN REPLICATION')
        output = self.assert_refused(user=owner)
        statements = self.statements_for(output, 'a superuser')
        self.assertEqual(len(statements), 5, output)
        self.assertEqual(statements[0], 'CREATE EXTENSION fatwal;')
        self.assertEqual(statements[4], f'GRANT USAGE ON SCHEMA fatwal TO {owner};')
        self.house.sql(*statements)
        self.assert_done(user=owner)
        self.assertLess(self.check()[0], 2, self.check()[1])

    def test_the_slot_is_made_last_and_only_if_asked(self):
        slots = f"SELECT plugin FROM pg_replication_slots WHERE slot_name = '{self.house.slot}'"
        self.assert_done('--plugin', 'pgoutput')
        self.assertEqual(self.house.sql(slots), '')
        output = self.assert_done('--plugin', 'pgoutput', '--create-slot')
        self.assertEqual(self.house.sql(slots), 'pgoutput')
        self.assertEqual(output.count('  done '), 1, output)
        self.assertRegex(self.check()[1], r'ok +database +publication p is older than slot')

    def test_a_failure_leaves_nothing_behind(self):
        self.house.locking('orders')
        before = self.catalog()
        status, output = self.init()
        self.assertEqual(status, 1, output)
        self.assertIn('lock timeout', output)
        self.assertIn(NOTHING_CHANGED[:-1], output)
        self.assertEqual(self.catalog(), before)

    def test_what_is_missing_later_is_added(self):
        self.assert_done()
        self.house.sql(
            'CREATE TABLE notes (id int PRIMARY KEY, owner text)',
            'ALTER TABLE orders REPLICA IDENTITY DEFAULT',
            f'REVOKE SELECT ON orders FROM {self.fatwald_role}',
        )
        output = self.assert_done(
            arguments=(
                *('--tables', 'orders,accounts,notes'),
                *('--account-column', 'accounts=id', '--account-column', 'notes=owner'),
                *self.arguments[4:],
            )
        )
        done = [line.split('done')[1].strip() for line in output.splitlines() if '  done' in line]
        self.assertEqual(
            done,
            [
                "SELECT fatwal.set_account_column('notes', 'owner');",
                'ALTER TABLE notes REPLICA IDENTITY FULL;',
                'ALTER TABLE orders REPLICA IDENTITY FULL;',
                f'GRANT SELECT ON notes TO {self.fatwald_role};',
                f'GRANT SELECT ON orders TO {self.fatwald_role};',
                'ALTER PUBLICATION p ADD TABLE notes;',
            ],
        )

    def test_a_schema_of_another_version_is_made_again(self):
        self.assert_done('--plugin', 'pgoutput')
        self.house.sql(
            f"SELECT fatwal.add_credential('worker', '{'a' * 40}')",
            'DROP FUNCTION fatwal.emit',
            "COMMENT ON SCHEMA fatwal IS 'fatwal 0.0 without its extension'",
        )
        output = self.assert_done('--plugin', 'pgoutput')
        self.assertEqual(output.count('  done '), 1, output)
        self.assertEqual(
            self.house.sql(
                "SELECT name, fatwal.emit('7', 'topic', '1') IS NOT NULL FROM fatwal.credential"
            ),
            'worker|t',
        )

    def test_names_that_are_not_there_are_named(self):
        output = self.assert_refused(
            arguments=('--tables', 'nothing,orders', '--account-column', 'orders=nobody')
        )
        self.assertIn('NOT OK table nothing does not exist', output)
        self.assertIn('NOT OK table orders has no column nobody', output)

    def test_names_are_quoted(self):
        self.house.sql(
            'CREATE SCHEMA "My Schema"',
            'CREATE TABLE "My Schema"."T""1" (id int PRIMARY KEY, "The Account" int)',
        )
        name = '"My Schema"."T""1"'
        role = f'"{self.fatwald_role} B"'
        self.addCleanup(self.forget, role, drop=True)
        self.assert_done(
            arguments=(
                *('--tables', name, '--account-column', f'{name}=The Account'),
                *('--publication', "It's", '--role', role.strip('"'), '--slot', 's'),
            )
        )
        self.assertEqual(self.house.sql(f"SELECT fatwal.account_column('{name}')"), 'The Account')
        self.house.sql(f'DROP OWNED BY {role}', f'DROP ROLE {role}')

    # The prepared servers.

    def test_not_the_owner_of_a_table(self):
        owner, other = self.owner(), self.house.role()
        self.house.sql(
            f'ALTER TABLE orders OWNER TO {other}',
            f'CREATE ROLE {self.fatwald_role} LOGIN REPLICATION',
        )
        output = self.assert_refused('--plugin', 'pgoutput', user=owner)
        self.assertIn(f'the owner of orders: {other}', output)
        self.assertIn(
            f'who owns all of its tables, or a superuser (the owner of orders: {other})', output
        )
        (grant,) = set(re.findall(r'first: (GRANT [^;]*;)', output))
        self.house.sql(grant)
        self.assert_done('--plugin', 'pgoutput', user=owner)

    def test_all_tables_without_a_superuser(self):
        owner = self.owner()
        self.house.sql(f'CREATE ROLE {self.fatwald_role} LOGIN REPLICATION')
        all_tables = ('--all-tables', *self.arguments[2:])
        output = self.assert_refused('--plugin', 'pgoutput', arguments=all_tables, user=owner)
        self.assertIn('NOT OK a publication FOR ALL TABLES needs a superuser', output)
        tables = re.search(r"--tables '([^']*)'", output)[1]
        self.assertEqual(tables, 'accounts,orders')
        arguments = ('--tables', tables, *self.arguments[2:])
        self.assert_done('--plugin', 'pgoutput', arguments=arguments, user=owner)

    def test_all_tables_by_a_superuser(self):
        self.assert_done(arguments=('--all-tables', *self.arguments[2:]))
        self.assert_streams()

    def test_a_publication_made_after_the_slot(self):
        house = self.house
        house.sql(f"SELECT FROM pg_create_logical_replication_slot('{house.slot}', 'pgoutput')")
        output = self.assert_refused('--plugin', 'pgoutput')
        self.assertIn(f'NOT OK slot {house.slot} was made before the publication', output)
        house.sql(re.search(r'SELECT pg_drop_replication_slot\([^)]*\);', output)[0])
        self.assert_done('--plugin', 'pgoutput', '--create-slot')
        # What it saves from.
        house.sql(
            f"SELECT pg_drop_replication_slot('{house.slot}')",
            'DROP PUBLICATION p',
            f"SELECT FROM pg_create_logical_replication_slot('{house.slot}', 'pgoutput')",
            "INSERT INTO orders VALUES (1, 7, 'bolt')",
            'CREATE PUBLICATION p FOR TABLE orders',
        )
        self.assertRegex(
            self.check()[1], r'note +database +publication p may be younger than slot '
        )

    def test_a_slot_of_another_plugin(self):
        house = self.house
        house.sql(f"SELECT FROM pg_create_logical_replication_slot('{house.slot}', 'pgoutput')")
        output = self.assert_refused()
        self.assertIn(
            f'NOT OK slot {house.slot} is not of the output plugin fatwal: pgoutput', output
        )

    def test_a_role_without_replication(self):
        owner = self.owner()
        self.house.sql(f'CREATE ROLE {self.fatwald_role} LOGIN')
        output = self.assert_refused('--plugin', 'pgoutput', user=owner)
        self.assertEqual(
            self.statements_for(output, 'a superuser'),
            [f'ALTER ROLE {self.fatwald_role} REPLICATION;'],
        )
        # fatwald says the same.
        self.house.sql('CREATE EXTENSION fatwal', 'CREATE PUBLICATION p FOR TABLE orders')
        process = self.house.fatwald(
            wait=False, database=self.house.conninfo(self.fatwald_role), name='without'
        )
        self.assertEqual(process.wait(60), 1)
        self.assertIn(
            f'ALTER ROLE {self.fatwald_role} REPLICATION;', self.house.read('without.err')
        )
        self.house.sql('DROP PUBLICATION p')
        self.assert_done()
        self.assert_streams()

    def test_rds_gives_the_right_by_a_role(self):
        if not self.house.sql("SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication'"):
            self.house.sql('CREATE ROLE rds_replication')
            self.addCleanup(self.house.sql, 'DROP ROLE rds_replication')
        owner = self.owner()
        self.house.sql(f'ALTER ROLE {owner} CREATEROLE')
        self.house.sql(f'GRANT rds_replication TO {owner} WITH ADMIN OPTION')
        arguments = ('--plugin', 'pgoutput', '--provider', 'rds')
        output = self.assert_done(*arguments, user=owner)
        self.assertIn(f'CREATE ROLE {self.fatwald_role} LOGIN;', output)
        self.assertIn(f'GRANT rds_replication TO {self.fatwald_role};', output)
        # fatwald accepts it too: this server, which is not of RDS, then refuses the walsender.
        self.house.sql('DROP PUBLICATION p', 'DROP SCHEMA fatwal CASCADE')
        self.assert_done('--provider', 'rds')
        process = self.house.fatwald(
            wait=False, database=self.house.conninfo(self.fatwald_role), name='rds'
        )
        self.assertEqual(process.wait(60), 1)
        self.assertIn('cannot open a replication connection', self.house.read('rds.err'))
        self.house.sql(f'SET ROLE {owner}; REVOKE rds_replication FROM {self.fatwald_role}')
        process = self.house.fatwald(
            wait=False, database=self.house.conninfo(self.fatwald_role), name='not'
        )
        self.assertEqual(process.wait(60), 1)
        self.assertIn(f'GRANT rds_replication TO {self.fatwald_role};', self.house.read('not.err'))

    def test_neon_makes_roles_in_its_console(self):
        output = self.assert_refused('--plugin', 'pgoutput', '--provider', 'neon')
        self.assertIn(f'NOT OK role {self.fatwald_role} does not exist', output)
        self.assertIn('neonctl roles create', output)
        self.house.sql(f'CREATE ROLE {self.fatwald_role} LOGIN REPLICATION')
        self.assert_done('--plugin', 'pgoutput', '--provider', 'neon')

    def test_a_database_in_another_encoding(self):
        house = self.house
        ascii = f'{house.database}_ascii'
        house.sql(
            f"CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0",
            database='postgres',
        )
        self.addCleanup(house.sql, f'DROP DATABASE {ascii}', database='postgres')
        house.sql(*TABLES, database=ascii)
        conninfo = house.conninfo().replace(house.database, ascii)
        for plugin in ('fatwal', 'pgoutput'):
            status, output = self.init('--plugin', plugin, database=conninfo)
            self.assertEqual(status, 3, output)
            self.assertIn('is not UTF8: SQL_ASCII', output)
            self.assertIn("CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0", output)
        process = house.fatwald(wait=False, database=conninfo)
        self.assertEqual(process.wait(60), 1)
        self.assertIn('SQL_ASCII', house.read('fatwald.err'))

    def test_an_account_column_outside_the_identity(self):
        self.assert_done('--plugin', 'pgoutput', '--keep-identities')
        status, output = self.check()
        self.assertEqual(status, 2)
        self.assertRegex(
            output, 'error +database +public.orders lacks REPLICA IDENTITY FULL: it has default'
        )
        self.assertIn('ALTER TABLE public.orders REPLICA IDENTITY FULL;', output)
        output = self.assert_done('--plugin', 'pgoutput')
        self.assertIn('ALTER TABLE orders REPLICA IDENTITY FULL;', output)
        self.assertLess(self.check()[0], 2, self.check()[1])

    def test_a_pooler_in_front(self):
        house = self.house
        pooler = Pooler(house)
        self.addCleanup(pooler.close)
        output = self.assert_refused(database=pooler.conninfo)
        self.assertIn('NOT OK a connection pooler answers', output)
        self.assertIn('the address of Postgres itself', output)
        output = self.assert_refused('--provider', 'supabase', database=pooler.uri)
        self.assertIn('db.REF.supabase.co:5432', output)
        self.assert_done()
        done = subprocess.run(
            [FATWAL, 'doctor', '--database', pooler.conninfo], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertRegex(done.stdout, 'error +database +the database is reached through a pooler')
        process = house.fatwald(wait=False, database=pooler.conninfo)
        self.assertEqual(process.wait(60), 1)
        self.assertIn('This looks like a connection pooler', house.read('fatwald.err'))

    def test_an_idle_timeout_that_loses_the_slot(self):
        setting = 'idle_replication_slot_timeout'
        if not self.house.sql(f"SELECT 1 FROM pg_settings WHERE name = '{setting}'"):
            self.skipTest('only Postgres 18 has it')
        self.house.sql(f"ALTER SYSTEM SET {setting} = '1h'", 'SELECT pg_reload_conf()')
        self.addCleanup(self.house.sql, f'ALTER SYSTEM RESET {setting}', 'SELECT pg_reload_conf()')
        until(lambda: self.house.sql(f'SHOW {setting}') == '1h', 'the setting')
        output = self.assert_refused()
        self.assertIn('NOT OK idle_replication_slot_timeout', output)
        mend = re.search(r'(ALTER SYSTEM [^;]*;) (SELECT pg_reload_conf\(\);)', output)
        self.house.sql('CREATE EXTENSION fatwal', 'CREATE PUBLICATION p FOR TABLE orders')
        self.assertRegex(
            self.check()[1], r'error +database +idle_replication_slot_timeout .*: 3600 s'
        )
        self.house.fatwald()
        self.assertIn('idle_replication_slot_timeout is 3600 s', self.house.read('fatwald.err'))
        self.house.sql(mend[1], mend[2])
        until(lambda: self.house.sql(f'SHOW {setting}') == '0', 'the setting')
        self.assert_done()


class Replica(unittest.TestCase):
    """On a server of its own with wal_level = replica."""

    def test_wal_level_is_named_and_mended(self):
        script = r'''
psql -q -c "CREATE TABLE t (id int PRIMARY KEY, account_id int)"
for provider in self cloudsql rds aurora azure supabase neon; do
    echo "== $provider"
    "$FATWAL" init --database "dbname=$PGDATABASE" --tables t --plugin pgoutput --provider $provider
    echo "status $?"
done
echo "== script"
"$FATWAL" init --database "dbname=$PGDATABASE" --tables t --plugin pgoutput --dry-run
psql -q -c "ALTER SYSTEM SET wal_level = logical"
"$FATWAL_PGCTL" restart > /dev/null
echo "== mended"
"$FATWAL" init --database "dbname=$PGDATABASE" --tables t --plugin pgoutput
echo "status $?"
'''
        done = subprocess.run(
            [ROOT / 'scripts' / 'with-postgres', '-c', 'wal_level=replica', 'bash', '-c', script],
            env=os.environ | {'FATWAL': str(FATWAL)},
            capture_output=True,
            text=True,
        )
        parts = dict(part.split('\n', 1) for part in done.stdout.split('== ')[1:])
        mends = {
            'self': 'ALTER SYSTEM SET wal_level = logical',
            'cloudsql': 'cloudsql.logical_decoding=on',
            'rds': 'modify-db-parameter-group',
            'aurora': 'modify-db-cluster-parameter-group',
            'azure': '--name wal_level --value logical',
            'supabase': 'logical in every project',
            'neon': 'turn on Logical Replication',
        }
        for provider, mend in mends.items():
            with self.subTest(provider):
                self.assertIn('NOT OK wal_level is not logical: replica', parts[provider])
                self.assertIn(mend, parts[provider])
                self.assertIn(NOTHING_CHANGED, parts[provider])
                self.assertIn('status 3', parts[provider])
        self.assertIn('-- NOT OK: wal_level is not logical (replica)', parts['script'])
        self.assertIn('status 0', parts['mended'], done.stderr)


class Pooler:
    """pgbouncer in front of the server."""

    def __init__(self, house):
        self.folder = house.folder / 'pooler'
        self.folder.mkdir()
        (self.folder / 'users').write_text(f'"{os.environ["PGUSER"]}" ""\n')
        (self.folder / 'ini').write_text(
            f'''[databases]
* = host={os.environ['PGHOST']} port={os.environ['PGPORT']}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {self.folder}
auth_type = trust
auth_file = {self.folder}/users
ignore_startup_parameters = extra_float_digits
'''
        )
        # It does not run as root.
        for path in (house.folder, self.folder):
            path.chmod(0o777)
        as_user = ['runuser', '-u', 'nobody', '--'] if os.geteuid() == 0 else []
        program = shutil.which('pgbouncer', path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, 'pgbouncer is missing: scripts/setup --tests installs it'
        self.process = subprocess.Popen(
            [*as_user, program, self.folder / 'ini'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.conninfo = (
            f"host={self.folder} port=6432 user={os.environ['PGUSER']} dbname={house.database}"
        )
        self.uri = (
            f"postgresql://{os.environ['PGUSER']}@/{house.database}?host={self.folder}&port=6432"
        )
        until(lambda: pathlib.Path(self.folder, '.s.PGSQL.6432').exists(), 'pgbouncer')

    def close(self):
        self.process.terminate()
        self.process.wait()


if __name__ == '__main__':
    unittest.main()
