#!/usr/bin/python3
"""A device of the portal, for the demo and the tests: speaks WebSocket and JSON with fatwal-channel
(portal/README.md).

  portal/example/device.py client|gateway --url ws://127.0.0.1:8080 --token TOKEN --key FILE
      [--external-id ID] [--name NAME] [--version 1.5.0] [--flows]

First it registers, which makes its row or renews it. FILE has its private WireGuard key, as PEM,
and is made with a new one if it is missing: the key never leaves the device. --external-id
(default: this machine's name) tells the row again. With --id ID instead of --key it is the device
whose row has this id. Prints a line for each event, with the milliseconds since the COMMIT that
caused it. A client names a resource by its name, a gateway by its address: only clients are shown a
new name. A gateway takes every authorization; a client with --flows asks for a flow to each
resource that it is shown, and asks again when that failed for a reason that passes.

Needs the module websockets, of Debian's python3-websockets: /usr/bin/python3 finds it, a Python
of pyenv or conda may not.
"""
import argparse
import asyncio
import base64
import json
import pathlib
import queue
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import websockets


def public_key(file):
    """Of the private key in the file, as WireGuard writes it; a new private key if there is no
    file yet.
    """
    if not pathlib.Path(file).exists():
        subprocess.run(['openssl', 'genpkey', '-algorithm', 'X25519', '-out', file], check=True)
        pathlib.Path(file).chmod(0o600)
    der = subprocess.run(
        ['openssl', 'pkey', '-in', file, '-pubout', '-outform', 'DER'],
        check=True,
        capture_output=True,
    ).stdout
    return base64.b64encode(der[-32:]).decode()


def register(url, role, token, **device):
    """The device's id and tunnel addresses. Asks again as long as it gets try_again."""
    request = urllib.request.Request(
        f"{url.replace('ws', 'http', 1)}/{role}",
        json.dumps(device).encode(),
        {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'},
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise SystemExit(
                    f'{role} {device["external_id"]} cannot register: {error.read().decode()}'
                ) from None
            time.sleep(int(error.headers['Retry-After']))


class Device:
    """Connected from its making until close() or until the server closes it. Events are dicts:
    event, payload, perhaps committed_at and ref.
    """

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
            async with websockets.connect(
                self._url,
                extra_headers=self._headers,
                max_size=2**26,
                open_timeout=self._open_timeout,
            ) as socket:
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


class Flows:
    """Which resources a client asks for flows to, and when."""

    FIRST_PAUSE, LONGEST_PAUSE = 1, 30  # s
    UNANSWERED = 20  # s; the server answers within 15, unless it has refused to read the message
    PASSING = ('offline', 'version_mismatch')  # nobody tells the client when these are over
    NEVER = float('inf')

    def __init__(self, device):
        self._device = device
        self._due = {}  # by resource that is shown: when to ask
        self._target = {}
        self._pause = {}

    def take(self, event):
        """Learns from an event."""
        payload, now = event['payload'], time.monotonic()
        if event['event'] == 'init':
            # Also a later one: the client's tunnel address is another, and its gateways have
            # rejected it.
            self._due = {resource['id']: now for resource in payload['resources']}
            self._target = {
                resource['id']: self._target_of(resource) for resource in payload['resources']
            }
        elif event['event'] == 'resource_created_or_updated':
            # Another target is another resource: the gateway has rejected what it let through.
            if payload['id'] not in self._due or self._target[payload['id']] != self._target_of(
                payload
            ):
                self._due[payload['id']] = now
            self._target[payload['id']] = self._target_of(payload)
        elif event['event'] == 'resource_deleted':
            self._due.pop(payload['id'], None)
            self._pause.pop(payload['id'], None)
        elif event['event'] == 'flow_created':
            self._set(payload['resource_id'], self.NEVER)
            self._pause.pop(payload['resource_id'], None)
        elif event['event'] == 'flow_creation_failed':
            # not_found, forbidden: when that is over the resource is deleted and created again.
            self._set(
                payload['resource_id'],
                (
                    now + self._longer(payload['resource_id'])
                    if payload['reason'] in self.PASSING
                    else self.NEVER
                ),
            )
        elif (
            event['event'] == 'reply'
            and payload['reason'] == 'rate_limited'
            and event.get('ref') in self._due
        ):
            self._set(event['ref'], now + self._longer(event['ref']))

    def ask(self):
        """Sends what is due; the seconds until something else is, None for never."""
        now = time.monotonic()
        for resource, at in self._due.items():
            if at <= now:
                self._due[resource] = now + self.UNANSWERED
                self._device.send(
                    'create_flow',
                    {'resource_id': resource, 'connected_gateway_ids': []},
                    ref=resource,
                )
        next_at = min(self._due.values(), default=self.NEVER)
        return None if next_at == self.NEVER else max(0, next_at - time.monotonic())

    @staticmethod
    def _target_of(resource):
        return [resource.get(key) for key in ('type', 'address', 'ip_stack')]

    def _set(self, resource, at):
        if resource in self._due:
            self._due[resource] = at

    def _longer(self, resource):
        """The pause before the next try, up to twice the last; drawn, so that many clients do
        not ask at once.
        """
        longest = self._pause[resource] = min(
            2 * self._pause.get(resource, self.FIRST_PAUSE / 2), self.LONGEST_PAUSE
        )
        return random.uniform(longest / 2, longest)


def told(event, names, role):
    """An event in a few words; `names` are those of resources and clients by id."""

    def name(resource):
        return resource.get('address' if role == 'gateway' else 'name', resource['type'])

    payload = event['payload']
    if event['event'] == 'init' and role == 'client':
        names.update({resource['id']: name(resource) for resource in payload['resources']})
        return 'may reach ' + (', '.join(sorted(map(name, payload['resources']))) or 'nothing')
    if event['event'] == 'init':
        authorizations = payload.get('authorizations', [])
        names.update({one['client_id']: one['client']['ipv4'] for one in authorizations})
        return f'holds {len(authorizations)} authorizations'
    if event['event'] in ('resource_created_or_updated', 'resource_updated'):
        names[payload['id']] = name(payload)
    if event['event'] == 'authorize_flow':
        names[payload['resource']['id']] = name(payload['resource'])
        names[payload['client']['id']] = payload['client']['ipv4']
    resource = (
        payload.get('id') or payload.get('resource_id') or payload.get('resource', {}).get('id')
    )
    client = names.get(payload.get('client_id') or payload.get('client', {}).get('id'))
    words = [
        event['event'],
        names.get(resource, ''),
        client and f'of {client}',
        payload.get('reason', ''),
        ' '.join(payload.get('violated_properties', [])),
    ]
    return ' '.join(word for word in words if word)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    id = (
        options.id
        or register(
            options.url,
            options.role,
            options.token,
            external_id=options.external_id,
            name=options.name or options.external_id,
            public_key=public_key(options.key),
        )['id']
    )
    device = Device(options.url, options.role, id, options.token, options.version)
    names, flows, pause = (
        {},
        Flows(device) if options.flows and options.role == 'client' else None,
        None,
    )
    while True:
        try:
            event = device.next(timeout=pause)
        except queue.Empty:
            pause = flows.ask()
            continue
        if event is None:
            break
        since = (
            f"{(event['received_at'] - event['committed_at']) / 1000:8.1f} ms"
            if 'committed_at' in event
            else ' ' * 11
        )
        sys.stdout.write(
            f'{options.name or options.role:<18}{since}  {told(event, names, options.role)}\n'
        )
        sys.stdout.flush()
        if event['event'] == 'authorize_flow':
            device.send('flow_authorized', {'ref': event['payload']['ref']})
        if flows:
            flows.take(event)
            pause = flows.ask()


if __name__ == '__main__':
    main()
