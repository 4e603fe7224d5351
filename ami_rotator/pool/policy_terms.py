"""A campaign's ladder and policy in the words that the scripts read (lua/include/question.lua, policy.lua)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

import orjson

from ami_rotator.domain.caller_id import Attestation
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.ladder import Step
from ami_rotator.domain.types import Area, Campaign, Group, Rung

_DAY_MS = 86_400_000
_TEXTS_MOST = 10_000


def ladder_text(steps: Sequence[Step]) -> str:
    """Return the steps, a line each."""
    return "".join([f"{step.rung.value}\t{step.group}\t{step.place}\n" for step in steps])


class LadderTexts:
    """The texts of ladders that were asked for before. `domain.ladder.steps` returns the same object for the same ladder, so
    that the object is the key: to compare all its steps would take as long as to write them."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Sequence[Step], str]] = {}

    def __call__(self, steps: Sequence[Step]) -> str:
        """Return the text of a ladder."""
        kept = self._texts.get(id(steps))
        if kept is None or kept[0] is not steps:
            if len(self._texts) >= _TEXTS_MOST:
                self._texts.clear()
            kept = self._texts[id(steps)] = (steps, ladder_text(steps))
        return kept[1]


def warm_pool(campaign: Campaign, area: Area, steps: Sequence[Step]) -> str:
    """Return the name of the warm pool for a call; empty where the first rung looks nearer than the area, or farther."""
    return f"{campaign}|{area}" if area and steps and steps[0].rung is Rung.AREA else ""


def attestations_from(least: Attestation) -> str:
    """Return the levels that are at least so good: `AB` for B; empty for any."""
    return {"": "", "A": "A", "B": "AB", "C": "ABC"}[least]


def shared_groups(policies: Mapping[Campaign, CampaignPolicy]) -> frozenset[Group]:
    """Return the groups that several campaigns use: they share them by weight."""
    users = Counter(group for policy in policies.values() for group in {*policy.groups, *policy.next_groups})
    return frozenset(group for group, count in users.items() if count > 1)


def terms_of(policy: CampaignPolicy, shared: Set[Group]) -> str:
    """Return what a policy says beyond its ladder, as JSON; empty where it says nothing.

    `att` levels that will do; `ex` exhaustion, with `pct` of calls, `oc` live calls and `soft` for overflow; `sd` sticky ms,
    `sb` by lead or destination, `br` what ends a bond, `su` unanswered calls that do; `dm` caller-IDs in `dd` ms to one
    destination; `w` weight in the `shared` groups.
    """
    terms: dict[str, Any] = {}
    if policy.attestation_min:
        terms["att"] = attestations_from(policy.attestation_min)
    if policy.exhaustion != "next_rung":
        terms["ex"] = policy.exhaustion
    if policy.exhaustion == "overflow":
        terms |= {"pct": policy.overflow_percent, "oc": policy.overflow_concurrent, "soft": policy.overflow_soft_cap}
    if policy.sticky_days:
        terms |= {"sd": policy.sticky_days * _DAY_MS, "sb": policy.sticky_by, "su": policy.sticky_unanswered_max}
        terms["br"] = dict.fromkeys(policy.sticky_breaks, True)
    if policy.distinct_max:
        terms |= {"dm": policy.distinct_max, "dd": policy.distinct_days * _DAY_MS}
    mine = shared & {*policy.groups, *policy.next_groups}
    if mine:
        terms |= {"w": policy.weight, "shared": dict.fromkeys(sorted(mine), True)}
    return orjson.dumps(terms).decode() if terms else ""
