-- A product that grants network access: the example that the channel workers serve. Load it into a database where fatwal is installed:
--   psql -d portal -f examples/portal/schema.sql
-- Every tenant's table has account_id; every foreign key cascades, so a deletion takes along all that it justified, in one transaction.
-- Every foreign key between a tenant's rows has account_id in it: no row can ever refer to another tenant's.
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
    disabled_at timestamptz,
    UNIQUE (account_id, id)
);

CREATE TABLE actor_groups (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    type group_type NOT NULL DEFAULT 'static',
    UNIQUE (account_id, id)
);

CREATE TABLE actor_group_memberships (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_id uuid NOT NULL,
    group_id uuid NOT NULL,
    UNIQUE (actor_id, group_id),
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, actor_id) REFERENCES actors (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, group_id) REFERENCES actor_groups (account_id, id) ON DELETE CASCADE
);

CREATE TABLE auth_providers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    adapter text NOT NULL,
    disabled_at timestamptz,
    UNIQUE (account_id, id)
);

CREATE TABLE auth_identities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    email text,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, actor_id) REFERENCES actors (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, provider_id) REFERENCES auth_providers (account_id, id) ON DELETE CASCADE
);

CREATE TABLE sites (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    managed_by manager NOT NULL DEFAULT 'account',
    UNIQUE (account_id, id)
);

-- A relay's token belongs to no account: it is the operators'.
CREATE TABLE tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid REFERENCES accounts ON DELETE CASCADE,
    type token_type NOT NULL,
    actor_id uuid,
    identity_id uuid,
    site_id uuid,
    secret_hash bytea NOT NULL,             -- SHA-256 of the secret, which has 256 random bits
    device_id uuid,                         -- the client or relay that was the first to use it: no other may. A gateway's is its site's
    expires_at timestamptz,
    last_seen_at timestamptz,
    last_seen_remote_ip inet,
    last_seen_user_agent text,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, actor_id) REFERENCES actors (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, identity_id) REFERENCES auth_identities (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id) ON DELETE CASCADE
);

CREATE TABLE clients (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_id uuid NOT NULL,
    identity_id uuid,
    external_id text NOT NULL,
    name text NOT NULL,
    public_key text NOT NULL,
    ipv4 inet NOT NULL,
    ipv6 inet NOT NULL,
    verified_at timestamptz,
    last_used_token_id uuid,
    last_seen_version text,
    last_seen_at timestamptz,
    last_seen_remote_ip inet,
    last_seen_remote_ip_location_region text,
    last_seen_remote_ip_location_city text,
    last_seen_remote_ip_location_lat float8,
    last_seen_remote_ip_location_lon float8,
    UNIQUE (account_id, external_id),
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, actor_id) REFERENCES actors (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, identity_id) REFERENCES auth_identities (account_id, id) ON DELETE SET NULL (identity_id),
    FOREIGN KEY (account_id, last_used_token_id) REFERENCES tokens (account_id, id) ON DELETE SET NULL (last_used_token_id)
);

CREATE TABLE gateways (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    site_id uuid NOT NULL,
    external_id text NOT NULL,
    name text NOT NULL,
    public_key text NOT NULL,
    ipv4 inet NOT NULL,
    ipv6 inet NOT NULL,
    last_used_token_id uuid,
    last_seen_version text,
    last_seen_at timestamptz,
    last_seen_remote_ip inet,
    last_seen_remote_ip_location_region text,
    last_seen_remote_ip_location_city text,
    last_seen_remote_ip_location_lat float8,
    last_seen_remote_ip_location_lon float8,
    UNIQUE (account_id, external_id),
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, last_used_token_id) REFERENCES tokens (account_id, id) ON DELETE SET NULL (last_used_token_id)
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
    CHECK (type = 'dns' OR ip_stack IS NULL),
    UNIQUE (account_id, id)
);

CREATE TABLE resource_connections (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    resource_id uuid NOT NULL,
    site_id uuid NOT NULL,
    PRIMARY KEY (resource_id, site_id),
    FOREIGN KEY (account_id, resource_id) REFERENCES resources (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, site_id) REFERENCES sites (account_id, id) ON DELETE CASCADE
);

CREATE TABLE policies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    actor_group_id uuid,
    resource_id uuid NOT NULL,
    description text,
    conditions jsonb[] NOT NULL DEFAULT '{}',   -- {"property": text, "operator": text, "values": [text]}
    disabled_at timestamptz,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, actor_group_id) REFERENCES actor_groups (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, resource_id) REFERENCES resources (account_id, id) ON DELETE CASCADE
);

-- What was authorized. Written behind, by COPY, so a parent may be gone when the row comes: then it is refused, and the access taken back.
CREATE TABLE flows (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    policy_id uuid NOT NULL,
    client_id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    resource_id uuid NOT NULL,
    token_id uuid NOT NULL,
    membership_id uuid NOT NULL,
    client_remote_ip inet,
    gateway_remote_ip inet,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (account_id, policy_id) REFERENCES policies (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, client_id) REFERENCES clients (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, gateway_id) REFERENCES gateways (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, resource_id) REFERENCES resources (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, token_id) REFERENCES tokens (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, membership_id) REFERENCES actor_group_memberships (account_id, id) ON DELETE CASCADE
);

CREATE INDEX ON flows (expires_at);

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

-- Each foreign key cascades, so each is looked up from the other side, by the id that it names last.
DO $$
DECLARE
    key record;
BEGIN
    FOR key IN
        SELECT c.conrelid::regclass AS relation, a.attname AS column_name
        FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[cardinality(c.conkey)]
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
