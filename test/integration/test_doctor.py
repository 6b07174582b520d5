"""`fatwal doctor` with real faults: each is made, found with what mends it, and mended by that."""
import json
import os
import re
import struct
import subprocess
import tarfile
import threading
import time
import unittest

import zmq

from house import BUILD, House, until
from peer import Peer

FATWAL = str(BUILD / 'client' / 'fatwal')
TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, note text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
NO_BOUND = 'max-slot-wal-keep-size'


def fatwal(*arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith('FATWAL_')}
    return subprocess.run(
        [FATWAL, *map(str, arguments)],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


class WithDoctor(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.database = ('--database', self.house.conninfo())
        self.control = ('--control', self.house.control)

    def findings(self, *arguments):
        """By their ids; the exit status is the worst of them."""
        done = fatwal('doctor', '--json', *arguments)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(done.stderr, '')
        severities = ['ok', 'note', 'warning', 'error']
        order = [severities.index(each['severity']) for each in found]
        self.assertEqual(order, sorted(order, reverse=True))
        self.assertEqual(done.returncode, max(0, order[0] - 1), found)
        for each in found:
            self.assertEqual(each['severity'] == 'ok', each['means'] == '', each)
            self.assertEqual(each['severity'] == 'ok', each['mend'] + each['advice'] == '', each)
        return {each['id']: each for each in found}

    def faults(self, *arguments):
        """Without what is so on the server of all tests."""
        found = self.findings(*arguments)
        found.pop(NO_BOUND, None)
        return {name: each for name, each in found.items() if each['severity'] != 'ok'}


class Doctor(WithDoctor):
    def test_nothing_is_found_where_all_is_well(self):
        self.house.sql(*TABLE)
        self.house.fatwald()
        self.assertEqual(self.faults(*self.database, *self.control), {})
        text = fatwal('doctor', *self.database, *self.control).stdout
        self.assertRegex(text, r'\n\d\d checks are well \(-v lists them\)\.\n$')
        all_of_them = fatwal('check', '-v', *self.database, *self.control).stdout
        self.assertRegex(all_of_them, r'\nok +database +wal_level is logical: logical\n')

    def test_a_slot_without_a_bound_is_a_warning_and_its_statement_mends_it(self):
        house = self.house
        house.sql(*TABLE)
        self.addCleanup(
            house.sql,
            'ALTER SYSTEM RESET max_slot_wal_keep_size',
            'SELECT pg_reload_conf()',
            database='postgres',
        )
        done = fatwal('doctor', *self.database)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(
            done.stdout,
            r'^warning +slot +max_slot_wal_keep_size does not bound the WAL of slots: it is not'
            r' set\n',
        )
        statement, reload = re.search(r'-> (ALTER SYSTEM [^;]*;) (.*;)\n', done.stdout).groups()
        house.sql(statement, reload, database='postgres')
        until(
            lambda: self.findings(*self.database)[NO_BOUND]['severity'] == 'ok', 'the new setting'
        )

    def test_what_the_database_lacks_is_an_error(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'CREATE TABLE country (code text PRIMARY KEY)',
            'ALTER TABLE country REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t, country',
        )
        found = self.faults(*self.database)
        fault = found['replica-identity:public.t']
        self.assertEqual(fault['severity'], 'error')
        self.assertEqual(fault['what'], 'public.t lacks REPLICA IDENTITY FULL')
        house.sql(fault['mend'])
        found = self.faults(*self.database)
        self.assertNotIn('replica-identity:public.t', found)
        # That a table without an account column is for the operators is for people to say.
        self.assertEqual(
            [
                (name, each['severity'])
                for name, each in found.items()
                if each['about'] == 'database'
            ],
            [('account-column:public.country', 'note')],
        )
        # Unless it may have had one.
        house.sql('ALTER TABLE country ADD owner int', 'ALTER TABLE country DROP owner')
        fault = self.faults(*self.database)['account-column:public.country']
        self.assertEqual(fault['severity'], 'warning')
        self.assertIn('a column was dropped', fault['what'])
        house.sql('ALTER TABLE t DROP account_id')
        fault = self.faults(*self.database)['account-column:public.country']
        self.assertEqual(fault['severity'], 'note')
        house.sql('DROP EXTENSION fatwal')
        fault = self.faults(*self.database)['extension-installed']
        self.assertEqual(fault['mend'], 'CREATE EXTENSION fatwal;')

    def test_who_cannot_be_reached_is_an_error_and_hides_nothing_else(self):
        away = ('--control', f'ipc://{self.house.folder}/nobody.sock')
        found = self.faults(*away, *self.database)
        self.assertEqual(found['fatwald-answers']['what'], 'fatwald does not answer')
        self.assertEqual(found['publication-exists']['severity'], 'error')
        found = self.faults('--database', 'host=/nowhere')
        self.assertEqual(list(found), ['database-read'])
        self.assertIn('/nowhere', found['database-read']['found'])
        self.assertEqual(fatwal('doctor').returncode, 2)

    def test_a_role_without_rights_is_named_the_statement(self):
        house = self.house
        role = house.role()
        found = self.faults('--database', house.conninfo(role))
        fault = found['schema-usage']
        self.assertEqual(fault['mend'], f'GRANT USAGE ON SCHEMA fatwal TO "{role}";')
        house.sql(fault['mend'])
        found = self.faults('--database', house.conninfo(role))
        self.assertNotIn('schema-usage', found)
        house.sql(f'REVOKE USAGE ON SCHEMA fatwal FROM "{role}"')

    def test_a_published_table_that_fatwalds_role_may_not_read_is_an_error(self):
        house = self.house
        role = house.role('REPLICATION')
        house.sql(
            *TABLE,
            'CREATE SCHEMA closed',
            'CREATE TABLE closed."of us" (id int PRIMARY KEY, account_id int)'
            ' PARTITION BY LIST (id)',
            'CREATE TABLE closed.leaf PARTITION OF closed."of us" DEFAULT',
            'ALTER TABLE closed.leaf REPLICA IDENTITY FULL',
            'CREATE TABLE shown (id int PRIMARY KEY, account_id int, secret text)',
            'ALTER TABLE shown REPLICA IDENTITY FULL',
            'ALTER PUBLICATION p ADD TABLE closed."of us", shown',
            'CREATE PUBLICATION other FOR TABLE t',
            'CREATE TABLE theirs (id int PRIMARY KEY)',
            'ALTER TABLE theirs REPLICA IDENTITY FULL',
            'ALTER PUBLICATION other ADD TABLE theirs',
            f'GRANT USAGE ON SCHEMA fatwal TO "{role}"',
            'GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.subscriber, fatwal.slot,'
            f' fatwal.publication_state TO "{role}"',
            f'GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO "{role}"',
            # Each column is as good as the table.
            f'GRANT SELECT (id, account_id, secret) ON shown TO "{role}"',
        )
        house.fatwald(database=house.conninfo(role))
        fault = self.faults(*self.database, *self.control)['tables-readable']
        self.assertEqual(fault['severity'], 'error')
        self.assertEqual(fault['what'], f"fatwald's role {role} may not read 2 published tables")
        self.assertEqual(fault['found'], 'closed.leaf, public.t')
        house.sql(*fault['mend'].split('; '))
        found = self.findings(*self.database, *self.control)
        self.assertEqual(found['tables-readable']['severity'], 'ok')
        self.assertEqual(self.faults(*self.database)['tables-readable']['severity'], 'note')

    def test_who_holds_the_slot_back_is_named_until_forgotten(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        peer = Peer(house.control)
        self.addCleanup(peer.close)
        away = peer.attach('1', b'away', durable=True)
        house.sql("INSERT INTO t VALUES (1, 1, 'x')")
        until(lambda: peer.hold_list()[1] == 1, 'the hold')
        peer.detach(away.nonce)
        found = self.faults(*self.control, *self.database)['slot-held-back:1/away']
        self.assertEqual(found['severity'], 'note')
        self.assertRegex(found['found'], r'^"away" of account 1 is absent, .* dropped in 23 h')
        command = found['mend'].split()[1:]
        self.assertEqual(fatwal(*command, *self.control).returncode, 0)
        until(lambda: self.faults(*self.control, *self.database) == {}, 'the hold to end')

    def test_a_slot_that_nobody_reads_or_that_is_not_there(self):
        house = self.house
        house.sql(*TABLE)
        process = house.fatwald()
        house.stop(process)
        found = self.faults(*self.database, '--slot', house.slot)
        fault = found[f'slot-read:{house.slot}']
        self.assertEqual(
            (fault['severity'], fault['what']), ('warning', f'slot "{house.slot}" is not read')
        )
        found = self.faults(*self.database, '--slot', 'another')
        self.assertEqual(found['slot-there:another']['severity'], 'error')

    def test_a_credential_that_expires_soon(self):
        house = self.house
        _, key = house.keyring.make('worker')
        house.sql(
            f"SELECT fatwal.add_credential('worker', '{key}', now() + interval '13 days')"
        )
        fault = self.faults(*self.database)['credential-key:worker']
        self.assertEqual(fault['severity'], 'warning')
        self.assertRegex(fault['found'], '^in (12 d 23 h|13 d 0 h)$')
        house.sql("UPDATE fatwal.credential SET expires_at = now() + interval '15 days'")
        self.assertNotIn('credential-key:worker', self.faults(*self.database))

    def test_a_key_file_that_others_can_read(self):
        file, public = self.house.keyring.make('mine')
        keys = ('--key-file', file, '--server-key', public)
        file.chmod(0o640)
        found = self.faults('--control', 'tcp://127.0.0.1:1', *keys, *self.database)
        fault = found['key-file']
        self.assertEqual(fault['mend'], f'chmod 600 {file}')
        subprocess.run(fault['mend'].split(), check=True)
        found = self.faults('--control', 'tcp://127.0.0.1:1', *keys, *self.database)
        self.assertNotIn('key-file', found)


class Slot(WithDoctor):
    """`fatwal slot`: what it prints before it costs anything, and what it does."""

    def setUp(self):
        super().setUp()
        house = self.house
        house.sql(*TABLE)
        self.fatwald = house.fatwald(**{'confirm-interval-ms': 200})
        peer = Peer(house.control)
        self.addCleanup(peer.close)
        away = peer.attach('1', b'away', durable=True)
        house.sql("INSERT INTO t VALUES (1, 1, 'x')")
        until(lambda: peer.hold_list()[1] == 1, 'the hold')
        peer.detach(away.nonce)
        self.arguments = (*self.database, '--slot', house.slot)

    def slot(self, command, *arguments):
        return fatwal('slot', command, *self.arguments, *arguments)

    def confirmed(self):
        return self.house.sql(
            'SELECT confirmed_flush_lsn FROM pg_replication_slots'
            f" WHERE slot_name = '{self.house.slot}'"
        )

    def test_status_has_the_positions_and_the_holders(self):
        done = self.slot('status', *self.control)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r'\nread +by process \d+\n')
        self.assertRegex(done.stdout, r'\nwal_status +reserved\n')
        self.assertRegex(done.stdout, r'\nsafe +without bound\n')
        self.assertRegex(done.stdout, r'\n1 +away +absent')
        self.assertIn('give --control', self.slot('status').stdout)

    def test_advance_names_who_loses_and_does_it_only_when_told(self):
        before = self.confirmed()
        done = self.slot('advance')
        self.assertEqual((done.returncode, self.confirmed()), (2, before), done.stderr)
        self.assertRegex(done.stderr, r'"away" of account 1: acknowledged up to .*, loses \d')
        self.assertIn('Add --yes', done.stderr)
        done = self.slot('advance', '--yes')
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('Stop fatwald', done.stderr)
        self.house.stop(self.fatwald)
        end = self.house.sql('SELECT pg_current_wal_insert_lsn()')
        done = self.slot('advance', '--upto', end, '--yes')
        self.assertEqual((done.returncode, self.confirmed()), (0, end), done.stderr)
        nobody = self.slot('advance', '--upto', '0/1')
        self.assertIn('No durable subscriber', nobody.stderr)

    def test_drop_names_who_loses_and_fatwald_does_not_begin_as_if_nothing_had_been(self):
        done = self.slot('drop')
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn('"away" of account 1', done.stderr)
        self.assertNotEqual(self.confirmed(), '')
        self.house.stop(self.fatwald)
        done = self.slot('drop', '--yes')
        self.assertEqual((done.returncode, self.confirmed()), (0, ''), done.stderr)
        process = self.house.fatwald('again', wait=False)
        self.assertEqual(process.wait(60), 1)
        self.assertIn('is missing', self.house.read('again.err'))
        # Doctor knows it by itself, and by its name.
        for slot in (), ('--slot', self.house.slot):
            fault = self.faults(*self.database, *slot)[f'slot-there:{self.house.slot}']
            self.assertEqual(
                (fault['severity'], fault['what'], fault['found']),
                (
                    'error',
                    f'slot "{self.house.slot}" is gone',
                    '1 durable subscriber waits for it',
                ),
            )
        name, value = re.search(r'set-environment (\w+)=(\w+);', fault['mend']).groups()
        self.house.fatwald('resync', environment={**os.environ, name: value})
        self.assertEqual(self.faults(*self.database), {})

    def test_another_slot_is_left_alone(self):
        done = fatwal('slot', 'drop', *self.database, '--slot', 'nobody', '--yes')
        self.assertEqual(done.returncode, 1)
        self.assertIn('does not exist', done.stderr)
        self.house.sql("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')")
        self.addCleanup(self.house.sql, "SELECT pg_drop_replication_slot('theirs')")
        for command in ('status', 'drop', 'advance'):
            arguments = () if command == 'status' else ('--yes',)
            done = fatwal('slot', command, *self.database, '--slot', 'theirs', *arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn("is not fatwald's", done.stderr)


class Bundle(WithDoctor):
    SECRET, ROW, TENANT = 'hunter2-secret', 'a-value-of-a-row', 'tenant-of-ours'

    def setUp(self):
        super().setUp()
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id text, note text)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            f"CREATE PUBLICATION p FOR TABLE t WHERE (note <> '{self.SECRET}')",
            f"SELECT fatwal.add_credential('{self.TENANT}', '{house.keyring.make('w')[1]}',"
            " now() + interval '1 day')",
        )
        house.fatwald()
        peer = Peer(house.control)
        self.addCleanup(peer.close)
        away = peer.attach(self.TENANT, self.TENANT.encode() + b'-away', durable=True)
        house.sql(f"INSERT INTO t VALUES (1, '{self.TENANT}', '{self.ROW}')")
        until(lambda: peer.hold_list()[1] == 1, 'the hold')
        peer.detach(away.nonce)
        peer.attach(self.TENANT, self.TENANT.encode() + b'-here')
        self.log = house.folder / 'a.log'
        self.log.write_text(
            f'durable subscriber "{self.TENANT}-away" of account {self.TENANT}: it is absent\n'
            f'host=db password={self.SECRET} dbname=app\n'
            f'invalid input syntax for type integer: "{self.ROW}"\n'
            'streaming from 0/1\n'
        )
        self.settings = house.folder / 'fatwald.conf'
        self.settings.write_text(
            f'database = postgresql://fatwal:{self.SECRET}@db/app\nslot = kept\n'
        )

    def bundle(self, name, *arguments):
        """The texts of the archive, by their names."""
        file = self.house.folder / name
        database = f"{self.house.conninfo()} password={self.SECRET}"
        done = fatwal(
            *('bundle', file, *self.control, '--database', database),
            *('--log', self.log, '--settings', self.settings, *arguments),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        with tarfile.open(file) as archive:
            return {
                member.name.rpartition('/')[2]: archive.extractfile(member).read().decode()
                for member in archive.getmembers()
                if member.isfile()
            }

    def test_it_has_what_helps_and_neither_secrets_nor_rows_nor_names(self):
        texts = self.bundle('a.tgz')
        self.assertEqual(
            sorted(texts),
            [
                'database.json',
                'doctor.jsonl',
                'holds.jsonl',
                'log-1.txt',
                'settings.txt',
                'status.json',
                'subscribers.jsonl',
                'versions.json',
            ],
        )
        for name, text in texts.items():
            for planted in (self.SECRET, self.ROW, self.TENANT):
                self.assertNotIn(planted, text, name)
            for key in (self.house.keyring.make('w')[1], self.house.keyring.server_key):
                self.assertNotIn(key, text, name)
        self.assertEqual(json.loads(texts['status.json'])['state'], 'streaming')
        findings = [json.loads(line) for line in texts['doctor.jsonl'].splitlines()]
        self.assertIn('the slot is held back', [each['what'] for each in findings])
        self.assertTrue(all(each['id'] for each in findings))
        database = json.loads(texts['database.json'])
        self.assertEqual(database['settings']['wal_level'], 'logical')
        self.assertEqual(
            [
                (each['name'], each['filtered'])
                for each in database['publications'][0]['tables']
                if each['name'] != 'fatwal.publication_state'  # of pgoutput
            ],
            [('public.t', True)],
        )
        self.assertIn('slot = kept', texts['settings.txt'])
        self.assertIn('streaming from 0/1', texts['log-1.txt'])
        # One account is one hash in all of it.
        (hold,) = [json.loads(line) for line in texts['holds.jsonl'].splitlines()]
        (here,) = [json.loads(line) for line in texts['subscribers.jsonl'].splitlines()]
        self.assertEqual(hold['account'], here['account'])
        self.assertIn(f"of account {hold['account']}", texts['log-1.txt'])

    def test_names_are_there_when_asked_for_and_secrets_never(self):
        texts = self.bundle('a.tgz', '--accounts')
        self.assertIn(f'"account":"{self.TENANT}"', texts['holds.jsonl'])
        self.assertIn(f'of account {self.TENANT}', texts['log-1.txt'])
        for name, text in texts.items():
            self.assertNotIn(self.SECRET, text, name)
            self.assertNotIn(self.ROW, text, name)

    def test_nothing_is_overwritten_or_left_behind(self):
        file = self.house.folder / 'there'
        file.write_text('mine')
        scratch = self.house.folder / 'scratch'
        scratch.mkdir()
        done = fatwal('bundle', file, *self.control, TMPDIR=str(scratch))
        self.assertEqual((done.returncode, file.read_text()), (1, 'mine'))
        self.assertIn('Give another name', done.stderr)
        self.assertEqual(list(scratch.iterdir()), [])
        done = fatwal('bundle', f'{file}2', *self.control, '--log', '/nonexistent')
        self.assertEqual(done.returncode, 1)
        self.assertIn('/nonexistent', done.stderr)
        self.assertEqual(fatwal('bundle', f'{file}3').returncode, 2)

    def test_a_fatwald_that_is_away_is_in_it(self):
        file = self.house.folder / 'away.tgz'
        done = fatwal('bundle', file, '--control', f'ipc://{self.house.folder}/nobody.sock')
        self.assertEqual(done.returncode, 0, done.stderr)
        with tarfile.open(file) as archive:
            found = archive.extractfile('fatwal-bundle/doctor.jsonl').read().decode()
        self.assertIn('does not answer', found)


class OtherFatwalds(WithDoctor):
    """What a fatwald says that is not as it should be: one of ours answers STATUS in its place."""

    def answer(self, **values):
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.linger = 0
        control = f'ipc://{self.house.folder}/other.sock'
        router.bind(control)
        ended = threading.Event()

        def text(value):
            return struct.pack('<H', len(value)) + value

        def run():
            while not ended.is_set():
                if not router.poll(50):
                    continue
                peer, request = router.recv_multipart()
                if request[3] == 7:  # STATUS
                    body = struct.pack('<H', len(values)) + b''.join(
                        text(name.encode()) + text(str(value).encode())
                        for name, value in values.items()
                    )
                    kind = 8
                else:  # ERROR: no rights
                    kind, body = 255, struct.pack('<H', 18) + text(b'no') * 3
                router.send_multipart([peer, b'FW\x01' + bytes([kind]) + request[4:8] + body])
            router.close()
            context.term()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(ended.set)
        return self.faults('--control', control)

    def test_descriptors_versions_clock_and_state(self):
        version = fatwal('--version').stdout.split()[1]
        found = self.answer(
            version=version + '9',
            state='stalled',
            descriptors_used=950,
            descriptors_limit=1024,
            clock_unix_ms=int(time.time() * 1000) - 90_000,
            snapshot_failure='no room',
        )
        self.assertEqual(
            {name: each['severity'] for name, each in found.items()},
            {
                'descriptors': 'error',
                'clock-fatwald': 'error',
                'fatwald-streams': 'error',
                'snapshots': 'error',
                'version-fatwald': 'warning',
                'holds-listed': 'note',
            },
        )
        self.assertEqual(
            (found['descriptors']['what'], found['descriptors']['found']),
            ('descriptors run out', '950 of 1024 are in use'),
        )
        clock = found['clock-fatwald']['found']
        self.assertRegex(clock, r'^(89\.9|90\.\d|9[1-5]\.\d) s behind')


if __name__ == '__main__':
    unittest.main()
