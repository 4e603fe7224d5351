"""How caller-IDs were used, by hour and day, and where calls went: what the charts are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ami_rotator.domain.types import E164, Area, Group
from ami_rotator.ledger.database import Database


@dataclass(frozen=True, slots=True)
class HourOfUse:
    """The hour that began at `at_ms`."""

    at_ms: int
    calls: int
    answered: int


@dataclass(frozen=True, slots=True)
class DayOfUse:
    """A day of the time zone of the limits. `short`: answered for less than six seconds; `declined`: reported calls too."""

    day: date
    calls: int
    dialled: int
    answered: int
    short: int
    declined: int
    not_found: int
    talk_ms: int


@dataclass(frozen=True, slots=True)
class AreaCalls:
    """Calls to one area (empty: none known) that were served in one way: on a rung, or not, for a reason."""

    area: str
    miss_reason: str
    rung: str
    calls: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class AreaSupply:
    """Caller-IDs of one group and area that are switched on, and their uses a day together."""

    group: Group
    area: Area
    caller_ids: int
    uses: int


@dataclass(frozen=True, slots=True)
class CampaignUse:
    """What a campaign dialled on the counted days."""

    campaign: str
    calls: int
    missed: int
    dialled: int
    answered: int


async def by_hour(database: Database, number: E164, since_ms: int) -> list[HourOfUse]:
    """Return the hours in which a caller-ID was used, oldest first."""
    return [HourOfUse(**row) for row in await database.rows("usage_by_hour", number, since_ms)]


async def by_day(database: Database, number: E164, since: date) -> list[DayOfUse]:
    """Return the days on which a caller-ID was used, oldest first."""
    return [DayOfUse(**row) for row in await database.rows("usage_by_day", number, since)]


async def calls_by_area(database: Database, campaign: str, since_ms: int, most: int) -> list[AreaCalls]:
    """Return where the newest `most` calls of a campaign (empty: of all) went, and how they were served."""
    return [AreaCalls(**row) for row in await database.rows("newest_calls_by_area", campaign, since_ms, most)]


async def supply(database: Database, groups: Sequence[Group] | None, default_daily_limit: int) -> list[AreaSupply]:
    """Return the caller-IDs of groups (None: of all) by group and area."""
    names = None if groups is None else list(groups)
    return [
        AreaSupply(Group(row["group_name"]), Area(row["area"]), row["caller_ids"], row["uses"])
        for row in await database.rows("supply_by_area", names, default_daily_limit)
    ]


async def campaigns_seen(database: Database, since: date) -> list[CampaignUse]:
    """Return the campaigns that dialled, the busiest first."""
    return [CampaignUse(**row) for row in await database.rows("campaigns_seen", since)]
