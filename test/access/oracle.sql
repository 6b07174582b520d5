-- What each channel must show, computed from the portal's tables alone, from scratch each time: the channel workers, which keep everything
-- in memory and follow events, are held against it. It is slow and simple on purpose, and shares nothing with them but the rules.
--   psql -d portal -f test/access/oracle.sql        (SET jit = off where it is asked often: compiling takes longer than the answers)
-- It fails closed: whatever is not understood (a null condition, an unknown operator, a malformed value) grants nothing.
CREATE SCHEMA oracle;

-- Names only, as the tables of the clock have them: Postgres itself would also take abbreviations and POSIX rules for a zone.
CREATE TABLE oracle.zones AS SELECT name FROM pg_timezone_names WHERE name ~ '^[A-Z]';
ALTER TABLE oracle.zones ADD PRIMARY KEY (name);

-- An address with or without a netmask; null when it is none. The pattern is there because inet itself takes "10.1" and the like.
CREATE FUNCTION oracle.address(value text) RETURNS inet LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value !~ '^([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|[0-9a-fA-F.]*:[0-9a-fA-F.:]*)(/[0-9]{1,3})?$' THEN RETURN NULL; END IF;
    RETURN value::inet;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

CREATE FUNCTION oracle.is_uuid(value text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
$$;

-- Time windows ---------------------------------------------------------------------------------------------------------------------------

-- H[:M[:S[.fraction]]]; the fraction is cut off. Null when it is none.
CREATE FUNCTION oracle.time_of(value text) RETURNS time LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN part IS NOT NULL AND part[1]::int < 24 AND coalesce(part[2]::int, 0) < 60 AND coalesce(part[3]::int, 0) < 60
                THEN make_time(part[1]::int, coalesce(part[2]::int, 0), coalesce(part[3]::int, 0)) END
    FROM (SELECT regexp_match(value, '^ *([0-9]{1,2})(?::([0-9]{1,2})(?::([0-9]{1,2})(?:\.[0-9]+)?)?)? *$') AS part) AS p
$$;

-- The instant at which the zone's clocks first show this or more: of an hour that is shown twice the first, of one that is skipped the
-- instant of the jump. AT TIME ZONE decides both otherwise, so it is only asked in the other direction.
CREATE FUNCTION oracle.instant(local timestamp, zone text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    found timestamptz;
    before timestamptz := (local - interval '26 hours') AT TIME ZONE 'UTC';
    after timestamptz := (local + interval '26 hours') AT TIME ZONE 'UTC';
    middle timestamptz;
BEGIN
    -- The offsets before and after whatever happens near by.
    SELECT min(local AT TIME ZONE 'UTC' - offset_of) INTO found
    FROM (SELECT (near AT TIME ZONE zone) - (near AT TIME ZONE 'UTC') AS offset_of FROM unnest(ARRAY[before, after]) AS near) AS o
    WHERE (local AT TIME ZONE 'UTC' - offset_of) AT TIME ZONE zone = local;
    IF found IS NOT NULL THEN RETURN found; END IF;
    -- Never shown: the instant of the jump, to the second.
    WHILE after - before > interval '1 second' LOOP
        middle := date_trunc('second', before + (after - before) / 2);
        IF middle AT TIME ZONE zone < local THEN before := middle; ELSE after := middle; END IF;
    END LOOP;
    RETURN after;
END $$;

-- The ranges of the values, as times of a day (0 Sunday … 6 Saturday) in a zone; null when any value is malformed.
CREATE TYPE oracle.range AS (zone text, day int, from_time time, to_time time);
CREATE FUNCTION oracle.ranges(entries text[]) RETURNS oracle.range[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    entry text;
    part text[];
    span text;
    one oracle.range;
    ranges oracle.range[] := '{}';
BEGIN
    FOREACH entry IN ARRAY entries LOOP
        part := regexp_match(entry, '^([MTWRFSU])/([^/]*)/(.*)$');
        IF part IS NULL OR NOT EXISTS (SELECT FROM oracle.zones WHERE name = part[3]) THEN RETURN NULL; END IF;
        one.day := strpos('UMTWRFS', part[1]) - 1;
        one.zone := part[3];
        IF trim(part[2]) = '' THEN RETURN NULL; END IF;
        FOREACH span IN ARRAY string_to_array(CASE WHEN trim(part[2]) = 'true' THEN '00:00:00-23:59:59' ELSE part[2] END, ',') LOOP
            IF span !~ '^[^-]*-[^-]*$' THEN RETURN NULL; END IF;
            one.from_time := oracle.time_of(split_part(span, '-', 1));
            one.to_time := oracle.time_of(split_part(span, '-', 2));
            IF (one.from_time <= one.to_time) IS NOT TRUE THEN RETURN NULL; END IF;
            ranges := ranges || one;
        END LOOP;
    END LOOP;
    RETURN ranges;
END $$;

-- Until when one of the values' windows stays open at `at`: its last instant; infinity when it never closes; null when none is open.
CREATE FUNCTION oracle.windows_until(entries text[], at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    WITH dated AS (  -- from yesterday to the same day of the next week and a little: whatever joins on to now is in it
        SELECT r.zone, d.date::date + r.from_time AS opens, d.date::date + r.to_time AS closes
        FROM unnest(oracle.ranges(entries)) AS r,
            generate_series(date_trunc('day', at AT TIME ZONE r.zone) - interval '1 day', date_trunc('day', at AT TIME ZONE r.zone) + interval '9 days', interval '1 day') AS d (date)
        WHERE extract(dow FROM d.date) = r.day),
    -- A window joins one that is open, or was until the last second of the day before.
    reached AS (
        SELECT *, max(CASE WHEN closes::time = '23:59:59' THEN closes + interval '1 second' ELSE closes END)
            OVER (PARTITION BY zone ORDER BY opens, closes ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
        FROM dated),
    numbered AS (
        SELECT *, count(*) FILTER (WHERE reach IS NULL OR opens > reach) OVER (PARTITION BY zone ORDER BY opens, closes) AS number FROM reached),
    merged AS (
        SELECT zone, min(opens) AS opens, max(closes) AS closes FROM numbered GROUP BY zone, number)
    SELECT max(CASE WHEN closes - opens > interval '8 days' THEN 'infinity' ELSE oracle.instant(closes, zone) END)
    FROM merged
    -- The first line only spares the second.
    WHERE at AT TIME ZONE zone BETWEEN opens - interval '26 hours' AND closes + interval '26 hours'
        AND at BETWEEN oracle.instant(opens, zone) AND oracle.instant(closes, zone)
$$;

-- Conditions -----------------------------------------------------------------------------------------------------------------------------

-- Until when the condition holds for the client: infinity without end, null when it does not hold.
CREATE FUNCTION oracle.condition_until(condition jsonb, client clients, at timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    entries text[];
    provider uuid;
    ip inet := host(client.last_seen_remote_ip)::inet;
    holds boolean;
BEGIN
    -- Nothing but a list of strings is a list of values.
    IF jsonb_typeof(condition) IS DISTINCT FROM 'object' OR jsonb_typeof(condition -> 'values') IS DISTINCT FROM 'array'
        OR jsonb_typeof(condition -> 'property') IS DISTINCT FROM 'string' OR jsonb_typeof(condition -> 'operator') IS DISTINCT FROM 'string'
        OR EXISTS (SELECT FROM jsonb_array_elements(condition -> 'values') AS v WHERE jsonb_typeof(v) <> 'string') THEN
        RETURN NULL;
    END IF;
    entries := ARRAY(SELECT jsonb_array_elements_text(condition -> 'values'));
    CASE (condition ->> 'property') || ' ' || (condition ->> 'operator')
        WHEN 'remote_ip_location_region is_in', 'remote_ip_location_region is_not_in' THEN
            holds := NOT EXISTS (SELECT FROM unnest(entries) AS v WHERE v !~ '^[A-Z]{2}$')
                AND client.last_seen_remote_ip_location_region IS NOT NULL
                AND (client.last_seen_remote_ip_location_region = ANY (entries)) = (condition ->> 'operator' = 'is_in');
        WHEN 'remote_ip is_in_cidr', 'remote_ip is_not_in_cidr' THEN
            -- <<= compares addresses of one family only, and looks at no host bits of the network.
            holds := NOT EXISTS (SELECT FROM unnest(entries) AS v WHERE oracle.address(v) IS NULL)
                AND ip IS NOT NULL
                AND EXISTS (SELECT FROM unnest(entries) AS v WHERE ip <<= oracle.address(v)) = (condition ->> 'operator' = 'is_in_cidr');
        WHEN 'provider_id is_in', 'provider_id is_not_in' THEN
            SELECT provider_id INTO provider FROM auth_identities WHERE id = client.identity_id;
            -- No provider is in no list.
            holds := NOT EXISTS (SELECT FROM unnest(entries) AS v WHERE NOT oracle.is_uuid(v))
                AND coalesce(provider::text = ANY (SELECT lower(v) FROM unnest(entries) AS v), false) = (condition ->> 'operator' = 'is_in');
        WHEN 'client_verified is' THEN
            holds := entries = '{false}' OR (entries = '{true}' AND client.verified_at IS NOT NULL);
        WHEN 'current_utc_datetime is_in_day_of_week_time_ranges' THEN
            RETURN oracle.windows_until(entries, at);
        ELSE
            holds := false;
    END CASE;
    RETURN CASE WHEN holds THEN 'infinity'::timestamptz END;
END $$;

-- The same of a policy, enabled or not: the earliest of its conditions' ends.
CREATE FUNCTION oracle.conditions_until(conditions jsonb[], client clients, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN bool_and(until IS NOT NULL) IS NOT FALSE THEN coalesce(min(until), 'infinity') END
    FROM (SELECT oracle.condition_until(c, client, at) AS until FROM unnest(conditions) AS c) AS each
$$;

CREATE FUNCTION oracle.holds_until(policy_id uuid, client_id uuid, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT oracle.conditions_until(p.conditions, c, at) FROM policies p, clients c WHERE p.id = policy_id AND c.id = client_id
$$;

CREATE FUNCTION oracle.holds(policy_id uuid, client_id uuid, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT oracle.holds_until(policy_id, client_id, at) IS NOT NULL
$$;

-- Whether the account has a feature: one that is not named is there, and only true is true.
CREATE FUNCTION oracle.has_feature(account_id uuid, feature text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT jsonb_typeof(features) = 'object' AND coalesce(features -> feature = 'true', true) FROM accounts WHERE id = account_id
$$;

-- Whether its features let the account use the resource.
CREATE FUNCTION oracle.offered(resource resources) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (resource.type <> 'internet' OR oracle.has_feature(resource.account_id, 'internet_resource'))
        AND (resource.filters = '[]' OR oracle.has_feature(resource.account_id, 'traffic_filters'))
$$;

-- Who is in which group: by a membership, or by none in a managed group that has no memberships, which is everyone's.
CREATE VIEW oracle.members AS
    SELECT id, actor_id, group_id FROM actor_group_memberships
    UNION ALL
    SELECT NULL, a.id, g.id FROM actor_groups g JOIN actors a USING (account_id)
    WHERE g.type = 'managed' AND NOT EXISTS (SELECT FROM actor_group_memberships m WHERE m.group_id = g.id);

-- What a client is granted ---------------------------------------------------------------------------------------------------------------

-- Whether the client may have a session at all: nothing of what it stands on is disabled.
CREATE FUNCTION oracle.may_connect(client_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM clients c JOIN actors a ON a.id = c.actor_id JOIN accounts o ON o.id = c.account_id
            LEFT JOIN auth_identities i ON i.id = c.identity_id LEFT JOIN auth_providers p ON p.id = i.provider_id
        WHERE c.id = client_id AND a.disabled_at IS NULL AND o.disabled_at IS NULL AND p.disabled_at IS NULL)
$$;

-- Every enabled policy of the client's groups that holds, and until when.
CREATE FUNCTION oracle.grants(client_id uuid, at timestamptz)
RETURNS TABLE (policy_id uuid, membership_id uuid, resource_id uuid, until timestamptz) LANGUAGE sql STABLE AS $$
    SELECT g.policy_id, g.membership_id, g.resource_id, g.until
    FROM (SELECT p.id AS policy_id, m.id AS membership_id, p.resource_id, oracle.conditions_until(p.conditions, c, at) AS until
          FROM clients c JOIN oracle.members m ON m.actor_id = c.actor_id JOIN policies p ON p.actor_group_id = m.group_id
          WHERE c.id = client_id AND p.disabled_at IS NULL AND oracle.may_connect(client_id)
            AND (p.conditions = '{}' OR oracle.has_feature(p.account_id, 'policy_conditions'))) AS g
    WHERE g.until IS NOT NULL
$$;

-- Rendering ------------------------------------------------------------------------------------------------------------------------------

-- [{"protocol", "ports": ["80", "100-200"]}] as a list of ranges; null when it makes no sense, since a filter left out would open more.
CREATE FUNCTION oracle.filters(filters jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    filter jsonb;
    port text;
    part text[];
    rendered jsonb := '[]';
BEGIN
    IF jsonb_typeof(filters) <> 'array' THEN RETURN NULL; END IF;
    FOR filter IN SELECT jsonb_array_elements(filters) LOOP
        IF jsonb_typeof(filter) <> 'object' OR (filter ->> 'protocol' IN ('tcp', 'udp', 'icmp')) IS NOT TRUE THEN RETURN NULL; END IF;
        IF coalesce(filter -> 'ports', '[]') = '[]' THEN
            rendered := rendered || jsonb_build_array(jsonb_build_object('protocol', filter -> 'protocol'));
            CONTINUE;
        END IF;
        IF jsonb_typeof(filter -> 'ports') <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements(filter -> 'ports') AS p WHERE jsonb_typeof(p) <> 'string') THEN
            RETURN NULL;
        END IF;
        FOR port IN SELECT jsonb_array_elements_text(filter -> 'ports') LOOP
            part := regexp_match(port, '^ *([0-9]{1,5}) *(?:- *([0-9]{1,5}) *)?$');
            IF part IS NULL OR part[1]::int > coalesce(part[2], part[1])::int OR coalesce(part[2], part[1])::int > 65535 THEN RETURN NULL; END IF;
            rendered := rendered || jsonb_build_array(jsonb_build_object('protocol', filter -> 'protocol',
                'port_range_start', part[1]::int, 'port_range_end', coalesce(part[2], part[1])::int));
        END LOOP;
    END LOOP;
    RETURN rendered;
END $$;

-- The address as a client of this version is given it; null when it cannot express it or it is none.
CREATE FUNCTION oracle.address_for(resource resources, version int[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE resource.type
        WHEN 'cidr' THEN CASE WHEN oracle.address(resource.address) IS NOT NULL THEN resource.address END
        WHEN 'ip' THEN CASE WHEN strpos(resource.address, '/') = 0 THEN host(oracle.address(resource.address)) || '/' || masklen(oracle.address(resource.address)) END
        WHEN 'dns' THEN CASE
            WHEN version >= '{1,2}' THEN resource.address
            WHEN older ~ '^.[^*?]*$' THEN older END
    END
    -- Devices before 1.2 write * for what is ** now, and ? for what is * now, and both only in front.
    FROM (SELECT regexp_replace(regexp_replace(resource.address, '^\*(?!\*)', '?'), '^\*\*', '*') AS older) AS o
    WHERE resource.type <> 'dns' OR version >= '{1,2}' OR resource.address !~ '^\?'
$$;

-- Null when the client's version cannot express the resource, when it has no site or when its row makes no sense.
CREATE FUNCTION oracle.render(resource resources, version int[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN sites.rendered IS NULL OR NOT oracle.offered(resource) THEN NULL
        WHEN resource.type = 'internet' THEN
            CASE WHEN version >= '{1,3}' THEN
                jsonb_build_object('id', resource.id, 'type', 'internet', 'gateway_groups', sites.rendered, 'can_be_disabled', true) END
        WHEN oracle.address_for(resource, version) IS NULL OR oracle.filters(resource.filters) IS NULL THEN NULL
        ELSE jsonb_build_object(
                'id', resource.id,
                'type', CASE resource.type WHEN 'ip' THEN 'cidr' ELSE resource.type::text END,
                'name', resource.name,
                'address', oracle.address_for(resource, version),
                'address_description', resource.address_description,
                'gateway_groups', sites.rendered,
                'filters', oracle.filters(resource.filters))
            || CASE WHEN resource.ip_stack IS NULL THEN '{}' ELSE jsonb_build_object('ip_stack', resource.ip_stack) END
        END
    FROM (SELECT jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name) ORDER BY s.id) AS rendered
          FROM resource_connections rc JOIN sites s ON s.id = rc.site_id WHERE rc.resource_id = resource.id) AS sites
$$;

-- The resources that a client of this version ("1.5.0") is to be shown.
CREATE FUNCTION oracle.client_view(client_id uuid, at timestamptz, version text) RETURNS TABLE (resource_id uuid, rendered jsonb) LANGUAGE sql STABLE AS $$
    SELECT v.id, v.rendered
    FROM (SELECT r.id, oracle.render(r, regexp_match(version, '^([0-9]+)\.([0-9]+)\.')::int[]) AS rendered
          FROM resources r WHERE r.id IN (SELECT g.resource_id FROM oracle.grants(client_id, at) AS g)) AS v
    WHERE v.rendered IS NOT NULL
    ORDER BY v.id
$$;

-- What a gateway may still let through ---------------------------------------------------------------------------------------------------

-- Each pair of the gateway's unexpired flows. `own`: a flow of it is still what it was decided by. `justified`: that, or another policy of
-- the client grants the resource. `until`: the latest end of those flows, else of the other policies, never after the token's; infinity none.
CREATE FUNCTION oracle.gateway_pairs(gateway_id uuid, at timestamptz)
RETURNS TABLE (client_id uuid, resource_id uuid, justified boolean, own boolean, until timestamptz) LANGUAGE sql STABLE AS $$
    WITH flow AS (
        SELECT f.client_id, f.resource_id, f.policy_id, f.membership_id, coalesce(f.expires_at, 'infinity') AS expires_at,
            coalesce(t.expires_at, 'infinity') AS token_expires_at,
            -- What is deleted has taken its flows along, by the foreign keys; what is left to ask is what can change.
            EXISTS (SELECT FROM resource_connections rc JOIN gateways g ON g.site_id = rc.site_id WHERE g.id = f.gateway_id AND rc.resource_id = f.resource_id)
                AND oracle.offered((SELECT r FROM resources r WHERE r.id = f.resource_id))
                AND coalesce(t.expires_at > at, true) AS possible
        FROM flows f JOIN tokens t ON t.id = f.token_id
        WHERE f.gateway_id = gateway_pairs.gateway_id AND coalesce(f.expires_at > at, true)),
    judged AS (
        SELECT flow.*, own.until AS own_until, other.until AS other_until
        FROM flow
        -- The same policy through the same membership still grants the same resource.
        LEFT JOIN LATERAL (SELECT g.until FROM oracle.grants(flow.client_id, at) AS g
            WHERE g.policy_id = flow.policy_id AND g.membership_id IS NOT DISTINCT FROM flow.membership_id AND g.resource_id = flow.resource_id) AS own ON flow.possible
        LEFT JOIN LATERAL (SELECT max(g.until) AS until FROM oracle.grants(flow.client_id, at) AS g
            WHERE g.resource_id = flow.resource_id) AS other ON flow.possible)
    SELECT j.client_id, j.resource_id, coalesce(bool_or(j.other_until IS NOT NULL), false), bool_or(j.own_until IS NOT NULL),
        coalesce(max(least(j.expires_at, j.own_until, j.token_expires_at)) FILTER (WHERE j.own_until IS NOT NULL),
                 max(least(j.other_until, j.token_expires_at)) FILTER (WHERE j.other_until IS NOT NULL))
    FROM judged j
    GROUP BY j.client_id, j.resource_id
    ORDER BY j.client_id, j.resource_id
$$;

-- The same of many at once ---------------------------------------------------------------------------------------------------------------
-- What would be computed for each client alike is computed once: the windows of a condition, a resource for a version. test/integration/walk
-- asks for everybody so, and for some by the functions above.

CREATE FUNCTION oracle.grants_of(ids uuid[], at timestamptz)
RETURNS TABLE (client_id uuid, policy_id uuid, membership_id uuid, resource_id uuid, until timestamptz) LANGUAGE sql STABLE AS $$
    WITH client AS MATERIALIZED (SELECT c AS of FROM clients c WHERE c.id = ANY (ids) AND oracle.may_connect(c.id)),
    candidate AS MATERIALIZED (
        SELECT c.of, p.id AS policy_id, m.id AS membership_id, p.resource_id, p.conditions
        FROM client c JOIN oracle.members m ON m.actor_id = (c.of).actor_id JOIN policies p ON p.actor_group_id = m.group_id
            JOIN (SELECT a.id, oracle.has_feature(a.id, 'policy_conditions') AS conditions FROM accounts a) AS has ON has.id = p.account_id
        WHERE p.disabled_at IS NULL AND (p.conditions = '{}' OR has.conditions)),
    timed AS MATERIALIZED (
        SELECT condition, oracle.condition_until(condition, NULL, at) AS until
        FROM (SELECT DISTINCT condition FROM candidate, unnest(conditions) AS condition WHERE condition ->> 'property' = 'current_utc_datetime') AS t),
    judged AS (
        SELECT (c.of).id AS client_id, c.policy_id, c.membership_id, c.resource_id, j.until
        FROM candidate c, LATERAL (
            SELECT CASE WHEN bool_and(e.until IS NOT NULL) IS NOT FALSE THEN coalesce(min(e.until), 'infinity') END AS until
            FROM (SELECT CASE WHEN t.condition IS NOT NULL THEN t.until ELSE oracle.condition_until(condition, c.of, at) END AS until
                  FROM unnest(c.conditions) AS condition LEFT JOIN timed t USING (condition)) AS e) AS j)
    SELECT * FROM judged WHERE until IS NOT NULL
$$;

CREATE FUNCTION oracle.client_views(ids uuid[], versions text[], at timestamptz) RETURNS TABLE (client_id uuid, resource_id uuid, rendered jsonb) LANGUAGE sql STABLE AS $$
    WITH shown AS MATERIALIZED (
        SELECT DISTINCT g.client_id, g.resource_id, a.version
        FROM oracle.grants_of(ids, at) AS g JOIN unnest(ids, versions) AS a (id, version) ON a.id = g.client_id),
    rendered AS MATERIALIZED (
        SELECT r.id, s.version, oracle.render(r, regexp_match(s.version, '^([0-9]+)\.([0-9]+)\.')::int[]) AS rendered
        FROM (SELECT DISTINCT resource_id, version FROM shown) AS s JOIN resources r ON r.id = s.resource_id)
    SELECT s.client_id, s.resource_id, r.rendered
    FROM shown s JOIN rendered r ON r.id = s.resource_id AND r.version = s.version
    WHERE r.rendered IS NOT NULL
    ORDER BY s.client_id, s.resource_id
$$;

-- What allows each of these pairs at its gateway, by the token that the client has: their number, and until when.
CREATE FUNCTION oracle.rights(of_gateways uuid[], of_clients uuid[], of_resources uuid[], at timestamptz)
RETURNS TABLE (n bigint, policy_id uuid, membership_id uuid, until timestamptz) LANGUAGE sql STABLE AS $$
    SELECT a.n, g.policy_id, g.membership_id, least(g.until, t.expires_at)
    FROM unnest(of_gateways, of_clients, of_resources) WITH ORDINALITY AS a (gateway_id, client_id, resource_id, n)
        JOIN gateways w ON w.id = a.gateway_id JOIN resource_connections rc ON rc.site_id = w.site_id AND rc.resource_id = a.resource_id
        JOIN resources r ON r.id = a.resource_id JOIN clients c ON c.id = a.client_id JOIN tokens t ON t.id = c.last_used_token_id
        JOIN oracle.grants_of(of_clients, at) AS g ON g.client_id = a.client_id AND g.resource_id = a.resource_id
    WHERE least(g.until, t.expires_at) > at AND oracle.render(r, '{1,5}') IS NOT NULL
    ORDER BY a.n
$$;
