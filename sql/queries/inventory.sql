-- change_token --
-- The oldest transaction that still runs: every change of an older one can be seen, none of them will come later.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text;

-- restamp_after_restore --
-- Transaction numbers of the future come from a dump of another server; without this they would be reported for ever.
WITH of_groups AS (
    UPDATE groups SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id()
), of_campaigns AS (
    UPDATE campaigns SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id()
), of_removals AS (
    UPDATE removals SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id()
)
UPDATE caller_ids SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id();

-- caller_ids_after --
-- The caller-IDs after $1 in order, $2 of them, with limits resolved: their own, their group's, the defaults $3 to $5.
SELECT
    c.caller_id, c.area, c.group_name, c.carrier, c.switch::text AS switch, g.max_concurrent,
    COALESCE(c.hourly_limit, g.hourly_limit, $3::integer) AS hourly_limit,
    COALESCE(c.daily_limit, g.daily_limit, $4::integer) AS daily_limit,
    COALESCE(g.cooldown_s, $5::integer) AS cooldown_s,
    COALESCE((extract(epoch FROM c.resting_until) * 1000)::bigint, 0) AS resting_until_ms,
    CASE c.meta WHEN '{}' THEN '' ELSE c.meta::text END AS meta_json
FROM caller_ids AS c JOIN groups AS g ON g.name = c.group_name
WHERE c.caller_id > $1 ORDER BY c.caller_id LIMIT $2;

-- caller_ids_changed_since --
-- The caller-IDs that changed, or whose group did, in transaction $1 or later, limits resolved with the defaults $2 to $4.
SELECT
    c.caller_id, c.area, c.group_name, c.carrier, c.switch::text AS switch, g.max_concurrent,
    COALESCE(c.hourly_limit, g.hourly_limit, $2::integer) AS hourly_limit,
    COALESCE(c.daily_limit, g.daily_limit, $3::integer) AS daily_limit,
    COALESCE(g.cooldown_s, $4::integer) AS cooldown_s,
    COALESCE((extract(epoch FROM c.resting_until) * 1000)::bigint, 0) AS resting_until_ms,
    CASE c.meta WHEN '{}' THEN '' ELSE c.meta::text END AS meta_json
FROM caller_ids AS c JOIN groups AS g ON g.name = c.group_name
WHERE c.caller_id IN (
    SELECT caller_id FROM caller_ids WHERE changed_in >= $1::text::xid8
    UNION
    SELECT caller_id FROM caller_ids
    WHERE group_name IN (SELECT name FROM groups WHERE changed_in >= $1::text::xid8)
);

-- caller_ids_removed_since --
-- The caller-IDs that were deleted in transaction $1 or later and are not back.
SELECT name FROM removals
WHERE what = 'caller_id' AND changed_in >= $1::text::xid8
    AND NOT EXISTS (SELECT FROM caller_ids WHERE caller_id = removals.name);

-- campaigns_changed_since --
-- Whether a campaign was added, changed or deleted in transaction $1 or later.
SELECT EXISTS (SELECT FROM campaigns WHERE changed_in >= $1::text::xid8)
    OR EXISTS (SELECT FROM removals WHERE what = 'campaign' AND changed_in >= $1::text::xid8);

-- add_group --
-- Adds a group with the defaults, unless it is there.
INSERT INTO groups (name) VALUES ($1) ON CONFLICT (name) DO NOTHING;

-- add_caller_id --
-- Adds a caller-ID, unless it is there: then nothing is returned.
INSERT INTO caller_ids (caller_id, carrier, area, group_name, daily_limit, hourly_limit, meta)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
ON CONFLICT (caller_id) DO NOTHING
RETURNING caller_id;

-- all_groups --
-- Every group with its settings.
SELECT name, max_concurrent, cooldown_s, hourly_limit, daily_limit FROM groups ORDER BY name;

-- save_group --
-- Adds or changes a group.
INSERT INTO groups (name, max_concurrent, cooldown_s, hourly_limit, daily_limit) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET
    max_concurrent = EXCLUDED.max_concurrent, cooldown_s = EXCLUDED.cooldown_s,
    hourly_limit = EXCLUDED.hourly_limit, daily_limit = EXCLUDED.daily_limit;

-- all_campaigns --
-- Every campaign with its rungs and its groups in order.
SELECT
    c.name, c.rungs,
    COALESCE(array_agg(cg.group_name ORDER BY cg.position) FILTER (WHERE cg.group_name IS NOT NULL), '{}') AS groups
FROM campaigns AS c LEFT JOIN campaign_groups AS cg ON cg.campaign = c.name
GROUP BY c.name;

-- save_campaign --
-- Adds or changes a campaign.
INSERT INTO campaigns (name, rungs) VALUES ($1, $2::text[])
ON CONFLICT (name) DO UPDATE SET rungs = EXCLUDED.rungs;

-- drop_campaign_groups --
-- Takes all groups from a campaign, before it is given others.
DELETE FROM campaign_groups WHERE campaign = $1;

-- add_campaign_groups --
-- Gives a campaign its groups, in order.
INSERT INTO campaign_groups (campaign, group_name, position)
SELECT $1, name, position - 1 FROM unnest($2::text[]) WITH ORDINALITY AS given (name, position);
