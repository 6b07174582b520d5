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
-- What only looks like ours is somebody's plain message: cut, of no text, of no JSON, of more than one JSON, with control characters.
CREATE FUNCTION forge(account bytea, topic bytea, payload bytea) RETURNS bool LANGUAGE sql AS
    $$ SELECT pg_logical_emit_message(true, 'fatwal', set_byte('\x0000', 0, length(account)) || account || set_byte('\x0000', 0, length(topic)) || topic || payload) IS NOT NULL $$;
SELECT pg_logical_emit_message(true, 'fatwal', 'x') IS NOT NULL AS emitted;
SELECT pg_logical_emit_message(true, 'fatwal', '') IS NOT NULL AS emitted;
SELECT forge('7', 't', E'1}\n{"kind":"insert"'), forge('7', 't', '1,"topic":"other"'), forge('7', 't', '\xff00fe'), forge('7', 't', ''), forge('7', 't', '1 2');
SELECT forge('7', 't', convert_to(repeat('[', 10001) || repeat(']', 10001), 'UTF8'));
SELECT forge('\xfffe', 't', '1'), forge(E'7\n', 't', '1'), forge('\x3700', 't', '1'), forge('7', '\xff', '1'), forge('7', E'a\x1b', '1');
SELECT forge('7', convert_to(U&'a\2028b', 'UTF8'), '1'), forge('7', convert_to(U&'a\0085b', 'UTF8'), '1'), forge('7', '\x00', '1');
-- And this is right: nothing tells it from fatwal.emit.
SELECT forge('7', 'grant', E'{"by":\n"nobody"}'), forge('', 'operators', convert_to('"\u0000"', 'UTF8'));
SELECT kind, relation, account, ordinal, last, CASE WHEN length(new::text) < 200 THEN new END AS new FROM changes('messages', 'messages');

-- Without messages the positions of the rows are the same.
BEGIN;
SELECT fatwal.emit('7', 'left out', '1') IS NOT NULL AS emitted;
INSERT INTO thing VALUES (3, 7);
COMMIT;
SELECT kind, relation, account, ordinal, last, new FROM changes('messages', 'messages', 'messages', 'off') WHERE kind <> 'schema';

SELECT fatwal.emit(repeat('x', 256), 'topic', '1');
SELECT fatwal.emit('7', NULL, '1');
SELECT fatwal.emit('7', repeat('x', 256), '1');
-- What the plugin would take for somebody else's is refused at once.
SELECT fatwal.emit(E'7\n', 'topic', '1');
SELECT fatwal.emit(U&'7\0085', 'topic', '1');
SELECT fatwal.emit('7', E'two\nlines', '1');
SELECT fatwal.emit('7', U&'two\2028lines', '1');
SELECT fatwal.emit('7', E'\x7f', '1');
SELECT fatwal.emit('7', 'deep', (repeat('[', 10001) || repeat(']', 10001))::jsonb);
SELECT fatwal.emit(repeat('é', 127), repeat('é', 127), '"\n"') IS NOT NULL AS emitted, fatwal.emit('Zoë "x" \', '', '1') IS NOT NULL AS emitted,
       fatwal.emit('7', 'deep', (repeat('[', 10000) || repeat(']', 10000))::jsonb) IS NOT NULL AS emitted;
SELECT kind, account = repeat('é', 127) AS longest, CASE WHEN length(account) < 10 THEN account END AS account, length(new ->> 'topic') AS topic, length(new ->> 'payload') AS payload FROM changes('messages', 'messages');

SELECT pg_drop_replication_slot('messages');
DROP PUBLICATION messages;
DROP TABLE thing;
DROP FUNCTION forge;
