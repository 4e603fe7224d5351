"""What the tracker remembers of one call, and what events say about channels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ami_rotator.ami.events import CAMPAIGN_VARIABLE, Event
from ami_rotator.ami.facts import CallSeen
from ami_rotator.domain.call_codes import CallCode, parse_call_code
from ami_rotator.domain.causes import outcome_of
from ami_rotator.domain.numbers import parse_number
from ami_rotator.domain.types import CallKey, End

_DIALLED = re.compile(r"\+?[0-9*#]{2,40}")
_SECONDS = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?")
_SIP_CODE = re.compile(r"(?:SIP )?([1-6]\d\d)\b")
_UP = "Up"


@dataclass(slots=True)
class Trunk:
    """One channel to the carrier. `answered_at_ms` is by the dialer's clock, or ours where its events have no time."""

    uniqueid: str
    channel: str
    dial_status: str = ""
    answered: bool = False
    answered_at_ms: int = 0
    is_up: bool = True

    def answer(self, at_ms: int) -> None:
        """Note that the call was answered."""
        self.dial_status = "ANSWER"
        if not self.answered:
            self.answered, self.answered_at_ms = True, at_ms

    def hang_up(self, event: Event, at_ms: int) -> End:
        """Note the hang-up and say what it means."""
        self.is_up = False
        cause, sip = cause_of(event), sip_code(event["TechCause"])
        if not self.answered and not self.dial_status and event["ChannelStateDesc"] == _UP:
            # Its DialEnd got lost: answered all the same, for how long nobody knows.
            self.answer(at_ms)
        talk_ms = max(0, at_ms - self.answered_at_ms) if self.answered else 0
        return End(outcome_of(self.dial_status, cause, sip), cause, sip, talk_ms)


@dataclass(slots=True)
class Call:
    """One call that is not over.

    `runners` are the uniqueids of the Local halves that run the carrier dialplan and are up, `channels` of all that were
    ever its runner or trunk leg; `began_s` is monotonic.
    """

    key: CallKey
    code: CallCode | None
    channel: str
    began_s: float
    runners: set[str] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)
    trunks: dict[str, Trunk] = field(default_factory=dict)
    dialled: str = ""
    campaign: str = ""
    said: CallSeen | None = None
    last_end: End | None = None
    runner_cause: int = 0

    @property
    def answered(self) -> bool:
        """Whether one of its trunk legs was answered."""
        return any(trunk.answered for trunk in self.trunks.values())

    @property
    def is_over(self) -> bool:
        """Whether no trunk leg lives and none can follow."""
        if self.answered:
            return not any(trunk.answered and trunk.is_up for trunk in self.trunks.values())
        return not self.runners and not any(trunk.is_up for trunk in self.trunks.values())

    def end(self) -> End:
        """Return how the call ended: as its last trunk leg did, or without one."""
        end = self.last_end or End("not_dialled", self.runner_cause, dialled=False)
        if end.outcome == "cancelled" and self.code is not None and self.code.kind == "auto":
            # Nobody sits at an auto-dialled call to cancel it: its Originate's time was over while it rang.
            return replace(end, outcome="no_answer")
        return end

    def lost(self, uniqueid: str) -> None:
        """Note that a channel went while nobody looked."""
        self.runners.discard(uniqueid)
        trunk = self.trunks.get(uniqueid)
        if trunk is not None:
            trunk.is_up = False
        if trunk is not None or self.last_end is None:
            # Without a trunk known it counts as dialled too: one may have come and gone.
            self.last_end = End("unknown")


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that is not over, for those who renew its reservation. `trunks` are `(uniqueid, channel)` that are up."""

    key: CallKey
    channel: str
    trunks: tuple[tuple[str, str], ...]
    had_trunk: bool
    answered: bool


def open_call(call: Call) -> OpenCall:
    """Return what others may know of a call."""
    up = tuple((trunk.uniqueid, trunk.channel) for trunk in call.trunks.values() if trunk.is_up)
    return OpenCall(call.key, call.channel, up, bool(call.trunks), call.answered)


def code_in(caller_id_name: str) -> CallCode | None:
    """Read the call code; a suffix that is none of VICIdial's does not hide it (all of VICIdial cuts at the space)."""
    words = caller_id_name.split()
    return (parse_call_code(" ".join(words)) or parse_call_code(words[0])) if words else None


def is_local(channel: str) -> bool:
    """Tell whether a channel is a half of a Local pair."""
    return channel.startswith("Local/")


def runs_dialplan(code: CallCode, channel: str) -> bool:
    """Tell whether this half of the Local pair is the one that VICIdial lets run the carrier dialplan."""
    return is_local(channel) and channel.endswith(";2" if code.kind == "auto" else ";1")


def dialled_in(code: CallCode, channel: str, extension: str) -> str:
    """Return the number dialled, or nothing: the extension of a manual call is the agent's room at first."""
    if not _DIALLED.fullmatch(extension):
        return ""
    room = channel.removeprefix("Local/").partition("@")[0]
    return "" if code.kind == "manual" and extension == room else extension


def campaign_in(event: Event) -> str:
    """Return the campaign that an event tells: `VarSet`, or the variable that `channelvars` adds to every event."""
    if event.name == "VarSet":
        if event["Variable"].lstrip("_") == CAMPAIGN_VARIABLE:
            return event["Value"].strip()
        return ""
    for line in event.channel_variables:
        name, _, value = line.partition("=")
        if name == CAMPAIGN_VARIABLE:
            return value.strip()
    return ""


def campaign_of_prefix(dialled: str, dial_prefixes: Mapping[str, str | None], region: str) -> str:
    """Return the campaign whose dial prefix leaves a whole number, the longest prefix first; empty where none says.

    As `parse_dialled`: a whole number has no prefix, whatever its first digits are.
    """
    if parse_number(dialled, region) is not None:
        return dial_prefixes.get("") or ""
    for prefix in sorted(filter(None, dial_prefixes), key=len, reverse=True):
        if dialled.startswith(prefix) and parse_number(dialled.removeprefix(prefix), region) is not None:
            return dial_prefixes[prefix] or ""
    return ""


def cause_of(event: Event) -> int:
    """Return the Q.850 cause, 0 where there is none."""
    text = event["Cause"]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0


def sip_code(tech_cause: str) -> int:
    """Return the SIP code of `TechCause` (`603`, `SIP 603 Decline`; Asterisk 22, not 16), 0 where there is none."""
    match = _SIP_CODE.match(tech_cause)
    return int(match[1]) if match else 0


def time_ms(event: Event) -> int | None:
    """Return an event's Timestamp in milliseconds; None without `timestampevents` in manager.conf."""
    match = _SECONDS.fullmatch(event["Timestamp"])
    return int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0")[:3]) if match else None
