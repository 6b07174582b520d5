"""A real browser for a test: Debian's chromium, driven by the DevTools protocol.

Everything waits for what the page shows, with the tests' deadline. What a page asked for, and what
it complained of, is kept: `requests` and `complaints`.
"""
import asyncio
import base64
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

import websockets

DEADLINE_SECONDS = 60
# Chromium's own: it may not look for updates, and has no crash reporter to wait for.
FLAGS = (
    '--headless=new',
    '--no-sandbox',
    '--remote-debugging-port=0',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-crash-reporter',
    '--disable-dev-shm-usage',
    '--disable-extensions',
    '--disable-gpu',
    '--force-color-profile=srgb',
    '--hide-scrollbars',
    '--no-first-run',
    # Names and addresses that are not this host's lead nowhere.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
)
# What the protocol needs to know of a key, beside its name.
KEYS = {'Escape': 27, 'Enter': 13, 'Tab': 9, ' ': 32}


def why_not():
    """Why no browser can be started; None where one can."""
    return None if shutil.which('chromium') else 'no chromium: scripts/setup --tests installs it'


class Page:
    """A tab. `url` is opened when this returns, its modules may still be at work."""

    def __init__(self, browser, target, width, height, dark):
        self.requests = []  # URLs
        self.complaints = []  # exceptions, and refusals by the policy of the page
        self._browser = browser
        self._answers = {}
        self._numbers = itertools.count(1)
        self._socket = browser.wait(self._connect(target))
        self._reader = asyncio.run_coroutine_threadsafe(self._read(), browser.loop)
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.call(f'{domain}.enable')
        self.resize(width, height)
        self.prefer(dark)

    @staticmethod
    async def _connect(target):
        return await websockets.connect(target, max_size=2**26, open_timeout=DEADLINE_SECONDS)

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            if 'id' in message:
                self._answers.pop(message['id']).set_result(message)
                continue
            method, parameters = message['method'], message['params']
            if method == 'Network.requestWillBeSent':
                self.requests.append(parameters['request']['url'])
            elif method == 'Network.webSocketCreated':
                self.requests.append(parameters['url'])
            elif method == 'Runtime.exceptionThrown':
                details = parameters['exceptionDetails']
                self.complaints.append(
                    details.get('exception', {}).get('description') or details['text']
                )
            elif method == 'Log.entryAdded' and parameters['entry']['level'] == 'error':
                entry = parameters['entry']
                if entry['source'] != 'network':
                    self.complaints.append(entry['text'])

    async def _call(self, method, parameters):
        number = next(self._numbers)
        answer = self._answers[number] = self._browser.loop.create_future()
        await self._socket.send(json.dumps({'id': number, 'method': method, 'params': parameters}))
        return await answer

    def call(self, method, **parameters):
        message = self._browser.wait(self._call(method, parameters))
        assert 'error' not in message, f"{method}: {message['error']}"
        return message['result']

    def evaluate(self, expression):
        """The value of an expression, also of a promise."""
        result = self.call(
            'Runtime.evaluate', expression=expression, awaitPromise=True, returnByValue=True
        )
        assert 'exceptionDetails' not in result, result['exceptionDetails']
        return result['result'].get('value')

    def until(self, expression, what, seconds=DEADLINE_SECONDS):
        """Waits until the expression has a value that is true; the value."""
        end = time.monotonic() + seconds
        while True:
            value = self.evaluate(expression)
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f'waited in vain for {what}: {self.text()[:2000]}')
            time.sleep(0.02)

    def open(self, url):
        self.call('Page.navigate', url=url)

    def go(self, hash):
        self.evaluate(f'location.hash = {json.dumps(hash)}; null')

    def text(self, selector='body'):
        """What is to be read there; None where there is nothing such."""
        return self.evaluate(f'document.querySelector({json.dumps(selector)})?.innerText')

    def texts(self, selector):
        return self.evaluate(
            f'[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText)'
        )

    def shows(self, text, selector='body'):
        return self.until(
            (
                f'document.querySelector({json.dumps(selector)})?.innerText'
                f'.includes({json.dumps(text)})'
            ),
            f'{text!r} in {selector}',
        )

    def click(self, selector, text=''):
        """Clicks the first element that the selector finds and that has the text."""
        self.until(
            (
                '(() => { const found ='
                f' [...document.querySelectorAll({json.dumps(selector)})].find((e) =>'
                f' e.innerText.includes({json.dumps(text)})); found?.click(); return !!found; }})()'
            ),
            f'{selector} with {text!r}',
        )

    def choose(self, label, value):
        """Chooses an option of the select with that label."""
        self.until(
            (
                '(() => { const field = [...document.querySelectorAll("label")].find((e) =>'
                f' e.innerText.startsWith({json.dumps(label)}))?.querySelector("select"); const'
                ' option = [...field?.options ?? []].find((e) => e.value ==='
                f' {json.dumps(value)} || e.text.includes({json.dumps(value)})); if (!option)'
                ' return false; field.value = option.value; field.dispatchEvent(new'
                ' Event("change", {bubbles: true})); return true; })()'
            ),
            f'the option {value} of {label}',
        )

    def press(self, *keys):
        for key in keys:
            parameters = {'key': key, 'windowsVirtualKeyCode': KEYS.get(key, ord(key[0].upper()))}
            if len(key) == 1:
                parameters['text'] = key
            elif key == 'Enter':
                parameters['text'] = '\r'
            self.call('Input.dispatchKeyEvent', type='keyDown', **parameters)
            self.call('Input.dispatchKeyEvent', type='keyUp', **parameters)

    def write(self, text):
        """Into the field that has the focus."""
        self.call('Input.insertText', text=text)

    def resize(self, width, height):
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, dark):
        self.call(
            'Emulation.setEmulatedMedia',
            features=[
                {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'},
                {'name': 'prefers-reduced-motion', 'value': 'reduce'},
            ],
        )

    def screenshot(self, path, whole=True):
        """Of the page from its top to its end, or of the window."""
        options = {}
        if whole:
            size = self.call('Page.getLayoutMetrics')['cssContentSize']
            options = {
                'captureBeyondViewport': True,
                'clip': {'x': 0, 'y': 0, 'scale': 1} | {
                    name: size[name] for name in ('width', 'height')
                },
            }
        data = self.call('Page.captureScreenshot', format='png', **options)['data']
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def close(self):
        self._browser.wait(self._socket.close())


class Browser:
    def __init__(self, *flags):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix='fatwal-browser-'))
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._pages = []
        with open(self._folder / 'log', 'w') as log:
            self._process = subprocess.Popen(
                ['chromium', *FLAGS, *flags, f'--user-data-dir={self._folder}/profile'],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        port = self._folder / 'profile' / 'DevToolsActivePort'
        end = time.monotonic() + DEADLINE_SECONDS
        while not (port.exists() and port.read_text().count('\n')):
            assert self._process.poll() is None, (self._folder / 'log').read_text()
            assert time.monotonic() < end, 'chromium does not listen'
            time.sleep(0.02)
        self._port = int(port.read_text().split()[0])

    def wait(self, coroutine):
        async def ended():
            return await asyncio.wait_for(coroutine, DEADLINE_SECONDS)

        return asyncio.run_coroutine_threadsafe(ended(), self.loop).result()

    def page(self, url=None, width=1280, height=900, dark=False):
        request = urllib.request.Request(
            f'http://127.0.0.1:{self._port}/json/new?about:blank', method='PUT'
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            target = json.load(answer)['webSocketDebuggerUrl']
        page = Page(self, target, width, height, dark)
        self._pages.append(page)
        if url:
            page.open(url)
        return page

    def close(self):
        for page in self._pages:
            page.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        # Its helpers, in its group, write into the folder until they end.
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        end = time.monotonic() + 10
        while self._folder.exists() and time.monotonic() < end:
            shutil.rmtree(self._folder, ignore_errors=True)
            time.sleep(0.02)
