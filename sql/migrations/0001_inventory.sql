-- The inventory: caller-IDs, their groups, and the campaigns that use them.

CREATE TYPE caller_id_switch AS ENUM ('active', 'resting', 'disabled');
COMMENT ON TYPE caller_id_switch IS
    'What the operator wants of a caller-ID. active: use it; resting: leave it alone, until resting_until if that is set;'
    ' disabled: never use it';

CREATE TABLE groups (
    name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,40}$'),
    max_concurrent integer NOT NULL DEFAULT 1 CHECK (max_concurrent BETWEEN 1 AND 1000),
    cooldown_s integer CHECK (cooldown_s BETWEEN 0 AND 86400),
    hourly_limit integer CHECK (hourly_limit >= 0),
    daily_limit integer CHECK (daily_limit >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE groups IS 'Sets of caller-IDs used together; each caller-ID is in one';
COMMENT ON COLUMN groups.max_concurrent IS 'Live calls that may show one caller-ID at once; 1 is exclusive';
COMMENT ON COLUMN groups.cooldown_s IS 'Seconds a caller-ID rests after a call; null: DEFAULT_COOLDOWN_SECONDS';
COMMENT ON COLUMN groups.hourly_limit IS 'Uses an hour of each caller-ID; null: DEFAULT_HOURLY_LIMIT; 0: never';
COMMENT ON COLUMN groups.daily_limit IS 'Uses a day of each caller-ID; null: DEFAULT_DAILY_LIMIT; 0: never';
COMMENT ON COLUMN groups.changed_in IS 'Transaction of the last change; what the daemon polls for';

INSERT INTO groups (name) VALUES ('default');

CREATE TABLE caller_ids (
    caller_id text COLLATE "C" PRIMARY KEY CHECK (caller_id ~ '^\+[1-9][0-9]{6,14}$'),
    carrier text NOT NULL DEFAULT '' CHECK (length(carrier) <= 100),
    area text NOT NULL CHECK (area ~ '^([2-9][0-9]{2}|\+[1-9][0-9]{0,9})?$'),
    group_name text NOT NULL DEFAULT 'default' REFERENCES groups (name) ON UPDATE CASCADE,
    daily_limit integer CHECK (daily_limit >= 0),
    hourly_limit integer CHECK (hourly_limit >= 0),
    switch caller_id_switch NOT NULL DEFAULT 'active',
    resting_until timestamptz CHECK (resting_until IS NULL OR switch = 'resting'),
    meta jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(meta) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE caller_ids IS 'The numbers that we own; no other can be presented';
COMMENT ON COLUMN caller_ids.caller_id IS 'E.164: +15551234567';
COMMENT ON COLUMN caller_ids.area IS 'Area code in North America (212), + country code and area elsewhere (+4420)';
COMMENT ON COLUMN caller_ids.daily_limit IS 'Uses a day; null: as its group; 0: never';
COMMENT ON COLUMN caller_ids.hourly_limit IS 'Uses an hour; null: as its group; 0: never';
COMMENT ON COLUMN caller_ids.resting_until IS 'End of the rest; null: until somebody says otherwise';
COMMENT ON COLUMN caller_ids.meta IS 'Anything the operator wants to keep; handed out with the number';
COMMENT ON COLUMN caller_ids.changed_in IS 'Transaction of the last change; what the daemon polls for';
CREATE INDEX caller_ids_by_change ON caller_ids (changed_in);
CREATE INDEX caller_ids_by_group ON caller_ids (group_name);
CREATE INDEX caller_ids_by_area ON caller_ids (area);

CREATE TABLE campaigns (
    name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    rungs text[] NOT NULL DEFAULT '{area,any}'
        CHECK (cardinality(rungs) BETWEEN 1 AND 10 AND rungs <@ ARRAY['area', 'any']),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE campaigns IS 'VICIdial''s campaigns that have a policy of their own; others use the group default';
COMMENT ON COLUMN campaigns.rungs IS
    'How far from the person called to look, nearest first. area: the same area; any: every area';

CREATE TABLE campaign_groups (
    campaign text NOT NULL REFERENCES campaigns (name) ON UPDATE CASCADE ON DELETE CASCADE,
    group_name text NOT NULL REFERENCES groups (name) ON UPDATE CASCADE,
    position integer NOT NULL CHECK (position >= 0),
    PRIMARY KEY (campaign, group_name),
    UNIQUE (campaign, position) DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON TABLE campaign_groups IS 'The groups that a campaign may use, in order of position';
CREATE INDEX campaign_groups_by_group ON campaign_groups (group_name);

CREATE TABLE removals (
    what text NOT NULL CHECK (what IN ('caller_id', 'campaign')),
    name text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now(),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (what, name)
);
COMMENT ON TABLE removals IS 'What was deleted, so that the daemon''s poll sees it';
CREATE INDEX removals_by_change ON removals (changed_in);

CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION stamp_change IS 'Notes the transaction of a change';

CREATE TRIGGER stamp BEFORE UPDATE ON groups
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION stamp_change();
CREATE TRIGGER stamp BEFORE UPDATE ON caller_ids
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION stamp_change();
CREATE TRIGGER stamp BEFORE UPDATE ON campaigns
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION stamp_change();

CREATE FUNCTION stamp_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE campaigns SET changed_in = pg_current_xact_id() WHERE name = OLD.campaign;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE campaigns SET changed_in = pg_current_xact_id() WHERE name = NEW.campaign;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION stamp_campaign IS 'A change of a campaign''s groups is a change of the campaign';

CREATE TRIGGER stamp AFTER INSERT OR UPDATE OR DELETE ON campaign_groups
    FOR EACH ROW EXECUTE FUNCTION stamp_campaign();

CREATE FUNCTION note_removed_caller_ids() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO removals (what, name)
    SELECT 'caller_id', caller_id FROM gone ORDER BY caller_id
    ON CONFLICT (what, name) DO UPDATE SET removed_at = now(), changed_in = pg_current_xact_id();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION note_removed_caller_ids IS 'Keeps deleted caller-IDs in removals';

CREATE TRIGGER note_removal AFTER DELETE ON caller_ids
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_removed_caller_ids();

CREATE FUNCTION note_removed_campaigns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO removals (what, name)
    SELECT 'campaign', name FROM gone ORDER BY name
    ON CONFLICT (what, name) DO UPDATE SET removed_at = now(), changed_in = pg_current_xact_id();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION note_removed_campaigns IS 'Keeps deleted campaigns in removals';

CREATE TRIGGER note_removal AFTER DELETE ON campaigns
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_removed_campaigns();
