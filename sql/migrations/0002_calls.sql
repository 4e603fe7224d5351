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

CREATE TYPE miss_reason AS ENUM ('none_free', 'no_groups', 'refused', 'unavailable', 'observe');
COMMENT ON TYPE miss_reason IS
    'Why a call kept VICIdial''s own number. none_free: no caller-ID was eligible; no_groups: the campaign has no group;'
    ' refused: the request was not one to answer; unavailable: Redis was away; observe: the dialer is only watched';

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

CREATE INDEX calls_by_time ON calls (assigned_at DESC);
CREATE INDEX calls_by_caller_id ON calls (caller_id, assigned_at DESC) WHERE caller_id IS NOT NULL;
CREATE INDEX calls_by_destination ON calls (destination, assigned_at DESC) WHERE destination <> '';
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
