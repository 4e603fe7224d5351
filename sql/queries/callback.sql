-- last_call_of_person --
-- The newest calls that showed caller-ID $1 to the person $2, or another of ours: the one of that caller-ID first.
SELECT
    caller_id, campaign, lead_id, agent, outcome::text AS outcome,
    (extract(epoch FROM assigned_at) * 1000)::bigint AS assigned_at_ms
FROM (
    SELECT * FROM calls
    WHERE destination = $2 AND caller_id IS NOT NULL AND presented_matches IS DISTINCT FROM false
    ORDER BY assigned_at DESC LIMIT 200
) AS newest
ORDER BY (caller_id = $1) DESC, assigned_at DESC LIMIT 1;

-- campaigns_of_caller_id --
-- The campaign that used a caller-ID most in its newest 1000 calls, and when it did last.
SELECT campaign, count(*) AS calls, (extract(epoch FROM max(assigned_at)) * 1000)::bigint AS assigned_at_ms
FROM (
    SELECT campaign, assigned_at FROM calls WHERE caller_id = $1 ORDER BY assigned_at DESC LIMIT 1000
) AS newest
GROUP BY campaign ORDER BY calls DESC, campaign LIMIT 1;

-- observed --
-- For each dialer and campaign of the last $1 hours: what was assigned against what was presented, and how many of both were of
-- the area of the person called.
SELECT
    dialer, campaign, count(*) AS calls, count(*) FILTER (WHERE presented_matches) AS as_assigned,
    count(*) FILTER (WHERE NOT presented_matches) AS otherwise,
    count(*) FILTER (WHERE destination LIKE '+1%' AND substr(caller_id, 1, 5) = substr(destination, 1, 5)) AS assigned_local,
    count(*) FILTER (
        WHERE destination LIKE '+1%' AND substr(presented, 1, 5) = substr(destination, 1, 5)
    ) AS presented_local,
    count(DISTINCT caller_id) AS caller_ids_assigned, count(DISTINCT presented) AS caller_ids_presented
FROM calls
WHERE caller_id IS NOT NULL AND presented_at IS NOT NULL AND assigned_at >= now() - make_interval(hours => $1::integer)
GROUP BY dialer, campaign ORDER BY calls DESC, dialer, campaign;
