-- What a database lacks for fatwald, as JSON in the order in which it is to be made: `fatwal init`
-- runs this by psql (client/cli/init.cpp, which describes the variables). It only reads.
--
-- Each object has `sql`, a statement, and `who`, null where the caller may run it; or `problem`,
-- `found` and `mend`, for what no statement of the caller mends.
SET jit = off;  -- compiling the query would take seconds
SELECT has_schema_privilege(p.pronamespace, 'USAGE') AS may_ask
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'fatwal' AND p.proname = 'account_column'
UNION ALL SELECT false ORDER BY 1 DESC LIMIT 1 \gset
\if :may_ask
SELECT coalesce(json_object_agg(c.oid, fatwal.account_column(c.oid)), '{}') AS account_columns
  FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 \gset
\else
\set account_columns {}
\endif
WITH me AS (
    SELECT r.*, current_setting('server_version_num')::int AS version,
           EXISTS (SELECT FROM pg_extension WHERE extname = 'fatwal') AS has_extension,
           :'plugin' = 'fatwal' AS by_extension, :'provider' = 'self' AS self_managed
      FROM pg_roles r WHERE r.rolname = current_user
), target AS (
    -- fatwald's role. Where it is still to be made, it may what everybody may.
    SELECT :'role' AS name, r.oid, coalesce(r.rolname, 'public') AS acts_as,
           coalesce(r.rolsuper OR r.rolreplication
                    OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = :'replication_role'
                                  AND pg_has_role(r.oid, g.oid, 'MEMBER')), false) AS replicates
      FROM (SELECT) AS one LEFT JOIN pg_roles r ON r.rolname = :'role'
), named AS (
    SELECT t.name, to_regclass(t.name)::oid AS relid
      FROM json_array_elements_text(:'tables'::json) AS t (name)
), asked AS (
    SELECT c.oid AS relid FROM named t JOIN pg_class c ON c.oid = t.relid
     WHERE c.relkind IN ('r', 'p')
    UNION
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE :'all_tables' = 'true' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
       AND c.oid >= 16384 AND n.nspname NOT IN ('fatwal', 'information_schema')
), read AS (
    -- With their partitions, whose rows fatwald reads.
    SELECT DISTINCT c.oid AS relid, c.relkind, c.relreplident, c.relowner, c.relnamespace,
           c.oid::regclass::text AS name, pg_has_role(c.relowner, 'USAGE') AS mine,
           format(CASE WHEN o.rolsuper THEN 'the owner of %1$s: %2$I'
                       ELSE 'the owner of %1$s: %2$I (or first: GRANT %2$I TO %3$I;)' END,
                  c.oid::regclass, o.rolname, current_user) AS owner,
           EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 'v')
               AS has_virtual,
           EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 's')
               AS has_stored
      FROM asked LEFT JOIN LATERAL pg_partition_tree(asked.relid) AS part ON true
      JOIN pg_class c ON c.oid = coalesce(part.relid, asked.relid)
      JOIN pg_roles o ON o.oid = c.relowner
), columns AS (
    SELECT v ->> 'table' AS name, v ->> 'column' AS column_name,
           to_regclass(v ->> 'table')::oid AS relid
      FROM json_array_elements(:'columns'::json) AS v
), publication AS (
    SELECT :'publication' AS name, p.oid, p.puballtables, pg_has_role(p.pubowner, 'USAGE') AS mine,
           pg_get_userbyid(p.pubowner) AS owner, to_jsonb(p) ->> 'pubgencols' AS generated
      FROM (SELECT) AS one LEFT JOIN pg_publication p ON p.pubname = :'publication'
), slot AS (
    SELECT s.* FROM pg_replication_slots s WHERE s.slot_name = :'slot'
), own AS (
    -- Own tables that fatwald follows by its publication: the plugin fatwal sends its own.
    SELECT format('fatwal.%s', t) AS name,
           (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'fatwal' AND c.relname = t) AS relid
      FROM me, unnest('{account_setting,credential,credential_grant,publication_state}'::text[]) AS t
     WHERE NOT me.by_extension AND (t <> 'account_setting' OR NOT me.has_extension)
), listed AS (
    -- What the publication is to list, if it does not publish all.
    SELECT a.relid, a.relid::regclass::text AS name, false AS is_own FROM asked a
     WHERE :'all_tables' <> 'true'
    UNION ALL SELECT relid, name, true FROM own
), foreign_owner AS (
    -- Who has to add a table to a publication, where the caller may not: its owner.
    SELECT l.relid, format('the owner of %s: %I', l.name, pg_get_userbyid(c.relowner)) AS name
      FROM listed l JOIN pg_class c ON c.oid = l.relid WHERE NOT pg_has_role(c.relowner, 'USAGE')
), missing AS (
    SELECT l.* FROM listed l, publication p
     WHERE NOT coalesce(p.puballtables, false)
       AND NOT EXISTS (SELECT FROM pg_publication_rel r
                        WHERE r.prpubid = p.oid AND r.prrelid = l.relid)
       AND NOT EXISTS (SELECT FROM pg_publication_namespace r JOIN pg_class c ON c.oid = l.relid
                        WHERE r.pnpubid = p.oid AND r.pnnspid = c.relnamespace)
), problem AS (
    SELECT 0 AS rank, format('table %s does not exist', name) AS problem,
           format('in database %I', current_database()) AS found,
           'give its name as psql would: schema.table, and "quotes" where it needs them' AS mend
      FROM (SELECT name, relid FROM named UNION SELECT name, relid FROM columns) AS t
     WHERE relid IS NULL
    UNION ALL
    SELECT 1, format('%s is no table', n.name), 'it cannot be published', 'leave it out'
      FROM named n JOIN pg_class c ON c.oid = n.relid WHERE c.relkind NOT IN ('r', 'p')
    UNION ALL
    SELECT 2, format('table %s has no column %I', c.name, c.column_name), 'for its account',
           format('--account-column %s=COLUMN', c.name)
      FROM columns c
     WHERE c.relid IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.relid
                          AND a.attname = c.column_name AND a.attnum > 0)
    UNION ALL
    SELECT 3, 'the server is a standby', 'it is read only', 'connect to the primary'
     WHERE pg_is_in_recovery()
    UNION ALL
    SELECT 4, format('the encoding of database %I is not UTF8', current_database()), e,
           'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0; then move the data there '
           'with pg_dump and psql'
      FROM current_setting('server_encoding') AS e WHERE e <> 'UTF8'
    UNION ALL
    SELECT 5, 'wal_level is not logical', s.setting, :'wal_level_mend'
      FROM pg_settings s WHERE s.name = 'wal_level' AND s.setting <> 'logical'
    UNION ALL
    SELECT 6, format('the server may not load the output plugin %s', :'plugin'),
           format('output_plugin_libraries is %s', coalesce(nullif(s.setting, ''), 'empty')),
           format('ALTER SYSTEM SET output_plugin_libraries = %s; SELECT pg_reload_conf();',
                  concat_ws(', ', nullif(s.setting, ''), :'plugin'))
      FROM pg_settings s
     WHERE s.name = 'output_plugin_libraries'
       AND NOT EXISTS (SELECT FROM regexp_split_to_table(s.setting, ',') AS l
                        WHERE btrim(l, ' "') = :'plugin')
    UNION ALL
    SELECT 7, 'idle_replication_slot_timeout would lose the slot of a fatwald that rests',
           s.setting || ' ' || s.unit, :'idle_mend'
      FROM pg_settings s
     WHERE s.name = 'idle_replication_slot_timeout' AND s.setting::int BETWEEN 1 AND 86399
    UNION ALL
    SELECT 8, 'the extension fatwal is not installed on the server', 'no fatwal.control',
           'make install there (README.md), or --plugin pgoutput, which needs no extension'
      FROM me WHERE by_extension AND NOT has_extension
       AND NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'fatwal')
    UNION ALL
    SELECT 9, 'the schema fatwal is there without the extension', 'made for plugin pgoutput',
           '--plugin pgoutput; or DROP SCHEMA fatwal CASCADE; which forgets the credentials, '
           'account columns and durable subscribers'
      FROM me WHERE by_extension AND NOT has_extension
       AND EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'fatwal' AND c.relname = 'slot')
    UNION ALL
    -- The server takes a publication FOR ALL TABLES from superusers only.
    SELECT 10, 'a publication FOR ALL TABLES needs a superuser', format('role %I', me.rolname),
           format('list the tables instead of --all-tables: --tables %L',
                  (SELECT string_agg(a.relid::regclass::text, ',' ORDER BY a.relid::regclass::text)
                     FROM asked a JOIN pg_class c ON c.oid = a.relid
                    WHERE NOT c.relispartition))
      FROM me, publication p WHERE :'all_tables' = 'true' AND NOT me.rolsuper AND p.oid IS NULL
    UNION ALL
    SELECT 11, format('publication %I does not publish all tables', p.name), 'it lists tables',
           format('--tables ...; or DROP PUBLICATION %I; and the same again', p.name)
      FROM publication p WHERE :'all_tables' = 'true' AND NOT p.puballtables
    UNION ALL
    SELECT 12, format('slot %I is not of the output plugin %s', slot_name, :'plugin'),
           coalesce(plugin, 'a physical slot'), 'another name: --slot'
      FROM slot WHERE plugin IS DISTINCT FROM :'plugin'
    UNION ALL
    SELECT 13, format('slot %I belongs to another database', slot_name), database,
           'another name: --slot' FROM slot WHERE database <> current_database()
    UNION ALL
    -- pgoutput reads the publication as it was at each change, and fails where it was not there.
    SELECT 14, format('slot %I was made before the publication', s.slot_name),
           'pgoutput could not decode what lies between',
           format('%sSELECT pg_drop_replication_slot(%L); fatwald makes it again',
                  CASE WHEN s.active THEN 'stop fatwald; ' ELSE '' END, s.slot_name)
      FROM slot s, publication p WHERE p.oid IS NULL AND s.plugin = 'pgoutput'
    UNION ALL
    SELECT 15, CASE WHEN t.oid IS NULL THEN format('role %I does not exist', t.name)
                    ELSE format('role %I may not replicate', t.name) END,
           'it cannot be mended by SQL here', :'role_mend'
      FROM target t WHERE :'role_mend' <> '' AND NOT t.replicates
), step AS (
    SELECT 1 AS rank, 0 AS number, 'CREATE EXTENSION fatwal;' AS sql,
           CASE WHEN NOT me.rolsuper THEN 'a superuser' END AS who
      FROM me WHERE by_extension AND NOT has_extension
    UNION ALL
    SELECT 1, 0, NULL,
           CASE WHEN n.oid IS NULL AND NOT has_database_privilege(current_database(), 'CREATE')
                THEN format('the owner of the database: %I', pg_get_userbyid(d.datdba))
                WHEN NOT pg_has_role(n.nspowner, 'USAGE')
                THEN format('the owner of the schema: %I', pg_get_userbyid(n.nspowner)) END
      FROM me JOIN pg_database d ON d.datname = current_database()
      LEFT JOIN pg_namespace n ON n.nspname = 'fatwal'
     WHERE NOT by_extension AND NOT has_extension
       AND obj_description(n.oid, 'pg_namespace') IS DISTINCT FROM :'managed_comment'
    UNION ALL
    SELECT 2, 0, format('CREATE ROLE %I LOGIN%s;', t.name,
                        CASE WHEN :'replication_role' = '' THEN ' REPLICATION' ELSE '' END),
           CASE WHEN me.rolsuper OR me.rolcreaterole
                     AND (NOT me.self_managed OR me.version >= 160000 AND me.rolreplication)
                THEN NULL ELSE :'admin' END
      FROM me, target t WHERE t.oid IS NULL AND :'role_mend' = ''
    UNION ALL
    SELECT 2, 1, CASE WHEN :'replication_role' <> ''
                      THEN format('GRANT %I TO %I;', :'replication_role', t.name)
                      ELSE format('ALTER ROLE %I REPLICATION;', t.name) END,
           CASE WHEN me.rolsuper
                     OR CASE WHEN :'replication_role' = ''
                             THEN me.rolcreaterole AND (NOT me.self_managed OR me.version >= 160000
                                                                            AND me.rolreplication)
                             ELSE EXISTS (SELECT FROM pg_roles g
                                           WHERE g.rolname = :'replication_role'
                                             AND pg_has_role(g.oid, 'MEMBER WITH ADMIN OPTION'))
                                  OR me.rolcreaterole AND me.version < 160000 END
                THEN NULL ELSE :'admin' END
      FROM me, target t
     WHERE NOT t.replicates AND :'role_mend' = ''
       AND (t.oid IS NOT NULL OR :'replication_role' <> '')
    UNION ALL
    SELECT 3, 0, format('GRANT CONNECT ON DATABASE %I TO %I;', d.datname, t.name),
           CASE WHEN NOT pg_has_role(d.datdba, 'USAGE')
                THEN format('the owner of the database: %I', pg_get_userbyid(d.datdba)) END
      FROM target t, pg_database d
     WHERE d.datname = current_database()
       AND NOT has_database_privilege(t.acts_as, d.datname, 'CONNECT')
    UNION ALL
    SELECT 3, 1, format('GRANT USAGE ON SCHEMA fatwal TO %I;', t.name),
           'the owner of the schema: ' || quote_ident(pg_get_userbyid(n.nspowner))
      FROM target t LEFT JOIN pg_namespace n ON n.nspname = 'fatwal'
     WHERE n.oid IS NULL OR NOT has_schema_privilege(t.acts_as, n.oid, 'USAGE')
    UNION ALL
    SELECT 3, g.number, format('GRANT %s ON %s TO %I;', g.rights, g.tables, t.name),
           'the owner of the tables: ' || quote_ident(pg_get_userbyid(max(c.relowner)))
      FROM me, target t,
           LATERAL (VALUES (2, 'SELECT, INSERT, UPDATE, DELETE',
                            'fatwal.subscriber, fatwal.slot' ||
                            CASE WHEN me.by_extension THEN '' ELSE ', fatwal.publication_state'
                            END),
                           (3, 'SELECT', 'fatwal.credential, fatwal.credential_grant'))
               AS g (number, rights, tables)
     CROSS JOIN LATERAL regexp_split_to_table(g.tables, ', ') AS one
     CROSS JOIN LATERAL regexp_split_to_table(g.rights, ', ') AS priv
      LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'fatwal')
             ON 'fatwal.' || c.relname = one
     GROUP BY t.name, g.number, g.rights, g.tables
    HAVING bool_or(c.oid IS NULL OR NOT has_table_privilege(t.acts_as, c.oid, priv))
    UNION ALL
    -- For the account columns, and for `fatwal doctor`.
    SELECT 3, 4, format('GRANT USAGE ON SCHEMA fatwal TO %I;', me.rolname),
           'the owner of the schema: ' || quote_ident(pg_get_userbyid(n.nspowner))
      FROM me LEFT JOIN pg_namespace n ON n.nspname = 'fatwal'
     WHERE CASE WHEN n.oid IS NULL THEN me.by_extension AND NOT me.rolsuper
                ELSE NOT has_schema_privilege(n.oid, 'USAGE') END
    UNION ALL
    SELECT 4, 0, format('SELECT fatwal.set_account_column(%L, %L);', c.relid::regclass,
                        c.column_name),
           CASE WHEN NOT pg_has_role(t.relowner, 'USAGE')
                THEN format('the owner of %s: %I', t.oid::regclass, pg_get_userbyid(t.relowner)) END
      FROM columns c JOIN pg_class t ON t.oid = c.relid
     WHERE (:'account_columns'::json ->> c.relid::text) IS DISTINCT FROM c.column_name
    UNION ALL
    SELECT 5, 0, format('ALTER TABLE %s REPLICA IDENTITY FULL;', r.name),
           CASE WHEN NOT r.mine THEN r.owner END
      FROM me, read r
     -- pgoutput describes a partition's row by the identity of the table that it is published as.
     WHERE :'keep_identities' <> 'true' AND (r.relkind = 'r' OR NOT me.by_extension)
       AND r.relreplident <> 'f'
       AND NOT r.has_virtual
    UNION ALL
    SELECT DISTINCT 6, 0, format('GRANT USAGE ON SCHEMA %I TO %I;', n.nspname, t.name),
           CASE WHEN NOT pg_has_role(n.nspowner, 'USAGE')
                THEN format('the owner of the schema: %I', pg_get_userbyid(n.nspowner)) END
      FROM read r JOIN pg_namespace n ON n.oid = r.relnamespace, target t
     WHERE NOT has_schema_privilege(t.acts_as, n.oid, 'USAGE')
    UNION ALL
    SELECT 6, 1, format('GRANT SELECT ON %s TO %I;', r.name, t.name),
           CASE WHEN NOT r.mine AND NOT has_table_privilege(r.relid, 'SELECT WITH GRANT OPTION')
                THEN r.owner END
      FROM read r, target t WHERE NOT has_table_privilege(t.acts_as, r.relid, 'SELECT')
    UNION ALL
    SELECT 7, 0, format('CREATE PUBLICATION %I%s%s;', p.name,
                        CASE WHEN :'all_tables' = 'true' THEN ' FOR ALL TABLES'
                             ELSE ' FOR TABLE ' || (SELECT string_agg(l.name, ', '
                                                                      ORDER BY l.is_own, l.name)
                                                      FROM listed l) END,
                        CASE WHEN me.version >= 180000 AND EXISTS (SELECT FROM read
                                                                    WHERE has_stored)
                             THEN ' WITH (publish_generated_columns = stored)' ELSE '' END),
           coalesce((SELECT 'who owns all of its tables, or a superuser (' ||
                            string_agg(name, ', ' ORDER BY name) || ')' FROM foreign_owner
                     HAVING count(*) > 0),
                    CASE WHEN NOT has_database_privilege(current_database(), 'CREATE')
                         THEN format('the owner of the database: %I', pg_get_userbyid(d.datdba))
                    END)
      FROM me, publication p, pg_database d
     WHERE p.oid IS NULL AND d.datname = current_database()
    UNION ALL
    SELECT 7, 1, format('ALTER PUBLICATION %I ADD TABLE %s;', p.name,
                        string_agg(m.name, ', ' ORDER BY m.is_own, m.name)),
           CASE WHEN NOT p.mine THEN format('the owner of the publication: %I', p.owner)
                ELSE (SELECT string_agg(o.name, ', ' ORDER BY o.name) FROM foreign_owner o
                       WHERE o.relid IN (SELECT relid FROM missing)) END
      FROM missing m, publication p WHERE p.oid IS NOT NULL GROUP BY p.name, p.mine, p.owner
    UNION ALL
    SELECT 7, 2, format('ALTER PUBLICATION %I SET (publish_generated_columns = stored);', p.name),
           CASE WHEN NOT p.mine THEN format('the owner of the publication: %I', p.owner) END
      FROM publication p
     WHERE p.generated = 'n' AND EXISTS (SELECT FROM read WHERE has_stored)
)
SELECT coalesce(json_agg(line ORDER BY is_step, rank, number, text), '[]') FROM (
    SELECT false AS is_step, rank, 0 AS number, problem AS text,
           json_build_object('problem', problem, 'found', found, 'mend', mend) AS line
      FROM problem
    UNION ALL
    SELECT true, s.rank, s.number, s.sql,
           json_build_object('sql', s.sql, 'who', CASE
               -- Tables that this plan makes belong to whoever makes them.
               WHEN s.rank = 3 AND s.number > 0
               THEN CASE WHEN EXISTS (SELECT FROM step o WHERE o.rank = 1)
                         THEN (SELECT o.who FROM step o WHERE o.rank = 1)
                         WHEN pg_has_role((SELECT nspowner FROM pg_namespace
                                            WHERE nspname = 'fatwal'), 'USAGE')
                         THEN NULL ELSE s.who END
               ELSE s.who END)
      FROM step s
    UNION ALL
    SELECT true, 8, 0, NULL,
           json_build_object('sql', format('SELECT pg_create_logical_replication_slot(%L, %L%s);',
                                           :'slot', :'plugin',
                                           CASE WHEN me.version >= 170000
                                                THEN ', failover => true' ELSE '' END),
                             'apart', true,
                             'who', CASE WHEN NOT (me.rolsuper OR me.rolreplication
                                 OR EXISTS (SELECT FROM pg_roles g
                                             WHERE g.rolname = :'replication_role'
                                               AND pg_has_role(g.oid, 'MEMBER')))
                                         THEN format('%I, or another role that may replicate',
                                                     :'role') END)
      FROM me WHERE :'create_slot' = 'true' AND NOT EXISTS (SELECT FROM slot)
) AS plan;
