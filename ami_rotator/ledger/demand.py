"""What was called and what there is, by area, for planning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.planner import Demand, Stock
from ami_rotator.domain.types import E164, Area, Campaign, Group
from ami_rotator.domain.warmup import DAYS_MAX, daily_limit
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.ledger.opt_outs import EVERY_CAMPAIGN


@dataclass(frozen=True, slots=True)
class PastDemand:
    """Demand by area, calls in all, and seconds from assignment to end of a call, 0 where none has ended."""

    areas: dict[Area, Demand]
    calls: int
    call_s: float


async def past_demand(database: Database, since: date, campaign: Campaign = EVERY_CAMPAIGN) -> PastDemand:
    """Return what was asked for since a day of the limits' time zone: the busiest day and the busiest hour of each area.

    `campaign` limits it to one. Calls whose destination is no number are left out, and those of the last minute:
    `upkeep.roll_up_usage` counts them.
    """
    areas: dict[Area, Demand] = {}
    rows = await database.rows("demand_by_prefix", since, campaign)
    for row in rows:
        area = area_of(E164(row["sample"]))
        so_far = areas.get(area, Demand(0, 0))
        areas[area] = Demand(so_far.calls_a_day + row["calls_a_day"], so_far.calls_an_hour + row["calls_an_hour"])
    ended = sum(row["ended"] for row in rows)
    seconds = sum(row["seconds"] for row in rows)
    return PastDemand(areas, sum(row["calls"] for row in rows), seconds / ended if ended else 0.0)


async def stock_by_area(
    database: Database, groups: Sequence[Group] | None, defaults: LimitDefaults, now_s: float
) -> list[Stock]:
    """Return the caller-IDs of groups (None: of all) that are not disabled, with the limits that they have today."""
    first_day = datetime.fromtimestamp(now_s, defaults.zone).date() - timedelta(days=DAYS_MAX + 1)
    names = None if groups is None else list(groups)
    found = []
    for row in await database.rows("stock_by_area", names, defaults.hourly_limit, defaults.daily_limit, first_day):
        limit = row["daily_limit"]
        if row["warmup"]:
            zone = ZoneInfo(row["timezone"]) if row["timezone"] else defaults.zone
            today = datetime.fromtimestamp(now_s, zone).date()
            limit = daily_limit(limit, row["warmup"], (today - row["warmup_from"]).days)
        found.append(Stock(Area(row["area"]), row["hourly_limit"], limit, row["max_concurrent"], row["caller_ids"]))
    return found
