"""The simulator's calls, event by event, against what Asterisk 16.28 and 22.10 really sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from ami_rotator.domain.call_codes import Kind
from ami_rotator.simulator import CallPlan, Simulator, SimulatorOptions
from ami_rotator.simulator.options import AsteriskVersion, CarrierOutcome
from tests.asterisk.ami_session import AmiSession

CAPTURES = Path(__file__).parents[1] / "captures"

Event = dict[str, str]
Told = tuple[str, ...]

# What differs from one run to the next: durations, voice quality, SIP call ids, the room's announcer.
_VARIABLES_THAT_VARY = re.compile(r"ANSWEREDTIME.*|DIALEDTIME.*|RINGTIME_MS|BRIDGEPVTCALLID|RTPAUDIOQOS.*")
_SUBSTITUTES = (
    (re.compile(r"[VM]\d{19}"), "CODE"),
    (re.compile(r"Local/[^@]+@default-[0-9a-f]{8};"), "LOCAL;"),
    (re.compile(r"PJSIP/carrier-[0-9a-f]{8}"), "TRUNK"),
    (re.compile(r"CBAnn/.*"), "ANNOUNCER"),
    (re.compile(r"127\.0\.0\.1:\d+"), "CALL_LOG"),
    (re.compile(r"ANSWER-----\d+-----\d+"), "ANSWER"),
    (re.compile(r"86000\d\d"), "ROOM"),
    (re.compile(r"^(from-trunk|trunkinbound)$"), "TRUNK CONTEXT"),
)

SCENARIOS: list[tuple[str, str, Kind, CarrierOutcome]] = [
    ("auto-answered", "2125550100", "auto", "answered"),
    ("auto-busy", "2125550101", "auto", "busy"),
    ("auto-no-answer", "2125550102", "auto", "no_answer"),
    ("auto-not-found", "2125550103", "auto", "not_found"),
    ("auto-declined-603", "2125550104", "auto", "declined"),
    ("auto-unwanted-607", "2125550105", "auto", "unwanted"),
    ("manual-answered", "4155550110", "manual", "answered"),
    ("ten-mixed", "3125550100", "auto", "answered"),
    ("ten-mixed", "3125550101", "manual", "busy"),
    ("ten-mixed", "3125550102", "auto", "no_answer"),
    ("ten-mixed", "3125550103", "manual", "not_found"),
    ("ten-mixed", "3125550104", "auto", "declined"),
    ("ten-mixed", "3125550105", "manual", "unwanted"),
    ("ten-mixed", "3125550107", "manual", "congestion"),
]


@pytest.mark.parametrize(("capture", "destination", "kind", "outcome"), SCENARIOS)
@pytest.mark.parametrize("version", ["16.28", "22.10"])
async def test_each_channel_says_what_it_says_in_the_capture(
    version: AsteriskVersion, capture: str, destination: str, kind: Kind, outcome: CarrierOutcome
) -> None:
    expected = _by_role(_one_call(_read(CAPTURES / f"asterisk-{version}" / f"{capture}.ami"), destination))

    told = _by_role(await _simulate(version, destination, kind, outcome))

    assert expected.keys() == told.keys()
    for role, events in expected.items():
        assert events == told[role], role


async def _simulate(version: AsteriskVersion, destination: str, kind: Kind, outcome: CarrierOutcome) -> list[Event]:
    plan = CallPlan(
        code=f"{'M' if kind == 'manual' else 'V'}1221621030000012345",
        kind=kind,
        campaign="TESTCAMP",
        destination=destination,
        outcome=outcome,
        call_log_before_s=0.001,
        call_log_after_s=0.001,
        ring_s=0.01,
        talk_s=0.03,
        redirect_s=0.01,
    )
    simulator = Simulator(SimulatorOptions(version=version, mode="direct"))
    async with simulator, AmiSession(simulator.port, "rotator", "simulator") as session:
        await asyncio.wait_for(simulator.place(plan), 5)
        await simulator.stop()
        async with asyncio.timeout(5):
            return [event async for event in session.events() if event["Event"] != "FullyBooted"]


def _read(path: Path) -> list[Event]:
    blocks = path.read_text().replace("\r\n", "\n").split("\n\n")
    return [dict(line.split(":", 1) for line in block.split("\n") if ":" in line) for block in blocks if block.strip()]


def _one_call(events: Iterable[Event], destination: str) -> list[Event]:
    """Keep the events of the call to a destination: those of its linked channels."""
    stripped = [{name: value.removeprefix(" ") for name, value in event.items()} for event in events]
    linked = {
        event["Linkedid"] for event in stripped if event["Event"] == "Newexten" and event["Exten"].endswith(destination)
    }
    return [event for event in stripped if _linkedid(event) in linked]


def _linkedid(event: Event) -> str:
    return event.get("Linkedid") or event.get("DestLinkedid") or event.get("LocalOneLinkedid") or ""


def _by_role(events: Iterable[Event]) -> dict[str, list[Told]]:
    """Sort events by the channel they are about. Order between channels is a race in Asterisk, and so is where
    ConfBridge's own events are among a channel's: those are a role of their own."""
    told: dict[str, list[Told]] = {}
    uniqueids: dict[str, str] = {}
    for event in events:
        channel = event.get("Channel") or event.get("DestChannel") or event.get("LocalOneChannel") or ""
        if not channel:
            continue
        role = "conference" if event["Event"].startswith("Confbridge") else channel.split("-")[0].split("/")[0]
        role += channel[-2:] if channel.startswith("Local/") else ""
        told.setdefault(role, []).append(tuple(_tell(name, value, event, uniqueids) for name, value in event.items()))
    return told


def _tell(name: str, value: str, event: Event, uniqueids: dict[str, str]) -> str:
    if name in ("Timestamp", "BridgeUniqueid"):
        return name
    if event["Event"] == "DialState" and name.startswith("DestChannelState"):
        return f"{name}: Down or Ringing, whichever thread was first"
    if name == "Value" and _VARIABLES_THAT_VARY.fullmatch(event["Variable"]) and value not in ("", "0"):
        return f"{name} varies"
    if name.endswith(("Uniqueid", "Linkedid")):
        value = uniqueids.setdefault(value, f"#{len(uniqueids)}")
    if name == "Value" and event["Variable"].startswith(("ANSWEREDTIME", "DIALEDTIME")) and value:
        return f"{name} varies"
    for pattern, substitute in _SUBSTITUTES:
        value = pattern.sub(substitute, value)
    return f"{name}: {value}"
