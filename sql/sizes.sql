-- Values whose encoded form passes what a message can have: the column is unavailable, the stream continues.
CREATE TABLE sized (id int PRIMARY KEY, account_id int, flags bool[], bits bit varying);
ALTER TABLE sized REPLICA IDENTITY FULL;
CREATE PUBLICATION sized FOR TABLE sized;
SELECT FROM pg_create_logical_replication_slot('sized', 'fatwal');
CREATE FUNCTION sizes(OUT kind text, OUT account text, OUT id int, OUT unavailable text[]) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT kind, account, (coalesce(new, old)->>'id')::int, unavailable FROM changes('sized', 'sized') WHERE kind NOT IN ('schema', 'end')
$$;
-- 1.5 MB on disk, 1.1 GB of slots; 128 MB of bits, 1 GB of text.
INSERT INTO sized (id, account_id, flags) SELECT 1, 7, array_fill(true, ARRAY[134000000]);
INSERT INTO sized (id, account_id, bits) SELECT 2, 7, repeat('1', 100000)::bit varying;
DO $$
DECLARE
    b bit varying := B'1';
BEGIN
    FOR i IN 1..30 LOOP b := b || b; END LOOP;
    INSERT INTO sized (id, account_id, bits) VALUES (3, 7, b);
END
$$;
SELECT * FROM sizes();
DELETE FROM sized WHERE id IN (1, 3);
SELECT * FROM sizes();
-- The new and the old row together: each fits, 480 MB, both do not.
INSERT INTO sized (id, account_id, flags) SELECT 4, 7, array_fill(true, ARRAY[60000000]);
SELECT length(data) / 1000000 AS megabytes FROM pg_logical_slot_get_binary_changes('sized', NULL, NULL, 'publication_names', 'sized')
 ORDER BY 1 DESC LIMIT 1;
UPDATE sized SET flags = array_fill(false, ARRAY[60000000]) WHERE id = 4;
SELECT length(data) / 1000000 AS megabytes FROM pg_logical_slot_get_binary_changes('sized', NULL, NULL, 'publication_names', 'sized')
 ORDER BY 1 DESC LIMIT 1;

-- An enum with more labels than a schema message has room for travels as text.
DO $$
BEGIN
    EXECUTE (SELECT 'CREATE TYPE many AS ENUM (' || string_agg(quote_literal('l' || g), ', ') || ')' FROM generate_series(1, 65540) g);
END
$$;
CREATE TABLE enums (id int PRIMARY KEY, account_id int, e many, es many[]);
ALTER PUBLICATION sized ADD TABLE enums;
INSERT INTO enums VALUES (1, 7, 'l65540', '{l1,l65540}');
SELECT kind, account, new FROM changes('sized', 'sized') WHERE kind <> 'resync';

SELECT pg_drop_replication_slot('sized');
DROP PUBLICATION sized;
DROP TABLE sized, enums;
DROP TYPE many;
DROP FUNCTION sizes;
