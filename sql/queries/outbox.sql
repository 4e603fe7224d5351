-- store_assigned --
-- Assignments and misses. Storing one again changes nothing; a row whose other events came first is filled in.
INSERT INTO calls AS c (
    reservation_id, assigned_at, caller_id, campaign, destination, dialled, dialer, code, uniqueid, agent, lead_id, source,
    rung, group_name, area, was_warm, miss_reason, why
)
SELECT DISTINCT ON (e.id, e.at)
    e.id, to_timestamp(e.at / 1000.0), e.caller_id, e.campaign, e.destination, e.dialled, e.dialer, e.code, e.uniqueid,
    e.agent, e.lead, e.source, e.rung, e.group, e.area, e.warm, e.reason, e.why
FROM jsonb_to_recordset($1::jsonb) AS e (
    id uuid, at bigint, caller_id text, campaign text, destination text, dialled text, dialer text, code text,
    uniqueid text, agent text, lead text, source call_source, rung text, "group" text, area text, warm boolean,
    reason miss_reason, why text
)
ORDER BY e.id, e.at
ON CONFLICT (reservation_id, assigned_at) DO UPDATE SET
    (caller_id, campaign, destination, dialled, dialer, code, uniqueid, agent, lead_id, source, rung, group_name, area,
    was_warm, miss_reason, why)
    = (EXCLUDED.caller_id, EXCLUDED.campaign, EXCLUDED.destination, EXCLUDED.dialled, EXCLUDED.dialer, EXCLUDED.code,
    EXCLUDED.uniqueid, EXCLUDED.agent, EXCLUDED.lead_id, EXCLUDED.source, EXCLUDED.rung, EXCLUDED.group_name,
    EXCLUDED.area, EXCLUDED.was_warm, EXCLUDED.miss_reason, EXCLUDED.why)
WHERE c.source IS NULL;

-- store_presented --
-- What trunk legs showed. Of several legs the last one counts, in whichever order they are stored.
INSERT INTO calls AS c (
    reservation_id, assigned_at, presented, trunk_uniqueid, presented_at, presented_matches
)
SELECT DISTINCT ON (e.id, e.at)
    e.id, to_timestamp(e.at / 1000.0), e.presented, e.trunk, to_timestamp(e.ts / 1000.0), e.match
FROM jsonb_to_recordset($1::jsonb) AS e (
    id uuid, at bigint, ts bigint, presented text, trunk text, match boolean
)
ORDER BY e.id, e.at, e.ts DESC, e.trunk DESC
ON CONFLICT (reservation_id, assigned_at) DO UPDATE SET
    (presented, trunk_uniqueid, presented_at, presented_matches)
    = (EXCLUDED.presented, EXCLUDED.trunk_uniqueid, EXCLUDED.presented_at, EXCLUDED.presented_matches)
WHERE c.presented_at IS NULL OR (EXCLUDED.presented_at, EXCLUDED.trunk_uniqueid) > (c.presented_at, c.trunk_uniqueid);

-- store_ended --
-- Ends. The first one counts, in whichever order they are stored.
INSERT INTO calls AS c (
    reservation_id, assigned_at, ended_at, outcome, cause, sip, talk_ms, was_dialled
)
SELECT DISTINCT ON (e.id, e.at)
    e.id, to_timestamp(e.at / 1000.0), to_timestamp(e.ts / 1000.0), e.outcome, e.cause, e.sip, e.talk_ms, e.dialled
FROM jsonb_to_recordset($1::jsonb) AS e (
    id uuid, at bigint, ts bigint, outcome call_outcome, cause smallint, sip smallint, talk_ms bigint, dialled boolean
)
ORDER BY e.id, e.at, e.ts, e.outcome
ON CONFLICT (reservation_id, assigned_at) DO UPDATE SET
    (ended_at, outcome, cause, sip, talk_ms, was_dialled)
    = (EXCLUDED.ended_at, EXCLUDED.outcome, EXCLUDED.cause, EXCLUDED.sip, EXCLUDED.talk_ms, EXCLUDED.was_dialled)
WHERE c.ended_at IS NULL OR (EXCLUDED.ended_at, EXCLUDED.outcome) < (c.ended_at, c.outcome);

-- store_dead_letters --
-- Entries that cannot be stored as calls.
INSERT INTO dead_letters (stream, entry_id, fields, reason)
SELECT $1, e.entry_id, e.fields, e.reason
FROM jsonb_to_recordset($2::jsonb) AS e (entry_id text, fields jsonb, reason text)
ON CONFLICT (stream, entry_id) DO NOTHING;

-- ensure_partitions --
-- Makes the partitions of this month and of $1 months ahead.
SELECT ensure_call_partitions($1);
