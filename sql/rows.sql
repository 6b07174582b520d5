-- Old rows, replica identities and TOAST.
CREATE TABLE docs (id int PRIMARY KEY, account_id int, title text, body text, n int);
ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
CREATE PUBLICATION rows FOR TABLE docs;
SELECT FROM pg_create_logical_replication_slot('rows', 'fatwal');

CREATE FUNCTION short(j json) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT CASE WHEN length(j ->> 'body') > 40 THEN j::jsonb || jsonb_build_object('body', left(j ->> 'body', 6) || '…' || length(j ->> 'body')) ELSE j::jsonb END $$;

-- REPLICA IDENTITY FULL: both rows whole, also what an update left alone in its TOAST table.
ALTER TABLE docs REPLICA IDENTITY FULL;
INSERT INTO docs VALUES (1, 7, 'a', repeat('body', 5000), 1);
UPDATE docs SET n = 2;
UPDATE docs SET body = repeat('text', 4000);
UPDATE docs SET body = NULL, title = NULL;
UPDATE docs SET n = n;
UPDATE docs SET id = 2, body = 'short';
DELETE FROM docs;
SELECT kind, account, short(new) AS new, short(old) AS old, unavailable FROM changes('rows', 'rows') WHERE kind <> 'schema';

-- The default identity: of the old row the key alone; what was not logged is unavailable, which is not null.
ALTER TABLE docs REPLICA IDENTITY DEFAULT;
INSERT INTO docs VALUES (1, 7, 'a', repeat('body', 5000), 1);
UPDATE docs SET n = 2;
UPDATE docs SET id = 3;
DELETE FROM docs;
SELECT kind, account, short(new) AS new, short(old) AS old, unavailable FROM changes('rows', 'rows') WHERE kind <> 'schema';

-- An identity that holds the account keeps deletes and moves with their account.
CREATE UNIQUE INDEX docs_identity ON docs (id, account_id);
ALTER TABLE docs ALTER account_id SET NOT NULL;
ALTER TABLE docs REPLICA IDENTITY USING INDEX docs_identity;
INSERT INTO docs VALUES (1, 7, 'a', 'b', 1);
UPDATE docs SET n = 2;
UPDATE docs SET account_id = 8;
DELETE FROM docs;
SELECT kind, account, new, old, unavailable FROM changes('rows', 'rows') WHERE kind <> 'schema';

-- Subtransactions: what was rolled back is not there.
ALTER TABLE docs REPLICA IDENTITY FULL;
BEGIN;
INSERT INTO docs VALUES (1, 7, 'kept', NULL, 1);
SAVEPOINT a;
INSERT INTO docs VALUES (2, 7, 'gone', NULL, 1);
ROLLBACK TO a;
SAVEPOINT b;
UPDATE docs SET n = 5;
RELEASE b;
COMMIT;
BEGIN;
DELETE FROM docs;
ROLLBACK;
SELECT kind, account, ordinal, last, new, old FROM changes('rows', 'rows') WHERE kind <> 'schema';

-- Changes of the table in mid-stream, also within a transaction.
BEGIN;
INSERT INTO docs VALUES (3, 7, 'x', NULL, 1);
ALTER TABLE docs ADD COLUMN extra int DEFAULT 9;
INSERT INTO docs VALUES (4, 7, 'y', NULL, 1, 10);
ALTER TABLE docs DROP COLUMN title;
UPDATE docs SET n = 6 WHERE id = 3;
COMMIT;
ALTER TABLE docs RENAME COLUMN extra TO more;
ALTER TABLE docs RENAME TO papers;
INSERT INTO papers VALUES (5, 7, NULL, 1, 11);
SELECT kind, relation, account, ordinal, last, new, old FROM changes('rows', 'rows');

-- An enum that grows sends its schema again.
CREATE TYPE color AS ENUM ('red');
ALTER TABLE papers ADD COLUMN color color;
INSERT INTO papers (id, account_id, color) VALUES (6, 7, 'red');
ALTER TYPE color ADD VALUE 'blue';
INSERT INTO papers (id, account_id, color) VALUES (7, 7, 'blue');
SELECT kind, new -> 'color' AS color FROM changes('rows', 'rows');

-- More columns than a word of the bitmaps has bits.
DO $$ BEGIN EXECUTE (SELECT 'CREATE TABLE wide (id int PRIMARY KEY, account_id int, ' || string_agg('c' || g || ' int', ', ') || ')' FROM generate_series(1, 150) g); END $$;
ALTER TABLE wide REPLICA IDENTITY FULL;
ALTER PUBLICATION rows ADD TABLE wide;
INSERT INTO wide (id, account_id, c1, c63, c64, c150) VALUES (1, 7, 1, 63, 64, 150);
UPDATE wide SET c62 = 62, c64 = NULL, c149 = 149;
SELECT kind, json_strip_nulls(new) AS new, json_strip_nulls(old) AS old FROM changes('rows', 'rows') WHERE kind <> 'schema';

SELECT pg_drop_replication_slot('rows');
DROP PUBLICATION rows;
DROP TABLE papers, wide;
DROP TYPE color;
DROP FUNCTION short;
