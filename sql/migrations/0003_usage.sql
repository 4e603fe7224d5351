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

INSERT INTO usage_due (hour) SELECT DISTINCT date_trunc('hour', assigned_at, 'UTC') FROM calls;

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
    RETURN dropped;
END $$;
COMMENT ON FUNCTION drop_old_calls IS
    'Drops the months of the ledger that ended more than keep_months before this one began, and their hourly usage; the'
    ' daily usage stays. Returns how many months were dropped';
