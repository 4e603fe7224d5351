-- Who may administrate, who is signed in, what was changed by whom, and which requests were answered already.

CREATE TYPE user_role AS ENUM ('viewer', 'operator', 'admin');
COMMENT ON TYPE user_role IS
    'What a user may do, each all that the one before may. viewer: look; operator: switch caller-IDs, end reservations;'
    ' admin: everything';

CREATE TABLE users (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_.@-]{0,59}$' AND name <> 'admin-token'),
    role user_role NOT NULL,
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    is_disabled boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    password_changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE users IS 'People who sign in by name; the admin token needs none';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, with its parameters';

CREATE TABLE sessions (
    id text COLLATE "C" PRIMARY KEY CHECK (length(id) BETWEEN 16 AND 64),
    user_name text COLLATE "C" REFERENCES users (name) ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    address text NOT NULL DEFAULT '' CHECK (length(address) <= 60),
    browser text NOT NULL DEFAULT '' CHECK (length(browser) <= 200),
    ended_at timestamptz
);
COMMENT ON TABLE sessions IS 'Who signed in. A token whose session is not here, or has ended, is not valid';
COMMENT ON COLUMN sessions.id IS 'The jti of its token';
COMMENT ON COLUMN sessions.user_name IS 'Null: signed in with the admin token or the link that the daemon prints';
COMMENT ON COLUMN sessions.ended_at IS 'Signed out, by themselves or by an admin';
CREATE INDEX sessions_by_user ON sessions (user_name, started_at DESC);
CREATE INDEX sessions_by_end ON sessions (ends_at);

CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    fingerprint text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    content_type text,
    body bytea,
    PRIMARY KEY (principal, key)
);
COMMENT ON TABLE idempotency_keys IS 'Answers to changes that were asked for with an Idempotency-Key, kept for a day';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request: another one with the same key is refused';
COMMENT ON COLUMN idempotency_keys.status IS 'Null while the first request is under way';
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (begun_at);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    change xid8 NOT NULL DEFAULT pg_current_xact_id(),
    actor text NOT NULL DEFAULT COALESCE(NULLIF(current_setting('rotator.actor', true), ''), session_user),
    via text NOT NULL DEFAULT COALESCE(NULLIF(current_setting('rotator.via', true), ''), 'database'),
    address text NOT NULL DEFAULT COALESCE(current_setting('rotator.address', true), ''),
    action text NOT NULL CHECK (action ~ '^[a-z_]{2,40}$'),
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{2,40}$'),
    target text COLLATE "C" NOT NULL,
    before jsonb,
    after jsonb
);
COMMENT ON TABLE audit IS
    'Who changed what, when, from where. Written by triggers in the transaction of the change, so psql is in it too; never'
    ' changed and never deleted from';
COMMENT ON COLUMN audit.change IS 'Transaction: rows of one change have the same';
COMMENT ON COLUMN audit.actor IS 'User, admin-token, or the database user where the change did not come through ami_rotator';
COMMENT ON COLUMN audit.via IS 'dashboard, api, cli, job, database';
COMMENT ON COLUMN audit.address IS 'Network address of the actor, where there is one';
COMMENT ON COLUMN audit.before IS 'What was there: all of what is gone, of what changed the values that did';
COMMENT ON COLUMN audit.after IS 'What came';
CREATE INDEX audit_by_target ON audit (kind, target, id DESC);
CREATE INDEX audit_by_actor ON audit (actor, id DESC);
CREATE INDEX audit_by_time ON audit (at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: nothing in it is changed or deleted', TG_TABLE_NAME USING ERRCODE = '42501';
END $$;
COMMENT ON FUNCTION refuse_change IS 'Keeps a table append-only';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION audited(kept jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT kept - '{changed_in,resolved_in,created_at,password_hash,password_changed_at}'::text[]
        || CASE WHEN kept ? 'password_hash' THEN jsonb_build_object('password', kept -> 'password_changed_at')
            ELSE '{}'::jsonb END
$$;
COMMENT ON FUNCTION audited IS 'A row as the audit keeps it: without bookkeeping, and of a password only when it was set';

CREATE FUNCTION changed_part(of jsonb, against jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT COALESCE(jsonb_object_agg(key, value), '{}') FROM jsonb_each(of) WHERE value IS DISTINCT FROM against -> key
$$;
COMMENT ON FUNCTION changed_part IS 'The members of one object that another has other values for';

CREATE FUNCTION audit_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_key text[] := TG_ARGV[1:];
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO audit (action, kind, target, after)
        SELECT 'added', TG_ARGV[0], (SELECT string_agg(kept ->> name, '|') FROM unnest(is_key) AS name), audited(kept)
        FROM new_rows, to_jsonb(new_rows) AS kept;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO audit (action, kind, target, before)
        SELECT 'removed', TG_ARGV[0], (SELECT string_agg(kept ->> name, '|') FROM unnest(is_key) AS name), audited(kept)
        FROM old_rows, to_jsonb(old_rows) AS kept;
    ELSE
        INSERT INTO audit (action, kind, target, before, after)
        SELECT
            CASE WHEN o.kept IS NULL THEN 'added' WHEN n.kept IS NULL THEN 'removed' ELSE 'changed' END, TG_ARGV[0], target,
            CASE WHEN n.kept IS NULL THEN o.kept ELSE changed_part(o.kept, n.kept) END,
            CASE WHEN o.kept IS NULL THEN n.kept ELSE changed_part(n.kept, o.kept) END
        FROM (
            SELECT (SELECT string_agg(to_jsonb(old_rows) ->> name, '|') FROM unnest(is_key) AS name) AS target,
                audited(to_jsonb(old_rows)) AS kept
            FROM old_rows
        ) AS o FULL JOIN (
            SELECT (SELECT string_agg(to_jsonb(new_rows) ->> name, '|') FROM unnest(is_key) AS name) AS target,
                audited(to_jsonb(new_rows)) AS kept
            FROM new_rows
        ) AS n USING (target)
        WHERE o.kept IS DISTINCT FROM n.kept;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_rows IS 'Writes the audit of a table; arguments: what its rows are, and the columns of its key';

CREATE TRIGGER audit_added AFTER INSERT ON caller_ids REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('caller_id', 'caller_id');
CREATE TRIGGER audit_changed AFTER UPDATE ON caller_ids REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('caller_id', 'caller_id');
CREATE TRIGGER audit_removed AFTER DELETE ON caller_ids REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('caller_id', 'caller_id');
CREATE TRIGGER audit_added AFTER INSERT ON groups REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('group', 'name');
CREATE TRIGGER audit_changed AFTER UPDATE ON groups REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('group', 'name');
CREATE TRIGGER audit_removed AFTER DELETE ON groups REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('group', 'name');
CREATE TRIGGER audit_added AFTER INSERT ON opt_outs REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('opt_out', 'destination', 'campaign');
CREATE TRIGGER audit_changed AFTER UPDATE ON opt_outs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('opt_out', 'destination', 'campaign');
CREATE TRIGGER audit_removed AFTER DELETE ON opt_outs REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('opt_out', 'destination', 'campaign');
CREATE TRIGGER audit_added AFTER INSERT ON users REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('user', 'name');
CREATE TRIGGER audit_changed AFTER UPDATE ON users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('user', 'name');
CREATE TRIGGER audit_removed AFTER DELETE ON users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_rows('user', 'name');

CREATE FUNCTION campaign_document(campaign_name text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT audited(to_jsonb(c)) || jsonb_build_object(
        'groups', (SELECT COALESCE(jsonb_agg(group_name ORDER BY position), '[]') FROM campaign_groups
            WHERE campaign = c.name AND NOT is_next),
        'next_groups', (SELECT COALESCE(jsonb_agg(group_name ORDER BY position), '[]') FROM campaign_groups
            WHERE campaign = c.name AND is_next))
    FROM campaigns AS c WHERE name = campaign_name
$$;
COMMENT ON FUNCTION campaign_document IS 'All of a campaign''s policy in one object; null where there is none of that name';

CREATE FUNCTION audit_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of text := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END ->> TG_ARGV[0];
    had jsonb := (SELECT after FROM audit WHERE kind = 'campaign' AND target = of ORDER BY id DESC LIMIT 1);
    has jsonb := campaign_document(of);
BEGIN
    -- The campaign and each of its groups call this, once the transaction is about to end: the first call writes it all.
    IF had IS DISTINCT FROM has THEN
        INSERT INTO audit (action, kind, target, before, after) VALUES (
            CASE WHEN had IS NULL THEN 'added' WHEN has IS NULL THEN 'removed' ELSE 'changed' END, 'campaign', of, had, has);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_campaign IS 'Writes a campaign''s policy, before and after, as one row whatever tables it is in';

CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON campaigns DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_campaign('name');
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON campaign_groups DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_campaign('campaign');

-- What the first change of a campaign that is there already is compared with.
INSERT INTO audit (actor, action, kind, target, after)
SELECT 'migration', 'added', 'campaign', name, campaign_document(name) FROM campaigns;

-- Lists of caller-IDs and calls are read page by page, in these orders.
DROP INDEX caller_ids_by_group;
DROP INDEX caller_ids_by_area;
CREATE INDEX caller_ids_by_group ON caller_ids (group_name, caller_id);
CREATE INDEX caller_ids_by_area ON caller_ids (area, caller_id);
CREATE INDEX caller_ids_by_carrier ON caller_ids (carrier, caller_id);
CREATE INDEX caller_ids_by_creation ON caller_ids (created_at, caller_id);
CREATE INDEX caller_ids_switched_off ON caller_ids (switch, caller_id) WHERE switch <> 'active';
CREATE INDEX calls_by_campaign ON calls (campaign, assigned_at DESC);
