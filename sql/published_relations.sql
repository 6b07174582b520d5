-- fatwal.published_relations() says what the server's own function says, without its locks.
CREATE SCHEMA shown;
CREATE TABLE shown.plain (id int PRIMARY KEY, account_id int, note text);
CREATE TABLE shown.other (id int PRIMARY KEY, account_id int);
CREATE TABLE shown.parted (id int, account_id int) PARTITION BY RANGE (id);
CREATE TABLE shown.low PARTITION OF shown.parted FOR VALUES FROM (0) TO (10) PARTITION BY LIST (account_id);
CREATE TABLE shown.low_7 PARTITION OF shown.low FOR VALUES IN (7);
CREATE TABLE public.low_8 PARTITION OF shown.low FOR VALUES IN (8);
CREATE TABLE public.empty_parted (id int, account_id int) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE shown.unlogged (id int);
CREATE PUBLICATION shown_all FOR ALL TABLES;
CREATE PUBLICATION shown_all_root FOR ALL TABLES WITH (publish_via_partition_root);
CREATE PUBLICATION shown_leaves FOR TABLE shown.parted, shown.plain (id, account_id) WHERE (id > 5);
CREATE PUBLICATION shown_root FOR TABLE shown.parted (id, account_id), shown.low, public.low_8, public.empty_parted
    WITH (publish_via_partition_root);
CREATE PUBLICATION shown_middle FOR TABLE shown.low WHERE (id > 2) WITH (publish_via_partition_root);
CREATE PUBLICATION shown_schema FOR TABLES IN SCHEMA shown;
CREATE PUBLICATION shown_schema_root FOR TABLE public.low_8, TABLES IN SCHEMA shown WITH (publish_via_partition_root);
CREATE PUBLICATION shown_nothing;
CREATE VIEW ours AS SELECT DISTINCT pubname, published_as::regclass AS relation, prattrs::text, prqual::text
  FROM fatwal.published_relations(ARRAY(SELECT pubname FROM pg_publication)::text[]);
-- Since 16 the server lists all columns where there is no list.
CREATE VIEW theirs AS SELECT p.pubname, t.relid::regclass AS relation,
       CASE WHEN r.prattrs IS NOT NULL THEN t.attrs::text END AS prattrs, t.qual::text AS prqual
  FROM pg_publication p CROSS JOIN LATERAL pg_get_publication_tables(p.pubname) AS t
  LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = t.relid;
(TABLE ours EXCEPT TABLE theirs) UNION ALL (TABLE theirs EXCEPT TABLE ours);
SELECT pubname, relation::regclass, published_as::regclass, prattrs, prqual IS NOT NULL AS filtered
  FROM fatwal.published_relations('{shown_root,shown_middle,shown_schema_root,shown_leaves}')
 ORDER BY pubname, relation::regclass::text COLLATE "C";

-- What sends rows elsewhere is noticed once; a table that is new is not, unless it is listed.
CREATE PUBLICATION noted FOR TABLE shown.plain, shown.parted, fatwal.publication_state WITH (publish_via_partition_root);
CREATE PUBLICATION noted_schema FOR TABLE fatwal.publication_state, TABLES IN SCHEMA shown WITH (publish = 'insert');
CREATE FUNCTION note(publication text DEFAULT 'noted') RETURNS boolean LANGUAGE sql
    AS $$ SELECT fatwal.note_publications('one', ARRAY[publication]) $$;
SELECT note() AS first, note() AS again;
CREATE TABLE shown.young (id int);
CREATE TABLE shown.young_part PARTITION OF shown.low FOR VALUES IN (9);
CREATE TABLE shown.joins (id int, account_id int);
SELECT note() AS young;
ALTER TABLE shown.low ATTACH PARTITION shown.joins FOR VALUES IN (10);
SELECT note() AS attached, note() AS again;
ALTER TABLE shown.low DETACH PARTITION shown.joins;
SELECT note() AS detached;
ALTER PUBLICATION noted ADD TABLE shown.other;
SELECT note() AS added;
CREATE TABLE shown.both_at_once (id int);
ALTER PUBLICATION noted ADD TABLE shown.both_at_once;
SELECT note() AS listed;
ALTER PUBLICATION noted SET TABLE shown.plain WHERE (id > 3), shown.parted, shown.both_at_once, fatwal.publication_state;
SELECT note() AS filtered, note() AS again;
ALTER PUBLICATION noted SET (publish = 'insert');
SELECT note() AS actions;
ALTER PUBLICATION noted SET (publish = 'insert, delete');
ALTER PUBLICATION noted SET (publish = 'insert');
SELECT note() AS there_and_back;
ALTER PUBLICATION noted DROP TABLE shown.plain;
ALTER PUBLICATION noted ADD TABLE shown.plain WHERE (id > 3);
SELECT note() AS dropped_and_added;
ALTER TABLE shown.plain ADD COLUMN extra int;
VACUUM FULL shown.plain;
SELECT note() AS new_file;
VACUUM FULL shown.plain;
TRUNCATE shown.plain;
SELECT note() AS file_again;
ALTER TABLE shown.plain ALTER extra SET NOT NULL, ADD COLUMN other text;
SELECT note() AS other_columns;
ALTER TABLE shown.plain ALTER extra TYPE int USING extra + 1;
SELECT note() AS values_anew;
ALTER TABLE shown.plain ADD COLUMN each float DEFAULT random();
SELECT note() AS value_of_each_row;
ALTER TABLE shown.plain ADD COLUMN given int DEFAULT 5;
SELECT note() AS value_of_all_rows;
ALTER TABLE shown.plain RENAME TO plainer;
SELECT note() AS renamed;
ALTER TABLE shown.plainer RENAME TO plain;
ALTER TABLE shown.plain RENAME TO plainer;
SELECT note() AS renamed_there_and_back;
GRANT SELECT ON shown.plainer TO PUBLIC;
ANALYZE shown.plainer;
CREATE INDEX ON shown.plainer (note);
SELECT note() AS of_every_day;
ALTER TABLE shown.plainer ADD COLUMN account int;
ALTER TABLE shown.plainer RENAME account_id TO tenant_id;
SELECT note() AS other_account;
ALTER TABLE shown.low DETACH PARTITION shown.low_7;
ALTER TABLE shown.low ATTACH PARTITION shown.low_7 FOR VALUES IN (7);
SELECT note() AS detached_and_attached;
BEGIN;
CREATE TABLE shown.loaded (LIKE shown.low);
ALTER TABLE shown.low ATTACH PARTITION shown.loaded FOR VALUES IN (11);
COMMIT;
SELECT note() AS loaded_and_attached;
ALTER PUBLICATION noted DROP TABLE fatwal.publication_state;
ALTER PUBLICATION noted ADD TABLE shown.other;
SELECT note() IS NULL AS not_noted;
ALTER PUBLICATION noted ADD TABLE fatwal.publication_state;
SELECT note() AS noted_late;
ALTER PUBLICATION noted DROP TABLE shown.other;
SELECT note() AS left;
DROP TABLE shown.other;
SELECT note() AS dropped_elsewhere;
DROP TABLE shown.both_at_once;
SELECT note() AS dropped;
SELECT note('noted_schema') AS other_publication;
CREATE TABLE shown.in_schema (id int);
SELECT note('noted_schema') AS in_schema;
ALTER TABLE shown.unlogged SET LOGGED;
SELECT note('noted_schema') AS logged;
SELECT slot, resync, jsonb_typeof(routes) FROM fatwal.publication_state;
DELETE FROM fatwal.publication_state;
SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication WHERE pubname ~ '^(shown|noted)' ORDER BY pubname COLLATE "C" \gexec
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA shown CASCADE;
DROP TABLE public.empty_parted;
DROP VIEW ours, theirs;
DROP FUNCTION note;
