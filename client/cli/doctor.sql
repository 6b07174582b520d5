-- What `fatwal doctor` and `fatwal bundle` read from the database: one JSON object. Whoever may not
-- read a part gets null for it, and the judgement (client/cli/diagnosis.cpp) leaves it out.
SET search_path = pg_catalog, pg_temp;
SET jit = off;
SELECT coalesce(has_schema_privilege(to_regnamespace('fatwal'), 'USAGE'), false) AS usable \gset
\if :usable
SELECT to_regproc('fatwal.check') IS NOT NULL AS installed,
       coalesce(has_table_privilege(to_regclass('fatwal.slot'), 'SELECT') AND
                has_table_privilege(to_regclass('fatwal.subscriber'), 'SELECT') AND
                has_table_privilege(to_regclass('fatwal.publication_state'), 'SELECT'), false)
           AS has_slots,
       coalesce(has_table_privilege(to_regclass('fatwal.credential'), 'SELECT'), false) AS has_keys
\gset
\else
\set installed false
\set has_slots false
\set has_keys false
\endif
\set checks null
\if :installed
SELECT coalesce(json_agg(c), '[]') AS checks FROM fatwal.check() AS c \gset
\endif
-- The slots that fatwald has had. A slot of pgoutput that is none of them may be a subscription's;
-- one of them that is not there was dropped, or the server is another one.
\set recorded '{}'
\set remembered '[]'
\if :has_slots
SELECT coalesce(array_agg(slot), '{}') AS recorded,
       coalesce(json_agg(json_build_object('slot', slot, 'subscribers', subscribers)
                         ORDER BY slot), '[]') AS remembered
  FROM (SELECT slot, sum(durable) AS subscribers
          FROM (SELECT slot, 0 FROM fatwal.slot UNION ALL
                SELECT slot, 0 FROM fatwal.publication_state UNION ALL
                SELECT slot, 1 FROM fatwal.subscriber) AS all_of (slot, durable)
         GROUP BY slot) AS r \gset
\endif
\set credentials null
\if :has_keys
SELECT coalesce(json_agg(json_build_object('name', name, 'expires_in_s',
           extract(epoch FROM expires_at - now())::bigint) ORDER BY expires_at, name), '[]')
           AS credentials
  FROM fatwal.credential WHERE expires_at IS NOT NULL \gset
\endif
-- The tables that fatwald's snapshots read, by fatwald's own function: pg_get_publication_tables()
-- waits for whoever has locked one of them.
\set unreadable null
\set lost_columns '[]'
SELECT :'usable'::boolean AND to_regproc('fatwal.published_relations') IS NOT NULL AS lists_tables
\gset
\if :lists_tables
WITH published AS (
    SELECT p.published_as AS relid, p.pubname, p.prattrs
      FROM fatwal.published_relations(ARRAY(SELECT pubname::text FROM pg_publication)) AS p
      JOIN pg_class c ON c.oid = p.published_as
     WHERE c.relnamespace <> 'fatwal'::regnamespace
), reader AS (
    SELECT DISTINCT r.oid, r.rolname
      FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
      JOIN pg_roles r ON r.oid = a.usesysid
     WHERE s.database = current_database() AND
           (s.plugin = 'fatwal' OR s.plugin = 'pgoutput' AND s.slot_name = ANY (:'recorded'::name[]))
), refused AS (
    -- Whoever may read each column that is published may read the table.
    SELECT r.rolname, c.relnamespace, p.relid, p.pubname,
           NOT has_schema_privilege(r.oid, c.relnamespace, 'USAGE') AS schema_closed,
           NOT has_table_privilege(r.oid, p.relid, 'SELECT') AND EXISTS (
               SELECT FROM pg_attribute a
                WHERE a.attrelid = p.relid AND a.attnum > 0 AND NOT a.attisdropped
                  AND (p.prattrs IS NULL OR a.attnum = ANY (p.prattrs))
                  AND NOT has_column_privilege(r.oid, p.relid, a.attnum, 'SELECT')) AS table_closed
      FROM reader r CROSS JOIN published p JOIN pg_class c ON c.oid = p.relid
)
SELECT (SELECT CASE WHEN count(*) > 0 THEN coalesce((
            SELECT json_agg(json_build_object(
                       'role', f.rolname, 'table', f.relid::regclass::text,
                       'schema', f.relnamespace::regnamespace::text,
                       'schema_closed', f.schema_closed, 'table_closed', f.table_closed,
                       'publications', f.publications) ORDER BY f.relid::regclass::text)
              FROM (SELECT rolname, relid, relnamespace, bool_or(schema_closed) AS schema_closed,
                           bool_or(table_closed) AS table_closed,
                           json_agg(DISTINCT pubname::text) AS publications
                      FROM refused WHERE schema_closed OR table_closed
                     GROUP BY rolname, relid, relnamespace) AS f), '[]') ELSE 'null' END FROM reader)
           AS unreadable,
       -- Of a dropped column only its length is left: that of a type that can name an account.
       (SELECT coalesce(json_agg(DISTINCT a.attrelid::regclass::text), '[]')
          FROM pg_attribute a
         WHERE a.attisdropped AND a.attnum > 0 AND a.attlen IN (-1, 2, 4, 8, 16)
           AND a.attrelid IN (SELECT relid FROM published)) AS lost_columns
\gset
\endif
SELECT pg_is_in_recovery() AS standby \gset
\if :standby
SELECT pg_last_wal_replay_lsn() AS wal_end \gset
\else
SELECT pg_current_wal_insert_lsn() AS wal_end \gset
\endif
SELECT json_build_object(
    'clock_unix_ms', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    'database', current_database(),
    'role', current_user,
    'server_version', current_setting('server_version'),
    'in_recovery', pg_is_in_recovery(),
    'usable', :'usable'::boolean,
    'schema_there', to_regnamespace('fatwal') IS NOT NULL,
    'checks', :'checks'::json,
    'credentials', :'credentials'::json,
    'remembered', :'remembered'::json,
    'unreadable', :'unreadable'::json,
    'lost_columns', :'lost_columns'::json,
    'extension', (SELECT json_build_object('installed', e.extversion, 'available', a.default_version)
                    FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname
                   WHERE e.extname = 'fatwal'),
    'managed', obj_description(to_regnamespace('fatwal'), 'pg_namespace'),
    'walsenders', (SELECT count(*) FROM pg_stat_replication),
    -- Of the settings a DBA is asked for, and none that may hold a password.
    'settings', (SELECT json_object_agg(s.name, s.setting || coalesce(' ' || s.unit, '') ORDER BY s.name)
                   FROM pg_settings s
                  WHERE s.name IN ('wal_level', 'max_replication_slots', 'max_wal_senders',
                        'max_slot_wal_keep_size', 'idle_replication_slot_timeout', 'wal_keep_size',
                        'wal_sender_timeout', 'max_wal_size', 'logical_decoding_work_mem',
                        'server_encoding', 'server_version', 'synchronous_commit',
                        'synchronized_standby_slots', 'sync_replication_slots',
                        'hot_standby_feedback', 'output_plugin_libraries', 'max_connections',
                        'wal_segment_size', 'autovacuum_freeze_max_age', 'tcp_keepalives_idle')),
    'slots', (SELECT coalesce(json_agg(json_build_object(
                  'name', s.slot_name, 'plugin', s.plugin, 'database', s.database,
                  'ours', s.database = current_database() AND
                      (s.plugin = 'fatwal' OR s.plugin = 'pgoutput' AND
                       s.slot_name = ANY (:'recorded'::name[])),
                  'temporary', s.temporary, 'active', s.active, 'wal_status', s.wal_status,
                  'safe_wal_bytes', s.safe_wal_size, 'restart_lsn', s.restart_lsn,
                  'confirmed_lsn', s.confirmed_flush_lsn, 'wal_end', :'wal_end',
                  'retained_bytes', greatest(pg_wal_lsn_diff(:'wal_end', s.restart_lsn), 0)::bigint,
                  'unconfirmed_bytes',
                      greatest(pg_wal_lsn_diff(:'wal_end', s.confirmed_flush_lsn), 0)::bigint,
                  'catalog_age', age(s.catalog_xmin),
                  'inactive_s', extract(epoch FROM now() -  -- 17 and later
                      (to_jsonb(s) ->> 'inactive_since')::timestamptz)::bigint,
                  'lost_because', to_jsonb(s) ->> 'invalidation_reason')
                  ORDER BY s.slot_name), '[]') FROM pg_replication_slots s),
    -- A slot keeps the WAL of the oldest transaction that runs. Without the statement: it may hold
    -- values of rows.
    'old_transactions', (SELECT coalesce(json_agg(json_build_object(
                             'pid', a.pid, 'seconds', extract(epoch FROM now() - a.xact_start)::bigint,
                             'state', a.state) ORDER BY a.xact_start), '[]')
                           FROM pg_stat_activity a
                          WHERE a.backend_xid IS NOT NULL AND a.datname = current_database()
                            AND a.xact_start < now() - interval '10 minutes'),
    'prepared', (SELECT coalesce(json_agg(json_build_object(
                     'gid', p.gid, 'seconds', extract(epoch FROM now() - p.prepared)::bigint)
                     ORDER BY p.prepared), '[]')
                   FROM pg_prepared_xacts p
                  WHERE p.database = current_database()
                    AND p.prepared < now() - interval '10 minutes'),
    'publications', (SELECT coalesce(json_agg(json_build_object(
                         'name', p.pubname, 'all_tables', p.puballtables,
                         'actions', concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END,
                             CASE WHEN p.pubupdate THEN 'update' END,
                             CASE WHEN p.pubdelete THEN 'delete' END,
                             CASE WHEN p.pubtruncate THEN 'truncate' END),
                         'via_root', p.pubviaroot,
                         'schemas', (SELECT json_agg(n.pnnspid::regnamespace::text)
                                       FROM pg_publication_namespace n WHERE n.pnpubid = p.oid),
                         'tables', (SELECT json_agg(json_build_object(
                                        'name', r.prrelid::regclass::text,
                                        'identity', c.relreplident,
                                        'columns', (SELECT json_agg(a.attname ORDER BY a.attnum)
                                                      FROM pg_attribute a
                                                     WHERE a.attrelid = r.prrelid
                                                       AND a.attnum = ANY (r.prattrs)),
                                        'filtered', r.prqual IS NOT NULL)
                                        ORDER BY r.prrelid::regclass::text)
                                      FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                                     WHERE r.prpubid = p.oid)) ORDER BY p.pubname), '[]')
                       FROM pg_publication p));
