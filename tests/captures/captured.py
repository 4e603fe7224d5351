"""Read the captures, and the facts that each must give."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ami_rotator.ami.events import Event, EventReader
from ami_rotator.ami.facts import Fact
from ami_rotator.ami.tracker import Tracker
from ami_rotator.domain.types import Dialer

FOLDER = Path(__file__).parent
CAPTURES = sorted(FOLDER.glob("*/*.ami"))
CAPTURE_IDS = [f"{path.parent.name}/{path.stem}" for path in CAPTURES]


class StillClock:
    """Clocks that a test moves."""

    def __init__(self, now_s: float = 1_795_364_000.0) -> None:
        self.now_s = now_s

    def wall_ms(self) -> int:
        """Return the wall time."""
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        """Return the same in seconds."""
        return self.now_s


def new_tracker(**options: Any) -> Tracker:
    """Return the tracker that the expected facts are for."""
    return Tracker(Dialer("d1"), options.pop("dial_prefixes", {"9": None}), clock=StillClock(), **options)


def events_of(chunks: Iterable[bytes]) -> list[Event]:
    """Return the wanted events of a stream."""
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def facts_of(events: Iterable[Event], tracker: Tracker | None = None) -> list[Fact]:
    """Return what a tracker, a new one unless given, makes of the events."""
    tracker = tracker or new_tracker()
    return [fact for event in events for fact in tracker.apply(event)]


def expected_facts(path: Path) -> list[str]:
    """Return the lines of the expected facts of a capture."""
    return path.with_suffix(".facts.jsonl").read_text().splitlines()


def as_lines(facts: Iterable[Fact]) -> list[str]:
    """Return facts as the lines of a facts file."""
    return [json.dumps({"fact": type(fact).__name__, **asdict(fact)}) for fact in facts]


def single_calls() -> list[list[Event]]:
    """Return the events of every captured call, each call by itself."""
    calls: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for path in CAPTURES:
        for event in events_of([path.read_bytes()]):
            calls[path.parent.name, event["Linkedid"] or event["DestLinkedid"]].append(event)
    return list(calls.values())


def renamed(events: Sequence[Event], number: int) -> list[Event]:
    """Return the events of a call as those of another call: its channels, uniqueids and code are its own."""
    first = events[0]
    local = next(event["Channel"] for event in events if event["Channel"].startswith("Local/"))
    trunk = next(event["DestChannel"] for event in events if event["DestChannel"].startswith("PJSIP/"))
    code = next(event["CallerIDName"] for event in events if event["CallerIDName"])
    epoch = (first["Uniqueid"] or first["DestUniqueid"]).partition(".")[0]
    swaps = [
        (local[-10:-2], f"{number + 0xA0000000:08x}"),
        (trunk[-8:], f"{number + 0xB0000000:08x}"),
        (f"{epoch}.", f"{1_600_000_000 + number}."),
        (code[:10], f"{code[0]}{number:09d}"),
    ]
    return [_swapped(event, swaps) for event in events]


def _swapped(event: Event, swaps: Iterable[tuple[str, str]]) -> Event:
    fields = dict(event.fields)
    for key in fields.keys() - {"Timestamp"}:
        for old, new in swaps:
            fields[key] = fields[key].replace(old, new)
    return replace(event, fields=fields)


def main() -> None:
    """Write the facts files anew."""
    for path in CAPTURES:
        lines = as_lines(facts_of(events_of([path.read_bytes()])))
        path.with_suffix(".facts.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
