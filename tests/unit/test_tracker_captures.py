"""What a real Asterisk sent, and the facts that it must give."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ami_rotator.ami.events import Event
from ami_rotator.ami.facts import CallEnded, CallSeen, Fact, TrunkBegan
from tests.captures.captured import (
    CAPTURE_IDS,
    CAPTURES,
    as_lines,
    events_of,
    expected_facts,
    facts_of,
    new_tracker,
    renamed,
    single_calls,
)

_EACH_CAPTURE = pytest.mark.parametrize("path", CAPTURES, ids=CAPTURE_IDS)
_CALLS = [renamed(events, number) for number, events in enumerate(single_calls())]
_ALONE = [facts_of(events) for events in _CALLS]


def test_there_are_captures_of_both_versions() -> None:
    assert Counter(path.parent.name for path in CAPTURES) == {"asterisk-16.28": 8, "asterisk-22.10": 8}


@_EACH_CAPTURE
def test_fed_whole_it_gives_the_expected_facts(path: Path) -> None:
    assert as_lines(facts_of(events_of([path.read_bytes()]))) == expected_facts(path)


@_EACH_CAPTURE
def test_fed_byte_by_byte_it_gives_the_expected_facts(path: Path) -> None:
    stream = path.read_bytes()

    assert as_lines(facts_of(events_of(stream[index : index + 1] for index in range(len(stream))))) == expected_facts(
        path
    )


@_EACH_CAPTURE
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_cut_anywhere_it_gives_the_expected_facts(path: Path, cuts: list[float]) -> None:
    stream = path.read_bytes()
    bounds = [0, *sorted(int(cut * len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(bounds)]

    assert as_lines(facts_of(events_of(chunks))) == expected_facts(path)


@_EACH_CAPTURE
def test_fed_twice_it_gives_its_facts_once(path: Path) -> None:
    tracker = new_tracker()
    events = events_of([path.read_bytes()])

    assert as_lines(facts_of(events, tracker)) == expected_facts(path)
    assert not [fact for fact in facts_of(events, tracker) if isinstance(fact, CallSeen | TrunkBegan | CallEnded)]


@_EACH_CAPTURE
def test_no_call_is_left_open(path: Path) -> None:
    tracker = new_tracker()

    facts_of(events_of([path.read_bytes()]), tracker)

    assert tracker.open_calls() == []


@_EACH_CAPTURE
def test_a_trunk_leg_talks_on_after_both_local_halves_are_gone(path: Path) -> None:
    tracker = new_tracker()
    for event in events_of([path.read_bytes()]):
        facts = tracker.apply(event)
        if event.name == "Hangup" and event["Channel"].startswith("Local/"):
            answered = [fact for fact in facts if isinstance(fact, CallEnded) and fact.end.outcome == "answered"]
            assert answered == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(_CALLS) - 1), min_size=2, max_size=8, unique=True), st.integers(0, 2**32))
def test_calls_at_the_same_time_do_not_disturb_each_other(chosen: list[int], seed: int) -> None:
    facts = facts_of(_interleave([_CALLS[index] for index in chosen], random.Random(seed)))

    for index in chosen:
        key = _ALONE[index][0].key  # type: ignore[union-attr]  # captures give no facts but those of calls
        assert [fact for fact in facts if getattr(fact, "key", None) == key] == _ALONE[index]
    assert len(facts) == sum(len(_ALONE[index]) for index in chosen)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(_CALLS) - 1), st.data())
def test_events_said_twice_or_out_of_order_end_a_call_once_at_the_most(index: int, data: st.DataObject) -> None:
    events = list(_CALLS[index])
    doubled = data.draw(st.permutations(events + events[: data.draw(st.integers(0, len(events)))]))

    ends = [fact for fact in facts_of(doubled) if isinstance(fact, CallEnded)]

    assert len(ends) <= 1


def _interleave(calls: Sequence[Sequence[Event]], chance: random.Random) -> list[Event]:
    waiting = [list(reversed(call)) for call in calls]
    mixed = []
    while waiting:
        call = chance.choice(waiting)
        mixed.append(call.pop())
        if not call:
            waiting.remove(call)
    return mixed


def test_captured_calls_are_complete() -> None:
    for facts in _ALONE:
        kinds: list[type[Fact]] = [type(fact) for fact in facts]
        assert kinds == [CallSeen, CallSeen, TrunkBegan, CallEnded]
