-- A product that grants network access: the example that the channel workers serve. Load it into a database where fatwal is installed:
--   psql -d portal -f examples/portal/schema.sql
-- Every tenant's table has account_id; every foreign key cascades, so a deletion takes along all that it justified, in one transaction.
CREATE EXTENSION IF NOT EXISTS fatwal;

CREATE TYPE actor_type AS ENUM ('account_user', 'account_admin_user', 'service_account');
CREATE TYPE group_type AS ENUM ('static', 'managed', 'synced');
CREATE TYPE token_type AS ENUM ('client', 'gateway', 'relay');
CREATE TYPE manager AS ENUM ('account', 'system');
CREATE TYPE resource_type AS ENUM ('dns', 'cidr', 'ip', 'internet');
CREATE TYPE ip_stack AS ENUM ('ipv4_only', 'ipv6_only', 'dual');

CREATE TABLE accounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    slug text NOT NULL UNIQUE,
    config jsonb NOT NULL DEFAULT '{}',     -- {"search_domain": text, "upstream_dns": [text]}
    features jsonb NOT NULL DEFAULT '{}',
    limits jsonb NOT NULL DEFAULT '{}',
    disabled_at timestamptz
);

CREATE TABLE actors (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    type actor_type NOT NULL DEFAULT 'account_user',
    name text NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE actor_groups (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    type group_type NOT NULL DEFAULT 'static'
);

CREATE TABLE actor_group_memberships (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_id uuid NOT NULL REFERENCES actors ON DELETE CASCADE,
    group_id uuid NOT NULL REFERENCES actor_groups ON DELETE CASCADE,
    UNIQUE (actor_id, group_id)
);

CREATE TABLE auth_providers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    adapter text NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE auth_identities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_id uuid NOT NULL REFERENCES actors ON DELETE CASCADE,
    provider_id uuid NOT NULL REFERENCES auth_providers ON DELETE CASCADE,
    email text
);

CREATE TABLE sites (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    managed_by manager NOT NULL DEFAULT 'account'
);

-- A relay's token belongs to no account: it is the operators'.
CREATE TABLE tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid REFERENCES accounts ON DELETE CASCADE,
    type token_type NOT NULL,
    actor_id uuid REFERENCES actors ON DELETE CASCADE,
    identity_id uuid REFERENCES auth_identities ON DELETE CASCADE,
    site_id uuid REFERENCES sites ON DELETE CASCADE,
    secret_hash bytea NOT NULL,             -- SHA-256 of the secret, which has 256 random bits
    device_id uuid,                         -- the client or relay that was the first to use it: no other may. A gateway's is its site's
    expires_at timestamptz,
    last_seen_at timestamptz,
    last_seen_remote_ip inet,
    last_seen_user_agent text
);

CREATE TABLE clients (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_id uuid NOT NULL REFERENCES actors ON DELETE CASCADE,
    identity_id uuid REFERENCES auth_identities ON DELETE SET NULL,
    external_id text NOT NULL,
    name text NOT NULL,
    public_key text NOT NULL,
    ipv4 inet NOT NULL,
    ipv6 inet NOT NULL,
    verified_at timestamptz,
    last_used_token_id uuid REFERENCES tokens ON DELETE SET NULL,
    last_seen_version text,
    last_seen_at timestamptz,
    last_seen_remote_ip inet,
    last_seen_remote_ip_location_region text,
    last_seen_remote_ip_location_city text,
    last_seen_remote_ip_location_lat float8,
    last_seen_remote_ip_location_lon float8,
    UNIQUE (account_id, external_id)
);

CREATE TABLE gateways (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    site_id uuid NOT NULL REFERENCES sites ON DELETE CASCADE,
    external_id text NOT NULL,
    name text NOT NULL,
    public_key text NOT NULL,
    ipv4 inet NOT NULL,
    ipv6 inet NOT NULL,
    last_used_token_id uuid REFERENCES tokens ON DELETE SET NULL,
    last_seen_version text,
    last_seen_at timestamptz,
    last_seen_remote_ip inet,
    last_seen_remote_ip_location_region text,
    last_seen_remote_ip_location_city text,
    last_seen_remote_ip_location_lat float8,
    last_seen_remote_ip_location_lon float8,
    UNIQUE (account_id, external_id)
);

CREATE TABLE resources (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    type resource_type NOT NULL,
    address text,                           -- none for the internet
    address_description text,
    ip_stack ip_stack,                      -- of a DNS name only
    filters jsonb NOT NULL DEFAULT '[]',    -- [{"protocol": "tcp" | "udp" | "icmp", "ports": ["80", "100-200"]}]
    CHECK ((type = 'internet') = (address IS NULL)),
    CHECK (type = 'dns' OR ip_stack IS NULL)
);

CREATE TABLE resource_connections (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    resource_id uuid NOT NULL REFERENCES resources ON DELETE CASCADE,
    site_id uuid NOT NULL REFERENCES sites ON DELETE CASCADE,
    PRIMARY KEY (resource_id, site_id)
);

CREATE TABLE policies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_group_id uuid REFERENCES actor_groups ON DELETE CASCADE,
    resource_id uuid NOT NULL REFERENCES resources ON DELETE CASCADE,
    description text,
    conditions jsonb[] NOT NULL DEFAULT '{}',   -- {"property": text, "operator": text, "values": [text]}
    disabled_at timestamptz
);

-- What was authorized. Written behind, by COPY, so a parent may be gone when the row comes: then it is refused, and the access taken back.
CREATE TABLE flows (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    policy_id uuid NOT NULL REFERENCES policies ON DELETE CASCADE,
    client_id uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    gateway_id uuid NOT NULL REFERENCES gateways ON DELETE CASCADE,
    resource_id uuid NOT NULL REFERENCES resources ON DELETE CASCADE,
    token_id uuid NOT NULL REFERENCES tokens ON DELETE CASCADE,
    membership_id uuid NOT NULL REFERENCES actor_group_memberships ON DELETE CASCADE,
    client_remote_ip inet,
    gateway_remote_ip inet,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE change_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL,
    lsn pg_lsn NOT NULL,
    ordinal bigint NOT NULL,
    op text NOT NULL,
    table_name text NOT NULL,
    old jsonb,
    new jsonb,
    UNIQUE (account_id, lsn, ordinal)
);
-- How far the log has come.
CREATE TABLE change_log_cursor (
    account_id uuid PRIMARY KEY,
    cursor text NOT NULL
);

-- Each foreign key cascades, so each is looked up from the other side.
DO $$
DECLARE
    key record;
BEGIN
    FOR key IN
        SELECT c.conrelid::regclass AS relation, a.attname AS column_name
        FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('CREATE INDEX ON %s (%I)', key.relation, key.column_name);
    END LOOP;
END $$;

-- Whole old rows, for every table that is published.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOREACH relation IN ARRAY ARRAY['accounts', 'actors', 'actor_groups', 'actor_group_memberships', 'auth_providers', 'auth_identities', 'sites', 'tokens',
                                    'clients', 'gateways', 'resources', 'resource_connections', 'policies', 'flows']::regclass[]
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', relation);
    END LOOP;
    PERFORM fatwal.set_account_column('accounts', 'id');
END $$;

CREATE PUBLICATION portal FOR TABLE accounts, actors, actor_groups, actor_group_memberships, auth_providers, auth_identities, sites, tokens,
    clients, gateways, resources, resource_connections, policies, flows;
