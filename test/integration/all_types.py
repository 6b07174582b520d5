"""A table with a column of each type, and rows with their extremes."""

UUID = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'

# One column of each type that the format has a code for, and some that travel as text.
EVERYTHING = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    'CREATE DOMAIN positive AS numeric(12,3) CHECK (VALUE > 0)',
    'CREATE TYPE pair AS (a int, b text)',
    'CREATE DOMAIN tags AS text[]',
    'CREATE EXTENSION citext',
    (
        'CREATE TABLE everything (id int PRIMARY KEY, account_id bigint, b bool, i2 int2, i4 int4,'
        ' i8 int8, f4 float4, f8 float8, n numeric, t text, v varchar(10), c char(5), na name, by'
        ' bytea, u uuid, j json, jb jsonb, d date, ti time, tz timetz, ts timestamp, tst'
        ' timestamptz, iv interval, ip inet, ci cidr, mac macaddr, o oid, m mood, dom positive, ai'
        ' int[], at text[], ajb jsonb[], an numeric[], am mood[], au uuid[], ats timestamptz[], ab'
        ' bytea[], abo bool[], af float8[], adom positive[], tags tags, ci_text citext, aci'
        ' citext[], po point, boxes box[], ra int4range, rt tstzrange, co pair, vc bit varying(8),'
        ' money money, vec int2vector, ovec oidvector, reg regclass, ch "char", x xml, lsn pg_lsn,'
        ' ts_vector tsvector)'
    ),
)
ROWS = (
    f"""INSERT INTO everything VALUES (1, 42, true, -32768, 2147483647, 9007199254740993, 1.5,
    -2.25, 12345.678900, E'text "quoted" \\\\ \\u00fc\\n', 'varchar', 'bp', 'a_name', '\\x00ff10',
    '{UUID}', '{{"a":  [1, 2]}}', '{{"b": {{"c": [true, null, 1.50]}}, "a": "x"}}', '2026-11-24',
    '13:08:39.5', '13:08:39+02', '2026-11-24 13:08:39.123456', '2026-11-24 13:08:39+00',
    '1 year 2 mons -3 days 04:05:06.7', '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03',
    4294967295, 'happy', 1.5, '{{{{1,2}},{{3,NULL}}}}', E'{{"a,b","c\\\\"d",NULL,"null",""}}',
    ARRAY['{{"q": "a,\\"b\\\\"}}', NULL, '[]', '"s"', 'null']::jsonb[], '{{1.10,NaN}}',
    '{{sad,NULL}}', '{{{UUID}}}', '{{2026-11-24 13:08:39+00,infinity}}',
    ARRAY['\\x00', '\\xff']::bytea[], '{{t,f}}', '{{0.1,1e300,NaN,-Infinity}}', '{{1.5,2}}',
    '{{x,NULL}}', 'CiText', '{{A,b}}', '(1,2)', ARRAY['((1,2),(3,4))', '((5,6),(7,8))']::box[],
    '[1,5)', '[2026-01-01 00:00:00+00,)', '(3,"x y")', B'101', 12.34, '1 2 3', '4 5',
    'pg_class', 'x', '<a>b</a>', '0/16B3748', 'a:1 b:2')""",
    'INSERT INTO everything (id, account_id) VALUES (2, 42)',
    """INSERT INTO everything (id, account_id, i8, f4, f8, n, d, ts, tst, iv, ip, ci, ai, jb, t, tz,
    ti, vec) VALUES
    (3, 42, 9223372036854775807, 'NaN', 'Infinity', 'NaN', 'infinity', '-infinity',
     '0044-03-15 12:00:00+00 BC', '-1 mons +00:00:00', '::1', '2001:db8::/32', '{}', '"bare"', '',
     '24:00:00-15:59:59', '24:00:00', ''),
    (4, 42, -9223372036854775808, '-Infinity', 1e300, '123456789012345678901234567890.123',
     '4713-01-01 BC', '294276-12-31 23:59:59.999999', '1999-12-31 23:59:59.999999+00', '0',
     '::ffff:1.2.3.4', '::/0', '[5:6]={1,2}', '[]', E'\\x01\\n', '00:00:00+15:59', '00:00', '7'),
    (5, 42, 0, 1e-30, 0.1, '-0.00012', '2000-02-29', '1970-01-01', '2000-01-01 00:00:00+00',
     '-00:00:00.5', '255.255.255.255', '0.0.0.0/0', '{NULL}', '12.30', repeat('long ', 3),
     '12:00:00.000001+05:30', '23:59:59.999999', NULL),
    (6, 42, 1, 3.4028235e38, 5e-324, '-Infinity', '5874897-12-31', '4714-11-24 00:00:00 BC',
     '294276-12-31 23:59:59.999999+00', '178000000 years', '1.2.3.4/32', '1.2.3.4/32',
     '[-1:0][2:3]={{1,2},{3,4}}', 'null', 'x', NULL, NULL, NULL),
    (7, 42, 2, 1.1754944e-38, 2.2250738585072014e-308, 0.000, '-infinity', 'infinity', 'infinity',
     '-178000000 years -2147483648 days', NULL, NULL, NULL, '0', NULL, NULL, NULL, NULL)""",
    """INSERT INTO everything (id, account_id, n, an, f8, f4, iv, tst) SELECT 100 + g, 42,
    ((g * 7919 % 1000003)::numeric ^ 3 - 10 ^ 17) * 10::numeric ^ (g % 90 - 45),
    ARRAY[g, -g / 7.0, 10::numeric ^ (g % 300), 10::numeric ^ (-g % 300)],
    (g * 7919 % 1000003)::float8 * 10::float8 ^ (g % 600 - 300), (g / 7.0)::float4,
    make_interval(g % 50 - 25, g % 30 - 15, 0, g % 70 - 35, g % 100 - 50, g % 120 - 60, g / 7.0),
    '2000-01-01'::timestamptz + g * g * interval '11 days 7.123457 s' - interval '300 years'
    FROM generate_series(1, 400) g""",
    'UPDATE everything SET i4 = i4 - 1, t = t || $$ß$$',
    "UPDATE everything SET (n, an, jb, m, ai, ts) = (NULL, '{}', '{}', 'sad', ai, ts) WHERE id < 5",
    'DELETE FROM everything WHERE id % 3 = 0',
)


def rows(generated=400):
    """The statements, with so many rows of numbers of all sizes."""
    series = 'generate_series(1, 400)'
    return [row.replace(series, series.replace('400', str(generated))) for row in ROWS]
