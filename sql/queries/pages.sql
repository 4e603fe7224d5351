-- usage_by_hour --
-- How a caller-ID was used by hour, since $2.
SELECT (extract(epoch FROM hour) * 1000)::bigint AS at_ms, sum(calls)::bigint AS calls, sum(answered)::bigint AS answered
FROM usage_hourly WHERE caller_id = $1 AND hour >= to_timestamp($2::bigint / 1000.0)
GROUP BY hour ORDER BY hour;

-- usage_by_day --
-- How a caller-ID was used by day, since $2.
SELECT
    day, sum(calls)::bigint AS calls, sum(dialled)::bigint AS dialled, sum(answered)::bigint AS answered,
    sum(short)::bigint AS short, sum(declined + unwanted)::bigint AS declined, sum(not_found)::bigint AS not_found,
    sum(talk_ms)::bigint AS talk_ms
FROM usage_daily WHERE caller_id = $1 AND day >= $2
GROUP BY day ORDER BY day;

-- newest_calls_by_area --
-- The newest $3 calls since $2 (of the campaign $1; empty: of all) by the area called and how they were served.
SELECT
    CASE WHEN destination LIKE '+1%' THEN substr(destination, 3, 3) ELSE '' END AS area,
    COALESCE(miss_reason::text, '') AS miss_reason, COALESCE(rung, '') AS rung, count(*) AS calls,
    (extract(epoch FROM min(assigned_at)) * 1000)::bigint AS oldest_ms
FROM (
    SELECT destination, miss_reason, rung, assigned_at FROM calls
    WHERE assigned_at >= to_timestamp($2::bigint / 1000.0) AND ($1::text = '' OR campaign = $1)
        AND (caller_id IS NOT NULL OR miss_reason IS NOT NULL)
    ORDER BY assigned_at DESC LIMIT $3
) AS newest
GROUP BY 1, 2, 3;

-- supply_by_area --
-- Caller-IDs that are switched on, by group and area, of the groups $1 (null: of all), and their uses a day together; $2 is the
-- default.
SELECT
    group_name, area, count(*) AS caller_ids, sum(COALESCE(c.daily_limit, g.daily_limit, $2::integer))::bigint AS uses
FROM caller_ids AS c JOIN groups AS g ON g.name = c.group_name
WHERE switch = 'active' AND ($1::text[] IS NULL OR group_name = ANY ($1::text[]))
GROUP BY group_name, area;

-- campaigns_seen --
-- Campaigns of the counted days since $1, with their calls.
SELECT
    campaign, sum(calls)::bigint AS calls, sum(missed)::bigint AS missed, sum(dialled)::bigint AS dialled,
    sum(answered)::bigint AS answered
FROM usage_daily WHERE day >= $1 AND campaign <> '' GROUP BY campaign ORDER BY calls DESC, campaign LIMIT 500;

-- one_call --
-- One call of the ledger, by its reservation.
SELECT
    reservation_id::text AS reservation, assigned_at, (extract(epoch FROM assigned_at) * 1000)::bigint AS assigned_at_ms,
    to_jsonb(calls) AS fields, (extract(epoch FROM ended_at) * 1000)::bigint AS ended_at_ms
FROM calls WHERE reservation_id = $1::text::uuid ORDER BY assigned_at DESC LIMIT 1;
