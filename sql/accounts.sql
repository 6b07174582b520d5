CREATE TABLE orders (id int PRIMARY KEY, account_id int, item text);
CREATE TABLE companies (id uuid PRIMARY KEY, name text);
CREATE TABLE notes (id int PRIMARY KEY, owner text, body text);
CREATE TABLE settings (id int PRIMARY KEY, value text);
ALTER TABLE orders REPLICA IDENTITY FULL;
ALTER TABLE companies REPLICA IDENTITY FULL;
ALTER TABLE notes REPLICA IDENTITY FULL;
CREATE PUBLICATION accounts FOR TABLE orders, companies, notes, settings;
SELECT FROM pg_create_logical_replication_slot('accounts', 'fatwal');

-- The default column; a null account and a table without one are the operators'.
INSERT INTO orders VALUES (1, 7, 'bolt'), (2, 8, 'nut'), (3, NULL, 'lost');
INSERT INTO settings VALUES (1, 'on');
SELECT kind, relation, account, ordinal, last, new, old FROM changes('accounts', 'accounts');

-- A row that moves is a delete there and an insert here; to and from no account too.
UPDATE orders SET account_id = 8 WHERE id = 1;
UPDATE orders SET account_id = 7 WHERE id = 3;
UPDATE orders SET account_id = NULL WHERE id = 3;
SELECT kind, relation, account, ordinal, last, new, old FROM changes('accounts', 'accounts');

-- A column that is set takes effect in the transaction that sets it, from there on.
BEGIN;
INSERT INTO notes VALUES (1, 'acme', 'before');
SELECT fatwal.set_account_column('notes', 'owner');
INSERT INTO notes VALUES (2, 'acme', 'after');
COMMIT;
SELECT fatwal.set_account_column('companies', 'id');
INSERT INTO companies VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'one');
-- A text that spells an integer or a uuid is that account.
INSERT INTO notes VALUES (3, '7', 'integer'), (4, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'uuid'), (5, '07', 'text'), (6, '', 'empty');
SELECT fatwal.clear_account_column('notes');
INSERT INTO notes VALUES (7, 'acme', 'cleared');
SELECT kind, relation, account, ordinal, last, new, old FROM changes('accounts', 'accounts') WHERE kind <> 'schema';

-- A setting that is rolled back has no effect.
BEGIN;
SELECT fatwal.set_account_column('notes', 'owner');
ROLLBACK;
INSERT INTO notes VALUES (8, 'acme', 'rolled back');
SELECT kind, relation, account, ordinal, last, new, old FROM changes('accounts', 'accounts');

-- Truncate goes to all accounts, between what came before and after it; of a table without accounts to the operators.
BEGIN;
INSERT INTO orders VALUES (10, 7, 'before');
TRUNCATE orders RESTART IDENTITY;
INSERT INTO orders VALUES (11, 8, 'after');
TRUNCATE settings CASCADE;
COMMIT;
SELECT kind, relation, account, ordinal, last, new, old FROM changes('accounts', 'accounts') WHERE kind <> 'schema';

SELECT fatwal.set_account_column('notes', 'missing');
SELECT fatwal.set_account_column('companies', 'name');
ALTER TABLE notes ADD COLUMN at timestamptz;
SELECT fatwal.set_account_column('notes', 'at');

SELECT pg_drop_replication_slot('accounts');
DROP PUBLICATION accounts;
DROP TABLE orders, companies, notes, settings;
