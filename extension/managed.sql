-- The schema fatwal for a server that loads no foreign extension: Cloud SQL, RDS, Aurora, Azure,
-- Supabase, Neon and their like. Plain SQL and PL/pgSQL, for any role that may create a schema in
-- the database; `fatwal init --plugin pgoutput` runs it. It may be run again: it adds what is
-- missing, and replaces functions.
--
-- This part has what the extension has in C. The rest follows, and is the extension's own script
-- (extension/managed-sql puts both together), so both have the same functions, tables and errors.
-- Not here are fatwal.decode and fatwal.snapshot, which need the plugin.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'fatwal') THEN
        RAISE EXCEPTION 'the extension fatwal is in the database'
            USING ERRCODE = 'duplicate_object',
                  DETAIL = 'It has all that this script would make.',
                  HINT = 'To do without it: DROP EXTENSION fatwal; which forgets the credentials '
                         'and durable subscribers, too.';
    ELSIF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'database encoding "%" is not supported',
                        pg_catalog.current_setting('server_encoding')
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Use a database whose encoding is UTF8: CREATE DATABASE ... ENCODING '
                         '''UTF8'' TEMPLATE template0;';
    END IF;
END
$$;
DO $$
BEGIN
    IF to_regnamespace('fatwal') IS NULL THEN CREATE SCHEMA fatwal; END IF;
END
$$;
COMMENT ON SCHEMA fatwal IS 'fatwal 0.1 without its extension';

-- An account has at most 255 bytes on one line, in every place where one is given.
CREATE OR REPLACE FUNCTION fatwal.is_one_line(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN value !~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]';
COMMENT ON FUNCTION fatwal.is_one_line(text) IS
    'whether it has neither control characters nor line separators';

-- An integer spells itself: one with leading zeros, or beyond bigint, is a text.
CREATE OR REPLACE FUNCTION fatwal.account_key(account text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(account) > 255 THEN
        RAISE EXCEPTION 'account is too long'
            USING ERRCODE = 'string_data_right_truncation',
                  DETAIL = format('It has %s bytes; at most 255 are allowed.',
                                  octet_length(account)),
                  HINT = 'Rows with such a key go to the operators'' stream.';
    ELSIF NOT fatwal.is_one_line(account) THEN
        RAISE EXCEPTION 'account is not one line of text'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It contains a control character or a line separator.',
                  HINT = 'Give the account''s key as the account column holds it, without control '
                         'characters.';
    END IF;
    RETURN CASE WHEN account ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
                THEN lower(account) ELSE account END;
END
$$;

-- Which column names a table's account, where it is not account_id. Publish this table: fatwald
-- reads it once, and then follows it in its own stream, so a setting takes effect at its place
-- among the changes. `relation` is in dumps by name, and is another number where a dump is
-- restored; the stream needs the number, which `relation_oid` has. fatwal.check() compares them.
CREATE TABLE IF NOT EXISTS fatwal.account_setting (
    relation     regclass PRIMARY KEY,
    relation_oid oid NOT NULL,
    column_name  name NOT NULL
);
COMMENT ON TABLE fatwal.account_setting IS
    'the column that names the account of each table that has another than account_id';

CREATE OR REPLACE FUNCTION fatwal.can_name_account(type oid) RETURNS boolean
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typbasetype, t.typname, t.typoutput FROM pg_type t WHERE t.oid = type
        UNION ALL
        SELECT t.oid, t.typbasetype, t.typname, t.typoutput
          FROM base JOIN pg_type t ON t.oid = base.typbasetype
    )
    -- citext is a type of its own in any schema: it is known by its name and its output.
    SELECT b.oid IN ('uuid'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                     'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
           OR b.typname = 'citext' AND b.typoutput::text LIKE '%citextout'
      FROM base b WHERE b.typbasetype = 0
$$;
COMMENT ON FUNCTION fatwal.can_name_account(oid) IS
    'whether a column of the type can name an account';

-- The rule of every setting, whoever writes it and how. The lock waits for the transactions that
-- have written to the table, and keeps others from writing until this one ends: so a change stands
-- before or after its setting in the stream as it does for the application. It takes the partitions
-- too, which inherit the setting. The rights are the caller's, so the table needs no others.
CREATE OR REPLACE FUNCTION fatwal.check_account_setting() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target regclass := CASE TG_OP WHEN 'DELETE' THEN old.relation ELSE new.relation END;
    class  pg_class;
    named  pg_attribute;
    lists  record;
BEGIN
    SELECT * INTO class FROM pg_class WHERE oid = target;
    -- What is left of a table that was dropped, anybody may delete.
    IF NOT FOUND AND TG_OP = 'DELETE' THEN RETURN old; END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation with OID % does not exist', target::oid
            USING ERRCODE = 'undefined_table';
    END IF;
    IF NOT pg_has_role(class.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of relation %', class.relname
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' AND old.relation <> new.relation THEN
        RAISE EXCEPTION 'the setting of a table cannot become that of another'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT fatwal.clear_account_column(...), fatwal.set_account_column(...);';
    END IF;
    IF TG_OP <> 'DELETE' AND class.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '"%" is not a table', class.relname USING ERRCODE = 'wrong_object_type';
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
    IF TG_OP = 'DELETE' THEN RETURN old; END IF;
    SELECT * INTO named FROM pg_attribute
     WHERE attrelid = target AND attname = new.column_name AND attnum > 0 AND NOT attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'column "%" of relation "%.%" does not exist', new.column_name,
                        (SELECT nspname FROM pg_namespace WHERE oid = class.relnamespace),
                        class.relname
            USING ERRCODE = 'undefined_column';
    ELSIF NOT fatwal.can_name_account(named.atttypid) THEN
        RAISE EXCEPTION 'column "%" of type % cannot name an account', new.column_name,
                        format_type(named.atttypid, NULL)
            USING ERRCODE = 'datatype_mismatch',
                  HINT = 'An account column is of type uuid, int2, int4, int8 or text.';
    END IF;
    -- An INSERT that meets a setting becomes an UPDATE, which comes here, too.
    FOR lists IN SELECT p.pubname
                   FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                  WHERE r.prrelid = target AND named.attnum <> ALL (r.prattrs)
                    AND NOT (TG_OP = 'INSERT' AND EXISTS (
                        SELECT FROM fatwal.account_setting WHERE relation = target)) LOOP
        RAISE WARNING USING
                  MESSAGE = format('publication "%s" does not list column "%s" of table %I, which '
                                   'names the account',
                                   lists.pubname, new.column_name, class.relname),
                  DETAIL = 'If fatwald streams it, changes of the table go to the operators'' '
                           'stream.',
                  HINT = 'SELECT * FROM fatwal.check(); shows the statement that lists it.';
    END LOOP;
    new.relation_oid := target::oid;
    RETURN new;
END
$$;
COMMENT ON FUNCTION fatwal.check_account_setting() IS
    'refuses a setting that is not for the caller to make, or names no column of an account';
CREATE OR REPLACE TRIGGER check_account_setting
    BEFORE INSERT OR UPDATE OR DELETE ON fatwal.account_setting
    FOR EACH ROW EXECUTE FUNCTION fatwal.check_account_setting();
GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.account_setting TO PUBLIC;

-- A setting that is there already is written again: its lock is what the caller waits for.
CREATE OR REPLACE FUNCTION fatwal.set_account_column(relation regclass, column_name name)
    RETURNS void LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO fatwal.account_setting VALUES ($1, $1::oid, $2)
        ON CONFLICT ON CONSTRAINT account_setting_pkey DO UPDATE
        SET column_name = excluded.column_name
$$;

CREATE OR REPLACE FUNCTION fatwal.clear_account_column(relation regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = relation) THEN
        RAISE EXCEPTION 'relation with OID % does not exist', relation::oid
            USING ERRCODE = 'undefined_table';
    END IF;
    DELETE FROM fatwal.account_setting s WHERE s.relation = clear_account_column.relation;
END
$$;

-- The nearest setting counts, the table's own or an ancestor's. A setting whose column has gone
-- names no account, and never falls back to account_id: the column may only have another name now.
CREATE OR REPLACE FUNCTION fatwal.account_column(relation regclass) RETURNS name
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.attname FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.oid = $1 AND c.relnamespace <> 'fatwal'::regnamespace
       AND fatwal.can_name_account(a.atttypid)
       AND a.attname = coalesce(
           (SELECT s.column_name FROM fatwal.account_setting s
             LEFT JOIN pg_partition_ancestors($1) WITH ORDINALITY AS up (relid, distance)
                    ON up.relid = s.relation
             WHERE s.relation = $1 OR c.relispartition AND up.relid IS NOT NULL
             ORDER BY s.relation = $1 DESC, up.distance LIMIT 1), 'account_id')
$$;

-- How deep a value is nested: the brackets outside its strings. Few brackets need no count.
CREATE OR REPLACE FUNCTION fatwal.is_nested_too_deep(payload text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(translate(payload, '[{', '')) >= octet_length(payload) - 10000 THEN
        RETURN false;
    END IF;
    RETURN (SELECT max(depth) > 10000
              FROM (SELECT sum(CASE WHEN b.bracket[1] IN ('[', '{') THEN 1 ELSE -1 END)
                               OVER (ORDER BY b.ordinality) AS depth
                      FROM regexp_matches(regexp_replace(payload, '"([^"\\]|\\.)*"', '', 'g'),
                                          '[][{}]', 'g') WITH ORDINALITY AS b (bracket)) AS d);
END
$$;
COMMENT ON FUNCTION fatwal.is_nested_too_deep(text) IS
    'whether a payload has more levels than the stream sends';

-- A logical message with prefix fatwal: length (2 bytes, the lower first) and text of the account,
-- the same of the topic, then the payload as text. As its owner, so that it works also where the
-- right to write any message is taken from PUBLIC.
CREATE OR REPLACE FUNCTION fatwal.emit(account text, topic text, payload jsonb) RETURNS pg_lsn
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    body   text := coalesce(payload::text, 'null');
    length int;
BEGIN
    IF topic IS NULL THEN
        RAISE EXCEPTION 'topic must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    account := coalesce(account, '');
    IF octet_length(account) > 255 OR octet_length(topic) > 255 THEN
        length := octet_length(CASE WHEN octet_length(account) > 255 THEN account ELSE topic END);
        RAISE EXCEPTION '% is too long',
                        CASE WHEN octet_length(account) > 255 THEN 'account' ELSE 'topic' END
            USING ERRCODE = 'string_data_right_truncation',
                  DETAIL = format('It has %s bytes; at most 255 are allowed.', length);
    ELSIF NOT fatwal.is_one_line(account) THEN
        RAISE EXCEPTION 'account is not one line of text'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It contains a control character or a line separator.',
                  HINT = 'Give the account''s key as the account column holds it, without control '
                         'characters.';
    ELSIF NOT fatwal.is_one_line(topic) THEN
        RAISE EXCEPTION 'topic is not one line of text'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It contains a control character or a line separator.',
                  HINT = 'Name the topic without control characters; the payload may hold any '
                         'text.';
    ELSIF octet_length(topic) + octet_length(body) > 536870912 THEN
        RAISE EXCEPTION 'payload is too large'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s bytes as text; at most %s are sent.',
                                  octet_length(body), 536870912 - octet_length(topic)),
                  HINT = 'Keep the payload in a table and send its key.';
    ELSIF fatwal.is_nested_too_deep(body) THEN
        RAISE EXCEPTION 'payload is nested too deep'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = 'At most 10000 levels are sent.',
                  HINT = 'Keep the payload in a table and send its key.';
    END IF;
    RETURN pg_logical_emit_message(true, 'fatwal',
        set_byte('\x0000'::bytea, 0, octet_length(account)) || convert_to(account, 'UTF8')
        || set_byte('\x0000'::bytea, 0, octet_length(topic)) || convert_to(topic, 'UTF8')
        || convert_to(body, 'UTF8'));
END
$$;

-- By the text of the stored expression, whose nodes stand in braces. An expression may fail if it
-- has a column and either itself or one below it calls a function that may fail: one that the
-- server does not mark as leakproof, is no comparison and not in the list below. It errs on the
-- side of "may fail", as the extension's does.
CREATE OR REPLACE FUNCTION fatwal.filter_can_fail(filter pg_node_tree) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    total   CONSTANT regprocedure[] := ARRAY[
        'float8(float4)', 'float8(int2)', 'float8(int4)', 'float8(int8)', 'int4(int2)',
        'int8(int2)', 'int8(int4)', 'jsonb_array_element(jsonb,int4)',
        'jsonb_array_element_text(jsonb,int4)', 'jsonb_contains(jsonb,jsonb)',
        'jsonb_exists(jsonb,text)', 'jsonb_object_field(jsonb,text)',
        'jsonb_object_field_text(jsonb,text)', 'length(text)', '"numeric"(int2)',
        '"numeric"(int4)', '"numeric"(int8)', 'octet_length(text)', 'starts_with(text,text)',
        'text(bpchar)'];
    kinds   text[] := '{}';
    columns boolean[] := '{}';  -- whether a column is in it or below
    fails   boolean[] := '{}';  -- whether one below may fail
    calls   boolean[] := '{}';  -- whether it calls a function that may fail
    depth   int := 0;
    token   text[];
    result  boolean;
BEGIN
    -- A backslash takes the next character, which may be a brace.
    FOR token IN SELECT m FROM regexp_matches(filter::text,
            '\\.|[{]([A-Z_]+)|([}])|:(opno|opfuncid|funcid) (\d+)', 'g') AS m LOOP
        IF token[1] IS NOT NULL THEN
            depth := depth + 1;
            kinds[depth] := token[1];
            columns[depth] := token[1] = 'VAR';
            fails[depth] := false;
            calls[depth] := token[1] = 'COERCEVIAIO';
        ELSIF token[2] IS NOT NULL THEN
            result := columns[depth] AND (calls[depth] OR fails[depth]);
            depth := depth - 1;
            IF depth = 0 THEN RETURN result; END IF;
            columns[depth] := columns[depth] OR columns[depth + 1];
            fails[depth] := fails[depth] OR result;
        ELSIF token[3] = 'opno' THEN
            -- Ordering operators of a built-in type, and what negates its equality.
            calls[depth] := kinds[depth] <> 'ROWCOMPAREEXPR' AND NOT EXISTS (
                SELECT FROM pg_operator o
                  JOIN pg_amop a ON a.amopopr = o.oid
                                 OR a.amopopr = o.oprnegate AND a.amopstrategy = 3
                  JOIN pg_am m ON m.oid = a.amopmethod
                 WHERE o.oid = token[4]::oid AND o.oid < 16384 AND m.amname = 'btree');
        ELSIF token[3] IS NOT NULL THEN
            calls[depth] := (calls[depth] OR token[3] = 'funcid')
                AND NOT (SELECT p.proleakproof OR p.oid = ANY (total::oid[])
                           FROM pg_proc p WHERE p.oid = token[4]::oid);
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- The part of fatwal.check() on what pgoutput and this schema ask for.
CREATE OR REPLACE FUNCTION fatwal.check_plugin(
    OUT requirement text,
    OUT ok          boolean,
    OUT found       text,
    OUT mend        text
) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'output_plugin_libraries lists pgoutput',
           EXISTS (SELECT FROM regexp_split_to_table(s.setting, ',') AS l
                    WHERE btrim(l, ' "') = 'pgoutput'), s.setting,
           format('ALTER SYSTEM SET output_plugin_libraries = %s; SELECT pg_reload_conf();',
                  concat_ws(', ', nullif(s.setting, ''), 'pgoutput'))
      FROM pg_settings s WHERE s.name = 'output_plugin_libraries'
    UNION ALL
    SELECT * FROM (
        SELECT format('a publication has %s, which fatwald follows', t.name),
               count(p.pubname) > 0, coalesce(string_agg(quote_ident(p.pubname), ', '), 'none'),
               coalesce((SELECT format('ALTER PUBLICATION %I ADD TABLE %s;', min(pubname), t.name)
                           FROM pg_publication WHERE NOT puballtables
                         HAVING count(*) > 0),
                        format('CREATE PUBLICATION ... FOR TABLE %s', t.name))
          FROM unnest(ARRAY['fatwal.account_setting', 'fatwal.credential',
                            'fatwal.credential_grant', 'fatwal.publication_state']) AS t (name)
          LEFT JOIN pg_publication_tables p ON format('%I.%I', p.schemaname, p.tablename) = t.name
         GROUP BY t.name ORDER BY t.name) AS followed
    UNION ALL
    SELECT * FROM (
        SELECT format('the setting of %s names a column that it has', s.relation),
               c.oid IS NOT NULL AND s.relation_oid = s.relation::oid AND a.attname IS NOT NULL,
               CASE WHEN c.oid IS NULL THEN 'the table has gone'
                    WHEN s.relation_oid <> s.relation::oid THEN 'it comes from a restored dump'
                    ELSE coalesce('column ' || quote_ident(a.attname),
                                  format('no column %I', s.column_name)) END,
               CASE WHEN c.oid IS NULL
                    THEN format('DELETE FROM fatwal.account_setting WHERE relation = %s;',
                                s.relation::oid)
                    ELSE format('SELECT fatwal.set_account_column(%L, %s);', s.relation,
                                coalesce(quote_literal(a.attname), '...')) END
          FROM fatwal.account_setting s
          LEFT JOIN pg_class c ON c.oid = s.relation
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.column_name
                                   AND NOT a.attisdropped
         ORDER BY 1) AS settings
    UNION ALL
    -- An account column that is left out sends the table's rows to the operators.
    SELECT * FROM (
        SELECT format('pgoutput sends column %I of %s', a.attname, c.oid::regclass),
               CASE WHEN a.attname = fatwal.account_column(c.oid) THEN false END,
               'it is generated',
               'an ordinary column, which a trigger fills' ||
               CASE a.attgenerated WHEN 's' THEN '; or, on Postgres 18, ALTER PUBLICATION ... SET '
                                                 '(publish_generated_columns = stored);'
                                   ELSE '' END
          FROM (SELECT t.relid, bool_or(to_jsonb(p) ->> 'pubgencols' = 's') AS stored
                  FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) AS t
                 GROUP BY t.relid) AS t
          JOIN pg_class c ON c.oid = t.relid
          JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
         WHERE a.attgenerated = 'v' OR a.attgenerated = 's' AND t.stored IS NOT TRUE
         ORDER BY 1) AS generated
    UNION ALL
    -- pgoutput reads the publication as it was at each change. One that is younger than a slot's
    -- horizon may not have been there; only a slot that has moved on since makes that sure.
    SELECT * FROM (
        SELECT format('publication %I is older than slot %I', p.pubname, s.slot_name),
               CASE WHEN age(p.xmin) > age(s.catalog_xmin) THEN true END,
               CASE WHEN age(p.xmin) > age(s.catalog_xmin) THEN 'yes' ELSE 'not for sure' END,
               format('if fatwald says that the publication does not exist, the slot was made '
                      'first: SELECT pg_drop_replication_slot(%L); fatwald makes it again',
                      s.slot_name)
          FROM pg_publication p
          JOIN pg_replication_slots s ON s.plugin = 'pgoutput' AND s.database = current_database()
         WHERE NOT EXISTS (SELECT FROM pg_subscription WHERE subslotname = s.slot_name)
         ORDER BY 1) AS ages
$$;
COMMENT ON FUNCTION fatwal.check_plugin() IS
    'the part of fatwal.check() on what the output plugin asks for';

