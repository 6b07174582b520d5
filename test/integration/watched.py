"""What others see of a process: its pages over HTTP, promtool on them, and the tables of metrics in
the docs.

promtool and prometheus are those on the PATH, or those that `scripts/setup --tests` has unpacked
under build/prometheus: to install the package would start a server.
"""
import re
import shutil
import subprocess
import unittest
import urllib.error
import urllib.request

from house import ROOT, until

METRIC = re.compile(r'^\| `(?P<name>fatwal\w*)` \| (?P<type>\w+) \|(?P<labels>[^|]*)\|', re.M)
TYPE = re.compile(r'^# TYPE (?P<name>\w+) (?P<type>\w+)$', re.M)
SAMPLE = re.compile(r'^(?P<name>\w+)(?:{(?P<labels>.*)})? (?P<value>\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def tool(name):
    """The path of promtool or prometheus; skips the test where there is none."""
    unpacked = ROOT / 'build' / 'prometheus' / 'usr' / 'bin' / name
    found = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
    if not found:
        raise unittest.SkipTest(f'{name} is missing: scripts/setup --tests unpacks it')
    return found


def promtool(*arguments, text=None):
    """Its exit status and all that it says."""
    done = subprocess.run(
        [tool('promtool'), *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


class Pages:
    """Of the process that names its port in its log."""

    def __init__(self, read_log):
        port = until(lambda: re.search(r'http at [^\n]*:(\d+)$', read_log(), re.M), 'the port')
        self.port = int(port.group(1))
        self.url = f'http://127.0.0.1:{self.port}'

    def get(self, path, token=None):
        """The status and the body."""
        headers = {'Authorization': f'Bearer {token}'} if token else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def scrape(self, path='/metrics'):
        status, text = self.get(path)
        assert status == 200, text
        return Scrape(text)


class Scrape:
    def __init__(self, text):
        self.text = text
        self.types = {found['name']: found['type'] for found in TYPE.finditer(text)}
        self.samples = {}
        for line in text.splitlines():
            if line.startswith('#'):
                continue
            found = SAMPLE.match(line)
            assert found, line
            labels = tuple(sorted(LABEL.findall(found['labels'] or '')))
            self.samples[found['name'], labels] = float(found['value'])

    def __getitem__(self, name):
        """The value of a sample: by its name, or its name and labels."""
        if isinstance(name, str):
            return self.samples[name, ()]
        name, labels = name
        return self.samples[name, tuple(sorted(labels.items()))]

    def described(self):
        """Each metric's type and the names of its labels, as the docs have them."""
        labels = {name: set() for name in self.types}
        for (name, pairs), _ in self.samples.items():
            family = name if name in labels else re.sub('_(bucket|sum|count)$', '', name)
            labels[family] |= {label for label, _ in pairs if label != 'le'}
        return {name: (self.types[name], sorted(labels[name])) for name in self.types}


def documented(heading):
    """The metrics of a table in docs/operations.md, under this heading."""
    page = (ROOT / 'docs' / 'operations.md').read_text()
    section = page.split(f'\n{heading}\n', 1)[1]
    section = re.split(r'\n##+ ', section, maxsplit=1)[0]
    return {
        found['name']: (found['type'], sorted(re.findall(r'`(\w+)`', found['labels'])))
        for found in METRIC.finditer(section)
    }
