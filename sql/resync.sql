-- What the stream cannot tell by rows it tells by a resync of the table: at the end of the transaction, to whom it concerns.
\set SHOW_CONTEXT never
CREATE TABLE plain (id int PRIMARY KEY, account_id int, note text);
CREATE TABLE shared (id int PRIMARY KEY, note text);
CREATE TABLE keyed (id int, account_id int NOT NULL, note text);
CREATE UNIQUE INDEX keyed_identity ON keyed (id, account_id);
ALTER TABLE keyed ALTER id SET NOT NULL;
ALTER TABLE keyed REPLICA IDENTITY USING INDEX keyed_identity;
CREATE PUBLICATION resync FOR TABLE plain, shared, keyed;
SELECT FROM pg_create_logical_replication_slot('resync', 'fatwal');

-- No whole old row: an update may have moved the row out of another account, a delete names none. Once for each transaction.
INSERT INTO plain VALUES (1, 7, 'a'), (2, 7, 'b');
BEGIN;
UPDATE plain SET account_id = 8 WHERE id = 1;
UPDATE plain SET note = 'c' WHERE id = 2;
DELETE FROM plain WHERE id = 1;
COMMIT;
SELECT kind, relation, account, ordinal, last, new, old, unavailable FROM changes('resync', 'resync') WHERE kind <> 'schema';
-- A table without accounts is the operators'; an identity that has the account column is enough.
INSERT INTO shared VALUES (1, 'a');
UPDATE shared SET note = 'b';
DELETE FROM shared;
INSERT INTO keyed VALUES (1, 7, 'a'), (2, 7, 'b');
UPDATE keyed SET note = 'c';
UPDATE keyed SET account_id = 8 WHERE id = 1;
DELETE FROM keyed;
SELECT kind, relation, account, new, old FROM changes('resync', 'resync') WHERE kind <> 'schema';
ALTER TABLE plain REPLICA IDENTITY FULL;
UPDATE plain SET account_id = 8;
DELETE FROM plain;
SELECT kind, relation, account, new, old FROM changes('resync', 'resync') WHERE kind <> 'schema';

-- DDL that sends rows elsewhere. The names of what is done stand between the changes.
CREATE FUNCTION done(what text) RETURNS void LANGUAGE sql AS $$ SELECT FROM pg_logical_emit_message(true, 'done', what) $$;
CREATE FUNCTION resyncs(publications text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT CASE WHEN kind = 'message' THEN convert_from((new->>'content')::bytea, 'UTF8')
                ELSE concat_ws(' ', '   ', kind, coalesce(relation, 'all'), coalesce(account, 'operators'), new) END
      FROM changes('resync', publications) WHERE kind NOT IN ('schema', 'end')
$$;
INSERT INTO plain VALUES (1, 7, 'a');
\o /dev/null
SELECT done('set the account column'); SELECT fatwal.set_account_column('plain', 'note');
SELECT done('set it as it is'); SELECT fatwal.set_account_column('plain', 'note');
SELECT done('rename the labelled column'); ALTER TABLE plain RENAME note TO remark;
SELECT done('back to the default'); SELECT fatwal.clear_account_column('plain');
SELECT done('rename the default column'); ALTER TABLE plain RENAME account_id TO tenant_id;
SELECT done('and back'); ALTER TABLE plain RENAME tenant_id TO account_id;
SELECT done('add a column'); ALTER TABLE plain ADD COLUMN extra int;
SELECT done('add a column with a default'); ALTER TABLE plain ADD COLUMN given int DEFAULT 5;
SELECT done('compute values anew'); ALTER TABLE plain ALTER remark TYPE text USING upper(remark);
SELECT done('add a column with a default of its own for each row'); ALTER TABLE plain ADD COLUMN each float DEFAULT random();
SELECT done('rename the table'); ALTER TABLE plain RENAME TO plainer;
SELECT done('analyze, grant, index'); ANALYZE plainer; GRANT SELECT ON plainer TO PUBLIC; CREATE INDEX i ON plainer (extra);
SELECT done('truncate and rewrite'); TRUNCATE plainer; VACUUM FULL plainer;
SELECT done('a temporary table'); CREATE TEMPORARY TABLE passing (id int); DROP TABLE passing;
SELECT done('rolled back'); BEGIN; ALTER PUBLICATION resync DROP TABLE plainer; ROLLBACK;
SELECT done('leave the publication'); ALTER PUBLICATION resync DROP TABLE plainer; ALTER PUBLICATION resync DROP TABLE shared;
SELECT done('join it with a filter'); ALTER PUBLICATION resync ADD TABLE plainer WHERE (id > 1);
SELECT done('another filter'); ALTER PUBLICATION resync SET TABLE plainer WHERE (id > 2), keyed;
SELECT done('another publication of all tables'); CREATE PUBLICATION others FOR ALL TABLES; DROP PUBLICATION others;
SELECT done('publish less'); ALTER PUBLICATION resync SET (publish = 'insert');
SELECT done('another name'); ALTER PUBLICATION resync RENAME TO other_name; ALTER PUBLICATION other_name RENAME TO resync;
SELECT done('made, filled and published in one transaction');
BEGIN;
CREATE TABLE late (id int PRIMARY KEY, account_id int);
INSERT INTO late VALUES (1, 7);
ALTER PUBLICATION resync ADD TABLE late;
INSERT INTO late VALUES (2, 7);
COMMIT;
SELECT done('made and published empty');
BEGIN;
CREATE TABLE empty (id int PRIMARY KEY, account_id int);
ALTER PUBLICATION resync ADD TABLE empty;
INSERT INTO empty VALUES (1, 7);
COMMIT;
SELECT done('dropped'); DROP TABLE plainer;
\o
SELECT * FROM resyncs('resync');

-- Partitions under the root's name.
CREATE TABLE root (id int, tenant text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE mid PARTITION OF root FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF mid FOR VALUES FROM (0) TO (50);
SELECT fatwal.set_account_column('root', 'tenant');
CREATE PUBLICATION roots FOR TABLE root WITH (publish_via_partition_root = true);
SELECT pg_replication_slot_advance('resync', pg_current_wal_lsn()) IS NOT NULL AS advanced;
INSERT INTO root VALUES (1, 'acme');
SELECT done('a new partition, empty'); CREATE TABLE leaf_2 PARTITION OF mid FOR VALUES FROM (50) TO (100);
INSERT INTO root VALUES (51, 'acme');
SELECT done('truncate a partition'); TRUNCATE leaf;
SELECT done('truncate all'); TRUNCATE root;
SELECT done('detach'); ALTER TABLE root DETACH PARTITION mid;
SELECT done('what is detached is nobody''s'); INSERT INTO leaf VALUES (2, 'acme');
SELECT done('attach'); ALTER TABLE root ATTACH PARTITION mid FOR VALUES FROM (0) TO (100);
SELECT done('drop a partition'); DROP TABLE leaf_2;
SELECT done('made, filled and attached in one transaction');
BEGIN;
CREATE TABLE leaf_3 (id int NOT NULL, tenant text);
INSERT INTO leaf_3 VALUES (60, 'acme');
ALTER TABLE mid ATTACH PARTITION leaf_3 FOR VALUES FROM (50) TO (100);
COMMIT;
SELECT done('drop the root'); DROP TABLE root;
SELECT * FROM resyncs('roots');

-- Partitions by their own names: an ancestor that moves into a published schema publishes them, in a session that has their plans.
CREATE SCHEMA published;
CREATE TABLE root (id int, tenant text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF root DEFAULT;
CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA published;
SELECT pg_replication_slot_advance('resync', pg_current_wal_lsn()) IS NOT NULL AS advanced;
INSERT INTO leaf VALUES (1, 'acme');
SELECT done('the root moves'); ALTER TABLE root SET SCHEMA published;
INSERT INTO leaf VALUES (2, 'acme');
SELECT done('the root has an account column'); SELECT fatwal.set_account_column('published.root', 'tenant');
INSERT INTO leaf VALUES (3, 'acme');
SELECT * FROM resyncs('in_schema');

-- More tables than records are written for: one for all.
CREATE SCHEMA many;
CREATE PUBLICATION many FOR TABLES IN SCHEMA many;
DO $$ BEGIN FOR i IN 1..65 LOOP EXECUTE format('CREATE TABLE many.t%s (account_id int)', i); END LOOP; END $$;
SELECT pg_replication_slot_advance('resync', pg_current_wal_lsn()) IS NOT NULL AS advanced;
SET client_min_messages = warning;
DROP SCHEMA many CASCADE;
RESET client_min_messages;
SELECT kind, relation, account, last FROM changes('resync', 'many') WHERE kind <> 'schema';

SELECT pg_drop_replication_slot('resync');
DROP PUBLICATION resync, roots, in_schema, many;
DROP SCHEMA published CASCADE;
DROP TABLE shared, keyed, late, empty;
DROP FUNCTION done, resyncs;
