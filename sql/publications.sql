-- The context of an error has an LSN.
\set SHOW_CONTEXT never
CREATE SCHEMA shop;
CREATE TABLE shop.item (id int PRIMARY KEY, account_id int, price int);
CREATE TABLE other (id int PRIMARY KEY, account_id int);
CREATE TABLE measure (id int, account_id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE measure_2025 PARTITION OF measure FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE measure_2026 (at date NOT NULL, account_id int, id int NOT NULL, dropped int, PRIMARY KEY (id, at));
ALTER TABLE measure_2026 DROP COLUMN dropped;
ALTER TABLE measure ATTACH PARTITION measure_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA shop;
CREATE PUBLICATION inserts FOR TABLE other WITH (publish = 'insert');
CREATE PUBLICATION leaves FOR TABLE measure;
CREATE PUBLICATION root FOR TABLE measure WITH (publish_via_partition_root = true);
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT FROM pg_create_logical_replication_slot('in_schema', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('inserts', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('leaves', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('root', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('everything', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('two', 'fatwal');

-- FOR ALL TABLES refuses an update of a table without identity, so all have a key.
INSERT INTO shop.item VALUES (1, 7, 10);
INSERT INTO other VALUES (1, 7);
UPDATE other SET id = 2;
DELETE FROM other;
INSERT INTO measure VALUES (1, 7, '2025-05-05'), (2, 7, '2026-05-05');
UPDATE measure SET account_id = 8 WHERE id = 2;
TRUNCATE measure_2025;
TRUNCATE measure;
SELECT fatwal.set_account_column('other', 'id');
SELECT fatwal.clear_account_column('other');

SELECT kind, relation, account, new FROM changes('in_schema', 'in_schema');
SELECT kind, relation, account, new FROM changes('inserts', 'inserts');
SELECT kind, relation, account, new FROM changes('leaves', 'leaves') WHERE kind <> 'schema';
SELECT kind, relation, account, new FROM changes('root', 'root') WHERE kind <> 'schema';
SELECT kind, relation, account, new FROM changes('everything', 'everything') WHERE kind NOT IN ('schema', 'end');
SELECT kind, relation, account, new FROM changes('two', 'in_schema, inserts') WHERE kind <> 'schema';

-- A table that joins or leaves the publication does so from that transaction on.
INSERT INTO other VALUES (3, 7);
ALTER PUBLICATION in_schema ADD TABLE other;
INSERT INTO other VALUES (4, 7);
ALTER PUBLICATION in_schema DROP TABLE other;
INSERT INTO other VALUES (5, 7);
SELECT kind, relation, account, new FROM changes('in_schema', 'in_schema') WHERE kind <> 'schema';

-- A column list: what is not listed is in neither the schema nor the rows.
CREATE TABLE wide (id int PRIMARY KEY, secret text, account_id int, dropped int, note text);
ALTER TABLE wide DROP COLUMN dropped;
CREATE PUBLICATION listed FOR TABLE wide (note, id, account_id);
CREATE PUBLICATION listed_otherwise FOR TABLE wide (id, account_id);
CREATE PUBLICATION listed_whole FOR TABLE wide (id, secret, account_id, note);
CREATE PUBLICATION not_listed FOR TABLE wide;
CREATE PUBLICATION without_account FOR TABLE wide (id, secret) WHERE (id > 1);
CREATE PUBLICATION listed_root FOR TABLE measure (id, account_id, at) WITH (publish_via_partition_root = true);
SELECT FROM pg_create_logical_replication_slot('lists', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('lists_2', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('lists_3', 'fatwal');
INSERT INTO wide VALUES (1, 'secret', 7, 'a');
UPDATE wide SET note = 'b', secret = 'more';
UPDATE wide SET id = 2;
DELETE FROM wide;
SELECT kind, relation, account, new, old, unavailable FROM changes('lists', 'listed');
SELECT count(*) FROM changes('lists_2', 'listed, listed_otherwise');
SELECT count(*) FROM changes('lists_2', 'not_listed, listed');
SELECT count(*) FROM changes('lists_2', 'everything, listed');
SELECT count(*) FROM changes('lists_2', 'without_account');
SELECT kind, new FROM changes('lists_2', 'listed_whole, not_listed') WHERE kind <> 'schema';
-- An ancestor's list, for leaves whose columns have other numbers; it follows the publication.
ALTER TABLE measure ADD COLUMN extra int DEFAULT 5;
INSERT INTO measure VALUES (11, 7, '2025-05-05'), (12, 7, '2026-05-05');
ALTER PUBLICATION listed_root DROP TABLE measure;
ALTER PUBLICATION listed_root ADD TABLE measure;
INSERT INTO measure VALUES (13, 7, '2026-05-05');
SELECT kind, relation, account, new FROM changes('lists_3', 'listed_root');

-- A row filter, for each action that the publication publishes.
CREATE PUBLICATION filtered FOR TABLE other WHERE (id > 100);
CREATE PUBLICATION low FOR TABLE other WHERE (id < 10) WITH (publish = 'insert');
CREATE PUBLICATION all_deletes FOR TABLE other WITH (publish = 'delete');
CREATE PUBLICATION filtered_root FOR TABLE measure WHERE (id > 100) WITH (publish_via_partition_root = true);
SELECT FROM pg_create_logical_replication_slot('filters', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('filters_2', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('filters_3', 'fatwal');
SELECT FROM pg_create_logical_replication_slot('filters_4', 'fatwal');
INSERT INTO other VALUES (6, 7), (50, 7), (101, 7), (102, 8), (103, NULL);
UPDATE other SET account_id = 9 WHERE id IN (6, 102);
UPDATE other SET id = 106 WHERE id = 6;
UPDATE other SET id = 1 WHERE id = 101;
UPDATE other SET id = id + 1000 WHERE id > 100;
UPDATE other SET id = 51 WHERE id = 50;
DELETE FROM other;
SELECT kind, account, new, old, unavailable FROM changes('filters', 'filtered');
SELECT kind, account, new, old, unavailable FROM changes('filters_2', 'filtered, low, all_deletes') WHERE kind <> 'schema';
SELECT count(*) FROM changes('filters_3', 'filtered, everything') WHERE kind <> 'schema';
INSERT INTO measure VALUES (99, 7, '2025-05-05'), (101, 7, '2026-05-05');
UPDATE measure SET id = id + 2 WHERE id >= 99;
SELECT kind, relation, account, new, old FROM changes('filters_4', 'filtered_root') WHERE kind <> 'schema';
-- The whole old row, the account moved, TOAST left alone, and null is no.
CREATE TABLE long (id int PRIMARY KEY, account_id int, big text, ok bool);
ALTER TABLE long REPLICA IDENTITY FULL;
ALTER TABLE long ALTER big SET STORAGE EXTERNAL;
CREATE PUBLICATION ok FOR TABLE long WHERE (ok AND length(big) > 5000);
INSERT INTO long VALUES (1, 7, repeat('x', 9000), true), (2, 7, repeat('x', 9000), NULL), (3, 7, 'short', true);
UPDATE long SET account_id = 8;
UPDATE long SET ok = ok IS NULL, account_id = 9;
SELECT kind, account, new->'id' AS new, length(new->>'big') AS new_big, old->'id' AS old, length(old->>'big') AS old_big, unavailable FROM changes('filters_4', 'ok') WHERE kind <> 'schema';
-- A filter on an identity in TOAST, under an index.
CREATE TABLE long_key (id int, account_id int NOT NULL, key text NOT NULL, n int);
ALTER TABLE long_key ALTER key SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX long_key_key ON long_key (account_id, key);
ALTER TABLE long_key REPLICA IDENTITY USING INDEX long_key_key;
CREATE PUBLICATION long_key FOR TABLE long_key WHERE (length(key) > 2100);
INSERT INTO long_key VALUES (1, 7, repeat('x', 2200), 1);
UPDATE long_key SET n = 2;
UPDATE long_key SET account_id = 8;
SELECT kind, account, length(new->>'key') AS new, length(old->>'key') AS old, new->'n' AS n, unavailable FROM changes('filters_4', 'long_key') WHERE kind <> 'schema';
-- A publication that does not exist is refused.
SELECT * FROM changes('filters', 'missing');

SELECT count(*) FROM (SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()) s;
DROP PUBLICATION in_schema, inserts, leaves, root, everything, filtered, low, all_deletes, filtered_root, ok, long_key, listed, listed_otherwise, listed_whole, not_listed, without_account, listed_root;
DROP TABLE shop.item, other, measure, wide, long, long_key;
DROP SCHEMA shop;
