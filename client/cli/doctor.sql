-- What `fatwal doctor` and `fatwal bundle` read from the database: one JSON object. Whoever may not
-- read a part gets null for it, and the judgement (client/cli/diagnosis.cpp) leaves it out.
SET search_path = pg_catalog, pg_temp;
SET jit = off;
SELECT coalesce(has_schema_privilege(to_regnamespace('fatwal'), 'USAGE'), false) AS usable \gset
\if :usable
SELECT to_regproc('fatwal.check') IS NOT NULL AS installed,
       coalesce(has_table_privilege(to_regclass('fatwal.slot'), 'SELECT') AND
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
-- By it a slot of pgoutput is known as fatwald's: it may be a subscription's.
\set recorded '{}'
\if :has_slots
SELECT coalesce(array_agg(slot), '{}') AS recorded
  FROM (SELECT slot FROM fatwal.slot UNION SELECT slot FROM fatwal.publication_state) AS r \gset
\endif
\set credentials null
\if :has_keys
SELECT coalesce(json_agg(json_build_object('name', name, 'expires_in_s',
           extract(epoch FROM expires_at - now())::bigint) ORDER BY expires_at, name), '[]')
           AS credentials
  FROM fatwal.credential WHERE expires_at IS NOT NULL \gset
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
