-- demand_by_prefix --
-- Calls of the last $1 days by beginning of the destination: on the busiest day (of zone $2), in the busiest hour, in all, and
-- how many seconds a call takes. $3: of one campaign; empty: of all. Calls that got no caller-ID are demand too.
WITH hours AS (
    SELECT
        CASE WHEN destination LIKE '+1%' THEN left(destination, 5) ELSE left(destination, 8) END AS prefix,
        date_trunc('hour', assigned_at AT TIME ZONE $2) AS hour, count(*) AS calls, count(ended_at) AS ended,
        max(destination) AS sample,
        COALESCE(sum(extract(epoch FROM ended_at - assigned_at)), 0) AS seconds
    FROM calls
    WHERE assigned_at >= now() - make_interval(days => $1::integer) AND destination <> ''
        AND miss_reason IS DISTINCT FROM 'opted_out' AND ($3 = '' OR campaign = $3)
    GROUP BY 1, 2
), days AS (
    SELECT prefix, hour::date AS day, sum(calls) AS calls FROM hours GROUP BY 1, 2
)
SELECT
    prefix, (SELECT max(calls) FROM days WHERE days.prefix = hours.prefix)::bigint AS calls_a_day,
    max(calls)::bigint AS calls_an_hour, sum(calls)::bigint AS calls, sum(ended)::bigint AS ended,
    sum(seconds)::float8 AS seconds, max(sample) AS sample
FROM hours GROUP BY prefix;
