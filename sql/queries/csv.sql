-- make_staging --
-- Where the rows of a file wait until all of them are there. Null stands for what the file does not say.
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL, caller_id text COLLATE "C" NOT NULL, carrier text, area text, group_name text,
    daily_limit integer, hourly_limit integer, meta text, switch text, minute_limit integer, attestation text,
    warmup_from text
) ON COMMIT DROP;

-- staged_duplicates --
-- Lines whose number is on an earlier line too, with that line.
SELECT line, first_line, caller_id FROM (
    SELECT line, caller_id, min(line) OVER (PARTITION BY caller_id) AS first_line FROM staged
) AS numbered
WHERE line <> first_line ORDER BY line;

-- drop_staged_duplicates --
-- Keeps the first line of each number.
DELETE FROM staged AS s USING (SELECT caller_id, min(line) AS line FROM staged GROUP BY caller_id) AS first
WHERE s.caller_id = first.caller_id AND s.line <> first.line;

-- analyze_staging --
-- Without it the planner takes the table for a small one.
ANALYZE staged;

-- add_staged_groups --
-- Makes the groups that are not there yet.
INSERT INTO groups (name)
SELECT DISTINCT COALESCE(group_name, 'default') FROM staged ORDER BY 1
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- update_from_staging --
-- Changes the caller-IDs that the file has other values for. $1 to $7: whether it has these columns at all.
UPDATE caller_ids AS c SET
    carrier = new.carrier, area = new.area, group_name = new.group_name, daily_limit = new.daily_limit,
    hourly_limit = new.hourly_limit, meta = new.meta, switch = new.switch, minute_limit = new.minute_limit,
    attestation = new.attestation, warmup_from = new.warmup_from,
    resting_until = CASE new.switch WHEN 'resting' THEN c.resting_until END
FROM (
    SELECT
        old.caller_id,
        CASE WHEN $1::boolean THEN s.carrier ELSE old.carrier END AS carrier,
        CASE WHEN $2::boolean THEN s.area ELSE old.area END AS area,
        CASE WHEN $3::boolean THEN COALESCE(s.group_name, 'default') ELSE old.group_name END AS group_name,
        CASE WHEN $4::boolean THEN s.daily_limit ELSE old.daily_limit END AS daily_limit,
        CASE WHEN $5::boolean THEN s.hourly_limit ELSE old.hourly_limit END AS hourly_limit,
        CASE WHEN $6::boolean THEN s.minute_limit ELSE old.minute_limit END AS minute_limit,
        CASE WHEN $7::boolean THEN s.attestation ELSE old.attestation END AS attestation,
        CASE WHEN s.warmup_from IS NULL THEN old.warmup_from ELSE NULLIF(s.warmup_from, 'none')::date END AS warmup_from,
        COALESCE(s.meta::jsonb, old.meta) AS meta,
        COALESCE(s.switch::caller_id_switch, old.switch) AS switch
    FROM staged AS s JOIN caller_ids AS old USING (caller_id)
    ORDER BY old.caller_id
    FOR UPDATE OF old
) AS new
WHERE c.caller_id = new.caller_id
    AND (c.carrier, c.area, c.group_name, c.meta, c.switch, c.attestation)
        IS DISTINCT FROM (new.carrier, new.area, new.group_name, new.meta, new.switch, new.attestation)
    OR c.caller_id = new.caller_id
    AND (c.daily_limit, c.hourly_limit, c.minute_limit, c.warmup_from)
        IS DISTINCT FROM (new.daily_limit, new.hourly_limit, new.minute_limit, new.warmup_from);

-- add_from_staging --
-- Adds the caller-IDs that are not there yet.
INSERT INTO caller_ids (
    caller_id, carrier, area, group_name, daily_limit, hourly_limit, meta, switch, minute_limit, attestation, warmup_from
)
SELECT
    caller_id, COALESCE(carrier, ''), area, COALESCE(group_name, 'default'), daily_limit, hourly_limit,
    COALESCE(meta, '{}')::jsonb, COALESCE(switch, 'active')::caller_id_switch, minute_limit, COALESCE(attestation, ''),
    CASE WHEN warmup_from IS NULL THEN CURRENT_DATE ELSE NULLIF(warmup_from, 'none')::date END
FROM staged ORDER BY caller_id
ON CONFLICT (caller_id) DO NOTHING;

-- export_after --
-- The caller-IDs after $1 in order, $2 of them, as they were entered: limits are null where they have none of their own.
SELECT caller_id, carrier, area, group_name, daily_limit, hourly_limit, switch::text AS switch, minute_limit, attestation,
    COALESCE(warmup_from::text, 'none') AS warmup_from, CASE meta WHEN '{}' THEN '' ELSE meta::text END AS meta_json
FROM caller_ids WHERE caller_id > $1 ORDER BY caller_id LIMIT $2;
