-- note_agents --
-- Add the agents of manual calls that became known after the assignment; returns the calls whose record was there.
UPDATE calls SET agent = known.agent
FROM unnest($1::text[], $2::text[], $3::text[]) AS known (dialer, code, agent)
WHERE calls.code = known.code AND calls.dialer = known.dialer AND calls.agent = ''
    AND calls.assigned_at > now() - interval '1 hour'
RETURNING calls.dialer, calls.code
