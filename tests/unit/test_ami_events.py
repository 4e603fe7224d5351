"""AMI bytes to events."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.ami.events import Splitter, is_wanted, parse_event
from tests.captures.captured import CAPTURES, events_of

_PIECES = st.sampled_from(
    [
        b"Event: Hangup\r\n",
        b"Uniqueid: 1.2\r\n",
        "Name: Jos\u00e9 \u2603\r\n".encode(),
        b"\r\n",
        b"\n",
        b"\r",
        b"A: b\n",
        b"x" * 40,
    ]
)


def _blocks(chunks: list[bytes], max_block: int = 100) -> tuple[list[bytes], int]:
    splitter = Splitter(max_block)
    return [block for chunk in chunks for block in splitter.feed(chunk)], splitter.oversized


@given(st.lists(_PIECES, max_size=40), st.lists(st.integers(0, 400), max_size=12))
def test_where_the_stream_is_cut_makes_no_difference(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces) + b"\r\n\r\n"
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(bounds)]

    whole = _blocks([stream])

    assert whole == _blocks(chunks)
    assert whole == _blocks([stream[index : index + 1] for index in range(len(stream))])


def test_a_character_cut_in_two_is_whole_again() -> None:
    stream = "Event: NewCallerid\r\nCallerIDName: Jos\u00e9\r\n\r\n".encode()
    cut = stream.index(b"\xc3") + 1

    (block,), _ = _blocks([stream[:cut], stream[cut:]])

    assert parse_event(block)["CallerIDName"] == "Jos\u00e9"


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert parse_event(b"Event: Hangup\nUniqueid: \xff1")["Uniqueid"] == "\ufffd1"


def test_lines_that_end_in_a_bare_line_feed_are_read() -> None:
    blocks, _ = _blocks([b"Event: Hangup\nUniqueid: 1.2\n\nEvent: Shutdown\r\n\r\n"])

    assert blocks == [b"Event: Hangup\nUniqueid: 1.2", b"Event: Shutdown"]


def test_a_block_without_end_is_passed_over_counted_and_not_kept() -> None:
    splitter = Splitter(max_block=1000)
    for _ in range(1000):
        assert splitter.feed(b"x" * 999) == []
        assert len(splitter._buffer) <= 1002

    blocks = splitter.feed(b"\r\n\r\nEvent: Shutdown\r\n\r\n")

    assert blocks == [b"Event: Shutdown"]
    assert splitter.oversized == 1


def test_the_first_of_several_values_wins_and_all_are_kept() -> None:
    event = parse_event(b"Event: DialBegin\nChanVariable: CAMPCUST=A\nChanVariable: B=2\nChannel: one\nChannel: two")

    assert event["ChanVariable"] == "CAMPCUST=A"
    assert event.all("ChanVariable") == ("CAMPCUST=A", "B=2")
    assert event["Channel"] == "one"
    assert event.all("Missing") == ()


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        (b"Event: Hangup\nUniqueid: 1.2", True),
        (b"Event: HangupRequest\nUniqueid: 1.2", False),
        (b"Event: Shutdown", True),
        (b"Event: NewCallerid\nCallerIDName: V1221619090000012345\nExten: 1", True),
        (b"Event: NewCallerid\nCallerIDName: S2211221619\nExten: 1", False),
        (b"Event: VarSet\nVariable: _CAMPCUST\nValue: SALES", True),
        (b"Event: VarSet\nVariable: CAMPCUST", True),
        (b"Event: VarSet\nVariable: ROTATOR_PROBE\nValue: 1", True),
        (b"Event: VarSet\nChanVariable: CAMPCUST=SALES\nVariable: DIALSTATUS\nValue: ", False),
        (b"Event: VarSet\nVariable: CAMPCUSTOM\nValue: 1", False),
        (b"Event: Newexten\nApplication: AGI\nAppData: agi://127.0.0.1:4577/call_log", True),
        (b"Event: Newexten\nApplication: AGI\nAppData: agi://127.0.0.1:4577/call_log--HVcauses--PRI", False),
        (b"Event: Newexten\nApplication: Dial\nAppData: PJSIP/12125550100@carrier", False),
        (b"Event: RTCPSent\nUniqueid: 1.2", False),
        (b"Response: Success\nMessage: Event: Hangup", False),
    ],
)
def test_only_events_that_tell_something_are_wanted(block: bytes, wanted: bool) -> None:
    assert is_wanted(block) == wanted


def test_unwanted_events_are_told_apart_at_more_than_50_000_a_second() -> None:
    # Processor time, not wall time: other work on the machine does not count. Some 270,000 a second on one old core.
    blocks = [block for path in CAPTURES for block in Splitter().feed(path.read_bytes()) if not is_wanted(block)]
    stream = b"\r\n\r\n".join(block.replace(b"\n", b"\r\n") for block in blocks) + b"\r\n\r\n"
    chunks = [stream[start : start + 65536] for start in range(0, len(stream), 65536)]

    began = time.process_time()
    assert events_of(chunks * 10) == []
    took_s = time.process_time() - began

    assert 10 * len(blocks) / took_s > 50_000
