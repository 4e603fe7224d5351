-- set_actor --
-- Says who changes what this transaction changes: name, via, address.
SELECT set_config('rotator.actor', $1, true), set_config('rotator.via', $2, true), set_config('rotator.address', $3, true);

-- note_audit --
-- Notes an action: what was done to what, what was there before, what came.
INSERT INTO audit (action, kind, target, before, after) VALUES ($1, $2, $3, $4::jsonb, $5::jsonb);

-- list_audit --
-- The audit. Conditions and order follow.
SELECT
    id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, change::text AS change, actor, via, address, action, kind, target,
    before, after
FROM audit WHERE true;

-- list_caller_ids --
-- Caller-IDs as they were entered: what is null is as their group has it. Conditions and order follow.
SELECT
    caller_id, area, group_name, carrier, switch::text AS switch, attestation, minute_limit, hourly_limit, daily_limit, meta,
    COALESCE((extract(epoch FROM resting_until) * 1000)::bigint, 0) AS resting_until_ms,
    (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, created_at, warmup_from
FROM caller_ids WHERE true;

-- count_caller_ids --
-- How many caller-IDs there are. Conditions follow.
SELECT count(*) FROM caller_ids WHERE true;

-- list_caller_id_numbers --
-- Numbers of caller-IDs. Conditions follow.
SELECT caller_id FROM caller_ids WHERE true;

-- edit_caller_ids --
-- Gives the caller-IDs $1 the values that are in the object $2; what it does not name stays. Returns those that are there.
UPDATE caller_ids AS c SET
    (carrier, area, group_name, switch, resting_until, attestation, minute_limit, hourly_limit, daily_limit, meta, warmup_from)
    = (new.carrier, new.area, new.group_name, new.switch, new.resting_until, new.attestation, new.minute_limit,
    new.hourly_limit, new.daily_limit, new.meta, new.warmup_from)
FROM (
    SELECT populated.*
    FROM caller_ids AS old, jsonb_populate_record(old, $2::jsonb) AS populated
    WHERE old.caller_id = ANY ($1::text[])
    ORDER BY old.caller_id
    FOR UPDATE OF old
) AS new
WHERE c.caller_id = new.caller_id
RETURNING c.caller_id;

-- remove_caller_ids --
-- Deletes caller-IDs; returns those that were there.
DELETE FROM caller_ids WHERE caller_id = ANY ($1::text[]) RETURNING caller_id;

-- caller_id_facets --
-- How many caller-IDs there are by group, by area and by carrier, the most first, $1 of each.
(SELECT 'group' AS what, group_name AS value, count(*) AS caller_ids FROM caller_ids GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT $1)
UNION ALL
(SELECT 'area', area, count(*) FROM caller_ids GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT $1)
UNION ALL
(SELECT 'carrier', carrier, count(*) FROM caller_ids GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT $1);

-- remove_campaign --
-- Deletes a campaign: its calls use the group default from then on.
DELETE FROM campaigns WHERE name = $1 RETURNING name;

-- list_calls --
-- The ledger. Conditions and order follow.
SELECT
    reservation_id::text AS reservation, assigned_at, (extract(epoch FROM assigned_at) * 1000)::bigint AS assigned_at_ms,
    to_jsonb(calls) AS fields, (extract(epoch FROM ended_at) * 1000)::bigint AS ended_at_ms
FROM calls WHERE true;

-- add_user --
-- Adds a user, unless there is one of that name: then nothing is returned.
INSERT INTO users (name, role, password_hash) VALUES ($1, $2::text::user_role, $3)
ON CONFLICT (name) DO NOTHING RETURNING name;

-- all_users --
-- Every user, with the sessions that live and the last time one of them was seen.
SELECT
    name, role::text AS role, is_disabled, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms,
    (extract(epoch FROM password_changed_at) * 1000)::bigint AS password_changed_at_ms,
    (SELECT count(*) FROM sessions AS s WHERE s.user_name = name AND ended_at IS NULL AND ends_at > now()) AS sessions,
    (SELECT COALESCE((extract(epoch FROM max(last_seen_at)) * 1000)::bigint, 0) FROM sessions WHERE user_name = name)
        AS last_seen_at_ms
FROM users ORDER BY name;

-- user_credentials --
-- What is needed to sign a user in.
SELECT name, role::text AS role, password_hash, is_disabled FROM users WHERE name = $1;

-- set_user --
-- Changes a user; null leaves a value as it is. Returns whether there is one.
UPDATE users SET
    role = COALESCE($2::text::user_role, role), is_disabled = COALESCE($3, is_disabled),
    password_hash = COALESCE($4, password_hash),
    password_changed_at = CASE WHEN $4 IS NULL THEN password_changed_at ELSE now() END
WHERE name = $1 RETURNING name;

-- rehash_password --
-- Keeps the same password under newer parameters; that is no change of the password.
UPDATE users SET password_hash = $2 WHERE name = $1;

-- remove_user --
-- Deletes a user and their sessions.
DELETE FROM users WHERE name = $1 RETURNING name;

-- count_users --
-- How many users there are.
SELECT count(*) FROM users;

-- start_session --
-- Keeps a new session: id, user (null: the admin token), end, address, browser.
INSERT INTO sessions (id, user_name, ends_at, address, browser)
VALUES ($1, $2, to_timestamp($3::bigint / 1000.0), $4, $5) ON CONFLICT (id) DO NOTHING;

-- see_session --
-- A session that lives and whose user may still sign in; notes once a minute that it was seen.
WITH seen AS (
    UPDATE sessions SET last_seen_at = now() WHERE id = $1 AND last_seen_at < now() - interval '1 minute'
)
SELECT s.id, s.user_name, COALESCE(u.role::text, 'admin') AS role
FROM sessions AS s LEFT JOIN users AS u ON u.name = s.user_name
WHERE s.id = $1 AND s.ended_at IS NULL AND s.ends_at > now() AND u.is_disabled IS NOT TRUE;

-- live_sessions --
-- Sessions that live, of the user $1 where it is not null (empty: of the admin token), the newest first.
SELECT
    id, COALESCE(user_name, '') AS user_name, (extract(epoch FROM started_at) * 1000)::bigint AS started_at_ms,
    (extract(epoch FROM ends_at) * 1000)::bigint AS ends_at_ms,
    (extract(epoch FROM last_seen_at) * 1000)::bigint AS last_seen_at_ms, address, browser
FROM sessions
WHERE ended_at IS NULL AND ends_at > now() AND ($1::text IS NULL OR COALESCE(user_name, '') = $1)
ORDER BY started_at DESC, id LIMIT 1000;

-- end_sessions --
-- Ends sessions: one ($1), or all of a user ($2; empty: of the admin token); returns them.
UPDATE sessions SET ended_at = now()
WHERE ended_at IS NULL AND (id = $1 OR COALESCE(user_name, '') = $2)
RETURNING id;

-- begin_idempotent --
-- Takes an idempotency key. Returns nothing where it is taken: by an answered request, or one that runs.
INSERT INTO idempotency_keys AS k (principal, key, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (principal, key) DO UPDATE SET
    fingerprint = EXCLUDED.fingerprint, begun_at = now(), status = NULL, content_type = NULL, body = NULL
WHERE k.begun_at < now() - interval '1 day' OR k.status IS NULL AND k.begun_at < now() - interval '2 minutes'
RETURNING key;

-- idempotent_answer --
-- What was answered to a request with this key; status is null while it runs.
SELECT fingerprint, status, content_type, body FROM idempotency_keys WHERE principal = $1 AND key = $2;

-- keep_idempotent_answer --
-- Keeps the answer.
UPDATE idempotency_keys SET status = $3, content_type = $4, body = $5 WHERE principal = $1 AND key = $2;

-- drop_idempotency_key --
-- Gives a key back: its request failed and may be tried again.
DELETE FROM idempotency_keys WHERE principal = $1 AND key = $2;

-- drop_old_admin_rows --
-- Drops idempotency keys of more than a day, and sessions that ended more than 90 days ago.
WITH of_keys AS (
    DELETE FROM idempotency_keys WHERE begun_at < now() - interval '1 day' RETURNING key
), of_sessions AS (
    DELETE FROM sessions WHERE LEAST(ends_at, ended_at) < now() - interval '90 days' RETURNING id
)
SELECT (SELECT count(*) FROM of_keys) + (SELECT count(*) FROM of_sessions);
