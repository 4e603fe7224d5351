"""A policy's ladder for one destination as people read it: which step looks where, and how many caller-IDs are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.types import Area, Group, Rung
from ami_rotator.http.pages.call_rows import RUNGS


@dataclass(frozen=True, slots=True)
class Look:
    """One step. `caller_ids` are switched on there; `new`: those that no step before had."""

    rung: str
    group: str
    place: str
    caller_ids: int
    new: int


def ladder_look(
    policy: CampaignPolicy, destination: Area, supply: Mapping[tuple[Group, Area], int]
) -> tuple[Look, ...]:
    """Return the steps of a call to an area; `supply` is the caller-IDs that are switched on, by group and area."""
    found: list[Look] = []
    before: set[tuple[Group, Area]] = set()
    rungs = tuple(Rung)
    filed = {area: {area, *places_of(area, rungs)} for _, area in supply}
    for step in steps(policy, destination):
        here = {
            (group, area)
            for group, area in supply
            if group == step.group and (not step.place or step.place in filed[area])
        }
        place = step.place.partition(":")[2] if ":" in step.place else step.place
        found.append(
            Look(
                RUNGS[step.rung.value],
                step.group,
                place or "anywhere",
                sum(supply[key] for key in here),
                sum(supply[key] for key in here - before),
            )
        )
        before |= here
    return tuple(found)
