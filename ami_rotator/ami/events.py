"""AMI bytes to events. Pure: fed by the socket and by capture files alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

MAX_BLOCK_BYTES = 64 * 1024

CAMPAIGN_VARIABLE = "CAMPCUST"
"""Set by VICIdial's call_log on the channel that runs the carrier dialplan (FastAGI_log.pl:755-760, r3939)."""

PROBE_VARIABLE = "ROTATOR_PROBE"
"""A global variable that the daemon sets at login, to see whether `VarSet` reaches it."""

_BLANK = b"\r\n\r\n"

_EVENT = b"Event: "

# A site that sends us everything (no eventfilter) makes some 70 events a call, of which 8 tell anything: some by their
# name alone, some by how their fields go on. The others are told by the first bytes of their name, and never read; those
# that the tracker would pass over (a channel that is no Local half, or not the one that dials) by a field of theirs.
_NAME = slice(len(_EVENT), len(_EVENT) + 7)
_CHANNEL, _DEST_CHANNEL = b"\r\nChannel: ", b"\r\nDestChannel: "
_LOCAL = b"Local/"
_OURS = re.compile(rf"\r\nVariable: _{{0,2}}(?:({CAMPAIGN_VARIABLE})|{PROBE_VARIABLE})(?:\r|\Z)".encode())
_CALL_CODE = re.compile(rb"\r\nCallerIDName: ([VM])\d")
_CALL_LOG = re.compile(rb"\r\nAppData: [^\r\n]*/call_log(?:\r|\Z)")


def _value(block: bytes, before: bytes) -> bytes | None:
    at = block.find(before)
    if at < 0:
        return None
    at += len(before)
    end = block.find(b"\r\n", at)
    return block[at:] if end < 0 else block[at:end]


def _is_ours(block: bytes) -> bool:
    # Half of all events: the field is near the end, and looked for from there.
    found = _OURS.match(block, max(0, block.rfind(b"\r\nVariable: ")))
    if found is None or found[1] is None:
        return found is not None
    channel = _value(block, _CHANNEL)
    return channel is None or channel.startswith(_LOCAL)


def _is_call_log(block: bytes) -> bool:
    return b"/call_log" in block and _CALL_LOG.search(block) is not None  # `in` is quicker than a search


def _names_call(block: bytes) -> bool:
    # Of a pair the half that VICIdial lets dial: ami/calls.py `runs_dialplan`.
    code = _CALL_CODE.search(block)
    if code is None:
        return False
    channel = _value(block, _CHANNEL)
    return channel is None or (channel.startswith(_LOCAL) and channel.endswith(b";2" if code[1] == b"V" else b";1"))


def _dials_trunk(block: bytes) -> bool:
    # VICIdial's Originate has no Channel.
    return (_value(block, _CHANNEL) or b"").startswith(_LOCAL) or _DEST_CHANNEL not in block


def _ends_trunk(block: bytes) -> bool:
    return not (_value(block, _DEST_CHANNEL) or b"").startswith(_LOCAL)


def _always(_: bytes) -> bool:
    return True


_WANTED: Mapping[bytes, Callable[[bytes], bool]] = {
    b"VarSet\r": _is_ours,
    b"Newexte": _is_call_log,
    b"NewCall": _names_call,
    b"DialBeg": _dials_trunk,
    b"DialEnd": _ends_trunk,
    b"Hangup\r": _always,
    b"Shutdow": _always,
}


class Fields(Mapping[str, str]):
    """The fields of one block, each looked for when it is asked for: of some 30 that an event has, the tracker reads 6.

    Of a field that comes several times it is the first value; lines without a colon are passed over.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = f"\r\n{text}\r\n"

    def __getitem__(self, key: str) -> str:
        """Return a field; raises KeyError."""
        before = f"\r\n{key}:"
        at = self._text.find(before)
        if at < 0:
            raise KeyError(key)
        at += len(before)
        return self._text[at : self._text.index("\r\n", at)].removeprefix(" ")

    def __iter__(self) -> Iterator[str]:
        """Return the names, in order."""
        lines = (line.partition(":") for line in self._text.split("\r\n"))
        return iter(dict.fromkeys(name for name, colon, _ in lines if colon))

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)

    def all(self, key: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        before = f"{key}:"
        return tuple(
            line[len(before) :].removeprefix(" ") for line in self._text.split("\r\n") if line.startswith(before)
        )


@dataclass(slots=True)
class Event:
    """One event, not to be changed. `channel_variables` are those of `channelvars` in manager.conf, each as `NAME=value`."""

    name: str
    fields: Mapping[str, str]
    channel_variables: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> str:
        """Return a field, or an empty string where the event has none."""
        try:
            return self.fields[key]
        except KeyError:
            return ""


class Splitter:
    """Cut a stream of AMI bytes, in chunks of any size, where one event or response ends and the next begins.

    Lines end in CR LF, blocks in a blank line: a bare LF is part of a value, and nothing that a value holds can make an
    event. A block longer than `max_block` bytes is passed over to its end and counted in `oversized`: between chunks at most
    twice as much is kept.
    """

    def __init__(self, max_block: int = MAX_BLOCK_BYTES) -> None:
        self.oversized = 0
        self._max = max_block
        self._pending = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return the blocks that are whole now, as they came, for `blocks` or `wanted`."""
        if not self._pending:
            end = chunk.rfind(_BLANK)
            if end < 0:
                self._pending += chunk
                self._bound()
                return b""
            whole = chunk[:end]
            if len(whole) <= self._max:
                self._pending += chunk[end + len(_BLANK) :]
                self._bound()
                return whole
            self._pending += chunk
        else:
            # The blank line may have begun in the last bytes that are here already.
            seen = max(0, len(self._pending) - len(_BLANK) + 1)
            self._pending += chunk
            end = self._pending.rfind(_BLANK, seen)
            if end < 0:
                self._bound()
                return b""
            whole = bytes(self._pending[:end])
        del self._pending[: end + len(_BLANK)]
        kept = []
        for block in whole.split(_BLANK):
            if self._skipping:
                self._skipping = False
            elif len(block.strip(b"\r\n")) > self._max:
                self.oversized += 1
            else:
                kept.append(block)
        self._bound()
        return _BLANK.join(kept)

    def _bound(self) -> None:
        if len(self._pending) <= self._max and not self._skipping:
            return
        if not self._skipping:
            self._pending = self._pending.lstrip(b"\r\n")
            if len(self._pending.rstrip(b"\r\n")) <= self._max and len(self._pending) <= 2 * self._max:
                return
            self.oversized += 1
            self._skipping = True
        del self._pending[: 1 - len(_BLANK)]


def blocks(whole: bytes) -> list[bytes]:
    """Return each event and response, without its blank line."""
    return [block for part in whole.split(_BLANK) if (block := part.strip(b"\r\n"))]


def wanted(whole: bytes) -> list[bytes]:
    """Return the events that the tracker has a use for, each without its blank line."""
    found = []
    for part in whole.split(_BLANK):
        block = part.strip(b"\r\n")
        tells = _WANTED.get(block[_NAME])
        if tells is not None and block.startswith(_EVENT) and tells(block):
            found.append(block)
    return found


def is_wanted(block: bytes) -> bool:
    """Tell whether a block is an event that the tracker has a use for."""
    tells = _WANTED.get(block[_NAME])
    return tells is not None and block.startswith(_EVENT) and tells(block)


def parse_event(block: bytes) -> Event:
    """Read one block that is an event. Bytes that are not UTF-8 become replacement characters."""
    text = block.decode("utf-8", "replace")
    fields = Fields(text)
    variables = fields.all("ChanVariable") if "\nChanVariable:" in text else ()
    return Event(text.partition("\r\n")[0].removeprefix("Event: "), fields, variables)


class EventReader:
    """Read the events that matter out of a stream that has nothing but events, such as a capture."""

    def __init__(self) -> None:
        self.splitter = Splitter()

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the wanted events that are complete now."""
        return [parse_event(block) for block in wanted(self.splitter.feed(chunk))]
