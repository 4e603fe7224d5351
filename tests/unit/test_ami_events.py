"""AMI bytes to events."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.ami.events import Event, Splitter, blocks, is_wanted, parse_event, wanted
from tests.captures.captured import CAPTURE_IDS, CAPTURES, events_of, facts_of

_LINES = st.sampled_from(
    [
        b"Event: Hangup\r\n",
        b"Event: VarSet\r\n",
        b"Event: Unwanted\r\n",
        b"Response: Success\r\n",
        b"Variable: CAMPCUST\r\n",
        b"Variable: OTHER\r\n",
        b"Uniqueid: 1.2\r\n",
        "Name: Jos\u00e9 \u2603\r\n".encode(),
        b"\r\n",
        b"A: b\nEvent: Hangup\r\n",
        b"x" * 40,
    ]
)
_PIECES = _LINES | st.sampled_from([b"\n", b"\r", b"A: b\n"])


def _blocks(chunks: list[bytes], max_block: int = 100) -> tuple[list[bytes], int]:
    splitter = Splitter(max_block)
    return [block for chunk in chunks for block in blocks(splitter.feed(chunk))], splitter.oversized


@given(st.lists(_PIECES, max_size=40), st.lists(st.integers(0, 400), max_size=12))
def test_where_the_stream_is_cut_makes_no_difference(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces) + b"\r\n\r\n"
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(bounds)]

    whole = _blocks([stream])

    assert whole == _blocks(chunks)
    assert whole == _blocks([stream[index : index + 1] for index in range(len(stream))])


@given(st.lists(_LINES, max_size=40), st.integers(0, 400))
def test_what_is_wanted_is_found_wherever_the_stream_is_cut(pieces: list[bytes], cut: int) -> None:
    stream = b"".join(pieces) + b"\r\n\r\n"
    splitter = Splitter(100)

    found = [block for chunk in (stream[:cut], stream[cut:]) for block in wanted(splitter.feed(chunk))]

    assert found == [block for block in _blocks([stream])[0] if is_wanted(block)]


def test_a_character_cut_in_two_is_whole_again() -> None:
    stream = "Event: NewCallerid\r\nCallerIDName: Jos\u00e9\r\n\r\n".encode()
    cut = stream.index(b"\xc3") + 1

    (block,), _ = _blocks([stream[:cut], stream[cut:]])

    assert parse_event(block)["CallerIDName"] == "Jos\u00e9"


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert parse_event(b"Event: Hangup\r\nUniqueid: \xff1")["Uniqueid"] == "\ufffd1"


def test_a_bare_line_feed_in_a_value_makes_neither_a_field_nor_an_event() -> None:
    value = b"x\nUniqueid: 6.6\n\nEvent: Hangup\nUniqueid: 6.6"
    (block,) = blocks(Splitter().feed(b"Event: DialBegin\r\nName: " + value + b"\r\nUniqueid: 1.2\r\n\r\n"))

    event = parse_event(block)

    assert event["Uniqueid"] == "1.2"
    assert event["Name"] == value.decode()
    assert list(event.fields) == ["Event", "Name", "Uniqueid"]


def test_a_block_without_end_is_passed_over_counted_and_not_kept() -> None:
    splitter = Splitter(max_block=1000)
    for _ in range(1000):
        assert splitter.feed(b"x" * 999) == b""
        assert len(splitter._pending) <= 1003

    whole = splitter.feed(b"\r\n\r\nEvent: Shutdown\r\n\r\n")

    assert whole == b"Event: Shutdown"
    assert splitter.oversized == 1


def test_the_first_of_several_values_wins_and_all_channel_variables_are_kept() -> None:
    event = parse_event(
        b"Event: DialBegin\r\nChanVariable: CAMPCUST=A\r\nChanVariable: B=2\r\nChannel: one\r\nChannel: two"
    )

    assert event["ChanVariable"] == "CAMPCUST=A"
    assert event.channel_variables == ("CAMPCUST=A", "B=2")
    assert event["Channel"] == "one"
    assert event["Missing"] == ""


def test_fields_are_read_as_they_stand() -> None:
    event = parse_event(b"Event: Hangup\r\nEmpty: \r\nNoSpace:x: y\r\nno colon\r\nTwo:  spaces\r\nLast: z")

    assert dict(event.fields) == {"Event": "Hangup", "Empty": "", "NoSpace": "x: y", "Two": " spaces", "Last": "z"}
    assert len(event.fields) == 5
    assert [event[name] for name in ("Empty", "NoSpace", "no colon", "Space", "Last")] == ["", "x: y", "", "", "z"]


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        (b"Event: Hangup\r\nUniqueid: 1.2", True),
        (b"Event: HangupRequest\r\nUniqueid: 1.2", False),
        (b"Event: Shutdown", True),
        (b"Event: NewCallerid\r\nCallerIDName: V1221619090000012345\r\nExten: 1", True),
        (b"Event: NewCallerid\r\nChannel: Local/9@default-1;2\r\nCallerIDName: V1221619090000012345", True),
        (b"Event: NewCallerid\r\nChannel: Local/9@default-1;1\r\nCallerIDName: V1221619090000012345", False),
        (b"Event: NewCallerid\r\nChannel: Local/9@default-1;1\r\nCallerIDName: M1221619090000012345", True),
        (b"Event: NewCallerid\r\nChannel: Local/9@default-1;2\r\nCallerIDName: M1221619090000012345", False),
        (b"Event: NewCallerid\r\nChannel: PJSIP/trunk-1\r\nCallerIDName: V1221619090000012345", False),
        (b"Event: NewCallerid\r\nCallerIDName: S2211221619\r\nExten: 1", False),
        (b"Event: VarSet\r\nVariable: _CAMPCUST\r\nValue: SALES", True),
        (b"Event: VarSet\r\nVariable: CAMPCUST", True),
        (b"Event: VarSet\r\nChannel: Local/9@default-1;2\r\nVariable: CAMPCUST\r\nValue: SALES", True),
        (b"Event: VarSet\r\nChannel: SIP/trunk-1\r\nVariable: CAMPCUST\r\nValue: SALES", False),
        (b"Event: VarSet\r\nChannel: none\r\nVariable: ROTATOR_PROBE\r\nValue: 1", True),
        (b"Event: VarSet\r\nVariable: ROTATOR_PROBE\r\nValue: 1", True),
        (b"Event: VarSet\r\nChanVariable: CAMPCUST=SALES\r\nVariable: DIALSTATUS\r\nValue: ", False),
        (b"Event: VarSet\r\nVariable: CAMPCUSTOM\r\nValue: 1", False),
        (b"Event: Newexten\r\nApplication: AGI\r\nAppData: agi://127.0.0.1:4577/call_log", True),
        (b"Event: Newexten\r\nApplication: AGI\r\nAppData: agi://127.0.0.1:4577/call_log--HVcauses--PRI", False),
        (b"Event: Newexten\r\nApplication: Dial\r\nAppData: PJSIP/12125550100@carrier", False),
        (b"Event: VarSet\r\nConnectedLineName: a\rb\r\nVariable: _CAMPCUST\r\nValue: SALES", True),
        (b"Event: DialBegin\r\nChannel: Local/9@default-1;2\r\nDestChannel: SIP/trunk-1", True),
        (b"Event: DialBegin\r\nDestChannel: Local/9@default-1;1", False),
        (b"Event: DialBegin\r\nChannel: SIP/agent-1\r\nDestChannel: SIP/trunk-1", False),
        (b"Event: DialBegin\r\nChannel: SIP/agent-1", True),
        (b"Event: DialEnd\r\nDestChannel: SIP/trunk-1", True),
        (b"Event: DialEnd\r\nDestChannel: Local/9@default-1;1", False),
        (b"Event: DialEnd", True),
        (b"Event: RTCPSent\r\nUniqueid: 1.2", False),
        (b"Response: Success\r\nMessage: Event: Hangup", False),
    ],
)
def test_only_events_that_tell_something_are_wanted(block: bytes, wanted: bool) -> None:
    assert is_wanted(block) == wanted


_OF_CALLS = ("NewCallerid", "Newexten", "VarSet", "DialBegin", "DialEnd", "Hangup", "Shutdown")


def _might_tell(block: bytes) -> bool:
    event = parse_event(block)
    return event.name in _OF_CALLS and (
        event.name not in ("Newexten", "VarSet") or is_wanted(block) or _is_campaign(event)
    )


def _is_campaign(event: Event) -> bool:
    return event["Variable"].lstrip("_") == "CAMPCUST"


@pytest.mark.parametrize("path", CAPTURES, ids=CAPTURE_IDS)
def test_what_is_passed_over_would_have_told_the_tracker_nothing(path: Path) -> None:
    every = blocks(Splitter(10**9).feed(path.read_bytes()))
    passed_over = [block for block in every if _might_tell(block) and not is_wanted(block)]

    all_events, wanted_events = (
        [parse_event(block) for block in every if tells(block)] for tells in (_might_tell, is_wanted)
    )

    assert facts_of(all_events) == facts_of(wanted_events)
    assert passed_over or not wanted_events


def test_unwanted_events_are_told_apart_at_more_than_50_000_a_second() -> None:
    # Processor time, not wall time: other work on the machine does not count. Some 270,000 a second on one old core.
    every = [block for path in CAPTURES for block in blocks(Splitter(10**9).feed(path.read_bytes()))]
    unwanted = [block for block in every if not is_wanted(block)]
    stream = b"\r\n\r\n".join(unwanted) + b"\r\n\r\n"
    chunks = [stream[start : start + 65536] for start in range(0, len(stream), 65536)]

    began = time.process_time()
    assert events_of(chunks * 10) == []
    took_s = time.process_time() - began

    assert 10 * len(unwanted) / took_s > 50_000
