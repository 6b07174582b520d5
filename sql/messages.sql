CREATE TABLE thing (id int PRIMARY KEY, account_id int);
CREATE PUBLICATION messages FOR TABLE thing;
SELECT FROM pg_create_logical_replication_slot('messages', 'fatwal');

-- In order with the transaction's changes.
BEGIN;
INSERT INTO thing VALUES (1, 7);
SELECT fatwal.emit('7', 'ordered', '{"a": [1, "x"]}') IS NOT NULL AS emitted;
INSERT INTO thing VALUES (2, 7);
SELECT fatwal.emit(NULL, 'operators', 'null') IS NOT NULL AS emitted;
SELECT fatwal.emit('7', 'nothing', NULL) IS NOT NULL AS emitted;
COMMIT;
-- A message that is rolled back is not there; one outside transactions is.
BEGIN;
SELECT fatwal.emit('7', 'gone', '1') IS NOT NULL AS emitted;
SELECT pg_logical_emit_message(false, 'now', 'outside') IS NOT NULL AS emitted;
ROLLBACK;
SELECT pg_logical_emit_message(true, 'plain', 'inside') IS NOT NULL AS emitted;
-- What only looks like ours is somebody's plain message.
SELECT pg_logical_emit_message(true, 'fatwal', 'x') IS NOT NULL AS emitted;
SELECT kind, relation, account, ordinal, last, new FROM changes('messages', 'messages');

-- Without messages the positions of the rows are the same.
BEGIN;
SELECT fatwal.emit('7', 'left out', '1') IS NOT NULL AS emitted;
INSERT INTO thing VALUES (3, 7);
COMMIT;
SELECT kind, relation, account, ordinal, last, new FROM changes('messages', 'messages', 'messages', 'off') WHERE kind <> 'schema';

SELECT fatwal.emit(repeat('x', 256), 'topic', '1');
SELECT fatwal.emit('7', NULL, '1');
SELECT fatwal.emit('7', repeat('x', 256), '1');

SELECT pg_drop_replication_slot('messages');
DROP PUBLICATION messages;
DROP TABLE thing;
