"""Fictional campaigns, people to call and caller-IDs to call them with: all numbers are in exchange 555."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import TypedDict

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Area, Campaign, Group


@dataclass(frozen=True, slots=True)
class SimulatedCampaign:
    """A campaign that dials. `weight` is its share of the calls, `groups` where its caller-IDs are."""

    name: Campaign
    dial_prefix: str
    groups: tuple[Group, ...]
    weight: float = 1.0


DEMO_CAMPAIGNS = (
    SimulatedCampaign(Campaign("SALES"), "9", (Group("sales"),), 5.0),
    SimulatedCampaign(Campaign("SURVEY"), "8", (Group("survey"),), 3.0),
    SimulatedCampaign(Campaign("RENEWAL"), "7", (Group("renewal"), Group("sales")), 2.0),
)

# Large area codes with the millions of people they serve, roughly: what matters is that a few are far busier than most.
DEMO_AREAS: Mapping[Area, float] = MappingProxyType(
    {
        Area(code): people
        for code, people in (
            ("201", 1.2), ("202", 0.7), ("203", 1.1), ("206", 0.8), ("212", 1.7), ("213", 1.1), ("214", 2.6),
            ("215", 1.9), ("216", 0.9), ("301", 1.6), ("303", 1.9), ("305", 2.4), ("310", 1.6), ("312", 0.9),
            ("313", 1.0), ("314", 1.2), ("317", 1.6), ("323", 1.9), ("336", 1.4), ("347", 2.9), ("402", 1.2),
            ("404", 1.1), ("407", 1.9), ("408", 1.6), ("410", 1.8), ("412", 1.2), ("413", 0.8), ("414", 1.0),
            ("415", 0.9), ("480", 1.5), ("502", 1.1), ("503", 1.8), ("504", 0.8), ("512", 1.8), ("513", 1.4),
            ("515", 0.8), ("516", 1.3), ("602", 1.8), ("612", 0.6), ("614", 1.4), ("615", 1.4), ("617", 1.1),
            ("619", 1.3), ("678", 1.9), ("702", 2.2), ("704", 1.9), ("713", 2.3), ("716", 1.1), ("718", 2.9),
            ("732", 1.3), ("757", 1.7), ("770", 2.3), ("801", 1.9), ("804", 1.2), ("813", 1.5), ("816", 1.3),
            ("832", 2.3), ("901", 1.1), ("904", 1.4), ("916", 1.8), ("919", 1.7), ("972", 2.6),
        )
    }
)  # fmt: skip

# 555-0100 to 555-0199 are set aside for fiction. The upper half are the people called, so that nobody calls himself.
PEOPLE_LINES = range(150, 200)
_FIRST_LINES = range(100, 150)
_DIRECTORY_ASSISTANCE = 1212


class DemoCallerId(TypedDict):
    """One row, with the columns of the import; empty means the default."""

    caller_id: str
    carrier: str
    area_code: str
    daily_limit: str
    hourly_limit: str
    meta_json: str
    group: str


def demo_inventory(
    count: int, areas: Mapping[Area, float] = DEMO_AREAS, groups: Iterable[Group] = (Group("sales"),)
) -> Iterator[DemoCallerId]:
    """Yield `count` caller-IDs in E.164, spread over the areas by weight and over the groups in turn.

    Each area takes the lines set aside for fiction first, then other lines of exchange 555.

    Raises:
        ValueError: more than the areas have room for, about 9,800 each.
    """
    wanted = _shares(count, areas)
    group_names = tuple(groups)
    number = 0
    for area, share in wanted.items():
        lines = _lines()
        for _ in range(share):
            line = next(lines, None)
            if line is None:
                raise ValueError(
                    f"area {area} has no room for {share} fictional numbers; ask for fewer, or for more areas"
                )
            yield DemoCallerId(
                caller_id=f"+1{area}555{line:04d}",
                carrier=("carrier", "carrier2")[number % 2],
                area_code=area,
                daily_limit="",
                hourly_limit="",
                meta_json="",
                group=group_names[number % len(group_names)],
            )
            number += 1


def demo_groups(campaigns: Iterable[SimulatedCampaign]) -> tuple[Group, ...]:
    """Return the groups of these campaigns, each once."""
    return tuple(dict.fromkeys(group for campaign in campaigns for group in campaign.groups))


def demo_policies(campaigns: Iterable[SimulatedCampaign]) -> tuple[CampaignPolicy, ...]:
    """Return the policies that let these campaigns use their groups."""
    return tuple(CampaignPolicy(campaign.name, campaign.groups) for campaign in campaigns)


def _lines() -> Iterator[int]:
    yield from _FIRST_LINES
    yield from (line for line in range(PEOPLE_LINES.stop, 10_000) if line != _DIRECTORY_ASSISTANCE)


def _shares(count: int, areas: Mapping[Area, float]) -> dict[Area, int]:
    """Split `count` by weight, without losing one to rounding."""
    total = sum(areas.values())
    ends = [round(count * upto / total) for upto in accumulate(areas.values())]
    return {area: end - start for area, start, end in zip(areas, [0, *ends[:-1]], ends, strict=True)}
