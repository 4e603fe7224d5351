-- The policy of a campaign and of a group: how far to look, how often a caller-ID may be used, what happens when none is free.

ALTER TABLE groups
    ADD COLUMN minute_limit integer CHECK (minute_limit >= 0),
    ADD COLUMN soft_daily_limit integer CHECK (soft_daily_limit >= 0),
    ADD COLUMN timezone text CHECK (length(timezone) BETWEEN 1 AND 64),
    ADD COLUMN warmup text CHECK (warmup ~ '^([a-z]{2,20}|[0-9]{1,9}(,[0-9]{1,9}){0,89})$');
COMMENT ON COLUMN groups.minute_limit IS 'Uses a minute of each caller-ID; null: as its campaigns, else no limit; 0: never';
COMMENT ON COLUMN groups.soft_daily_limit IS
    'Uses a day after which only a campaign''s overflow may use a caller-ID; null: none';
COMMENT ON COLUMN groups.timezone IS
    'Time zone of the hours and days that are counted; null: as its campaigns, else the setting TIMEZONE';
COMMENT ON COLUMN groups.warmup IS
    'How the daily limit of a new caller-ID grows: the name of a curve, or uses a day from the first day on; null: at once';

ALTER TABLE caller_ids
    ADD COLUMN minute_limit integer CHECK (minute_limit >= 0),
    ADD COLUMN attestation text NOT NULL DEFAULT '' CHECK (attestation IN ('', 'A', 'B', 'C')),
    ADD COLUMN warmup_from date DEFAULT CURRENT_DATE;
UPDATE caller_ids SET warmup_from = created_at::date;
COMMENT ON COLUMN caller_ids.minute_limit IS 'Uses a minute; null: as its group; 0: never';
COMMENT ON COLUMN caller_ids.attestation IS 'What the carrier signs its calls with (STIR/SHAKEN): A, B, C; empty: not known';
COMMENT ON COLUMN caller_ids.warmup_from IS 'First day of its warm-up; null: it is established and needs none';

ALTER TABLE campaigns
    DROP CONSTRAINT campaigns_rungs_check,
    ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    ADD COLUMN attestation_min text NOT NULL DEFAULT '' CHECK (attestation_min IN ('', 'A', 'B', 'C')),
    ADD COLUMN exhaustion text NOT NULL DEFAULT 'next_rung'
        CHECK (exhaustion IN ('next_rung', 'keep_own', 'overflow', 'refuse')),
    ADD COLUMN overflow_percent integer NOT NULL DEFAULT 0 CHECK (overflow_percent BETWEEN 0 AND 100),
    ADD COLUMN overflow_concurrent integer NOT NULL DEFAULT 1 CHECK (overflow_concurrent BETWEEN 1 AND 1000),
    ADD COLUMN overflow_soft_cap boolean NOT NULL DEFAULT false,
    ADD COLUMN sticky_days integer NOT NULL DEFAULT 0 CHECK (sticky_days BETWEEN 0 AND 365),
    ADD COLUMN sticky_by text NOT NULL DEFAULT 'lead' CHECK (sticky_by IN ('lead', 'destination')),
    ADD COLUMN sticky_breaks text[] NOT NULL DEFAULT '{resting,capped}'
        CHECK (sticky_breaks <@ ARRAY['resting', 'capped']),
    ADD COLUMN sticky_unanswered_max integer NOT NULL DEFAULT 0 CHECK (sticky_unanswered_max BETWEEN 0 AND 1000),
    ADD COLUMN distinct_max integer NOT NULL DEFAULT 0 CHECK (distinct_max BETWEEN 0 AND 100),
    ADD COLUMN distinct_days integer NOT NULL DEFAULT 0 CHECK (distinct_days BETWEEN 0 AND 365),
    ADD COLUMN minute_limit integer CHECK (minute_limit >= 0),
    ADD COLUMN hourly_limit integer CHECK (hourly_limit >= 0),
    ADD COLUMN daily_limit integer CHECK (daily_limit >= 0),
    ADD COLUMN timezone text NOT NULL DEFAULT '' CHECK (length(timezone) <= 64),
    ADD COLUMN resolved_in xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE campaigns
    ADD CONSTRAINT campaigns_rungs_check CHECK (
        cardinality(rungs) BETWEEN 1 AND 10 AND rungs <@ ARRAY[
            'city', 'area', 'overlay', 'neighbour', 'state', 'zone', 'country', 'any', 'next_group'
        ]),
    ADD CONSTRAINT campaigns_distinct_check CHECK ((distinct_max = 0) = (distinct_days = 0)),
    ADD CONSTRAINT campaigns_overflow_check CHECK (exhaustion <> 'overflow' OR overflow_percent > 0);
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
COMMENT ON COLUMN campaigns.resolved_in IS
    'Transaction of the last change of what the caller-IDs of its groups take over: rungs, limits, time zone';

ALTER TABLE campaign_groups ADD COLUMN is_next boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN campaign_groups.is_next IS 'Only for the rung next_group: where the others have none';

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

CREATE OR REPLACE FUNCTION stamp_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
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

ALTER TABLE removals DROP CONSTRAINT removals_what_check;
ALTER TABLE removals ADD CONSTRAINT removals_what_check CHECK (what IN ('caller_id', 'campaign', 'opt_out'));

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

ALTER TYPE miss_reason ADD VALUE 'opted_out';
COMMENT ON TYPE miss_reason IS
    'Why a call kept VICIdial''s own number. none_free: no caller-ID was eligible; no_groups: the campaign has no group;'
    ' refused: the request was not one to answer, or the campaign refuses calls without a caller-ID; unavailable: Redis was'
    ' away; observe: the dialer is only watched; opted_out: the destination is on the list of opt-outs';
