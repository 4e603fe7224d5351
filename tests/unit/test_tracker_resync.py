"""Calls that begin or end while the connection to a dialer is down."""

from __future__ import annotations

import pytest

from ami_rotator.ami.events import Event
from ami_rotator.ami.facts import CallEnded, CallSeen, TrunkBegan
from ami_rotator.ami.resync import calls_up, channels_up
from ami_rotator.ami.tracker import Tracker
from ami_rotator.domain.types import CallKey, Dialer, End
from tests.captures.captured import StillClock, facts_of

CODE = "V1221619090000012345"
KEY = CallKey(Dialer("d1"), CODE, "1.1")
RUNNER = "Local/912125550100@default-00000000;2"
TRUNK = "PJSIP/carrier-00000000"

SIGHTING = Event("NewCallerid", {"Channel": RUNNER, "Uniqueid": "1.1", "CallerIDName": CODE, "Exten": "912125550100"})
CAMPAIGN = Event("VarSet", {**SIGHTING.fields, "Variable": "_CAMPCUST", "Value": "SALES"})
DIAL = Event(
    "DialBegin",
    {**SIGHTING.fields, "DestChannel": TRUNK, "DestUniqueid": "1.2", "DestConnectedLineNum": "3125550000"},
)
ANSWER = Event("DialEnd", {**DIAL.fields, "DialStatus": "ANSWER", "Timestamp": "100.0"})


def gone(uniqueid: str, at: str = "130.0") -> Event:
    return Event("Hangup", {"Channel": "x", "Uniqueid": uniqueid, "Cause": "16", "Timestamp": at})


def row(channel: str, uniqueid: str, state: str = "Up", code: str = CODE) -> Event:
    fields = {"Channel": channel, "Uniqueid": uniqueid, "Linkedid": "1.0", "ChannelStateDesc": state}
    return Event("CoreShowChannel", {**fields, "CallerIDName": code, "ConnectedLineNum": "3125550000"})


RUNNER_ROW = row(RUNNER, "1.1", "Ring")
TRUNK_ROW = row(TRUNK, "1.2")


@pytest.fixture
def clock() -> StillClock:
    return StillClock(100.0)


@pytest.fixture
def tracker(clock: StillClock) -> Tracker:
    return Tracker(Dialer("d1"), {}, clock=clock)


@pytest.mark.parametrize(
    "events", [[SIGHTING], [SIGHTING, DIAL], [SIGHTING, DIAL, ANSWER], [SIGHTING, DIAL, ANSWER, gone("1.1")]]
)
def test_a_call_that_ended_meanwhile_is_told_as_ended_with_unknown_outcome(
    tracker: Tracker, events: list[Event]
) -> None:
    facts_of(events, tracker)
    tracker.doubt()

    assert tracker.resync([]) == [CallEnded(KEY, End("unknown"))]
    assert tracker.open_calls() == []
    assert facts_of([gone("1.1"), gone("1.2")], tracker) == []


def test_a_call_that_is_still_up_goes_on(tracker: Tracker) -> None:
    facts_of([SIGHTING, DIAL, ANSWER, gone("1.1")], tracker)
    tracker.doubt()

    assert tracker.resync([TRUNK_ROW]) == []
    assert facts_of([gone("1.2")], tracker) == [CallEnded(KEY, End("answered", 16, talk_ms=30_000))]


@pytest.mark.parametrize("name", ["", "<unknown>", "DC6190000012345612345", "JOHN DOE"])
def test_a_call_whose_channels_do_not_say_a_code_goes_on_while_they_are_up(tracker: Tracker, name: str) -> None:
    # What the agent's screen dials as a third party has no code of a lead; other software may rename a channel of ours.
    without = {"CallerIDName": name}
    facts_of([Event("DialBegin", {**DIAL.fields, **without}), Event("DialEnd", {**ANSWER.fields, **without})], tracker)
    tracker.doubt()

    assert tracker.resync([row(RUNNER, "1.1", code=name), row(TRUNK, "1.2", code=name)]) == []

    tracker.doubt()
    key = CallKey(Dialer("d1"), "", "1.1")
    assert tracker.resync([]) == [CallEnded(key, End("unknown"))]


def test_a_call_whose_channel_was_renamed_goes_on(tracker: Tracker) -> None:
    facts_of([SIGHTING, DIAL, ANSWER, gone("1.1")], tracker)
    tracker.doubt()

    assert tracker.resync([row(TRUNK, "1.2", code="JOHN DOE")]) == []
    assert facts_of([gone("1.2")], tracker) == [CallEnded(KEY, End("answered", 16, talk_ms=30_000))]


def test_a_call_that_was_answered_meanwhile_goes_on_and_its_talk_time_counts_from_the_resync(tracker: Tracker) -> None:
    facts_of([SIGHTING, DIAL], tracker)
    tracker.doubt()

    assert tracker.resync([TRUNK_ROW]) == []
    assert facts_of([gone("1.2")], tracker) == [CallEnded(KEY, End("answered", 16, talk_ms=30_000))]


def test_a_failed_trunk_that_was_missed_does_not_end_a_call_whose_dialplan_runs_on(tracker: Tracker) -> None:
    facts_of([SIGHTING, DIAL], tracker)
    tracker.doubt()

    assert tracker.resync([RUNNER_ROW]) == []
    assert facts_of([gone("1.1")], tracker) == [CallEnded(KEY, End("unknown"))]


def test_a_call_that_began_after_the_list_was_asked_for_is_not_ended_by_it(tracker: Tracker) -> None:
    tracker.doubt()
    facts_of([SIGHTING], tracker)

    assert tracker.resync([]) == []
    assert [call.key for call in tracker.open_calls()] == [KEY]


@pytest.mark.parametrize("since", [CAMPAIGN, DIAL], ids=lambda event: event.name)
def test_a_call_of_which_something_came_since_is_not_ended_by_an_older_list(tracker: Tracker, since: Event) -> None:
    facts_of([SIGHTING], tracker)
    tracker.doubt()
    facts_of([since], tracker)

    assert [fact for fact in tracker.resync([]) if isinstance(fact, CallEnded)] == []


def test_a_trunk_of_which_something_came_since_is_not_ended_by_an_older_list(tracker: Tracker) -> None:
    facts_of([SIGHTING, DIAL, gone("1.1")], tracker)
    tracker.doubt()
    facts_of([ANSWER], tracker)

    assert tracker.resync([]) == []


def test_a_call_that_ended_after_the_list_was_made_is_not_taken_back(tracker: Tracker) -> None:
    tracker.doubt()
    facts_of([gone("1.2"), gone("1.1")], tracker)

    assert tracker.resync([RUNNER_ROW, TRUNK_ROW]) == []
    assert tracker.open_calls() == []


def test_a_talking_call_that_nobody_knew_is_followed_to_its_end(tracker: Tracker, clock: StillClock) -> None:
    tracker.doubt()
    key = CallKey(Dialer("d1"), CODE)

    # What an answered trunk shows now is no longer what it showed then.
    assert tracker.resync([TRUNK_ROW]) == [TrunkBegan(key, "", "1.2", TRUNK)]
    assert facts_of([gone("1.2")], tracker) == [CallEnded(key, End("answered", 16, talk_ms=30_000))]


def test_a_ringing_call_that_nobody_knew_is_followed_to_its_end(tracker: Tracker) -> None:
    tracker.doubt()

    facts = tracker.resync([row(TRUNK, "1.2", "Ringing"), RUNNER_ROW])
    assert facts == [TrunkBegan(KEY, "3125550000", "1.2", TRUNK)]

    facts = facts_of(
        [Event("DialEnd", {"DestUniqueid": "1.2", "DialStatus": "BUSY"}), gone("1.2"), gone("1.1")], tracker
    )
    assert facts == [CallEnded(KEY, End("busy", 16))]


def test_a_call_before_its_trunk_is_followed_and_seen_at_its_next_event(tracker: Tracker) -> None:
    tracker.doubt()
    assert tracker.resync([RUNNER_ROW]) == []

    assert facts_of([CAMPAIGN], tracker) == [CallSeen(KEY, "auto", "912125550100", RUNNER, "12345", "SALES")]


def test_nothing_is_set_on_a_call_that_was_found_with_a_trunk(tracker: Tracker) -> None:
    tracker.doubt()
    tracker.resync([RUNNER_ROW, row(TRUNK, "1.2", "Ringing")])

    assert facts_of([CAMPAIGN, SIGHTING], tracker) == []


def test_the_forwarded_leg_of_an_unknown_call_is_not_its_trunk(tracker: Tracker) -> None:
    tracker.doubt()

    facts = tracker.resync([row("PJSIP/carrier-0000000a", "1.10"), row(TRUNK, "1.9")])

    assert [fact.trunk_uniqueid for fact in facts if isinstance(fact, TrunkBegan)] == ["1.9"]


def test_the_rows_of_other_channels_are_passed_over(tracker: Tracker) -> None:
    tracker.doubt()
    rows = [
        row("PJSIP/cc101-00000001", "7.1", code="S2211221619001"),
        row("", "", code=CODE),
        Event("CoreShowChannel", {}),
    ]

    assert tracker.resync(rows) == []
    assert channels_up(rows) == []


def test_a_repeated_resync_changes_nothing(tracker: Tracker) -> None:
    facts_of([SIGHTING, DIAL, ANSWER], tracker)
    for _ in range(3):
        tracker.doubt()
        assert tracker.resync([RUNNER_ROW, TRUNK_ROW]) == []

    assert len(tracker.open_calls()) == 1


def test_what_is_up_is_found_by_code_and_by_any_channel() -> None:
    up = calls_up([TRUNK_ROW])

    assert up.has(CallKey(Dialer("d1"), CODE, "8.8"))
    assert up.has(CallKey(Dialer("d1"), "", "1.2"))
    assert up.has(CallKey(Dialer("d1"), "", "1.0"))
    assert not up.has(CallKey(Dialer("d1"), "V9221619090000012345", "8.8"))
    assert not up.has(CallKey(Dialer("d1")))
