"""A real database, fatwald and subscribers for one test: each in its own database and folder,
all stopped by process id at the end.

With FATWAL_KEYED=1 in the environment subscribers connect over tcp with keys, as one credential
each (by the name of a durable one), whatever the test says of control sockets. With
FATWAL_PLUGIN=pgoutput fatwald streams through Postgres's own output plugin.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from keyed import Keyring

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get('FATWAL_BUILD', ROOT / 'build' / 'release'))
DEADLINE_SECONDS = 60
# What `fatwal tail` prints of the stream itself: no change and no row of a table.
ABOUT_THE_STREAM = re.compile(
    r'{"op":"(snapshot_begin|snapshot_end|error)",|{"op":"resync",.*"reason":|- - \S+'
    r' (snapshot_begin|snapshot_end|resync|error)\b'
)


def until(condition, what):
    """Waits for a condition; its value. Fails after the deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited in vain for {what}')
        time.sleep(0.02)


def failing(threads, times):
    """The environment of a program whose threads of these names lack memory now and then."""
    return {
        'LD_PRELOAD': str(BUILD / 'test' / 'libfailing_new.so'),
        'FAIL_NEW_THREADS': ','.join(threads),
        'FAIL_NEW_TIMES': str(times),
    }


def position(lsn):
    """What a textual LSN is ordered by."""
    high, low = lsn.split('/')
    return int(high, 16), int(low, 16)


class Session:
    """A session of psql that stays open."""

    def __init__(self, database):
        self.process = subprocess.Popen(
            ['psql', '-X', '-q', '-d', database],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *statements):
        """Sends the statements, and does not wait for them."""
        for statement in statements:
            self.process.stdin.write(statement + ';\n')
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


# For a test about the sockets that local subscribers have.
unkeyed = unittest.skipIf(os.environ.get('FATWAL_KEYED') == '1', 'about sockets without keys')

PLUGIN = os.environ.get('FATWAL_PLUGIN', 'fatwal')
# For a test that puts something in the place of fatwal.snapshot.
of_the_plugin = unittest.skipIf(PLUGIN == 'pgoutput', 'fatwald reads the tables itself')


class House:
    count = 0

    def __init__(self, database=None):
        House.count += 1
        self.database = database or f'house_{os.getpid()}_{House.count}'
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='fatwal-'))
        self.control = f'ipc://{self.folder}/run/control.sock'
        self.slot = self.database
        self.processes = []
        self.sessions = []
        self.roles = []
        self.sql(f'CREATE DATABASE {self.database}', database='postgres')
        self.sql('CREATE EXTENSION fatwal')
        self.keyring = Keyring(BUILD / 'client' / 'fatwal', self.folder, self.sql)
        self.is_keyed = os.environ.get('FATWAL_KEYED') == '1'
        self.publishes_state = True  # a stream of pgoutput needs it

    def conninfo(self, user=None):
        server = f"host={os.environ['PGHOST']} port={os.environ['PGPORT']}"
        return f"{server} user={user or os.environ['PGUSER']} dbname={self.database}"

    def role(self, options=''):
        """A new role that may log in and has no rights yet; its name."""
        self.roles.append(f'{self.database}_role_{len(self.roles)}')
        self.sql(f'CREATE ROLE {self.roles[-1]} LOGIN {options}')
        return self.roles[-1]

    def sql(self, *statements, database=None):
        """Runs the statements, each in its own transaction; the rows of the last as one text."""
        command = [
            'psql',
            '-X',
            '-q',
            '-A',
            '-t',
            '-v',
            'ON_ERROR_STOP=1',
            '-d',
            database or self.database,
        ]
        for statement in statements:
            command += ['-c', statement]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip('\n')

    def load(self, *scripts):
        """Runs SQL scripts of this repository, by their paths in it."""
        for script in scripts:
            done = subprocess.run(
                [
                    'psql',
                    '-X',
                    '-q',
                    '-v',
                    'ON_ERROR_STOP=1',
                    '-d',
                    self.database,
                    '-f',
                    ROOT / script,
                ],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr

    def session(self):
        self.sessions.append(Session(self.database))
        return self.sessions[-1]

    def locking(self, table):
        """A session with a transaction that keeps the table from everybody else."""
        session = self.session()
        session.run('BEGIN', f'LOCK TABLE {table}')
        until(
            lambda: self.sql(
                f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND granted"
                " AND mode = 'AccessExclusiveLock'"
            )
            == '1',
            'the lock',
        )
        return session

    def with_keys(self, command, environment):
        """A subscriber's command and environment, over the network where the test is."""
        command = [str(part) for part in command]
        if not self.is_keyed or command[0].endswith('/fatwald'):
            return command, environment or {}
        programs = {'group': 'member', 'change_log': 'change-log'}
        who = programs.get(os.path.basename(command[0]), 'tests')
        if '--durable' in command:
            who = command[command.index('--durable') + 1]
        return (
            [self.keyring.over_the_network(part) for part in command],
            self.keyring.environment(who) | (environment or {}),
        )

    def start(self, command, name, environment=None):
        command, environment = self.with_keys(command, environment)
        out, err = open(self.folder / f'{name}.out', 'w'), open(self.folder / f'{name}.err', 'w')
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=err,
            env=os.environ | environment,
        )
        out.close()
        err.close()
        self.processes.append(process)
        return process

    def read(self, name):
        return (self.folder / name).read_text()

    def fatwald(self, name='fatwald', wait=True, environment=None, by=(), build=BUILD, **settings):
        """`by`: a command that runs it. `build`: the folder of a build that it is of."""
        settings = {
            'database': self.conninfo(),
            'slot': self.slot,
            'publication': 'p',
            'plugin': PLUGIN,
            'run-dir': self.folder / 'run',
            'control': self.control,
        } | settings
        if settings['plugin'] == 'pgoutput' and self.publishes_state:
            self.publish_state(settings['publication'])
        if self.is_keyed:
            settings |= self.keyring.settings(settings['control'])
        arguments = [part for key, value in settings.items() for part in (f'--{key}', value)]
        program = build / 'sidecar' / 'fatwald'
        process = self.start([*by, program, *arguments], name, environment)
        if wait:
            until(
                lambda: 'streaming' in self.read(f'{name}.err') or process.poll() is not None,
                'fatwald to stream',
            )
            assert process.poll() is None, self.read(f'{name}.err')
        return process

    def publish_state(self, publication):
        """Publishes the table by which a stream of pgoutput has altered publications."""
        name = publication.split(',')[0].strip(' "')
        if self.sql(
            f"SELECT count(*) FROM pg_publication p WHERE pubname = '{name}' AND NOT EXISTS (SELECT"
            f" FROM fatwal.published_relations('{{\"{name}\"}}') WHERE relation ="
            " to_regclass('fatwal.publication_state'))"
        ) == '1':
            self.sql(f'ALTER PUBLICATION "{name}" ADD TABLE fatwal.publication_state')

    def status(self):
        """What fatwald tells of itself, by name."""
        text = subprocess.run(
            [BUILD / 'client' / 'fatwal', 'status', '--control', self.control],
            capture_output=True,
            text=True,
        ).stdout
        return dict(
            line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2
        )

    def tail(self, account, name, *options, build=BUILD):
        """`fatwal tail` of an account, joined when this returns. Python's int and float are
        numbers enough for the tests.
        """
        ready = self.folder / f'{name}.ready'
        who = ['--operators'] if account is None else ['--account', account]
        numbers = () if '--numbers' in options else ('--numbers', 'json')
        process = self.start(
            [
                build / 'client' / 'fatwal',
                'tail',
                '--control',
                self.control,
                *who,
                '--ready-file',
                ready,
                *numbers,
                *options,
            ],
            name,
        )
        until(ready.exists, f'{name} to join')
        return process

    def lines(self, name, count, all=False):
        """A subscriber's lines when `count` have come: those of changes and rows, or all.

        Whole ones: of a line that is being written a part may be there.
        """

        def come():
            lines = [
                line
                for line in self.read(f'{name}.out').rpartition('\n')[0].splitlines()
                if all or not ABOUT_THE_STREAM.match(line)
            ]
            return lines if len(lines) >= count else None

        return until(come, f'{count} lines of {name}')

    def events(self, name, count, all=False):
        return [json.loads(line) for line in self.lines(name, count, all)]

    def stop(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        return process.wait(DEADLINE_SECONDS)

    def free_slot(self):
        """Waits until nobody streams it: the server notices a little later who has gone."""
        until(
            lambda: self.sql(
                (
                    f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{self.slot}' AND"
                    " active"
                ),
                database='postgres',
            )
            == '0',
            'the slot to be free',
        )

    def drop_slot(self):
        self.free_slot()
        self.sql(f"SELECT pg_drop_replication_slot('{self.slot}')", database='postgres')

    def close(self):
        for session in self.sessions:
            session.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.free_slot()
        self.sql(
            (
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE"
                f" database = '{self.database}'"
            ),
            database='postgres',
        )
        self.sql(
            f'DROP DATABASE {self.database} WITH (FORCE)',
            *(f'DROP ROLE {role}' for role in self.roles),
            database='postgres',
        )
        shutil.rmtree(self.folder)
