"""The words of the project as types. Every one is defined in docs/concepts.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, NewType

E164 = NewType("E164", str)
"""A phone number as `+15551234567`. Always a string: numbers lose digits in Lua and zeros everywhere."""

Area = NewType("Area", str)
"""What "local" means: the area code in North America (`212`), `+` country code and area elsewhere (`+4420`), or empty."""

Group = NewType("Group", str)
"""A set of caller-IDs used together. Letters, digits, `_`, `-`, `.`; 40 characters at most: it is part of Redis keys."""

Campaign = NewType("Campaign", str)
"""VICIdial's campaign id."""

Dialer = NewType("Dialer", str)
"""The configured name of one Asterisk server."""

ReservationId = NewType("ReservationId", str)
"""Chosen by the caller of `assign` (a UUID), so that a request that is sent twice is one reservation."""

Source = Literal["feed", "ami", "http", "fastagi"]
"""Which door the assignment came through."""


class State(StrEnum):
    """The states of a caller-ID. It is in exactly one, by this rule, in this order."""

    IN_USE = "in_use"  # as many live calls as its group allows
    DISABLED = "disabled"  # switched off, or a limit of 0
    RESTING = "resting"  # switched off until a time
    WAITING = "waiting"  # not eligible before a known time: cool-down or cap
    WARM = "warm"  # held ready for one campaign and area
    IDLE = "idle"  # free


class Rung(StrEnum):
    """How near a caller-ID is to the person called, nearest first."""

    CITY = "city"  # same area and the exchange's city, where an NPA-NXX file was imported
    AREA = "area"  # same area
    OVERLAY = "overlay"  # another area code of the same region: 212 and 646
    NEIGHBOUR = "neighbour"  # an area close by
    STATE = "state"  # same state or province
    ZONE = "zone"  # same time zone
    COUNTRY = "country"  # same country
    ANY = "any"  # anywhere, in the campaign's groups
    NEXT_GROUP = "next_group"  # the campaign's next groups, where its own have none


@dataclass(frozen=True, slots=True)
class CallKey:
    """What makes a call the same call: its code on that dialer, or the uniqueid of the channel that runs the dialplan.

    Uniqueids and codes are only unique per dialer (facts: no `systemname` is set by VICIdial), so the dialer is part of it.
    Both may be known; a reservation is found by either. Both may be missing (a bare HTTP request): then every request is a
    call of its own.
    """

    dialer: Dialer
    code: str = ""
    uniqueid: str = ""

    def names(self) -> tuple[str, ...]:
        """Return the index entries of this call, the code first."""
        return tuple(f"{self.dialer}:{part}" for part in (self.code, self.uniqueid) if part)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One call that wants a caller-ID, as any of the doors describes it.

    `dialled` is what was dialled, raw: with or without dial prefix, any format.
    """

    key: CallKey
    dialled: str
    campaign: Campaign
    source: Source
    agent: str = ""
    lead_id: str = ""


class Assignment(NamedTuple):
    """A caller-ID for a call. `is_new` is false when this call already had it: the answer is always the same.

    `why` tells how it was chosen (docs/choosing.md): `free`, `warm`, `sticky`, `seen`, `overflow`; after a colon why a
    sticky caller-ID did not hold: `free:resting`.
    """

    reservation: ReservationId
    caller_id: E164
    is_new: bool
    rung: Rung
    group: Group
    area: Area
    carrier: str
    meta_json: str
    was_warm: bool
    ended: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Miss:
    """No caller-ID for this call, and why. The call keeps VICIdial's own number."""

    reason: Literal["none_free", "no_groups", "refused", "unavailable", "observe", "opted_out"]
    detail: str = ""


Outcome = Literal[
    "answered",
    "busy",
    "no_answer",
    "cancelled",
    "not_found",
    "declined",
    "unwanted",
    "congestion",
    "failed",
    "not_dialled",
    "expired",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class End:
    """How a call ended. `cause` is Q.850, 0 when unknown; `sip` the SIP code, 0 when Asterisk did not say."""

    outcome: Outcome
    cause: int = 0
    sip: int = 0
    talk_ms: int = 0
    dialled: bool = True
