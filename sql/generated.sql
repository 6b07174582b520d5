-- Postgres 18: an identity that holds a generated column which a publication leaves out makes
-- UPDATE and DELETE fail. Before, it asks for none, and knows no virtual ones.
SELECT current_setting('server_version_num')::int >= 180000 AS asks \gset
\if :asks
\else
CREATE TABLE stored (id int PRIMARY KEY, account_id int, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE stored REPLICA IDENTITY FULL;
CREATE PUBLICATION generated FOR TABLE stored;
INSERT INTO stored VALUES (1, 7, 1);
UPDATE stored SET a = 2;
SELECT requirement, ok, found FROM fatwal.check() WHERE requirement ~ 'stored' AND requirement ~ '(IDENTITY|UPDATE)';
DROP TABLE stored;
DROP PUBLICATION generated;
\quit
\endif
CREATE FUNCTION checked(pattern text, OUT requirement text, OUT ok boolean, OUT found text, OUT mend text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT c.requirement, c.ok, c.found, c.mend FROM fatwal.check() AS c
     WHERE c.requirement ~ pattern AND c.requirement ~ '(IDENTITY|identity|UPDATE|row filter)' ORDER BY c.requirement COLLATE "C"
$$;
CREATE PROCEDURE mend(pattern text) LANGUAGE plpgsql AS $$
DECLARE statement text;
BEGIN
    FOR statement IN SELECT DISTINCT m.mend FROM checked(pattern) AS m WHERE NOT m.ok LOOP EXECUTE statement; END LOOP;
END
$$;
CREATE TABLE stored (id int PRIMARY KEY, account_id int, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE virtual (id int PRIMARY KEY, account_id int, a int, g int GENERATED ALWAYS AS (a * 2) VIRTUAL);
CREATE TABLE listed (id int PRIMARY KEY, account_id int, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
CREATE PUBLICATION generated FOR TABLE stored, virtual, listed (id, account_id, g);
CREATE PUBLICATION too FOR TABLE stored WITH (publish_generated_columns = stored);
INSERT INTO stored VALUES (1, 7, 1);
INSERT INTO virtual VALUES (1, 7, 1);
INSERT INTO listed VALUES (1, 7, 1);
-- The default identity has no generated column. FULL has.
UPDATE stored SET a = 2;
SELECT * FROM checked('(stored|virtual|listed)');
ALTER TABLE stored REPLICA IDENTITY FULL;
ALTER TABLE virtual REPLICA IDENTITY FULL;
ALTER TABLE listed REPLICA IDENTITY FULL;
UPDATE stored SET a = 3;
DELETE FROM stored;
UPDATE virtual SET a = 3;
DELETE FROM virtual;
UPDATE listed SET a = 3;
SELECT * FROM checked('(stored|virtual|listed)');
CALL mend('(stored|virtual|listed)');
SELECT * FROM checked('(stored|virtual|listed)');
SELECT FROM pg_create_logical_replication_slot('generated', 'fatwal');
UPDATE stored SET a = 3;
UPDATE virtual SET account_id = 8;
UPDATE listed SET a = 3;
DELETE FROM stored;
DELETE FROM virtual;
DELETE FROM listed;
SELECT kind, relation, account, new, old, unavailable FROM changes('generated', 'generated') WHERE kind <> 'schema';
SELECT pg_drop_replication_slot('generated');
DROP PUBLICATION generated, too;
-- A filter on a virtual column computes it, which may fail.
CREATE PUBLICATION filters FOR TABLE virtual WHERE (g > 5) WITH (publish = 'insert');
SELECT * FROM checked('row filter of publication');
DROP PUBLICATION filters;
DROP TABLE stored, virtual, listed;
DROP PROCEDURE mend;
DROP FUNCTION checked;
