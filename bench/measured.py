"""fatwald between a writer and subscribers, measured by frame: for bench/sidecar and bench/network.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'test' / 'integration'))
from house import BUILD, House, until  # noqa: E402
from processes import memory, processor_seconds  # noqa: E402

IDLE_SECONDS = 5
ACCOUNTS_OF_PROCESS = 500  # with a socket each
SCHEMA = (
    (
        'CREATE TABLE change (id int PRIMARY KEY, account_id int NOT NULL, n bigint NOT NULL,'
        ' filler text NOT NULL)'
    ),
    'ALTER TABLE change REPLICA IDENTITY FULL',
    "INSERT INTO change SELECT g, g, 0, repeat('x', 200) FROM generate_series(1, 5000) g",
    'CREATE PUBLICATION p FOR TABLE change',
)


class Measured:
    """fatwald with its subscribers attached. `transport`: None, the socket files that fatwald
    has; 'ipc' or 'tcp': with keys, over that.
    """

    def __init__(self, layout, accounts, subscribers, transport=None):
        self.accounts, self.subscribers = accounts, subscribers
        self.house = House()
        if transport:
            self.house.is_keyed, self.house.keyring.transport = True, transport
        self.crowd = []
        self.had = 0
        try:
            self.house.sql(*SCHEMA)
            self.sidecar = self.house.fatwald(layout=layout)
            self.empty = memory(self.sidecar.pid, 'VmRSS') / 1000
            self.attach(*((accounts, 'group') if layout == 'shared' else (ACCOUNTS_OF_PROCESS,)))
            self.full = memory(self.sidecar.pid, 'VmRSS') / 1000
            before = processor_seconds(self.sidecar.pid)
            time.sleep(IDLE_SECONDS)
            self.idle = (processor_seconds(self.sidecar.pid) - before) / IDLE_SECONDS
        except BaseException:
            self.house.close()
            raise

    def attach(self, of_process, *options):
        for first in range(1, self.accounts + 1, of_process):
            name = f'attached{first}'
            command = [
                BUILD / 'bench' / 'attached',
                self.house.control,
                first,
                min(of_process, self.accounts + 1 - first),
                self.subscribers,
                *options,
            ]
            self.crowd.append((name, self.house.start(command, name)))
            until(lambda name=name: 'ready' in self.house.read(f'{name}.out'), f'{name} to join')

    def write(self, frames, loop):
        """Microseconds of fatwald's and of the subscribers' for a frame, frames a second, bytes
        of a frame.
        """
        house, status = self.house, self.house.status()
        theirs = lambda: sum(
            processor_seconds(process.pid) for _, process in self.crowd
        )  # noqa: E731
        before_theirs = theirs()
        before, start = processor_seconds(self.sidecar.pid), time.monotonic()
        house.sql(f'DO $$ BEGIN {loop} END $$')
        written = time.monotonic() - start
        until(
            lambda: int(house.status()['published_frames']) - int(status['published_frames'])
            >= frames,
            'all to be published',
        )
        took = time.monotonic() - start
        cost = processor_seconds(self.sidecar.pid) - before - self.idle * took
        size = (int(house.status()['published_bytes']) - int(status['published_bytes'])) / frames
        self.had += frames * self.subscribers
        told = lambda at: sum(
            int(house.read(f'{name}.out').split()[at])
            for name, _ in self.crowd
            if 'had' in house.read(f'{name}.out')
        )  # noqa: E731
        until(lambda: told(-3) == self.had, f'{self.had} transactions to come')
        assert told(-1) == 0, f'{told(-1)} subscribers were disturbed'
        return (
            cost / frames * 1e6,
            (theirs() - before_theirs) / frames * 1e6,
            frames / written,
            size,
        )

    def narrow(self, frames):
        return self.write(
            frames,
            (
                f'FOR i IN 0..{frames - 1} LOOP UPDATE change SET n = n + 1 WHERE id = i %'
                f' {self.accounts} + 1; COMMIT; END LOOP;'
            ),
        )

    def wide(self, frames):
        return self.write(
            frames,
            (
                f'FOR i IN 1..{frames // self.accounts} LOOP UPDATE change SET n = n + 1 WHERE id'
                f' <= {self.accounts}; COMMIT; END LOOP;'
            ),
        )
