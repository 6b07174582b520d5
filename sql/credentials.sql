-- Credentials: the functions, who may call them, and that the stream carries both tables whatever is published.
\set SHOW_CONTEXT never
\set key_a 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
\set key_b 'Bb0.-:+=^!/*?&<>()[]{}@%$#bbbbbbbbbbbbbb'
\set key_c 'cccccccccccccccccccccccccccccccccccccccc'
CREATE TABLE t (id int PRIMARY KEY, account_id int);
CREATE PUBLICATION one_table FOR TABLE t;
SELECT FROM pg_create_logical_replication_slot('s', 'fatwal');

-- Each function says whether it has changed anything: it can be called again.
SELECT fatwal.add_credential('worker-1', :'key_a');
SELECT fatwal.add_credential('worker-1', :'key_a');
SELECT fatwal.add_credential('worker-1', :'key_b', '2030-01-01 00:00+00');
SELECT fatwal.add_credential('worker-1', :'key_b', '2030-01-01 00:00+00');
SELECT fatwal.add_credential('worker-1', :'key_b', '2031-01-01 00:00+00');
SELECT fatwal.add_credential('worker-1', :'key_b');
SELECT name, public_key, created_at <= now() AS created, expires_at FROM fatwal.credential ORDER BY public_key;
SELECT fatwal.grant('worker-1', '42');
SELECT fatwal.grant('worker-1', '42');
-- An account is spelled as the stream spells it: a uuid in lower case; 042 is a text and another account than 42.
SELECT fatwal.grant('worker-1', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
SELECT fatwal.grant('worker-1', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
SELECT fatwal.grant('worker-1', '042'), fatwal.grant('worker-1', 'Acme'), fatwal.grant('worker-1', ''), fatwal.grant('worker-1', repeat('é', 127));
SELECT fatwal.account_key('-9223372036854775808'), fatwal.account_key('A0EEBC999C0B4EF8BB6D6BB9BD380A11'), fatwal.account_key(NULL) IS NULL AS none;
SELECT fatwal.grant_every_account('worker-1');
SELECT fatwal.grant_every_account('worker-1');
SELECT fatwal.grant_operators('worker-1');
SELECT fatwal.grant_operators('worker-1');
SELECT scope, account FROM fatwal.credential_grant WHERE length(account) < 100 ORDER BY scope, account COLLATE "C";

SELECT fatwal.revoke('worker-1', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
SELECT fatwal.revoke_every_account('worker-1');
SELECT fatwal.revoke('worker-1', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
SELECT fatwal.revoke_every_account('worker-1');
SELECT fatwal.revoke_operators('worker-1');
SELECT fatwal.revoke_operators('worker-1');
SELECT fatwal.revoke('nobody', '42'), fatwal.revoke_every_account('nobody'), fatwal.revoke_operators('nobody');
-- One key; the last key, whose grants stay; everything.
SELECT fatwal.remove_credential('worker-1', :'key_a');
SELECT fatwal.remove_credential('worker-1', :'key_a');
SELECT fatwal.remove_credential('worker-1', :'key_b');
SELECT fatwal.grant('worker-1', '43');
SELECT fatwal.add_credential('worker-1', :'key_a');
SELECT fatwal.add_credential('worker-1', :'key_b');
SELECT fatwal.remove_credential('worker-1');
SELECT fatwal.remove_credential('worker-1');
SELECT count(*) FROM fatwal.credential_grant;

-- Errors.
SELECT fatwal.add_credential('worker-2', :'key_c');
SELECT fatwal.add_credential(NULL, :'key_a');
SELECT fatwal.add_credential('', :'key_a');
SELECT fatwal.add_credential(repeat('é', 20) || 'x', :'key_a');
SELECT fatwal.add_credential('worker/1', :'key_a');
SELECT fatwal.add_credential(E'worker\n1', :'key_a');
SELECT fatwal.add_credential(U&'worker\0085', :'key_a');
SELECT fatwal.add_credential(U&'worker\2028', :'key_a');
SELECT fatwal.add_credential('worker-1', NULL);
SELECT fatwal.add_credential('worker-1', 'aaa');
SELECT fatwal.add_credential('worker-1', repeat('a', 39) || ',');
SELECT fatwal.add_credential('worker-1', repeat('a', 40) || E'\n');
SELECT fatwal.add_credential('worker-1', repeat('é', 40));
SELECT fatwal.add_credential('worker-1', :'key_c');
SELECT fatwal.grant('worker-1', '42');
SELECT fatwal.grant_every_account('worker-1');
SELECT fatwal.grant_operators('worker-1');
SELECT fatwal.grant(NULL, '42');
SELECT fatwal.grant('worker-2', NULL);
SELECT fatwal.grant('worker-2', repeat('x', 256));
SELECT fatwal.grant('worker-2', E'4\n2');
SELECT fatwal.revoke('worker-2', NULL);
SELECT fatwal.revoke(NULL, '42');
SELECT fatwal.revoke_operators('worker/2');
SELECT fatwal.remove_credential('worker/2');
-- 40 bytes are a name.
SELECT fatwal.add_credential(repeat('é', 20), :'key_a'), fatwal.remove_credential(repeat('é', 20));
-- Nor does anybody write by hand what the functions refuse.
\set VERBOSITY terse
INSERT INTO fatwal.credential (name, public_key) VALUES ('a/b', :'key_a');
INSERT INTO fatwal.credential (name, public_key) VALUES ('a', 'b');
INSERT INTO fatwal.credential (name, public_key) VALUES ('a', :'key_c');
INSERT INTO fatwal.credential_grant VALUES ('worker-2', 'everything');
INSERT INTO fatwal.credential_grant VALUES ('worker-2', 'operators', '42');
INSERT INTO fatwal.credential_grant VALUES ('worker-2', 'account', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
INSERT INTO fatwal.credential_grant VALUES ('worker/2', 'operators');
\set VERBOSITY default

-- The stream has all of it, for the operators, though the publication names another table.
CREATE FUNCTION sent(publications text, VARIADIC options text[] DEFAULT '{}', OUT kind text, OUT relation text,
                     OUT account text, OUT ordinal bigint, OUT last text, OUT new jsonb, OUT old jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT d.kind, d.relation, d.account, d.ordinal, d.last, d.new::jsonb - 'created_at', d.old::jsonb
      FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, VARIADIC ARRAY['publication_names', publications] || options) AS c,
           LATERAL fatwal.decode(c.data) AS d
     WHERE coalesce(length(d.new ->> 'account'), 0) < 100 AND coalesce(length(d.old ->> 'account'), 0) < 100
$$;
SELECT kind, relation, account, ordinal, last, new, old FROM sent('one_table');
SELECT count(*) FROM sent('one_table') WHERE kind <> 'schema' AND account IS NOT NULL;

-- Whatever the session asks for, and whatever publications say of the two tables.
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION inserts FOR ALL TABLES WITH (publish = 'insert');
CREATE PUBLICATION restricted FOR TABLE fatwal.credential (name, public_key) WHERE (name = 'nobody'),
                                        fatwal.credential_grant (name, scope, account) WHERE (name = 'nobody');
SELECT fatwal.set_account_column('fatwal.credential_grant', 'account');
SELECT fatwal.account_column('fatwal.credential_grant');
SELECT pg_replication_slot_advance('s', pg_current_wal_lsn()) IS NOT NULL AS advanced;
BEGIN;
INSERT INTO t VALUES (1, 42);
SELECT fatwal.grant('worker-2', '42');
INSERT INTO t VALUES (2, 42);
COMMIT;
SELECT fatwal.add_credential('worker-2', :'key_c', '2030-01-01 00:00+00');
SELECT fatwal.revoke('worker-2', '42');
TRUNCATE fatwal.credential_grant;
SELECT kind, relation, account, ordinal, last, new, old FROM sent('everything');
SELECT count(*) FROM sent('everything') WHERE relation ~ 'fatwal';
SELECT count(*) FROM (SELECT * FROM sent('everything') EXCEPT SELECT * FROM sent('inserts')) AS differs;
SELECT count(*) FROM (SELECT * FROM sent('everything') EXCEPT SELECT * FROM sent('one_table, restricted')) AS differs;
SELECT count(*) FROM (SELECT * FROM sent('everything') EXCEPT SELECT * FROM sent('everything', 'messages', 'off')) AS differs;
SELECT DISTINCT relation FROM sent('restricted') ORDER BY 1;
SELECT DISTINCT relation FROM sent('"a publication that is not there"') ORDER BY 1;
-- Publications come and go without a resync of them.
DROP PUBLICATION everything, inserts, restricted;
SELECT fatwal.clear_account_column('fatwal.credential_grant');
SELECT kind, relation, account, new FROM sent('one_table') WHERE kind = 'resync';

-- A snapshot of the operators has the rows, as the stream has them; that of an account has not.
SELECT fatwal.grant('worker-2', '42');
SELECT d.kind, d.relation, d.account, d.new::jsonb - 'created_at' AS new FROM fatwal.snapshot(NULL, 'one_table') AS m, fatwal.decode(m) AS d;
SELECT d.kind, d.relation, d.account, d.new FROM fatwal.snapshot('42', 'one_table') AS m, fatwal.decode(m) AS d;

-- A table of that name elsewhere is a table like any other.
CREATE TABLE credential (name text PRIMARY KEY);
CREATE SCHEMA other CREATE TABLE credential_grant (name text PRIMARY KEY);
SELECT pg_replication_slot_advance('s', pg_current_wal_lsn()) IS NOT NULL AS advanced;
INSERT INTO credential VALUES ('mine');
INSERT INTO other.credential_grant VALUES ('mine');
SELECT kind, relation FROM sent('one_table');
SELECT pg_replication_slot_advance('s', pg_current_wal_lsn()) IS NOT NULL AS advanced;
DROP TABLE credential;
DROP SCHEMA other CASCADE;
-- So is one in the schema fatwal that is not the extension's. To drop the extension takes away all credentials: a resync.
DROP EXTENSION fatwal;
CREATE TABLE fatwal.credential (name text PRIMARY KEY);
INSERT INTO fatwal.credential VALUES ('mine');
DROP TABLE fatwal.credential;
CREATE EXTENSION fatwal;
SELECT kind, relation, account, new FROM sent('one_table') WHERE kind <> 'schema';

-- fatwal.check() has nothing to say of them; a dump has their rows.
SELECT requirement FROM fatwal.check() WHERE requirement ~ 'fatwal[.]';
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION restricted FOR TABLE fatwal.credential (name, public_key) WHERE (1 / length(name) > 0);
SELECT requirement FROM fatwal.check() WHERE requirement ~ 'fatwal[.]';
SELECT c.oid::regclass, e.condition FROM pg_extension, unnest(extconfig, extcondition) AS e (oid, condition) JOIN pg_class c USING (oid)
 WHERE extname = 'fatwal' ORDER BY 1;

-- Who may: nobody by default, not even with USAGE on the schema, which fatwal.emit needs.
CREATE ROLE regress_fatwal_worker;
CREATE ROLE regress_fatwal_sidecar;
CREATE ROLE regress_fatwal_admin;
GRANT USAGE ON SCHEMA fatwal TO regress_fatwal_worker, regress_fatwal_sidecar, regress_fatwal_admin;
GRANT SELECT ON fatwal.credential, fatwal.credential_grant TO regress_fatwal_sidecar;
GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.credential, fatwal.credential_grant TO regress_fatwal_admin;
SET ROLE regress_fatwal_worker;
SELECT * FROM fatwal.credential;
SELECT * FROM fatwal.credential_grant;
SELECT fatwal.add_credential('worker-1', :'key_a');
SELECT fatwal.remove_credential('worker-1');
SELECT fatwal.grant('worker-1', '42');
SELECT fatwal.revoke_operators('worker-1');
SET ROLE regress_fatwal_admin;
SELECT fatwal.add_credential('worker-1', :'key_a'), fatwal.grant('worker-1', '42'), fatwal.grant_operators('worker-1');
SELECT fatwal.revoke('worker-1', '42');
SET ROLE regress_fatwal_sidecar;
SELECT name, public_key, expires_at FROM fatwal.credential;
SELECT * FROM fatwal.credential_grant;
SELECT fatwal.grant_every_account('worker-1');
SELECT fatwal.remove_credential('worker-1');
RESET ROLE;

SELECT pg_drop_replication_slot('s');
SELECT fatwal.remove_credential('worker-1');
REVOKE ALL ON fatwal.credential, fatwal.credential_grant FROM regress_fatwal_sidecar, regress_fatwal_admin;
REVOKE USAGE ON SCHEMA fatwal FROM regress_fatwal_worker, regress_fatwal_sidecar, regress_fatwal_admin;
DROP ROLE regress_fatwal_worker, regress_fatwal_sidecar, regress_fatwal_admin;
DROP PUBLICATION one_table, everything, restricted;
DROP TABLE t;
DROP FUNCTION sent;
