-- A list of publication names: exact, with or without quotes; the same for the stream and for snapshots.
CREATE TABLE named (id int PRIMARY KEY, account_id int);
ALTER TABLE named REPLICA IDENTITY FULL;
CREATE PUBLICATION "MyPub" FOR TABLE named;
CREATE PUBLICATION "my pub" FOR TABLE named;
CREATE PUBLICATION "app-changes" FOR TABLE named;
CREATE PUBLICATION "a,""b""" FOR TABLE named;
SELECT slot_name FROM pg_create_logical_replication_slot('names', 'fatwal');
INSERT INTO named VALUES (1, 1);

CREATE FUNCTION doors(names text, OUT streamed bool, OUT in_snapshot bool) LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) > 0 INTO streamed FROM pg_logical_slot_peek_binary_changes('names', NULL, NULL, 'publication_names', names);
    SELECT count(*) > 1 INTO in_snapshot FROM fatwal.snapshot('1', names);
END $$;
SELECT names, doors.* FROM unnest(ARRAY['MyPub', '"MyPub"', ' my pub ', '"my pub"', 'app-changes', '"a,""b"""', 'app-changes,"my pub" , MyPub'])
    WITH ORDINALITY AS n (names, number), doors(names) ORDER BY number;

-- What is no list, by both doors.
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('names', NULL, NULL, 'publication_names', 'app-changes,');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('names', NULL, NULL, 'publication_names', '"MyPub');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('names', NULL, NULL, 'publication_names', 'My"Pub"');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('names', NULL, NULL, 'publication_names', '"my" pub');
SELECT count(*) FROM fatwal.snapshot('1', '');
SELECT count(*) FROM fatwal.snapshot('1', '"MyPub');

SELECT pg_drop_replication_slot('names');
DROP FUNCTION doors;
DROP PUBLICATION "MyPub", "my pub", "app-changes", "a,""b""";
DROP TABLE named;
