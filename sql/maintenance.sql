-- What administrators do while changes wait in the slot: none of it may end the stream.
\set SHOW_CONTEXT never
CREATE TABLE kept (id int PRIMARY KEY, owner text);
CREATE PUBLICATION kept FOR TABLE kept WITH (publish = 'insert');
SELECT FROM pg_create_logical_replication_slot('kept', 'fatwal');
SELECT fatwal.set_account_column('kept', 'owner');
INSERT INTO kept VALUES (1, 'acme');
REINDEX TABLE pg_seclabel;
INSERT INTO kept VALUES (2, 'acme');
VACUUM FULL pg_seclabel;
INSERT INTO kept VALUES (3, 'acme');
SELECT kind, account, new FROM changes('kept', 'kept') WHERE kind <> 'schema';

-- The setting outlives the extension, and follows the column.
INSERT INTO kept VALUES (4, 'acme');
SET client_min_messages = error;
DROP EXTENSION fatwal;
INSERT INTO kept VALUES (5, 'acme');
CREATE EXTENSION fatwal;
RESET client_min_messages;
ALTER TABLE kept RENAME COLUMN owner TO tenant;
INSERT INTO kept VALUES (6, 'acme');
SELECT kind, account, new FROM changes('kept', 'kept') WHERE kind <> 'schema';
SELECT fatwal.account_column('kept');

-- The statement itself does the same as the function; one column of a table has the label.
ALTER TABLE kept ADD COLUMN other int;
SECURITY LABEL FOR fatwal ON COLUMN kept.other IS 'account';
SELECT objname, label FROM pg_seclabels WHERE provider = 'fatwal';
SECURITY LABEL FOR fatwal ON COLUMN kept.other IS 'something';
SECURITY LABEL FOR fatwal ON TABLE kept IS 'account';
CREATE VIEW shown AS SELECT * FROM kept;
SECURITY LABEL FOR fatwal ON COLUMN shown.other IS 'account';
SELECT fatwal.set_account_column('kept', 'ctid');
SELECT fatwal.clear_account_column('kept');
SELECT fatwal.account_column('kept');
-- The owner of a table may set its account column, others may not.
CREATE ROLE regress_fatwal_owner;
CREATE ROLE regress_fatwal_other;
GRANT USAGE ON SCHEMA fatwal TO regress_fatwal_owner, regress_fatwal_other;
ALTER TABLE kept OWNER TO regress_fatwal_owner;
SET ROLE regress_fatwal_other;
SELECT fatwal.set_account_column('kept', 'tenant');
SET ROLE regress_fatwal_owner;
-- Whatever the session's role of replication is: no trigger is needed.
RESET ROLE;
SET session_replication_role = replica;
SET ROLE regress_fatwal_owner;
SELECT fatwal.set_account_column('kept', 'tenant');
RESET ROLE;
RESET session_replication_role;
INSERT INTO kept VALUES (7, 'acme');
SELECT kind, account, new FROM changes('kept', 'kept') WHERE kind NOT IN ('schema', 'resync');
-- Writers wait for the one who sets it, and he for them.
BEGIN;
SELECT fatwal.set_account_column('kept', 'other');
SELECT mode FROM pg_locks WHERE relation = 'kept'::regclass AND pid = pg_backend_pid() ORDER BY mode;
ROLLBACK;

-- A publication that is dropped and made again: the changes between the two are published by nobody.
INSERT INTO kept VALUES (8, 'acme');
DROP PUBLICATION kept;
INSERT INTO kept VALUES (9, 'acme');
CREATE PUBLICATION kept FOR TABLE kept;
INSERT INTO kept VALUES (10, 'acme');
SELECT kind, relation, account, new FROM changes('kept', 'kept') WHERE kind <> 'schema';

-- A column list that leaves the account column out: the rows go to the operators, with a mark.
ALTER PUBLICATION kept SET TABLE kept (id);
INSERT INTO kept VALUES (11, 'acme');
SELECT fatwal.set_account_column('kept', 'tenant');
ALTER PUBLICATION kept SET TABLE kept (id, tenant);
INSERT INTO kept VALUES (12, 'acme');
SELECT kind, relation, account, new FROM changes('kept', 'kept') WHERE kind <> 'schema';
-- Lists that differ: what all of them list.
CREATE PUBLICATION kept_otherwise FOR TABLE kept (id, other, tenant);
SELECT pg_replication_slot_advance('kept', pg_current_wal_lsn()) IS NOT NULL AS advanced;
INSERT INTO kept VALUES (13, 'acme', 5);
SELECT kind, relation, account, new FROM changes('kept', 'kept, kept_otherwise');

-- Only what a publication holds is ever sent, whatever a refresh or a temporary table is made of.
CREATE PUBLICATION kinds FOR ALL TABLES WITH (publish = 'insert, truncate');
CREATE SEQUENCE kind_s;
CREATE UNLOGGED TABLE kind_u (account_id int);
CREATE TEMPORARY TABLE kind_t (account_id int);
CREATE TABLE kind_r (account_id int);
CREATE TABLE kind_p (account_id int) PARTITION BY LIST (account_id);
CREATE TABLE kind_leaf PARTITION OF kind_p DEFAULT;
CREATE TYPE kind_c AS (account_id int);
INSERT INTO kind_u VALUES (1);
INSERT INTO kind_t VALUES (1);
INSERT INTO kind_r VALUES (1);
INSERT INTO kind_p VALUES (1);
CREATE VIEW kind_v AS SELECT account_id FROM kind_r;
CREATE MATERIALIZED VIEW kind_m AS SELECT account_id FROM kind_r;
CREATE UNIQUE INDEX kind_i ON kind_m (account_id);
INSERT INTO kind_r VALUES (2);
REFRESH MATERIALIZED VIEW kind_m;
INSERT INTO kind_r VALUES (3);
REFRESH MATERIALIZED VIEW CONCURRENTLY kind_m;
SELECT nextval('kind_s');
ANALYZE kind_r;
CREATE TABLE kind_as AS SELECT account_id FROM kind_r WHERE account_id = 3;
SELECT kind, relation, account, new FROM changes('kept', 'kinds') WHERE kind <> 'schema' AND relation ~ 'kind';

SELECT pg_drop_replication_slot('kept');
DROP PUBLICATION kept, kept_otherwise, kinds;
DROP VIEW shown;
DROP TABLE kept, kind_u, kind_t, kind_p, kind_as;
DROP TABLE kind_r CASCADE;
DROP SEQUENCE kind_s;
DROP TYPE kind_c;
REVOKE USAGE ON SCHEMA fatwal FROM regress_fatwal_owner, regress_fatwal_other;
DROP ROLE regress_fatwal_owner, regress_fatwal_other;
