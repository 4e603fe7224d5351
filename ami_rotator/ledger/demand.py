"""What was called, by area, for planning."""

from __future__ import annotations

from dataclasses import dataclass

from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.planner import Demand
from ami_rotator.domain.types import E164, Area, Campaign
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.opt_outs import EVERY_CAMPAIGN

_READ_S = 60.0


@dataclass(frozen=True, slots=True)
class PastDemand:
    """Demand by area, calls in all, and seconds from assignment to end of a call, 0 where none has ended."""

    areas: dict[Area, Demand]
    calls: int
    call_s: float


async def past_demand(database: Database, days: int, zone: str, campaign: Campaign = EVERY_CAMPAIGN) -> PastDemand:
    """Return what was asked for in the last days: the busiest day and the busiest hour of each area.

    `zone` tells where days begin; `campaign` limits it to one. Calls whose destination is no number are left out.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(database.query("demand_by_prefix"), days, zone, campaign, timeout=_READ_S)
    areas: dict[Area, Demand] = {}
    for row in rows:
        area = area_of(E164(row["sample"]))
        so_far = areas.get(area, Demand(0, 0))
        areas[area] = Demand(so_far.calls_a_day + row["calls_a_day"], so_far.calls_an_hour + row["calls_an_hour"])
    ended = sum(row["ended"] for row in rows)
    seconds = sum(row["seconds"] for row in rows)
    return PastDemand(areas, sum(row["calls"] for row in rows), seconds / ended if ended else 0.0)
