"""The networks that other tests use: the namespaces of netns.py, and what proxy.py does to a
connection.
"""
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

from house import DEADLINE_SECONDS
from netns import Network, ip, why_not
from proxy import Proxy

# Answers each connection with what it sends; its first line of output says that it listens.
ECHO = '''
import socket, sys, threading
def echo(peer):
    while data := peer.recv(65536):
        peer.sendall(data)
listener = socket.create_server((sys.argv[1], 7000))
print('listening', flush=True)
while True:
    threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
'''
# Sends each line of its input on one connection, and prints each answer.
TALK = '''
import socket, sys
peer = socket.create_connection((sys.argv[1], 7000))
for line in sys.stdin:
    peer.sendall(line.encode())
    print(peer.recv(65536).decode(), end='', flush=True)
'''


def namespaces():
    return [line.split()[0] for line in ip('netns', 'list').splitlines() if line]


@unittest.skipIf(why_not(), why_not())
class Namespaces(unittest.TestCase):
    def network(self, hosts):
        network = Network(hosts)
        self.addCleanup(network.close)
        return network.__enter__()

    def talk(self, network, server, client):
        """A process on each of two hosts, and a connection between them."""
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
        address = network.address(server)
        listener = network.run(server, [sys.executable, '-c', ECHO, address], **pipes)
        self.assertEqual(listener.stdout.readline(), 'listening\n')
        talker = network.run(client, [sys.executable, '-c', TALK, address], **pipes)
        self.say(talker, 'first')
        self.assertEqual(talker.stdout.readline(), 'first\n')
        return talker

    def say(self, talker, line):
        talker.stdin.write(f'{line}\n')
        talker.stdin.flush()

    def cut_and_mend(self, cut):
        network = self.network(3)
        talker = self.talk(network, 0, 2)
        answers = []
        reader = threading.Thread(target=lambda: answers.append(talker.stdout.readline()))
        cut(network, 2)
        self.say(talker, 'second')
        reader.start()
        time.sleep(0.5)
        self.assertEqual(answers, [])
        network.link_up(2)
        reader.join(DEADLINE_SECONDS)  # TCP sends it again
        self.assertEqual(answers, ['second\n'])

    def test_nothing_passes_a_link_that_is_down_until_it_is_up(self):
        self.cut_and_mend(Network.link_down)

    def test_nothing_passes_a_silenced_link_until_it_is_up(self):
        self.cut_and_mend(Network.silence)

    def test_networks_with_the_same_addresses_stand_side_by_side(self):
        self.talk(self.network(2), 0, 1)
        self.talk(self.network(2), 1, 0)

    def test_a_host_reaches_itself_and_not_the_machine(self):
        network = self.network(1)
        with socket.create_server(('127.0.0.1', 0)) as listener:
            port = listener.getsockname()[1]
            code = (
                'import socket, sys\n'
                'own = socket.create_server(("127.0.0.1", 0))\n'
                'socket.create_connection(own.getsockname())\n'
                f'sys.exit(socket.socket().connect_ex(("127.0.0.1", {port})) == 0)'
            )
            self.assertEqual(network.run(0, [sys.executable, '-c', code]).wait(), 0)

    def test_processes_run_as_the_user_with_its_environment(self):
        network = self.network(1)
        process = network.run(
            0,
            ['sh', '-c', 'echo $(id -u) "$WORDS"'],
            env={**os.environ, 'WORDS': 'two  words'},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(process.stdout.read(), f'{os.getuid()} two  words\n')

    def test_a_failure_leaves_no_namespace_and_no_process(self):
        with self.assertRaises(ZeroDivisionError):
            with Network(2) as network:
                self.talk(network, 0, 1)
                pids = [pid for host in (0, 1) for pid in network.pids(network.namespace(host))]
                self.assertEqual(len([n for n in namespaces() if network.name in n]), 3)
                1 / 0
        self.assertEqual([n for n in namespaces() if f'{network.name}-' in n], [])
        self.assertEqual(len(pids), 2)
        self.assertEqual([pid for pid in pids if os.path.exists(f'/proc/{pid}')], [])

    def test_a_network_that_cannot_be_made_leaves_no_namespace(self):
        network = Network(2)
        taken = network.namespace(1)
        ip('netns', 'add', taken)
        self.addCleanup(ip, 'netns', 'del', taken)
        with self.assertRaisesRegex(RuntimeError, taken):
            network.__enter__()
        self.assertEqual([n for n in namespaces() if f'{network.name}-' in n], [taken])


class Connection(unittest.TestCase):
    def connect(self, **options):
        """A connection through a proxy to a server that sends back what it receives."""
        listener = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(listener.close)
        threading.Thread(target=self.serve, args=(listener,), daemon=True).start()
        self.proxy = Proxy(*listener.getsockname(), **options)
        self.addCleanup(self.proxy.close)
        return self.again()

    def again(self):
        peer = socket.create_connection(('127.0.0.1', self.proxy.port))
        peer.settimeout(DEADLINE_SECONDS)
        self.addCleanup(peer.close)
        return peer

    def serve(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=(peer,), daemon=True).start()

    def echo(self, peer):
        try:
            with peer:
                while data := peer.recv(65536):
                    peer.sendall(data)
        except OSError:
            pass

    def round_trip(self, peer, data):
        """Seconds until all of it is back."""
        begin = time.monotonic()
        sender = threading.Thread(target=peer.sendall, args=(data,))
        sender.start()
        back = b''
        while len(back) < len(data):
            piece = peer.recv(65536)
            self.assertTrue(piece)
            back += piece
        sender.join()
        self.assertEqual(back, data)
        return time.monotonic() - begin

    def test_each_direction_is_delayed(self):
        peer = self.connect(delay_s=0.2)
        self.assertGreaterEqual(self.round_trip(peer, b'ping'), 0.4)
        self.proxy.delay_s = 0
        # Wide: a machine may be busy.
        self.assertLess(min(self.round_trip(peer, b'ping') for _ in range(20)), 0.4)

    def test_a_delay_does_not_add_up(self):
        peer = self.connect(delay_s=0.5)
        pieces = 40
        begin = time.monotonic()
        for _ in range(pieces):
            peer.sendall(b'x')
            time.sleep(0.01)
        heard = 0
        while heard < pieces:
            heard += len(peer.recv(100))
        self.assertLess(time.monotonic() - begin, pieces * 0.5)

    def test_a_cap_holds_and_loses_nothing(self):
        peer = self.connect(bytes_per_s=200_000)
        self.assertGreaterEqual(self.round_trip(peer, os.urandom(200_000)), 0.99)

    def test_a_long_path_carries_its_cap(self):
        """Not 1 MiB for each delay, which would take 8 s here instead of 2.4."""
        peer = self.connect(delay_s=1, bytes_per_s=20_000_000)
        self.assertLess(self.round_trip(peer, os.urandom(8_000_000)), 6)

    def test_what_is_under_way_arrives_after_the_sender_has_closed(self):
        listener = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(listener.close)
        self.proxy = Proxy(*listener.getsockname(), delay_s=0.2)
        self.addCleanup(self.proxy.close)
        with self.again() as peer:
            server, _ = listener.accept()
            peer.sendall(b'last words')
        with server:
            self.assertEqual(server.makefile('rb').read(), b'last words')

    def test_a_stalled_connection_carries_nothing_until_it_is_thawed(self):
        for options in ({}, {'delay_s': 0.05}):
            with self.subTest(options):
                peer = self.connect(**options)
                self.round_trip(peer, b'ping')
                self.proxy.freeze()
                peer.sendall(b'pong')
                peer.settimeout(0.5)
                with self.assertRaises(TimeoutError):
                    peer.recv(100)
                self.proxy.thaw()
                peer.settimeout(DEADLINE_SECONDS)
                self.assertEqual(peer.recv(100), b'pong')

    def test_a_dropped_connection_ends_and_a_new_one_is_refused_until_the_thaw(self):
        for options in ({}, {'delay_s': 0.05}):
            with self.subTest(options):
                peer = self.connect(**options)
                other = self.again()
                self.round_trip(peer, b'ping')
                self.round_trip(other, b'other')
                self.proxy.freeze()  # also what is frozen can be dropped
                self.assertEqual(self.proxy.drop(holds=b'ping', new=True), 1)
                self.assert_ended(peer)
                self.assert_ended(self.again())
                self.proxy.thaw()
                self.round_trip(other, b'still there')
                self.round_trip(self.again(), b'ping')

    def assert_ended(self, peer):
        try:
            self.assertEqual(peer.recv(100), b'')
        except ConnectionError:
            pass
