\echo Use "CREATE EXTENSION fatwal" to load this file. \quit

-- Which column of a table names its account. Read by the output plugin as of each change, hence a catalog table of the user's.
CREATE TABLE fatwal.account_column (
    relation    regclass PRIMARY KEY,
    column_name name NOT NULL
) WITH (user_catalog_table = true);
SELECT pg_catalog.pg_extension_config_dump('fatwal.account_column', '');
COMMENT ON TABLE fatwal.account_column IS 'the account column of each table that does not have it in account_id';

CREATE FUNCTION fatwal.account_column_changed() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fatwal_account_column_changed' LANGUAGE C;
CREATE TRIGGER account_column_changed AFTER INSERT OR UPDATE OR DELETE ON fatwal.account_column
    FOR EACH ROW EXECUTE FUNCTION fatwal.account_column_changed();

CREATE FUNCTION fatwal.set_account_column(relation regclass, column_name name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    column_type regtype;
BEGIN
    SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END INTO column_type
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = relation AND a.attname = set_account_column.column_name AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'column "%" of relation % does not exist', column_name, relation USING ERRCODE = 'undefined_column';
    END IF;
    IF column_type NOT IN ('uuid'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype,
                           'varchar'::regtype, 'bpchar'::regtype) AND column_type::text NOT LIKE '%citext' THEN
        RAISE EXCEPTION 'column "%" of type % cannot name an account', column_name, column_type
            USING ERRCODE = 'datatype_mismatch', HINT = 'An account column is of type uuid, int2, int4, int8 or text.';
    END IF;
    -- A catalog table knows no ON CONFLICT; the lock keeps two sessions from both finding no row.
    LOCK TABLE fatwal.account_column IN SHARE ROW EXCLUSIVE MODE;
    UPDATE fatwal.account_column c SET column_name = set_account_column.column_name
     WHERE c.relation = set_account_column.relation;
    IF NOT FOUND THEN
        INSERT INTO fatwal.account_column VALUES (relation, column_name);
    END IF;
END
$$;
COMMENT ON FUNCTION fatwal.set_account_column(regclass, name) IS 'names the column of a table that holds its account, from this transaction on';

CREATE FUNCTION fatwal.clear_account_column(relation regclass) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM fatwal.account_column c WHERE c.relation = clear_account_column.relation;
$$;
COMMENT ON FUNCTION fatwal.clear_account_column(regclass) IS 'goes back to the column account_id, from this transaction on';

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
