-- store_records --
-- Stores a batch. In whichever order records come, and however often: of several trunk legs the last one counts, of several
-- ends the first, and an assignment is stored once. Rows are locked in order: two batches never wait for each other in a ring.
WITH record AS (
    SELECT * FROM json_to_recordset($1::json) AS r (
        event text, id uuid, at bigint, ts bigint, caller_id text, campaign text, destination text, dialled text,
        dialer text, code text, uniqueid text, agent text, lead text, source call_source, rung text, "group" text,
        area text, warm boolean, reason miss_reason, why text, presented text, trunk text, match boolean,
        outcome call_outcome, cause smallint, sip smallint, talk_ms bigint
    )
), assigned AS (
    SELECT DISTINCT ON (id, at) * FROM record WHERE event IN ('assigned', 'missed') ORDER BY id, at
), presented AS (
    SELECT DISTINCT ON (id, at) id, at, presented, trunk, ts, match
    FROM record WHERE event = 'presented' ORDER BY id, at, ts DESC, trunk DESC
), ended AS (
    SELECT DISTINCT ON (id, at) id, at, ts, outcome, cause, sip, talk_ms, dialled
    FROM record WHERE event = 'ended' ORDER BY id, at, ts, outcome
)
INSERT INTO calls AS c (
    reservation_id, assigned_at, caller_id, campaign, destination, dialled, dialer, code, uniqueid, agent, lead_id, source,
    rung, group_name, area, was_warm, miss_reason, why, presented, trunk_uniqueid, presented_at, presented_matches,
    ended_at, outcome, cause, sip, talk_ms, was_dialled
)
SELECT
    id, to_timestamp(at / 1000.0), a.caller_id, COALESCE(a.campaign, ''), COALESCE(a.destination, ''),
    COALESCE(a.dialled, ''), COALESCE(a.dialer, ''), COALESCE(a.code, ''), COALESCE(a.uniqueid, ''),
    COALESCE(a.agent, ''), COALESCE(a.lead, ''), a.source, a.rung, a.group, a.area, a.warm, a.reason, a.why,
    p.presented, p.trunk, to_timestamp(p.ts / 1000.0), p.match,
    to_timestamp(e.ts / 1000.0), e.outcome, e.cause, e.sip, e.talk_ms, e.dialled::boolean
FROM assigned AS a FULL JOIN presented AS p USING (id, at) FULL JOIN ended AS e USING (id, at)
ORDER BY id, at
ON CONFLICT (reservation_id, assigned_at) DO UPDATE SET
    caller_id = CASE WHEN c.source IS NULL THEN EXCLUDED.caller_id ELSE c.caller_id END,
    campaign = CASE WHEN c.source IS NULL THEN EXCLUDED.campaign ELSE c.campaign END,
    destination = CASE WHEN c.source IS NULL THEN EXCLUDED.destination ELSE c.destination END,
    dialled = CASE WHEN c.source IS NULL THEN EXCLUDED.dialled ELSE c.dialled END,
    dialer = CASE WHEN c.source IS NULL THEN EXCLUDED.dialer ELSE c.dialer END,
    code = CASE WHEN c.source IS NULL THEN EXCLUDED.code ELSE c.code END,
    uniqueid = CASE WHEN c.source IS NULL THEN EXCLUDED.uniqueid ELSE c.uniqueid END,
    agent = CASE WHEN c.source IS NULL THEN EXCLUDED.agent ELSE c.agent END,
    lead_id = CASE WHEN c.source IS NULL THEN EXCLUDED.lead_id ELSE c.lead_id END,
    source = CASE WHEN c.source IS NULL THEN EXCLUDED.source ELSE c.source END,
    rung = CASE WHEN c.source IS NULL THEN EXCLUDED.rung ELSE c.rung END,
    group_name = CASE WHEN c.source IS NULL THEN EXCLUDED.group_name ELSE c.group_name END,
    area = CASE WHEN c.source IS NULL THEN EXCLUDED.area ELSE c.area END,
    was_warm = CASE WHEN c.source IS NULL THEN EXCLUDED.was_warm ELSE c.was_warm END,
    miss_reason = CASE WHEN c.source IS NULL THEN EXCLUDED.miss_reason ELSE c.miss_reason END,
    why = CASE WHEN c.source IS NULL THEN EXCLUDED.why ELSE c.why END,
    (presented, trunk_uniqueid, presented_at, presented_matches) = (
        SELECT * FROM (VALUES
            (c.presented, c.trunk_uniqueid, c.presented_at, c.presented_matches),
            (EXCLUDED.presented, EXCLUDED.trunk_uniqueid, EXCLUDED.presented_at, EXCLUDED.presented_matches)
        ) AS leg (presented, trunk, at, matches) ORDER BY at DESC NULLS LAST, trunk DESC LIMIT 1
    ),
    (ended_at, outcome, cause, sip, talk_ms, was_dialled) = (
        SELECT * FROM (VALUES
            (c.ended_at, c.outcome, c.cause, c.sip, c.talk_ms, c.was_dialled),
            (EXCLUDED.ended_at, EXCLUDED.outcome, EXCLUDED.cause, EXCLUDED.sip, EXCLUDED.talk_ms, EXCLUDED.was_dialled)
        ) AS ending (at, outcome, cause, sip, talk_ms, was_dialled) ORDER BY at, outcome LIMIT 1
    )
WHERE (c.source IS NULL AND EXCLUDED.source IS NOT NULL)
    OR (c.presented_at IS NULL AND EXCLUDED.presented_at IS NOT NULL)
    OR (EXCLUDED.presented_at, EXCLUDED.trunk_uniqueid) > (c.presented_at, c.trunk_uniqueid)
    OR (c.ended_at IS NULL AND EXCLUDED.ended_at IS NOT NULL)
    OR (EXCLUDED.ended_at, EXCLUDED.outcome) < (c.ended_at, c.outcome);

-- store_dead_letters --
-- Entries that cannot be stored as calls.
INSERT INTO dead_letters (stream, entry_id, fields, reason)
SELECT $1, e.entry_id, e.fields, e.reason
FROM jsonb_to_recordset($2::jsonb) AS e (entry_id text, fields jsonb, reason text)
ON CONFLICT (stream, entry_id) DO NOTHING;

-- ensure_partitions --
-- Makes the partitions of this month and of $1 months ahead.
SELECT ensure_call_partitions($1);
