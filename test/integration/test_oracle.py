"""The oracle of test/channel against cases computed by hand. Run by: scripts/with-postgres
/usr/bin/python3 -m unittest discover -s test/integration
"""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import House  # noqa: E402

CLOCK = '2021-01-01 10:00:00+00'  # a Friday


def uid(kind, number):
    return f'{kind:08x}-0000-4000-8000-{number:012x}'


ACCOUNT, ACTOR, CLIENT, TOKEN, PROVIDER, IDENTITY = (
    uid(kind, 1) for kind in (0xACC, 0xAC, 0xC, 0x70, 0x9F, 0x1D)
)
GROUP, OTHER_GROUP, SITE, OTHER_SITE, GATEWAY = (
    uid(0x9, 1),
    uid(0x9, 2),
    uid(0x5, 1),
    uid(0x5, 2),
    uid(0x6, 1),
)
RESOURCE, OTHER_RESOURCE, POLICY, OTHER_POLICY, MEMBERSHIP, FLOW = (
    uid(0xE, 1),
    uid(0xE, 2),
    uid(0xB, 1),
    uid(0xB, 2),
    uid(0x33, 1),
    uid(0xF, 1),
)

# Actor A in group g1; policy p1 grants r1 on site s1 with gateway w1; client c1 of A.
DEFAULT = f"""
INSERT INTO accounts (id, name, slug) VALUES ('{ACCOUNT}', 'a', 'a');
INSERT INTO actors (id, account_id, name) VALUES ('{ACTOR}', '{ACCOUNT}', 'A');
INSERT INTO actor_groups (id, account_id, name) VALUES ('{GROUP}', '{ACCOUNT}', 'g1'),
    ('{OTHER_GROUP}', '{ACCOUNT}', 'g2');
INSERT INTO actor_group_memberships (id, account_id, actor_id, group_id) VALUES ('{MEMBERSHIP}',
    '{ACCOUNT}', '{ACTOR}', '{GROUP}');
INSERT INTO auth_providers (id, account_id, adapter) VALUES ('{PROVIDER}', '{ACCOUNT}', 'oidc');
INSERT INTO auth_identities (id, account_id, actor_id, provider_id) VALUES ('{IDENTITY}',
    '{ACCOUNT}', '{ACTOR}', '{PROVIDER}');
INSERT INTO sites (id, account_id, name) VALUES ('{SITE}', '{ACCOUNT}', 's1'), ('{OTHER_SITE}',
    '{ACCOUNT}', 's2');
INSERT INTO tokens (id, account_id, type, actor_id, secret_hash, expires_at) VALUES ('{TOKEN}',
    '{ACCOUNT}', 'client', '{ACTOR}', 'x', '2021-01-02 00:00+00');
INSERT INTO clients (id, account_id, actor_id, identity_id, external_id, name, public_key, ipv4,
    ipv6, last_seen_remote_ip, last_seen_remote_ip_location_region)
    VALUES ('{CLIENT}', '{ACCOUNT}', '{ACTOR}', '{IDENTITY}', 'c1', 'c1', 'k', '100.64.0.1',
        'fd00::1', '10.9.9.9', 'US');
INSERT INTO gateways (id, account_id, site_id, external_id, name, public_key, ipv4, ipv6)
    VALUES ('{GATEWAY}', '{ACCOUNT}', '{SITE}', 'w1', 'w1', 'k', '100.64.0.2', 'fd00::2');
INSERT INTO resources (id, account_id, name, type, address) VALUES ('{RESOURCE}', '{ACCOUNT}', 'r1',
    'dns', 'r1.example.com'),
    ('{OTHER_RESOURCE}', '{ACCOUNT}', 'r2', 'cidr', '10.0.0.0/8');
INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES ('{ACCOUNT}',
    '{RESOURCE}', '{SITE}'), ('{ACCOUNT}', '{OTHER_RESOURCE}', '{SITE}');
INSERT INTO policies (id, account_id, actor_group_id, resource_id) VALUES ('{POLICY}', '{ACCOUNT}',
    '{GROUP}', '{RESOURCE}');
INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id, resource_id, token_id,
    membership_id, expires_at)
    VALUES ('{FLOW}', '{ACCOUNT}', '{POLICY}', '{CLIENT}', '{GATEWAY}', '{RESOURCE}', '{TOKEN}',
        '{MEMBERSHIP}', '2021-01-01 20:00+00');
"""


def condition(prop, operator, *values):
    return {'property': prop, 'operator': operator, 'values': list(values)}


def hours(*values):
    return condition('current_utc_datetime', 'is_in_day_of_week_time_ranges', *values)


def second_policy(group=GROUP, resource=RESOURCE, conditions="'{}'"):
    return (
        "INSERT INTO policies (id, account_id, actor_group_id, resource_id, conditions)"
        f" VALUES ('{OTHER_POLICY}', '{ACCOUNT}', '{group}', '{resource}', {conditions})"
    )


class Oracle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.addClassCleanup(cls.house.close)
        cls.house.load('portal/example/schema.sql', 'test/access/oracle.sql')
        cls.house.sql(DEFAULT, f'ALTER DATABASE {cls.house.database} SET jit = off')

    def ask(self, question, *changes):
        """The answer after the changes, which are undone."""
        return self.house.sql(
            '; '.join(
                [
                    'BEGIN',
                    *changes,
                    f"SELECT coalesce(to_json(a), 'null') FROM ({question}) AS q (a)",
                    'ROLLBACK',
                ]
            )
        )

    def view(self, *changes, version='1.5.0', at=CLOCK):
        rendered = self.ask(
            (
                "SELECT jsonb_agg(rendered ORDER BY resource_id) FROM"
                f" oracle.client_view('{CLIENT}', '{at}', '{version}')"
            ),
            *changes,
        )
        return json.loads(rendered) or []

    def names(self, *changes, **options):
        return [
            resource.get('name', resource['type']) for resource in self.view(*changes, **options)
        ]

    def until(self, *conditions, at=CLOCK, changes=()):
        """Until when the conditions hold, in UTC; None when they do not."""
        listed = ', '.join('NULL' if c is None else "'" + json.dumps(c) + "'" for c in conditions)
        return json.loads(
            self.ask(
                (
                    "SELECT CASE WHEN isfinite(until) THEN to_char(until AT TIME ZONE 'UTC',"
                    " 'MM-DD HH24:MI:SS') ELSE until::text END FROM clients c,"
                    f" oracle.conditions_until(ARRAY[{listed}]::jsonb[], c, '{at}') AS until WHERE"
                    f" id = '{CLIENT}'"
                ),
                *changes,
            )
        )

    def holds(self, *conditions, **options):
        listed = ', '.join('NULL' if c is None else "'" + json.dumps(c) + "'" for c in conditions)
        return json.loads(
            self.ask(
                f"SELECT oracle.holds('{POLICY}', '{CLIENT}', '{options.get('at', CLOCK)}')",
                f"UPDATE policies SET conditions = ARRAY[{listed}]::jsonb[] WHERE id = '{POLICY}'",
                *options.get('changes', ()),
            )
        )

    def pairs(self, *changes, at=CLOCK):
        return (
            json.loads(
                self.ask(
                    (
                        "SELECT json_agg(json_build_array(justified, own, to_char(until AT TIME"
                        f" ZONE 'UTC', 'MM-DD HH24:MI'))) FROM oracle.gateway_pairs('{GATEWAY}',"
                        f" '{at}')"
                    ),
                    *changes,
                )
            )
            or []
        )

    def test_rendering(self):
        dns = {
            'id': RESOURCE,
            'type': 'dns',
            'name': 'r1',
            'address': 'r1.example.com',
            'address_description': None,
            'gateway_groups': [{'id': SITE, 'name': 's1'}],
            'filters': [],
        }
        self.assertEqual(self.view(), [dns])
        self.assertEqual(
            self.view(f"UPDATE resources SET ip_stack = 'dual' WHERE id = '{RESOURCE}'"),
            [dns | {'ip_stack': 'dual'}],
        )
        filters = [
            {'protocol': 'tcp', 'ports': ['80', '100-200']},
            {'protocol': 'icmp', 'ports': []},
        ]
        self.assertEqual(
            self.view(f"UPDATE resources SET filters = '{json.dumps(filters)}'")[0]['filters'],
            [
                {'protocol': 'tcp', 'port_range_start': 80, 'port_range_end': 80},
                {'protocol': 'tcp', 'port_range_start': 100, 'port_range_end': 200},
                {'protocol': 'icmp'},
            ],
        )
        for wrong in (
            '{}',
            '[1]',
            '[{"protocol": "tcp", "ports": ["x"]}]',
            '[{"protocol": "tcp", "ports": ["2-1"]}]',
            '[{"protocol": "sctp"}]',
        ):
            self.assertEqual(self.view(f"UPDATE resources SET filters = '{wrong}'"), [], wrong)
        for given, shown in (('10.1.2.3', '10.1.2.3/32'), ('fd00::5', 'fd00::5/128')):
            (ip,) = self.view(
                f"UPDATE resources SET type = 'ip', address = '{given}' WHERE id = '{RESOURCE}'"
            )
            self.assertEqual((ip['type'], ip['address']), ('cidr', shown))
        self.assertEqual(
            self.view(f"UPDATE resources SET type = 'ip', address = 'x' WHERE id = '{RESOURCE}'"),
            [],
        )
        internet = f"UPDATE resources SET type = 'internet', address = NULL WHERE id = '{RESOURCE}'"
        self.assertEqual(
            self.view(internet),
            [
                {
                    'id': RESOURCE,
                    'type': 'internet',
                    'gateway_groups': dns['gateway_groups'],
                    'can_be_disabled': True,
                }
            ],
        )
        self.assertEqual(
            (self.names(internet, version='1.2.9'), self.names(internet, version='1.3.0')),
            ([], ['internet']),
        )
        both = (
            f"INSERT INTO resource_connections VALUES ('{ACCOUNT}', '{RESOURCE}', '{OTHER_SITE}')"
        )
        self.assertEqual([s['name'] for s in self.view(both)[0]['gateway_groups']], ['s1', 's2'])
        self.assertEqual(self.view('DELETE FROM resource_connections'), [])
        self.assertEqual(self.view(f"DELETE FROM sites WHERE id = '{SITE}'"), [])

    def test_features(self):
        def without(feature, value='false'):
            return f"UPDATE accounts SET features = '{{\"{feature}\": {value}}}'"

        filters = "UPDATE resources SET filters = '[{\"protocol\": \"tcp\"}]'"
        conditions = (
            "UPDATE policies SET conditions = ARRAY['"
            + json.dumps(condition('client_verified', 'is', 'false'))
            + "']::jsonb[]"
        )
        internet = f"UPDATE resources SET type = 'internet', address = NULL WHERE id = '{RESOURCE}'"
        for feature, change in (
            ('internet_resource', internet),
            ('traffic_filters', filters),
            ('policy_conditions', conditions),
        ):
            self.assertEqual(len(self.names(without(feature))), 1, feature)
            self.assertEqual(len(self.names(change, without(feature, 'true'))), 1, feature)
            for value in ('false', 'null', '\"true\"', '1'):
                self.assertEqual(self.names(change, without(feature, value)), [], feature)
        self.assertEqual(self.names(filters, "UPDATE accounts SET features = '[]'"), [])

    def test_addresses_of_older_devices(self):
        for address, old in (
            ('**.x', '*.x'),
            ('*.x', '?.x'),
            ('a.x', 'a.x'),
            ('a*.x', None),
            ('?.x', None),
            ('*.*.x', None),
            ('***.x', None),
        ):
            change = f"UPDATE resources SET address = '{address}' WHERE id = '{RESOURCE}'"
            self.assertEqual(
                [r['address'] for r in self.view(change, version='1.1.9')],
                [old] if old else [],
                address,
            )
            self.assertEqual([r['address'] for r in self.view(change, version='1.2.0')], [address])

    def test_policies_and_groups(self):
        member = (
            "INSERT INTO actor_group_memberships (account_id, actor_id, group_id) VALUES"
            f" ('{ACCOUNT}', '{ACTOR}', '{OTHER_GROUP}')"
        )
        closed = "ARRAY['" + json.dumps(condition('client_verified', 'is', 'true')) + "']::jsonb[]"
        # C1
        self.assertEqual(self.names(second_policy(resource=OTHER_RESOURCE)), ['r1', 'r2'])
        # C3
        self.assertEqual(self.names(second_policy()), ['r1'])
        # C4
        self.assertEqual(
            self.names(second_policy(resource=OTHER_RESOURCE, conditions=closed)), ['r1']
        )
        # C9
        self.assertEqual(
            self.names(f"UPDATE policies SET resource_id = '{OTHER_RESOURCE}'"), ['r2']
        )
        # A10
        self.assertEqual(self.names(second_policy(OTHER_GROUP, OTHER_RESOURCE)), ['r1'])
        # B3
        self.assertEqual(
            self.names(second_policy(OTHER_GROUP, OTHER_RESOURCE), member), ['r1', 'r2']
        )
        # C13
        self.assertEqual(self.names("UPDATE policies SET disabled_at = now()"), [])
        # C16
        self.assertEqual(self.names('DELETE FROM policies'), [])
        # C22
        self.assertEqual(self.names('UPDATE policies SET actor_group_id = NULL'), [])
        # B9
        self.assertEqual(self.names('DELETE FROM actor_group_memberships'), [])
        unmet = f"UPDATE policies SET conditions = {closed} WHERE id = '{POLICY}'"
        # C7
        self.assertEqual(self.names(unmet), [])
        # C24
        self.assertEqual(self.names(unmet, second_policy(OTHER_GROUP), member), ['r1'])
        # B12
        self.assertEqual(self.names(unmet, 'UPDATE clients SET verified_at = now()'), ['r1'])
        for change in ('actors', 'auth_providers', 'accounts'):
            # B23
            self.assertEqual(self.names(f'UPDATE {change} SET disabled_at = now()'), [], change)

    def test_conditions_on_the_client(self):
        region, ip, provider = 'remote_ip_location_region', 'remote_ip', 'provider_id'
        nowhere, nobody = (
            (
                'UPDATE clients SET last_seen_remote_ip_location_region = NULL, last_seen_remote_ip'
                ' = NULL'
            ),
            'UPDATE clients SET identity_id = NULL',
        )
        for expected, given, changes in (
            (True, condition(region, 'is_in', 'US'), ()),
            (False, condition(region, 'is_in', 'CA'), ()),
            (True, condition(region, 'is_not_in', 'CA'), ()),
            (False, condition(region, 'is_not_in', 'US'), ()),
            (False, condition(region, 'is_not_in', 'US'), (nowhere,)),
            (False, condition(region, 'is_not_in'), (nowhere,)),
            (False, condition(region, 'is_not_in', 'XYZ'), ()),
            (True, condition(ip, 'is_in_cidr', '10.9.9.9'), ()),
            (True, condition(ip, 'is_in_cidr', '10.1.2.3/8'), ()),
            (False, condition(ip, 'is_in_cidr', '11.0.0.0/8'), ()),
            (False, condition(ip, 'is_in_cidr', '::/0'), ()),
            (False, condition(ip, 'is_in_cidr', '10.0.0.0/8', 'x'), ()),
            (False, condition(ip, 'is_not_in_cidr', 'x'), ()),
            (
                False,
                condition(ip, 'is_not_in_cidr', '10.0.0.0/8', '192.168.0.0/16'),
                ("UPDATE clients SET last_seen_remote_ip = '192.168.1.1'",),
            ),
            (True, condition(ip, 'is_not_in_cidr', '::/0'), ()),
            (False, condition(ip, 'is_not_in_cidr', '::/0'), (nowhere,)),
            (True, condition(provider, 'is_in', PROVIDER), ()),
            (False, condition(provider, 'is_in', OTHER_POLICY), ()),
            (False, condition(provider, 'is_in', PROVIDER), (nobody,)),
            (False, condition(provider, 'is_not_in', PROVIDER), ()),
            (True, condition(provider, 'is_not_in', PROVIDER), (nobody,)),
            (False, condition(provider, 'is_not_in', 'x'), ()),
            (False, condition('client_verified', 'is', 'true'), ()),
            (True, condition('client_verified', 'is', 'false'), ()),
            (
                True,
                condition('client_verified', 'is', 'true'),
                ('UPDATE clients SET verified_at = now()',),
            ),
            (False, condition('client_verified', 'is', 'yes'), ()),
            (False, condition('colour', 'is', 'red'), ()),
            (False, condition(region, 'is', 'US'), ()),
            (False, None, ()),
            (False, 'text', ()),
            (False, {}, ()),
            (False, {'property': region, 'operator': 'is_not_in', 'values': ['CA', None]}, ()),
            (False, {'property': region, 'operator': 'is_not_in', 'values': 'CA'}, ()),
        ):
            self.assertEqual(self.holds(given, changes=changes), expected, (given, changes))
        self.assertTrue(self.holds())
        for pair in (
            (hours('F/09-11/UTC'), condition(region, 'is_in', 'CA')),
            (condition(region, 'is_in', 'CA'), hours('F/09-11/UTC')),
        ):
            # F25
            self.assertFalse(self.holds(*pair))
        for pair in (
            (hours('F/09-11/UTC'), condition(region, 'is_in', 'US')),
            (condition(region, 'is_in', 'US'), hours('F/09-11/UTC')),
        ):
            # F26
            self.assertEqual(self.until(*pair), '01-01 11:00:00')
        self.assertEqual(self.until(hours('F/09-15/UTC'), hours('F/09-12/UTC')), '01-01 12:00:00')

    def test_time_windows(self):
        for given, at, expected in (
            # F11
            (('F/10:00:00-11:00:00,20:00-22:00/UTC',), CLOCK, '01-01 11:00:00'),
            # F13
            (('F/09:00:00-09:59:59/UTC', 'F/10:00:01-11:00:00/UTC'), CLOCK, None),
            # F14
            (('M/09-11/UTC', 'U/true/UTC'), CLOCK, None),
            # F16
            (('F/09-11,11-15,14-22/UTC',), CLOCK, '01-01 22:00:00'),
            (('F/09-11/UTC', 'F/11-15/UTC'), CLOCK, '01-01 15:00:00'),
            # F17
            (('R/true/US/Pacific',), '2021-01-01 01:00+00', '01-01 07:59:59'),
            (('R/15-19/US/Pacific',), '2021-01-01 01:00+00', '01-01 03:00:00'),
            (('R/00-02/US/Pacific',), '2021-01-01 01:00+00', None),
            # F19
            (('R/20-22/US/Pacific',), '2021-01-01 05:00+00', '01-01 06:00:00'),
            # F20
            (('F/22-02/UTC',), CLOCK, None),
            (('F/10:00:00-09:59:59/UTC', 'F/true/UTC'), CLOCK, None),
            # F22
            (('F//UTC',), CLOCK, None),
            (('F/09-11/Mars/Base',), CLOCK, None),
            (('X/09-11/UTC',), CLOCK, None),
            (('F/09-24/UTC',), CLOCK, None),
            (('F/09-11:60/UTC',), CLOCK, None),
            (('F/09-11',), CLOCK, None),
            ((), CLOCK, None),
            # both ends are in it
            (('F/09-10:00:00/UTC',), CLOCK, '01-01 10:00:00'),
            (('F/10:00:00-11/UTC',), CLOCK, '01-01 11:00:00'),
            # F23
            (('F/09-10:00:00/UTC',), '2021-01-01 10:00:00.7+00', None),
            (('F/09-10:00:00.5/UTC',), CLOCK, '01-01 10:00:00'),
            # F37, ours
            (('R/true/UTC', 'F/true/UTC'), '2020-12-31 12:00+00', '01-01 23:59:59'),
            (('F/20-23:59:59/UTC', 'S/00-04/UTC'), '2021-01-01 21:00+00', '01-02 04:00:00'),
            (('F/20-23:59:58/UTC', 'S/00-04/UTC'), '2021-01-01 21:00+00', '01-01 23:59:58'),
            (tuple(f'{day}/true/UTC' for day in 'MTWRFSU'), CLOCK, 'infinity'),
            # F29. In New York 02:00 is skipped on 2021-03-14 at 07:00Z, and 01:00 comes twice
            # on 2021-11-07, at 05:00Z and at 06:00Z.
            (('U/01-02:30/America/New_York',), '2021-03-14 06:30+00', '03-14 07:00:00'),
            (('U/00-01:30/America/New_York',), '2021-11-07 04:30+00', '11-07 05:30:00'),
            (('U/00-03/America/New_York',), '2021-11-07 06:30+00', '11-07 08:00:00'),
        ):
            found = self.until(hours(*given), at=at)
            self.assertEqual(found, expected, (given, at))

    def test_gateway_pairs(self):
        everyone = "UPDATE tokens SET expires_at = NULL"
        self.assertEqual(self.pairs(), [[True, True, '01-01 20:00']])
        # H2
        self.assertEqual(self.pairs(at='2021-01-01 20:00+00'), [])
        for change in (
            'DELETE FROM policies',
            'DELETE FROM actor_group_memberships',
            'DELETE FROM tokens',
            'DELETE FROM clients',
            'DELETE FROM resources',
        ):
            # the row goes along
            self.assertEqual(self.pairs(change), [], change)
        disabled, moved = (
            f"UPDATE policies SET disabled_at = now() WHERE id = '{POLICY}'",
            f"UPDATE policies SET resource_id = '{OTHER_RESOURCE}' WHERE id = '{POLICY}'",
        )
        for change in (
            disabled,
            moved,
            'UPDATE actors SET disabled_at = now()',
            f"DELETE FROM resource_connections WHERE resource_id = '{RESOURCE}'",
            f"UPDATE gateways SET site_id = '{OTHER_SITE}'",
            "UPDATE tokens SET expires_at = '2021-01-01 09:00+00'",
            f"UPDATE policies SET actor_group_id = '{OTHER_GROUP}'",
        ):
            # H6, H9
            self.assertEqual(self.pairs(change), [[False, False, None]], change)
        for change in (disabled, moved):
            # H8, K2
            self.assertEqual(
                self.pairs(change, second_policy()), [[True, False, '01-02 00:00']], change
            )
        self.assertEqual(
            self.pairs(disabled, second_policy(), f"UPDATE gateways SET site_id = '{OTHER_SITE}'"),
            [[False, False, None]],
        )
        self.assertEqual(
            self.pairs(everyone, 'UPDATE flows SET expires_at = NULL')[0][:2], [True, True]
        )


if __name__ == '__main__':
    unittest.main()
