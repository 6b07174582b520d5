"""The recorded messages of test/conformance and their lines: Python decodes them, and a server of
today sends the same. Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover
-s test/integration
"""
import importlib.machinery
import importlib.util
import json
import pathlib
import struct
import tempfile
import unittest

from house import ROOT, unkeyed
from subscriber import Schema, Subscriber

FOLDER = ROOT / 'test' / 'conformance'


def messages(folder):
    data = (folder / 'messages.bin').read_bytes()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from('<I', data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


class Decoder(Subscriber):
    """A subscriber without a stream."""

    def __init__(self, account):
        self.account, self.schemas = account, {}

    def lines(self, folder):
        pending = []
        for message in messages(folder):
            if message[:1] == b'S':
                schema = Schema(message)
                self.schemas[schema.id] = schema
                continue
            pending += self.frame(message)
            if struct.unpack_from('<H', message, 2)[0] & 1:
                for i, line in enumerate(pending):
                    last = 'true' if i + 1 == len(pending) else 'false'
                    yield line.replace('"last":?', f'"last":{last}', 1)
                pending = []


def without_positions(folder):
    lines = []
    for line in (folder / 'lines.jsonl').read_text().splitlines():
        event = json.loads(line)
        for name in ('xid', 'commit_lsn', 'commit_ts'):
            del event[name]
        lines.append(event)
    return lines


@unkeyed
class Conformance(unittest.TestCase):
    maxDiff = None

    def test_python_decodes_what_was_recorded(self):
        wanted = (FOLDER / 'lines.jsonl').read_text().splitlines()
        self.assertEqual(list(Decoder('42').lines(FOLDER)), wanted)
        self.assertGreater(len(wanted), 70)

    def test_a_server_of_today_sends_the_same(self):
        loader = importlib.machinery.SourceFileLoader('record', str(FOLDER / 'record'))
        spec = importlib.util.spec_from_loader('record', loader)
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        with tempfile.TemporaryDirectory(prefix='fatwal-record-') as folder:
            module.record(pathlib.Path(folder))
            self.assertEqual(
                without_positions(pathlib.Path(folder)), without_positions(FOLDER)
            )
            self.assertEqual(
                len(list(messages(pathlib.Path(folder)))), len(list(messages(FOLDER)))
            )
