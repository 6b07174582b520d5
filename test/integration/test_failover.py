"""A failover: the primary dies, and its standby, which has a synchronized copy of fatwald's slot,
is promoted. Run by: scripts/with-postgres /usr/bin/python3 -m unittest test_failover

Both servers are the test's own. The primary is a throwaway one of scripts/with-postgres, which
lives while its standard input is open; the standby is made from a base backup of it.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import BUILD, ROOT, House, position, until  # noqa: E402
from keyed import free_ports  # noqa: E402

PG_CONFIG = os.environ.get('PG_CONFIG', '/usr/lib/postgresql/15/bin/pg_config')
# The writer's row lock on the counter lasts until its COMMIT: an account's numbers rise by one in
# the order of commits.
SCHEMA = (
    'CREATE TABLE counter (account_id int PRIMARY KEY, n bigint NOT NULL)',
    'INSERT INTO counter SELECT g, 0 FROM generate_series(1, 3) g',
    'CREATE TABLE entry (account_id int, n bigint, PRIMARY KEY (account_id, n))',
    'ALTER TABLE entry REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE entry',
    (
        'CREATE PROCEDURE write(account int, times int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN'
        ' 1 .. times LOOP UPDATE counter SET n = n + 1 WHERE account_id = account; INSERT INTO'
        ' entry SELECT account_id, n FROM counter WHERE account_id = account; COMMIT; PERFORM'
        ' pg_sleep(0.01 * random()); END LOOP; END $$'
    ),
)
FOR_EVER = 1_000_000
SLOT_OF_STANDBY = 'standby'


def value(server, sql, database='postgres'):
    """What a statement says on a server."""
    done = subprocess.run(
        ['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', sql],
        env=os.environ | server.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip('\n')


class Primary:
    def __init__(self):
        names = ['PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE', 'FATWAL_PGDATA', 'FATWAL_PGCTL']
        say = (
            'import json, os, sys;'
            f'print(json.dumps({{name: os.environ[name] for name in {names}}}), flush=True);'
            'sys.stdin.read()'
        )
        self.process = subprocess.Popen(
            [ROOT / 'scripts' / 'with-postgres', '/usr/bin/python3', '-c', say],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.environment = json.loads(self.process.stdout.readline())

    def die(self):
        """Ends all its processes at once, without a word to whom it serves and without a
        checkpoint.
        """
        subprocess.run(
            [self.environment['FATWAL_PGCTL'], 'stop', '-m', 'immediate'],
            check=True,
            capture_output=True,
        )

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Standby:
    def __init__(self, primary):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='fatwal-standby-'))
        owner = pathlib.Path(primary.environment['FATWAL_PGDATA']).stat()
        os.chown(self.folder, owner.st_uid, owner.st_gid)
        self.folder.chmod(0o755)
        self.environment = primary.environment | {
            'PGHOST': str(self.folder),
            'PGPORT': str(free_ports(1)[0]),
        }
        source = ' '.join(
            f"{keyword}={primary.environment[name]}"
            for keyword, name in (('host', 'PGHOST'), ('port', 'PGPORT'), ('user', 'PGUSER'))
        )
        # The walreceiver needs no database; the worker that synchronizes slots connects to it.
        self.run(
            'pg_basebackup',
            *('--pgdata', self.folder / 'data', '--checkpoint', 'fast', '--no-sync'),
            *('--create-slot', '--slot', SLOT_OF_STANDBY, '--write-recovery-conf'),
            *('--dbname', f'{source} dbname=postgres'),
        )
        with open(self.folder / 'data' / 'postgresql.conf', 'a') as conf:
            conf.write(
                f"port = {self.environment['PGPORT']}\n"
                f"unix_socket_directories = '{self.folder}'\n"
                "sync_replication_slots = on\n"
                "hot_standby_feedback = on\n"
            )
        self.pg_ctl('start')

    def run(self, program, *arguments):
        bin = subprocess.check_output([PG_CONFIG, '--bindir'], text=True).strip()
        as_server = ['runuser', '-u', 'postgres', '--'] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*as_server, f'{bin}/{program}', *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def pg_ctl(self, *command):
        self.run(
            *('pg_ctl', '-w', '-t', '60', '-D', self.folder / 'data'),
            *('-l', self.folder / 'log', *command),
        )

    def close(self):
        if (self.folder / 'data' / 'postmaster.pid').exists():
            self.pg_ctl('stop', '-m', 'immediate')
        shutil.rmtree(self.folder)


class Failover(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        version = subprocess.check_output([PG_CONFIG, '--version'], text=True).strip()
        if int(re.search(r'\d+', version)[0]) < 17:
            raise unittest.SkipTest(f'{version} synchronizes no slots: it takes 17 or later')

    def setUp(self):
        self.primary = Primary()
        self.addCleanup(self.primary.close)
        self.standby = Standby(self.primary)
        self.addCleanup(self.standby.close)
        value(self.primary, f"ALTER SYSTEM SET synchronized_standby_slots = '{SLOT_OF_STANDBY}'")
        value(self.primary, 'SELECT pg_reload_conf()')
        # The database is on the server that is the primary.
        serving = unittest.mock.patch.dict(os.environ, self.primary.environment)
        serving.start()
        self.addCleanup(serving.stop)
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*SCHEMA)

    def fatwald(self, name='fatwald'):
        """With both servers in its connection string, the standby first."""
        servers = [self.standby.environment, self.primary.environment]
        hosts, ports = (','.join(s[key] for s in servers) for key in ('PGHOST', 'PGPORT'))
        return self.house.fatwald(
            name,
            **{
                'database': f'host={hosts} port={ports} user=postgres dbname={self.house.database}',
                'confirm-interval-ms': '200',
            },
        )

    def tail(self, account, name, durable=False):
        options = ()
        if durable:
            options = ('--durable', f'd{account}', '--cursor-file', self.cursor(account))
        return self.house.tail(account, name, *options)

    def cursor(self, account):
        return self.house.folder / f'cursor-{account}'

    def write(self, name):
        """A writer for each account, for as long as its server lives."""
        for account in (1, 2, 3):
            self.house.start(
                ['psql', '-Xq', '-d', self.house.database, '-c']
                + [f'CALL write({account}, {FOR_EVER})'],
                f'{name}-{account}',
            )

    def stop_writing(self):
        """How many rows each account has then."""
        self.house.sql(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query LIKE 'CALL"
            " write%'"
        )
        counts = self.house.sql("SELECT string_agg(n::text, ',' ORDER BY account_id) FROM counter")
        return [int(n) for n in counts.split(',')]

    def numbers(self, count, *names):
        """Of the rows that came, in all outputs of a subscriber, one after the other."""
        last = names[-1]
        before = [n for name in names[:-1] for n in self.numbers(0, name)]
        return before + [
            event['new']['n'] for event in self.house.events(last, count - len(before))
        ]

    def synchronized(self):
        # The standby takes a slot over once it is as far as the oldest WAL and transaction that
        # the standby has kept for it. A record of the running transactions moves it there.
        value(self.primary, 'SELECT pg_log_standby_snapshot()')
        return (
            value(
                self.standby,
                (
                    'SELECT synced AND NOT temporary AND failover FROM pg_replication_slots WHERE'
                    f' slot_name = \'{self.house.slot}\''
                ),
            )
            == 't'
        )

    def promote(self):
        """Makes the standby the primary; where its WAL branches off."""
        self.standby.pg_ctl('promote')
        os.environ.update(self.standby.environment)
        return self.house.sql(
            "SELECT split_part(pg_read_file('pg_wal/00000002.history'), E'\\t', 2)"
        )

    def fail_over(self, with_fatwald):
        house = self.house
        fatwald = self.fatwald()
        self.tail('1', 'plain')
        self.tail('1', 'durable', durable=True)
        away = self.tail('3', 'away', durable=True)
        # For the first time it is synchronized only while no durable subscriber holds it back.
        until(self.synchronized, 'the slot to be synchronized')
        house.sql('CALL write(3, 10)')
        last = position(house.events('away', 10)[-1]['commit_lsn'])
        until(
            lambda: self.cursor(3).exists()
            and position(self.cursor(3).read_text().split()[2]) > last,
            'the cursor to be kept',
        )
        house.stop(away, signal.SIGKILL)
        self.write('before')
        house.lines('plain', 200)
        self.primary.die()
        if with_fatwald:
            house.stop(fatwald, signal.SIGKILL)
        else:
            until(lambda: 'hot standby' in house.read('fatwald.err'), 'the standby to be tried')
        branch = self.promote()
        kept = house.sql("SELECT string_agg(n::text, ',' ORDER BY account_id) FROM counter")
        if with_fatwald:
            self.fatwald('second')
        self.write('after')
        self.tail('2', 'new')
        self.tail('3', 'back', durable=True)
        house.lines('new', 50)
        counts = self.stop_writing()
        self.assertGreater(counts[0], int(kept.split(',')[0]))
        # One more row for each: whatever came twice would have come before it.
        for account in (1, 2, 3):
            house.sql(f'CALL write({account}, 1)')
        for count, *names in (
            (counts[0] + 1, 'plain'),
            (counts[0] + 1, 'durable'),
            (counts[2] + 1, 'away', 'back'),
        ):
            self.assertEqual(self.numbers(count, *names), list(range(1, count + 1)), names)
            for name in names:
                self.assertNotIn('changes were missed', house.read(f'{name}.err'))
                self.assertNotIn('"op":"resync"', house.read(f'{name}.out'))
        log = house.read('second.err' if with_fatwald else 'fatwald.err')
        self.assertNotIn('does not go on', log)
        until(
            lambda: house.sql(
                f"SELECT count(*) FROM fatwal.subscriber WHERE acknowledged > '{branch}'"
            )
            == '2',
            'both durable subscribers to acknowledge on the new timeline',
        )
        return log

    def test_fatwald_goes_on_from_the_synchronized_slot_of_a_standby_that_is_promoted(self):
        log = self.fail_over(with_fatwald=False)
        self.assertIn('timeline 2 now: cursors of timeline 1 hold', log)

    def test_a_fatwald_that_died_with_the_primary_goes_on_there_too(self):
        self.fail_over(with_fatwald=True)

    def test_nobody_keeps_what_the_standby_lacked(self):
        house = self.house
        self.fatwald()
        self.tail('1', 'plain')
        until(self.synchronized, 'the slot to be synchronized')
        house.sql('CALL write(1, 5)')
        self.numbers(5, 'plain')
        value(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        value(self.standby, 'SELECT pg_reload_conf()')
        until(
            lambda: value(self.standby, 'SELECT count(*) FROM pg_stat_wal_receiver') == '0',
            'the standby to receive nothing more',
        )
        house.sql('INSERT INTO entry VALUES (1, 1000)')
        self.join_with_snapshot('late')
        with self.assertRaises(subprocess.TimeoutExpired):
            house.processes[-1].wait(5)
        self.primary.die()
        self.promote()
        house.sql('CALL write(1, 1)')
        self.assertEqual(self.numbers(6, 'plain'), [1, 2, 3, 4, 5, 6])
        until(lambda: 6 in self.held('late'), 'the row of the new primary')
        self.assertEqual(self.held('late'), {1, 2, 3, 4, 5, 6})

    def join_with_snapshot(self, name):
        """Does not wait for the snapshot."""
        house = self.house
        house.start(
            [BUILD / 'client' / 'fatwal', 'tail', '--control', house.control, '--account', '1']
            + ['--snapshot', '--numbers', 'json'],
            name,
        )

    def held(self, name):
        """The numbers that a subscriber holds after all that it printed."""
        held = set()
        for line in self.house.read(f'{name}.out').rpartition('\n')[0].splitlines():
            event = json.loads(line)
            if event['op'] == 'snapshot_begin':
                held.clear()
            elif 'new' in event:
                held.add(event['new']['n'])
        return held
