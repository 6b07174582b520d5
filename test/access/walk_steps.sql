-- The kinds of transactions of the walk: included by walk.sql. A kind is a row: its weight, and a statement that changes something for the
-- key $1 (seed and number) and gives what it did. {table} or {table: filter} stands for some row's id, ? for a value by the key.
CREATE TABLE walk.kinds (name text PRIMARY KEY, weight int NOT NULL, statements text[] NOT NULL);

-- The statement with its ids chosen. A row that is not there becomes NULL, and the statement then finds nothing to do.
CREATE FUNCTION walk.chosen(key text, statement text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    place text[];
    count int := 0;
BEGIN
    LOOP
        place := regexp_match(statement, '\{([a-z_]+)(?:: ([^{}]*))?\}');
        EXIT WHEN place IS NULL;
        count := count + 1;
        statement := regexp_replace(statement, '\{([a-z_]+)(?:: ([^{}]*))?\}',
            coalesce(quote_literal(walk.some(key || ' ' || count, place[1], coalesce(place[2], 'true'))) || '::uuid', 'NULL::uuid'));
    END LOOP;
    RETURN statement;
END $$;

INSERT INTO walk.kinds VALUES
('membership added', 8, ARRAY[$s$INSERT INTO actor_group_memberships (id, account_id, actor_id, group_id)
    SELECT walk.id($1), walk.account(), a, g FROM (VALUES ({actors}, {actor_groups})) AS v (a, g) WHERE a IS NOT NULL AND g IS NOT NULL ON CONFLICT DO NOTHING$s$]),
('membership removed', 8, ARRAY['DELETE FROM actor_group_memberships WHERE id = {actor_group_memberships}']),
('membership made anew', 2, ARRAY[$s$WITH gone AS (DELETE FROM actor_group_memberships WHERE id = {actor_group_memberships} RETURNING *)
    INSERT INTO walk.kept SELECT to_jsonb(gone) FROM gone$s$,
    'INSERT INTO actor_group_memberships (id, account_id, actor_id, group_id) SELECT walk.id($1), walk.account(), (row ->> ''actor_id'')::uuid, (row ->> ''group_id'')::uuid FROM walk.kept',
    'DELETE FROM walk.kept']),
('many memberships added', 1, ARRAY['SELECT walk.make_memberships($1, 400)']),
('many memberships removed', 1, ARRAY['DELETE FROM actor_group_memberships WHERE account_id = walk.account() AND walk.draw($1 || id, 10) = 0']),
('a group emptied', 1, ARRAY['DELETE FROM actor_group_memberships WHERE group_id = {actor_groups}']),
('policy created', 4, ARRAY['SELECT walk.make_policies($1, 1)']),
('policy deleted', 3, ARRAY['DELETE FROM policies WHERE id = {policies}']),
('policy disabled', 4, ARRAY['UPDATE policies SET disabled_at = ''2026-01-02'' WHERE id = {policies: disabled_at IS NULL}']),
('policy enabled', 4, ARRAY['UPDATE policies SET disabled_at = NULL WHERE id = {policies: disabled_at IS NOT NULL}']),
('policy conditions', 6, ARRAY['UPDATE policies SET conditions = walk.conditions($1) WHERE id = {policies}']),
('policy disabled with other conditions', 1, ARRAY['UPDATE policies SET disabled_at = ''2026-01-02'', conditions = walk.conditions($1) WHERE id = {policies}']),
('policy described', 2, ARRAY['UPDATE policies SET description = $1 WHERE id = {policies}']),
('policy to another resource', 3, ARRAY['UPDATE policies SET resource_id = {resources} WHERE id = {policies}']),
('policy to another resource and back', 1, ARRAY['SELECT walk.resource_and_back({policies}, {resources})']),
('policy to another group', 3, ARRAY['UPDATE policies SET actor_group_id = {actor_groups} WHERE id = {policies}']),
('policy without group', 1, ARRAY['UPDATE policies SET actor_group_id = NULL WHERE id = {policies}']),
('many policies switched', 1, ARRAY['UPDATE policies SET disabled_at = CASE WHEN disabled_at IS NULL THEN ''2026-01-02''::timestamptz END WHERE account_id = walk.account() AND walk.draw($1 || id, 8) = 0']),
('resource renamed', 4, ARRAY['UPDATE resources SET name = $1 WHERE id = {resources}']),
('resource address', 3, ARRAY['UPDATE resources SET address = walk.address($1, type) WHERE id = {resources}']),
('resource described', 1, ARRAY['UPDATE resources SET address_description = $1 WHERE id = {resources}']),
('resource filters', 3, ARRAY['UPDATE resources SET filters = walk.filters($1) WHERE id = {resources}']),
('resource without sense', 1, ARRAY['UPDATE resources SET filters = ''[{"protocol": "tcp", "ports": ["9-1"]}]'' WHERE id = {resources}']),
('resource ip stack', 2, ARRAY['UPDATE resources SET ip_stack = walk.one($1, ARRAY[NULL, ''dual'', ''ipv6_only''])::ip_stack WHERE id = {resources: type = ''dns''}']),
('resource type', 1, ARRAY[$s$UPDATE resources SET type = t, address = walk.address($1, t), ip_stack = NULL
    FROM walk.one($1 || 'type', ARRAY['dns', 'cidr', 'ip', 'internet']::resource_type[]) AS t WHERE id = {resources}$s$]),
('resource created', 2, ARRAY['SELECT walk.make_resources($1, 1)']),
('resource deleted', 1, ARRAY['DELETE FROM resources WHERE id = {resources}']),
('connection added', 4, ARRAY[$s$INSERT INTO resource_connections (account_id, resource_id, site_id)
    SELECT walk.account(), r, s FROM (VALUES ({resources}, {sites})) AS v (r, s) WHERE r IS NOT NULL AND s IS NOT NULL ON CONFLICT DO NOTHING$s$]),
('connections removed', 2, ARRAY['DELETE FROM resource_connections WHERE resource_id = {resources}']),
('connections of a site swapped for another', 3, ARRAY['SELECT walk.swap_sites({resources}, {sites})']),
('site renamed', 3, ARRAY['UPDATE sites SET name = $1 WHERE id = {sites}']),
('site deleted', 1, ARRAY['DELETE FROM sites WHERE id = {sites}']),
('site created', 1, ARRAY['SELECT walk.make_sites($1, 1, 6)', $s$INSERT INTO resource_connections (account_id, resource_id, site_id)
    SELECT walk.account(), id, walk.id($1 || 'site1') FROM resources WHERE account_id = walk.account() AND walk.draw($1 || id, 30) = 0$s$]),
('gateway to another site', 2, ARRAY['UPDATE gateways SET site_id = {sites} WHERE id = {gateways}']),
('gateway deleted', 1, ARRAY['DELETE FROM gateways WHERE id = {gateways}']),
('gateway seen', 2, ARRAY['UPDATE gateways SET last_seen_at = ''2026-01-02'', last_seen_version = ''1.5.1'' WHERE id = {gateways}']),
('token deleted', 2, ARRAY['DELETE FROM tokens WHERE id = {tokens: type = ''client''}']),
('token expires', 1, ARRAY['UPDATE tokens SET expires_at = ''2000-01-01'' WHERE id = {tokens: type = ''client''}']),
('token seen', 2, ARRAY['UPDATE tokens SET last_seen_at = ''2026-01-02'' WHERE id = {tokens}']),
('client verified', 4, ARRAY['UPDATE clients SET verified_at = ''2026-01-02'' WHERE id = {clients: verified_at IS NULL}']),
('client not verified', 3, ARRAY['UPDATE clients SET verified_at = NULL WHERE id = {clients: verified_at IS NOT NULL}']),
('client seen', 3, ARRAY['UPDATE clients SET last_seen_at = ''2026-01-02'', name = $1 WHERE id = {clients}']),
('client elsewhere', 3, ARRAY['UPDATE clients SET last_seen_remote_ip = walk.ip($1), last_seen_remote_ip_location_region = walk.region($1) WHERE id = {clients}']),
('client deleted', 1, ARRAY['DELETE FROM clients WHERE id = {clients}']),
('clients created', 1, ARRAY['SELECT walk.make_clients($1, 3)']),
('provider disabled', 1, ARRAY['UPDATE auth_providers SET disabled_at = ''2026-01-02'' WHERE id = {auth_providers: disabled_at IS NULL}']),
('providers enabled', 2, ARRAY['UPDATE auth_providers SET disabled_at = NULL WHERE account_id = walk.account()']),
('identity to another provider', 2, ARRAY['UPDATE auth_identities SET provider_id = {auth_providers} WHERE id = {auth_identities}']),
('identity deleted', 1, ARRAY['DELETE FROM auth_identities WHERE id = {auth_identities}']),
('actor disabled', 2, ARRAY['UPDATE actors SET disabled_at = ''2026-01-02'' WHERE id = {actors: disabled_at IS NULL}']),
('actor enabled', 3, ARRAY['UPDATE actors SET disabled_at = NULL WHERE id = {actors: disabled_at IS NOT NULL}']),
('actor deleted', 1, ARRAY['DELETE FROM actors WHERE id = {actors}']),
('actors created', 1, ARRAY['SELECT walk.make_actors($1, 3)', 'SELECT walk.make_memberships($1, 12)']),
('group renamed', 1, ARRAY['UPDATE actor_groups SET name = $1 WHERE id = {actor_groups}']),
('group of another type', 2, ARRAY['UPDATE actor_groups SET type = (ARRAY[''static'', ''managed'']::group_type[])[1 + walk.draw($1, 2)] WHERE id = {actor_groups}']),
('group deleted', 1, ARRAY['DELETE FROM actor_groups WHERE id = {actor_groups}']),
('group created', 2, ARRAY['SELECT walk.make_groups($1, 1)']),
('account config', 2, ARRAY['UPDATE accounts SET config = jsonb_build_object(''search_domain'', ''d'' || walk.draw($1, 9) || ''.example.com'', ''upstream_dns'', ''["8.8.8.8:53"]''::jsonb) WHERE id = walk.account()']),
('account features', 2, ARRAY['UPDATE accounts SET features = jsonb_build_object((ARRAY[''internet_resource'', ''traffic_filters'', ''policy_conditions''])[1 + walk.draw($1, 3)], walk.draw($1 || ''v'', 2) = 0) WHERE id = walk.account()']),
('account features all', 3, ARRAY['UPDATE accounts SET features = ''{}'' WHERE id = walk.account()']),
('account renamed', 1, ARRAY['UPDATE accounts SET name = $1 WHERE id = walk.account()']),
('account slug', 1, ARRAY['UPDATE accounts SET slug = ''slug-'' || $1 WHERE id = walk.account()']),
('flows written', 4, ARRAY['SELECT walk.make_flows($1, 20)']),
('flow deleted', 3, ARRAY['DELETE FROM flows WHERE id = {flows}']),
('several of them', 3, ARRAY['DELETE FROM actor_group_memberships WHERE id = {actor_group_memberships}', 'UPDATE policies SET conditions = walk.conditions($1) WHERE id = {policies}',
    'UPDATE resources SET name = $1 WHERE id = {resources}', 'SELECT walk.make_memberships($1, 5)']),
('rolled back to a savepoint', 1, ARRAY['SELECT walk.roll_back()', 'UPDATE resources SET name = $1 WHERE id = {resources}']);

-- A row between two statements of a transaction.
CREATE TABLE walk.kept (row jsonb NOT NULL);

CREATE FUNCTION walk.resource_and_back(policy uuid, resource uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before uuid := (SELECT resource_id FROM policies WHERE id = policy);
BEGIN
    IF resource IS NULL THEN RETURN; END IF;
    UPDATE policies SET resource_id = resource WHERE id = policy;
    UPDATE policies SET resource_id = before WHERE id = policy;
END $$;

CREATE FUNCTION walk.swap_sites(resource uuid, site uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF resource IS NULL OR site IS NULL THEN RETURN; END IF;
    DELETE FROM resource_connections WHERE resource_id = resource;
    INSERT INTO resource_connections (account_id, resource_id, site_id) VALUES (walk.account(), resource, site);
END $$;

CREATE FUNCTION walk.roll_back() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM policies WHERE account_id = walk.account();
    RAISE EXCEPTION 'not meant';
EXCEPTION WHEN raise_exception THEN
    NULL;
END $$;

-- What keeps the account as large as it was: null when nothing is short.
CREATE FUNCTION walk.refill(key text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM actors WHERE account_id = walk.account()) < 560 THEN
        PERFORM walk.make_actors(key, 60);
        RETURN 'actors refilled';
    ELSIF (SELECT count(*) FROM clients WHERE account_id = walk.account() AND last_used_token_id IS NOT NULL) < 650 THEN
        PERFORM walk.make_clients(key, 80);
        RETURN 'clients refilled';
    ELSIF (SELECT count(*) FROM sites WHERE account_id = walk.account()) < 35 THEN
        PERFORM walk.make_sites(key, 6, 6);
        INSERT INTO resource_connections (account_id, resource_id, site_id)
        SELECT walk.account(), id, walk.id(key || 'site' || 1 + walk.draw(key || 'to' || id, 6)) FROM resources WHERE account_id = walk.account() AND walk.draw(key || id, 3) = 0;
        RETURN 'sites refilled';
    ELSIF (SELECT count(*) FROM actor_groups WHERE account_id = walk.account()) < 160 THEN
        PERFORM walk.make_groups(key, 25);
        RETURN 'groups refilled';
    ELSIF (SELECT count(*) FROM resources WHERE account_id = walk.account()) < 110 THEN
        PERFORM walk.make_resources(key, 15);
        RETURN 'resources refilled';
    ELSIF (SELECT count(*) FROM policies WHERE account_id = walk.account()) < 235 THEN
        PERFORM walk.make_policies(key, 30);
        RETURN 'policies refilled';
    ELSIF (SELECT count(*) FROM actor_group_memberships WHERE account_id = walk.account()) < 2400 THEN
        PERFORM walk.make_memberships(key, 700);
        RETURN 'memberships refilled';
    ELSIF (SELECT count(*) FROM flows WHERE account_id = walk.account()) < 800 THEN
        PERFORM walk.make_flows(key, 700);
        RETURN 'flows refilled';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION walk.step(seed bigint, n bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    key text := seed || ' ' || n || ' ';
    kind walk.kinds;
    statement text;
    done text := walk.refill(key);
    rows bigint;
BEGIN
    IF done IS NOT NULL THEN RETURN done; END IF;
    SELECT k.name, k.weight, k.statements INTO kind
    FROM (SELECT *, sum(weight) OVER (ORDER BY name COLLATE "C") AS upto FROM walk.kinds) AS k
    WHERE k.upto > walk.draw(key || 'kind', (SELECT sum(weight) FROM walk.kinds)) ORDER BY k.upto LIMIT 1;
    done := kind.name;
    FOREACH statement IN ARRAY kind.statements LOOP
        statement := walk.chosen(key, statement);
        EXECUTE statement USING key;
        GET DIAGNOSTICS rows = ROW_COUNT;
        done := done || ': ' || rows || coalesce(' ' || array_to_string(ARRAY(SELECT m[1] FROM regexp_matches(statement, '''([0-9a-f]{8}-[0-9a-f-]{27})''', 'g') AS m), ', '), '');
    END LOOP;
    RETURN done;
END $$;
