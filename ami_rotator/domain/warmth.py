"""How many caller-IDs to keep warm for a campaign and area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ami_rotator.domain.types import Area, Campaign

_LOOK_S = 1.0
"""From one look at the pools to the next (the job `fill`)."""
_SPREAD = 2.0
_STOCK_S = 3.0
"""For how many seconds of calls more a pool is filled than it needs, so that most need nothing at the next look."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls a minute that a campaign makes to an area."""

    campaign: Campaign
    area: Area
    calls_per_minute: float


@dataclass(frozen=True, slots=True)
class Target:
    """A warm pool's wanted depth, and with how many it needs no filling: each filling is a script that Redis runs."""

    campaign: Campaign
    area: Area
    depth: int
    enough: int


def targets(demands: Sequence[Demand], inventory: int, share_max: float) -> list[Target]:
    """Return what to hold, busiest first.

    Enough is what is asked for until the next look, two standard deviations (a Poisson process) more than the mean. A stock
    beyond that comes out of what is left once all have enough. All together stay within `share_max` of the inventory.
    """
    left = int(inventory * share_max)
    ordered = sorted(demands, key=lambda item: -item.calls_per_minute)
    enough: list[int] = []
    for demand in ordered:
        expected = demand.calls_per_minute / 60 * _LOOK_S
        enough.append(min(math.ceil(expected + _SPREAD * math.sqrt(expected)), left))
        left -= enough[-1]
    found: list[Target] = []
    for demand, needed in zip(ordered, enough, strict=True):
        if needed:
            stock = min(math.ceil(demand.calls_per_minute / 60 * _STOCK_S), left)
            found.append(Target(demand.campaign, demand.area, needed + stock, needed))
            left -= stock
    return found
