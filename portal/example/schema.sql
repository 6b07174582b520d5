-- A product that grants network access: the example that the channel workers serve. Load it into a database where fatwal is installed:
--   psql -d portal -f portal/example/schema.sql
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
    features jsonb NOT NULL DEFAULT '{}',   -- {"internet_resource" | "traffic_filters" | "policy_conditions": boolean}; absent: true
    limits jsonb NOT NULL DEFAULT '{}',     -- {"clients": number, "gateways": number, "seats": number of actors with a client}; without one there is no limit
    disabled_at timestamptz,
    -- Where its devices' tunnel addresses are: in the shared address space of RFC 6598, and in a prefix of RFC 4193.
    ipv4_range cidr NOT NULL DEFAULT '100.64.0.0/11' CHECK (family(ipv4_range) = 4 AND masklen(ipv4_range) BETWEEN 8 AND 30),
    ipv6_range cidr NOT NULL DEFAULT 'fd8f:b3c5:4e0a::/107' CHECK (family(ipv6_range) = 6 AND masklen(ipv6_range) BETWEEN 72 AND 126)
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

-- A managed group is everyone's: it has no rows here, and grants every actor. With rows it would be its members', and the deletion of
-- the last of them would give it to everyone.
-- The group's row is locked whatever its type is, as another transaction may be about to change that.
CREATE FUNCTION refuse_members_of_managed_groups() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    kind group_type;
    has_both boolean;
BEGIN
    IF TG_TABLE_NAME = 'actor_groups' THEN
        has_both := EXISTS (SELECT FROM actor_group_memberships WHERE group_id = NEW.id);
    ELSE
        SELECT type INTO kind FROM actor_groups WHERE id = NEW.group_id FOR SHARE;
        has_both := coalesce(kind = 'managed', false);
    END IF;
    IF has_both THEN
        RAISE EXCEPTION 'a managed group has every actor in it, and so no memberships'
            USING HINT = 'Make the group static, or delete its memberships first.', ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION refuse_members_of_managed_groups() FROM PUBLIC;
CREATE TRIGGER refuse_members BEFORE INSERT OR UPDATE OF group_id ON actor_group_memberships
    FOR EACH ROW EXECUTE FUNCTION refuse_members_of_managed_groups();
CREATE TRIGGER refuse_members BEFORE UPDATE OF type ON actor_groups
    FOR EACH ROW WHEN (NEW.type = 'managed') EXECUTE FUNCTION refuse_members_of_managed_groups();

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

-- The token of an operators' relay belongs to no account. A relay whose token has one serves that account alone.
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
    device_serial text,                     -- what the device says of its hardware: the serial number of its maker,
    device_uuid text,                       -- the UUID of its firmware (SMBIOS),
    identifier_for_vendor text,             -- or what iOS tells instead of both
    verified_at timestamptz,                -- by an administrator; null again when the key or the hardware is another
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
    membership_id uuid,                     -- none: by a group that is everyone's
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
CREATE INDEX ON clients (account_id, public_key);
CREATE INDEX ON gateways (account_id, public_key);

-- Whoever has verified a client has seen its key and its hardware. A trigger ends that when one of them changes: fatwal-channel, which changes them, needs no
-- right to verify a client.
CREATE FUNCTION end_verification() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.verified_at := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER end_verification BEFORE UPDATE OF public_key, device_serial, device_uuid, identifier_for_vendor ON clients FOR EACH ROW
    WHEN (OLD.verified_at IS NOT DISTINCT FROM NEW.verified_at AND (OLD.public_key, OLD.device_serial, OLD.device_uuid, OLD.identifier_for_vendor)
        IS DISTINCT FROM (NEW.public_key, NEW.device_serial, NEW.device_uuid, NEW.identifier_for_vendor)) EXECUTE FUNCTION end_verification();

-- The tunnel addresses that are taken: each is one device's of the account, client or gateway. Triggers keep the table, also for rows made by hand.
CREATE TABLE tunnel_addresses (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    address inet NOT NULL,
    PRIMARY KEY (account_id, address)
);

-- Runs with its owner's rights: whoever may write a device's row needs none on tunnel_addresses.
CREATE FUNCTION keep_tunnel_addresses() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        DELETE FROM tunnel_addresses WHERE account_id = OLD.account_id AND address IN (host(OLD.ipv4)::inet, host(OLD.ipv6)::inet);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO tunnel_addresses VALUES (NEW.account_id, host(NEW.ipv4)::inet), (NEW.account_id, host(NEW.ipv6)::inet);
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM tunnel_addresses;
        INSERT INTO tunnel_addresses SELECT d.account_id, host(a)::inet
        FROM (SELECT account_id, ipv4, ipv6 FROM clients UNION ALL SELECT account_id, ipv4, ipv6 FROM gateways) d, unnest(ARRAY[d.ipv4, d.ipv6]) a;
    END IF;
    RETURN NULL;
END $$;
-- A trigger on a table of one's own would run it, too.
REVOKE EXECUTE ON FUNCTION keep_tunnel_addresses() FROM PUBLIC;
CREATE TRIGGER keep_addresses AFTER INSERT OR DELETE OR UPDATE OF account_id, ipv4, ipv6 ON clients FOR EACH ROW EXECUTE FUNCTION keep_tunnel_addresses();
CREATE TRIGGER keep_addresses AFTER INSERT OR DELETE OR UPDATE OF account_id, ipv4, ipv6 ON gateways FOR EACH ROW EXECUTE FUNCTION keep_tunnel_addresses();
CREATE TRIGGER keep_addresses_truncated AFTER TRUNCATE ON clients FOR EACH STATEMENT EXECUTE FUNCTION keep_tunnel_addresses();
CREATE TRIGGER keep_addresses_truncated AFTER TRUNCATE ON gateways FOR EACH STATEMENT EXECUTE FUNCTION keep_tunnel_addresses();

-- An address of the range that no device of the account has; null when there is none. It is drawn at random, so that an address is not another device's soon
-- after it was given back, while a peer may still let it through. In a range that is nearly full it is the next free one after an address that was drawn, or
-- else the lowest. The first and the last of a range are nobody's.
CREATE FUNCTION free_tunnel_address(of_account uuid, of_range cidr) RETURNS inet LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    lowest CONSTANT inet := host(network(of_range))::inet + 1;
    highest CONSTANT inet := host(broadcast(of_range))::inet - 1;
    size CONSTANT bigint := highest - lowest + 1;
    drawn inet;
    first inet;
    found inet;
BEGIN
    FOR draw IN 1..8 LOOP
        drawn := lowest + floor(random() * size)::bigint;
        IF NOT EXISTS (SELECT FROM tunnel_addresses t WHERE t.account_id = of_account AND t.address = drawn) THEN
            RETURN drawn;
        END IF;
    END LOOP;
    -- Cheaper than to look for what there is not.
    IF (SELECT count(*) FROM tunnel_addresses t WHERE t.account_id = of_account AND t.address BETWEEN lowest AND highest) >= size THEN
        RETURN NULL;
    END IF;
    FOREACH first IN ARRAY ARRAY[drawn, lowest] LOOP
        IF NOT EXISTS (SELECT FROM tunnel_addresses t WHERE t.account_id = of_account AND t.address = first) THEN
            RETURN first;
        END IF;
        SELECT address + 1 INTO found
        FROM (SELECT t.address, lead(t.address) OVER (ORDER BY t.address) AS next FROM tunnel_addresses t
            WHERE t.account_id = of_account AND t.address BETWEEN first AND highest) AS taken
        WHERE address < highest AND next IS DISTINCT FROM address + 1
        LIMIT 1;
        IF found IS NOT NULL THEN
            RETURN found;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Whether an account that has so many may have one more. A limit that is no number allows none.
CREATE FUNCTION is_below_limit(limits jsonb, name text, count bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE coalesce(jsonb_typeof(limits -> name), 'null') WHEN 'null' THEN true WHEN 'number' THEN count < (limits ->> name)::numeric ELSE false END
$$;

-- A device registers, with a token whose secret the caller has seen and with what the device says of itself: makes its row, or renews the one with the same
-- external_id. The outcome is created, renewed, or why it was refused (in `field` the limit or the range). The account's row is locked first: of an account
-- one registers at a time, whatever process asks, so what is counted, and what is free, stays so until the COMMIT.
-- A client is its token's actor's, and its token is for it alone. A token whose client was deleted makes no other one.
CREATE FUNCTION register_client(of_account uuid, by_token uuid, device jsonb, OUT outcome text, OUT field text, OUT client_id uuid, OUT client_ipv4 inet, OUT client_ipv6 inet)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    account record;
    token record;
    known record;
BEGIN
    SELECT limits, disabled_at, ipv4_range, ipv6_range INTO account FROM accounts WHERE id = of_account FOR NO KEY UPDATE;
    SELECT t.device_id, t.actor_id, t.identity_id, a.id IS NULL OR a.disabled_at IS NOT NULL AS actor_disabled,
        t.identity_id IS NOT NULL AND i.id IS NULL AS identity_disabled, i.id IS NOT NULL AND (p.id IS NULL OR p.disabled_at IS NOT NULL) AS provider_disabled
    INTO token FROM tokens t LEFT JOIN actors a ON a.id = t.actor_id LEFT JOIN auth_identities i ON i.id = t.identity_id AND i.actor_id = t.actor_id
        LEFT JOIN auth_providers p ON p.id = i.provider_id
    WHERE t.id = by_token AND t.account_id = of_account AND t.type = 'client' FOR NO KEY UPDATE OF t;
    SELECT id, actor_id, ipv4, ipv6 INTO known FROM clients WHERE account_id = of_account AND external_id = device ->> 'external_id' FOR NO KEY UPDATE;
    outcome := CASE
        WHEN account.disabled_at IS NOT NULL THEN 'account_disabled'
        WHEN token.actor_disabled IS NULL THEN 'invalid_token'
        WHEN token.actor_disabled THEN 'actor_disabled'
        WHEN token.identity_disabled THEN 'identity_disabled'
        WHEN token.provider_disabled THEN 'provider_disabled'
        WHEN known.actor_id <> token.actor_id THEN 'external_id_taken'
        WHEN token.device_id IS NOT NULL AND token.device_id IS DISTINCT FROM known.id THEN 'invalid_token'
        WHEN EXISTS (SELECT FROM clients WHERE account_id = of_account AND public_key = device ->> 'public_key' AND id IS DISTINCT FROM known.id) THEN 'public_key_taken'
    END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF known.id IS NOT NULL THEN
        outcome := 'renewed';
        client_id := known.id;
        client_ipv4 := known.ipv4;
        client_ipv6 := known.ipv6;
        UPDATE clients SET name = device ->> 'name', identity_id = token.identity_id, public_key = device ->> 'public_key', device_serial = device ->> 'device_serial',
            device_uuid = device ->> 'device_uuid', identifier_for_vendor = device ->> 'identifier_for_vendor'
        WHERE id = known.id AND (name, identity_id, public_key, device_serial, device_uuid, identifier_for_vendor) IS DISTINCT FROM
            (device ->> 'name', token.identity_id, device ->> 'public_key', device ->> 'device_serial', device ->> 'device_uuid', device ->> 'identifier_for_vendor');
    ELSE
        field := CASE
            WHEN NOT is_below_limit(account.limits, 'clients', (SELECT count(*) FROM clients WHERE account_id = of_account)) THEN 'clients'
            WHEN NOT EXISTS (SELECT FROM clients WHERE account_id = of_account AND actor_id = token.actor_id)
                AND NOT is_below_limit(account.limits, 'seats', (SELECT count(DISTINCT actor_id) FROM clients WHERE account_id = of_account)) THEN 'seats'
        END;
        IF field IS NOT NULL THEN
            outcome := 'limit_reached';
            RETURN;
        END IF;
        client_ipv4 := free_tunnel_address(of_account, account.ipv4_range);
        client_ipv6 := free_tunnel_address(of_account, account.ipv6_range);
        IF client_ipv4 IS NULL OR client_ipv6 IS NULL THEN
            outcome := 'no_address_left';
            field := CASE WHEN client_ipv4 IS NULL THEN 'ipv4_range' ELSE 'ipv6_range' END;
            RETURN;
        END IF;
        outcome := 'created';
        INSERT INTO clients (account_id, actor_id, identity_id, external_id, name, public_key, ipv4, ipv6, device_serial, device_uuid, identifier_for_vendor)
        VALUES (of_account, token.actor_id, token.identity_id, device ->> 'external_id', device ->> 'name', device ->> 'public_key', client_ipv4, client_ipv6,
            device ->> 'device_serial', device ->> 'device_uuid', device ->> 'identifier_for_vendor')
        RETURNING id INTO client_id;
    END IF;
    UPDATE tokens SET device_id = client_id WHERE id = by_token AND device_id IS NULL;
END $$;

-- The same of a gateway, which is its token's site's; all gateways of the site use the token.
CREATE FUNCTION register_gateway(of_account uuid, by_token uuid, device jsonb, OUT outcome text, OUT field text, OUT gateway_id uuid, OUT gateway_ipv4 inet, OUT gateway_ipv6 inet)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    account record;
    token record;
    known record;
BEGIN
    SELECT limits, disabled_at, ipv4_range, ipv6_range INTO account FROM accounts WHERE id = of_account FOR NO KEY UPDATE;
    SELECT site_id INTO token FROM tokens WHERE id = by_token AND account_id = of_account AND type = 'gateway';
    SELECT id, site_id, ipv4, ipv6 INTO known FROM gateways WHERE account_id = of_account AND external_id = device ->> 'external_id' FOR NO KEY UPDATE;
    outcome := CASE
        WHEN account.disabled_at IS NOT NULL THEN 'account_disabled'
        WHEN token.site_id IS NULL THEN 'invalid_token'
        WHEN known.site_id <> token.site_id THEN 'external_id_taken'
        WHEN EXISTS (SELECT FROM gateways WHERE account_id = of_account AND public_key = device ->> 'public_key' AND id IS DISTINCT FROM known.id) THEN 'public_key_taken'
    END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF known.id IS NOT NULL THEN
        outcome := 'renewed';
        gateway_id := known.id;
        gateway_ipv4 := known.ipv4;
        gateway_ipv6 := known.ipv6;
        UPDATE gateways SET name = device ->> 'name', public_key = device ->> 'public_key'
        WHERE id = known.id AND (name, public_key) IS DISTINCT FROM (device ->> 'name', device ->> 'public_key');
        RETURN;
    END IF;
    IF NOT is_below_limit(account.limits, 'gateways', (SELECT count(*) FROM gateways WHERE account_id = of_account)) THEN
        outcome := 'limit_reached';
        field := 'gateways';
        RETURN;
    END IF;
    gateway_ipv4 := free_tunnel_address(of_account, account.ipv4_range);
    gateway_ipv6 := free_tunnel_address(of_account, account.ipv6_range);
    IF gateway_ipv4 IS NULL OR gateway_ipv6 IS NULL THEN
        outcome := 'no_address_left';
        field := CASE WHEN gateway_ipv4 IS NULL THEN 'ipv4_range' ELSE 'ipv6_range' END;
        RETURN;
    END IF;
    outcome := 'created';
    INSERT INTO gateways (account_id, site_id, external_id, name, public_key, ipv4, ipv6)
    VALUES (of_account, token.site_id, device ->> 'external_id', device ->> 'name', device ->> 'public_key', gateway_ipv4, gateway_ipv6)
    RETURNING id INTO gateway_id;
END $$;

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
