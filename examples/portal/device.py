#!/usr/bin/python3
"""A device of the portal, for the demo and the tests: speaks WebSocket and JSON with fatwal-channel (docs/channels.md).

  examples/portal/device.py client|gateway --url ws://127.0.0.1:8080 --token TOKEN --key FILE [--external-id ID] [--name NAME] [--version 1.5.0] [--flows]

First it registers, which makes its row or renews it. FILE has its private WireGuard key, as PEM, and is made with a new one if it is missing: the key
never leaves the device. --external-id (default: this machine's name) tells the row again. With --id ID instead of --key it is the device whose row has
this id. Prints a line for each event, with the milliseconds since the COMMIT that caused it. A gateway takes every authorization; a client with --flows
asks for a flow to each resource that it is shown.
"""
import argparse
import asyncio
import base64
import json
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import websockets


def public_key(file):
    """Of the private key in the file, as WireGuard writes it; a new private key if there is no file yet."""
    if not pathlib.Path(file).exists():
        subprocess.run(['openssl', 'genpkey', '-algorithm', 'X25519', '-out', file], check=True)
        pathlib.Path(file).chmod(0o600)
    der = subprocess.run(['openssl', 'pkey', '-in', file, '-pubout', '-outform', 'DER'], check=True, capture_output=True).stdout
    return base64.b64encode(der[-32:]).decode()


def register(url, role, token, **device):
    """The device's id and tunnel addresses. Asks again as long as it is told to try again."""
    request = urllib.request.Request(f"{url.replace('ws', 'http', 1)}/{role}", json.dumps(device).encode(),
                                     {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise SystemExit(f'{role} {device["external_id"]} cannot register: {error.read().decode()}') from None
            time.sleep(int(error.headers['Retry-After']))


class Device:
    """Connected from its making until close() or until the server closes it. Events are dicts: event, payload, perhaps committed_at and ref."""

    def __init__(self, url, role, id, token, version='1.5.0', headers=None, open_timeout=20):
        self.role = role
        self.events = queue.Queue()  # None: closed
        self.close_code = None
        self._url = f'{url}/{role}?id={id}&version={version}'
        self._headers = {'Authorization': f'Bearer {token}'} | (headers or {})
        self._open_timeout = open_timeout  # s
        self._loop = asyncio.new_event_loop()
        self._socket = None
        self._first = None  # an init whose pages are not all here
        self._open = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._open.wait(30)
        if self._error:
            raise self._error

    def _work(self):
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self):
        try:
            async with websockets.connect(self._url, extra_headers=self._headers, max_size=2**26, open_timeout=self._open_timeout) as socket:
                self._socket = socket
                self._open.set()
                async for text in socket:
                    event = json.loads(text)
                    event['received_at'] = time.time_ns() // 1000
                    if event := self._whole(event):
                        self.events.put(event)
        except websockets.ConnectionClosed:
            pass
        except Exception as error:  # given to whoever makes the device
            self._error = error
        if self._socket:
            self.close_code = self._socket.close_code
        self._open.set()
        self.events.put(None)

    def _whole(self, event):
        """An init with all its pages; None until they are here."""
        payload = event['payload']
        if event['event'] == 'init' and payload.get('pages'):
            self._first, event = event, None
        elif event['event'] == 'init_page':
            first, event = self._first, None
            for name in ('resources', 'authorizations'):
                first['payload'].get(name, []).extend(payload.get(name, []))
            if payload['page'] == first['payload']['pages']:
                self._first, event = None, first
        return event

    def send(self, event, payload=None, **more):
        message = json.dumps({'event': event, 'payload': payload or {}} | more)
        asyncio.run_coroutine_threadsafe(self._socket.send(message), self._loop).result(10)

    def send_text(self, text):
        asyncio.run_coroutine_threadsafe(self._socket.send(text), self._loop).result(10)

    def next(self, timeout=20):
        """The next event; None when the connection is closed. queue.Empty when neither comes."""
        return self.events.get(timeout=timeout)

    def close(self):
        if self._socket and not self._socket.closed and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
        self._thread.join(10)


def told(event, names):
    """An event in a few words; `names` are those of the resources by id."""
    payload = event['payload']
    if event['event'] == 'init' and 'resources' in payload:
        names.update({r['id']: r.get('name', r['type']) for r in payload['resources']})
        return 'may reach ' + (', '.join(sorted(r.get('name', r['type']) for r in payload['resources'])) or 'nothing')
    if event['event'] == 'init':
        return f"holds {len(payload.get('authorizations', []))} authorizations"
    if event['event'] == 'resource_created_or_updated':
        names[payload['id']] = payload.get('name', payload['type'])
    if event['event'] == 'authorize_flow':
        names[payload['resource']['id']] = payload['resource'].get('name', payload['resource']['type'])
    resource = payload.get('id') or payload.get('resource_id') or payload.get('resource', {}).get('id')
    words = [event['event'], names.get(resource, ''), payload.get('reason', ''), ' '.join(payload.get('violated_properties', []))]
    return ' '.join(word for word in words if word)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('role', choices=('client', 'gateway'))
    for name in ('url', 'token'):
        parser.add_argument(f'--{name}', required=True)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument('--key', metavar='FILE')
    who.add_argument('--id')
    parser.add_argument('--external-id', default=socket.gethostname())
    parser.add_argument('--name')
    parser.add_argument('--version', default='1.5.0')
    parser.add_argument('--flows', action='store_true')
    options = parser.parse_args()
    id = options.id or register(options.url, options.role, options.token, external_id=options.external_id, name=options.name or options.external_id,
                                public_key=public_key(options.key))['id']
    device = Device(options.url, options.role, id, options.token, options.version)
    names, there, asked = {}, set(), set()
    while event := device.next(timeout=None):
        since = f"{(event['received_at'] - event['committed_at']) / 1000:8.1f} ms" if 'committed_at' in event else ' ' * 11
        sys.stdout.write(f'{options.name or options.role:<18}{since}  {told(event, names)}\n')
        sys.stdout.flush()
        if event['event'] == 'authorize_flow':
            device.send('flow_authorized', {'ref': event['payload']['ref']})
        if event['event'] == 'init':
            there.update(resource['id'] for resource in event['payload'].get('resources', []))
        if event['event'] == 'resource_created_or_updated':
            there.add(event['payload']['id'])
        if event['event'] == 'resource_deleted':
            there.discard(event['payload']['id'])
            asked.discard(event['payload']['id'])
        if options.flows and options.role == 'client':
            for resource in there - asked:
                asked.add(resource)
                device.send('create_flow', {'resource_id': resource, 'connected_gateway_ids': []})


if __name__ == '__main__':
    main()
