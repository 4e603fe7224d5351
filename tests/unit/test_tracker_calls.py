"""What the tracker makes of calls that no capture has."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ami_rotator.ami.events import Event, parse_event
from ami_rotator.ami.facts import Anomaly, CallEnded, CallSeen, DialerStopped, Fact, TrunkBegan
from ami_rotator.ami.tracker import Tracker
from ami_rotator.domain.types import CallKey, Dialer, End
from tests.captures.captured import CAPTURES, StillClock, events_of, facts_of, new_tracker

CODE = "V1221619090000012345"
MANUAL = "M1221619470000012345"
RUNNER = "Local/912125550100@default-00000000;2"
ROOM = "Local/8600051@default-00000008"
KEY = CallKey(Dialer("d1"), CODE, "1.1")
SEEN = CallSeen(KEY, "auto", "912125550100", RUNNER, "12345")
TRUNK = TrunkBegan(KEY, "3125550000", "1.2", "PJSIP/carrier-00000000")


def event(name: str, /, **fields: str) -> Event:
    return Event(name, {"Event": name, **fields})


def runner(name: str, /, **fields: str) -> Event:
    """Return an event of the half that runs the carrier dialplan of an auto-dialled call."""
    common = {"Channel": RUNNER, "Uniqueid": "1.1", "Linkedid": "1.0", "CallerIDName": CODE, "Exten": "912125550100"}
    return event(name, **{**common, **fields})


def manual(name: str, half: str = ";1", /, **fields: str) -> Event:
    """Return an event of a half of a manual call."""
    uniqueid = "5.0" if half == ";1" else "5.1"
    return event(
        name, **{"Channel": ROOM + half, "Uniqueid": uniqueid, "CallerIDName": MANUAL, "Exten": "8600051", **fields}
    )


def campaign(name: str = "SALES") -> Event:
    return runner("VarSet", Variable="_CAMPCUST", Value=name)


def dial(number: int = 2, /, **fields: str) -> Event:
    trunk = {"DestChannel": f"PJSIP/carrier-{number - 2:08x}", "DestUniqueid": f"1.{number}"}
    return runner("DialBegin", **{**trunk, "DestConnectedLineNum": "3125550000", **fields})


def dialled(status: str, number: int = 2, at: str = "100.5") -> Event:
    return runner("DialEnd", DestUniqueid=f"1.{number}", DialStatus=status, Timestamp=at)


def gone(uniqueid: str, cause: str = "16", at: str = "130.75", **fields: str) -> Event:
    return event("Hangup", Channel="x", Uniqueid=uniqueid, Cause=cause, Timestamp=at, **fields)


def ends(facts: list[Fact]) -> list[End]:
    return [fact.end for fact in facts if isinstance(fact, CallEnded)]


def test_a_call_is_seen_at_the_first_event_of_the_half_that_runs_the_dialplan() -> None:
    first_half = runner("NewCallerid", Channel=RUNNER[:-1] + "1", Uniqueid="1.0")

    assert facts_of([first_half, runner("NewCallerid"), runner("NewCallerid")]) == [SEEN]


def test_it_is_said_again_when_the_campaign_becomes_known() -> None:
    assert facts_of([runner("NewCallerid"), campaign(), campaign()]) == [SEEN, replace(SEEN, campaign="SALES")]


@pytest.mark.parametrize("variable", ["CAMPCUST", "_CAMPCUST", "__CAMPCUST"])
def test_the_campaign_is_read_from_the_variable_however_it_is_inherited(variable: str) -> None:
    facts = facts_of([runner("VarSet", Variable=variable, Value="SALES")])

    assert facts == [replace(SEEN, campaign="SALES")]


def test_the_campaign_is_read_from_the_variables_that_channelvars_adds() -> None:
    block = (
        f"Event: NewCallerid\r\nChannel: {RUNNER}\r\nUniqueid: 1.1\r\nCallerIDName: {CODE}\r\nExten: 912125550100\r\n"
    )
    sighting = parse_event((block + "ChanVariable: OTHER=1\r\nChanVariable: CAMPCUST=SALES").encode())

    assert facts_of([sighting]) == [replace(SEEN, campaign="SALES")]


@pytest.mark.parametrize(
    ("prefixes", "extension", "expected"),
    [
        ({"9": "SALES"}, "912125550100", "SALES"),
        ({"9": "SALES", "91": "OTHER"}, "912125550100", "OTHER"),
        ({"9": None}, "912125550100", ""),
        ({"8": "SALES"}, "912125550100", ""),
        ({"9": "SALES"}, "9165550100", ""),  # Sacramento, not prefix 9
        ({"": "SALES"}, "9165550100", "SALES"),
        ({}, "912125550100", ""),
    ],
)
def test_the_dial_prefix_tells_the_campaign(prefixes: dict[str, str | None], extension: str, expected: str) -> None:
    (seen,) = facts_of([runner("NewCallerid", Exten=extension)], new_tracker(dial_prefixes=prefixes))

    assert isinstance(seen, CallSeen)
    assert expected == seen.campaign


def test_a_campaign_that_the_prefix_told_rightly_is_not_said_again() -> None:
    tracker = new_tracker(dial_prefixes={"9": "SALES"})

    assert facts_of([runner("NewCallerid"), campaign()], tracker) == [replace(SEEN, campaign="SALES")]


def test_a_campaign_that_the_prefix_told_wrongly_is_corrected_and_counted() -> None:
    facts = facts_of([runner("NewCallerid"), campaign("OTHER")], new_tracker(dial_prefixes={"9": "SALES"}))

    assert facts == [
        replace(SEEN, campaign="SALES"),
        Anomaly("campaign_differs", "expected SALES, it is OTHER"),
        replace(SEEN, campaign="OTHER"),
    ]


def test_the_room_of_a_manual_call_is_not_its_destination() -> None:
    room = [manual("NewCallerid"), manual("NewCallerid", ";2"), manual("Newexten", ";2", Application="Answer")]
    call_log = manual("Newexten", Exten="914155550110", Application="AGI", AppData="agi://127.0.0.1:4577/call_log")

    facts = facts_of([*room, call_log])

    assert facts == [CallSeen(CallKey(Dialer("d1"), MANUAL, "5.0"), "manual", "914155550110", ROOM + ";1", "12345")]


def test_a_manual_call_without_newexten_is_seen_when_its_campaign_is_set() -> None:
    facts = facts_of(
        [manual("NewCallerid"), manual("VarSet", Exten="914155550110", Variable="_CAMPCUST", Value="SALES")]
    )

    assert [(fact.dialled, fact.campaign) for fact in facts if isinstance(fact, CallSeen)] == [
        ("914155550110", "SALES")
    ]


@pytest.mark.parametrize(
    ("name", "agent", "expected"),
    [
        (f"{MANUAL} 6666 SALES", "6666", "SALES"),
        (f"{MANUAL}  6666", "6666", ""),
        (f"{MANUAL} an odd name of a site", "", ""),
    ],
)
def test_a_name_with_a_suffix_is_still_the_call_and_may_tell_agent_and_campaign(
    name: str, agent: str, expected: str
) -> None:
    (seen,) = facts_of([manual("Newexten", CallerIDName=name, Exten="914155550110")])

    assert isinstance(seen, CallSeen)
    assert (seen.key.code, seen.agent, seen.campaign) == (MANUAL, agent, expected)


@pytest.mark.parametrize(
    "name", ["", "<unknown>", "Y1221619090000012345", "DC123456W0000012345W", "S2211221619001", "V12"]
)
def test_other_calls_are_never_seen(name: str) -> None:
    assert (
        facts_of(
            [
                runner("NewCallerid", CallerIDName=name),
                replace(campaign(), fields={**campaign().fields, "CallerIDName": name}),
            ]
        )
        == []
    )


def test_the_trunk_of_a_call_without_lead_is_followed_by_its_uniqueid() -> None:
    leg = dial(CallerIDName="DC123456W0000012345W", Exten="912125550177")
    key = CallKey(Dialer("d1"), "", "1.1")

    facts = facts_of([leg, dialled("ANSWER"), gone("1.1"), gone("1.2")])

    assert facts == [replace(TRUNK, key=key), CallEnded(key, End("answered", 16, talk_ms=30_250))]


def test_nothing_is_said_of_a_call_after_its_trunk_exists() -> None:
    assert facts_of([runner("NewCallerid"), dial(), campaign(), runner("NewCallerid")]) == [SEEN, TRUNK]


def test_a_call_first_met_at_its_trunk_is_followed() -> None:
    assert facts_of([dial(), dialled("BUSY"), gone("1.2", "17"), gone("1.1", "17")]) == [
        TRUNK,
        CallEnded(KEY, End("busy", 17)),
    ]


def test_failover_trunks_are_one_call_that_ends_as_the_last_did() -> None:
    first = [dial(2), dialled("CONGESTION", 2), gone("1.2", "34")]
    second = [dial(3), dialled("BUSY", 3), gone("1.3", "17")]

    facts = facts_of([runner("NewCallerid"), *first, *second, gone("1.1", "17")])

    assert [fact.trunk_uniqueid for fact in facts if isinstance(fact, TrunkBegan)] == ["1.2", "1.3"]
    assert ends(facts) == [End("busy", 17)]


def test_a_hang_up_said_twice_does_not_change_how_the_call_ended() -> None:
    first = [dial(2), dialled("CONGESTION", 2), gone("1.2", "34")]
    second = [dial(3), dialled("BUSY", 3), gone("1.3", "17")]

    assert ends(facts_of([*first, *second, gone("1.2", "34"), gone("1.1", "17")])) == [End("busy", 17)]


def test_a_failed_trunk_does_not_end_a_call_that_may_dial_another() -> None:
    facts = facts_of([runner("NewCallerid"), dial(2), dialled("CONGESTION", 2), gone("1.2", "34")])

    assert ends(facts) == []


def test_local_halves_that_hang_up_early_do_not_end_an_answered_call() -> None:
    facts = facts_of([runner("NewCallerid"), dial(), dialled("ANSWER"), gone("1.1"), gone("1.0")])
    assert ends(facts) == []

    facts = facts_of(
        [runner("NewCallerid"), dial(), dialled("ANSWER"), gone("1.1"), gone("1.0"), gone("1.2"), gone("1.2")]
    )
    assert ends(facts) == [End("answered", 16, talk_ms=30_250)]


def test_a_call_that_never_dialled_ends_with_its_local_channel() -> None:
    facts = facts_of([runner("NewCallerid"), gone("1.0", "0"), gone("1.1", "0")])

    assert facts == [SEEN, CallEnded(KEY, End("not_dialled", 0, dialled=False))]


def test_a_manual_call_that_dies_before_its_number_is_known_ends_too() -> None:
    facts = facts_of([manual("NewCallerid"), gone("5.0")])

    assert facts == [CallEnded(CallKey(Dialer("d1"), MANUAL, "5.0"), End("not_dialled", 16, dialled=False))]


def test_an_auto_dialled_call_whose_time_is_over_ends_unanswered_when_the_dialplan_is_gone() -> None:
    events = [runner("NewCallerid"), dial(), gone("1.0", "0"), dialled("CANCEL"), gone("1.2")]
    assert ends(facts_of(events)) == []

    assert ends(facts_of([*events, gone("1.1", "0")])) == [End("no_answer", 16)]


def test_the_loser_of_two_trunks_dialled_at_once_does_not_end_the_call() -> None:
    began = [runner("NewCallerid"), dial(2), dial(3), dialled("ANSWER", 3), dialled("CANCEL", 2), gone("1.2", "26")]
    assert ends(facts_of(began)) == []

    assert ends(facts_of([*began, gone("1.1"), gone("1.3")])) == [End("answered", 16, talk_ms=30_250)]


def test_a_blind_transfer_is_never_touched() -> None:
    answered = [runner("NewCallerid"), dial(), dialled("ANSWER"), gone("1.1"), gone("1.0")]
    customer = {"Channel": "PJSIP/carrier-00000000", "Uniqueid": "1.2", "CallerIDName": CODE, "Exten": "912125550199"}
    leg = {"DestChannel": "PJSIP/carrier-00000001", "DestUniqueid": "1.3"}
    transfer = [
        event("Newexten", **customer, Application="AGI", AppData="agi://127.0.0.1:4577/call_log"),
        event("VarSet", **customer, Variable="_CAMPCUST", Value="SALES"),
        event("DialBegin", **customer, **leg, DestConnectedLineNum="2125550100"),
        event("DialEnd", **customer, **leg, DialStatus="ANSWER"),
    ]

    facts = facts_of([*answered, *transfer])
    assert facts == [SEEN, TRUNK]

    assert facts_of([*answered, *transfer, gone("1.3"), gone("1.2")])[2:] == [
        CallEnded(KEY, End("answered", 16, talk_ms=30_250))
    ]


def test_the_answered_half_that_is_sent_on_to_a_number_outside_is_never_touched() -> None:
    other_half = {"Channel": RUNNER[:-1] + "1", "Uniqueid": "1.0", "Exten": "913125550123"}
    leg = {"DestChannel": "PJSIP/carrier-00000009", "DestUniqueid": "1.9"}

    facts = facts_of(
        [
            runner("NewCallerid"),
            dial(),
            dialled("ANSWER"),
            runner("VarSet", **other_half, Variable="CAMPCUST", Value="X"),
            dial(**other_half, **leg),
        ]
    )

    assert facts == [SEEN, TRUNK]


@pytest.mark.parametrize(
    "half",
    [
        {"Channel": RUNNER[:-1] + "1", "Uniqueid": "1.0", "CallerIDName": CODE},
        {"Channel": ROOM + ";2", "Uniqueid": "5.1", "CallerIDName": MANUAL},
    ],
    ids=["auto", "manual"],
)
def test_a_half_that_does_not_run_the_carrier_dialplan_has_no_trunk_of_ours(half: dict[str, str]) -> None:
    known = [runner("NewCallerid"), manual("NewCallerid")]

    assert [fact for fact in facts_of([*known, dial(**half)]) if isinstance(fact, TrunkBegan)] == []
    assert facts_of([dial(**half)]) == []


def test_a_forward_through_another_local_channel_is_never_touched() -> None:
    second = {"Channel": "Local/913125550123@default-00000005;2", "Uniqueid": "1.7", "Exten": "913125550123"}
    leg = {"DestChannel": "PJSIP/carrier-00000009", "DestUniqueid": "1.9"}
    began = [
        runner("NewCallerid"),
        dial(),
        dialled("ANSWER"),
        gone("1.1"),
        runner("NewCallerid", **second),
        dial(**second, **leg),
    ]

    facts = facts_of([*began, gone("1.9"), gone("1.7"), gone("1.2")])

    assert facts == [SEEN, TRUNK, CallEnded(KEY, End("answered", 16, talk_ms=30_250))]


def test_a_carrier_entry_that_dials_through_a_second_local_channel_is_one_call() -> None:
    second = {"Channel": "Local/12125550100@carriers-00000005;2", "Uniqueid": "1.7", "Exten": "12125550100"}
    through = dial(DestChannel="Local/12125550100@carriers-00000005;1", DestUniqueid="1.6")

    facts = facts_of(
        [
            runner("NewCallerid"),
            runner("NewCallerid", **second),
            through,
            dial(**second),
            gone("1.2", "17"),
            gone("1.7"),
            gone("1.1"),
        ]
    )

    assert facts == [SEEN, TRUNK, CallEnded(KEY, End("busy", 17))]


def test_a_manual_call_through_a_second_local_channel_is_one_call() -> None:
    second = {"Channel": "Local/14155550110@carriers-00000005;2", "Uniqueid": "5.7", "Exten": "14155550110"}
    leg = {"DestChannel": "PJSIP/carrier-00000000", "DestUniqueid": "5.2", "DestConnectedLineNum": "3125550000"}

    facts = facts_of(
        [
            manual("Newexten", Exten="914155550110"),
            manual("DialBegin", **second, **leg),
            gone("5.2", "17"),
            gone("5.7"),
            gone("5.0"),
        ]
    )

    assert [type(fact) for fact in facts] == [CallSeen, TrunkBegan, CallEnded]


def test_a_call_whose_name_was_overwritten_is_followed_by_its_channel() -> None:
    facts = facts_of([runner("NewCallerid"), dial(CallerIDName="ACME"), dialled("ANSWER"), gone("1.1"), gone("1.2")])

    assert facts == [SEEN, TRUNK, CallEnded(KEY, End("answered", 16, talk_ms=30_250))]


def test_a_call_without_a_number_says_what_asterisk_says() -> None:
    assert facts_of([dial(DestConnectedLineNum="<unknown>")]) == [replace(TRUNK, presented="<unknown>")]


def test_a_trunk_that_hangs_up_in_state_up_was_answered_though_its_dialend_got_lost() -> None:
    facts = facts_of([dial(), gone("1.1"), gone("1.2", ChannelStateDesc="Up")])

    assert ends(facts) == [End("answered", 16)]


def test_without_timestamps_the_talk_time_is_measured_here() -> None:
    clock = StillClock(1000.0)
    tracker = Tracker(Dialer("d1"), {"9": None}, clock=clock)
    facts_of([dial(), dialled("ANSWER", at="")], tracker)
    clock.now_s += 42

    assert ends(facts_of([gone("1.2", at="nonsense")], tracker)) == [End("answered", 16, talk_ms=42_000)]


@pytest.mark.parametrize(
    ("tech_cause", "expected"), [("603", 603), ("SIP 603 Decline", 603), ("", 0), ("PRI 16", 0), ("SIP 99", 0)]
)
def test_the_sip_code_is_read_where_asterisk_gives_it(tech_cause: str, expected: int) -> None:
    (end,) = ends(facts_of([dial(), dialled("NOANSWER"), gone("1.2", "21", TechCause=tech_cause), gone("1.1")]))

    assert (end.outcome, end.sip) == ("declined", expected)


def test_a_trunk_after_the_end_is_an_anomaly() -> None:
    facts = facts_of([dial(2), dialled("ANSWER", 2), gone("1.2"), dial(3)])

    assert facts[-1] == Anomaly("trunk_after_end", "PJSIP/carrier-00000001")


def test_what_the_dialplan_does_after_the_end_makes_no_second_call() -> None:
    facts = facts_of(
        [runner("NewCallerid"), dial(), dialled("ANSWER"), gone("1.2"), campaign(), runner("Newexten"), gone("1.1")]
    )

    assert [type(fact) for fact in facts] == [CallSeen, TrunkBegan, CallEnded]


def test_the_same_code_is_a_new_call_on_a_new_channel() -> None:
    again = {"Uniqueid": "9.1", "Channel": RUNNER.replace("0000;", "0009;")}

    facts = facts_of([runner("NewCallerid"), gone("1.1"), runner("NewCallerid", **again)])

    assert [fact.key.uniqueid for fact in facts if isinstance(fact, CallSeen)] == ["1.1", "9.1"]


def test_a_shutdown_is_said() -> None:
    assert facts_of([event("Shutdown", Shutdown="Cleanly", Restart="False")]) == [DialerStopped()]


def test_a_forgotten_call_says_nothing_more() -> None:
    tracker = new_tracker()
    facts_of([runner("NewCallerid"), dial()], tracker)

    assert tracker.forget(KEY)
    assert not tracker.forget(KEY)
    assert facts_of([campaign(), dialled("ANSWER"), gone("1.2"), gone("1.1")], tracker) == []


def test_open_calls_tell_what_is_up() -> None:
    tracker = new_tracker()
    facts_of([runner("NewCallerid"), dial(), dialled("ANSWER"), gone("1.1")], tracker)

    (call,) = tracker.open_calls()

    assert (call.key, call.trunks) == (KEY, (("1.2", "PJSIP/carrier-00000000"),))
    assert call.had_trunk
    assert call.answered


@pytest.mark.parametrize(
    "broken",
    [
        runner("NewCallerid", Uniqueid=""),
        event("NewCallerid"),
        runner("VarSet", Channel=""),
        dial(DestUniqueid=""),
        dial(DestChannel=""),
        dial(Uniqueid=""),
        event("DialBegin"),
        event("DialEnd"),
        event("Hangup"),
        event(""),
        event("NoSuchEvent", Channel=RUNNER),
    ],
    ids=lambda event: f"{event.name}-{len(event.fields)}",
)
def test_broken_events_are_anomalies(broken: Event) -> None:
    (anomaly,) = facts_of([broken])

    assert isinstance(anomaly, Anomaly)


def test_ten_thousand_garbage_events_raise_nothing_and_stay_within_bounds() -> None:
    chance = random.Random(603)
    real = [event for path in CAPTURES for event in events_of([path.read_bytes()])]
    keys = sorted({key for event in real for key in event.fields})
    values = [
        *sorted({value for event in real for value in event.fields.values()}),
        "",
        "\x00",
        "9" * 500,
        "-1",
        "nan",
        "1e400",
        "\ufffd",
    ]
    names = ["NewCallerid", "Newexten", "VarSet", "DialBegin", "DialEnd", "Hangup", "Shutdown", "", "Odd"]
    tracker = new_tracker(max_calls=50)

    for _ in range(10_000):
        fields = dict(chance.choice(real).fields) if chance.random() < 0.7 else {}
        for _ in range(chance.randrange(6)):
            fields[chance.choice(keys)] = chance.choice(values)
        for _ in range(chance.randrange(3)):
            fields.pop(chance.choice(keys), None)
        for fact in tracker.apply(Event(chance.choice(names), fields, ("", "=", "CAMPCUST", "CAMPCUST="))):
            assert fact is not None

    assert len(tracker.open_calls()) <= 50


def test_the_oldest_call_is_dropped_where_there_are_too_many() -> None:
    tracker = new_tracker(max_calls=2)
    codes = [f"V122161909000001234{number}" for number in range(3)]

    facts = facts_of(
        [runner("NewCallerid", CallerIDName=code, Uniqueid=f"{number}.1") for number, code in enumerate(codes)], tracker
    )

    assert facts[-1] == Anomaly("call_forgotten", f"{codes[0]} after 0 s")
    assert [call.key.code for call in tracker.open_calls()] == codes[1:]


def test_channels_that_are_done_with_are_not_remembered_forever() -> None:
    tracker = new_tracker(max_calls=10)

    facts_of([gone(f"{number}.1") for number in range(1000)], tracker)

    assert len(tracker._book._past) == 20


def test_a_call_that_is_too_old_is_dropped() -> None:
    clock = StillClock(1000.0)
    tracker = Tracker(Dialer("d1"), {}, clock=clock, max_age_s=3600)
    tracker.apply(runner("NewCallerid"))
    clock.now_s += 3601

    assert tracker.drop_old() == [Anomaly("call_forgotten", f"{CODE} after 3601 s")]
    assert tracker.apply(gone("1.1")) == []
