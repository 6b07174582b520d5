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

-- What the publications publish, from their catalogs alone: pg_get_publication_tables() waits for whoever has locked one of
-- the tables (since 16), and so does pg_partition_tree() for a partition. Each table, and each partition, with the table
-- that it is published as, and that one's column list and row filter.
CREATE FUNCTION fatwal.published_relations(
    publications     text[],
    OUT pubname      name,
    OUT relation     oid,
    OUT published_as oid,
    OUT prattrs      int2vector,
    OUT prqual       pg_node_tree
) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT p.pubname, c.oid, shown.oid, r.prattrs, r.prqual
      FROM pg_publication p
      JOIN pg_class c ON c.relkind = 'r' OR c.relkind = 'p' AND p.pubviaroot
     -- The topmost that the publication names, of the table and what it is a partition of.
     CROSS JOIN LATERAL (
        SELECT k.oid, k.relnamespace
          FROM (SELECT c.oid AS relid, 0 AS level
                UNION ALL
                SELECT a.relid, a.level
                  FROM pg_partition_ancestors(CASE WHEN c.relispartition THEN c.oid END)
                       WITH ORDINALITY AS a (relid, level)
                 WHERE a.relid <> c.oid) AS chain
          JOIN pg_class k ON k.oid = chain.relid
         WHERE p.puballtables
            OR EXISTS (SELECT FROM pg_publication_rel r
                        WHERE r.prpubid = p.oid AND r.prrelid = k.oid)
            OR EXISTS (SELECT FROM pg_publication_namespace n
                        WHERE n.pnpubid = p.oid AND n.pnnspid = k.relnamespace)
         ORDER BY chain.level DESC LIMIT 1) AS named
      JOIN pg_class shown ON shown.oid = CASE WHEN p.pubviaroot THEN named.oid ELSE c.oid END
      LEFT JOIN pg_publication_rel r
             ON r.prpubid = p.oid AND r.prrelid = shown.oid AND NOT p.puballtables
            AND NOT EXISTS (SELECT FROM pg_publication_namespace n
                             WHERE n.pnpubid = p.oid AND n.pnnspid = shown.relnamespace)
     WHERE p.pubname = ANY (publications) AND c.relpersistence = 'p' AND c.oid >= 16384
$$;
COMMENT ON FUNCTION fatwal.published_relations(text[]) IS
    'what the publications publish, without a lock on a table: each table and partition, and as which table it goes';

-- With the output plugin pgoutput nothing in the stream says that a publication was altered. So fatwald compares from time
-- to time, and writes down here that it has: it follows this table in its own stream (publish it), so its subscribers'
-- resync stands at one place among the changes, whoever reads them and when.
CREATE TABLE fatwal.publication_state (
    slot       name PRIMARY KEY,
    routes     jsonb NOT NULL,
    resync     boolean NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fatwal.publication_state IS
    'how tables were published when fatwald last compared, for slots of the output plugin pgoutput';

-- Of each published table, and partition (and of what is not published nothing):
-- - its route: as which table the rows go, and which of them; by rows of the catalogs that are others (xmin) when they
--   were altered and altered back meanwhile (of a table that was renamed, the row of its type; of one that was detached,
--   its links); which columns were added with a default that no change brings; which one is account_id;
-- - its columns and its file. A new file for other columns has values that no change brings; one for the same columns is
--   VACUUM FULL's or TRUNCATE's. A rewrite by ALTER TABLE makes a new TOAST table, which is in the route;
-- - whether it has moved since it was made: a table that is new to the comparison goes its way from its first row on,
--   unless it was made first, and then listed, renamed, attached, or moved into a schema.
--
-- A row of a system column (attnum -1) is written when the table is made, and never again: what is younger than that came
-- later. In one transaction the command tells (cmin). ATTACH writes the columns again, in the command of its link.
--
-- Who had a transaction open when a publication was altered may have written rows that are decoded by how it was before,
-- and no snapshot sees them yet. So another resync follows when the last of those transactions has ended ("until").
CREATE FUNCTION fatwal.note_publications(slot_name name, publications text[]) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET lock_timeout = '1s' AS $$
DECLARE
    before    jsonb;
    found_now jsonb;
    sees      pg_snapshot;
    until     bigint;
    due       boolean;
    differs   boolean;
BEGIN
    -- What the stream would not show is not noted: it is when it is published again.
    IF NOT EXISTS (SELECT FROM fatwal.published_relations(publications) JOIN pg_publication USING (pubname)
                    WHERE relation = 'fatwal.publication_state'::regclass
                      AND pubinsert AND prattrs IS NULL AND prqual IS NULL) THEN
        RETURN NULL;
    END IF;
    -- One at a time: who waits for the other is to see what that one has noted.
    LOCK TABLE fatwal.publication_state IN SHARE ROW EXCLUSIVE MODE;
    SELECT routes INTO before FROM fatwal.publication_state WHERE slot = slot_name;
    IF jsonb_typeof(before) <> 'object' THEN before := NULL; END IF;
    until := (before ->> 'until')::bigint;
    before := before - 'until';
    WITH published AS (
        SELECT p.relation,
               string_agg(concat_ws('/', n.nspname, k.relname, p.prattrs, p.prqual, q.pubinsert,
                                    q.pubupdate, q.pubdelete, q.xmin, l.xmin, s.xmin, t.xmin,
                                    above.links), ','
                          ORDER BY p.pubname) AS route,
               bool_or(l.prrelid = p.relation OR above.is_late OR age(q.xmin) < age(made.xmin)
                       OR age(s.xmin) <= age(made.xmin) OR age(l.xmin) <= age(made.xmin)
                       OR own.xmin <> made.xmin OR own.cmin::text <> made.cmin::text) AS moved
          FROM fatwal.published_relations(publications) AS p
          JOIN pg_publication q USING (pubname)
          JOIN pg_class c ON c.oid = p.relation
          JOIN pg_type own ON own.oid = c.reltype
          JOIN pg_attribute made ON made.attrelid = c.oid AND made.attnum = -1
          JOIN pg_class k ON k.oid = p.published_as
          JOIN pg_namespace n ON n.oid = k.relnamespace
          JOIN pg_type t ON t.oid = k.reltype
          LEFT JOIN pg_publication_rel l ON l.prpubid = q.oid AND l.prrelid = p.published_as
          LEFT JOIN pg_publication_namespace s ON s.pnpubid = q.oid AND s.pnnspid = k.relnamespace
         CROSS JOIN LATERAL (
            SELECT string_agg(concat_ws('.', i.inhparent, i.xmin), ',' ORDER BY a.level) AS links,
                   bool_or(CASE WHEN i.inhrelid = c.oid
                                THEN NOT EXISTS (
                                    SELECT FROM pg_attribute y
                                     WHERE y.attrelid = c.oid AND y.attnum > 0 AND y.xmin = i.xmin
                                       AND y.cmin::text::bigint < i.cmin::text::bigint)
                                ELSE age(i.xmin) < age(made.xmin)
                                     OR i.xmin = made.xmin
                                        AND i.cmin::text::bigint > made.cmin::text::bigint
                           END) AS is_late
              FROM pg_partition_ancestors(CASE WHEN c.relispartition THEN c.oid END)
                   WITH ORDINALITY AS a (relid, level)
              JOIN pg_inherits i ON i.inhrelid = a.relid) AS above
         GROUP BY p.relation
    ), columns AS (
        SELECT a.attrelid, string_agg(concat(a.attnum, '.', a.xmin), ',' ORDER BY a.attnum) AS all,
               string_agg(a.attnum::text, ',' ORDER BY a.attnum) FILTER (WHERE a.atthasmissing) AS given,
               max(a.attnum) FILTER (WHERE a.attname = 'account_id') AS account
          FROM pg_attribute a WHERE a.attrelid >= 16384 AND a.attnum > 0
         GROUP BY a.attrelid
    )
    SELECT coalesce(jsonb_object_agg(c.oid, CASE WHEN p.relation IS NOT NULL THEN jsonb_build_array(
               hashtextextended(concat_ws('/', p.route, a.given, 'account', a.account,
                                          'toast', c.reltoastrelid), 0),
               hashtextextended(a.all, 0), c.relfilenode,
               coalesce(p.moved, false) OR c.relfilenode <> c.oid OR a.given IS NOT NULL)
               ELSE '[]' END), '{}'), pg_current_snapshot()
      INTO found_now, sees
      FROM pg_class c
      LEFT JOIN published p ON p.relation = c.oid
      LEFT JOIN columns a ON a.attrelid = c.oid
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= 16384
       -- fatwald's notes of itself are not; its other tables decide who gets the rows.
       AND c.oid <> ALL ('{fatwal.subscriber,fatwal.slot,fatwal.publication_state}'::regclass[]);
    due := coalesce(pg_snapshot_xmin(sees)::text::bigint >= until, false);
    IF before = found_now AND NOT due THEN RETURN false; END IF;
    differs := EXISTS (
        SELECT FROM jsonb_each(before) AS b LEFT JOIN jsonb_each(found_now) AS f USING (key)
         WHERE b.value -> 0 IS DISTINCT FROM f.value -> 0
            OR b.value -> 1 <> f.value -> 1 AND b.value -> 2 <> f.value -> 2)
        OR EXISTS (
        SELECT FROM jsonb_each(found_now) AS f WHERE f.value ->> 3 = 'true' AND NOT before ? f.key);
    IF differs THEN
        SELECT max(x::text::bigint) + 1 INTO until FROM pg_snapshot_xip(sees) AS x
         WHERE x IS DISTINCT FROM pg_current_xact_id_if_assigned();
    ELSIF due THEN
        until := NULL;
    END IF;
    IF until IS NOT NULL THEN found_now := found_now || jsonb_build_object('until', until::text); END IF;
    -- An INSERT, for a publication that publishes no updates.
    DELETE FROM fatwal.publication_state WHERE slot = slot_name;
    INSERT INTO fatwal.publication_state (slot, routes, resync) VALUES (slot_name, found_now, differs OR due);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fatwal.publication_state was not written'
            USING HINT = 'A trigger of that table keeps its rows away: DROP TRIGGER ... ON fatwal.publication_state;';
    END IF;
    RETURN differs OR due;
END
$$;
COMMENT ON FUNCTION fatwal.note_publications(name, text[]) IS
    'compares how tables are published with when it was last called for the slot; true where subscribers need a new snapshot';

CREATE FUNCTION fatwal.account_key(account text) RETURNS text
    AS 'MODULE_PATHNAME', 'fatwal_account_key' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION fatwal.account_key(text) IS
    'the key of an account as the stream spells it: a uuid in lower case, any other text as it is';

-- Credentials: who may connect from another host, and what each may read. The plugin sends all
-- changes of both tables to the operators, whatever the publications say (extension/own_tables.h),
-- and fatwald follows them in its own stream. Dumps have their rows.
-- The functions have no more privileges than their caller: whoever may write the tables may call
-- them.
CREATE FUNCTION fatwal.is_credential_name(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN octet_length(name) BETWEEN 1 AND 40
           AND name !~ '[/\u0001-\u001f\u007f-\u009f\u2028\u2029]';
COMMENT ON FUNCTION fatwal.is_credential_name(text) IS
    'whether it has 1 to 40 bytes, on one line, and no slash';

CREATE FUNCTION fatwal.is_public_key(key text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN key ~ '^[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}$';
COMMENT ON FUNCTION fatwal.is_public_key(text) IS
    'whether it is spelled as a CURVE key is: 40 characters of the alphabet Z85';

CREATE TABLE fatwal.credential (
    name       text NOT NULL CHECK (fatwal.is_credential_name(name)),
    public_key text NOT NULL UNIQUE CHECK (fatwal.is_public_key(public_key)),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (name, public_key)
);
COMMENT ON TABLE fatwal.credential IS
    'the public keys by which each credential connects: two while one takes the place of the other';

CREATE TABLE fatwal.credential_grant (
    name    text NOT NULL CHECK (fatwal.is_credential_name(name)),
    scope   text NOT NULL CHECK (scope IN ('account', 'every account', 'operators')),
    account text NOT NULL DEFAULT '' CHECK (account = fatwal.account_key(account)),
    PRIMARY KEY (name, scope, account),
    CHECK (scope = 'account' OR account = '')
);
COMMENT ON TABLE fatwal.credential_grant IS
    'what each credential may read; accounts as the stream spells them';

SELECT pg_catalog.pg_extension_config_dump('fatwal.credential', '');
SELECT pg_catalog.pg_extension_config_dump('fatwal.credential_grant', '');

CREATE FUNCTION fatwal.require_credential_name(name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF fatwal.is_credential_name(name) THEN RETURN; END IF;
    RAISE EXCEPTION '% is not the name of a credential', coalesce(quote_literal(name), 'null')
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = 'A name has 1 to 40 bytes, on one line, and no slash.',
              HINT = 'Name the program that connects, for example ''worker-1''.';
END
$$;
COMMENT ON FUNCTION fatwal.require_credential_name(text) IS
    'raises an error for what is not the name of a credential';

CREATE FUNCTION fatwal.add_credential(
    name       text,
    public_key text,
    expires_at timestamptz DEFAULT NULL
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    holder text;
BEGIN
    PERFORM fatwal.require_credential_name(add_credential.name);
    IF fatwal.is_public_key(add_credential.public_key) IS NOT TRUE THEN
        -- Without what was given: it may be a secret.
        RAISE EXCEPTION 'public_key is not a public key'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = CASE length(add_credential.public_key)
                               WHEN 40 THEN 'It has a character that is not of the alphabet Z85.'
                               ELSE format('It has %s characters; a key has 40.',
                                           coalesce(length(add_credential.public_key), 0)) END,
                  HINT = '"fatwal keygen FILE" makes a pair of keys and prints the public one.';
    END IF;
    SELECT c.name INTO holder FROM fatwal.credential c
     WHERE c.public_key = add_credential.public_key AND c.name <> add_credential.name;
    IF FOUND THEN
        RAISE EXCEPTION 'credential "%" has this public key', holder
            USING ERRCODE = 'unique_violation',
                  DETAIL = 'A key belongs to one credential: it says who connects.',
                  HINT = format('Make another pair of keys, or: SELECT fatwal.remove_credential'
                                '(%L, %L);', holder, add_credential.public_key);
    END IF;
    IF NOT EXISTS (SELECT FROM fatwal.credential c WHERE c.name = add_credential.name)
       AND EXISTS (SELECT FROM fatwal.credential_grant g WHERE g.name = add_credential.name) THEN
        RAISE NOTICE 'credential "%" has grants from before', add_credential.name
            USING DETAIL = 'They were kept when its last key was removed.',
                  HINT = format('SELECT * FROM fatwal.credential_grant WHERE name = %L;',
                                add_credential.name);
    END IF;
    INSERT INTO fatwal.credential AS c (name, public_key, expires_at)
    VALUES (add_credential.name, add_credential.public_key, add_credential.expires_at)
        ON CONFLICT ON CONSTRAINT credential_pkey DO UPDATE SET expires_at = excluded.expires_at
     WHERE c.expires_at IS DISTINCT FROM excluded.expires_at;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION fatwal.add_credential(text, text, timestamptz) IS
    'lets whoever has the key connect as the credential, until it expires (null: never); '
    'false: that was so already';

-- The keys go first. A grant that is made meanwhile has locked them (add_grant), so either its row
-- is there when the grants are removed, or it finds no credential.
CREATE FUNCTION fatwal.remove_credential(name text, public_key text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed boolean;
BEGIN
    PERFORM fatwal.require_credential_name(remove_credential.name);
    DELETE FROM fatwal.credential c
     WHERE c.name = remove_credential.name
       AND c.public_key = coalesce(remove_credential.public_key, c.public_key);
    removed := FOUND;
    IF remove_credential.public_key IS NULL THEN
        DELETE FROM fatwal.credential_grant g WHERE g.name = remove_credential.name;
        removed := removed OR FOUND;
    END IF;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION fatwal.remove_credential(text, text) IS
    'removes the credential with all its keys and grants, or only the key that is given; '
    'false: there was none';

CREATE FUNCTION fatwal.add_grant(credential text, scope text, account text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM fatwal.require_credential_name(add_grant.credential);
    IF add_grant.account IS NULL THEN
        RAISE EXCEPTION 'account must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = format('For the operators'' stream: SELECT fatwal.grant_operators(%L);',
                                add_grant.credential);
    END IF;
    PERFORM FROM fatwal.credential c WHERE c.name = add_grant.credential FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'credential "%" does not exist', add_grant.credential
            USING ERRCODE = 'undefined_object',
                  DETAIL = 'It has no public key.',
                  HINT = format('SELECT fatwal.add_credential(%L, ''PUBLIC KEY'');',
                                add_grant.credential);
    END IF;
    INSERT INTO fatwal.credential_grant (name, scope, account)
    VALUES (add_grant.credential, add_grant.scope, fatwal.account_key(add_grant.account))
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION fatwal.add_grant(text, text, text) IS
    'what fatwal.grant, grant_every_account and grant_operators have in common';

CREATE FUNCTION fatwal.remove_grant(credential text, scope text, account text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed boolean;
BEGIN
    PERFORM fatwal.require_credential_name(remove_grant.credential);
    IF remove_grant.account IS NULL THEN
        RAISE EXCEPTION 'account must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = format('For the operators'' stream: SELECT fatwal.revoke_operators(%L);',
                                remove_grant.credential);
    END IF;
    DELETE FROM fatwal.credential_grant g
     WHERE g.name = remove_grant.credential AND g.scope = remove_grant.scope
       AND g.account = fatwal.account_key(remove_grant.account);
    removed := FOUND;
    IF remove_grant.scope = 'account'
       AND EXISTS (SELECT FROM fatwal.credential_grant g
                    WHERE g.name = remove_grant.credential AND g.scope = 'every account') THEN
        RAISE WARNING 'credential "%" may still read the account', remove_grant.credential
            USING DETAIL = 'It may read every account.',
                  HINT = format('SELECT fatwal.revoke_every_account(%L);',
                                remove_grant.credential);
    ELSIF remove_grant.scope = 'every account'
       AND EXISTS (SELECT FROM fatwal.credential_grant g
                    WHERE g.name = remove_grant.credential AND g.scope = 'account') THEN
        RAISE WARNING 'credential "%" may still read single accounts', remove_grant.credential
            USING DETAIL = 'They were granted one by one.',
                  HINT = format('SELECT fatwal.revoke(name, account) FROM fatwal.credential_grant '
                                'WHERE name = %L AND scope = ''account'';',
                                remove_grant.credential);
    END IF;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION fatwal.remove_grant(text, text, text) IS
    'what fatwal.revoke, revoke_every_account and revoke_operators have in common';

-- GRANT is a reserved word, but not behind the name of a schema.
CREATE FUNCTION fatwal.grant(credential text, account text) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT fatwal.add_grant($1, 'account', $2) $$;
COMMENT ON FUNCTION fatwal.grant(text, text) IS
    'lets the credential read the account; false: that was so already';

CREATE FUNCTION fatwal.grant_every_account(credential text) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT fatwal.add_grant($1, 'every account', '') $$;
COMMENT ON FUNCTION fatwal.grant_every_account(text) IS
    'lets the credential read every account, later ones too, but not the operators'' stream; '
    'false: that was so already';

CREATE FUNCTION fatwal.grant_operators(credential text) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT fatwal.add_grant($1, 'operators', '') $$;
COMMENT ON FUNCTION fatwal.grant_operators(text) IS
    'lets the credential read the operators'' stream and manage fatwald; '
    'false: that was so already';

CREATE FUNCTION fatwal.revoke(credential text, account text) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT fatwal.remove_grant($1, 'account', $2) $$;
COMMENT ON FUNCTION fatwal.revoke(text, text) IS
    'takes back fatwal.grant; false: there was nothing to take back';

CREATE FUNCTION fatwal.revoke_every_account(credential text) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT fatwal.remove_grant($1, 'every account', '') $$;
COMMENT ON FUNCTION fatwal.revoke_every_account(text) IS
    'takes back fatwal.grant_every_account, and nothing that was granted by fatwal.grant; '
    'false: there was nothing to take back';

CREATE FUNCTION fatwal.revoke_operators(credential text) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT fatwal.remove_grant($1, 'operators', '') $$;
COMMENT ON FUNCTION fatwal.revoke_operators(text) IS
    'takes back fatwal.grant_operators; false: there was nothing to take back';

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
    OUT new         json,
    OUT old         json,
    OUT unavailable text[]
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'fatwal_decode' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION fatwal.decode(bytea) IS 'the events in messages of the output plugin, one behind the other; decode the messages of a stream in order, as each schema comes before its frames';

CREATE FUNCTION fatwal.snapshot(account text, publication text) RETURNS SETOF bytea
    AS 'MODULE_PATHNAME', 'fatwal_snapshot' LANGUAGE C STABLE ROWS 1000;
COMMENT ON FUNCTION fatwal.snapshot(text, text) IS 'the rows of an account, as messages of the output plugin; of a null account those that belong to none';

CREATE FUNCTION fatwal.filter_can_fail(filter pg_node_tree) RETURNS boolean
    AS 'MODULE_PATHNAME', 'fatwal_filter_can_fail' LANGUAGE C IMMUTABLE STRICT;
COMMENT ON FUNCTION fatwal.filter_can_fail(pg_node_tree) IS
    'whether a stored expression, as a publication''s row filter in pg_publication_rel.prqual, may raise an error for some row';

-- The part of fatwal.check() on replica identities and row filters.
--
-- An identity decides two things: what of an old row the log has, and whether the server accepts an
-- application's UPDATE and DELETE at all. The server refuses them when a publication of updates or deletes
-- demands more than the identity has: any identity; one within its column list (under FULL: no list); one
-- that has each column of its row filter; since 18 one without generated columns that it leaves out.
-- So FULL is the advice where it is possible, and an index over the key and the account column where it is
-- not. All of it concerns the leaf that holds the row, also when the publication names its root.
-- JIT is off: the planner cannot know that few rows come, and compiling the query took seconds.
CREATE FUNCTION fatwal.check_identities(
    OUT requirement text,
    OUT ok          boolean,
    OUT found       text,
    OUT mend        text
) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH published AS (
        -- A leaf, a publication of its updates or deletes, and the restrictions of the table that this names.
        SELECT c.oid AS leaf, p.pubname, t.relid AS named, r.prattrs, r.prqual, r.prattrs IS NOT NULL AS listed,
               coalesce(to_jsonb(p) ->> 'pubgencols', 'n') = 's' AS publishes_stored  -- only 18 has this column
          FROM pg_publication p
         CROSS JOIN LATERAL pg_get_publication_tables(p.pubname) AS t
          LEFT JOIN LATERAL pg_partition_tree(t.relid) AS part ON part.isleaf
          JOIN pg_class c ON c.oid = coalesce(part.relid, t.relid)
          LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = t.relid
         WHERE (p.pubupdate OR p.pubdelete) AND c.relkind = 'r' AND c.relnamespace <> 'fatwal'::regnamespace
    ), leaf AS (
        SELECT c.oid AS leaf, c.oid::regclass AS name, c.relname, c.relreplident AS kind,
               -- What the log has of an old row; null: there is no identity.
               CASE c.relreplident WHEN 'f' THEN (SELECT array_agg(a.attname) FROM pg_attribute a
                                              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
                                   WHEN 'n' THEN NULL
                                   ELSE (SELECT array_agg(a.attname) FROM pg_index i
                                           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
                                          WHERE i.indrelid = c.oid AND i.indimmediate AND i.indisvalid
                                            AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) END AS identity,
               (SELECT array_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum))
                  FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
                 WHERE i.indrelid = c.oid AND i.indisprimary) AS key,
               -- Before 18 a publication does not ask for generated columns.
               (SELECT array_agg(a.attname) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attgenerated = 's' AND NOT a.attisdropped
                   AND current_setting('server_version_num')::int >= 180000) AS stored,
               (SELECT array_agg(a.attname) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attgenerated = 'v' AND NOT a.attisdropped) AS virtual
          FROM pg_class c WHERE c.oid IN (SELECT leaf FROM published)
    ), demand AS (
        -- Columns go by their names: those of a partition and of its root have numbers of their own.
        SELECT p.leaf, p.pubname, p.named, p.listed, p.prqual, p.publishes_stored,
               (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                 WHERE a.attrelid = p.named AND a.attnum = ANY (p.prattrs)) AS list,
               (SELECT array_agg(DISTINCT a.attname) FROM regexp_matches(p.prqual::text, ':varattno (\d+)', 'g') AS v(number)
                  JOIN pg_attribute a ON a.attrelid = p.named AND a.attnum = v.number[1]::int2) AS filtered,
               fatwal.account_column(p.named) AS account
          FROM published p
    ), refusal AS (
        SELECT l.leaf, CASE
                   WHEN l.identity IS NULL THEN 'no replica identity'
                   WHEN d.listed AND l.kind = 'f'
                       THEN format('publication %I has a column list, which FULL does not go with', d.pubname)
                   WHEN d.listed AND NOT l.identity <@ d.list
                       THEN format('the column list of publication %I lacks columns of the identity', d.pubname)
                   WHEN NOT d.filtered <@ l.identity
                       THEN format('the row filter of publication %I uses columns outside the identity', d.pubname)
                   WHEN l.identity && l.virtual OR NOT d.publishes_stored AND NOT d.listed AND l.identity && l.stored
                       THEN format('publication %I leaves out generated columns of the identity', d.pubname)
               END AS reason
          FROM leaf l JOIN demand d USING (leaf)
    ), advice AS (
        SELECT l.*, d.account, d.no_full,
               (SELECT string_agg(r.reason, '; ' ORDER BY r.reason)
                  FROM (SELECT DISTINCT reason FROM refusal WHERE refusal.leaf = l.leaf) AS r) AS reasons,
               (SELECT array_agg(w.attname ORDER BY array_position(l.key, w.attname), w.attname)
                  FROM (SELECT unnest(l.key) UNION SELECT unnest(d.account) UNION SELECT unnest(d.filtered)) AS w(attname)) AS wanted
          FROM leaf l
         CROSS JOIN LATERAL (SELECT bool_or(d.listed) OR l.virtual IS NOT NULL AS no_full,
                                    array_agg(DISTINCT d.account) FILTER (WHERE d.account IS NOT NULL) AS account,
                                    array(SELECT DISTINCT f FROM demand e, unnest(e.filtered) AS f WHERE e.leaf = l.leaf) AS filtered
                               FROM demand d WHERE d.leaf = l.leaf) AS d
    ), mended AS (
        SELECT a.*, CASE
                   WHEN NOT a.no_full THEN concat_ws(' ',
                       (SELECT string_agg(format('ALTER PUBLICATION %I SET (publish_generated_columns = stored);', d.pubname),
                                          ' ' ORDER BY d.pubname)
                          FROM (SELECT DISTINCT pubname FROM demand
                                 WHERE demand.leaf = a.leaf AND NOT publishes_stored AND a.stored IS NOT NULL) AS d),
                       CASE WHEN a.kind <> 'f' THEN format('ALTER TABLE %s REPLICA IDENTITY FULL;', a.name) END)
                   WHEN a.key IS NULL THEN format('ALTER TABLE %s ADD PRIMARY KEY (...); then check again', a.name)
                   ELSE concat_ws(' ',
                       (SELECT string_agg(format('ALTER PUBLICATION %1$I DROP TABLE %2$s; ALTER PUBLICATION %1$I ADD TABLE %2$s (%3$s)%4$s;',
                                                 d.pubname, d.named::regclass,
                                                 (SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY c.attnum) FROM pg_attribute c
                                                   WHERE c.attrelid = d.named AND c.attnum > 0 AND c.attname = ANY (d.list || a.wanted)),
                                                 ' WHERE (' || pg_get_expr(d.prqual, d.named) || ')'), ' ' ORDER BY d.pubname)
                          FROM demand d WHERE d.leaf = a.leaf AND d.listed AND NOT a.wanted <@ d.list),
                       CASE WHEN a.wanted <@ a.key THEN format('ALTER TABLE %s REPLICA IDENTITY DEFAULT;', a.name)
                            ELSE concat_ws(' ',
                                (SELECT format('ALTER TABLE %s %s;', a.name, string_agg(format('ALTER %I SET NOT NULL', c.attname), ', ' ORDER BY c.attnum))
                                   FROM pg_attribute c WHERE c.attrelid = a.leaf AND c.attname = ANY (a.wanted) AND NOT c.attnotnull HAVING count(*) > 0),
                                format('CREATE UNIQUE INDEX %2$I ON %1$s (%3$s); ALTER TABLE %1$s REPLICA IDENTITY USING INDEX %2$I;',
                                       a.name, left(a.relname, 54) || '_identity',
                                       (SELECT string_agg(quote_ident(w), ', ') FROM unnest(a.wanted) AS w))) END)
               END AS statement
          FROM advice a
    )
    SELECT * FROM (
        SELECT CASE WHEN m.no_full THEN format('%s has its account column in its replica identity', m.name)
                    ELSE format('%s has REPLICA IDENTITY FULL', m.name) END,
               CASE WHEN m.no_full THEN m.kind <> 'f' AND coalesce(m.account <@ m.identity, true) ELSE m.kind = 'f' END,
               CASE m.kind WHEN 'f' THEN 'full' WHEN 'd' THEN 'default' WHEN 'i' THEN 'index' ELSE 'nothing' END, m.statement
          FROM mended m
         ORDER BY 1) AS identities
    UNION ALL
    SELECT * FROM (
        SELECT format('the server accepts UPDATE and DELETE of %s', m.name), m.reasons IS NULL, coalesce(m.reasons, 'yes'), m.statement
          FROM mended m
        UNION ALL
        -- Said beforehand: the next statement that this check advises would be the one that makes them fail.
        SELECT format('the server will accept UPDATE and DELETE of %s', c.oid::regclass), false,
               'no replica identity, for a publication FOR ALL TABLES',
               format('ALTER TABLE %s REPLICA IDENTITY FULL;', c.oid::regclass)
          FROM pg_class c
         WHERE NOT EXISTS (SELECT FROM pg_publication) AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384
           AND c.relnamespace <> ALL (ARRAY['fatwal'::regnamespace, 'information_schema'::regnamespace])
           AND CASE c.relreplident WHEN 'f' THEN false WHEN 'n' THEN true
                    ELSE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indimmediate AND i.indisvalid
                                        AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) END
         ORDER BY 1) AS writes
    UNION ALL
    SELECT * FROM (
        SELECT format('the row filter of publication %I on %s cannot fail', p.pubname, r.prrelid::regclass),
               NOT (fatwal.filter_can_fail(r.prqual) OR EXISTS (
                   -- A virtual column is computed when the filter is.
                   SELECT FROM regexp_matches(r.prqual::text, ':varattno (\d+)', 'g') AS v(number)
                     JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = v.number[1]::int2 AND a.attgenerated = 'v'
                     JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                    WHERE fatwal.filter_can_fail(d.adbin))),
               pg_get_expr(r.prqual, r.prrelid),
               'a row for which it raises an error stops the stream for all accounts: '
               'keep such rows out by a CHECK constraint, or filter by comparisons alone'
          FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
          JOIN pg_class c ON c.oid = r.prrelid
         WHERE r.prqual IS NOT NULL AND c.relnamespace <> 'fatwal'::regnamespace
         ORDER BY 1) AS filters
$$;
COMMENT ON FUNCTION fatwal.check_identities() IS 'the part of fatwal.check() on replica identities and row filters';

-- The part of fatwal.check() on what the output plugin asks for.
CREATE FUNCTION fatwal.check_plugin(
    OUT requirement text,
    OUT ok          boolean,
    OUT found       text,
    OUT mend        text
) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Quotes round the list would make one name of it.
    SELECT 'output_plugin_libraries lists fatwal',
           EXISTS (SELECT FROM regexp_split_to_table(s.setting, ',') AS l WHERE btrim(l, ' "') = 'fatwal'), s.setting,
           format('ALTER SYSTEM SET output_plugin_libraries = %s; SELECT pg_reload_conf();', concat_ws(', ', nullif(s.setting, ''), 'fatwal'))
      FROM pg_settings s WHERE s.name = 'output_plugin_libraries'
$$;
COMMENT ON FUNCTION fatwal.check_plugin() IS
    'the part of fatwal.check() on what the output plugin asks for';

CREATE FUNCTION fatwal.check(
    OUT requirement text,
    OUT ok          boolean,
    OUT found       text,
    OUT mend        text
) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT c.requirement, c.ok, c.found, CASE WHEN c.ok IS NOT TRUE THEN c.mend END FROM (
    SELECT 'wal_level is logical', s.setting = 'logical', s.setting,
           'ALTER SYSTEM SET wal_level = logical; then restart the server'
      FROM pg_settings s WHERE s.name = 'wal_level'
    UNION ALL
    SELECT * FROM fatwal.check_plugin()
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
    -- Only 18 has it. A slot that fatwald leaves for so long is lost.
    SELECT 'idle_replication_slot_timeout leaves fatwald time', CASE WHEN s.setting = '0' THEN true WHEN s.setting::int < 86400 THEN false END,
           s.setting || ' ' || s.unit, 'ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();'
      FROM pg_settings s WHERE s.name = 'idle_replication_slot_timeout'
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
    SELECT * FROM fatwal.check_identities()
    UNION ALL
    SELECT * FROM (
        -- Whether a table without an account column is meant for the operators only its owner knows: null.
        SELECT format('%s names its account', c.oid::regclass),
               CASE WHEN n.name IS NOT NULL THEN true WHEN other.type IS NOT NULL THEN false END,
               coalesce('column ' || n.name, other.type, 'no column account_id'),
               CASE WHEN other.type IS NULL THEN 'if its rows belong to accounts: ' ELSE '' END ||
               format('SELECT fatwal.set_account_column(%L, ...); until then its changes go to the operators'' stream', c.oid::regclass)
          FROM (SELECT DISTINCT relid FROM pg_publication, LATERAL pg_get_publication_tables(pubname)) AS t
          JOIN pg_class c ON c.oid = t.relid
         CROSS JOIN LATERAL fatwal.account_column(c.oid) AS n (name)
         CROSS JOIN LATERAL (SELECT (SELECT format('column %s of type %s', a.attname, format_type(a.atttypid, a.atttypmod))
                                       FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id')) AS other (type)
         WHERE c.relnamespace <> 'fatwal'::regnamespace
         ORDER BY 1) AS accounts
    ) AS c (requirement, ok, found, mend)
$$;
COMMENT ON FUNCTION fatwal.check() IS 'what the stream needs, whether it is there (null: only you can know), and the statement that mends it';
