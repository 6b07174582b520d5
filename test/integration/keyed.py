"""Keys of fatwald and of subscribers, so that a test runs over tcp with CURVE."""
import os
import re
import socket
import subprocess

CONTROL = re.compile(r'ipc://[^,\s]+/control\.sock')


def free_ports(count):
    """So many ports of loopback that nobody has now, below those that the kernel gives out."""
    with open('/proc/sys/net/ipv4/ip_local_port_range') as file:
        highest = int(file.read().split()[0])
    ports, sockets = [], []
    candidate = 10_000 + os.getpid() * 37 % 10_000
    while len(ports) < count:
        candidate = candidate + 1 if candidate + 1 < highest else 10_000
        probe = socket.socket()
        sockets.append(probe)
        try:
            probe.bind(('127.0.0.1', candidate))
        except OSError:
            continue
        ports.append(candidate)
    for probe in sockets:
        probe.close()
    return ports


class Keyring:
    """Key files in a folder, and their credentials in the database."""

    transport = 'tcp'  # or ipc

    def __init__(self, fatwal, folder, sql):
        self.fatwal, self.folder, self.sql = fatwal, folder, sql
        self.made = {}  # public keys, by the names of their files
        self.endpoints = {}  # of a control socket file: the keyed control and data endpoints
        self.server_file, self.server_key = self.make('fatwald')
        self.known = {}

    def make(self, name):
        """The key file of this name, made when it is asked for; its path and the public key."""
        path = self.folder / f'{name}.key'
        if name not in self.made:
            done = subprocess.run([self.fatwal, 'keygen', path], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            self.made[name] = done.stdout.strip()
        return path, self.made[name]

    def credential(self, name, *grants):
        """The key file of a credential, which is made with these grants (all of them if none)."""
        if name not in self.known:
            path, public_key = self.make(name)
            self.sql(
                f"SELECT fatwal.add_credential('{name}', '{public_key}')",
                *(
                    f'SELECT fatwal.{grant}'
                    for grant in grants
                    or (f"grant_every_account('{name}')", f"grant_operators('{name}')")
                ),
            )
            self.known[name] = path
        return self.known[name]

    def environment(self, name, *grants):
        """With which a program is this credential."""
        return {
            'FATWAL_KEY_FILE': str(self.credential(name, *grants)),
            'FATWAL_SERVER_KEY': self.server_key,
        }

    def listening(self, control):
        """The keyed endpoints beside this control socket: the control's, the data's."""
        if control not in self.endpoints:
            self.endpoints[control] = (
                [f'tcp://127.0.0.1:{port}' for port in free_ports(2)]
                if self.transport == 'tcp'
                else [f'ipc://{self.folder}/{name}.sock' for name in ('keyed', 'keyed-data')]
            )
        return self.endpoints[control]

    def settings(self, control):
        """Of a fatwald with this control socket."""
        keyed_control, keyed_data = self.listening(control)
        return {
            'keyed-control': keyed_control,
            'keyed-data': keyed_data,
            'key-file': self.server_file,
            'layout': 'shared',
        }

    def over_the_network(self, argument):
        """An argument with the keyed endpoints in the place of control sockets."""
        return CONTROL.sub(lambda found: self.listening(found.group())[0], str(argument))
