\echo Use "CREATE EXTENSION fatwal" to load this file. \quit

-- The durable subscribers of each slot. Not in dumps: positions mean nothing in another cluster.
CREATE TABLE fatwal.subscriber (
    slot         name NOT NULL,
    account_kind smallint NOT NULL,
    account      text NOT NULL,
    subscriber   text NOT NULL,
    acknowledged pg_lsn NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slot, account_kind, account, subscriber)
);
-- How far fatwald has confirmed, or was about to, while there were durable subscribers: a slot beyond it was moved on by somebody else.
CREATE TABLE fatwal.slot (
    slot       name PRIMARY KEY,
    confirmed  pg_lsn NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fatwal.slot IS 'how far fatwald has confirmed each slot that has durable subscribers';
COMMENT ON TABLE fatwal.subscriber IS 'the durable subscribers of each slot: fatwald keeps the log until they have acknowledged it';

-- The setting is a security label on the column. The C functions load the library, which brings the label provider, so
-- they work in any session; so does restoring a dump, whose CREATE EXTENSION loads it.
CREATE FUNCTION fatwal.set_account_column(relation regclass, column_name name) RETURNS void
    AS 'MODULE_PATHNAME', 'fatwal_set_account_column' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION fatwal.set_account_column(regclass, name) IS 'names the column of a table that holds its account, from this transaction on; for the owner of the table';

CREATE FUNCTION fatwal.clear_account_column(relation regclass) RETURNS void
    AS 'MODULE_PATHNAME', 'fatwal_clear_account_column' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION fatwal.clear_account_column(regclass) IS 'goes back to the column account_id, from this transaction on';

CREATE FUNCTION fatwal.account_column(relation regclass) RETURNS name
    AS 'MODULE_PATHNAME', 'fatwal_account_column' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION fatwal.account_column(regclass) IS 'the column that names the account of a table''s rows; null: none, its changes go to the operators';

CREATE FUNCTION fatwal.emit(account text, topic text, payload jsonb) RETURNS pg_lsn
    AS 'MODULE_PATHNAME', 'fatwal_emit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION fatwal.emit(text, text, jsonb) IS 'sends a message to an account, in order with the transaction''s changes; a null account is the operators''';

CREATE FUNCTION fatwal.decode(
    message         bytea,
    OUT kind        text,
    OUT relation    text,
    OUT account     text,
    OUT xid         xid,
    OUT commit_lsn  pg_lsn,
    OUT ordinal     bigint,
    OUT commit_ts   timestamptz,
    OUT last        text,
    OUT new         jsonb,
    OUT old         jsonb,
    OUT unavailable text[]
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'fatwal_decode' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION fatwal.decode(bytea) IS 'the events in one message of the output plugin; decode the messages of a stream in order, as each schema comes before its frames';

CREATE FUNCTION fatwal.snapshot(account text, publication text) RETURNS SETOF bytea
    AS 'MODULE_PATHNAME', 'fatwal_snapshot' LANGUAGE C STABLE ROWS 1000;
COMMENT ON FUNCTION fatwal.snapshot(text, text) IS 'the rows of an account, as messages of the output plugin; of a null account those that belong to none';

CREATE FUNCTION fatwal.check(
    OUT requirement text,
    OUT ok          boolean,
    OUT found       text,
    OUT mend        text
) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.requirement, c.ok, c.found, CASE WHEN NOT c.ok THEN c.mend END FROM (
    SELECT 'wal_level is logical', s.setting = 'logical', s.setting,
           'ALTER SYSTEM SET wal_level = logical; then restart the server'
      FROM pg_settings s WHERE s.name = 'wal_level'
    UNION ALL
    -- Quotes round the list would make one name of it.
    SELECT 'output_plugin_libraries lists fatwal',
           EXISTS (SELECT FROM regexp_split_to_table(s.setting, ',') AS l WHERE btrim(l, ' "') = 'fatwal'), s.setting,
           format('ALTER SYSTEM SET output_plugin_libraries = %s; SELECT pg_reload_conf();', concat_ws(', ', nullif(s.setting, ''), 'fatwal'))
      FROM pg_settings s WHERE s.name = 'output_plugin_libraries'
    UNION ALL
    SELECT 'the database is in UTF8', e = 'UTF8', e, 'use a database whose encoding is UTF8' FROM current_setting('server_encoding') AS e
    UNION ALL
    SELECT 'a replication slot is left for fatwald', EXISTS (SELECT FROM pg_replication_slots WHERE plugin = 'fatwal' AND database = current_database())
               OR count(*) < current_setting('max_replication_slots')::int,
           format('%s of %s in use', count(*), current_setting('max_replication_slots')),
           format('ALTER SYSTEM SET max_replication_slots = %s; then restart the server', count(*) + 5)
      FROM pg_replication_slots
    UNION ALL
    SELECT 'a walsender is left for fatwald', EXISTS (SELECT FROM pg_replication_slots WHERE plugin = 'fatwal' AND database = current_database() AND active)
               OR count(*) < current_setting('max_wal_senders')::int,
           format('%s of %s in use', count(*), current_setting('max_wal_senders')),
           format('ALTER SYSTEM SET max_wal_senders = %s; then restart the server', count(*) + 5)
      FROM pg_stat_replication
    UNION ALL
    SELECT 'a publication exists', count(*) > 0, format('%s', count(*)), 'CREATE PUBLICATION fatwal FOR ALL TABLES;' FROM pg_publication
    UNION ALL
    SELECT * FROM (
        SELECT format('slot %s keeps little WAL', quote_ident(s.slot_name)),
               s.wal_status <> 'lost' AND coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0) < 1073741824,
               format('%s, %s', s.wal_status, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn))),
               format(CASE WHEN s.active THEN 'a subscriber or a long transaction holds it: see pg_stat_replication and pg_stat_activity'
                           ELSE 'start fatwald, or, if nobody needs it: SELECT pg_drop_replication_slot(%L);' END, s.slot_name)
          FROM pg_replication_slots s WHERE s.slot_type = 'logical' AND s.database = current_database() AND NOT pg_is_in_recovery()
         ORDER BY s.slot_name) AS slots
    UNION ALL
    SELECT * FROM (
        SELECT format('publication %s lists the account column of %s', quote_ident(p.pubname), r.prrelid::regclass), a.attnum = ANY (r.prattrs), l.listed,
               format('ALTER PUBLICATION %1$I DROP TABLE %2$s; ALTER PUBLICATION %1$I ADD TABLE %2$s (%3$s, %4$I)%5$s;', p.pubname, r.prrelid::regclass,
                      l.listed, a.attname, ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')')
          FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
          JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attname = fatwal.account_column(r.prrelid)
         CROSS JOIN LATERAL (SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY c.attnum) AS listed FROM pg_attribute c
                              WHERE c.attrelid = r.prrelid AND c.attnum = ANY (r.prattrs)) AS l
         WHERE r.prattrs IS NOT NULL
         ORDER BY 1) AS lists
    UNION ALL
    SELECT * FROM (
        SELECT format('%s has REPLICA IDENTITY FULL', c.oid::regclass), c.relreplident = 'f',
               CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'd' THEN 'default' WHEN 'i' THEN 'index' ELSE 'nothing' END,
               format('ALTER TABLE %s REPLICA IDENTITY FULL;', c.oid::regclass)
          FROM (SELECT DISTINCT relid FROM pg_publication, LATERAL pg_get_publication_tables(pubname)) AS t
          JOIN pg_class c ON c.oid = t.relid
         WHERE c.relnamespace <> 'fatwal'::regnamespace AND c.relkind = 'r'
         ORDER BY 1) AS identities
    UNION ALL
    SELECT * FROM (
        SELECT format('%s names its account', c.oid::regclass), n.name IS NOT NULL,
               coalesce('column ' || n.name, (SELECT format('column %s of type %s', a.attname, format_type(a.atttypid, a.atttypmod))
                                                FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id'), 'no column account_id'),
               format('SELECT fatwal.set_account_column(%L, ...); until then its changes go to the operators'' stream', c.oid::regclass)
          FROM (SELECT DISTINCT relid FROM pg_publication, LATERAL pg_get_publication_tables(pubname)) AS t
          JOIN pg_class c ON c.oid = t.relid
         CROSS JOIN LATERAL fatwal.account_column(c.oid) AS n (name)
         WHERE c.relnamespace <> 'fatwal'::regnamespace
         ORDER BY 1) AS accounts
    ) AS c (requirement, ok, found, mend)
$$;
COMMENT ON FUNCTION fatwal.check() IS 'what the stream needs, whether it is there, and the statement that mends it';
