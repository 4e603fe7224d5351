"""What is brought back after Redis lost it: calls that held a caller-ID, and how much caller-IDs were used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ami_rotator.domain.types import E164, ReservationId


class HeldCall(NamedTuple):
    """A reservation as the ledger has it. `at_ms` Redis time; `trunk` and `shown` are empty before a trunk leg was seen."""

    reservation: ReservationId
    at_ms: int
    caller_id: str
    campaign: str
    destination: str
    dialled: str
    dialer: str
    code: str
    uniqueid: str
    agent: str
    lead_id: str
    source: str
    rung: str
    group: str
    area: str
    was_warm: bool
    trunk: str = ""
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """What is known of a caller-ID's use. Times in ms, 0 for never; `ended_ms` is the end of its last dialled call."""

    number: E164
    in_minute: int
    in_hour: int
    in_day: int
    last_ms: int
    ended_ms: int
