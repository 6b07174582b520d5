"""`fatwal console` in a real browser, beside a real fatwald.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest test_console"""
import json
import pathlib
import re
import socket
import subprocess
import time
import unittest

from browser import Browser, why_not
from console import Console, fatwal
from house import BUILD, ROOT, House, until
from portal import ACCOUNT, CLIENT, P1, R1, Portal

TABLES = (
    'CREATE TABLE t (id int PRIMARY KEY, account_id int, n text)',
    'CREATE TABLE u (id int PRIMARY KEY, account_id int, n text)',
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'ALTER TABLE u REPLICA IDENTITY FULL',
    'CREATE PUBLICATION p FOR TABLE t, u',
)
PAGES = ('overview', 'accounts', 'account?account=1', 'subscribers', 'slot', 'events', 'channels')
LIVE = 'document.querySelector("#tail + [role=status]")?.innerText === "Live"'
ROWS = 'tr.change'


def memory(process):
    """kB that are resident."""
    status = pathlib.Path(f'/proc/{process}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status)[1])


def seconds_of(countdown):
    """Of "1 d 02:03:04"."""
    days, hours, minutes, seconds = re.fullmatch(
        r'(?:(\d+) d )?(\d+):(\d+):(\d+)', countdown
    ).groups(default='0')
    return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)


class InABrowser:
    """For a TestCase: one browser for all of its tests, and a page that may not complain."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if why := why_not():
            raise unittest.SkipTest(why)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def page(self, url, ready='.figures', **options):
        page = self.browser.page(url, **options)
        self.addCleanup(self.without_complaints, page)
        page.until(f'document.querySelector({json.dumps(ready)}) !== null', ready)
        return page

    def without_complaints(self, page):
        complaints = page.complaints
        page.close()
        self.assertEqual(complaints, [])


class InTheBrowser(InABrowser, unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLES)

    def console(self, **settings):
        return Console(self.house, **settings)

    def started(self, hash='', database=True, fatwald=None, **options):
        """fatwald, the console and a page of it."""
        self.house.fatwald(**(fatwald or {}))
        self.served = self.console(database=database)
        return self.page(f'{self.served.url}#/{hash}', **options)

    def tail(self, account='1', **options):
        page = self.started(f'account?account={account}', **options)
        page.until(LIVE, 'the tail to join')
        return page

    def durable(self, name, account='1'):
        """A durable subscriber that went away, and then missed a change."""
        cursor = self.house.folder / f'{name}.cursor'
        process = self.house.tail(account, name, '--durable', name, '--cursor-file', cursor)
        self.house.stop(process)
        self.house.sql(f'INSERT INTO t SELECT coalesce(max(id), 0) + 1, {account} FROM t')
        until(
            lambda: any(
                each['subscriber'] == name and each['kind'] == 'absent' for each in self.holds()
            ),
            f'{name} to hold the slot back',
        )

    def holds(self):
        return fatwal('holds', '--json', '--control', self.house.control)

    def filler(self, mebibytes):
        """So much WAL that nobody subscribes to."""
        self.house.sql(
            "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1048576))"
            f" FROM generate_series(1, {mebibytes})"
        )

    def test_the_figures_of_the_slot_are_those_of_postgres(self):
        page = self.started('slot')
        self.house.sql("INSERT INTO t SELECT g, 1 FROM generate_series(1, 100) g")

        def same():
            kept, restart, confirmed, now = self.house.sql(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), restart_lsn,"
                " confirmed_flush_lsn, pg_current_wal_lsn() FROM pg_replication_slots WHERE"
                f" slot_name = '{self.house.slot}'"
            ).split('|')
            shown = page.evaluate(
                'Object.fromEntries([...document.querySelectorAll("[data-figure]")].map((e) =>'
                ' [e.dataset.figure, e.title || e.innerText]))'
            )
            return shown == {
                'retained_bytes': f'{kept} bytes',
                'restart_lsn': restart,
                'confirmed_flush_lsn': confirmed,
                'current_lsn': now,
            }

        until(same, 'the same figures')

    def test_the_sentence_is_the_worst_that_doctor_finds(self):
        page = self.started()
        findings = fatwal(
            *('doctor', '--json', '--control', self.house.control),
            *('--database', self.house.conninfo()),
        )
        worst = findings[0]
        self.assertEqual(worst['severity'], 'warning')  # no limit bounds the slot
        page.shows(worst['mend'], '.verdict.warning')
        self.assertEqual(
            page.evaluate('document.querySelector(".verdict [role=status]").ariaLive'), 'polite'
        )
        page.go('#/slot')
        page.shows(worst['mend'], '.finding.warning')
        well = [each for each in findings if each['severity'] == 'ok']
        page.until(
            f'document.querySelectorAll("details.well .finding").length === {len(well)}',
            'the checks that are well',
        )
        # A copy button has the statement that mends it.
        page.evaluate(
            'navigator.clipboard.writeText = (text) => { window.copied = text; '
            'return Promise.resolve(); }; null'
        )
        page.click('.finding.warning .mend button')
        page.until(f'window.copied === {json.dumps(worst["mend"])}', 'the copy')

    def test_a_change_appears_in_the_tail_within_a_second_of_its_commit(self):
        page = self.tail()
        delays = []
        for number in range(1, 11):
            page.evaluate(
                f'''window.seen = new Promise((resolve) => {{
                const watch = new MutationObserver(() => {{
                    const times = document.querySelectorAll("{ROWS} time");
                    if (times.length < {number}) return;
                    watch.disconnect();
                    resolve(Date.now() - Date.parse(times[0].dateTime));
                }});
                watch.observe(document.body, {{childList: true, subtree: true}});
            }}); null'''
            )
            self.house.sql(f"INSERT INTO t VALUES ({number}, 1, 'new')")
            delays.append(page.evaluate('window.seen'))
        print(f'from COMMIT to the page: {sorted(delays)} ms')
        self.assertGreaterEqual(min(delays), -1)  # Postgres's clock is this one, to the ms
        self.assertLess(max(delays), 1000)

    def test_a_change_shows_what_differs_as_text(self):
        page = self.tail()
        nasty = '<img src=x onerror=alert(1)>'
        self.house.sql(
            f"INSERT INTO t VALUES (1, 1, '{nasty}')",
            "UPDATE t SET n = 'better'",
            'DELETE FROM t',
            "SELECT fatwal.emit('1', 'topic', '{\"by\": \"admin\"}')",
            'TRUNCATE u',
        )
        page.until(f'document.querySelectorAll("{ROWS}").length === 5', 'five changes')
        # The newest first, each with its name and a mark, so not by colour alone.
        self.assertEqual(
            [''.join(text.split()) for text in page.texts(f'{ROWS} span.op')],
            ['⌫TRUNCATE', '✉MESSAGE', '−DELETE', '~UPDATE', '+INSERT'],
        )
        update = f'{ROWS}.update'
        self.assertEqual(page.texts(f'{update} del .value'), [nasty])
        self.assertEqual(page.texts(f'{update} ins .value'), ['better'])
        self.assertIn('1', page.texts(f'{update} .pair')[0])  # whose row it is
        self.assertIn('{"by":"admin"}', page.text(f'{ROWS}.message .changed'))
        self.assertEqual(page.evaluate('document.querySelectorAll("main img").length'), 0)
        page.click(f'{update} button.open')
        page.shows('Copy as JSON', '.details')
        self.assertEqual(page.texts('.details tr.differs th'), ['n'])

    def test_a_value_that_was_not_logged_is_no_old_value(self):
        self.house.sql(
            'ALTER TABLE t ALTER account_id SET NOT NULL',
            'CREATE UNIQUE INDEX t_identity ON t (id, account_id)',
            'ALTER TABLE t REPLICA IDENTITY USING INDEX t_identity',
            "INSERT INTO t VALUES (1, 1, 'before')",
        )
        page = self.tail()
        self.house.sql("UPDATE t SET id = 2, n = 'behind'")
        page.shows('behind', f'{ROWS}.update .changed')
        self.assertEqual(page.texts(f'{ROWS}.update del .value'), ['1'])
        self.assertEqual(page.texts(f'{ROWS}.update ins .value'), ['2'])
        page.shows('was not logged', f'{ROWS}.update .changed')

    def test_the_tail_of_a_key_with_any_characters_outlives_a_fatwald(self):
        key = '100% a&b/c #ü "<b>"'
        self.house.sql(
            'CREATE TABLE texts (id int PRIMARY KEY, account_id text)',
            'ALTER TABLE texts REPLICA IDENTITY FULL',
            'ALTER PUBLICATION p ADD TABLE texts',
        )
        page = self.started('accounts')
        self.house.sql(f"INSERT INTO texts VALUES (1, '{key}'), (2, '')")
        page.click('tbody th a', '"<b>"')
        page.until(LIVE, 'the tail to join')
        self.assertIn(key, page.text('h1'))
        fatwald = self.house.processes[0]
        fatwald.kill()
        fatwald.wait()
        self.house.free_slot()
        self.house.sql(f"INSERT INTO texts VALUES (3, '{key}')")
        self.house.fatwald('again')
        page.until(f'document.querySelectorAll("{ROWS}").length === 1', 'what was missed')
        self.assertIn('3', page.text(f'{ROWS} .changed'))
        # Of the empty key, too.
        page.go('#/accounts')
        page.click('tbody th a', 'the empty key')
        page.until(LIVE, 'the other tail to join')
        self.house.sql("UPDATE texts SET id = 4 WHERE account_id = ''")
        page.until(f'document.querySelectorAll("{ROWS}.update").length === 1', 'the change')

    def test_filters_by_table_operation_and_text_stand_in_the_address(self):
        page = self.tail()
        self.house.sql(
            "INSERT INTO t VALUES (1, 1, 'apple')",
            "INSERT INTO u VALUES (2, 1, 'pear')",
            "UPDATE u SET n = 'plum'",
        )
        page.until(f'document.querySelectorAll("{ROWS}").length === 3', 'three changes')

        def shown(*positions):
            page.until(
                f'JSON.stringify([...document.querySelectorAll("{ROWS} span.op")].map((e) =>'
                ' e.innerText.replace(/[^A-Z]/g, ""))) === '
                + json.dumps(json.dumps(positions).replace(', ', ',')),
                f'only {positions}',
            )

        page.choose('Table', 'public.u')
        shown('UPDATE', 'INSERT')
        page.click('.toggles button', 'INSERT')
        shown('INSERT')
        page.click('.toggles button', 'INSERT')
        page.press('/')
        page.write('plum')
        shown('UPDATE')
        self.assertIn('table=public.u', page.evaluate('location.hash'))
        self.assertIn('text=plum', page.evaluate('location.hash'))
        page.evaluate('document.querySelector("[data-search]").value = ""; null')
        page.choose('Table', 'all tables')
        # They are still there behind a reload.
        page.evaluate('location.reload()')
        page.until(
            'document.querySelector("[data-search]")?.value === "plum"', 'the page as it was'
        )

    def test_a_link_to_a_change_shows_it_again(self):
        page = self.tail()
        for number in range(1, 6):
            self.house.sql(f'INSERT INTO t VALUES ({number}, 1)')
        page.until(f'document.querySelectorAll("{ROWS}").length === 5', 'five changes')
        href, position = page.evaluate(
            f'(() => {{ const a = document.querySelectorAll("{ROWS} td.lsn a")[2];'
            ' return [a.getAttribute("href"), a.innerText]; })()'
        )
        linked = self.page(self.served.url + href)
        linked.until('document.querySelector("tr.aimed") !== null', 'the change')
        self.assertEqual(
            linked.evaluate('document.querySelector("tr.aimed").dataset.position'), position
        )
        # It and what came behind it.
        linked.until(f'document.querySelectorAll("{ROWS}").length === 3', 'the later ones')

    def test_a_paused_tail_says_how_many_wait_and_a_tail_is_bounded(self):
        page = self.tail()
        page.press('p')
        page.shows('Paused', '.tail header')
        self.house.sql('INSERT INTO t SELECT g, 1 FROM generate_series(1, 3) g')
        page.shows('Resume (3 waiting)', '.tail header')
        self.assertEqual(page.evaluate(f'document.querySelectorAll("{ROWS}").length'), 0)
        page.press('p')
        page.until(f'document.querySelectorAll("{ROWS}").length === 3', 'those that waited')
        self.house.sql('INSERT INTO t SELECT g, 1 FROM generate_series(4, 700) g')
        page.until(f'document.querySelectorAll("{ROWS}").length === 500', 'the newest')
        page.shows('500 changes, the newest 500', '.tail')
        self.assertIn('700', page.text(f'{ROWS} .changed'))
        # And no more than 8 million characters of them.
        for number in range(701, 713):
            self.house.sql(f"INSERT INTO t VALUES ({number}, 1, repeat('x', 900000))")
        page.shows('712', f'{ROWS} .changed')
        self.assertEqual(page.evaluate(f'document.querySelectorAll("{ROWS}").length'), 8)

    def test_who_holds_the_slot_back_is_named_first_with_the_countdown(self):
        page = self.started(
            fatwald={'retention-bytes': 100 << 20, 'retention-s': 3600, 'confirm-interval-ms': 200}
        )
        self.house.sql('INSERT INTO t VALUES (1, 1)')
        self.durable('stalled')
        cursor = self.house.folder / 'attached.cursor'
        self.house.tail('2', 'attached', '--durable', 'attached', '--cursor-file', cursor)
        page.shows('stalled', '.hold b')
        self.assertEqual(page.texts('.hold b')[0], 'stalled')

        def left():
            return seconds_of(page.text('.hold .countdown'))

        # As fatwald has it, and a second later a second less.
        first, at = left(), time.monotonic()
        self.assertLessEqual(abs(first - self.holds()[0]['dropped_in_seconds']), 2)
        until(lambda: left() <= first - 3, 'the countdown to tick')
        self.assertLessEqual(abs((first - left()) - (time.monotonic() - at)), 2)
        self.assertNotIn('error', page.evaluate('document.querySelector(".hold").className'))
        # With the retention nearly used up it is red, with the word for those who see no red.
        self.filler(92)
        page.until(
            'document.querySelector(".hold").classList.contains("error")', 'it to become red'
        )
        self.assertEqual(
            page.evaluate('document.querySelector(".hold .icon").getAttribute("aria-label")'),
            'error',
        )

    def test_a_durable_subscriber_is_forgotten_after_a_confirmation(self):
        page = self.started('subscribers')
        self.house.sql('INSERT INTO t VALUES (1, 1)')
        self.durable('old one')
        page.click('#away ~ .scroll button, section[aria-labelledby=away] button', 'Forget')
        page.shows('old one', 'dialog[open]')
        page.shows('has not acknowledged', 'dialog[open]')
        # What keeps it is chosen, and Escape does the same.
        self.assertEqual(page.evaluate('document.activeElement.innerText'), 'Keep it')
        page.press('Escape')
        page.until('document.querySelector("dialog") === null', 'the dialog to close')
        self.assertEqual([each['subscriber'] for each in self.holds()], ['old one'])
        page.click('section[aria-labelledby=away] button', 'Forget')
        page.click('dialog[open] button.danger')
        page.shows('No durable subscriber is away', 'section[aria-labelledby=away]')
        until(lambda: self.holds() == [], 'the slot to be free')

    def test_no_other_page_can_forget(self):
        self.house.fatwald()
        console = self.console()
        body = {'account': '1', 'name': 'x'}
        status, _, text = console.request('api/forget', body)
        self.assertEqual(status, 403, text)
        # A name of somebody else that was made to lead here: its pages would be of one origin.
        status, _, text = console.request('api/subscribers', headers={'Host': 'evil.example'})
        self.assertEqual(status, 403, text)

    def test_everything_can_be_done_by_the_keyboard(self):
        page = self.started()
        page.press('Tab')
        self.assertEqual(page.evaluate('document.activeElement.className'), 'skip')
        page.press('Enter')
        self.assertEqual(page.evaluate('document.activeElement.tagName'), 'MAIN')
        self.assertEqual(page.evaluate('location.hash'), '#/')
        for key, name, head in (
            ('a', 'accounts', 'Accounts'),
            ('s', 'subscribers', 'Subscribers'),
            ('l', 'slot', 'Slot and settings'),
            ('e', 'events', 'Events'),
            ('c', 'channels', 'Channels'),
        ):
            page.press('g', key)
            page.shows(head, 'h1')
            self.assertEqual(page.evaluate('location.hash'), f'#/{name}')
        page.press('g', 'a')
        page.shows('Accounts', 'h1')
        page.press('/')
        page.until('document.activeElement.type === "search"', 'the search')
        page.write('g')  # is text here
        page.press('Escape')
        page.until('document.activeElement === document.body', 'the field to be left')
        page.press('?')
        page.shows('go to Accounts', 'dialog[open]')
        page.press('Escape')
        page.until('document.querySelector("dialog") === null', 'the keys to close')
        page.press('g', 'o')
        page.shows('The way of a change')
        # What has the focus is to be seen.
        page.press('Tab')
        page.until('document.activeElement.matches("main *")', 'something to have the focus')
        self.assertNotEqual(
            page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'none'
        )

    def test_light_and_dark_follow_the_system_until_one_is_chosen(self):
        def ground(page):
            return page.until(
                'document.body && getComputedStyle(document.body).backgroundColor', 'the page'
            )

        light = self.started()
        dark = self.page(self.served.url, dark=True)
        self.assertEqual((ground(light), ground(dark)), ('rgb(245, 246, 248)', 'rgb(13, 17, 23)'))
        light.press('t')
        self.assertEqual(ground(light), ground(dark))
        light.evaluate('location.reload()')
        light.until('document.querySelector(".figures") !== null', 'the page again')
        self.assertEqual(ground(light), ground(dark))
        light.press('t')

    def test_nothing_but_tables_scrolls_sideways_on_a_telephone(self):
        self.house.sql("INSERT INTO t SELECT g, 1, repeat('wide', 50) FROM generate_series(1, 9) g")
        page = self.started(width=390, height=844)
        self.durable('a durable subscriber with a name that is long')
        page.shows('a durable', '.hold b')
        for name in PAGES:
            page.go(f'#/{name}')
            page.until('document.querySelector("h1") !== null', name)
            if name.startswith('account?'):
                page.until(LIVE, 'the tail')
                self.house.sql("UPDATE t SET n = repeat('wider', 50)")
                page.until(f'document.querySelector("{ROWS}") !== null', 'a change')
            wide = page.evaluate(
                '[document.documentElement.scrollWidth, ...[...document.querySelectorAll("main *")]'
                '.filter((e) => !e.closest(".scroll, .hidden, svg") &&'
                ' e.getBoundingClientRect().right > 391).map((e) => e.outerHTML.slice(0, 200))]'
            )
            self.assertEqual(wide, [390], name)
        page.click('button.menu')
        page.click('nav a', 'Accounts')
        page.shows('Accounts', 'h1')

    def test_no_request_leaves_the_host(self):
        page = self.started()
        for name in PAGES:
            page.go(f'#/{name}')
            page.until('document.querySelector("h1") !== null', name)
        page.go('#/account?account=1')
        page.click('button', 'Read the rows')
        page.shows('The account has no rows')
        own = (self.served.url, 'data:')
        self.assertGreater(len(page.requests), 20)
        self.assertEqual([each for each in page.requests if not each.startswith(own)], [])
        _, headers, _ = self.served.request('')
        self.assertIn("default-src 'self'", headers['Content-Security-Policy'])

    def test_the_rows_of_an_account_are_read_by_table(self):
        self.house.sql(
            "INSERT INTO t SELECT g, 1, 'a' FROM generate_series(1, 300) g",
            "INSERT INTO u SELECT g, g, 'b' FROM generate_series(1, 3) g",
        )
        page = self.started('account?account=1')
        page.click('button', 'Read the rows')
        page.shows('300 rows', '#rows + * , section[aria-labelledby=rows]')
        page.shows('1 row', 'section[aria-labelledby=rows]')
        page.click('details.rows summary', 'public.t')
        self.assertEqual(
            page.evaluate('document.querySelectorAll("details.rows[open] tbody tr").length'), 200
        )

    def test_accounts_are_searched_and_sorted(self):
        self.house.sql('INSERT INTO t SELECT g, g FROM generate_series(1, 30) g')
        page = self.started('accounts')
        for account in ('7', '17'):
            self.house.tail(account, f'tail of {account}')
        self.house.sql("UPDATE t SET n = repeat('x', 100 * id)")
        page.until('document.querySelectorAll("tbody tr:not(.empty)").length >= 2', 'accounts')
        page.click('th button', 'Bytes')
        page.press('/')
        page.write('17')
        page.until(
            (
                'JSON.stringify([...document.querySelectorAll("tbody th")].map((e) => e.innerText))'
                ' === \'["17"]\''
            ),
            'account 17 alone',
        )
        page.press('Escape')
        page.click('tbody th a', '17')
        page.shows('fatwal tail', 'section[aria-labelledby=attached]')

    def test_a_console_that_is_killed_disturbs_nobody_and_its_page_says_so(self):
        page = self.tail()
        subscriber = self.house.tail('1', 'subscriber')
        fatwald = self.house.processes[0]
        epoch = self.house.status()['epoch']
        self.house.sql('INSERT INTO t VALUES (1, 1)')
        page.until(f'document.querySelectorAll("{ROWS}").length === 1', 'the first')
        self.served.kill()
        page.shows('The connection to the console is lost', '[role=alert]')
        self.assertIn(
            'grayscale',
            page.evaluate('getComputedStyle(document.querySelector(".figures")).filter'),
        )
        self.house.sql('INSERT INTO t VALUES (2, 1)')
        self.assertEqual(
            [event['new']['id'] for event in self.house.events('subscriber', 2)], [1, 2]
        )
        self.assertEqual((fatwald.poll(), subscriber.poll()), (None, None))
        self.assertEqual(self.house.status()['epoch'], epoch)
        # It comes back by itself, and the tail has what came meanwhile.
        self.console(name='again', http=f'127.0.0.1:{self.served.port}')
        page.until('document.querySelector(".lost") === null', 'the figures again')
        page.until(LIVE, 'the tail again')
        page.until(f'document.querySelectorAll("{ROWS}").length === 2', 'the second')

    def test_a_fatwald_that_is_away_is_an_error_and_an_event_tells_it(self):
        page = self.started('events')
        fatwald = self.house.processes[0]
        page.shows('streaming', '.events')
        self.house.stop(fatwald)
        page.go('#/overview')
        page.until('document.querySelector(".verdict.error") !== null', 'red')
        page.shows('Unknown while no fatwald answers')
        page.until('document.title.includes("error")', 'the title')
        self.house.fatwald('again')
        page.until('document.querySelector(".verdict.error") === null', 'no red')
        page.until('document.title.startsWith("Overview")', 'the title')

    def test_without_a_database_it_shows_what_fatwald_knows(self):
        page = self.started(database=False)
        page.shows('started without --database')
        page.shows('All is well', '.verdict')

    def test_a_token_is_asked_for_where_the_console_has_one(self):
        self.house.fatwald()
        token = self.house.folder / 'token'
        token.write_text('correct-horse-battery-staple\n')
        token.chmod(0o600)
        console = self.console(**{'http-token-file': token})
        for path in ('accounts', 'subscribers', 'channels', 'events', 'tail?account=1'):
            self.assertEqual(console.request(f'api/{path}')[0], 401, path)
        page = self.page(console.url, ready='#token')
        page.evaluate('document.getElementById("token").focus()')
        page.write('wrong')
        page.press('Enter')
        page.shows('not the token', '[role=alert]')
        page.evaluate('document.getElementById("token").select()')
        page.write('correct-horse-battery-staple')
        page.press('Enter')
        page.shows('The way of a change')
        # By a cookie that scripts cannot read.
        self.assertEqual(page.evaluate('document.cookie'), '')


class Asked(unittest.TestCase):
    """The console as a program asks it, and what it asks."""

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.house.sql(*TABLES)

    def console(self, **settings):
        return Console(self.house, **settings)

    def database_is_seen(self, console):
        return console.state(lambda state: state['slot'] and state['verdict']['severity'] != 'note')

    def test_what_psql_warns_of_is_no_failure(self):
        self.house.fatwald()
        passwords = self.house.folder / 'passwords'
        passwords.write_text('nobody:1:x:y:z\n')
        passwords.chmod(0o644)
        console = self.console(environment={'PGPASSFILE': str(passwords)})
        state = self.database_is_seen(console)
        self.assertEqual(state['database_failure'], '')

    def test_a_database_that_says_nothing_is_not_well_and_holds_up_nobody(self):
        self.house.fatwald()
        with socket.socket() as silent:
            silent.bind(('127.0.0.1', 0))
            silent.listen()
            console = self.console(
                database=f'host=127.0.0.1 port={silent.getsockname()[1]} dbname=x',
                environment={'PGCONNECT_TIMEOUT': '3'},
            )
            state = console.state()
            self.assertEqual(state['verdict']['severity'], 'note')
            self.assertEqual(state['database_failure'], 'it has not answered yet')
            state = console.state(lambda state: 'timeout' in state['database_failure'])
            self.assertEqual(state['verdict']['severity'], 'error')
            console.process.terminate()
            self.assertEqual(console.process.wait(10), 0)

    def test_a_password_is_no_argument_of_a_process(self):
        self.house.fatwald()
        console = self.console(
            database=f"{self.house.conninfo()} password='it\\'s secret'",
        )
        self.database_is_seen(console)
        children = pathlib.Path(f'/proc/{console.process.pid}/task').glob('*/children')
        ids = [id for each in children for id in each.read_text().split()]
        self.assertTrue(ids)
        for id in ids:
            arguments = pathlib.Path(f'/proc/{id}/cmdline').read_text()
            self.assertIn('psql', arguments)
            self.assertNotIn('secret', arguments)

    def test_the_slot_is_that_of_the_fatwald_that_is_there(self):
        fatwald = self.house.fatwald()
        console = self.console()
        first = self.database_is_seen(console)['slot']['name']
        self.house.stop(fatwald)
        self.house.slot = f'{first}_other'
        self.house.fatwald('other')
        console.state(lambda state: state['slot'] and state['slot']['name'] == f'{first}_other')

    def test_wide_rows_all_come_to_a_browser_that_reads(self):
        self.house.fatwald()
        console = self.console()
        events = console.events('api/tail?account=1')
        self.assertEqual(next(events)[0], 'joined')
        self.house.sql(
            "INSERT INTO t SELECT g, 1, repeat('x', 10000) FROM generate_series(1, 1200) g"
        )
        ids = []
        for name, data in events:
            self.assertEqual(name, 'batch')
            ids += [event['new']['id'] for event in data['events']]
            if len(ids) == 1200:
                break
        self.assertEqual(ids, list(range(1, 1201)))

    def test_one_that_does_not_read_is_told_what_it_lost(self):
        self.house.fatwald()
        console = self.console()
        events = console.events('api/tail?account=1', seconds=60)
        self.assertEqual(next(events)[0], 'joined')
        for number in range(20):
            self.house.sql(
                f"INSERT INTO t SELECT g, 1, repeat('x', 10000) FROM generate_series("
                f'{number * 1000 + 1}, {number * 1000 + 1000}) g'
            )
        time.sleep(4)
        had, lost = 0, 0
        while had + lost < 20000:
            name, data = next(events)
            had += len(data['events']) if name == 'batch' else 0
            lost += data['events'] if name == 'dropped' else 0
        self.assertEqual(had + lost, 20000)
        self.assertGreater(lost, 0)
        self.assertLess(memory(console.process.pid), 200_000)

    def test_another_sites_page_gets_nothing(self):
        self.house.fatwald()
        console = self.console()
        for site, status in (('cross-site', 403), ('same-site', 403), ('same-origin', 200)):
            for path in ('api/channels', 'api/accounts'):
                got, headers, _ = console.request(path, headers={'Sec-Fetch-Site': site})
                self.assertEqual(got, status, site)
                self.assertEqual(headers['X-Content-Type-Options'], 'nosniff')
        self.assertEqual(console.request('api/subscribers?account=' + 'x' * 300)[0], 400)

    def test_a_channel_that_says_nothing_is_named_and_holds_up_nobody(self):
        self.house.fatwald()
        path = str(self.house.folder / 'silent.admin')
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path)
            silent.listen()
            console = self.console(channel=path)
            seen = json.loads(console.request('api/channels')[2])['processes']
            self.assertEqual([each['socket'] for each in seen], [path])
            until(
                lambda: 'in time' in console.request('api/channels')[2], 'the silence to be said'
            )


class OfChannels(InABrowser, Portal):
    def test_says_who_is_online_and_why_a_client_reaches_a_resource(self):
        self.channel()
        client, gateway = self.client(), self.gateway()
        self.joined(gateway)
        self.joined(client)
        console = Console(self.house, channel=self.admin())
        page = self.page(f'{console.url}#/channels')
        page.shows(CLIENT, 'section[aria-labelledby=online]')
        page.click('section[aria-labelledby=online] button', 'Why')
        page.choose('Client', CLIENT)
        page.choose('Resource', R1)
        page.until('document.querySelector(".why .verdict.ok") !== null', 'granted')
        self.assertEqual(page.texts('.why .chips .badge'), ['g1'])
        page.shows('chosen', '.why')
        said = subprocess.run(
            [BUILD / 'client' / 'fatwal', 'channel', '--admin-socket', self.admin(), 'why']
            + ['--account', ACCOUNT, '--client', CLIENT, '--resource', R1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        first = said.splitlines()[0]
        self.assertTrue(first.startswith('Granted'), said)
        page.shows(first, '.why .verdict')
        condition = '{"property": "client_verified", "operator": "is", "values": ["true"]}'
        self.house.sql(
            f"UPDATE policies SET conditions = ARRAY['{condition}']::jsonb[] WHERE id = '{P1}'"
        )
        page.until('document.querySelector(".why .verdict.error") !== null', 'refused')
        page.shows('client_verified is true', '.why .conditions')
        page.shows('does not hold', '.why .conditions')
        # The address holds the question.
        again = self.page(console.url + page.evaluate('location.hash'))
        again.until('document.querySelector(".why .verdict.error") !== null', 'the same answer')


class Vendored(unittest.TestCase):
    def test_the_files_of_others_are_what_is_recorded(self):
        for arguments in ([], ['--self-test']):
            done = subprocess.run(
                [ROOT / 'scripts' / 'vendored', *arguments], capture_output=True, text=True
            )
            self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
