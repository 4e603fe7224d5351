-- change_token --
-- The oldest transaction that still runs: every change of an older one can be seen, none of them will come later.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text;

-- restamp_after_restore --
-- Transaction numbers of the future come from a dump of another server; without this they would be reported for ever.
WITH of_groups AS (
    UPDATE groups SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id()
), of_campaigns AS (
    UPDATE campaigns SET changed_in = pg_current_xact_id(), resolved_in = pg_current_xact_id()
    WHERE changed_in > pg_current_xact_id() OR resolved_in > pg_current_xact_id()
), of_opt_outs AS (
    UPDATE opt_outs SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id()
), of_removals AS (
    UPDATE removals SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id()
)
UPDATE caller_ids SET changed_in = pg_current_xact_id() WHERE changed_in > pg_current_xact_id();

-- caller_ids_after --
-- The caller-IDs after $1 in order, $2 of them, with limits resolved: their own, their group's, the defaults $3 to $5.
SELECT
    c.caller_id, c.area, c.group_name, c.carrier, c.switch::text AS switch, c.attestation, g.max_concurrent, g.timezone,
    g.soft_daily_limit, g.rungs, COALESCE(c.minute_limit, g.minute_limit) AS minute_limit,
    COALESCE(c.hourly_limit, g.hourly_limit, $3::integer) AS hourly_limit,
    COALESCE(c.daily_limit, g.daily_limit, $4::integer) AS daily_limit,
    COALESCE(g.cooldown_s, $5::integer) AS cooldown_s,
    COALESCE((extract(epoch FROM c.resting_until) * 1000)::bigint, 0) AS resting_until_ms,
    CASE c.meta WHEN '{}' THEN '' ELSE c.meta::text END AS meta_json,
    CASE WHEN c.warmup_from IS NULL THEN '' ELSE COALESCE(g.warmup, '') END AS warmup, c.warmup_from,
    COALESCE(e.city, '') AS city
FROM caller_ids AS c JOIN group_policies AS g ON g.name = c.group_name
LEFT JOIN exchanges AS e
    ON e.prefix = CASE WHEN 'city' = ANY (g.rungs) AND c.caller_id LIKE '+1%' THEN substr(c.caller_id, 3, 6) END
WHERE c.caller_id > $1 ORDER BY c.caller_id LIMIT $2;

-- has_changed_since --
-- Whether a caller-ID, a group or what a group's campaigns say of it changed in transaction $1 or later. Asked each second: of
-- the caller-IDs it reads the newest end of an index (EXISTS would be planned as a look through all of them). What makes a
-- caller-ID one of the next statement must be asked for here too.
SELECT COALESCE((SELECT changed_in FROM caller_ids ORDER BY changed_in DESC LIMIT 1) >= $1::text::xid8, false)
    OR EXISTS (SELECT FROM groups WHERE changed_in >= $1::text::xid8)
    OR EXISTS (SELECT FROM campaigns WHERE resolved_in >= $1::text::xid8);

-- caller_ids_changed_since --
-- The caller-IDs that changed, or their group or its campaigns, in transaction $1 or later; limits as above, $2 to $4.
SELECT
    c.caller_id, c.area, c.group_name, c.carrier, c.switch::text AS switch, c.attestation, g.max_concurrent, g.timezone,
    g.soft_daily_limit, g.rungs, COALESCE(c.minute_limit, g.minute_limit) AS minute_limit,
    COALESCE(c.hourly_limit, g.hourly_limit, $2::integer) AS hourly_limit,
    COALESCE(c.daily_limit, g.daily_limit, $3::integer) AS daily_limit,
    COALESCE(g.cooldown_s, $4::integer) AS cooldown_s,
    COALESCE((extract(epoch FROM c.resting_until) * 1000)::bigint, 0) AS resting_until_ms,
    CASE c.meta WHEN '{}' THEN '' ELSE c.meta::text END AS meta_json,
    CASE WHEN c.warmup_from IS NULL THEN '' ELSE COALESCE(g.warmup, '') END AS warmup, c.warmup_from,
    COALESCE(e.city, '') AS city
FROM caller_ids AS c JOIN group_policies AS g ON g.name = c.group_name
LEFT JOIN exchanges AS e
    ON e.prefix = CASE WHEN 'city' = ANY (g.rungs) AND c.caller_id LIKE '+1%' THEN substr(c.caller_id, 3, 6) END
WHERE c.caller_id IN (
    SELECT caller_id FROM caller_ids WHERE changed_in >= $1::text::xid8
    UNION
    SELECT caller_id FROM caller_ids WHERE group_name IN (
        SELECT name FROM groups WHERE changed_in >= $1::text::xid8
        UNION
        SELECT cg.group_name FROM campaign_groups AS cg JOIN campaigns AS ca ON ca.name = cg.campaign
        WHERE ca.resolved_in >= $1::text::xid8
    )
);

-- caller_ids_warming --
-- The caller-IDs that began to warm up on day $4 or later; limits as above, $1 to $3.
SELECT
    c.caller_id, c.area, c.group_name, c.carrier, c.switch::text AS switch, c.attestation, g.max_concurrent, g.timezone,
    g.soft_daily_limit, g.rungs, COALESCE(c.minute_limit, g.minute_limit) AS minute_limit,
    COALESCE(c.hourly_limit, g.hourly_limit, $1::integer) AS hourly_limit,
    COALESCE(c.daily_limit, g.daily_limit, $2::integer) AS daily_limit,
    COALESCE(g.cooldown_s, $3::integer) AS cooldown_s,
    COALESCE((extract(epoch FROM c.resting_until) * 1000)::bigint, 0) AS resting_until_ms,
    CASE c.meta WHEN '{}' THEN '' ELSE c.meta::text END AS meta_json,
    CASE WHEN c.warmup_from IS NULL THEN '' ELSE COALESCE(g.warmup, '') END AS warmup, c.warmup_from,
    COALESCE(e.city, '') AS city
FROM caller_ids AS c JOIN group_policies AS g ON g.name = c.group_name
LEFT JOIN exchanges AS e
    ON e.prefix = CASE WHEN 'city' = ANY (g.rungs) AND c.caller_id LIKE '+1%' THEN substr(c.caller_id, 3, 6) END
WHERE g.warmup IS NOT NULL AND c.warmup_from >= $4::date;

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
SELECT
    name, max_concurrent, cooldown_s, minute_limit, hourly_limit, daily_limit, soft_daily_limit,
    COALESCE(timezone, '') AS timezone, COALESCE(warmup, '') AS warmup
FROM groups ORDER BY name;

-- save_group --
-- Adds or changes a group.
INSERT INTO groups (
    name, max_concurrent, cooldown_s, minute_limit, hourly_limit, daily_limit, soft_daily_limit, timezone, warmup
) VALUES ($1, $2, $3, $4, $5, $6, $7, NULLIF($8, ''), NULLIF($9, ''))
ON CONFLICT (name) DO UPDATE SET
    max_concurrent = EXCLUDED.max_concurrent, cooldown_s = EXCLUDED.cooldown_s, minute_limit = EXCLUDED.minute_limit,
    hourly_limit = EXCLUDED.hourly_limit, daily_limit = EXCLUDED.daily_limit,
    soft_daily_limit = EXCLUDED.soft_daily_limit, timezone = EXCLUDED.timezone, warmup = EXCLUDED.warmup;

-- all_campaigns --
-- Every campaign with its policy, its groups in order and its next groups in order.
SELECT
    c.*,
    COALESCE(array_agg(cg.group_name ORDER BY cg.position) FILTER (WHERE NOT cg.is_next), '{}') AS groups,
    COALESCE(array_agg(cg.group_name ORDER BY cg.position) FILTER (WHERE cg.is_next), '{}') AS next_groups
FROM campaigns AS c LEFT JOIN campaign_groups AS cg ON cg.campaign = c.name
GROUP BY c.name;

-- save_campaign --
-- Adds or changes a campaign from an object with its columns; the groups are kept apart.
INSERT INTO campaigns (
    name, rungs, weight, attestation_min, exhaustion, overflow_percent, overflow_concurrent, overflow_soft_cap, sticky_days,
    sticky_by, sticky_breaks, sticky_unanswered_max, distinct_max, distinct_days, minute_limit, hourly_limit, daily_limit,
    timezone, neighbour_miles
)
SELECT
    $1, rungs, weight, attestation_min, exhaustion, overflow_percent, overflow_concurrent, overflow_soft_cap, sticky_days,
    sticky_by, sticky_breaks, sticky_unanswered_max, distinct_max, distinct_days, minute_limit, hourly_limit, daily_limit,
    timezone, COALESCE(neighbour_miles, 0)
FROM jsonb_populate_record(NULL::campaigns, $2::text::jsonb)
ON CONFLICT (name) DO UPDATE SET
    rungs = EXCLUDED.rungs, weight = EXCLUDED.weight, attestation_min = EXCLUDED.attestation_min,
    exhaustion = EXCLUDED.exhaustion, overflow_percent = EXCLUDED.overflow_percent,
    overflow_concurrent = EXCLUDED.overflow_concurrent, overflow_soft_cap = EXCLUDED.overflow_soft_cap,
    sticky_days = EXCLUDED.sticky_days, sticky_by = EXCLUDED.sticky_by, sticky_breaks = EXCLUDED.sticky_breaks,
    sticky_unanswered_max = EXCLUDED.sticky_unanswered_max, distinct_max = EXCLUDED.distinct_max,
    distinct_days = EXCLUDED.distinct_days, minute_limit = EXCLUDED.minute_limit, hourly_limit = EXCLUDED.hourly_limit,
    daily_limit = EXCLUDED.daily_limit, timezone = EXCLUDED.timezone,
    neighbour_miles = EXCLUDED.neighbour_miles;

-- campaign_groups_of --
-- The groups of a campaign in order, and whether each is a next group.
SELECT group_name, is_next FROM campaign_groups WHERE campaign = $1 ORDER BY position;

-- drop_campaign_groups --
-- Takes all groups from a campaign, before it is given others.
DELETE FROM campaign_groups WHERE campaign = $1;

-- add_campaign_groups --
-- Gives a campaign its groups, in order: $2, and for the rung next_group $3.
INSERT INTO campaign_groups (campaign, group_name, position, is_next)
SELECT $1, name, position - 1, position > cardinality($2::text[])
FROM unnest($2::text[] || $3::text[]) WITH ORDINALITY AS given (name, position);

-- opt_outs_changed_since --
-- The opt-outs that were added or changed in transaction $1 or later.
SELECT destination, campaign FROM opt_outs WHERE changed_in >= $1::text::xid8;

-- opt_outs_removed_since --
-- The opt-outs that were deleted in transaction $1 or later and are not back, as destination|campaign.
SELECT name FROM removals
WHERE what = 'opt_out' AND changed_in >= $1::text::xid8
    AND NOT EXISTS (SELECT FROM opt_outs WHERE destination || '|' || campaign = removals.name);

-- opt_outs_after --
-- The opt-outs after destination $1 and campaign $2 in order, $3 of them.
SELECT
    destination, campaign, note, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms
FROM opt_outs WHERE (destination, campaign) > ($1, $2) ORDER BY destination, campaign LIMIT $3;

-- add_opt_outs --
-- Adds opt-outs of one campaign, or of all where it is empty; returns those that were not there.
INSERT INTO opt_outs (destination, campaign, note)
SELECT DISTINCT destination, $2, $3 FROM unnest($1::text[]) AS destination ORDER BY 1
ON CONFLICT (destination, campaign) DO NOTHING
RETURNING destination;

-- remove_opt_outs --
-- Deletes opt-outs of one campaign, or those of all where it is empty; returns those that were there.
DELETE FROM opt_outs WHERE destination = ANY ($1::text[]) AND campaign = $2 RETURNING destination;

-- all_exchanges --
-- The city of each exchange that was imported.
SELECT prefix, city FROM exchanges;

-- add_exchanges --
-- Adds or changes the cities of exchanges; returns how many are new or other than before.
WITH written AS (
    INSERT INTO exchanges (prefix, city)
    SELECT DISTINCT ON (prefix) prefix, city FROM unnest($1::text[], $2::text[]) AS given (prefix, city) ORDER BY prefix
    ON CONFLICT (prefix) DO UPDATE SET city = EXCLUDED.city WHERE exchanges.city <> EXCLUDED.city
    RETURNING prefix
)
SELECT count(*) FROM written;

-- restamp_cities --
-- Lets the daemon take over new cities: the campaigns that have the rung city count as changed.
UPDATE campaigns SET changed_in = pg_current_xact_id(), resolved_in = pg_current_xact_id() WHERE 'city' = ANY (rungs);
