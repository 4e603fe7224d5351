-- Demand by area and hour, counted with the usage, so that a plan does not read the whole ledger.

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

CREATE OR REPLACE FUNCTION roll_up_usage(zone text, most integer) RETURNS integer
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

CREATE OR REPLACE FUNCTION drop_old_calls(keep_months integer) RETURNS integer
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

-- What is in the ledger is counted by the next runs of the job usage, the newest hours first.
INSERT INTO usage_due (hour) SELECT DISTINCT date_trunc('hour', assigned_at, 'UTC') FROM calls;
