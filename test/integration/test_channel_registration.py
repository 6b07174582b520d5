"""A device that registers gets its row, its tunnel addresses and its id; who may not gets the
reason. Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import base64
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
import unittest

from house import failing, until
from portal import (
    ACCOUNT,
    ACTOR,
    CLIENT,
    GATEWAY,
    GATEWAY_TOKEN,
    HASH,
    OTHER_ACCOUNT,
    OTHER_ACTOR,
    OTHER_SITE,
    OTHER_TENANT,
    OTHER_TOKEN,
    SECRET,
    TOKEN,
    Portal,
    uid,
)
from proxy import Proxy


def key(name):
    """A key that nobody else has."""
    return base64.b64encode(name.encode().ljust(32, b'.')).decode()


def body(external_id, **more):
    return {'external_id': external_id, 'name': external_id, 'public_key': key(external_id)} | more


class Registration(Portal):
    def post(
        self,
        role,
        content,
        token=TOKEN,
        account=ACCOUNT,
        secret=SECRET,
        process='channel',
        source='127.0.0.1',
    ):
        """The status and the body of the answer, and its headers."""
        connection = http.client.HTTPConnection(
            '127.0.0.1', self.ports[process], timeout=30, source_address=(source, 0)
        )
        try:
            text = content if isinstance(content, (bytes, str)) else json.dumps(content)
            connection.request(
                'POST',
                f'/{role}',
                text,
                {
                    'Authorization': f'Bearer {account}.{token}.{secret}',
                    'Content-Type': 'application/json',
                },
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers
        finally:
            connection.close()

    def register(self, role, content, status=201, **options):
        """The answer's body; the status has to be this one."""
        got, said, _ = self.post(role, content, **options)
        self.assertEqual(got, status, said)
        return said

    def refused(self, status, reason, role, content, field=None, **options):
        said = self.register(role, content, status, **options)
        self.assertEqual((said['reason'], said.get('field')), (reason, field))

    def row(self, table, id, *columns):
        columns = ', '.join(f"'{column}', {column}" for column in columns)
        return json.loads(
            self.house.sql(f"SELECT json_build_object({columns}) FROM {table} WHERE id = '{id}'")
        )

    def tokens(self, count, actor=ACTOR):
        """Ids of new tokens of an actor."""
        ids = [uid(0x71, n) for n in range(self.made + 1, self.made + count + 1)]
        self.made += count
        self.house.sql(
            'INSERT INTO tokens (id, account_id, type, actor_id, secret_hash) VALUES '
            + ', '.join(f"('{id}', '{ACCOUNT}', 'client', '{actor}', {HASH})" for id in ids)
        )
        return ids

    def setUp(self):
        super().setUp()
        self.made = 0

    # What it makes.

    def test_a_client_registers_and_connects(self):
        self.channel()
        said = self.register(
            'client', body('laptop', device_serial='C02XK', device_uuid='4C4C4544')
        )
        self.assertEqual(
            self.row(
                'clients',
                said['id'],
                'account_id',
                'actor_id',
                'external_id',
                'name',
                'public_key',
                'device_serial',
                'device_uuid',
                'identifier_for_vendor',
                'verified_at',
            ),
            {
                'account_id': ACCOUNT,
                'actor_id': ACTOR,
                'external_id': 'laptop',
                'name': 'laptop',
                'public_key': key('laptop'),
                'device_serial': 'C02XK',
                'device_uuid': '4C4C4544',
                'identifier_for_vendor': None,
                'verified_at': None,
            },
        )
        self.assertEqual(
            self.house.sql(
                "SELECT host(ipv4) || ' ' || host(ipv6), ipv4 << '100.64.0.0/11', ipv6 <<"
                f" 'fd8f:b3c5:4e0a::/107' FROM clients WHERE id = '{said['id']}'"
            ),
            f"{said['ipv4']} {said['ipv6']}|t|t",
        )
        init = self.joined(self.device('client', said['id'], TOKEN))
        self.assertEqual(
            (init['interface']['ipv4'], init['interface']['ipv6']), (said['ipv4'], said['ipv6'])
        )
        self.assertEqual(self.shown(init), ['r1'])
        # The token is this device's from the registration on.
        self.assertEqual(
            self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{TOKEN}'"), said['id']
        )
        self.expect_end(self.client(), 'invalid_token')

    def test_a_gateway_registers_and_connects(self):
        self.channel()
        said = [
            self.register('gateway', body(name, device_serial='ignored'), token=GATEWAY_TOKEN)
            for name in ('g1', 'g2')
        ]
        for one in said:
            self.assertEqual(
                self.row('gateways', one['id'], 'account_id', 'site_id')['site_id'],
                self.row('gateways', GATEWAY, 'site_id')['site_id'],
            )
            self.joined(self.device('gateway', one['id'], GATEWAY_TOKEN))
        self.assertEqual(
            self.house.sql(f"SELECT device_id FROM tokens WHERE id = '{GATEWAY_TOKEN}'"),
            '',
            'all gateways of a site use its token',
        )

    def test_who_registers_again_keeps_its_row_and_its_addresses(self):
        self.channel()
        first = self.register('client', body('laptop', device_serial='1'))
        verify = f"UPDATE clients SET verified_at = '2026-01-01' WHERE id = '{first['id']}'"
        for change, verified in (
            ({}, True),
            ({'name': 'renamed'}, True),
            ({'public_key': key('another')}, False),
            ({'public_key': key('another'), 'device_serial': '2'}, False),
            ({'public_key': key('another'), 'device_serial': '2', 'device_uuid': 'u'}, False),
            ({'public_key': key('another'), 'device_serial': None}, False),
            (
                {'public_key': key('another'), 'device_serial': None, 'identifier_for_vendor': 'v'},
                False,
            ),
        ):
            with self.subTest(change):
                self.house.sql(verify)
                content = body('laptop', device_serial='1') | change
                self.assertEqual(self.register('client', content, 200), first)
                row = self.row(
                    'clients', first['id'], 'name', 'public_key', 'device_serial', 'verified_at'
                )
                self.assertEqual(
                    {name: row[name] for name in ('name', 'public_key', 'device_serial')},
                    {name: content[name] for name in ('name', 'public_key', 'device_serial')},
                )
                self.assertEqual(row['verified_at'] is not None, verified)

    def test_who_changes_nothing_writes_nothing(self):
        self.channel()
        said = self.register('client', body('laptop'))
        before = self.row('clients', said['id'], 'xmin')
        self.register('client', body('laptop'), 200)
        self.assertEqual(self.row('clients', said['id'], 'xmin'), before)

    def test_a_rows_addresses_are_free_with_it(self):
        self.house.sql(f"UPDATE accounts SET ipv4_range = '10.9.0.0/30' WHERE id = '{ACCOUNT}'")
        self.channel()
        tokens = self.tokens(4)
        said = [self.register('client', body(f'd{n}'), token=tokens[n]) for n in range(2)]
        self.assertEqual({one['ipv4'] for one in said}, {'10.9.0.1', '10.9.0.2'})
        self.refused(403, 'no_address_left', 'client', body('d2'), 'ipv4_range', token=tokens[2])
        self.refused(
            403, 'no_address_left', 'gateway', body('g2'), 'ipv4_range', token=GATEWAY_TOKEN
        )
        self.assertEqual(
            self.register('client', body('d1'), 200, token=tokens[1]),
            said[1],
            'who has a row needs no address',
        )
        self.house.sql(f"DELETE FROM clients WHERE id = '{said[0]['id']}'")
        self.assertEqual(
            self.register('gateway', body('g2'), token=GATEWAY_TOKEN)['ipv4'], said[0]['ipv4']
        )

    def test_a_range_is_used_to_its_last_address_and_a_lone_gap_is_found(self):
        for range, size in (
            ('10.1.0.0/30', 2),
            ('10.2.0.0/29', 6),
            ('10.3.0.0/25', 126),
            ('fd00:1::/126', 2),
            ('fd00:2::/122', 62),
        ):
            with self.subTest(range):
                self.house.sql(
                    f"""DO $$
                    DECLARE
                        found inet;
                        gap inet;
                    BEGIN
                        FOR n IN 1..{size} LOOP
                            found := free_tunnel_address('{ACCOUNT}', '{range}');
                            ASSERT found << '{range}'::cidr AND found NOT IN
                                (host(network('{range}'))::inet, host(broadcast('{range}'))::inet),
                                found;
                            INSERT INTO tunnel_addresses VALUES ('{ACCOUNT}', found);
                        END LOOP;
                        ASSERT free_tunnel_address('{ACCOUNT}', '{range}') IS NULL;
                        FOR n IN 1..20 LOOP
                            DELETE FROM tunnel_addresses WHERE address = (SELECT address FROM
                                tunnel_addresses WHERE address << '{range}'::cidr ORDER BY random()
                                LIMIT 1)
                            RETURNING address INTO gap;
                            found := free_tunnel_address('{ACCOUNT}', '{range}');
                            ASSERT found = gap, format('%s instead of %s', found, gap);
                            INSERT INTO tunnel_addresses VALUES ('{ACCOUNT}', gap);
                        END LOOP;
                    END $$"""
                )

    def test_rows_made_by_hand_have_addresses_too(self):
        self.house.sql(
            f"UPDATE accounts SET ipv4_range = '10.9.0.0/29' WHERE id = '{ACCOUNT}'",
            f"UPDATE clients SET ipv4 = '10.9.0.3/29' WHERE id = '{CLIENT}'",
            f"UPDATE gateways SET ipv4 = '10.9.0.4' WHERE id = '{GATEWAY}'",
        )
        self.channel()
        tokens = self.tokens(4)
        self.assertEqual(
            {self.register('client', body(f'd{n}'), token=tokens[n])['ipv4'] for n in range(4)},
            {f'10.9.0.{n}' for n in (1, 2, 5, 6)},
        )
        with self.assertRaisesRegex(AssertionError, 'tunnel_addresses_pkey'):
            self.house.sql(f"UPDATE gateways SET ipv4 = '10.9.0.3' WHERE id = '{GATEWAY}'")
        self.house.sql('TRUNCATE clients CASCADE')
        self.assertEqual(
            self.house.sql(
                "SELECT string_agg(host(address), ' ' ORDER BY address) FROM tunnel_addresses"
            ),
            '10.9.0.4 fd00::2',
        )

    # Many at once.

    def test_many_at_two_processes_get_an_address_each(self):
        self.house.sql(f"UPDATE accounts SET ipv4_range = '10.9.0.0/26' WHERE id = '{ACCOUNT}'")
        self.two_processes()
        tokens = self.tokens(40)
        asks = [('client', body(f'd{n}'), tokens[n]) for n in range(40)] + [
            ('gateway', body(f'g{n}'), GATEWAY_TOKEN) for n in range(10)
        ]
        begin = time.monotonic()
        # Each at both processes, at the same time.
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            answers = list(
                pool.map(
                    lambda ask: self.post(*ask[:2], token=ask[2], process=ask[3])[:2],
                    [(*ask, process) for ask in asks for process in 'ab'],
                )
            )
        print(
            f'100 registrations of one account at two processes: {time.monotonic() - begin:.2f} s',
            flush=True,
        )
        self.assertEqual(sorted(status for status, _ in answers), [200] * 50 + [201] * 50, answers)
        for one, other in zip(answers[::2], answers[1::2]):
            self.assertEqual(one[1], other[1])
        said = [one[1] for one in answers[::2]]
        for name in ('id', 'ipv4', 'ipv6'):
            self.assertEqual(len({one[name] for one in said}), 50)

    def test_of_many_at_once_as_many_as_the_limit_get_in(self):
        self.house.sql(
            "UPDATE accounts SET limits = '{\"clients\": 5, \"gateways\": 4}' WHERE id ="
            f" '{ACCOUNT}'"
        )
        self.two_processes()
        tokens = self.tokens(10)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = [
                pool.submit(self.post, 'client', body(f'd{n}'), tokens[n], process='ab'[n % 2])
                for n in range(10)
            ]
            answers += [
                pool.submit(self.post, 'gateway', body(f'g{n}'), GATEWAY_TOKEN, process='ab'[n % 2])
                for n in range(10)
            ]
            answers = [answer.result()[:2] for answer in answers]
        # The world has two clients and a gateway.
        self.assertEqual(sorted(status for status, _ in answers[:10]), [201] * 3 + [403] * 7)
        self.assertEqual(sorted(status for status, _ in answers[10:]), [201] * 3 + [403] * 7)
        self.assertEqual(
            {(said['reason'], said['field']) for status, said in answers if status == 403},
            {('limit_reached', 'clients'), ('limit_reached', 'gateways')},
        )

    def test_one_token_makes_one_client(self):
        self.two_processes()
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            answers = list(
                pool.map(
                    lambda n: self.post('client', body(f'd{n}'), process='ab'[n % 2])[:2], range(10)
                )
            )
        self.assertEqual(sorted(status for status, _ in answers), [201] + [401] * 9)

    def test_seats_are_actors_with_a_client(self):
        third = uid(0xAC, 3)
        self.house.sql(
            f"INSERT INTO actors (id, account_id, name) VALUES ('{third}', '{ACCOUNT}', 'C')",
            f"UPDATE accounts SET limits = '{{\"seats\": 2}}' WHERE id = '{ACCOUNT}'",
        )
        self.channel()
        of_third, of_first = self.tokens(1, actor=third)[0], self.tokens(2)
        self.register('client', body('d1'), token=of_first[0])
        self.refused(403, 'limit_reached', 'client', body('d2'), 'seats', token=of_third)
        self.house.sql(f"DELETE FROM clients WHERE actor_id = '{OTHER_ACTOR}'")
        self.register('client', body('d2'), token=of_third)
        for limit, status in (('null', 201), ('"many"', 403), ('-1', 403), ('{}', 403)):
            with self.subTest(limit):
                self.house.sql(
                    f"UPDATE accounts SET limits = '{{\"clients\": {limit}}}' WHERE id ="
                    f" '{ACCOUNT}'"
                )
                self.assertEqual(self.post('client', body('d3'), token=of_first[1])[0], status)
                self.house.sql(
                    "DELETE FROM clients WHERE external_id = 'd3'",
                    f"UPDATE tokens SET device_id = NULL WHERE id = '{of_first[1]}'",
                )

    # Who may not.

    def test_what_is_anothers_stays_his(self):
        self.house.sql(
            OTHER_TENANT, f"UPDATE gateways SET site_id = '{OTHER_SITE}'  WHERE id = '{GATEWAY}'"
        )
        self.channel()
        self.refused(409, 'external_id_taken', 'client', body('c2'))
        self.refused(409, 'external_id_taken', 'gateway', body('w1'), token=GATEWAY_TOKEN)
        self.house.sql(
            f"UPDATE clients SET public_key = '{key('his')}' WHERE external_id = 'c2'",
            f"UPDATE gateways SET public_key = '{key('its')}' WHERE id = '{GATEWAY}'",
        )
        self.refused(409, 'public_key_taken', 'client', body('laptop', public_key=key('his')))
        self.refused(
            409,
            'public_key_taken',
            'gateway',
            body('g1', public_key=key('its')),
            token=GATEWAY_TOKEN,
        )
        self.assertEqual(
            self.house.sql("SELECT count(*), min(name) FROM clients WHERE external_id = 'c2'"),
            '1|c2',
        )
        # Another tenant may have the same.
        self.register(
            'client', body('c2', public_key=key('his')), account=OTHER_ACCOUNT, token=uid(0x70, 8)
        )
        self.assertEqual(
            self.house.sql(
                "SELECT count(DISTINCT account_id) FROM clients WHERE external_id = 'c2'"
            ),
            '2',
        )

    def test_a_token_is_judged_first(self):
        self.house.sql(OTHER_TENANT)
        self.channel()
        for options in (
            {'secret': 'wrong'},
            {'token': GATEWAY_TOKEN},
            {'token': uid(0x70, 99)},
            {'account': OTHER_ACCOUNT},
            {'account': 'x'},
            {'account': '-'},
        ):
            with self.subTest(options):
                self.refused(401, 'invalid_token', 'client', body('d'), **options)
        self.refused(401, 'invalid_token', 'gateway', body('d'))
        for statement, status, reason in (
            (f"UPDATE tokens SET expires_at = now() WHERE id = '{TOKEN}'", 401, 'token_expired'),
            (f"UPDATE actors SET disabled_at = now() WHERE id = '{ACTOR}'", 403, 'actor_disabled'),
            ('UPDATE accounts SET disabled_at = now()', 403, 'account_disabled'),
        ):
            self.house.sql('UPDATE tokens SET expires_at = NULL', statement)
            self.refused(status, reason, 'client', body('d'))
        self.assertEqual(self.house.sql('SELECT count(*) FROM clients'), '3')

    def test_a_provider_that_is_disabled_registers_nobody(self):
        provider, identity = uid(0xF, 1), uid(0xF, 2)
        self.house.sql(
            (
                f"INSERT INTO auth_providers (id, account_id, adapter) VALUES ('{provider}',"
                f" '{ACCOUNT}', 'oidc')"
            ),
            (
                "INSERT INTO auth_identities (id, account_id, actor_id, provider_id) VALUES"
                f" ('{identity}', '{ACCOUNT}', '{ACTOR}', '{provider}')"
            ),
            f"UPDATE tokens SET identity_id = '{identity}' WHERE id = '{TOKEN}'",
        )
        self.channel()
        said = self.register('client', body('d'))
        self.assertEqual(self.row('clients', said['id'], 'identity_id'), {'identity_id': identity})
        self.house.sql('UPDATE auth_providers SET disabled_at = now()')
        self.refused(403, 'provider_disabled', 'client', body('d'))
        self.house.sql(f"UPDATE auth_identities SET actor_id = '{OTHER_ACTOR}'")
        self.refused(403, 'identity_disabled', 'client', body('d'))

    def test_a_token_of_a_deleted_client_makes_no_other_one(self):
        self.channel()
        said = self.register('client', body('d'))
        self.house.sql(f"DELETE FROM clients WHERE id = '{said['id']}'")
        self.refused(401, 'invalid_token', 'client', body('d'))

    def test_whoever_guesses_tokens_leaves_room_for_others(self):
        self.channel(**{'connects-per-second': '10'})
        stop, answers = threading.Event(), []

        def guess():
            """As fast as it goes, from an address of its own."""
            while not stop.is_set():
                answers.append(
                    self.post(
                        'client', body('d'), token=uid(0x72, len(answers)), source='127.0.0.2'
                    )[0]
                )

        guessing = threading.Thread(target=guess, daemon=True)
        guessing.start()
        self.addCleanup(guessing.join, 20)
        self.addCleanup(stop.set)
        until(lambda: answers.count(401) > 25, 'some guesses to be judged')
        for status in (201, 200, 200, 200):
            self.register('client', body('d'), status)
            count = len(answers)
            until(lambda count=count: len(answers) > count + 100, 'more guesses')
        self.assertIn(503, answers)

    # Bad requests.

    def test_a_bad_body_is_refused_with_its_field(self):
        self.channel()
        good = body('d')
        for content, status, reason, field in (
            ('', 400, 'invalid_json', None),
            ('[]', 400, 'invalid_json', None),
            ('{"external_id": ', 400, 'invalid_json', None),
            (
                json.dumps(good).replace('"d"', '"\xff"').encode('latin-1'),
                400,
                'invalid_json',
                None,
            ),
            (
                json.dumps(good | {'name': 'x'})[:-1] + ', "x": ' + '[' * 40 + ']' * 40 + '}',
                400,
                'invalid_json',
                None,
            ),
            (json.dumps(good).replace('"d"', '"\\ud800"'), 400, 'invalid_json', None),
            ({'name': 'n', 'public_key': key('k')}, 400, 'missing_field', 'external_id'),
            (good | {'name': None}, 400, 'missing_field', 'name'),
            (good | {'external_id': ''}, 400, 'invalid_field', 'external_id'),
            (good | {'external_id': 'x' * 256}, 400, 'invalid_field', 'external_id'),
            (good | {'name': 5}, 400, 'invalid_field', 'name'),
            (good | {'name': 'a\0b'}, 400, 'invalid_field', 'name'),
            (good | {'name': 'a\nb'}, 400, 'invalid_field', 'name'),
            (good | {'device_uuid': {}}, 400, 'invalid_field', 'device_uuid'),
            (good | {'public_key': 'k'}, 400, 'invalid_field', 'public_key'),
            (
                good | {'public_key': base64.b64encode(b'x' * 31).decode()},
                400,
                'invalid_field',
                'public_key',
            ),
            (good | {'public_key': key('k')[:-2] + 'B='}, 400, 'invalid_field', 'public_key'),
            (good | {'public_key': key('k').replace('=', 'A')}, 400, 'invalid_field', 'public_key'),
            (good | {'name': 'x' * 9000}, 413, 'body_too_large', None),
            ('x' * 3_000_000, 413, 'body_too_large', None),
        ):
            with self.subTest(str(content)[:80]):
                self.refused(status, reason, 'client', content, field)
        self.register('client', good | {'name': 'ü' * 127, 'something_newer': [1]})

    def test_other_requests_are_refused_as_before(self):
        self.channel()
        self.refused(404, 'not_found', 'relay', body('d'))
        self.refused(404, 'not_found', 'other', body('d'))
        connection = http.client.HTTPConnection('127.0.0.1', self.ports['channel'], timeout=20)
        self.addCleanup(connection.close)
        connection.request(
            'GET',
            f'/client?id={CLIENT}',
            headers={'Authorization': f'Bearer {ACCOUNT}.{TOKEN}.{SECRET}'},
        )
        self.assertEqual(connection.getresponse().status, 426)
        self.house.sql('DROP FUNCTION register_client')
        self.refused(404, 'not_found', 'client', body('d'))
        self.assertIn('register_client', self.house.read('channel.err'))

    # When the database is slow or away.

    def test_a_locked_account_holds_up_its_own_devices_alone(self):
        self.house.sql(OTHER_TENANT)
        self.channel(**{'join-timeout-s': '2'})
        tokens = self.tokens(5)
        session = self.open_transaction(f"UPDATE accounts SET name = 'held' WHERE id = '{ACCOUNT}'")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            held = [pool.submit(self.post, 'client', body(f'd{n}'), tokens[n]) for n in range(5)]
            until(lambda: self.stats()['registrations_waiting'] == 5, 'them to wait')
            slowest = 0
            for n in range(20):
                begin = time.monotonic()
                self.register('gateway', body(f'g{n}'), account=OTHER_ACCOUNT, token=uid(0x70, 9))
                slowest = max(slowest, time.monotonic() - begin)
            self.assertLess(slowest, 0.5)
            for status, said, headers in (answer.result() for answer in held):
                self.assertEqual(
                    (status, said, headers['Retry-After']), (503, {'reason': 'try_again'}, '2')
                )
            self.assertEqual(self.stats()['registrations_waiting'], 0)
            # One that waits is served when the lock is gone.
            waits = pool.submit(self.post, 'client', body('d0'), tokens[0])
            until(lambda: self.stats()['registrations_waiting'] == 1, 'it to wait')
            session.run('COMMIT')
            self.assertEqual(waits.result()[0], 201)

    def test_many_locked_accounts_leave_half_of_the_time_to_others(self):
        self.house.sql(OTHER_TENANT)
        count = 40
        for table, columns, values in (
            ('accounts', 'id, name, slug', "'h', 'h' || n"),
            ('sites', 'id, account_id, name', "md5('a' || n)::uuid, 's'"),
            (
                'tokens',
                'id, account_id, type, site_id, secret_hash',
                f"md5('a' || n)::uuid, 'gateway', md5('s' || n)::uuid, {HASH}",
            ),
        ):
            self.house.sql(
                f"INSERT INTO {table} ({columns}) SELECT md5('{table[0]}' || n)::uuid,"
                f" {values} FROM generate_series(1, {count}) n"
            )
        ids = [
            line.split('|')
            for line in self.house.sql(
                "SELECT md5('a' || n)::uuid, md5('t' || n)::uuid FROM generate_series(1,"
                f" {count}) n"
            ).splitlines()
        ]
        self.channel(**{'join-timeout-s': '20'})
        session = self.open_transaction("UPDATE accounts SET name = 'held' WHERE name = 'h'")
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            held = [
                pool.submit(self.post, 'gateway', body('g'), token, account)
                for account, token in ids
            ]
            until(lambda: self.stats()['registrations_waiting'] == count, 'them to wait')
            time.sleep(count * 0.05 + 1)
            slowest = 0
            for n in range(20):
                begin = time.monotonic()
                self.register('gateway', body(f'g{n}'), account=OTHER_ACCOUNT, token=uid(0x70, 9))
                slowest = max(slowest, time.monotonic() - begin)
            print(
                f'slowest of 20 registrations beside {count} locked accounts: {slowest:.3f} s',
                flush=True,
            )
            session.run('COMMIT')
            self.assertEqual({answer.result()[0] for answer in held}, {201})
        self.assertLess(slowest, 0.4)

    def test_attempts_that_take_long_leave_half_of_the_time_to_others(self):
        self.house.sql(
            'CREATE SEQUENCE attempts', *(f'CREATE SEQUENCE begun_{n}' for n in range(1, 21))
        )
        for what, attempt, seconds in (
            ('ended', 'pg_sleep(60)', 3),
            ('lost', 'pg_sleep(2), pg_terminate_backend(pg_backend_pid())', 2),
        ):
            with self.subTest(what):
                self.house.sql(
                    f"""CREATE OR REPLACE FUNCTION register_client(of_account uuid,
                    by_token uuid, device jsonb, OUT outcome text, OUT field text,
                    OUT client_id uuid, OUT client_ipv4 inet, OUT client_ipv6 inet) LANGUAGE plpgsql
                        AS $$
                BEGIN
                    PERFORM setval('begun_' || nextval('attempts'),
                        (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
                    PERFORM {attempt};
                END $$""",
                    "SELECT setval('attempts', 1, false), setval('begun_2', 1, false)",
                )
                process = self.channel(what, **{'join-timeout-s': '60'})
                device = http.client.HTTPConnection('127.0.0.1', self.ports[what], timeout=30)
                self.addCleanup(device.close)
                device.request(
                    'POST',
                    '/client',
                    json.dumps(body('laptop')),
                    {
                        'Authorization': f'Bearer {ACCOUNT}.{TOKEN}.{SECRET}',
                        'Content-Type': 'application/json',
                    },
                )
                until(
                    lambda: self.house.sql('SELECT is_called FROM begun_2') == 't',
                    'the next attempt',
                )
                begun = [int(self.house.sql(f'SELECT last_value FROM begun_{n}')) for n in (1, 2)]
                self.assertGreater(begun[1] - begun[0], 1900 * seconds)
                process.kill()

    def test_who_waits_at_the_end_is_answered(self):
        process = self.channel(**{'drain-s': '0'})
        session = self.house.locking('accounts')
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits = pool.submit(self.post, 'client', body('d'))
            until(lambda: self.stats()['registrations_waiting'] == 1, 'it to wait')
            process.send_signal(signal.SIGTERM)
            until(lambda: 'are sent elsewhere' in self.house.read('channel.err'), 'the drain')
            time.sleep(0.3)
            session.run('COMMIT')
            self.assertEqual(waits.result()[0], 201)
        self.assertEqual(process.wait(20), 0)

    def test_a_row_that_is_made_by_hand_at_the_same_time_is_found(self):
        self.channel()
        session = self.open_transaction(
            "INSERT INTO clients (account_id, actor_id, external_id, name, public_key, ipv4, ipv6)"
            f" VALUES ('{ACCOUNT}', '{ACTOR}', 'd', 'by hand', 'k', '100.64.0.99', 'fd00::99')"
        )
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits = pool.submit(self.post, 'client', body('d'))
            until(lambda: self.stats()['registrations_waiting'] == 1, 'it to wait')
            time.sleep(0.2)
            session.run('COMMIT')
            status, said, _ = waits.result()
        self.assertEqual((status, said['ipv4']), (200, '100.64.0.99'))

    def test_without_the_database_devices_are_told_to_try_again(self):
        proxy = Proxy('127.0.0.1', os.environ['PGPORT'])
        self.addCleanup(proxy.close)
        self.channel(
            database=(
                "host=127.0.0.1"
                f" port={proxy.port} user={os.environ['PGUSER']} dbname={self.house.database}"
            ),
            **{'join-timeout-s': '1'},
        )
        self.register('client', body('d'))
        proxy.freeze()
        begin = time.monotonic()
        status, said, headers = self.post('client', body('d'))
        self.assertEqual(
            (status, said, headers['Retry-After']), (503, {'reason': 'try_again'}, '2')
        )
        self.assertLess(time.monotonic() - begin, 3)
        self.assertEqual(self.stats()['registrations_waiting'], 0)
        proxy.thaw()
        until(lambda: self.post('client', body('d'))[0] == 200, 'it to be renewed')

    def test_a_thread_that_lacks_memory_ends_nothing(self):
        process = self.channel(
            environment=failing(('registrar',), 300), **{'join-timeout-s': '2'}
        )

        def failed_often():
            status = self.post('client', body('d'))[0]
            self.assertIn(status, (200, 201, 503))
            self.assertIsNone(process.poll(), self.house.read('channel.err'))
            return self.house.read('channel.err').count('bad_alloc') >= 5

        until(failed_often, 'allocations to fail')

    def test_a_device_that_leaves_gives_its_place_back(self):
        self.channel(**{'join-timeout-s': '4', 'max-sessions': '3'})
        session = self.house.locking('accounts')
        content = json.dumps(body('d')).encode()
        head = (
            f'POST /client HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n'
            f'Authorization: Bearer {ACCOUNT}.{TOKEN}.{SECRET}\r\n\r\n'
        )

        # A busy machine may look only when its time is over; then another one comes.
        def was_seen_waiting():
            with socket.create_connection(
                ('127.0.0.1', self.ports['channel']), timeout=20
            ) as connection:
                connection.sendall(head.encode() + content)
                for _ in range(5):
                    if self.stats()['registrations_waiting'] == 1:
                        return True
            return False

        for _ in range(2):
            until(was_seen_waiting, 'it to wait')
            until(lambda: self.stats()['registrations_waiting'] == 0, 'its time to be over')
        session.run('COMMIT')
        until(lambda: self.post('client', body('d'))[0] < 300, 'its place')

    def test_the_privileges_that_registration_needs_are_named_at_the_start(self):
        database = self.house.conninfo(self.house.role())
        refused = self.channel('refused', wait=False, database=database)
        self.assertEqual(refused.wait(20), 1)
        grants = re.findall(r'GRANT [^;]*;', self.house.read('refused.err'))
        for lacking in (
            'INSERT .* ON clients',
            'INSERT .* ON gateways',
            'UPDATE .*device_serial.* ON clients',
            'UPDATE .*public_key.* ON gateways',
            'SELECT .* ON tunnel_addresses',
        ):
            self.assertTrue([grant for grant in grants if re.search(lacking, grant)], lacking)
        self.assertNotIn('verified_at', ' '.join(grants), 'it verifies nobody')
        self.house.sql(*grants)
        self.channel(database=database)
        said = self.register('client', body('d'))
        self.assertEqual(
            self.register(
                'client', body('d', name='other', public_key=key('other'), device_serial='1'), 200
            ),
            said,
        )
        said = self.register('gateway', body('d'), token=GATEWAY_TOKEN)
        self.assertEqual(
            self.register(
                'gateway',
                body('d', name='other', public_key=key('other')),
                200,
                token=GATEWAY_TOKEN,
            ),
            said,
        )
        self.assertNotIn('cannot', self.house.read('channel.err'))


if __name__ == '__main__':
    unittest.main()
