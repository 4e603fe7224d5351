-- demand_by_prefix --
-- Calls since the day $1 by beginning of the destination: on the busiest day, in the busiest hour, in all, and how many seconds
-- they took. $2: of one campaign; empty: of all. Calls that got no caller-ID are demand too.
SELECT
    prefix, max(calls)::bigint AS calls_a_day, max(calls_an_hour)::bigint AS calls_an_hour, sum(calls)::bigint AS calls,
    sum(ended)::bigint AS ended, sum(seconds)::float8 AS seconds, max(sample) AS sample
FROM demand_daily WHERE campaign = $2 AND day >= $1
GROUP BY prefix;

-- stock_by_area --
-- Caller-IDs that are not disabled, of the groups $1 (null: of all), counted by area, group and limits: their own, their
-- group's, the defaults $2 and $3. Those that warm up since day $4 or later are counted by the first day of it.
SELECT
    c.area, COALESCE(c.hourly_limit, g.hourly_limit, $2::integer) AS hourly_limit,
    COALESCE(c.daily_limit, g.daily_limit, $3::integer) AS daily_limit, g.max_concurrent,
    CASE WHEN c.warmup_from >= $4::date THEN COALESCE(g.warmup, '') ELSE '' END AS warmup, g.timezone,
    CASE WHEN c.warmup_from >= $4::date AND g.warmup IS NOT NULL THEN c.warmup_from END AS warmup_from,
    count(*)::integer AS caller_ids
FROM caller_ids AS c JOIN group_policies AS g ON g.name = c.group_name
WHERE c.switch <> 'disabled' AND ($1::text[] IS NULL OR c.group_name = ANY ($1::text[]))
GROUP BY 1, 2, 3, 4, 5, 6, 7;
