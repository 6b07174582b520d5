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

-- Row filters and column lists are refused, not ignored.
CREATE PUBLICATION filtered FOR TABLE other WHERE (id > 100);
CREATE PUBLICATION listed FOR TABLE other (id);
CREATE PUBLICATION filtered_root FOR TABLE measure WHERE (id > 100) WITH (publish_via_partition_root = true);
SELECT FROM pg_create_logical_replication_slot('filters', 'fatwal');
INSERT INTO other VALUES (6, 7);
SELECT * FROM changes('filters', 'filtered');
SELECT * FROM changes('filters', 'listed');
SELECT count(*) FROM changes('filters', 'in_schema');
INSERT INTO measure VALUES (101, 7, '2026-05-05');
SELECT * FROM changes('filters', 'filtered_root');
-- So is a publication that does not exist.
SELECT * FROM changes('filters', 'missing');

SELECT count(*) FROM (SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()) s;
DROP PUBLICATION in_schema, inserts, leaves, root, everything, filtered, listed, filtered_root;
DROP TABLE shop.item, other, measure;
DROP SCHEMA shop;
