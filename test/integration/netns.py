"""Hosts with a network of their own, on one machine: network namespaces, each with one interface
`eth0`, joined by a bridge.

    with Network(2) as network:
        server = network.run(0, [...], stdout=subprocess.PIPE)   # listens on network.address(0)
        network.run(1, [...])                                    # connects to it
        network.link_down(1)

The bridge lives in a namespace too, so that nothing appears in the machine's own network: any
number of networks with the same addresses stand side by side, and deleting the namespaces deletes
all. Hosts share the file system: Postgres is reached by its Unix socket from each of them, but its
port on 127.0.0.1 is not.

Namespaces need root. As root, as in CI, commands run as they are. Another user needs sudo without
a password, as scripts/setup does: `ip` runs by `sudo -n`, which never asks, and what run() starts
runs as the user again. Where neither works, or where the machine forbids namespaces (a container
without CAP_SYS_ADMIN), `why_not()` says so and tests are skipped with that sentence.
"""
import functools
import os
import signal
import subprocess
import time

ROOT = os.geteuid() == 0
END_SECONDS = 30  # until a killed process must have ended


def as_root(*command):
    """Runs a command as root; what it prints."""
    done = subprocess.run(
        [*([] if ROOT else ['sudo', '-n']), *command], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def ip(*arguments):
    return as_root('ip', *arguments)


@functools.lru_cache(maxsize=None)
def why_not():
    """Why network namespaces cannot be made here, or None. Tries it, as permissions tell little:

    @unittest.skipIf(why_not(), why_not())
    """
    name = f'fatwal-{os.getpid()}-try'
    try:
        ip('netns', 'add', name)
        try:
            ip('-n', name, 'link', 'set', 'lo', 'up')
        finally:
            ip('netns', 'del', name)
    except (OSError, RuntimeError) as error:  # no such program, or it failed
        if not ROOT:
            why = 'they need root, or sudo without a password'
        elif isinstance(error, FileNotFoundError):
            why = 'they need the package iproute2 (scripts/setup --tests)'
        else:
            why = 'this machine forbids them'
        return f'no network namespaces: {why}: {error}'
    return None


class Network:
    count = 0

    def __init__(self, hosts):
        assert 1 <= hosts <= 250
        Network.count += 1
        # Unique among the processes of a machine and the networks of a process.
        self.name = f'fatwal-{os.getpid()}-{Network.count}'
        self.hosts = hosts
        self.namespaces = []  # those that exist
        self.processes = []  # (namespace, process)

    def __enter__(self):
        try:
            self.add(self.switch)
            ip('-n', self.switch, 'link', 'add', 'bridge', 'type', 'bridge')
            ip('-n', self.switch, 'link', 'set', 'bridge', 'up')
            for host in range(self.hosts):
                self.plug_in(host)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *failure):
        self.close()

    @property
    def switch(self):
        return f'{self.name}-switch'

    def namespace(self, host):
        return f'{self.name}-{host}'

    def address(self, host):
        return f'10.77.0.{host + 1}'

    def add(self, namespace):
        ip('netns', 'add', namespace)
        self.namespaces.append(namespace)
        ip('-n', namespace, 'link', 'set', 'lo', 'up')

    def plug_in(self, host):
        inside, port = self.namespace(host), f'port{host}'
        self.add(inside)
        ip(
            *('-n', self.switch, 'link', 'add', port, 'type', 'veth'),
            *('peer', 'name', 'eth0', 'netns', inside),
        )
        ip('-n', self.switch, 'link', 'set', port, 'master', 'bridge', 'up')
        ip('-n', inside, 'address', 'add', f'{self.address(host)}/24', 'dev', 'eth0')
        ip('-n', inside, 'link', 'set', 'eth0', 'up')

    def run(self, host, command, env=None, **options):
        """Starts a process on a host, as the user that we are: a Popen. For root, its process id is
        that of the command, so that its kill() works; for others it is sudo's: use kill() here.
        """
        prefix = ['ip', 'netns', 'exec', self.namespace(host)]
        env = dict(os.environ if env is None else env)
        if not ROOT:  # sudo passes no environment on
            prefix = ['sudo', '-n', *prefix, 'setpriv', f'--reuid={os.getuid()}']
            prefix += [f'--regid={os.getgid()}', '--init-groups', 'env', '-i']
            prefix += [f'{name}={value}' for name, value in env.items()]
        process = subprocess.Popen([*prefix, *map(str, command)], env=env, **options)
        self.processes.append((self.namespace(host), process))
        return process

    @staticmethod
    def pids(namespace):
        return ip('netns', 'pids', namespace).split()

    def kill(self, host, number=signal.SIGKILL):
        """Sends a signal to all processes of a host: SIGKILL is a power cut without the disk."""
        self.signal(self.namespace(host), number)

    def signal(self, namespace, number):
        for pid in self.pids(namespace):
            try:
                as_root('kill', f'-{int(number)}', pid)
            except RuntimeError:  # it ended meanwhile
                if os.path.exists(f'/proc/{pid}'):
                    raise

    def link_down(self, host):
        """Pulls the cable: the host sees that its interface has no carrier."""
        ip('-n', self.switch, 'link', 'set', f'port{host}', 'down')

    def silence(self, host):
        """Loses all packets, and the host sees nothing of it: a fault further away."""
        ip('-n', self.switch, 'link', 'set', f'port{host}', 'nomaster')

    def link_up(self, host):
        """Ends link_down() and silence()."""
        ip('-n', self.switch, 'link', 'set', f'port{host}', 'master', 'bridge', 'up')

    def close(self):
        """Ends what runs in the namespaces, then deletes them, each also if another fails."""
        failures = []
        for namespace in self.namespaces:
            for step in (self.end, lambda namespace: ip('netns', 'del', namespace)):
                try:
                    step(namespace)
                except Exception as failure:
                    failures.append(failure)
        self.namespaces = []
        self.processes = []
        if failures:
            raise failures[0]

    def end(self, namespace):
        """Kills until all have ended: some may still be on their way into the namespace."""
        processes = [process for of, process in self.processes if of == namespace]
        for process in processes:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        deadline = time.monotonic() + END_SECONDS
        while self.pids(namespace) or any(process.poll() is None for process in processes):
            if time.monotonic() > deadline:
                raise RuntimeError(f'processes in {namespace} do not end')
            self.signal(namespace, signal.SIGKILL)
            time.sleep(0.02)
