-- What the walk of a fleet (test/integration/fleet_walk.py) keeps in the database that it walks in:
-- which access stands, and which of it had a cause to end since. Beside oracle.sql, which says what
-- is granted.
CREATE SCHEMA fleet_walk;

-- What gateways let through at the last quiet point.
CREATE TABLE fleet_walk.standing (
    gateway_id uuid, client_id uuid, resource_id uuid,
    PRIMARY KEY (gateway_id, client_id, resource_id)
);
-- That of it which has had a cause to end.
CREATE TABLE fleet_walk.excused (
    gateway_id uuid, client_id uuid, resource_id uuid, cause text,
    PRIMARY KEY (gateway_id, client_id, resource_id)
);

CREATE FUNCTION fleet_walk.excuse(why text, client uuid, resource uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fleet_walk.excused
    SELECT s.gateway_id, s.client_id, s.resource_id, why FROM fleet_walk.standing s
    WHERE s.client_id = coalesce(client, s.client_id) AND s.resource_id = coalesce(resource, s.resource_id)
    ON CONFLICT DO NOTHING
$$;

-- Excuses what one of these clocks does not grant. It asks nothing of the rows of flows: a row that
-- a worker deletes is no cause. In the transaction of each change, so that nothing is missed that
-- was so for a moment alone.
CREATE FUNCTION fleet_walk.note(clocks timestamptz[]) RETURNS void LANGUAGE sql AS $$
    WITH granted AS MATERIALIZED (
        SELECT c.id AS client_id, g.resource_id, clock
        FROM clients c, unnest(clocks) AS clock, oracle.grants(c.id, clock) AS g)
    INSERT INTO fleet_walk.excused
    SELECT DISTINCT ON (s.gateway_id, s.client_id, s.resource_id) s.gateway_id, s.client_id, s.resource_id,
        'not granted at ' || clock
    FROM fleet_walk.standing s, unnest(clocks) AS clock
    WHERE NOT EXISTS (SELECT FROM granted g
            WHERE g.client_id = s.client_id AND g.resource_id = s.resource_id AND g.clock = clock)
        OR NOT EXISTS (SELECT FROM gateways w JOIN resource_connections rc ON rc.site_id = w.site_id
            WHERE w.id = s.gateway_id AND rc.resource_id = s.resource_id)
        OR EXISTS (SELECT FROM tokens t WHERE t.device_id = s.client_id AND t.expires_at <= clock)
    ON CONFLICT DO NOTHING
$$;

-- Whether each of these clocks grants it: what a client asks for is judged by its process and by its
-- gateway's.
CREATE FUNCTION fleet_walk.granted_by_all(client uuid, token uuid, resource uuid, clocks timestamptz[]) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT bool_and(EXISTS (SELECT FROM oracle.grants(client, clock) AS g WHERE g.resource_id = resource)
        AND NOT EXISTS (SELECT FROM tokens t WHERE t.id = token AND t.expires_at <= clock))
    FROM unnest(clocks) AS clock
$$;

-- An administrator who deletes the row of a flow takes its access away. By a foreign key the row
-- goes with a parent, and note() says whether another one grants the same.
CREATE FUNCTION fleet_walk.deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('application_name') <> 'fatwal-channel' AND pg_trigger_depth() = 1 THEN
        INSERT INTO fleet_walk.excused VALUES (OLD.gateway_id, OLD.client_id, OLD.resource_id, 'deleted')
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fleet_walk_deleted AFTER DELETE ON flows FOR EACH ROW EXECUTE FUNCTION fleet_walk.deleted();

CREATE FUNCTION fleet_walk.truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Unless the same transaction puts the rows back.
    IF current_setting('fleet_walk.comes_back', true) = 'yes' THEN RETURN NULL; END IF;
    PERFORM fleet_walk.excuse('truncated', NULL, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER fleet_walk_truncated AFTER TRUNCATE ON flows EXECUTE FUNCTION fleet_walk.truncated();

-- What each device should have: [{"client" | "gateway", "may", "shown" | "pairs"}], by the clock of
-- the process that it is connected to.
CREATE FUNCTION fleet_walk.client_should(client uuid, token uuid, clock timestamptz) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'may', oracle.may_connect(client) AND EXISTS (
            SELECT FROM clients c JOIN tokens t ON t.actor_id = c.actor_id
            WHERE c.id = client AND t.id = token AND coalesce(t.expires_at > clock, true)),
        'shown', (SELECT coalesce(jsonb_object_agg(v.resource_id, v.rendered), '{}') FROM oracle.client_view(client, clock, '1.5.0') AS v))
$$;
CREATE FUNCTION fleet_walk.gateway_should(gateway uuid, token uuid, clock timestamptz) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'may', EXISTS (
            SELECT FROM gateways w JOIN tokens t ON t.site_id = w.site_id WHERE w.id = gateway AND t.id = token),
        'pairs', (SELECT coalesce(jsonb_agg(jsonb_build_array(p.client_id, p.resource_id, p.justified, p.own)), '[]')
                  FROM oracle.gateway_pairs(gateway, clock) AS p))
$$;
