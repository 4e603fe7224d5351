"""Bring VICIdial's caller-ID settings into ours, as a plan that is shown first. Applied twice, the second plan is empty.

Nothing is taken away: caller-IDs, groups and campaigns that VICIdial does not know stay. Whether a number is switched on is
taken over when it is added, and not after: from then on each side has its own reasons to rest one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from ami_rotator.domain.types import E164, Area, Campaign, Group
from ami_rotator.vicidial.settings_mapping import Unmapped, Wanted, WantedCallerId

_LISTED_MOST = 20
_ADDED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class PresentCallerId:
    """A caller-ID that we have."""

    group: Group
    area: Area


@dataclass(frozen=True, slots=True)
class PresentState:
    """What we have."""

    groups: Collection[Group] = ()
    caller_ids: Mapping[E164, PresentCallerId] = field(default_factory=dict)
    campaigns: Mapping[Campaign, tuple[Group, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallerIdMove:
    """A caller-ID that we have in another group, or for another area."""

    before: PresentCallerId
    after: WantedCallerId


@dataclass(frozen=True, slots=True)
class CampaignChange:
    """A campaign's groups in order; `before` is empty where we do not know the campaign."""

    campaign: Campaign
    before: tuple[Group, ...]
    after: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What to do, and what cannot be done."""

    new_groups: tuple[Group, ...]
    new_caller_ids: tuple[WantedCallerId, ...]
    moves: tuple[CallerIdMove, ...]
    campaigns: tuple[CampaignChange, ...]
    dial_prefixes: Mapping[str, Campaign | None]
    unmapped: tuple[Unmapped, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.new_groups or self.new_caller_ids or self.moves or self.campaigns)


class ImportTarget(Protocol):
    """Where a plan is applied. Each step may be repeated."""

    async def create_group(self, group: Group) -> None:
        """Make a group."""

    async def add_caller_ids(self, caller_ids: Sequence[WantedCallerId]) -> None:
        """Add caller-IDs, 1,000 at most."""

    async def move_caller_id(self, number: E164, group: Group, area: Area) -> None:
        """Change the group and area of a caller-ID."""

    async def set_campaign_groups(self, campaign: Campaign, groups: tuple[Group, ...]) -> None:
        """Set a campaign's groups, in order."""


def make_plan(wanted: Wanted, present: PresentState) -> ImportPlan:
    """Return what brings the present state to the wanted one."""
    have = present.caller_ids
    return ImportPlan(
        new_groups=tuple(group for group in wanted.groups() if group not in present.groups),
        new_caller_ids=tuple(item for item in wanted.caller_ids if item.number not in have),
        moves=tuple(
            CallerIdMove(have[item.number], item)
            for item in wanted.caller_ids
            if item.number in have and have[item.number] != PresentCallerId(item.group, item.area)
        ),
        campaigns=tuple(
            CampaignChange(campaign, present.campaigns.get(campaign, ()), groups)
            for campaign, groups in wanted.campaigns.items()
            if present.campaigns.get(campaign) != groups
        ),
        dial_prefixes=wanted.dial_prefixes,
        unmapped=wanted.unmapped,
    )


async def apply_plan(plan: ImportPlan, target: ImportTarget) -> None:
    """Do what the plan says, groups first. What fails stays in the next plan."""
    for group in plan.new_groups:
        await target.create_group(group)
    for start in range(0, len(plan.new_caller_ids), _ADDED_AT_ONCE):
        await target.add_caller_ids(plan.new_caller_ids[start : start + _ADDED_AT_ONCE])
    for move in plan.moves:
        await target.move_caller_id(move.after.number, move.after.group, move.after.area)
    for change in plan.campaigns:
        await target.set_campaign_groups(change.campaign, change.after)


def render(plan: ImportPlan) -> str:
    """Write a plan for people."""
    lines: list[str] = []
    if plan.is_empty:
        lines.append("Nothing to do: all that can be taken over from VICIdial is here.")
    if plan.new_groups:
        lines.append(f"Groups to create ({len(plan.new_groups)}): {', '.join(plan.new_groups)}")
    if plan.new_caller_ids:
        lines.append(f"Caller-IDs to add ({len(plan.new_caller_ids)}):")
        lines += _listed(_additions(plan.new_caller_ids))
    if plan.moves:
        lines.append(f"Caller-IDs to move ({len(plan.moves)}):")
        lines += _listed(
            f"{move.after.number}: {move.before.group}, area {move.before.area or 'none'} -> "
            f"{move.after.group}, area {move.after.area or 'none'}"
            for move in plan.moves
        )
    if plan.campaigns:
        lines.append(f"Campaigns to set ({len(plan.campaigns)}):")
        lines += _listed(
            f"{change.campaign}: {', '.join(change.before) or 'not set'} -> {', '.join(change.after)}"
            for change in plan.campaigns
        )
    if plan.dial_prefixes:
        lines.append("Dial prefixes, for dial_prefixes of the dialers:")
        lines += _listed(
            f"{prefix}: {campaign or 'several campaigns'}" for prefix, campaign in plan.dial_prefixes.items()
        )
    if plan.unmapped:
        lines.append(f"Not taken over ({len(plan.unmapped)}):")
        lines += [f"  {item.what}: {item.why}" for item in plan.unmapped]
    return "\n".join(lines)


def _additions(caller_ids: Iterable[WantedCallerId]) -> Iterable[str]:
    for group, items in groupby(caller_ids, key=lambda item: item.group):
        members = list(items)
        off = sum(1 for item in members if not item.active)
        areas = sorted({item.area or "none" for item in members})
        shown = ", ".join(areas[:10]) + (f" and {len(areas) - 10} more" if len(areas) > 10 else "")
        yield f"{group}: {len(members)}, areas {shown}" + (f"; {off} of them switched off" if off else "")


def _listed(items: Iterable[str]) -> list[str]:
    every = list(items)
    more = [f"  and {len(every) - _LISTED_MOST} more"] if len(every) > _LISTED_MOST else []
    return [f"  {item}" for item in every[:_LISTED_MOST]] + more
