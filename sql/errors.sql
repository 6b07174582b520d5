-- The context of an error has an LSN.
\set SHOW_CONTEXT never
CREATE TABLE t (id int PRIMARY KEY, account_id int);
CREATE PUBLICATION p FOR TABLE t;
SELECT FROM pg_create_logical_replication_slot('errors', 'fatwal');
INSERT INTO t VALUES (1, 1);

SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL);
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'colour', 'red');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'protocol_version', '2');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'protocol_version', 'one');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'frame_bytes', '10');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'frame_bytes', '64kB');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'messages', 'maybe');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('errors', NULL, NULL, 'publication_names', '');
-- The text functions cannot carry binary messages.
SELECT count(*) FROM pg_logical_slot_peek_changes('errors', NULL, NULL, 'publication_names', 'p');
-- None of it harmed the slot.
SELECT count(*) FROM pg_logical_slot_get_binary_changes('errors', NULL, NULL, 'publication_names', 'p', 'protocol_version', '1', 'frame_bytes', '65536', 'messages', 'on');

SELECT * FROM fatwal.decode('\x00');
SELECT * FROM fatwal.decode('\x4601');
SELECT * FROM fatwal.decode(NULL);
SELECT pg_drop_replication_slot('errors');
DROP PUBLICATION p;
DROP TABLE t;
