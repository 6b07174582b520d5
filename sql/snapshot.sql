\set SHOW_CONTEXT never
-- One message a row, decoded; a snapshot has neither LSN nor xid.
CREATE FUNCTION rows(account text, publication text, OUT kind text, OUT relation text, OUT account text, OUT ordinal bigint, OUT last text, OUT new json)
    RETURNS SETOF record LANGUAGE sql AS $$
    SELECT d.kind, d.relation, d.account, d.ordinal, d.last, d.new
      FROM fatwal.snapshot($1, $2) AS m, fatwal.decode(m) AS d
$$;

CREATE DOMAIN tenant AS int;
CREATE TABLE by_uuid (id int PRIMARY KEY, account_id uuid, dropped int, t text);
ALTER TABLE by_uuid DROP COLUMN dropped;
CREATE TABLE by_int2 (id int PRIMARY KEY, account_id int2);
CREATE TABLE by_domain (id int PRIMARY KEY, account_id tenant);
CREATE TABLE by_int8 (id int PRIMARY KEY, account_id int8);
CREATE TABLE by_text (id int PRIMARY KEY, account_id text);
CREATE TABLE by_bpchar (id int PRIMARY KEY, account_id char(40));
CREATE TABLE by_varchar (id int PRIMARY KEY, account_id varchar(50));
CREATE TABLE by_none (id int PRIMARY KEY);
CREATE PUBLICATION everything FOR ALL TABLES;

INSERT INTO by_uuid VALUES (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'mine'), (2, NULL, 'nobody''s'), (3, 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'another''s');
INSERT INTO by_int2 VALUES (1, 42), (2, 43);
INSERT INTO by_domain VALUES (1, 42), (2, NULL);
INSERT INTO by_int8 VALUES (1, 42), (2, 9000000000);
INSERT INTO by_text VALUES (1, '42'), (2, 'A0EEBC99-9C0B-4EF8-bb6d-6bb9bd380a11'), (3, 'acme'), (4, '042'), (5, repeat('x', 256)), (6, NULL), (7, 'Acme');
INSERT INTO by_bpchar VALUES (1, '42'), (2, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (3, 'acme');
INSERT INTO by_varchar VALUES (1, '42'), (2, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (3, 'acme');
INSERT INTO by_none VALUES (1);

-- An account is the same one in whatever type its key is written.
SELECT * FROM rows('42', 'everything') WHERE kind <> 'schema';
SELECT * FROM rows('A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'everything') WHERE kind <> 'schema';
SELECT * FROM rows('acme', 'everything') WHERE kind <> 'schema';
SELECT * FROM rows('9000000000', 'everything') WHERE kind <> 'schema';
-- What belongs to nobody.
SELECT relation, (new->>'id')::int AS id FROM rows(NULL, 'everything') WHERE kind = 'insert' ORDER BY 1, 2;
-- No rows: the end alone.
SELECT * FROM rows('nobody', 'everything');
SELECT * FROM rows('042', 'everything') WHERE kind <> 'schema';

-- The rows are those that the stream sends, and so are the schemas, to the byte.
SELECT FROM pg_create_logical_replication_slot('s', 'fatwal');
CREATE TABLE all_types (id int PRIMARY KEY, account_id int, b bool, n numeric, t text, j jsonb, a int[], ts timestamptz, big text);
ALTER TABLE all_types ALTER big SET STORAGE EXTERNAL;
INSERT INTO all_types SELECT g, 1, g % 2 = 0, g / 7.0, repeat('é', g), jsonb_build_object('g', g), ARRAY[g, NULL], '2026-11-24 12:00+00'::timestamptz + g * interval '1 s',
    repeat(md5(g::text), CASE WHEN g % 50 = 0 THEN 3000 END) FROM generate_series(1, 1000) g;
CREATE TEMP TABLE streamed AS SELECT data FROM pg_logical_slot_get_binary_changes('s', NULL, NULL, 'publication_names', 'everything');
CREATE TEMP TABLE taken AS SELECT fatwal.snapshot('1', 'everything') AS data;
SELECT count(*) FROM streamed JOIN taken USING (data);
SELECT count(*) AS rows, bool_and(s.new::jsonb = t.new::jsonb) AS equal, max(length(t.new->>'big')) AS longest
  FROM (SELECT d.* FROM streamed, fatwal.decode(data) d) s JOIN (SELECT d.* FROM taken, fatwal.decode(data) d) t
       ON s.kind = 'insert' AND t.kind = 'insert' AND s.new->>'id' = t.new->>'id' AND t.unavailable IS NULL;
-- Frames are cut, only the last closes, ordinals go on.
SELECT count(*) > 5 AS many, max(length(data)) < 1000000 AS bounded FROM taken;
SELECT count(*) FILTER (WHERE last IS NOT NULL) AS ends, min(ordinal), max(ordinal), count(DISTINCT ordinal) FROM taken, fatwal.decode(data) WHERE kind <> 'schema';
SELECT pg_drop_replication_slot('s');

-- In the caller's snapshot, however long it is read.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM rows('42', 'everything') WHERE kind = 'insert';
DECLARE c CURSOR FOR SELECT fatwal.snapshot('42', 'everything');
MOVE 2 IN c;
ALTER TABLE by_int2 ADD COLUMN added int DEFAULT 7;
INSERT INTO by_int8 VALUES (3, 42);
SELECT count(*) FROM rows('42', 'everything') WHERE kind = 'insert';
ROLLBACK;

-- Partitions by their own names, or by their root's.
CREATE TABLE measure (id int, account_id int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE measure_low PARTITION OF measure FOR VALUES FROM (0) TO (10);
CREATE TABLE measure_high (dropped int, account_id int, id int NOT NULL, PRIMARY KEY (id));
ALTER TABLE measure_high DROP COLUMN dropped;
ALTER TABLE measure ATTACH PARTITION measure_high FOR VALUES FROM (10) TO (20);
CREATE TABLE parent (id int PRIMARY KEY, account_id int);
CREATE TABLE child () INHERITS (parent);
INSERT INTO measure VALUES (1, 7), (11, 7), (12, 8);
INSERT INTO parent VALUES (1, 7);
INSERT INTO child VALUES (2, 7);
CREATE PUBLICATION leaves FOR TABLE measure, parent;
CREATE PUBLICATION root FOR TABLE measure WITH (publish_via_partition_root = true);
SELECT kind, relation, new FROM rows('7', 'leaves') WHERE kind <> 'schema';
SELECT kind, relation, new FROM rows('7', 'root') WHERE kind <> 'schema';
SELECT kind, relation, new FROM rows('7', 'leaves, root') WHERE kind <> 'schema';

-- Row filters and column lists hold, as in the stream.
CREATE PUBLICATION filtered FOR TABLE by_text WHERE (id > 3), by_varchar WHERE (id = 1 OR id = 2);
CREATE PUBLICATION low FOR TABLE by_text WHERE (id < 3);
SELECT relation, new FROM rows('042', 'filtered') WHERE kind <> 'schema';
SELECT relation, new FROM rows('42', 'filtered') WHERE kind <> 'schema';
SELECT relation, new FROM rows('42', 'filtered, low') WHERE kind <> 'schema';
SELECT relation, (new->>'id')::int AS id FROM rows(NULL, 'filtered') WHERE kind = 'insert';
SELECT count(*) FROM rows('42', 'filtered, everything') WHERE kind = 'insert';
CREATE TABLE "wide Table" (id int PRIMARY KEY, secret text, account_id int, dropped int, "the Note" text);
ALTER TABLE "wide Table" DROP COLUMN dropped;
INSERT INTO "wide Table" VALUES (1, 'secret', 42, 'a'), (2, 'secret', 42, 'b'), (3, 'secret', 43, 'c');
CREATE PUBLICATION listed FOR TABLE "wide Table" (id, "the Note", account_id) WHERE ("the Note" <> 'b' OR id = 7);
SELECT kind, relation, new FROM rows('42', 'listed');
CREATE PUBLICATION filtered_root FOR TABLE measure (id, account_id) WHERE (id > 10) WITH (publish_via_partition_root = true);
SELECT kind, relation, new FROM rows('7', 'filtered_root') WHERE kind <> 'schema';
CREATE PUBLICATION without_account FOR TABLE by_text (id);
SELECT * FROM rows('42', 'without_account');
SELECT * FROM rows('42', 'without_account, low');
SELECT * FROM rows('42', 'missing');
SELECT * FROM rows('42', '');
SELECT * FROM rows('42', NULL);
SELECT * FROM rows(repeat('x', 256), 'everything');
-- Only what the caller may read.
CREATE ROLE regress_fatwal_reader;
GRANT USAGE ON SCHEMA fatwal TO regress_fatwal_reader;
SET ROLE regress_fatwal_reader;
SELECT * FROM rows('42', 'everything');
RESET ROLE;
-- An index on the account column serves.
CREATE INDEX ON by_int8 (account_id);
CREATE INDEX ON by_varchar (account_id);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM ONLY by_int8 WHERE account_id OPERATOR(pg_catalog.=) '42'::text::int8;
EXPLAIN (COSTS OFF) SELECT * FROM ONLY by_varchar WHERE account_id::pg_catalog.text OPERATOR(pg_catalog.=) 'acme'::text;
RESET enable_seqscan;

-- A frame is closed when it is full, whatever the rows before it were like: small ones, then 20 of 1 MB.
CREATE TABLE docs (id int PRIMARY KEY, account_id int, body text);
INSERT INTO docs SELECT g, 7, 'small' FROM generate_series(1, 2000) g;
INSERT INTO docs SELECT 10000 + g, 7, repeat('x', 1000000) FROM generate_series(1, 20) g;
CREATE PUBLICATION docs FOR TABLE docs;
SELECT max(length(m)) / 1000000.0 < 1.2 AS bounded, count(*) > 20 AS many FROM fatwal.snapshot('7', 'docs') AS m;
-- Who does not read to the end leaves no cursor behind.
BEGIN;
SELECT length(fatwal.snapshot('7', 'docs')) > 0 AS begun LIMIT 1;
SELECT count(*) FROM pg_cursors;
SELECT length(fatwal.snapshot('7', 'docs')) > 0 AS begun LIMIT 1;
COMMIT;
DO $$
DECLARE
    m bytea;
BEGIN
    FOR i IN 1..3 LOOP
        FOR m IN SELECT fatwal.snapshot('7', 'docs') LOOP EXIT; END LOOP;
    END LOOP;
END
$$;
BEGIN;
DECLARE reader CURSOR FOR SELECT length(fatwal.snapshot('7', 'docs')) > 0;
FETCH 1 FROM reader;
SAVEPOINT s;
FETCH 1 FROM reader;
CLOSE reader;
SELECT count(*) FROM pg_cursors;
COMMIT;
DROP PUBLICATION docs;
DROP TABLE docs;

REVOKE USAGE ON SCHEMA fatwal FROM regress_fatwal_reader;
DROP ROLE regress_fatwal_reader;
DROP PUBLICATION everything, leaves, root, filtered, low, listed, filtered_root, without_account;
DROP TABLE by_uuid, by_int2, by_domain, by_int8, by_text, by_bpchar, by_varchar, by_none, all_types, measure, parent, child, streamed, taken, "wide Table";
DROP FUNCTION rows;
DROP DOMAIN tenant;
