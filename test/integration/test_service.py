"""fatwald and fatwal-channel under a service manager: what they tell systemd, what SIGHUP reads
again, logs of JSON lines.
"""
import json
import os
import signal
import socket
import time
import unittest

from house import House, until
from portal import Portal


class Systemd:
    """The socket that NOTIFY_SOCKET names, and what has come there."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.told = []

    def environment(self, watchdog_seconds=0):
        variables = {'NOTIFY_SOCKET': self.path.replace('\0', '@')}
        if watchdog_seconds:
            variables['WATCHDOG_USEC'] = str(int(watchdog_seconds * 1e6))
        return variables

    def read(self):
        while True:
            try:
                self.told.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.told

    def close(self):
        self.socket.close()


class Service(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.systemd = Systemd(f'{self.house.folder}/notify')
        self.addCleanup(self.systemd.close)
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
        )

    def await_told(self, start):
        until(lambda: any(each.startswith(start) for each in self.systemd.read()), start)

    def test_systemd_is_told_when_it_streams_reloads_and_stops(self):
        fatwald = self.house.fatwald(environment=self.systemd.environment())
        self.await_told(f'READY=1\nSTATUS=streaming slot {self.house.slot}')
        self.systemd.told.clear()
        fatwald.send_signal(signal.SIGHUP)
        self.await_told('READY=1')
        self.assertTrue(self.systemd.told[0].startswith('RELOADING=1\nMONOTONIC_USEC='))
        self.assertEqual(self.house.stop(fatwald), 0)
        self.await_told('STOPPING=1')

    def test_one_that_waits_for_the_slot_is_ready(self):
        self.house.fatwald()
        waiting = self.house.fatwald(
            'waiting',
            wait=False,
            environment=self.systemd.environment(),
            **{
                'run-dir': self.house.folder / 'run2',
                'control': f'ipc://{self.house.folder}/run2/control.sock',
            },
        )
        self.await_told(f'READY=1\nSTATUS=waits for slot {self.house.slot}')
        self.assertIsNone(waiting.poll())

    def test_one_that_cannot_be_started_is_not_ready(self):
        fatwald = self.house.fatwald(
            wait=False, environment=self.systemd.environment(), publication='other'
        )
        self.assertEqual(fatwald.wait(60), 1)
        self.assertEqual(self.systemd.read(), [])

    def test_the_loop_feeds_the_watchdog_and_one_that_hangs_does_not(self):
        abstract = Systemd(f'\0{self.house.database}')
        self.addCleanup(abstract.close)
        fatwald = self.house.fatwald(environment=abstract.environment(watchdog_seconds=0.4))
        until(lambda: abstract.read().count('WATCHDOG=1') > 3, 'the watchdog')
        os.kill(fatwald.pid, signal.SIGSTOP)
        abstract.read()
        abstract.told.clear()
        time.sleep(1)
        self.assertEqual(abstract.read(), [])
        os.kill(fatwald.pid, signal.SIGCONT)
        self.await_watchdog(abstract)

    def await_watchdog(self, systemd):
        until(lambda: 'WATCHDOG=1' in systemd.read(), 'the watchdog')

    def test_sighup_reads_the_file_again_and_names_what_needs_a_restart(self):
        file = self.house.folder / 'fatwald.toml'
        file.write_text("log_level = 'info'\nretention_s = 100\n")
        fatwald = self.house.fatwald(config=file)
        file.write_text("log_level = 'warning'\nretention_s = 200\nframe_bytes = 2048\n")
        fatwald.send_signal(signal.SIGHUP)
        until(
            lambda: 'restart fatwald for: frame_bytes' in self.house.read('fatwald.err'),
            'what needs a restart',
        )
        file.write_text("log_level = 'none'\n")
        fatwald.send_signal(signal.SIGHUP)
        until(lambda: 'the settings stay as they are' in self.house.read('fatwald.err'), 'why not')
        self.assertIn('"none"', self.house.read('fatwald.err'))
        file.write_text("retention_s = 200\n")
        fatwald.send_signal(signal.SIGHUP)
        until(lambda: 'log_level = info' in self.house.read('fatwald.err'), 'the level')
        self.assertEqual(self.house.stop(fatwald), 0)

    def test_sighup_without_a_file_says_so(self):
        fatwald = self.house.fatwald()
        fatwald.send_signal(signal.SIGHUP)
        until(lambda: 'runs without a settings file' in self.house.read('fatwald.err'), 'why not')
        self.assertEqual(self.house.stop(fatwald), 0)

    def test_each_line_of_a_json_log_is_an_object(self):
        fatwald = self.house.fatwald(**{'log-format': 'json'})
        self.assertEqual(self.house.stop(fatwald), 0)
        refused = self.house.fatwald(
            'refused', wait=False, **{'log-format': 'json', 'publication': 'other'}
        )
        self.assertEqual(refused.wait(60), 1)
        for name in ('fatwald', 'refused'):
            lines = [json.loads(line) for line in self.house.read(f'{name}.err').splitlines()]
            self.assertTrue(lines)
            for line in lines:
                self.assertEqual(set(line), {'time', 'level', 'message'})
        self.assertEqual(lines[-1]['level'], 'critical')
        self.assertIn('hint: ', lines[-1]['message'])


class ChannelService(Portal):
    def test_systemd_is_told_and_sighup_reads_the_file_again(self):
        systemd = Systemd(f'{self.house.folder}/notify')
        self.addCleanup(systemd.close)
        file = self.house.folder / 'channel.toml'
        file.write_text("log_level = 'info'\nlog_format = 'json'\n")
        channel = self.channel(environment=systemd.environment(watchdog_seconds=0.4), config=file)
        port = self.ports['channel']
        until(lambda: f'READY=1\nSTATUS=listening on port {port}' in systemd.read(), 'ready')
        until(lambda: systemd.read().count('WATCHDOG=1') > 3, 'the watchdog')
        systemd.told.clear()
        file.write_text("log_level = 'debug'\nlog_format = 'text'\n")
        channel.send_signal(signal.SIGHUP)
        until(lambda: f'READY=1\nSTATUS=listening on port {port}' in systemd.read(), 'ready')
        self.assertIn('log_level = debug', self.house.read('channel.err'))
        self.assertIn('restart fatwal-channel for: log_format', self.house.read('channel.err'))
        self.assertEqual(self.house.stop(channel), 0)
        self.assertIn('STOPPING=1\nSTATUS=stopping', systemd.read())
        for line in self.house.read('channel.err').splitlines():
            self.assertEqual(set(json.loads(line)), {'time', 'level', 'message'})


if __name__ == '__main__':
    unittest.main()
