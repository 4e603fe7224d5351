"""What a call would get under a policy, saved or not: its ladder, and the choice itself, made for nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.ladder import Step, steps
from ami_rotator.domain.numbers import area_of, parse_number, present
from ami_rotator.domain.types import Area, Group
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.http.pages.call_rows import RUNGS
from ami_rotator.http.pages.frame import Frame
from ami_rotator.http.pages.ladder_look import Look, Verdict, ladder_look, verdict
from ami_rotator.ledger.usage import AreaSupply
from ami_rotator.pool.explaining import Explanation


@dataclass(frozen=True, slots=True)
class Preview:
    """The steps of a call to `destination`; `verdict` is None where the pool could not be asked.

    `new_rungs` are used by no saved policy of the group yet: which caller-ID comes first there is known once this one is.
    """

    destination: str
    looks: tuple[Look, ...]
    verdict: Verdict | None
    new_rungs: str


async def preview_of(frame: Frame, policy: CampaignPolicy, text: str, have: Sequence[AreaSupply]) -> Preview:
    """Return what a call to `text` would get; an area code alone is a destination too. Nothing is given or counted.

    `have` is the supply of the policy's groups. While Redis is away only the ladder is known.
    """
    settings = frame.deps.settings
    number = parse_number(text, settings.default_region)
    area = area_of(number) if number else Area(text.strip()[:11])
    ladder: Sequence[Step] = steps(policy, area)
    found: Explanation | None = None
    new_rungs = ""
    if frame.deps.try_policy is not None:
        try:
            areas: dict[Group, list[Area]] = {}
            for item in have:
                areas.setdefault(item.group, []).append(item.area)
            trial = await frame.deps.try_policy(policy, number, area, areas)
            ladder, found = trial.ladder, trial.found
            # Where a rung that is filed has one, the others were not needed.
            if found.caller_id is None or found.rung in trial.new_rungs:
                new_rungs = ", ".join(RUNGS[rung] for rung in trial.new_rungs)
        except PoolUnavailableError:
            found = None
    return Preview(
        present(number, frame.presentation) if number else text.strip(),
        ladder_look(
            ladder,
            {(item.group, item.area): item.caller_ids for item in have},
            found,
            frame.presentation,
            settings.zone,
        ),
        verdict(found, frame.presentation) if found else None,
        new_rungs,
    )
