"""AMI bytes to events. Pure: fed by the socket and by capture files alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_BLOCK_BYTES = 64 * 1024

CAMPAIGN_VARIABLE = "CAMPCUST"
"""Set by VICIdial's call_log on the channel that runs the carrier dialplan (FastAGI_log.pl:755-760, r3939)."""

PROBE_VARIABLE = "ROTATOR_PROBE"
"""A global variable that the daemon sets at login, to see whether `VarSet` reaches it."""

# A site that sends us everything (no eventfilter) makes some 40 events a call, of which 10 tell anything. They are told
# apart on bytes, before anything is parsed.
_WANTED: Mapping[bytes, re.Pattern[bytes] | None] = {
    b"DialBegin": None,
    b"DialEnd": None,
    b"Hangup": None,
    b"NewCallerid": re.compile(rb"\nCallerIDName: [VM]\d"),
    b"Newexten": re.compile(rb"\nAppData: [^\n]*/call_log(?:\n|\Z)"),
    b"Shutdown": None,
    b"VarSet": re.compile(rf"\nVariable: _{{0,2}}(?:{CAMPAIGN_VARIABLE}|{PROBE_VARIABLE})(?:\n|\Z)".encode()),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Of a field that comes several times the first value is in `fields`, all of them in `repeated`."""

    name: str
    fields: Mapping[str, str]
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, key: str) -> str:
        """Return a field, or an empty string where the event has none."""
        return self.fields.get(key, "")

    def all(self, key: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        if key in self.repeated:
            return self.repeated[key]
        return (self.fields[key],) if key in self.fields else ()


class Splitter:
    """Cut a stream of AMI bytes, in chunks of any size, into blocks: one event or response each.

    Lines end in CR LF or, tolerated, in LF; blocks are returned with LF, without the blank line. What is kept between
    chunks is at most `max_block` bytes: a longer block is passed over to its end and counted in `oversized`.
    """

    def __init__(self, max_block: int = MAX_BLOCK_BYTES) -> None:
        self.oversized = 0
        self._max = max_block
        self._buffer = bytearray()
        self._carriage_return = False
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the blocks that are complete now."""
        if not chunk:
            return []
        if self._carriage_return:
            chunk = b"\r" + chunk
        self._carriage_return = chunk.endswith(b"\r")
        if self._carriage_return:
            chunk = chunk[:-1]
        # The blank line may have begun in the last byte that is here already.
        seen = max(0, len(self._buffer) - 1)
        self._buffer += chunk.replace(b"\r\n", b"\n")
        end = self._buffer.rfind(b"\n\n", seen)
        if end < 0:
            self._bound()
            return []
        complete = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        blocks = []
        for part in complete.split(b"\n\n"):
            block = part.strip(b"\n")
            if self._skipping:
                self._skipping = False
            elif len(block) > self._max:
                self.oversized += 1
            elif block:
                blocks.append(block)
        self._bound()
        return blocks

    def _bound(self) -> None:
        if self._skipping or (len(self._buffer) > self._max and len(self._buffer.strip(b"\n")) > self._max):
            self.oversized += not self._skipping
            self._skipping = True
            del self._buffer[: -1 if self._buffer.endswith(b"\n") else len(self._buffer)]


def is_wanted(block: bytes) -> bool:
    """Tell whether a block is an event that the tracker has a use for."""
    if not block.startswith(b"Event: "):
        return False
    end = block.find(b"\n")
    name = block[7:end] if end >= 0 else block[7:]
    if name not in _WANTED:
        return False
    pattern = _WANTED[name]
    return pattern is None or pattern.search(block, end) is not None


def parse_event(block: bytes) -> Event:
    """Read one block. Bytes that are not UTF-8 become replacement characters; lines without a colon are passed over."""
    fields: dict[str, str] = {}
    repeated: dict[str, tuple[str, ...]] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        key, colon, value = line.partition(":")
        if not colon:
            continue
        value = value.removeprefix(" ")
        if key in fields:
            repeated[key] = (*repeated.get(key, (fields[key],)), value)
        else:
            fields[key] = value
    return Event(fields.get("Event", ""), fields, repeated)


class EventReader:
    """Read the events that matter out of a stream that has nothing but events, such as a capture."""

    def __init__(self) -> None:
        self.splitter = Splitter()

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the wanted events that are complete now."""
        return [parse_event(block) for block in self.splitter.feed(chunk) if is_wanted(block)]
