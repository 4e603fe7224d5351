"""Where to look for a caller-ID, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_to_look
from ami_rotator.domain.types import Area, Group, Rung


@dataclass(frozen=True, slots=True)
class Step:
    """One place to look: the caller-IDs of a group that are filed under `place` (their area, or one of their `places`), or
    all of the group where it is empty."""

    rung: Rung
    group: Group
    place: str


@lru_cache(maxsize=20_000)
def steps(policy: CampaignPolicy, destination_area: Area, city: str = "") -> tuple[Step, ...]:
    """Return the places to look for a call of this campaign to this area, nearest first.

    All groups are asked on one rung before the next rung: a local number of the second group beats a distant one of the
    first. The rung `next_group` then asks the next groups, one after the other, on the rungs before it. A destination
    without area (no number, toll-free, not in service) has the last rungs alone. `city` is that of the destination's
    exchange, where it is known.
    """
    found: list[Step] = []
    before: list[str] = []
    for rung in policy.rungs:
        if rung is Rung.NEXT_GROUP:
            found.extend(Step(rung, group, place) for group in policy.next_groups for place in before)
            continue
        places = places_to_look(rung, destination_area, city, policy.neighbour_miles)
        before.extend(places)
        found.extend(Step(rung, group, place) for place in places for group in policy.groups)
    return tuple(found)
