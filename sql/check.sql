CREATE TABLE whole (id int PRIMARY KEY, account_id uuid);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE partial (id int PRIMARY KEY, account_id point);
CREATE TABLE nobody (id int PRIMARY KEY);
CREATE TABLE listed (id int PRIMARY KEY, account_id int, note text);
CREATE PUBLICATION checked FOR TABLE whole, partial WHERE (id > 1), nobody, listed (id, note) WHERE (id > 1);
CREATE PUBLICATION checked_too FOR TABLE listed (id, account_id);
SELECT requirement, ok, found, mend FROM fatwal.check() WHERE requirement ~ '(whole|partial|nobody|listed|wal_level|UTF8|publication)';
SELECT fatwal.set_account_column('nobody', 'id');
SELECT requirement, ok, found, mend FROM fatwal.check() WHERE requirement ~ 'nobody names';
DROP PUBLICATION checked, checked_too;
DROP TABLE whole, partial, nobody, listed;
-- Every requirement of this server itself holds, or the tests would not run.
SELECT requirement FROM fatwal.check() WHERE NOT ok AND requirement <> 'a publication exists';
