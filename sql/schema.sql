-- The whole schema, as the migrations make it; a test holds both together. Changes go into a new migration and in here.

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
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    minute_limit integer CHECK (minute_limit >= 0),
    soft_daily_limit integer CHECK (soft_daily_limit >= 0),
    timezone text CHECK (length(timezone) BETWEEN 1 AND 64),
    warmup text CHECK (warmup ~ '^([a-z]{2,20}|[0-9]{1,9}(,[0-9]{1,9}){0,89})$')
);
COMMENT ON TABLE groups IS 'Sets of caller-IDs used together; each caller-ID is in one';
COMMENT ON COLUMN groups.max_concurrent IS 'Live calls that may show one caller-ID at once; 1 is exclusive';
COMMENT ON COLUMN groups.cooldown_s IS 'Seconds a caller-ID rests after a call; null: DEFAULT_COOLDOWN_SECONDS';
COMMENT ON COLUMN groups.hourly_limit IS 'Uses an hour of each caller-ID; null: DEFAULT_HOURLY_LIMIT; 0: never';
COMMENT ON COLUMN groups.daily_limit IS 'Uses a day of each caller-ID; null: DEFAULT_DAILY_LIMIT; 0: never';
COMMENT ON COLUMN groups.changed_in IS 'Transaction of the last change; what the daemon polls for';
COMMENT ON COLUMN groups.minute_limit IS 'Uses a minute of each caller-ID; null: as its campaigns, else no limit; 0: never';
COMMENT ON COLUMN groups.soft_daily_limit IS
    'Uses a day after which only a campaign''s overflow may use a caller-ID; null: none';
COMMENT ON COLUMN groups.timezone IS
    'Time zone of the hours and days that are counted; null: as its campaigns, else the setting TIMEZONE';
COMMENT ON COLUMN groups.warmup IS
    'How the daily limit of a new caller-ID grows: the name of a curve, or uses a day from the first day on; null: at once';

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
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    minute_limit integer CHECK (minute_limit >= 0),
    attestation text NOT NULL DEFAULT '' CHECK (attestation IN ('', 'A', 'B', 'C')),
    warmup_from date DEFAULT CURRENT_DATE
);
COMMENT ON TABLE caller_ids IS 'The numbers that we own; no other can be presented';
COMMENT ON COLUMN caller_ids.caller_id IS 'E.164: +15551234567';
COMMENT ON COLUMN caller_ids.area IS 'Area code in North America (212), + country code and area elsewhere (+4420)';
COMMENT ON COLUMN caller_ids.daily_limit IS 'Uses a day; null: as its group; 0: never';
COMMENT ON COLUMN caller_ids.hourly_limit IS 'Uses an hour; null: as its group; 0: never';
COMMENT ON COLUMN caller_ids.resting_until IS 'End of the rest; null: until somebody says otherwise';
COMMENT ON COLUMN caller_ids.meta IS 'Anything the operator wants to keep; handed out with the number';
COMMENT ON COLUMN caller_ids.changed_in IS 'Transaction of the last change; what the daemon polls for';
COMMENT ON COLUMN caller_ids.minute_limit IS 'Uses a minute; null: as its group; 0: never';
COMMENT ON COLUMN caller_ids.attestation IS 'What the carrier signs its calls with (STIR/SHAKEN): A, B, C; empty: not known';
COMMENT ON COLUMN caller_ids.warmup_from IS 'First day of its warm-up; null: it is established and needs none';
CREATE INDEX caller_ids_by_change ON caller_ids (changed_in);
CREATE INDEX caller_ids_by_group ON caller_ids (group_name, caller_id);
CREATE INDEX caller_ids_by_area ON caller_ids (area, caller_id);
CREATE INDEX caller_ids_by_carrier ON caller_ids (carrier, caller_id);
CREATE INDEX caller_ids_by_creation ON caller_ids (created_at, caller_id);
CREATE INDEX caller_ids_switched_off ON caller_ids (switch, caller_id) WHERE switch <> 'active';

CREATE TABLE campaigns (
    name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    rungs text[] NOT NULL DEFAULT '{area,any}'
        CHECK (cardinality(rungs) BETWEEN 1 AND 10 AND rungs <@ ARRAY[
            'city', 'area', 'overlay', 'neighbour', 'state', 'zone', 'country', 'any', 'next_group'
        ]),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    attestation_min text NOT NULL DEFAULT '' CHECK (attestation_min IN ('', 'A', 'B', 'C')),
    exhaustion text NOT NULL DEFAULT 'next_rung'
        CHECK (exhaustion IN ('next_rung', 'keep_own', 'overflow', 'refuse')),
    overflow_percent integer NOT NULL DEFAULT 0 CHECK (overflow_percent BETWEEN 0 AND 100),
    overflow_concurrent integer NOT NULL DEFAULT 1 CHECK (overflow_concurrent BETWEEN 1 AND 1000),
    overflow_soft_cap boolean NOT NULL DEFAULT false,
    sticky_days integer NOT NULL DEFAULT 0 CHECK (sticky_days BETWEEN 0 AND 365),
    sticky_by text NOT NULL DEFAULT 'lead' CHECK (sticky_by IN ('lead', 'destination')),
    sticky_breaks text[] NOT NULL DEFAULT '{resting,capped}'
        CHECK (sticky_breaks <@ ARRAY['resting', 'capped']),
    sticky_unanswered_max integer NOT NULL DEFAULT 0 CHECK (sticky_unanswered_max BETWEEN 0 AND 1000),
    distinct_max integer NOT NULL DEFAULT 0 CHECK (distinct_max BETWEEN 0 AND 100),
    distinct_days integer NOT NULL DEFAULT 0 CHECK (distinct_days BETWEEN 0 AND 365),
    minute_limit integer CHECK (minute_limit >= 0),
    hourly_limit integer CHECK (hourly_limit >= 0),
    daily_limit integer CHECK (daily_limit >= 0),
    timezone text NOT NULL DEFAULT '' CHECK (length(timezone) <= 64),
    resolved_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    neighbour_miles integer NOT NULL DEFAULT 0 CHECK (neighbour_miles BETWEEN 0 AND 1000),
    CONSTRAINT campaigns_distinct_check CHECK ((distinct_max = 0) = (distinct_days = 0)),
    CONSTRAINT campaigns_overflow_check CHECK (exhaustion <> 'overflow' OR overflow_percent > 0)
);
COMMENT ON TABLE campaigns IS 'VICIdial''s campaigns that have a policy of their own; others use the group default';
COMMENT ON COLUMN campaigns.rungs IS
    'How far from the person called to look, nearest first; those that are off are not in it. docs/choosing.md explains them';
COMMENT ON COLUMN campaigns.weight IS 'Its share of a group that runs short, against the group''s other campaigns';
COMMENT ON COLUMN campaigns.attestation_min IS 'Use only caller-IDs that are signed at least so; empty: any';
COMMENT ON COLUMN campaigns.exhaustion IS
    'What happens at the first rung that has caller-IDs and none free: next_rung, keep_own, overflow, refuse';
COMMENT ON COLUMN campaigns.overflow_percent IS 'Share of its calls that overflow may serve';
COMMENT ON COLUMN campaigns.overflow_concurrent IS 'Live calls that may show one caller-ID in overflow';
COMMENT ON COLUMN campaigns.overflow_soft_cap IS 'Whether overflow may use a caller-ID beyond its soft daily limit';
COMMENT ON COLUMN campaigns.sticky_days IS 'Days that a lead sees the same caller-ID; 0: off';
COMMENT ON COLUMN campaigns.sticky_by IS 'What it is remembered for: lead (the destination where there is none), destination';
COMMENT ON COLUMN campaigns.sticky_breaks IS 'States of the caller-ID that give the lead another one for good';
COMMENT ON COLUMN campaigns.sticky_unanswered_max IS 'Unanswered calls in a row after which the lead gets another one; 0: never';
COMMENT ON COLUMN campaigns.distinct_max IS 'Different caller-IDs that one destination may see in distinct_days; 0: no bound';
COMMENT ON COLUMN campaigns.minute_limit IS 'Uses a minute of each caller-ID whose group says nothing; null: no limit';
COMMENT ON COLUMN campaigns.hourly_limit IS 'Uses an hour of each caller-ID whose group says nothing; null: the setting';
COMMENT ON COLUMN campaigns.daily_limit IS 'Uses a day of each caller-ID whose group says nothing; null: the setting';
COMMENT ON COLUMN campaigns.timezone IS 'Time zone of those hours and days; empty: the setting TIMEZONE';
COMMENT ON COLUMN campaigns.neighbour_miles IS
    'The rung neighbour looks in areas whose centre is at most so far away; 0: in those that border on the area';
COMMENT ON COLUMN campaigns.resolved_in IS
    'Transaction of the last change of what the caller-IDs of its groups take over: rungs, limits, time zone';

CREATE TABLE campaign_groups (
    campaign text NOT NULL REFERENCES campaigns (name) ON UPDATE CASCADE ON DELETE CASCADE,
    group_name text NOT NULL REFERENCES groups (name) ON UPDATE CASCADE,
    position integer NOT NULL CHECK (position >= 0),
    is_next boolean NOT NULL DEFAULT false,
    PRIMARY KEY (campaign, group_name),
    UNIQUE (campaign, position) DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON TABLE campaign_groups IS 'The groups that a campaign may use, in order of position';
COMMENT ON COLUMN campaign_groups.is_next IS 'Only for the rung next_group: where the others have none';
CREATE INDEX campaign_groups_by_group ON campaign_groups (group_name);

CREATE TABLE removals (
    what text NOT NULL CHECK (what IN ('caller_id', 'campaign', 'opt_out')),
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
        UPDATE groups SET changed_in = pg_current_xact_id() WHERE name = OLD.group_name;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE campaigns SET changed_in = pg_current_xact_id() WHERE name = NEW.campaign;
        UPDATE groups SET changed_in = pg_current_xact_id() WHERE name = NEW.group_name;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION stamp_campaign IS
    'A change of a campaign''s groups is a change of the campaign, and of the groups, whose caller-IDs take its defaults over';

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

CREATE FUNCTION stamp_resolved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.resolved_in := pg_current_xact_id();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION stamp_resolved IS 'Notes the transaction of a change that the caller-IDs of a campaign take over';

CREATE TRIGGER stamp_resolved BEFORE UPDATE ON campaigns FOR EACH ROW
    WHEN ((OLD.rungs, OLD.minute_limit, OLD.hourly_limit, OLD.daily_limit, OLD.timezone)
        IS DISTINCT FROM (NEW.rungs, NEW.minute_limit, NEW.hourly_limit, NEW.daily_limit, NEW.timezone))
    EXECUTE FUNCTION stamp_resolved();

CREATE VIEW group_policies AS
SELECT
    g.name, g.max_concurrent, g.cooldown_s, g.soft_daily_limit, g.warmup,
    COALESCE(g.minute_limit, of_campaigns.minute_limit) AS minute_limit,
    COALESCE(g.hourly_limit, of_campaigns.hourly_limit) AS hourly_limit,
    COALESCE(g.daily_limit, of_campaigns.daily_limit) AS daily_limit,
    COALESCE(g.timezone, of_campaigns.timezone, '') AS timezone,
    COALESCE(of_campaigns.rungs, '{}') AS rungs
FROM groups AS g LEFT JOIN (
    SELECT
        cg.group_name, min(c.minute_limit) AS minute_limit, min(c.hourly_limit) AS hourly_limit,
        min(c.daily_limit) AS daily_limit, min(NULLIF(c.timezone, '')) AS timezone, array_agg(DISTINCT rung) AS rungs
    FROM campaign_groups AS cg JOIN campaigns AS c ON c.name = cg.campaign CROSS JOIN unnest(c.rungs) AS rung
    GROUP BY cg.group_name
) AS of_campaigns ON of_campaigns.group_name = g.name;
COMMENT ON VIEW group_policies IS
    'What each group says of its caller-IDs, with its campaigns'' defaults taken over: the tightest limit of those that share'
    ' it, so that a caller-ID has one set of limits';

CREATE TABLE opt_outs (
    destination text COLLATE "C" NOT NULL CHECK (destination ~ '^\+[1-9][0-9]{6,14}$'),
    campaign text NOT NULL DEFAULT '' CHECK (length(campaign) <= 100),
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (destination, campaign)
);
COMMENT ON TABLE opt_outs IS 'Destinations for which no caller-ID is given: the call keeps VICIdial''s own number';
COMMENT ON COLUMN opt_outs.campaign IS 'Only calls of this campaign; empty: of every campaign';
CREATE INDEX opt_outs_by_change ON opt_outs (changed_in);

CREATE FUNCTION note_removed_opt_outs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO removals (what, name)
    SELECT 'opt_out', destination || '|' || campaign FROM gone ORDER BY 2
    ON CONFLICT (what, name) DO UPDATE SET removed_at = now(), changed_in = pg_current_xact_id();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION note_removed_opt_outs IS 'Keeps deleted opt-outs in removals, as destination|campaign';

CREATE TRIGGER note_removal AFTER DELETE ON opt_outs
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_removed_opt_outs();

CREATE TABLE exchanges (
    prefix text COLLATE "C" PRIMARY KEY CHECK (prefix ~ '^[2-9][0-9]{5}$'),
    city text NOT NULL CHECK (length(city) BETWEEN 1 AND 60 AND city !~ '[\n\t|]')
);
COMMENT ON TABLE exchanges IS 'Where exchanges are, from the operator''s own NPA-NXX file; empty: the rung city finds nothing';
COMMENT ON COLUMN exchanges.prefix IS 'Area code and exchange, six digits: 212555';

-- The ledger: one row a reservation or miss, filled in by the events of the outbox, in monthly partitions.

CREATE TYPE call_source AS ENUM ('feed', 'ami', 'http', 'fastagi');
COMMENT ON TYPE call_source IS
    'The door an assignment came through. feed: VICIdial''s own table; ami: Asterisk Manager Interface; http: GET /next-cid;'
    ' fastagi: the FastAGI server';

CREATE TYPE call_outcome AS ENUM (
    'answered', 'busy', 'no_answer', 'cancelled', 'not_found', 'declined', 'unwanted', 'congestion', 'failed',
    'not_dialled', 'expired', 'unknown'
);
COMMENT ON TYPE call_outcome IS
    'How a call ended. answered, busy, no_answer, cancelled (by us): as they say; not_found: no such number; declined:'
    ' rejected by the person called; unwanted: reported as unwanted (SIP 607, 608); congestion, failed: the network''s fault;'
    ' not_dialled: no trunk was ever dialled; expired: nobody said how it ended';

CREATE TYPE miss_reason AS ENUM ('none_free', 'no_groups', 'refused', 'unavailable', 'observe', 'opted_out');
COMMENT ON TYPE miss_reason IS
    'Why a call kept VICIdial''s own number. none_free: no caller-ID was eligible; no_groups: the campaign has no group;'
    ' refused: the request was not one to answer, or the campaign refuses calls without a caller-ID; unavailable: Redis was'
    ' away; observe: the dialer is only watched; opted_out: the destination is on the list of opt-outs';

CREATE TABLE calls (
    reservation_id uuid NOT NULL,
    assigned_at timestamptz NOT NULL,
    caller_id text COLLATE "C",
    campaign text NOT NULL DEFAULT '',
    destination text COLLATE "C" NOT NULL DEFAULT '',
    dialled text NOT NULL DEFAULT '',
    dialer text NOT NULL DEFAULT '',
    code text COLLATE "C" NOT NULL DEFAULT '',
    uniqueid text NOT NULL DEFAULT '',
    agent text NOT NULL DEFAULT '',
    lead_id text NOT NULL DEFAULT '',
    source call_source,
    rung text,
    group_name text,
    area text,
    was_warm boolean,
    miss_reason miss_reason,
    presented text,
    trunk_uniqueid text,
    presented_at timestamptz,
    presented_matches boolean,
    ended_at timestamptz,
    outcome call_outcome,
    cause smallint,
    sip smallint,
    talk_ms bigint,
    was_dialled boolean,
    why text,
    PRIMARY KEY (reservation_id, assigned_at),
    CHECK (caller_id IS NULL OR miss_reason IS NULL)
) PARTITION BY RANGE (assigned_at);
COMMENT ON TABLE calls IS
    'The ledger. A row may lack its assignment for a moment: events of one call can be stored in any order';
COMMENT ON COLUMN calls.reservation_id IS 'The reservation, or for a miss the request';
COMMENT ON COLUMN calls.caller_id IS 'The number assigned, E.164; null for a miss';
COMMENT ON COLUMN calls.campaign IS 'VICIdial''s campaign';
COMMENT ON COLUMN calls.destination IS 'The number called, E.164; empty where what was dialled is no number';
COMMENT ON COLUMN calls.dialled IS 'What was dialled, raw, with its dial prefix';
COMMENT ON COLUMN calls.dialer IS 'The Asterisk server';
COMMENT ON COLUMN calls.code IS 'VICIdial''s call code; empty where the call has none';
COMMENT ON COLUMN calls.uniqueid IS 'Channel that runs the carrier dialplan';
COMMENT ON COLUMN calls.rung IS 'How near the caller-ID is to the person called: area or any';
COMMENT ON COLUMN calls.group_name IS 'The caller-ID''s group at that time';
COMMENT ON COLUMN calls.area IS 'The caller-ID''s area';
COMMENT ON COLUMN calls.was_warm IS 'Whether it was held ready before the call';
COMMENT ON COLUMN calls.presented IS 'What the last trunk leg really showed';
COMMENT ON COLUMN calls.trunk_uniqueid IS 'Channel of the last trunk leg';
COMMENT ON COLUMN calls.presented_matches IS 'Whether the number assigned is the one presented';
COMMENT ON COLUMN calls.cause IS 'Q.850 cause; 0: unknown';
COMMENT ON COLUMN calls.sip IS 'SIP response code; 0: Asterisk did not say';
COMMENT ON COLUMN calls.talk_ms IS 'From answer to hang-up';
COMMENT ON COLUMN calls.was_dialled IS 'Whether a trunk was dialled';
COMMENT ON COLUMN calls.why IS
    'How the caller-ID was chosen: free, warm, sticky, seen, overflow, restored, after a colon why a sticky one did not hold;'
    ' for a miss its detail: distinct';

CREATE INDEX calls_by_time ON calls (assigned_at DESC);
CREATE INDEX calls_by_caller_id ON calls (caller_id, assigned_at DESC) WHERE caller_id IS NOT NULL;
CREATE INDEX calls_by_destination ON calls (destination, assigned_at DESC) WHERE destination <> '';
CREATE INDEX calls_by_campaign ON calls (campaign, assigned_at DESC);
CREATE INDEX calls_by_code ON calls (code) WHERE code <> '';
CREATE INDEX calls_missed ON calls (assigned_at DESC) WHERE miss_reason IS NOT NULL;

CREATE TABLE calls_default PARTITION OF calls DEFAULT;
COMMENT ON TABLE calls_default IS 'Calls of months that have no partition yet; ensure_call_partitions moves them';

CREATE FUNCTION ensure_call_partitions(months_ahead integer, months_back integer DEFAULT 0) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '5s' SET timezone = 'UTC' AS $$
DECLARE
    this_month date := date_trunc('month', now())::date;
    first_day date;
    next_month date;
    partition text;
    made integer := 0;
BEGIN
    -- Two daemons may ask at once.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_call_partitions'));
    FOR ahead IN -months_back .. months_ahead LOOP
        first_day := (this_month + make_interval(months => ahead))::date;
        next_month := (first_day + make_interval(months => 1))::date;
        partition := 'calls_y' || to_char(first_day, 'YYYY') || 'm' || to_char(first_day, 'MM');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        -- Made apart and then attached: that does not lock out who reads or writes the other partitions.
        -- The fill factor leaves room to fill in presentation and end of a call on the same page.
        EXECUTE format('CREATE TABLE %I (LIKE calls INCLUDING ALL) WITH (fillfactor = 80)', partition);
        -- A partition cannot be attached while the default one has rows of its range.
        EXECUTE format(
            'WITH moved AS (DELETE FROM calls_default WHERE assigned_at >= %1$L AND assigned_at < %2$L RETURNING *)
             INSERT INTO %3$I SELECT * FROM moved', first_day::timestamptz, next_month::timestamptz, partition);
        EXECUTE format('ALTER TABLE calls ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition, first_day::timestamptz, next_month::timestamptz);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION ensure_call_partitions IS
    'Makes the monthly partitions (UTC) from months_back ago to months_ahead that are missing; returns how many';

CREATE TABLE dead_letters (
    stream text NOT NULL,
    entry_id text NOT NULL,
    fields jsonb NOT NULL,
    reason text NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, entry_id)
);
COMMENT ON TABLE dead_letters IS 'Outbox entries that cannot be stored, kept for a person to look at';
CREATE INDEX dead_letters_by_time ON dead_letters (set_aside_at DESC);

-- Usage an hour and a day, counted from the ledger, and the end of the ledger's months.

CREATE TABLE usage_hourly (
    hour timestamptz NOT NULL,
    caller_id text COLLATE "C" NOT NULL,
    campaign text NOT NULL,
    calls integer NOT NULL,
    missed integer NOT NULL,
    presented integer NOT NULL,
    presented_otherwise integer NOT NULL,
    dialled integer NOT NULL,
    answered integer NOT NULL,
    short integer NOT NULL,
    busy integer NOT NULL,
    no_answer integer NOT NULL,
    not_found integer NOT NULL,
    declined integer NOT NULL,
    unwanted integer NOT NULL,
    failed integer NOT NULL,
    talk_ms bigint NOT NULL,
    PRIMARY KEY (hour, caller_id, campaign)
);
COMMENT ON TABLE usage_hourly IS
    'How each caller-ID was used, by campaign and hour (of the time zone of the limits); misses stand under an empty caller-ID';
COMMENT ON COLUMN usage_hourly.presented IS 'Calls that showed the number assigned';
COMMENT ON COLUMN usage_hourly.presented_otherwise IS 'Calls that showed another number';
COMMENT ON COLUMN usage_hourly.dialled IS 'Calls that reached a trunk';
COMMENT ON COLUMN usage_hourly.short IS 'Answered calls of less than six seconds';
COMMENT ON COLUMN usage_hourly.failed IS 'Calls that the network failed: congestion, failed';
CREATE INDEX usage_hourly_by_caller_id ON usage_hourly (caller_id, hour);

CREATE TABLE usage_daily (
    day date NOT NULL,
    caller_id text COLLATE "C" NOT NULL,
    campaign text NOT NULL,
    calls integer NOT NULL,
    missed integer NOT NULL,
    presented integer NOT NULL,
    presented_otherwise integer NOT NULL,
    dialled integer NOT NULL,
    answered integer NOT NULL,
    short integer NOT NULL,
    busy integer NOT NULL,
    no_answer integer NOT NULL,
    not_found integer NOT NULL,
    declined integer NOT NULL,
    unwanted integer NOT NULL,
    failed integer NOT NULL,
    talk_ms bigint NOT NULL,
    PRIMARY KEY (day, caller_id, campaign)
);
COMMENT ON TABLE usage_daily IS 'As usage_hourly, by day';
CREATE INDEX usage_daily_by_caller_id ON usage_daily (caller_id, day);

CREATE TABLE demand_hourly (
    campaign text NOT NULL,
    hour timestamptz NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    calls integer NOT NULL,
    ended integer NOT NULL,
    seconds double precision NOT NULL,
    sample text COLLATE "C" NOT NULL,
    PRIMARY KEY (campaign, hour, prefix)
);
COMMENT ON TABLE demand_hourly IS
    'How often each area was called, by campaign (empty: by all of them) and hour (of the time zone of the limits); calls that'
    ' got no caller-ID too, calls to opt-outs not';
COMMENT ON COLUMN demand_hourly.prefix IS 'How the number called begins: +1 and the area code; elsewhere eight characters';
COMMENT ON COLUMN demand_hourly.ended IS 'Calls that ended';
COMMENT ON COLUMN demand_hourly.seconds IS 'How long those held their caller-ID, together';
COMMENT ON COLUMN demand_hourly.sample IS 'A number called, its last four digits zeros: what its area is read from';
CREATE INDEX demand_hourly_by_hour ON demand_hourly (hour);

CREATE TABLE demand_daily (
    campaign text NOT NULL,
    day date NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    calls integer NOT NULL,
    calls_an_hour integer NOT NULL,
    ended integer NOT NULL,
    seconds double precision NOT NULL,
    sample text COLLATE "C" NOT NULL,
    PRIMARY KEY (campaign, day, prefix)
);
COMMENT ON TABLE demand_daily IS 'As demand_hourly, by day';
COMMENT ON COLUMN demand_daily.calls_an_hour IS 'Calls in the busiest hour of the day';

CREATE TABLE usage_due (
    hour timestamptz NOT NULL
);
COMMENT ON TABLE usage_due IS
    'Hours (UTC) of the ledger that changed since they were counted. Appended to only, so that who stores waits for nobody';

CREATE FUNCTION note_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_due (hour) SELECT DISTINCT date_trunc('hour', assigned_at, 'UTC') FROM changed;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION note_usage IS 'Notes the hours of stored calls in usage_due';

CREATE TRIGGER note_usage_of_new AFTER INSERT ON calls
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_usage();
CREATE TRIGGER note_usage_of_changed AFTER UPDATE ON calls
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_usage();

CREATE FUNCTION roll_up_usage(zone text, most integer) RETURNS integer
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    due timestamptz[];
    oldest timestamptz;
    one timestamptz;
    days date[];
BEGIN
    -- One at a time; who comes second has nothing to do.
    IF NOT pg_try_advisory_xact_lock(hashtext('roll_up_usage')) THEN
        RETURN 0;
    END IF;
    -- What is stored while this runs notes its hours anew, and they are counted the next time.
    WITH taken AS (
        DELETE FROM usage_due WHERE hour IN (SELECT DISTINCT hour FROM usage_due ORDER BY hour DESC LIMIT most)
        RETURNING hour
    )
    SELECT array_agg(DISTINCT date_trunc('hour', edge, zone) ORDER BY date_trunc('hour', edge, zone)) INTO due
    FROM taken, unnest(ARRAY[hour, hour + interval '59 minutes']) AS edge;
    IF due IS NULL THEN
        RETURN 0;
    END IF;
    -- Where a month was dropped, its counts stay as they are: what comes late would take the place of all the others.
    SELECT COALESCE(min(to_timestamp(substr(relname, 8, 4) || substr(relname, 13, 2), 'YYYYMM')), '-infinity') INTO oldest
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'calls'::regclass AND relname ~ '^calls_y\d{4}m\d{2}$';
    FOREACH one IN ARRAY due LOOP
        CONTINUE WHEN one < oldest;
        INSERT INTO usage_hourly
        SELECT
            one, COALESCE(caller_id, ''), campaign,
            count(*) FILTER (WHERE caller_id IS NOT NULL),
            count(*) FILTER (WHERE miss_reason IS NOT NULL),
            count(*) FILTER (WHERE presented_matches),
            count(*) FILTER (WHERE NOT presented_matches),
            count(*) FILTER (WHERE was_dialled),
            count(*) FILTER (WHERE outcome = 'answered'),
            count(*) FILTER (WHERE outcome = 'answered' AND talk_ms < 6000),
            count(*) FILTER (WHERE outcome = 'busy'),
            count(*) FILTER (WHERE outcome = 'no_answer'),
            count(*) FILTER (WHERE outcome = 'not_found'),
            count(*) FILTER (WHERE outcome = 'declined'),
            count(*) FILTER (WHERE outcome = 'unwanted'),
            count(*) FILTER (WHERE outcome IN ('congestion', 'failed')),
            COALESCE(sum(talk_ms), 0)
        FROM calls
        WHERE assigned_at >= one AND assigned_at < one + interval '1 hour'
            AND (caller_id IS NOT NULL OR miss_reason IS NOT NULL)
        GROUP BY 2, 3
        ON CONFLICT (hour, caller_id, campaign) DO UPDATE SET
            (calls, missed, presented, presented_otherwise, dialled, answered, short, busy, no_answer, not_found, declined,
            unwanted, failed, talk_ms)
            = (EXCLUDED.calls, EXCLUDED.missed, EXCLUDED.presented, EXCLUDED.presented_otherwise, EXCLUDED.dialled,
            EXCLUDED.answered, EXCLUDED.short, EXCLUDED.busy, EXCLUDED.no_answer, EXCLUDED.not_found, EXCLUDED.declined,
            EXCLUDED.unwanted, EXCLUDED.failed, EXCLUDED.talk_ms)
        WHERE usage_hourly.* IS DISTINCT FROM EXCLUDED.*;
        INSERT INTO demand_hourly
        SELECT
            COALESCE(campaign, ''), one,
            CASE WHEN destination LIKE '+1%' THEN left(destination, 5) ELSE left(destination, 8) END, count(*),
            count(ended_at), COALESCE(sum(extract(epoch FROM ended_at - assigned_at)), 0),
            left(max(destination), -4) || '0000'
        FROM calls
        WHERE assigned_at >= one AND assigned_at < one + interval '1 hour' AND destination <> ''
            AND miss_reason IS DISTINCT FROM 'opted_out' AND (caller_id IS NOT NULL OR miss_reason IS NOT NULL)
        GROUP BY GROUPING SETS ((campaign, 3), (3))
        HAVING campaign IS DISTINCT FROM ''
        ON CONFLICT (campaign, hour, prefix) DO UPDATE SET
            (calls, ended, seconds, sample) = (EXCLUDED.calls, EXCLUDED.ended, EXCLUDED.seconds, EXCLUDED.sample)
        WHERE demand_hourly.* IS DISTINCT FROM EXCLUDED.*;
    END LOOP;
    SELECT array_agg(DISTINCT (hour AT TIME ZONE zone)::date) INTO days FROM unnest(due) AS hour WHERE hour >= oldest;
    INSERT INTO usage_daily (
        day, caller_id, campaign, calls, missed, presented, presented_otherwise, dialled, answered, short, busy, no_answer,
        not_found, declined, unwanted, failed, talk_ms
    )
    SELECT
        day, caller_id, campaign, sum(calls), sum(missed), sum(presented), sum(presented_otherwise), sum(dialled),
        sum(answered), sum(short), sum(busy), sum(no_answer), sum(not_found), sum(declined), sum(unwanted), sum(failed),
        sum(talk_ms)
    FROM unnest(days) AS day
    JOIN usage_hourly ON hour >= (day::timestamp AT TIME ZONE zone) AND hour < ((day + 1)::timestamp AT TIME ZONE zone)
    GROUP BY day, caller_id, campaign
    ON CONFLICT (day, caller_id, campaign) DO UPDATE SET
        (calls, missed, presented, presented_otherwise, dialled, answered, short, busy, no_answer, not_found, declined,
        unwanted, failed, talk_ms)
        = (EXCLUDED.calls, EXCLUDED.missed, EXCLUDED.presented, EXCLUDED.presented_otherwise, EXCLUDED.dialled,
        EXCLUDED.answered, EXCLUDED.short, EXCLUDED.busy, EXCLUDED.no_answer, EXCLUDED.not_found, EXCLUDED.declined,
        EXCLUDED.unwanted, EXCLUDED.failed, EXCLUDED.talk_ms)
    WHERE usage_daily.* IS DISTINCT FROM EXCLUDED.*;
    INSERT INTO demand_daily (campaign, day, prefix, calls, calls_an_hour, ended, seconds, sample)
    SELECT campaign, day, prefix, sum(calls), max(calls), sum(ended), sum(seconds), max(sample)
    FROM unnest(days) AS day
    JOIN demand_hourly ON hour >= (day::timestamp AT TIME ZONE zone) AND hour < ((day + 1)::timestamp AT TIME ZONE zone)
    GROUP BY campaign, day, prefix
    ON CONFLICT (campaign, day, prefix) DO UPDATE SET
        (calls, calls_an_hour, ended, seconds, sample)
        = (EXCLUDED.calls, EXCLUDED.calls_an_hour, EXCLUDED.ended, EXCLUDED.seconds, EXCLUDED.sample)
    WHERE demand_daily.* IS DISTINCT FROM EXCLUDED.*;
    RETURN cardinality(due);
END $$;
COMMENT ON FUNCTION roll_up_usage IS
    'Counts the newest hours that changed, and their days, anew, in a time zone; returns how many hours. Doing it twice changes'
    ' nothing';

CREATE FUNCTION drop_old_calls(keep_months integer) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '5s' SET timezone = 'UTC' AS $$
DECLARE
    first_kept date := (date_trunc('month', now()) - make_interval(months => keep_months))::date;
    partition text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_call_partitions'));
    FOR partition IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'calls'::regclass AND relname ~ '^calls_y\d{4}m\d{2}$'
            AND to_date(substr(relname, 8, 4) || substr(relname, 13, 2), 'YYYYMM') < first_kept
        ORDER BY relname
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM calls_default WHERE assigned_at < first_kept;
    DELETE FROM usage_hourly WHERE hour < first_kept;
    DELETE FROM demand_hourly WHERE hour < first_kept;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION drop_old_calls IS
    'Drops the months of the ledger that ended more than keep_months before this one began, and their hourly usage; the'
    ' daily usage stays. Returns how many months were dropped';

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
