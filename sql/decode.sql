-- fatwal.decode reads bytes that anybody may have made.
\set SHOW_CONTEXT never
CREATE FUNCTION le(n bigint, bytes int) RETURNS bytea LANGUAGE sql AS
    $$ SELECT string_agg(set_byte('\x00', 0, ((n >> (8 * i)) & 255)::int), '' ORDER BY i) FROM generate_series(0, bytes - 1) AS i $$;
CREATE FUNCTION padded(part bytea) RETURNS bytea LANGUAGE sql AS
    $$ SELECT part || decode(repeat('00', (8 - length(part) % 8) % 8), 'hex') $$;
-- A record without rows; what it holds follows its header.
CREATE FUNCTION record(op text, flags int, body bytea DEFAULT '', relation int DEFAULT 65535) RETURNS bytea LANGUAGE sql AS
    $$ SELECT le(16 + length(padded(body)), 4) || le(0, 4) || le(relation, 2) || op::bytea || le(flags, 1) || le(0, 4) || padded(body) $$;
CREATE FUNCTION message(prefix bytea, content bytea, flags int DEFAULT 0) RETURNS bytea LANGUAGE sql AS
    $$ SELECT record('M', flags, le(length(prefix), 4) || le(length(content), 4) || prefix || content) $$;
-- A frame of one account and at most one relation, which the 8 bytes of its schema's id name.
CREATE FUNCTION frame(kind int, account bytea, records bytea[] DEFAULT '{}', relation bytea DEFAULT '', commit_time bytea DEFAULT le(0, 8))
    RETURNS bytea LANGUAGE sql AS
    $$ SELECT '\x4601'::bytea || le(3, 2) || le(7, 4) || le(16, 8) || le(24, 8) || commit_time || le(relations + length(relation), 4) ||
              le(cardinality(records), 4) || le(relations, 4) || le(length(relation) / 8, 2) || le(kind, 1) || le(length(account), 1) ||
              padded(account) || body || relation
         FROM (SELECT coalesce(string_agg(r, '' ORDER BY i), ''), 48 + length(padded(account)) + coalesce(sum(length(r)), 0)
                 FROM unnest(records) WITH ORDINALITY AS u (r, i)) AS made (body, relations) $$;

-- All text is checked before it is text; SQLSTATEs.
SELECT kind, account, commit_ts = '2000-01-01 00:00+00' AS at_2000, last, unavailable FROM fatwal.decode(frame(4, 'Zoë'));
SELECT kind, account, unavailable FROM fatwal.decode(frame(4, E'two\nlines'));
\set VERBOSITY sqlstate
SELECT * FROM fatwal.decode(frame(4, '\xfffe'));
SELECT * FROM fatwal.decode(frame(4, '\x610062'));
SELECT * FROM fatwal.decode(frame(4, '\xf4'));
SELECT * FROM fatwal.decode(frame(4, 'a') || '\x00'::bytea);
SELECT * FROM fatwal.decode(frame(4, 'a') || substr(frame(4, 'b'), 1, 50));
SELECT * FROM fatwal.decode('');
SELECT * FROM fatwal.decode(frame(3, le(7, 8), ARRAY[record('R', 0, '', 0)], '\x0100000001000000'));
\set VERBOSITY default

-- Messages: what does not read is left out and named, beside others that do.
SELECT kind, account, new, unavailable FROM fatwal.decode(frame(3, le(7, 8), ARRAY[
    message('topic', E'{"a":\n1}', 8), message('topic', E'1}\n{"kind":"insert"', 8), message('topic', '\xff', 8),
    message('topic', '1,"topic":"other"', 8), message('plain', '\x00ff'), message(E'line\nbreak\x7f', ''), message('large', '', 16),
    message('\xff', ''), record('M', 0, '\xffffffff'), message('last', convert_to(U&'"\2028\0085"', 'UTF8'), 8)]));
SELECT kind, commit_ts, unavailable FROM fatwal.decode(frame(0, '', ARRAY[message('a', '')], '', '\xfeffffffffffff7f'));

-- Resyncs of all tables and of one, a change without its account, a row that is none beside one that is.
CREATE TABLE known (id int PRIMARY KEY, account_id int);
ALTER TABLE known REPLICA IDENTITY FULL;
CREATE PUBLICATION known FOR TABLE known;
CREATE TABLE odd (id int PRIMARY KEY, account_id int, j json, jb jsonb, deep json);
CREATE PUBLICATION odd FOR TABLE odd;
CREATE TABLE chars (id int PRIMARY KEY, account_id int, c "char", t text);
CREATE PUBLICATION chars FOR TABLE chars;
DO $$ BEGIN
    EXECUTE 'CREATE TABLE wide (id int, ' || (SELECT string_agg(format('%I int', rpad('column_' || g || '_', 63, 'x')), ', ') FROM generate_series(1, 1500) AS g) || ')';
END $$;
CREATE PUBLICATION wide FOR TABLE wide;
SELECT FROM pg_create_logical_replication_slot('decode', 'fatwal');
INSERT INTO known VALUES (1, 7);
CREATE TEMP TABLE stream AS SELECT row_number() OVER () AS n, data FROM pg_logical_slot_get_binary_changes('decode', NULL, NULL, 'publication_names', 'known');
SELECT kind, relation FROM stream, fatwal.decode(data) WHERE n = 1;
SELECT kind, relation, account, new, unavailable
  FROM (SELECT substr(data, 5, 8) AS id FROM stream WHERE n = 1) AS s,
       fatwal.decode(frame(1, '', ARRAY[record('R', 0), record('R', 0, '', 0), record('T', 32, '', 0), record('I', 0, 'no row', 0), record('R', 0)], id));

-- Several messages one behind the other, as the plugin writes them, are what they are one by one.
INSERT INTO known SELECT g, g % 3 FROM generate_series(2, 30) AS g;
UPDATE known SET account_id = account_id + 1;
INSERT INTO stream SELECT 100 + row_number() OVER (), data FROM pg_logical_slot_get_binary_changes('decode', NULL, NULL, 'publication_names', 'known');
CREATE TEMP TABLE apart AS SELECT row_number() OVER () AS n, d.*, d.new::text AS new_text, d.old::text AS old_text FROM (SELECT data FROM stream ORDER BY n) AS s, fatwal.decode(data) AS d;
CREATE TEMP TABLE together AS SELECT row_number() OVER () AS n, d.*, d.new::text AS new_text, d.old::text AS old_text FROM (SELECT string_agg(data, '' ORDER BY n) AS data FROM stream) AS s, fatwal.decode(data) AS d;
ALTER TABLE apart DROP new, DROP old;
ALTER TABLE together DROP new, DROP old;
SELECT count(*) AS events FROM together;
SELECT count(*) AS different FROM ((TABLE apart EXCEPT TABLE together) UNION ALL (TABLE together EXCEPT TABLE apart)) AS d;

-- Legal JSON comes through as it is.
INSERT INTO odd VALUES (1, 7, '"\u0000"'), (2, 7, '1e999999'), (3, 7, '"\ud800"'), (4, 7, E'{"a":\n[1,\r\n2]}');
INSERT INTO odd VALUES (5, 7, NULL, (repeat('[', 1100) || repeat(']', 1100))::jsonb, NULL), (6, 7, NULL, (repeat('{"a":', 5000) || '1' || repeat('}', 5000))::jsonb, (repeat('[', 5000) || repeat(']', 5000))::json);
SELECT kind, CASE WHEN length(new::text) < 100 THEN new END AS new, length(new::text), unavailable FROM changes('decode', 'odd');
-- One bad value costs its column: a "char" need not be UTF-8.
INSERT INTO chars VALUES (1, 7, (-1)::int4::"char", 'good');
SELECT kind, new - 'c' AS new, coalesce(unavailable, ARRAY[(new::text::json ->> 'c')]) IN ('{new.c}', '{\\377}') AS marked
  FROM (SELECT kind, new::jsonb AS new, unavailable FROM changes('decode', 'chars') WHERE kind = 'insert') AS c;

-- A cancel does not wait for the end of a large message.
CREATE TEMP TABLE large AS SELECT '\x4601'::bytea || le(3, 2) || le(0, 4) || le(0, 24) || le(48 + 24 * n, 4) || le(n, 4) || le(48 + 24 * n, 4) || le(0, 4) ||
    decode(repeat('1800000000000000ffff4d00000000000000000000000000', n::int), 'hex') AS data FROM (VALUES (1000000::bigint)) AS v (n);
SELECT clock_timestamp() AS start \gset
SET statement_timeout = '100ms';
SELECT count(*) FROM large, fatwal.decode(data);
RESET statement_timeout;
SELECT clock_timestamp() - :'start' < '8 s' AS soon;

-- The session's memory of schemas is bounded, and what was forgotten says so.
DO $$ BEGIN
    FOR i IN 1..150 LOOP
        EXECUTE format('ALTER TABLE wide RENAME %I TO %I', CASE WHEN i = 1 THEN 'id' ELSE 'id' || i - 1 END, 'id' || i);
        EXECUTE format('INSERT INTO wide (%I) VALUES (%s)', 'id' || i, i);
        COMMIT;
    END LOOP;
END $$;
CREATE TEMP TABLE schemas AS SELECT row_number() OVER () AS n, data FROM pg_logical_slot_get_binary_changes('decode', NULL, NULL, 'publication_names', 'wide');
SELECT count(*) FILTER (WHERE kind = 'schema') AS schemas, count(*) FILTER (WHERE kind = 'insert') AS inserts, sum(length(data)) > 18000000 AS large
  FROM (SELECT data FROM schemas ORDER BY n) AS s, fatwal.decode(data);
SELECT sum(total_bytes) < 18000000 AS bounded FROM pg_backend_memory_contexts WHERE name = 'fatwal decoded schemas';
\set VERBOSITY sqlstate
SELECT * FROM schemas, fatwal.decode(data) WHERE n = 2;
\set VERBOSITY default

SELECT pg_drop_replication_slot('decode');
DROP PUBLICATION known, odd, chars, wide;
DROP TABLE known, odd, chars, wide;
DROP FUNCTION le, padded, record, message, frame;
