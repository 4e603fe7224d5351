"""A campaign's policy: which groups it may use, how far from the person called, and what happens when none is free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ami_rotator.domain.caller_id import Attestation
from ami_rotator.domain.types import Campaign, Group, Rung

DEFAULT_GROUP = Group("default")
_GROUP = re.compile(r"[A-Za-z0-9_.\-]{1,40}")

Exhaustion = Literal["next_rung", "keep_own", "overflow", "refuse"]
"""What happens at the first rung where the campaign has caller-IDs and none of them is free.

`next_rung`: look at the next rung, to the end of the ladder. `keep_own`: stop, the call keeps VICIdial's own number.
`overflow`: use one of them beyond its soft cap or its live calls, for a bounded share of calls, else look at the next rung.
`refuse`: stop, and tell the dialplan that the call should not be made; also at the end of the ladder.
"""

StickyBy = Literal["lead", "destination"]
"""What a sticky caller-ID is remembered for. `lead`: the lead id, or the destination where the call has none."""

StickyBreak = Literal["resting", "capped"]


@dataclass(frozen=True, slots=True)
class CampaignPolicy:
    """The policy of one campaign. It never uses a group that is neither in `groups` nor in `next_groups`.

    `rungs` are those that are on, in their order; `next_groups` are for `Rung.NEXT_GROUP` alone. `neighbour_miles`: the rung
    neighbour looks in areas whose centre is at most so far away; 0: in those that border on the area.

    `weight`: its share of a group that runs short, against the other campaigns of the group. `attestation_min`: use only
    caller-IDs that are signed at least so (A is best); empty: any.

    `overflow_percent`: of the campaign's calls, at most, while `exhaustion` is `overflow`; `overflow_concurrent`: live calls
    that may show one caller-ID in overflow; `overflow_soft_cap`: whether overflow may go beyond the soft cap.

    `sticky_days`: how long a lead sees the same caller-ID, 0 is off. Where that caller-ID cannot be used, the call gets
    another; the bond passes to it where the reason is in `sticky_breaks`, else it stays. `sticky_unanswered_max` unanswered
    calls in a row end it, 0 is never.

    `distinct_max` different caller-IDs at most are shown to one destination in `distinct_days` days; 0 is no bound.

    `minute_limit`, `hourly_limit`, `daily_limit` and `timezone` are the campaign's defaults for the caller-IDs of its
    groups that have none of their own and whose group has none; they are resolved when a `CallerId` is loaded (the tightest
    campaign wins where several share a group), so that a caller-ID has one set of limits and counters.
    """

    name: Campaign
    groups: tuple[Group, ...] = (DEFAULT_GROUP,)
    rungs: tuple[Rung, ...] = (Rung.AREA, Rung.ANY)
    next_groups: tuple[Group, ...] = ()
    weight: int = 1
    attestation_min: Attestation = ""
    exhaustion: Exhaustion = "next_rung"
    overflow_percent: int = 0
    overflow_concurrent: int = 1
    overflow_soft_cap: bool = False
    sticky_days: int = 0
    sticky_by: StickyBy = "lead"
    sticky_breaks: tuple[StickyBreak, ...] = ("resting", "capped")
    sticky_unanswered_max: int = 0
    distinct_max: int = 0
    distinct_days: int = 0
    minute_limit: int | None = None
    hourly_limit: int | None = None
    daily_limit: int | None = None
    timezone: str = ""
    neighbour_miles: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all fields but the name, as JSON can hold them."""
        return {
            field: list(value) if isinstance(value, tuple) else value
            for field in self.__dataclass_fields__
            if field != "name"
            for value in (getattr(self, field),)
        }


def policy_from_dict(name: Campaign, kept: Mapping[str, Any]) -> CampaignPolicy:
    """Read what `to_dict` wrote, also by another version: what is not there has its default, what is not known is left."""
    known: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in kept.items()
        if field in CampaignPolicy.__dataclass_fields__ and field != "name"
    }
    if "rungs" in known:
        known["rungs"] = tuple(Rung(rung) for rung in known["rungs"] if rung in tuple(Rung))
    return CampaignPolicy(name, **known)


def policy_of(campaign: Campaign, policies: Mapping[Campaign, CampaignPolicy]) -> CampaignPolicy:
    """Return the campaign's policy; a campaign nobody has set up uses the group `default`."""
    return policies.get(campaign) or CampaignPolicy(campaign)


def is_group_name(text: str) -> bool:
    """Tell whether `text` can name a group: it becomes part of Redis keys."""
    return _GROUP.fullmatch(text) is not None
