-- What the other tests share: a view of a slot's changes without what differs from run to run.
CREATE FUNCTION changes(slot text, publications text, VARIADIC options text[] DEFAULT '{}',
                        OUT kind text, OUT relation text, OUT account text, OUT ordinal bigint, OUT last text,
                        OUT new json, OUT old json, OUT unavailable text[])
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT d.kind, d.relation, d.account, d.ordinal, d.last, d.new, d.old, d.unavailable
      FROM pg_logical_slot_get_binary_changes(slot, NULL, NULL, VARIADIC ARRAY['publication_names', publications] || options) AS c,
           LATERAL fatwal.decode(c.data) AS d
$$;
