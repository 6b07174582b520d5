-- Transactions that the server spills, frames that are split, many accounts in one transaction.
CREATE TABLE bulk (id int PRIMARY KEY, account_id int, pad text);
ALTER TABLE bulk REPLICA IDENTITY FULL;
CREATE PUBLICATION large FOR TABLE bulk;
SELECT FROM pg_create_logical_replication_slot('large', 'fatwal');
SET logical_decoding_work_mem = '64kB';

INSERT INTO bulk SELECT g, g % 100, repeat('x', 100) FROM generate_series(1, 20000) g;
SELECT count(*) FILTER (WHERE kind = 'insert') AS inserts, count(DISTINCT ordinal) AS ordinals, count(DISTINCT account) AS accounts,
       count(*) FILTER (WHERE last = 'account') AS accounts_closed, count(*) FILTER (WHERE last = 'transaction') AS transactions_closed
  FROM changes('large', 'large', 'frame_bytes', '4096');

-- The frames of a transaction share messages of up to 64 kB: 100 accounts, one message.
UPDATE bulk SET pad = '' WHERE id <= 100;
SELECT count(*) FROM pg_logical_slot_get_binary_changes('large', NULL, NULL, 'publication_names', 'large') WHERE get_byte(data, 0) = ascii('F');

-- More accounts than are closed one by one: one mark for everyone.
UPDATE bulk SET account_id = id;
SELECT kind, count(*), count(DISTINCT account) AS accounts, count(last) AS marks FROM changes('large', 'large') WHERE kind <> 'schema' GROUP BY kind ORDER BY kind;

-- A row that is larger than a frame.
INSERT INTO bulk SELECT 30000, 1, string_agg(md5(g::text), '') FROM generate_series(1, 10000) g;
SELECT kind, account, length(new ->> 'pad'), last FROM changes('large', 'large', 'frame_bytes', '1024') WHERE kind <> 'schema';

-- Empty transactions, and those of other tables, send nothing.
BEGIN;
COMMIT;
CREATE TABLE unseen (id int);
INSERT INTO unseen SELECT generate_series(1, 1000);
DROP TABLE unseen;
SELECT count(*) FROM pg_logical_slot_get_binary_changes('large', NULL, NULL, 'publication_names', 'large');

SELECT pg_drop_replication_slot('large');
DROP PUBLICATION large;
DROP TABLE bulk;
