-- The database of the demo, with the tables of two accounts. It may be run again.
SELECT 'CREATE DATABASE app' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'app')
\gexec
\connect app
CREATE TABLE IF NOT EXISTS accounts (id uuid PRIMARY KEY, name text);
CREATE TABLE IF NOT EXISTS policies (
    id int PRIMARY KEY,
    account_id uuid REFERENCES accounts ON DELETE CASCADE,
    resource text
);
INSERT INTO accounts VALUES ('11111111-1111-4111-8111-111111111111', 'Acme'),
    ('22222222-2222-4222-8222-222222222222', 'Umbrella') ON CONFLICT DO NOTHING;
