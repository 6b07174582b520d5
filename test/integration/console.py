"""`fatwal console` for a test."""
import json
import subprocess
import urllib.error
import urllib.request

from house import BUILD, until


class Console:
    """Of a house, asked by its URL; when this returns it answers."""

    def __init__(
        self,
        house,
        name='console',
        database=True,
        http='127.0.0.1:0',
        environment=None,
        **settings,
    ):
        self.house = house
        ready = house.folder / f'{name}.ready'
        ready.unlink(missing_ok=True)
        settings = {'control': house.control, 'http': http, 'ready-file': ready} | settings
        if database:
            settings['database'] = house.conninfo() if database is True else database
        arguments = [part for key, value in settings.items() for part in (f'--{key}', value)]
        self.process = house.start(
            [BUILD / 'client' / 'fatwal', 'console', *arguments], name, environment
        )
        until(
            lambda: (ready.exists() and ready.read_text().endswith('\n'))
            or self.process.poll() is not None,
            'the console to listen',
        )
        assert self.process.poll() is None, house.read(f'{name}.err')
        self.port = int(ready.read_text())
        self.url = f'http://127.0.0.1:{self.port}/'

    def request(self, path, body=None, headers=None):
        """The status, the headers and the body."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {'Content-Type': 'application/json'} | (headers or {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()

    def events(self, path, seconds=30):
        """Of a stream: the name and the data of one after the other."""
        with urllib.request.urlopen(self.url + path, timeout=seconds) as answer:
            name = None
            for line in answer:
                key, _, value = line.decode().rstrip('\n').partition(': ')
                if key == 'event':
                    name = value
                elif key == 'data':
                    yield name, json.loads(value)

    def state(self, wanted=lambda state: True):
        """The next one that is as wanted."""
        for name, state in self.events('api/events'):
            if name == 'state' and wanted(state):
                return state

    def kill(self):
        self.process.kill()
        self.process.wait()


def fatwal(*arguments):
    """What a command prints as JSON, one object a line."""
    done = subprocess.run(
        [BUILD / 'client' / 'fatwal', *arguments], capture_output=True, text=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
