"""Real Postgres, real fatwald, real subscribers. Run by: scripts/with-postgres /usr/bin/python3
-m unittest discover -s test/integration
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import BUILD, House, position, until  # noqa: E402

TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, n bigint)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)


class Stream(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def test_each_account_receives_its_own_and_nothing_of_the_others(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        house.tail('1', 'one')
        house.tail('2', 'two')
        house.tail(None, 'operators')
        house.sql(
            'INSERT INTO t VALUES (1, 1, 10), (2, 2, 20), (3, NULL, 30)',
            'UPDATE t SET n = n + 1',
            'UPDATE t SET account_id = 2 WHERE id = 1',
            'DELETE FROM t WHERE id = 2',
            'TRUNCATE t',
            "SELECT fatwal.emit('1', 'topic', '{\"x\": [1]}')",
            "SELECT fatwal.emit(NULL, 'note', '1')",
        )
        one = house.events('one', 5)
        two = house.events('two', 5)
        operators = house.events('operators', 4)
        self.assertEqual(
            [(e['op'], e.get('new'), e.get('old')) for e in one],
            [
                ('insert', {'id': 1, 'account_id': 1, 'n': 10}, None),
                (
                    'update',
                    {'id': 1, 'account_id': 1, 'n': 11},
                    {'id': 1, 'account_id': 1, 'n': 10},
                ),
                ('delete', None, {'id': 1, 'account_id': 1, 'n': 11}),
                ('truncate', None, None),
                ('message', None, None),
            ],
        )
        self.assertEqual(
            [e['op'] for e in two], ['insert', 'update', 'insert', 'delete', 'truncate']
        )
        self.assertTrue(one[2]['moved'] and two[2]['moved'])
        self.assertEqual([e['op'] for e in operators], ['insert', 'update', 'truncate', 'message'])
        self.assertEqual((one[4]['topic'], one[4]['payload']), ('topic', {'x': [1]}))
        self.assertTrue(all(e['last'] for e in one + two + operators))
        self.assertEqual({e['account'] for e in one}, {'1'})
        positions = [(position(e['commit_lsn']), e['ordinal']) for e in one]
        self.assertEqual(positions, sorted(positions))

    def test_python_from_the_docs_alone_prints_the_same_lines(self):
        house = self.house
        house.sql(
            "CREATE TYPE mood AS ENUM ('sad', 'happy')",
            (
                'CREATE TABLE t (id int PRIMARY KEY, account_id uuid, b bool, i8 int8, f4 float4,'
                ' f8 float8, n numeric, t text, c char(4), by bytea, u uuid, j json, jb jsonb, d'
                ' date, ti time, tz timetz, ts timestamp, tst timestamptz, iv interval, ip inet, ci'
                ' cidr, mac macaddr, o oid, m mood, ai int[], at text[], ajb jsonb[], am mood[], po'
                ' point)'
            ),
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        account = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
        house.fatwald()
        house.tail(account, 'cpp', '--numbers', 'exact')
        count = 305
        python = house.start(
            [
                sys.executable,
                pathlib.Path(__file__).parent / 'subscriber.py',
                house.control,
                account,
                count,
            ],
            'python',
        )
        until(
            lambda: 'attached' in house.read('python.err') or python.poll() is not None,
            'subscriber.py to join',
        )
        house.sql(
            f"""INSERT INTO t VALUES (1, '{account}', true, 9007199254740993, 0.1, 1e-7,
            12.50, E'q"\\\\\\n\\u00fc', 'ab', '\\x00ff', '{account}', '{{"a":\n 1}}',
                  '{{"a": [1.50, null, {{"b": "x\\"y"}}]}}', '2026-11-24', '13:08:39.5',
                      '13:08:39-05:30', '2026-11-24 13:08:39', '1999-12-31 23:59:59.5+00',
                      '-1 mon 2 days -03:04:05.5',
                  '10.1.2.3/8', '2001:db8::/32', '08:00:2b:01:02:03', 42, 'happy',
                      '{{{{1,2}},{{NULL,4}}}}', '{{a,"b\\"c",NULL}}',
                  ARRAY['{{"q": "a,b"}}', NULL, 'null']::jsonb[], '{{sad,NULL}}', '(1,2)')""",
            f"INSERT INTO t (id, account_id) VALUES (2, '{account}')",
            f"""INSERT INTO t (id, account_id, n, jb) SELECT g, '{account}',
                      (g * 7919 % 1000003)::numeric ^ 3 / 10 ^ (g % 20),
                  jsonb_build_object('g', g, 'text', repeat('ß"\\', g % 9), 'n',
                      (g / 7.0)::numeric(30, 12), 'list', jsonb_build_array(g % 2 = 0, NULL,
                      jsonb_build_object('k', '[]'::jsonb)))
                  FROM generate_series(3, 302) g""",
            "UPDATE t SET t = NULL, jb = '[]', m = 'sad', iv = NULL, ai = '{}' WHERE id = 1",
            'DELETE FROM t WHERE id = 1',
            'TRUNCATE t',
        )
        self.assertEqual(python.wait(60), 0, house.read('python.err'))
        self.assertEqual(house.lines('cpp', count), house.read('python.out').splitlines())
        self.assertEqual(len(house.read('python.out').splitlines()), count)

    def test_restarts_of_postgres_repeat_and_lose_nothing(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        house.tail('1', 'one')
        for round_number in range(3):
            house.sql(
                f'INSERT INTO t SELECT g, 1, g FROM generate_series({round_number * 100 + 1},'
                f' {round_number * 100 + 100}) g'
            )
            mode = ('immediate', 'fast', 'immediate')[round_number]
            subprocess.run(
                [os.environ['FATWAL_PGCTL'], 'restart', '-m', mode], check=True, capture_output=True
            )
        house.sql('INSERT INTO t VALUES (301, 1, 301)')
        self.assertEqual([e['new']['n'] for e in house.events('one', 301)], list(range(1, 302)))

    def test_fatwald_confirms_what_it_published_and_goes_on_from_there(self):
        house = self.house
        house.sql(*TABLE)
        first = house.fatwald()
        tail = house.tail('1', 'one')
        house.sql('INSERT INTO t VALUES (1, 1, 1)')
        house.lines('one', 1)
        self.assertEqual(house.stop(first), 0)
        published = house.events('one', 1)[0]['commit_lsn']
        self.assertEqual(
            house.sql(
                f"SELECT confirmed_flush_lsn > '{published}' FROM pg_replication_slots WHERE"
                f" slot_name = '{house.slot}'"
            ),
            't',
        )
        self.assertEqual(list((house.folder / 'run').glob('**/*.sock')), [])
        house.fatwald('second')
        until(lambda: house.read('one.err').count('attached') == 2, 'the subscriber to join again')
        house.sql('INSERT INTO t VALUES (2, 1, 2)')
        self.assertEqual([e['new']['n'] for e in house.events('one', 2)], [1, 2])
        self.assertEqual(house.stop(tail), 0, 'nothing was missed')

    def test_a_killed_fatwald_repeats_what_was_not_confirmed_and_the_client_drops_it(self):
        house = self.house
        house.sql(*TABLE)
        first = house.fatwald()
        house.tail('1', 'one')
        house.sql('INSERT INTO t VALUES (1, 1, 1)', 'INSERT INTO t VALUES (2, 1, 2)')
        house.lines('one', 2)
        house.stop(first, signal.SIGKILL)
        house.fatwald('second')
        until(lambda: house.read('one.err').count('attached') == 2, 'the subscriber to join again')
        house.sql('INSERT INTO t VALUES (3, 1, 3)')
        self.assertEqual([e['new']['n'] for e in house.events('one', 3)], [1, 2, 3])

    def test_an_idle_slot_is_confirmed_up_to_the_end_of_the_log(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald(**{'confirm-interval-ms': '200'})
        house.sql(
            'CREATE TABLE unseen (id int)', 'INSERT INTO unseen SELECT generate_series(1, 20000)'
        )
        end = house.sql('SELECT pg_current_wal_lsn()')
        until(
            lambda: house.sql(
                f"SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name ="
                f" '{house.slot}'"
            )
            == 't',
            'the slot to follow',
        )

    def test_postgres_shuts_down_at_once(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        house.tail('1', 'one')
        house.sql('INSERT INTO t SELECT g, 1, g FROM generate_series(1, 1000) g')
        subprocess.run(
            [os.environ['FATWAL_PGCTL'], 'restart', '-m', 'fast', '-t', '10'],
            check=True,
            capture_output=True,
        )
        house.lines('one', 1000)

    def test_a_second_fatwald_waits_for_the_slot_and_takes_over(self):
        house = self.house
        house.sql(*TABLE)
        first = house.fatwald()
        second = house.fatwald(
            'second',
            wait=False,
            **{
                'run-dir': house.folder / 'other',
                'control': f'ipc://{house.folder}/other/control.sock',
            },
        )
        until(
            lambda: 'active' in house.read('second.err'),
            'the second to be told that the slot is in use',
        )
        self.assertEqual(house.stop(first), 0)
        until(lambda: 'streaming slot' in house.read('second.err'), 'the second to take over')
        self.assertIsNone(second.poll())

    def test_two_of_one_run_folder_are_refused(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        second = house.fatwald('second', wait=False)
        self.assertEqual(second.wait(60), 1)
        self.assertIn('another fatwald uses the run folder', house.read('second.err'))

    def test_joins_lose_nothing_under_constant_writes(self):
        house = self.house
        house.sql(*TABLE)
        house.sql(
            'CREATE PROCEDURE write() LANGUAGE plpgsql AS $$ DECLARE i bigint := 0; BEGIN LOOP i :='
            ' i + 1; INSERT INTO t VALUES (i, 1, i); COMMIT; IF i % 10 = 0 THEN PERFORM'
            ' pg_sleep(0.001); END IF; END LOOP; END $$'
        )
        house.fatwald()
        writer = house.start(
            ['psql', '-X', '-q', '-d', house.database, '-c', 'CALL write()'], 'writer'
        )
        joins = int(os.environ.get('FATWAL_JOINS', '200'))
        done = subprocess.run(
            [BUILD / 'test' / 'joins', house.control, '1', str(joins)],
            capture_output=True,
            text=True,
            timeout=900,
        )
        self.assertEqual(done.stdout.strip(), f'joins {joins} lost 0', done.stdout + done.stderr)
        self.assertIsNone(writer.poll(), 'the writer wrote to the end')
        house.sql(
            (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL"
                f" write%' AND datname = '{house.database}'"
            ),
            database='postgres',
        )

    def test_a_transaction_of_many_frames_arrives_whole(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald(**{'frame-bytes': '1024'})
        house.tail('1', 'one')
        house.sql(
            'BEGIN; INSERT INTO t SELECT g, g % 3, g FROM generate_series(1, 9000) g; TRUNCATE t;'
            ' INSERT INTO t VALUES (1, 1, 1); COMMIT'
        )
        events = house.events('one', 3002)
        self.assertEqual(
            [e['new']['n'] for e in events if e['op'] == 'insert'], [*range(1, 9001, 3), 1]
        )
        self.assertEqual(events[3000]['op'], 'truncate')
        self.assertEqual([e['last'] for e in events], [False] * 3001 + [True])

    def test_what_the_plugin_warns_of_is_in_fatwalds_log(self):
        house = self.house
        house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id text)',
            'CREATE PUBLICATION p FOR TABLE t',
        )
        house.fatwald()
        house.tail(None, 'operators')
        house.sql("INSERT INTO t SELECT g, repeat('k', 300) FROM generate_series(1, 100) g")
        house.events('operators', 100)
        warned = 'Postgres: WARNING: a row of table public.t has an account key of 300 bytes'
        until(lambda: warned in house.read('fatwald.err'), 'the warning')
        house.sql(
            'ALTER TABLE t RENAME TO u',
            "INSERT INTO u SELECT g, repeat('k', 301) FROM generate_series(101, 200) g",
        )
        house.events('operators', 201)
        self.assertEqual(
            house.read('fatwald.err').count('has an account key of'), 1, 'once for each table'
        )
        self.assertEqual(
            {name: house.status()[name] for name in ('resyncs_sent', 'unrouted')},
            {'resyncs_sent': '1', 'unrouted': '0'},
            'of the renaming',
        )

    def test_an_installed_library_serves_another_project(self):
        house = self.house
        house.sql(*TABLE)
        house.fatwald()
        prefix, project = house.folder / 'prefix', house.folder / 'project'
        project.mkdir()
        subprocess.run(
            ['cmake', '--install', BUILD, '--prefix', prefix], check=True, capture_output=True
        )
        (project / 'CMakeLists.txt').write_text(
            'cmake_minimum_required(VERSION 3.25)\nproject(worker CXX)\nfind_package(fatwal'
            ' REQUIRED)\nadd_executable(worker worker.cpp)\ntarget_link_libraries(worker PRIVATE'
            ' fatwal::client)\n'
        )
        (project / 'worker.cpp').write_text(
            """
            #include <fatwal/client/subscription.h>
            #include <zmq.hpp>
            #include <cstdio>
            int main(int, char** argv) {
                zmq::context_t context;
                fatwal::client::SubscriptionOptions options;
                options.control = {argv[1]};
                options.snapshots = false;
                options.account = fatwal::wire::AccountKey::from_text("1");
                fatwal::client::Subscription subscription(context, options);
                while (auto event = subscription.next(std::chrono::seconds(20)))
                    if (std::holds_alternative<fatwal::client::Joined>(*event))
                        return std::puts("joined") < 0;
                return 1;
            }"""
        )
        options = ['-fsanitize=address,undefined'] if BUILD.name == 'asan' else []
        for command in (
            [
                'cmake',
                '-S',
                project,
                '-B',
                project / 'build',
                f'-DCMAKE_PREFIX_PATH={prefix}',
                f'-DCMAKE_CXX_FLAGS={" ".join(options)}',
            ],
            ['cmake', '--build', project / 'build'],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = subprocess.run(
            [project / 'build' / 'worker', house.control], capture_output=True, text=True
        )
        self.assertEqual(done.stdout, 'joined\n')
        library = next(prefix.glob('lib*/**/libfatwal.pc'))
        flags = subprocess.run(
            ['pkg-config', '--cflags', '--libs', 'libfatwal'],
            env={**os.environ, 'PKG_CONFIG_PATH': str(library.parent)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        built = subprocess.run(
            ['c++', *options, project / 'worker.cpp', '-o', project / 'by_pkg_config', *flags],
            capture_output=True,
            text=True,
        )
        self.assertEqual(built.returncode, 0, built.stderr)


class Refusals(unittest.TestCase):
    """Each lack stops fatwald with the statement that mends it; the statement mends it."""

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)

    def refused(self, **settings):
        process = self.house.fatwald('refused', wait=False, **settings)
        self.assertEqual(process.wait(60), 1)
        return self.house.read('refused.err')

    def hint(self, text):
        return re.search(r'hint: (.*)', text).group(1)

    def test_no_publication(self):
        said = self.refused()
        self.assertIn('publication p does not exist', said)
        self.house.sql(self.hint(said).split(';')[0])
        self.house.fatwald()

    def test_publication_names(self):
        self.house.sql(
            *TABLE,
            'CREATE PUBLICATION "MyPub" FOR TABLE t',
            'CREATE PUBLICATION "my pub" FOR TABLE t',
            'CREATE PUBLICATION "a,""b" FOR TABLE t',
        )
        for number, names in enumerate(
            ('MyPub', '"MyPub"', 'my pub', ' "my pub" , MyPub', '"a,""b"')
        ):
            process = self.house.fatwald(f'fatwald{number}', publication=names)
            self.house.tail('1', f'tail{number}', '--snapshot', '--count', str(number + 1))
            self.house.sql(f'INSERT INTO t VALUES ({number}, 1, {number})')
            self.assertEqual(
                [event['new']['n'] for event in self.house.events(f'tail{number}', number + 1)],
                list(range(number + 1)),
            )
            self.house.stop(process)
        for names, said in (
            ('p,', 'A name is empty'),
            ('"p', 'not closed'),
            ('', 'A name is empty'),
            ('"p"q', 'Text follows'),
        ):
            process = self.house.fatwald('refused', wait=False, publication=names)
            self.assertEqual(process.wait(20), 1)
            self.assertIn(said, self.house.read('refused.err'))
            self.assertIn('Separate the names by commas', self.house.read('refused.err'))

    def test_no_extension(self):
        self.house.sql('DROP EXTENSION fatwal')
        said = self.refused()
        self.assertEqual(self.hint(said), 'CREATE EXTENSION fatwal;')

    def test_a_column_list_without_the_account(self):
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int, note text)',
            'CREATE PUBLICATION p FOR TABLE t (id) WHERE (id > 1)',
        )
        said = self.refused()
        self.assertIn('does not list column account_id', said)
        self.house.sql(*self.hint(said).rstrip(';').split('; '))
        first = self.house.fatwald()
        # Later it is no reason to keep everything from everybody.
        self.house.stop(first)
        self.house.sql('ALTER PUBLICATION p SET TABLE t (id)')
        self.house.fatwald('again')
        self.assertIn('does not list column account_id', self.house.read('again.err'))

    def test_a_row_filter(self):
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'CREATE PUBLICATION p FOR TABLE t WHERE (id > 1)',
        )
        self.house.fatwald()

    def test_a_slot_of_another_plugin(self):
        self.house.sql(
            'CREATE PUBLICATION p',
            f"SELECT pg_create_logical_replication_slot('{self.house.slot}', 'pgoutput')",
        )
        said = self.refused()
        self.assertIn('Its plugin is pgoutput', said)
        self.house.sql(re.search(r'SELECT pg_drop_replication_slot.*;', said).group(0))
        self.house.fatwald()

    def test_a_role_that_may_not_replicate(self):
        self.house.sql('CREATE PUBLICATION p', f'CREATE ROLE "{self.house.database}" LOGIN')
        self.addCleanup(self.house.sql, f'DROP ROLE "{self.house.database}"', database='postgres')
        said = self.refused(
            database=re.sub('user=\\S+', f'user={self.house.database}', self.house.conninfo())
        )
        self.assertEqual(self.hint(said), f'ALTER ROLE {self.house.database} REPLICATION;')
        self.house.sql(self.hint(said))
        self.addCleanup(self.house.sql, f'DROP OWNED BY "{self.house.database}"')
        said = self.refused(
            database=re.sub('user=\\S+', f'user={self.house.database}', self.house.conninfo())
        )
        self.house.sql(*self.hint(said).split(' (')[0].rstrip(';').split('; '))
        self.house.fatwald(
            database=re.sub('user=\\S+', f'user={self.house.database}', self.house.conninfo())
        )

    def test_output_plugin_libraries(self):
        if (
            self.house.sql(
                "SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'"
            )
            == '0'
        ):
            self.skipTest('this server does not know the setting')
        self.house.sql(
            'CREATE PUBLICATION p',
            'ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding',
            'SELECT pg_reload_conf()',
        )
        self.addCleanup(
            self.house.sql,
            'ALTER SYSTEM RESET output_plugin_libraries',
            'SELECT pg_reload_conf()',
            database='postgres',
        )
        until(
            lambda: self.house.sql(
                "SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'"
            )
            == 'pgoutput, test_decoding',
            'the setting',
        )
        said = self.refused()
        self.house.sql(*self.hint(said).split(' (')[0].rstrip(';').split('; '))
        until(
            lambda: 'fatwal'
            in self.house.sql(
                "SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'"
            ),
            'the setting',
        )
        self.house.fatwald()

    def test_unknown_setting(self):
        (self.house.folder / 'f.toml').write_text("colour = 'red'\n")
        said = self.refused(config=self.house.folder / 'f.toml')
        self.assertIn('unknown setting "colour"; known: advertise, confirm_interval_ms', said)


if __name__ == '__main__':
    unittest.main()
