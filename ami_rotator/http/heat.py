"""The warm pools as a heat map: campaign by area, the most called ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ami_rotator.http.deps import WarmDepth

CAMPAIGNS_MAX = 12
AREAS_MAX = 16


@dataclass(frozen=True, slots=True)
class Cell:
    """A warm pool; `level` 0 (nothing warm) to 5 (the deepest on the page). `is_short`: called, but nothing warm."""

    depth: int
    calls_per_minute: str
    level: int
    is_short: bool


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A campaign's warm pools, in the order of the table's areas; None where it has none."""

    campaign: str
    cells: tuple[Cell | None, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Heat:
    """Warm pools by campaign and area, the most called ones; `hidden` pools did not fit."""

    areas: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    hidden: int


def heat(warm: Sequence[WarmDepth]) -> Heat:
    """Return the table of warm pools: the most called campaigns and areas, as many as fit."""
    by_campaign: dict[str, float] = {}
    by_area: dict[str, float] = {}
    for pool in warm:
        # A little for depth, so that pools nobody calls now still have an order.
        weight = pool.calls_per_minute + pool.depth / 1000
        by_campaign[pool.campaign] = by_campaign.get(pool.campaign, 0) + weight
        by_area[pool.area] = by_area.get(pool.area, 0) + weight
    campaigns = sorted(sorted(by_campaign, key=lambda name: (-by_campaign[name], name))[:CAMPAIGNS_MAX])
    areas = sorted(sorted(by_area, key=lambda name: (-by_area[name], name))[:AREAS_MAX])
    deepest = max((pool.depth for pool in warm), default=0)
    depth_of: dict[str, int] = {}
    cells: dict[tuple[str, str], Cell] = {}
    for pool in warm:
        depth_of[pool.campaign] = depth_of.get(pool.campaign, 0) + pool.depth
        if pool.campaign in campaigns and pool.area in areas:
            cells[pool.campaign, pool.area] = _cell(pool, deepest)
    rows = tuple(
        HeatRow(campaign, tuple(cells.get((campaign, area)) for area in areas), depth_of[campaign])
        for campaign in campaigns
    )
    return Heat(tuple(areas), rows, len(warm) - len(cells))


def _cell(pool: WarmDepth, deepest: int) -> Cell:
    level = 0 if pool.depth == 0 else 1 + min(4, int(4 * pool.depth / deepest))
    return Cell(pool.depth, f"{pool.calls_per_minute:.1f}", level, pool.depth == 0 and pool.calls_per_minute >= 0.1)
