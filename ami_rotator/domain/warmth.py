"""How many caller-IDs to keep warm for a campaign and area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ami_rotator.domain.types import Area, Campaign

_REFILL_S = 2.0
_SPREAD = 2.0


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls a minute that a campaign makes to an area."""

    campaign: Campaign
    area: Area
    calls_per_minute: float


@dataclass(frozen=True, slots=True)
class Target:
    """A warm pool's wanted depth."""

    campaign: Campaign
    area: Area
    depth: int


def targets(demands: Sequence[Demand], inventory: int, share_max: float) -> list[Target]:
    """Return the depths: what is asked for until the next refill plus a margin for chance, busiest first.

    The expected calls in a refill time plus two standard deviations (a Poisson process) cover about 97 % of them. All
    together stay within `share_max` of the inventory.
    """
    left = int(inventory * share_max)
    found: list[Target] = []
    for demand in sorted(demands, key=lambda item: -item.calls_per_minute):
        expected = demand.calls_per_minute / 60 * _REFILL_S
        depth = min(math.ceil(expected + _SPREAD * math.sqrt(expected)), left)
        if depth > 0:
            found.append(Target(demand.campaign, demand.area, depth))
            left -= depth
    return found
