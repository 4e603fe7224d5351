"""A campaign's policy: which groups it may use, in which order, and how far from the person called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ami_rotator.domain.types import Campaign, Group, Rung

DEFAULT_GROUP = Group("default")
_GROUP = re.compile(r"[A-Za-z0-9_.\-]{1,40}")


@dataclass(frozen=True, slots=True)
class CampaignPolicy:
    """The policy of one campaign. It never uses a group that is not in `groups`."""

    name: Campaign
    groups: tuple[Group, ...] = (DEFAULT_GROUP,)
    rungs: tuple[Rung, ...] = (Rung.AREA, Rung.ANY)


def policy_of(campaign: Campaign, policies: Mapping[Campaign, CampaignPolicy]) -> CampaignPolicy:
    """Return the campaign's policy; a campaign nobody has set up uses the group `default`."""
    return policies.get(campaign) or CampaignPolicy(campaign)


def is_group_name(text: str) -> bool:
    """Tell whether `text` can name a group: it becomes part of Redis keys."""
    return _GROUP.fullmatch(text) is not None
