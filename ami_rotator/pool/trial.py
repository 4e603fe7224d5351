"""A policy that is not saved, tried on the pool as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import Step
from ami_rotator.domain.types import Area, Group, Rung
from ami_rotator.pool.explaining import ExplainedStep, Explanation

_ALL = tuple(Rung)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a policy would do: its whole ladder for a call, and what that call would get now.

    `new_rungs` are those that no saved policy uses for a group: their caller-IDs are filed there once the policy is saved.
    """

    ladder: tuple[Step, ...]
    found: Explanation
    new_rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """A ladder that the pool can walk now. `place_of` has for each step that stands for another that one's place."""

    steps: tuple[Step, ...]
    place_of: Mapping[Step, str]
    new_rungs: tuple[Rung, ...]


def filed_rungs(policies: Iterable[CampaignPolicy]) -> Mapping[Group, Set[Rung]]:
    """Return the rungs for which the caller-IDs of each group are filed: those of the saved policies that use it."""
    filed: dict[Group, set[Rung]] = defaultdict(set)
    for policy in policies:
        for group in (*policy.groups, *policy.next_groups):
            filed[group].update(policy.rungs)
    return filed


def spread(ladder: Sequence[Step], filed: Mapping[Group, Set[Rung]], areas: Mapping[Group, Collection[Area]]) -> Spread:
    """Put areas in the stead of places where no caller-ID is filed yet; `areas` are those of each group's caller-IDs."""
    steps: list[Step] = []
    place_of: dict[Step, str] = {}
    new: list[Rung] = []
    for step in ladder:
        rungs = filed.get(step.group, frozenset())
        fitting = [area for area in areas.get(step.group, ()) if step.place in places_of(area, _ALL)]
        if all(step.place in places_of(area, rungs) for area in fitting):
            steps.append(step)
            continue
        new.append(step.rung)
        for area in fitting:
            one = replace(step, place=area)
            steps.append(one)
            place_of[one] = step.place
    return Spread(tuple(steps), place_of, tuple(dict.fromkeys(new)))


def gathered(found: Explanation, walked: Spread) -> Explanation:
    """Return an explanation of a spread ladder as one of the ladder itself."""
    steps: list[ExplainedStep] = []
    for step in found.steps:
        place = walked.place_of.get(Step(Rung(step.rung), Group(step.group), step.place)) if step.place else None
        if place is None:
            steps.append(step)
            continue
        last = steps[-1] if steps else None
        if last is None or (last.rung, last.group, last.place) != (step.rung, step.group, place):
            steps.append(replace(step, place=place))
            continue
        counts = {
            state: last.counts.get(state, 0) + step.counts.get(state, 0) for state in {**last.counts, **step.counts}
        }
        steps[-1] = replace(
            last,
            counts=counts,
            chosen=step.chosen or last.chosen,
            how=step.how or last.how,
            passed=(*last.passed, *step.passed),
        )
    return replace(found, steps=tuple(steps))
