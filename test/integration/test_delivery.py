"""What docs/delivery.md promises beyond the plain stream: snapshots, replay, durable
subscribers, the slot's care, the orderly end.
"""
import os
import re
import signal
import subprocess
import time
import unittest

from house import BUILD, House, of_the_plugin, position, unkeyed, until

TABLE = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, n bigint)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t',
)
# So little is kept in memory that what is missed is read from the slot again.
NOTHING_IN_MEMORY = {
    'replay-bytes': '2000',
    'replay-account-bytes': '2000',
    'confirm-interval-ms': '200',
}


class Delivery(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLE)

    def insert(self, first, last):
        self.house.sql(f'INSERT INTO t SELECT g, 1, g FROM generate_series({first}, {last}) g')

    def numbers(self, name, count):
        return [event['new']['n'] for event in self.house.events(name, count)]

    def durable(self, name, *options):
        return self.house.tail(
            '1', name, '--durable', 'd', '--cursor-file', self.house.folder / 'cursor', *options
        )

    def kill_when_kept(self, tail, events):
        """Kills a durable subscriber that has joined, and printed these events, once its cursor
        is past them: killed before, it rightly begins before them.
        """
        last = max((position(event['commit_lsn']) for event in events), default=(0, 0))
        cursor = self.house.folder / 'cursor'
        until(
            lambda: cursor.exists() and position(cursor.read_text().split()[2]) > last,
            'the cursor to be kept',
        )
        self.house.stop(tail, signal.SIGKILL)

    def slot_is_at_end(self):
        end = self.house.sql('SELECT pg_current_wal_lsn()')
        until(
            lambda: self.house.sql(
                f"SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name ="
                f" '{self.house.slot}'"
            )
            == 't',
            'the slot to follow',
        )

    # Snapshots.

    def test_a_snapshot_and_then_the_stream(self):
        self.insert(1, 1000)
        self.house.sql('INSERT INTO t VALUES (0, 2, 0)')
        self.house.fatwald()
        self.house.tail('1', 'one', '--snapshot')
        self.house.lines('one', 1000)
        self.insert(1001, 1010)
        self.assertEqual(sorted(self.numbers('one', 1010)), list(range(1, 1011)))

    def waits(self, of):
        """Whether a session waits for a lock of this kind."""
        return (
            self.house.sql(
                f"SELECT count(*) FROM pg_locks WHERE locktype = '{of}' AND NOT granted AND"
                " database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            != '0'
        )

    def test_a_table_that_is_rewritten_behind_a_snapshot_is_read_in_another_one(self):
        self.insert(1, 10)
        self.house.fatwald()
        # The snapshot is taken while the table is locked, and waits; what is rewritten before it
        # gets the lock is empty in it.
        session = self.house.locking('t')
        self.house.tail('1', 'one', '--snapshot')
        until(lambda: self.waits('relation'), 'the snapshot to wait')
        session.run('ALTER TABLE t ALTER n TYPE numeric', 'COMMIT')
        self.assertEqual(sorted(self.numbers('one', 10)), list(range(1, 11)))
        self.assertIn('is taken again', self.house.read('fatwald.err'))
        self.insert(11, 11)
        self.assertEqual(sorted(self.numbers('one', 11)), list(range(1, 12)), 'and nothing twice')

    def replace_snapshot(self, body):
        """Has `body` in the place of fatwal.snapshot, which it can call as
        fatwal.whole_snapshot.
        """
        self.house.sql(
            'ALTER FUNCTION fatwal.snapshot(text, text) RENAME TO whole_snapshot',
            (
                "CREATE FUNCTION fatwal.outdated() RETURNS bytea LANGUAGE plpgsql AS $$BEGIN"
                " PERFORM pg_advisory_lock(1); PERFORM pg_advisory_unlock(1); RAISE"
                " serialization_failure USING MESSAGE = 'a table was rewritten'; END$$"
            ),
            (
                'CREATE FUNCTION fatwal.snapshot(account text, publication text) RETURNS SETOF'
                f' bytea LANGUAGE sql AS $${body}$$'
            ),
        )

    @of_the_plugin
    def test_of_a_snapshot_that_is_outdated_in_the_midst_nothing_stays(self):
        self.house.sql(
            'ALTER TABLE t ADD filler text',
            'CREATE TABLE mended (at int)',
            "INSERT INTO t SELECT g, 1, g, repeat('x', 1000) FROM generate_series(1, 2000) g",
        )
        self.replace_snapshot(
            'SELECT m FROM fatwal.whole_snapshot($1, $2) m UNION ALL SELECT fatwal.outdated() WHERE'
            ' NOT EXISTS (SELECT FROM public.mended)'
        )
        self.house.fatwald()
        session = self.house.session()
        session.run('SELECT pg_advisory_lock(1)')
        until(
            lambda: self.house.sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            )
            == '1',
            'the lock',
        )
        self.house.tail('1', 'one', '--snapshot')
        sent = len(self.house.lines('one', 100))
        until(lambda: self.waits('advisory'), 'the snapshot to be at its end')
        self.house.sql('INSERT INTO mended VALUES (1)', 'UPDATE t SET n = n + 10000')
        session.run('SELECT pg_advisory_unlock(1)')
        until(lambda: 'snapshot ends' in self.house.read('one.err'), 'a whole snapshot')
        self.assertEqual(
            self.house.read('one.err').count('snapshot begins'), 2, 'what came of the first is void'
        )
        # The second has its own beginning, not where the first broke off.
        until(
            lambda: sorted(self.numbers('one', sent)[-2000:]) == list(range(10001, 12001)),
            'all rows of the second',
        )

    @of_the_plugin
    def test_a_snapshot_that_stays_outdated_is_refused_in_the_end(self):
        self.insert(1, 10)
        self.replace_snapshot('SELECT fatwal.outdated()')
        self.house.fatwald()
        self.house.tail('1', 'one', '--snapshot')
        until(
            lambda: 'fatwald refused: cannot read a snapshot' in self.house.read('one.err'),
            'the refusal',
        )
        self.assertGreaterEqual(self.house.read('fatwald.err').count('is taken again'), 5)
        self.assertNotIn('snapshot begins', self.house.read('one.err'))
        self.house.sql(
            'DROP FUNCTION fatwal.snapshot(text, text)',
            'ALTER FUNCTION fatwal.whole_snapshot(text, text) RENAME TO snapshot',
        )
        self.assertEqual(sorted(self.numbers('one', 10)), list(range(1, 11)), 'and asked for again')

    def test_a_commit_that_is_decoded_before_it_is_visible(self):
        # Under synchronous replication with the standby away a commit is in the log, so it is
        # published, but no snapshot sees it yet.
        house = self.house
        house.fatwald()
        house.tail('1', 'before')
        house.sql(
            "ALTER SYSTEM SET synchronous_standby_names = 'away'",
            'SELECT pg_reload_conf()',
            database='postgres',
        )
        try:
            until(self.commits_wait, 'the setting to hold')
            waiting = house.start(
                ['psql', '-X', '-d', house.database, '-c', 'INSERT INTO t VALUES (1, 1, 1)'],
                'waiting',
            )
            house.lines('before', 1)
            self.assertEqual(house.sql('SELECT count(*) FROM t'), '0', 'nobody sees it')
            house.tail('1', 'late', '--snapshot')
            self.assertEqual(self.numbers('late', 1), [1])
        finally:
            house.sql(
                'ALTER SYSTEM RESET synchronous_standby_names',
                'SELECT pg_reload_conf()',
                database='postgres',
            )
        waiting.wait(30)
        house.sql('INSERT INTO t VALUES (2, 1, 2)')
        self.assertEqual(self.numbers('late', 2), [1, 2], 'once, by the stream or by the snapshot')
        # Whoever comes now has it by the snapshot, and not by the stream again.
        house.tail('1', 'later', '--snapshot')
        house.sql('INSERT INTO t VALUES (3, 1, 3)')
        self.assertEqual(self.numbers('later', 3), [1, 2, 3])

    def commits_wait(self):
        """Whether a commit waits for the standby; it is cancelled if it does."""
        probe = self.house.start(
            [
                'psql',
                '-X',
                '-d',
                self.house.database,
                '-c',
                "SELECT pg_logical_emit_message(true, 'probe', '')",
            ],
            'probe',
        )
        cancel = (
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event ="
            " 'SyncRep' AND query LIKE 'SELECT pg_logical_emit_message(%'"
        )
        waited = (
            until(
                lambda: self.house.sql(cancel) == '1' or (probe.poll() is not None and 'not'),
                'the probe',
            )
            is True
        )
        probe.wait(30)
        return waited

    def test_a_thousand_that_attach_at_once_cost_one_query(self):
        self.insert(1, 500)
        self.house.fatwald(**{'snapshot-reuse-ms': '60000'})
        crowd = self.house.start(
            [BUILD / 'test' / 'crowd', self.house.control, '1', '1000'], 'crowd'
        )
        until(
            lambda: 'ready' in self.house.read('crowd.out') or crowd.poll() is not None,
            'all to have a snapshot',
        )
        self.assertEqual(self.house.status()['snapshot_queries'], '1')
        self.house.sql('INSERT INTO t VALUES (-1, 1, -1)')
        self.assertEqual(crowd.wait(60), 0, self.house.read('crowd.out'))
        self.assertIn('subscribers 1000 rows 501', self.house.read('crowd.out'))

    # One socket for each account, or one for all.

    def follow_in_a_group(self, layout, descriptors):
        house = self.house
        row = 'INSERT INTO t SELECT 1000 * {0} + a, a, {0} FROM generate_series(1, 100) a'.format
        fatwald = house.fatwald(layout=layout)
        house.sql(*(row(n) for n in range(1, 4)))
        group = house.start([BUILD / 'test' / 'group', house.control, 100, 40], 'group')
        until(lambda: 'ready' in house.read('group.out') or group.poll() is not None, 'all to join')
        house.sql(*(row(n) for n in range(4, 15)))
        until(
            lambda: int(house.status()['descriptors_used']) in descriptors,
            f'{layout} to have so many descriptors',
        )
        house.stop(fatwald, signal.SIGKILL)
        house.sql(*(row(n) for n in range(15, 25)))
        house.fatwald('second', layout=layout)
        house.sql(*(row(n) for n in range(25, 41)))
        self.assertEqual(group.wait(90), 0, house.read('group.out') + house.read('group.err'))
        self.assertIn('had 4040', house.read('group.out'))

    @unkeyed
    def test_a_group_follows_accounts_with_a_socket_each(self):
        self.follow_in_a_group('account', range(300, 1000))

    def test_a_group_follows_accounts_that_share_a_socket(self):
        self.follow_in_a_group('shared', range(60))

    def test_one_of_a_group_that_pauses_holds_up_nobody_until_it_has_too_much(self):
        house = self.house
        house.sql('ALTER TABLE t ADD filler text')
        house.fatwald(layout='shared')
        pausing = house.start([BUILD / 'test' / 'pausing', house.control], 'pausing')

        def says(what):
            until(lambda: what in house.read('pausing.out') or pausing.poll() is not None, what)
            self.assertIn(what, house.read('pausing.out'))

        says('ready')
        house.sql('INSERT INTO t VALUES (1, 1, 1)', 'INSERT INTO t VALUES (2, 2, 1)')
        says('row 1')
        house.sql(
            *(f"INSERT INTO t SELECT {10 + n}, 1, {n}, repeat('x', 1048576)" for n in range(20)),
            'INSERT INTO t VALUES (3, 2, 2)',
        )
        self.assertEqual(pausing.wait(60), 0, house.read('pausing.out') + house.read('pausing.err'))
        says('row 2')

    # Replay.

    def test_what_left_memory_is_read_from_the_slot_again(self):
        self.house.fatwald(**NOTHING_IN_MEMORY)
        tail = self.durable('one')
        self.insert(1, 1)
        self.kill_when_kept(tail, self.house.events('one', 1))
        self.house.sql(*(f'INSERT INTO t VALUES ({n}, 1, {n})' for n in range(2, 202)))
        self.durable('two', '--count', '200')
        self.assertEqual(self.numbers('two', 200), list(range(2, 202)))
        self.assertGreaterEqual(int(self.house.status()['rereads']), 1)

    def test_a_transaction_that_the_spools_cannot_hold_is_not_read_again_and_again(self):
        self.house.fatwald(**NOTHING_IN_MEMORY, **{'spool-bytes': '1048576'})
        tail = self.durable('one')
        self.insert(1, 1)
        self.kill_when_kept(tail, self.house.events('one', 1))
        self.insert(2, 100000)
        end = position(self.house.sql('SELECT pg_current_wal_lsn()'))
        until(
            lambda: position(self.house.status()['published_lsn']) >= end,
            'the transaction to be published',
        )
        self.durable('two')
        until(
            lambda: 'changes were missed' in self.house.read('two.err'), 'the subscriber to be told'
        )
        log = self.house.read('fatwald.err')
        self.assertIn('One transaction takes', log)
        self.assertIn('--spool-bytes', log)
        self.assertLess(int(self.house.status()['rereads']), 4)
        self.insert(100001, 100001)
        self.assertEqual(self.numbers('two', 1), [100001], 'and it goes on behind it')

    def test_a_durable_tail_that_would_pass_over_what_is_kept_is_refused(self):
        tail = self.house.start(
            [
                BUILD / 'client' / 'fatwal',
                'tail',
                '--control',
                self.house.control,
                '--account',
                '1',
                '--durable',
                'd',
            ],
            'tail',
        )
        self.assertEqual(tail.wait(30), 2)
        self.assertIn('--cursor-file FILE', self.house.read('tail.err'))

    def test_who_is_not_durable_is_told_when_changes_are_gone(self):
        cursor = self.house.folder / 'cursor'
        self.house.fatwald(**NOTHING_IN_MEMORY)
        tail = self.house.tail('1', 'one', '--cursor-file', cursor)
        self.insert(1, 1)
        self.house.lines('one', 1)
        self.house.stop(tail)
        self.house.sql(*(f'INSERT INTO t VALUES ({n}, 1, {n})' for n in range(2, 202)))
        self.slot_is_at_end()
        self.house.tail('1', 'two', '--snapshot', '--cursor-file', cursor)
        self.house.lines('two', 201)
        self.assertIn(
            'changes were missed: the position is no longer held', self.house.read('two.err')
        )

    # Durable subscribers.

    def test_the_log_is_kept_for_a_durable_one_also_for_another_fatwald(self):
        house = self.house
        first = house.fatwald(**NOTHING_IN_MEMORY)
        tail = self.durable('one')
        self.insert(1, 1)
        self.kill_when_kept(tail, self.house.events('one', 1))
        self.insert(2, 100)
        house.stop(first, signal.SIGKILL)
        house.fatwald('second', **NOTHING_IN_MEMORY)
        self.insert(101, 200)
        until(lambda: self.house.status()['holds'] == '1', 'the log to be held')
        self.durable('two')
        self.assertEqual(self.numbers('two', 199), list(range(2, 201)))
        self.slot_is_at_end()

    def test_one_that_wakes_after_another_had_the_slot_and_was_killed(self):
        house = self.house
        first = house.fatwald(**{'confirm-interval-ms': '100'})
        other = f'ipc://{house.folder}/other/control.sock'
        second = house.fatwald(
            'second',
            wait=False,
            **{'run-dir': house.folder / 'other', 'control': other, 'confirm-interval-ms': '100'},
        )
        until(
            lambda: 'active' in house.read('second.err'),
            'the second to be told that the slot is in use',
        )
        self.durable('one', '--control', other)
        self.insert(1, 10)
        house.lines('one', 10)
        first.send_signal(signal.SIGSTOP)
        house.sql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name ="
            f" '{house.slot}'"
        )
        until(lambda: 'streaming slot' in house.read('second.err'), 'the second to take over')
        self.insert(11, 20)
        house.lines('one', 20)
        self.slot_is_at_end()
        self.assertEqual(house.stop(second, signal.SIGKILL), -signal.SIGKILL)
        self.insert(21, 30)
        first.send_signal(signal.SIGCONT)
        self.assertEqual(self.numbers('one', 30), list(range(1, 31)))
        self.assertIn('another fatwald had the slot meanwhile', house.read('fatwald.err'))
        self.assertNotIn('resync', house.read('one.err').lower())

    def test_what_another_promised_is_kept_also_where_it_did_not_move_the_slot(self):
        house = self.house
        first = house.fatwald()
        first.send_signal(signal.SIGSTOP)
        other = f'ipc://{house.folder}/other/control.sock'
        second = house.fatwald(
            'second', wait=False, **{'run-dir': house.folder / 'other', 'control': other}
        )
        until(lambda: 'Waits to take over' in house.read('second.err'), 'the second to wait')
        house.sql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name ="
            f" '{house.slot}'"
        )
        until(
            lambda: '[info] streaming slot' in house.read('second.err'), 'the second to take over'
        )
        tail = house.start(
            [
                BUILD / 'client' / 'fatwal',
                'tail',
                '--control',
                other,
                '--account',
                '1',
                '--durable',
                'd',
                '--snapshot',
            ],
            'one',
        )
        until(
            lambda: house.sql('SELECT count(*) FROM fatwal.subscriber') == '1',
            'it to be written down',
        )
        house.stop(tail, signal.SIGKILL)
        house.stop(second, signal.SIGKILL)
        first.send_signal(signal.SIGCONT)
        until(
            lambda: house.read('fatwald.err').count('[info] streaming slot') == 2,
            'the first to stream again',
        )
        self.assertEqual(house.status()['durable_subscribers'], '1')

    def take_over(self, stop, seconds):
        """Stops the fatwald that streams; seconds until the subscriber has the next row by the
        other. Generous: bench/take-over measures.
        """
        house = self.house
        other = f'ipc://{house.folder}/other/control.sock'
        first = house.fatwald()
        house.fatwald('second', wait=False, **{'run-dir': house.folder / 'other', 'control': other})
        until(lambda: 'Waits to take over' in house.read('second.err'), 'the second to wait')
        house.start(
            [
                BUILD / 'client' / 'fatwal',
                'tail',
                '--control',
                f'{house.control},{other}',
                '--account',
                '1',
                '--durable',
                'd',
                '--snapshot',
                '--numbers',
                'json',
            ],
            'one',
        )
        self.insert(1, 1)
        self.assertEqual(self.numbers('one', 1), [1])
        begin = time.monotonic()
        first.send_signal(stop)
        self.insert(2, 2)
        self.assertEqual(self.numbers('one', 2), [1, 2])
        self.assertLess(time.monotonic() - begin, seconds)

    def test_a_planned_take_over_takes_a_moment(self):
        self.take_over(signal.SIGTERM, 5)
        self.assertIn('fatwald ends: fatwald shuts down', self.house.read('one.err'))

    def test_a_take_over_after_a_kill_takes_three_heartbeats(self):
        self.take_over(signal.SIGKILL, 9)

    def test_beyond_the_retention_it_is_given_up(self):
        house = self.house
        house.fatwald(**NOTHING_IN_MEMORY, **{'retention-bytes': '100000'})
        tail = self.durable('one')
        self.insert(1, 1)
        self.kill_when_kept(tail, self.house.events('one', 1))
        self.house.sql(
            *(
                f'INSERT INTO t SELECT g, 1, g FROM generate_series({n}, {n + 999}) g'
                for n in range(2000, 12000, 1000)
            )
        )
        until(lambda: self.house.status()['given_up'] == '1', 'it to be given up')
        self.assertRegex(
            house.read('fatwald.err'),
            r'durable subscriber "d" of account "1" is dropped after retention',
        )
        self.slot_is_at_end()
        self.assertEqual(house.sql('SELECT count(*) FROM fatwal.subscriber'), '0')
        self.durable('two', '--snapshot')
        house.lines('two', 10001)
        self.assertIn('changes were missed', house.read('two.err'))

    def test_postgres_shuts_down_although_one_has_not_acknowledged(self):
        house = self.house
        house.fatwald(**{'shutdown-drain-ms': '2000'})
        tail = self.durable('one')
        self.kill_when_kept(tail, [])
        self.insert(1, 100)
        begin = time.monotonic()
        subprocess.run(
            [os.environ['FATWAL_PGCTL'], 'restart', '-m', 'fast'], check=True, capture_output=True
        )
        self.assertLess(time.monotonic() - begin, 15)
        self.durable('two')
        self.assertEqual(self.numbers('two', 100), list(range(1, 101)))

    # The slot.

    def durable_one_had_its_first_row(self):
        """Then it and fatwald were stopped."""
        fatwald = self.house.fatwald()
        tail = self.durable('one')
        self.insert(1, 1)
        self.house.lines('one', 1)
        self.house.stop(tail)
        self.house.stop(fatwald)

    def test_a_missing_slot_stops_with_its_reason(self):
        house = self.house
        self.durable_one_had_its_first_row()
        self.house.drop_slot()
        second = house.fatwald('second', wait=False)
        self.assertEqual(second.wait(30), 1)
        self.assertRegex(
            house.read('second.err'),
            (
                r'slot ".*" is missing\s+detail: It was streamed before: 1 durable subscriber waits'
                r' for it'
            ),
        )
        self.assertIn('--on-lost-slot=resync', house.read('second.err'))
        self.assertEqual(
            house.sql(
                f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{house.slot}'"
            ),
            '0',
            'it is not replaced silently',
        )

    def test_a_slot_that_postgres_took_away_stops_with_its_reason(self):
        house = self.house
        first = house.fatwald()
        house.stop(first)
        house.sql(
            "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'",
            'SELECT pg_reload_conf()',
            database='postgres',
        )
        try:

            def lost():
                house.sql(
                    (
                        'CREATE TABLE filler AS SELECT repeat(md5(g::text), 30) AS t FROM'
                        ' generate_series(1, 20000) g'
                    ),
                    'DROP TABLE filler',
                    'SELECT pg_switch_wal()',
                    'CHECKPOINT',
                )
                return (
                    house.sql(
                        "SELECT wal_status FROM pg_replication_slots WHERE slot_name ="
                        f" '{house.slot}'"
                    )
                    == 'lost'
                )

            until(lost, 'the slot to be lost')
        finally:
            house.sql(
                'ALTER SYSTEM RESET max_slot_wal_keep_size',
                'SELECT pg_reload_conf()',
                database='postgres',
            )
        second = house.fatwald('second', wait=False)
        self.assertEqual(second.wait(30), 1)
        self.assertRegex(house.read('second.err'), r'slot ".*" is lost')
        house.fatwald('third', **{'on-lost-slot': 'resync'})
        house.tail('1', 'one', '--snapshot')
        self.insert(1, 1)
        self.assertEqual(self.numbers('one', 1), [1])

    def test_with_resync_a_missing_slot_is_made_anew_and_all_are_told(self):
        house = self.house
        self.durable_one_had_its_first_row()
        self.house.drop_slot()
        self.insert(2, 2)
        house.fatwald('second', **{'on-lost-slot': 'resync'})
        self.durable('two', '--snapshot')
        self.assertEqual(self.numbers('two', 2), [1, 2])
        self.assertIn('changes were missed', house.read('two.err'))

    def test_a_slot_that_others_moved_on_is_a_gap(self):
        house = self.house
        self.durable_one_had_its_first_row()
        self.insert(2, 2)
        house.sql(f"SELECT pg_replication_slot_advance('{house.slot}', pg_current_wal_lsn())")
        house.fatwald('second')
        self.durable('two', '--snapshot')
        self.assertEqual(self.numbers('two', 2), [1, 2])
        self.assertIn('changes were missed', house.read('two.err'))

    def test_a_row_filter_that_fails_stops_the_stream_and_the_way_out_of_the_docs(self):
        house = self.house
        house.sql('ALTER PUBLICATION p SET TABLE t WHERE (100 / n > 0)')
        fatwald = house.fatwald()
        self.durable('one', '--snapshot')
        house.tail('1', 'fleeting', '--snapshot')
        self.insert(1, 1)
        self.assertEqual((self.numbers('one', 1), self.numbers('fleeting', 1)), ([1], [1]))
        house.sql('INSERT INTO t VALUES (2, 1, 0)')
        until(lambda: 'division by zero' in house.read('fatwald.err'), 'the filter to fail')
        house.stop(fatwald)
        self.insert(3, 3)
        # docs/operations.md: a filter that cannot fail, and a slot beyond the row.
        house.sql(
            'ALTER PUBLICATION p SET TABLE t WHERE (n > 0 AND n <= 100)',
            f"SELECT pg_replication_slot_advance('{house.slot}', pg_current_wal_insert_lsn())",
        )
        house.fatwald('second')
        self.insert(4, 4)
        for name in ('one', 'fleeting'):
            self.assertEqual(
                sorted(self.numbers(name, 4)[1:]), [1, 3, 4], 'the rows again, by a snapshot'
            )
            self.assertIn('changes were missed', house.read(f'{name}.err'))

    def test_an_idle_database_beside_a_busy_one(self):
        house = self.house
        busy = f'busy_{house.database}'
        house.sql(f'CREATE DATABASE {busy}', database='postgres')
        try:
            house.fatwald(**{'confirm-interval-ms': '500'})
            house.sql('CREATE TABLE b (t text)', database=busy)
            most = 0
            for _ in range(20):
                house.sql(
                    "INSERT INTO b SELECT repeat('x', 500) FROM generate_series(1, 10000)",
                    'CHECKPOINT',
                    database=busy,
                )
                retained = (
                    "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots WHERE"
                    f" slot_name = '{house.slot}'"
                )
                until(lambda: int(house.sql(retained)) < 32 << 20, 'the slot to let go of the log')
                most = max(most, int(house.sql(retained)))
            self.assertLess(most, 32 << 20)
        finally:
            house.sql(f'DROP DATABASE {busy} WITH (FORCE)', database='postgres')

    # Slow ones, and too many.

    def test_one_that_does_not_read_is_cut_and_has_all_when_it_reads_again(self):
        house = self.house
        house.fatwald(**{'send-high-water-mark': '10'})
        stalled = house.tail('1', 'stalled', '--durable', 'd', '--snapshot')
        house.tail('1', 'other')
        stalled.send_signal(signal.SIGSTOP)
        n = 0
        while self.house.status()['cut_subscribers'] == '0':
            self.insert(n * 1000 + 1, n * 1000 + 1000)
            n += 1
            self.assertLess(n, 2000)
        self.assertEqual(self.numbers('other', n * 1000), list(range(1, n * 1000 + 1)))
        stalled.send_signal(signal.SIGCONT)
        self.assertEqual(self.numbers('stalled', n * 1000), list(range(1, n * 1000 + 1)))

    @unkeyed
    def test_an_attach_beyond_the_descriptors_is_refused_with_its_reason(self):
        house = self.house
        fatwald = house.fatwald(by=['prlimit', '--nofile=200:200'])
        house.tail('0', 'first')
        tails = []

        def refused():
            if len(tails) < 120:
                tails.append(f'tail{len(tails) + 1}')
                house.start(
                    [
                        BUILD / 'client' / 'fatwal',
                        'tail',
                        '--control',
                        house.control,
                        '--account',
                        len(tails),
                    ],
                    tails[-1],
                )
            return 'no file descriptors left for another subscriber' in house.read('fatwald.err')

        until(refused, 'an attach to be refused')
        self.assertRegex(house.read('fatwald.err'), re.compile(r'\d+ of 200 are in use'))
        until(
            lambda: any('LimitNOFILE' in house.read(f'{tail}.err') for tail in tails),
            'a subscriber to be told what to do',
        )
        house.sql('INSERT INTO t VALUES (1, 0, 1)')
        self.assertEqual(self.numbers('first', 1), [1], 'it goes on for those that are there')
        self.assertIsNone(fatwald.poll())


if __name__ == '__main__':
    unittest.main()
