-- uses_of --
-- How much caller-IDs ($1) were used since the minute ($2), the hour ($3) and the day ($4) began, when last, and when the last
-- call that was dialled ended. All times in ms; 0 for never. A use that was given back does not count.
SELECT
    n.caller_id, uses.in_minute, uses.in_hour, uses.in_day,
    coalesce(uses.ended_ms, 0) AS ended_ms, coalesce(latest.at_ms, 0) AS last_ms
FROM unnest($1::text[]) AS n (caller_id)
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE c.assigned_at >= to_timestamp($2::bigint / 1000.0)) AS in_minute,
        count(*) FILTER (WHERE c.assigned_at >= to_timestamp($3::bigint / 1000.0)) AS in_hour,
        count(*) FILTER (WHERE c.assigned_at >= to_timestamp($4::bigint / 1000.0)) AS in_day,
        (extract(epoch FROM max(c.ended_at)) * 1000)::bigint AS ended_ms
    FROM calls AS c
    WHERE c.caller_id = n.caller_id AND c.assigned_at >= to_timestamp($4::bigint / 1000.0) - interval '1 day'
        AND c.was_dialled IS NOT FALSE AND c.presented_matches IS NOT FALSE
) AS uses
LEFT JOIN LATERAL (
    SELECT (extract(epoch FROM c.assigned_at) * 1000)::bigint AS at_ms
    FROM calls AS c
    WHERE c.caller_id = n.caller_id AND c.assigned_at >= now() - interval '40 days'
    ORDER BY c.assigned_at DESC
    LIMIT 1
) AS latest ON true;

-- open_calls --
-- The calls of the last day that nobody has said the end of, the newest first.
SELECT
    reservation_id, (extract(epoch FROM assigned_at) * 1000)::bigint AS at_ms, caller_id, campaign, destination, dialled,
    dialer, code, uniqueid, agent, lead_id, source::text AS source, rung, group_name, area, was_warm,
    coalesce(trunk_uniqueid, '') AS trunk,
    CASE WHEN presented_matches THEN caller_id ELSE coalesce(presented, '') END AS shown
FROM calls
WHERE assigned_at >= now() - interval '1 day' AND ended_at IS NULL AND caller_id IS NOT NULL
ORDER BY assigned_at DESC
LIMIT 100000;

-- recorded_among --
-- Which of these reservations ($1) the ledger has.
SELECT reservation_id
FROM calls
WHERE reservation_id = ANY($1::uuid[]) AND assigned_at >= now() - interval '1 day' AND caller_id IS NOT NULL;

-- has_recent_calls --
-- Whether calls got caller-IDs in the last ten minutes.
SELECT EXISTS (SELECT FROM calls WHERE assigned_at >= now() - interval '10 minutes');
