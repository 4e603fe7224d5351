"""What a CoreShowChannels list says about calls: used when a connection is made again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ami_rotator.ami.calls import code_in
from ami_rotator.ami.events import Event
from ami_rotator.domain.call_codes import CallCode
from ami_rotator.domain.types import CallKey


@dataclass(frozen=True, slots=True)
class ChannelUp:
    """One channel that belongs to a call to a lead. `presented` is the number in its From header, if it is a trunk."""

    name: str
    uniqueid: str
    code: CallCode
    is_answered: bool
    presented: str


@dataclass(frozen=True, slots=True)
class CallsUp:
    """The calls that are up on one dialer: every code and every channel's uniqueid, the linked ones too."""

    codes: frozenset[str]
    uniqueids: frozenset[str]

    def has(self, key: CallKey) -> bool:
        """Tell whether any channel of the call is up. The dialer of the key is not looked at."""
        return (bool(key.code) and key.code in self.codes) or (bool(key.uniqueid) and key.uniqueid in self.uniqueids)


def calls_up(rows: Iterable[Event]) -> CallsUp:
    """Return which calls are up."""
    codes: set[str] = set()
    uniqueids: set[str] = set()
    for row in rows:
        code = code_in(row["CallerIDName"])
        if code is not None:
            codes.add(code.text)
        uniqueids.update(filter(None, (row["Uniqueid"], row["Linkedid"])))
    return CallsUp(frozenset(codes), frozenset(uniqueids))


def channels_up(rows: Iterable[Event]) -> list[ChannelUp]:
    """Return the channels of calls to leads, the oldest first: a forwarded leg comes after the leg that it forwards."""
    found = []
    for row in rows:
        code = code_in(row["CallerIDName"])
        if code is not None and row["Channel"] and row["Uniqueid"]:
            is_up = row["ChannelStateDesc"] == "Up"
            found.append(ChannelUp(row["Channel"], row["Uniqueid"], code, is_up, row["ConnectedLineNum"]))
    return sorted(found, key=lambda channel: _age(channel.uniqueid))


def _age(uniqueid: str) -> tuple[int, ...]:
    # [systemname-]epoch.sequence: by number, since .9 is older than .10
    parts = uniqueid.rpartition("-")[2].split(".")
    return tuple(int(part) if part.isascii() and part.isdigit() and len(part) < 19 else 0 for part in parts)
