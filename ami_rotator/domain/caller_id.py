"""A caller-ID of the inventory, as the pool needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ami_rotator.domain.types import E164, Area, Group

Switch = Literal["active", "resting", "disabled"]

Attestation = Literal["", "A", "B", "C"]
"""What the carrier signs calls from a number with (STIR/SHAKEN): full, partial, gateway; empty: not known."""

NO_LIMIT = 1_000_000_000
"""A limit that nobody reaches."""


@dataclass(frozen=True, slots=True)
class CallerId:
    """One number that we own, with its limits resolved: no defaults left to look up.

    `minute_limit`, `hourly_limit` and `daily_limit` are uses in a calendar window of `timezone` (IANA name; empty: the
    inventory's), 0 is never; `daily_limit` is that of today, warm-up included. `soft_daily_limit` is the number of uses a
    day after which only a campaign's overflow may use it; it counts where it is below `daily_limit`. `cooldown_s` seconds
    after a call before the next; `max_concurrent` live calls at once; `resting_until_ms` wall time in ms, only where
    `switch` is `resting` (0: until somebody says otherwise). `places` are the sets besides its group and its area in which
    rungs of the ladder look for it (`geography.places_of`), only those that a campaign of its group uses.
    """

    number: E164
    area: Area
    group: Group
    hourly_limit: int
    daily_limit: int
    cooldown_s: int
    max_concurrent: int = 1
    switch: Switch = "active"
    resting_until_ms: int = 0
    carrier: str = ""
    meta_json: str = ""
    minute_limit: int = NO_LIMIT
    soft_daily_limit: int = NO_LIMIT
    timezone: str = ""
    attestation: Attestation = ""
    places: tuple[str, ...] = ()
