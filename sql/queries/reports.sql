-- recent_calls --
-- The newest $1 assignments, newest first.
SELECT
    reservation_id::text AS reservation, (extract(epoch FROM assigned_at) * 1000)::bigint AS assigned_at_ms, caller_id,
    campaign, destination, dialer, code, agent, source::text AS source, rung, group_name, area, was_warm, presented,
    presented_matches, (extract(epoch FROM ended_at) * 1000)::bigint AS ended_at_ms, outcome::text AS outcome, cause, sip,
    talk_ms
FROM calls
WHERE caller_id IS NOT NULL
ORDER BY assigned_at DESC LIMIT $1;

-- calls_per_minute --
-- Assignments (also by the door they came through), misses and answered calls of the last $1 minutes, this one included;
-- minutes without any too.
WITH counted AS (
    SELECT
        date_trunc('minute', assigned_at) AS minute,
        count(*) FILTER (WHERE caller_id IS NOT NULL) AS assigned,
        count(*) FILTER (WHERE miss_reason IS NOT NULL) AS missed,
        count(*) FILTER (WHERE outcome = 'answered') AS answered,
        count(*) FILTER (WHERE caller_id IS NOT NULL AND source = 'feed') AS feed,
        count(*) FILTER (WHERE caller_id IS NOT NULL AND source = 'ami') AS ami,
        count(*) FILTER (WHERE caller_id IS NOT NULL AND source = 'http') AS http,
        count(*) FILTER (WHERE caller_id IS NOT NULL AND source = 'fastagi') AS fastagi
    FROM calls
    WHERE assigned_at >= date_trunc('minute', now()) - make_interval(mins => $1::integer - 1)
    GROUP BY 1
)
SELECT
    (extract(epoch FROM minute) * 1000)::bigint AS minute_ms, COALESCE(assigned, 0) AS assigned,
    COALESCE(missed, 0) AS missed, COALESCE(answered, 0) AS answered, COALESCE(feed, 0) AS feed, COALESCE(ami, 0) AS ami,
    COALESCE(http, 0) AS http, COALESCE(fastagi, 0) AS fastagi
FROM generate_series(
    date_trunc('minute', now()) - make_interval(mins => $1::integer - 1), date_trunc('minute', now()), '1 minute'
) AS minute
LEFT JOIN counted USING (minute)
ORDER BY minute;

-- misses_by_reason --
-- Misses of the last $1 minutes by reason, the most frequent first.
SELECT miss_reason::text AS reason, count(*) AS misses
FROM calls
WHERE miss_reason IS NOT NULL AND assigned_at >= now() - make_interval(mins => $1::integer)
GROUP BY miss_reason ORDER BY misses DESC, reason;

-- totals --
-- How much there is of everything, and how the last hour went.
SELECT
    (SELECT count(*) FROM caller_ids) AS caller_ids,
    (SELECT count(*) FROM caller_ids WHERE switch = 'active') AS active_caller_ids,
    (SELECT count(*) FROM groups) AS groups,
    (SELECT count(*) FROM campaigns) AS campaigns,
    (SELECT count(*) FROM dead_letters) AS dead_letters,
    count(*) FILTER (WHERE caller_id IS NOT NULL) AS assigned,
    count(*) FILTER (WHERE miss_reason IS NOT NULL) AS missed,
    count(*) FILTER (WHERE presented_matches) AS presented_as_assigned,
    count(*) FILTER (WHERE NOT presented_matches) AS presented_otherwise
FROM calls
WHERE assigned_at >= now() - interval '1 hour';
