"""Where to look for a caller-ID, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Area, Group, Rung


@dataclass(frozen=True, slots=True)
class Step:
    """One place to look: the caller-IDs of a group that are filed under `place` (their area, or one of their `places`), or
    all of the group where it is empty."""

    rung: Rung
    group: Group
    place: str


def steps(policy: CampaignPolicy, destination_area: Area) -> tuple[Step, ...]:
    """Return the places to look for a call of this campaign to this area, nearest first.

    All groups are asked on one rung before the next rung: a local number of the second group beats a distant one of the
    first.
    """
    found: list[Step] = []
    for rung in policy.rungs:
        if rung is Rung.AREA:
            if destination_area:
                found.extend(Step(rung, group, destination_area) for group in policy.groups)
        else:
            found.extend(Step(rung, group, "") for group in policy.groups)
    return tuple(found)
