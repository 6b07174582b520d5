CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS numeric(12,3) CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE everything (
    id int PRIMARY KEY, account_id bigint,
    b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, t text, v varchar(10), c char(5), na name,
    by bytea, u uuid, j json, jb jsonb, d date, ti time, tz timetz, ts timestamp, tst timestamptz, iv interval,
    ip inet, ci cidr, mac macaddr, o oid, m mood, dom positive,
    ai int[], at text[], ajb jsonb[], an numeric[], am mood[], au uuid[], ats timestamptz[],
    po point, ra int4range, co pair, vc bit varying(8));
ALTER TABLE everything REPLICA IDENTITY FULL;
CREATE PUBLICATION types FOR TABLE everything;
SELECT FROM pg_create_logical_replication_slot('types', 'fatwal');

INSERT INTO everything VALUES (1, 42,
    true, -32768, 2147483647, 9007199254740991, 1.5, -2.25, 12345.678900, 'text "quoted" \ ü', 'varchar', 'bp', 'a_name',
    '\x00ff10', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":  [1, 2]}', '{"b": {"c": [true, null, 1.50]}, "a": "x"}',
    '2026-11-24', '13:08:39.5', '13:08:39+02', '2026-11-24 13:08:39.123456', '2026-11-24 13:08:39+00', '1 year 2 mons -3 days 04:05:06.7',
    '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', 4294967295, 'happy', 1.5,
    '{{1,2},{3,NULL}}', '{"a,b","c\"d",NULL,"null"}', ARRAY['{"q": "a,\"b\\"}', NULL, '[]', '"s"', 'null']::jsonb[], '{1.10,NaN}', '{sad,NULL}',
    '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', '{2026-11-24 13:08:39+00,infinity}',
    '(1,2)', '[1,5)', '(3,"x y")', B'101');
INSERT INTO everything (id, account_id) VALUES (2, 42);
INSERT INTO everything (id, account_id, i8, f4, f8, n, d, ts, tst, iv, ip, ci, ai, jb, t) VALUES
    (3, 42, 9223372036854775807, 'NaN', 'Infinity', 'NaN', 'infinity', '-infinity', '0044-03-15 12:00:00+00 BC', '-1 mons +00:00:00', '::1', '2001:db8::/32', '{}', '"bare"', ''),
    (4, 42, -9223372036854775808, '-Infinity', 1e300, '123456789012345678901234567890.123', '4713-01-01 BC', '294276-12-31 23:59:59.999999', '1999-12-31 23:59:59.999999+00', '0', '::ffff:1.2.3.4', '::/0', '[5:6]={1,2}', '[]', E'\x01\n'),
    (5, 42, 0, 1e-30, 0.1, '-0.00012', '2000-02-29', '1970-01-01', '2000-01-01 00:00:00+00', '-00:00:00.5', '255.255.255.255', '0.0.0.0/0', '{NULL}', '12.30', repeat('long ', 3));
SELECT (new ->> 'id')::int AS id, key, value FROM changes('types', 'types'), json_each(json_strip_nulls(new)) WHERE kind <> 'schema' ORDER BY 1, 2;

-- Case-insensitive text is text, also as an account; domains over arrays and arrays of domains.
CREATE EXTENSION citext;
CREATE DOMAIN tags AS text[];
CREATE TABLE more (id int PRIMARY KEY, account_id citext, words citext[], tags tags, amounts positive[]);
CREATE PUBLICATION more FOR TABLE more;
INSERT INTO more VALUES (1, 'Acme', '{A,b}', '{x,NULL}', '{1.5,2}');
SELECT kind, account, new FROM changes('types', 'more');

-- A vector of no numbers is an empty array like any other.
CREATE TABLE vectors (id int PRIMARY KEY, account_id int, v int2vector, o oidvector);
CREATE PUBLICATION vectors FOR TABLE vectors;
INSERT INTO vectors VALUES (1, 1, '', ''), (2, 1, '3 4', '5');
SELECT new, unavailable FROM changes('types', 'vectors') WHERE account = '1' AND kind <> 'schema';

-- What the stream carries is what the row holds: the jsonb's and numerics' own text.
CREATE TABLE corpus (id int PRIMARY KEY, account_id int, n numeric, jb jsonb);
CREATE PUBLICATION corpus FOR TABLE corpus;
SELECT setseed(0.5);
INSERT INTO corpus
    SELECT g, 1, ((random() - 0.5) * 10::numeric ^ (g % 40 - 20))::numeric(60, 30) * 10::numeric ^ (g % 7),
           jsonb_build_object('k' || g % 5, repeat(chr(32 + g % 90), g % 50), 'n', (random() * 10::numeric ^ (g % 30 - 10))::numeric, 'nested',
                              jsonb_build_array(g, NULL, g % 2 = 0, jsonb_build_object('deep', jsonb_build_array('é"\', g::text, '{}'::jsonb, '[]'::jsonb)), ''),
                              repeat('long key ', g % 20), g)
      FROM generate_series(1, 400) g;
INSERT INTO corpus SELECT 400 + g, 1, v::numeric, '[]' FROM unnest(ARRAY['0', '0.000', '1', '-1', '10000', '9999', '0.0001', '1e100', '1e-100', '10000.0001', '99999999.99999999', '-Infinity', '1e1000']) WITH ORDINALITY AS t(v, g);
INSERT INTO corpus SELECT 420 + g, 1, 0, jsonb_build_array(repeat('x', g * 1000), (SELECT jsonb_agg(i) FROM generate_series(1, g * 100) i), (SELECT jsonb_object_agg('key ' || i, i) FROM generate_series(1, g * 10) i)) FROM generate_series(1, 20) g;
-- What JSON cannot hold exactly as a number comes as a string.
SELECT count(*) AS rows, count(*) FILTER (WHERE c.new ->> 'n' = t.n::text) AS numerics, count(*) FILTER (WHERE (c.new -> 'jb')::text = t.jb::text) AS jsonbs
  FROM changes('types', 'corpus') c JOIN corpus t ON t.id = (c.new ->> 'id')::int WHERE c.kind = 'insert';

SELECT pg_drop_replication_slot('types');
DROP PUBLICATION types, corpus, more, vectors;
DROP TABLE everything, corpus, more, vectors;
DROP DOMAIN tags;
DROP EXTENSION citext;
DROP TYPE mood, pair;
DROP DOMAIN positive;
