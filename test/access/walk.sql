-- Random administrative transactions for one large account, the same for the same seed:
--   psql -d portal -f test/access/walk.sql
--   SELECT walk.setup(1);          the account (walk.account()) and all that is in it; once, into empty tables
--   SELECT walk.step(1, 1);        … 2, 3, …: one transaction each; gives what it did
-- A step depends on its seed, its number and the rows that it finds, and on nothing else: no clock, no random().
-- Managed groups with and without memberships, and what leads from one to the other, are part of the walk.
ALTER TABLE actor_groups DISABLE TRIGGER refuse_members;
ALTER TABLE actor_group_memberships DISABLE TRIGGER refuse_members;
CREATE SCHEMA walk;
CREATE TABLE walk.world (account_id uuid NOT NULL);
CREATE FUNCTION walk.account() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT account_id FROM walk.world $$;

-- A number below `bound` by a key. A hash of a counter and not a generator with a state, so that it also serves within one query.
CREATE FUNCTION walk.draw(key text, bound bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT (('x' || substr(md5(key), 1, 8))::bit(32)::bigint % bound)::int
$$;
CREATE FUNCTION walk.one(key text, choices anyarray) RETURNS anyelement LANGUAGE sql IMMUTABLE AS $$
    SELECT choices[1 + walk.draw(key, cardinality(choices))]
$$;
CREATE FUNCTION walk.id(key text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('id ' || key)::uuid $$;

-- Some row of the account's that meets the filter; null when there is none.
CREATE FUNCTION walk.some(key text, relation text, filter text DEFAULT 'true') RETURNS uuid LANGUAGE plpgsql STABLE AS $$
DECLARE
    ids uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(id ORDER BY id) FROM %I WHERE account_id = walk.account() AND (%s)', relation, filter) INTO ids;
    RETURN walk.one(key || relation || filter, ids);
END $$;

-- Values ---------------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION walk.region(key text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT walk.one(key || 'region', ARRAY['US', 'US', 'CA', 'DE', 'JP', NULL]) $$;
CREATE FUNCTION walk.ip(key text) RETURNS inet LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE walk.draw(key || 'family', 8) WHEN 0 THEN NULL WHEN 1 THEN ('2001:db8::' || to_hex(1 + walk.draw(key || 'ip', 65000)))::inet
        ELSE (walk.one(key || 'net', ARRAY['10.1', '10.2', '192.168']) || '.' || walk.draw(key || 'c', 256) || '.' || walk.draw(key || 'd', 256))::inet END
$$;

CREATE FUNCTION walk.condition(key text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE walk.one(key || 'property', ARRAY['regions', 'region', 'network', 'networks', 'provider', 'provider', 'verified', 'verified', 'hours', 'hours', 'hours', 'wrong'])
        WHEN 'regions' THEN jsonb_build_object('property', 'remote_ip_location_region', 'operator', operator, 'values', '["US", "CA"]'::jsonb)
        WHEN 'region' THEN jsonb_build_object('property', 'remote_ip_location_region', 'operator', operator, 'values', jsonb_build_array(walk.one(key, ARRAY['US', 'DE', 'FR'])))
        WHEN 'network' THEN jsonb_build_object('property', 'remote_ip', 'operator', operator || '_cidr', 'values', '["10.1.2.3/16", "2001:db8::/32"]'::jsonb)
        WHEN 'networks' THEN jsonb_build_object('property', 'remote_ip', 'operator', operator || '_cidr', 'values', '["10.0.0.0/8", "192.168.1.1"]'::jsonb)
        WHEN 'provider' THEN jsonb_build_object('property', 'provider_id', 'operator', operator, 'values',
            jsonb_build_array(coalesce(walk.some(key, 'auth_providers')::text, walk.id(key)::text)))
        WHEN 'verified' THEN jsonb_build_object('property', 'client_verified', 'operator', 'is', 'values', jsonb_build_array(walk.one(key, ARRAY['true', 'true', 'false'])))
        WHEN 'hours' THEN jsonb_build_object('property', 'current_utc_datetime', 'operator', 'is_in_day_of_week_time_ranges', 'values',
            (SELECT jsonb_agg(day || '/' || walk.one(key || day, ARRAY['true', '08-18', '00:00-06:30,22-23:59:59', '09:15:30-12,12-13:45,20-21'])
                || '/' || walk.one(key || 'zone', ARRAY['UTC', 'US/Pacific', 'Europe/Berlin', 'Asia/Kolkata', 'America/New_York', 'Australia/Lord_Howe']))
             FROM regexp_split_to_table('MTWRFSU', '') AS day WHERE walk.draw(key || 'on ' || day, 4) > 0))
        -- What must be understood by nobody.
        ELSE walk.one(key || 'wrong', ARRAY['{"property": "colour", "operator": "is", "values": ["a\"b\\c,{}"]}', '{"property": "remote_ip", "operator": "is_in_cidr", "values": ["10.0.0.0/33"]}',
            '{"property": "current_utc_datetime", "operator": "is_in_day_of_week_time_ranges", "values": ["M/18-08/UTC"]}', '[]', 'null', '{"property": "client_verified", "operator": "is"}'])::jsonb
        END
    FROM (SELECT walk.one(key || 'operator', ARRAY['is_in', 'is_in', 'is_not_in'])) AS o (operator)
$$;
CREATE FUNCTION walk.conditions(key text) RETURNS jsonb[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(SELECT walk.condition(key || ' ' || i) FROM generate_series(1, walk.one(key || 'count', ARRAY[0, 0, 0, 1, 1, 2])) AS i)
$$;

CREATE FUNCTION walk.address(key text, type resource_type) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE type
        WHEN 'dns' THEN walk.one(key || 'dns', ARRAY['', '', '', '*.', '**.', '?.', 'a*b.']) || 'h' || walk.draw(key || 'host', 100000) || '.example.com'
        WHEN 'cidr' THEN walk.one(key || 'cidr', ARRAY['10.' || walk.draw(key, 256) || '.0.0/16', '2001:db8:' || to_hex(1 + walk.draw(key, 60000)) || '::/48'])
        WHEN 'ip' THEN walk.one(key || 'ip', ARRAY['172.16.' || walk.draw(key, 256) || '.7', '2001:db8::' || to_hex(1 + walk.draw(key, 60000))])
    END
$$;
CREATE FUNCTION walk.filters(key text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT walk.one(key || 'filters', ARRAY['[]', '[]', '[{"protocol": "tcp", "ports": ["80", "443"]}]', '[{"protocol": "tcp", "ports": ["100-200"]}, {"protocol": "icmp", "ports": []}]',
        '[{"protocol": "udp", "ports": []}]'])::jsonb
$$;

-- Making rows: each for the numbers of a series, with keys of their own ------------------------------------------------------------------

CREATE FUNCTION walk.make_groups(key text, count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO actor_groups (id, account_id, name, type)
    SELECT walk.id(key || 'group' || i), walk.account(), 'group ' || key || i, walk.one(key || 'type' || i, ARRAY['static', 'managed', 'synced'])::group_type FROM generate_series(1, count) AS i
$$;
CREATE FUNCTION walk.make_actors(key text, count int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    providers uuid[] := ARRAY(SELECT id FROM auth_providers WHERE account_id = walk.account() ORDER BY id);
BEGIN
    INSERT INTO actors (id, account_id, type, name)
    SELECT walk.id(key || 'actor' || i), walk.account(), CASE WHEN i % 12 = 0 THEN 'service_account' ELSE 'account_user' END::actor_type, 'actor ' || key || i FROM generate_series(1, count) AS i;
    INSERT INTO auth_identities (id, account_id, actor_id, provider_id, email)
    SELECT walk.id(key || 'identity' || i), walk.account(), walk.id(key || 'actor' || i), walk.one(key || 'provider' || i, providers), 'a' || i || '@example.com'
    FROM generate_series(1, count) AS i WHERE i % 12 <> 0;
END $$;
CREATE SEQUENCE walk.addresses;  -- of tunnels
-- Of actors of the account, each with a token.
CREATE FUNCTION walk.make_clients(key text, count int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    actors uuid[] := ARRAY(SELECT id FROM actors WHERE account_id = walk.account() ORDER BY id);
BEGIN
    INSERT INTO tokens (id, account_id, type, actor_id, identity_id, secret_hash, expires_at)
    SELECT walk.id(key || 'token' || i), walk.account(), 'client', a, (SELECT id FROM auth_identities WHERE actor_id = a ORDER BY id LIMIT 1), decode(md5(key || i), 'hex'), '2100-01-01'
    FROM generate_series(1, count) AS i, walk.one(key || 'owner' || i, actors) AS a;
    INSERT INTO clients (id, account_id, actor_id, identity_id, external_id, name, public_key, ipv4, ipv6, verified_at, last_used_token_id, last_seen_version, last_seen_remote_ip,
        last_seen_remote_ip_location_region)
    SELECT walk.id(key || 'client' || i), walk.account(), t.actor_id, t.identity_id, key || i, 'client ' || key || i, 'k' || key || i,
        '100.64.0.0'::inet + nextval('walk.addresses'), 'fd00:64::'::inet + nextval('walk.addresses'), CASE WHEN walk.draw(key || 'verified' || i, 2) = 0 THEN '2026-01-01'::timestamptz END, t.id,
        walk.one(key || 'version' || i, ARRAY['1.1.4', '1.2.0', '1.3.2', '1.5.0', '1.5.0']), walk.ip(key || i), walk.region(key || i)
    FROM generate_series(1, count) AS i JOIN tokens t ON t.id = walk.id(key || 'token' || i);
END $$;
-- Sites with their gateways.
CREATE FUNCTION walk.make_sites(key text, count int, gateways int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sites (id, account_id, name) SELECT walk.id(key || 'site' || i), walk.account(), 'site ' || key || i FROM generate_series(1, count) AS i;
    INSERT INTO tokens (id, account_id, type, site_id, secret_hash)
    SELECT walk.id(key || 'site token' || i), walk.account(), 'gateway', walk.id(key || 'site' || i), decode(md5(key || i), 'hex') FROM generate_series(1, count) AS i;
    INSERT INTO gateways (id, account_id, site_id, external_id, name, public_key, ipv4, ipv6, last_used_token_id, last_seen_version)
    SELECT walk.id(key || 'gateway' || i || ' ' || g), walk.account(), walk.id(key || 'site' || i), key || i || ' ' || g, 'gateway ' || key || i || ' ' || g, 'k' || i || g,
        '100.64.0.0'::inet + nextval('walk.addresses'), 'fd00:64::'::inet + nextval('walk.addresses'), walk.id(key || 'site token' || i), '1.5.0'
    FROM generate_series(1, count) AS i, generate_series(1, gateways) AS g;
END $$;
CREATE FUNCTION walk.make_resources(key text, count int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    sites uuid[] := ARRAY(SELECT id FROM sites WHERE account_id = walk.account() ORDER BY id);
BEGIN
    INSERT INTO resources (id, account_id, name, type, address, address_description, ip_stack, filters)
    SELECT walk.id(key || 'resource' || i), walk.account(), 'resource ' || key || i, t, walk.address(key || i, t), CASE WHEN i % 3 = 0 THEN 'about ' || i END,
        CASE WHEN t = 'dns' THEN walk.one(key || 'stack' || i, ARRAY[NULL, NULL, 'dual', 'ipv4_only'])::ip_stack END, walk.filters(key || i)
    FROM generate_series(1, count) AS i, walk.one(key || 'kind' || i, ARRAY['dns', 'dns', 'dns', 'dns', 'cidr', 'cidr', 'ip', 'internet']::resource_type[]) AS t;
    INSERT INTO resource_connections (account_id, resource_id, site_id)
    SELECT walk.account(), walk.id(key || 'resource' || i), walk.one(key || 'at' || i || ' ' || n, sites)
    FROM generate_series(1, count) AS i, generate_series(1, 1 + walk.draw(key || 'sites' || i, 3)) AS n ON CONFLICT DO NOTHING;
END $$;
CREATE FUNCTION walk.make_policies(key text, count int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    groups uuid[] := ARRAY(SELECT id FROM actor_groups WHERE account_id = walk.account() ORDER BY id);
    resources uuid[] := ARRAY(SELECT id FROM resources WHERE account_id = walk.account() ORDER BY id);
BEGIN
    INSERT INTO policies (id, account_id, actor_group_id, resource_id, description, conditions, disabled_at)
    SELECT walk.id(key || 'policy' || i), walk.account(), walk.one(key || 'group' || i, groups),
        -- Half of them for a few resources, so that many a client is granted one by several.
        walk.one(key || 'resource' || i, CASE walk.draw(key || 'known' || i, 2) WHEN 0 THEN resources[1:15] ELSE resources END), 'policy ' || key || i,
        walk.conditions(key || i), CASE WHEN walk.draw(key || 'off' || i, 10) = 0 THEN '2026-01-01'::timestamptz END
    FROM generate_series(1, count) AS i;
END $$;
CREATE FUNCTION walk.make_memberships(key text, count int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    groups uuid[] := ARRAY(SELECT id FROM actor_groups WHERE account_id = walk.account() ORDER BY id);
    actors uuid[] := ARRAY(SELECT id FROM actors WHERE account_id = walk.account() ORDER BY id);
BEGIN
    INSERT INTO actor_group_memberships (id, account_id, actor_id, group_id)
    SELECT walk.id(key || 'membership' || i), walk.account(), walk.one(key || 'actor' || i, actors), walk.one(key || 'group' || i, groups) FROM generate_series(1, count) AS i
    ON CONFLICT DO NOTHING;
END $$;
-- Of clients that some enabled policy may concern, whether its conditions hold or not.
CREATE FUNCTION walk.make_flows(key text, count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flows (id, account_id, policy_id, client_id, gateway_id, resource_id, token_id, membership_id, expires_at, created_at)
    SELECT walk.id(key || 'flow' || f.n), walk.account(), f.policy_id, f.client_id, f.gateway_id, f.resource_id, f.token_id, f.membership_id,
        CASE WHEN walk.draw(key || 'end' || f.n, 4) > 0 THEN '2099-01-01'::timestamptz END, '2026-01-01'
    FROM (SELECT p.id AS policy_id, c.id AS client_id, w.id AS gateway_id, p.resource_id, c.last_used_token_id AS token_id, m.id AS membership_id,
              row_number() OVER (ORDER BY md5(key || p.id || c.id || w.id)) AS n
          FROM clients c JOIN actor_group_memberships m ON m.actor_id = c.actor_id JOIN policies p ON p.actor_group_id = m.group_id AND p.disabled_at IS NULL
              JOIN resource_connections rc ON rc.resource_id = p.resource_id JOIN gateways w ON w.site_id = rc.site_id
          WHERE c.account_id = walk.account() AND c.last_used_token_id IS NOT NULL) AS f
    WHERE f.n <= count
$$;

CREATE FUNCTION walk.setup(seed bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    key text := seed || ' ';
BEGIN
    INSERT INTO walk.world VALUES (walk.id(key || 'account'));
    INSERT INTO accounts (id, name, slug, config) VALUES (walk.account(), 'walk', 'walk-' || seed, '{"search_domain": "example.com", "upstream_dns": ["1.1.1.1:53"]}');
    INSERT INTO auth_providers (id, account_id, adapter) SELECT walk.id(key || 'provider' || i), walk.account(), 'oidc' FROM generate_series(1, 6) AS i;
    PERFORM walk.make_groups(key, 180), walk.make_actors(key, 600);
    PERFORM walk.make_clients(key, 700);
    PERFORM walk.make_sites(key, 40, 6);
    PERFORM walk.make_resources(key, 120);
    PERFORM walk.make_policies(key, 260);
    PERFORM walk.make_memberships(key, 3000);
    PERFORM walk.make_flows(key, 1500);
    RETURN format('account %s: %s clients, %s gateways, %s policies, %s resources, %s groups', walk.account(), (SELECT count(*) FROM clients), (SELECT count(*) FROM gateways),
        (SELECT count(*) FROM policies), (SELECT count(*) FROM resources), (SELECT count(*) FROM actor_groups));
END $$;

\ir walk_steps.sql
