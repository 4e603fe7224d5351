"""A map of North America as a grid of tiles, one a state, in each its area codes: supply against demand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ami_rotator.domain.geography import north_america
from ami_rotator.domain.types import Area
from ami_rotator.http.pages.call_rows import RUNGS
from ami_rotator.ledger.usage import AreaCalls, AreaSupply

TILE = 64
_INSET = 4
_LABEL = 16
_CELL_MAX = 13.0
_TIGHT = 0.5
TABLE_MAX = 200
_DAY_MS = 86_400_000

# Rows from north to south, as such maps of the United States have them; Canada's provinces stand above.
_ROWS = (
    "   YT NT NU                   NL",
    "   BC AB SK MB    ON QC NB PE NS",
    "AK                            ME",
    "                           VT NH",
    "WA ID MT ND MN IL WI MI NY RI MA",
    "OR NV WY SD IA IN OH PA NJ CT   ",
    "CA UT CO NE MO KY WV VA MD DE   ",
    "   AZ NM KS AR TN NC SC DC      ",
    "         OK LA MS AL GA         ",
    "HI       TX             FL    PR",
)
_CANADA = frozenset(["YT", "NT", "NU", "NL", "BC", "AB", "SK", "MB", "ON", "QC", "NB", "PE", "NS"])
COLUMNS = 11
WIDTH = COLUMNS * TILE
HEIGHT = len(_ROWS) * TILE

Level = Literal["none", "spare", "fine", "tight", "short"]
LEVELS: dict[Level, str] = {
    "short": "more calls than uses",
    "tight": "over half used",
    "fine": "enough",
    "spare": "ours, not called",
    "none": "neither",
}


class Look(Protocol):
    """What a square shows: its colour, and the words behind it."""

    @property
    def level(self) -> Level: ...
    @property
    def words(self) -> str: ...


@dataclass(frozen=True, slots=True)
class AreaLook:
    """Supply and demand of one area. `calls_a_day` is dialled, `uses_a_day` what its caller-IDs may be used."""

    area: str
    state: str
    caller_ids: int
    uses_a_day: int
    calls_a_day: float
    local: int
    served: int
    level: Level

    @property
    def local_percent(self) -> str:
        """The share of its calls that showed a number of the same area."""
        return f"{100 * self.local / self.served:.0f} %" if self.served else "–"

    @property
    def words(self) -> str:
        """What the square says."""
        return f"{self.area}: {self.calls_a_day:,.0f} calls a day, {self.caller_ids:,} caller-IDs. {LEVELS[self.level]}"


@dataclass(frozen=True, slots=True)
class Square:
    """An area in its tile."""

    look: Look
    x: float
    y: float
    size: float


@dataclass(frozen=True, slots=True)
class Tile:
    """A state."""

    code: str
    x: int
    y: int
    squares: tuple[Square, ...]


@dataclass(frozen=True, slots=True)
class RungShare:
    """How many calls were served on a rung, or not."""

    name: str
    calls: int
    percent: int
    is_miss: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """The map, its table (what needs a look first; `hidden` rows did not fit) and how calls were served."""

    tiles: tuple[Tile, ...]
    areas: tuple[AreaLook, ...]
    hidden: int
    rungs: tuple[RungShare, ...]
    calls: int
    days: float
    summary: str
    width: int = WIDTH
    height: int = HEIGHT


def coverage(calls: Sequence[AreaCalls], supply: Sequence[AreaSupply], now_ms: int, most: int) -> Coverage:
    """Return the picture of the newest calls (`most` were asked for) against the caller-IDs of now."""
    total = sum(item.calls for item in calls)
    oldest = min((item.oldest_ms for item in calls), default=now_ms)
    span_days = (now_ms - oldest) / _DAY_MS
    # Fewer than were asked for are all there are: then a first hour is not taken for a whole day's rate.
    days = max(span_days, 1 / 1440) if total >= most else max(span_days, 1.0)
    looks = {look.area: look for look in _looks(calls, supply, days)}
    short = [look for look in looks.values() if look.level == "short"]
    tight = sum(look.level == "tight" for look in looks.values())
    summary = (
        f"{len(short)} areas have more calls than uses, {tight} are tight."
        if short or tight
        else "Every area that is called has enough caller-IDs."
        if total
        else "No calls to compare with yet."
    )
    shown = sorted(looks.values(), key=lambda look: (list(LEVELS).index(look.level), -look.calls_a_day, look.area))
    return Coverage(
        tiles(looks),
        tuple(shown[:TABLE_MAX]),
        max(0, len(shown) - TABLE_MAX),
        _rungs(calls, total),
        total,
        days,
        summary,
    )


def _looks(calls: Sequence[AreaCalls], supply: Sequence[AreaSupply], days: float) -> Iterable[AreaLook]:
    atlas = north_america()
    ours: dict[str, tuple[int, int]] = {}
    for have in supply:
        count, uses = ours.get(have.area, (0, 0))
        ours[have.area] = (count + have.caller_ids, uses + have.uses)
    dialled: dict[str, int] = {}
    local: dict[str, int] = {}
    served: dict[str, int] = {}
    for item in calls:
        dialled[item.area] = dialled.get(item.area, 0) + item.calls
        if not item.miss_reason:
            served[item.area] = served.get(item.area, 0) + item.calls
            if item.rung in ("area", "city"):
                local[item.area] = local.get(item.area, 0) + item.calls
    for area in sorted({*ours, *dialled} - {""}):
        count, uses = ours.get(area, (0, 0))
        wanted = dialled.get(area, 0) / days
        facts = atlas.get(Area(area))
        state = facts.states[0].partition("-")[2] if facts and facts.states else ""
        level = _level(wanted, uses)
        yield AreaLook(area, state, count, uses, wanted, local.get(area, 0), served.get(area, 0), level)


def _level(wanted: float, uses: int) -> Level:
    if not wanted:
        return "spare" if uses else "none"
    if wanted > uses:
        return "short"
    return "tight" if wanted > _TIGHT * uses else "fine"


def tiles(looks: Mapping[str, Look]) -> tuple[Tile, ...]:
    """Return the map: every area of the states and provinces, those without a look as neither called nor ours."""
    by_state: dict[str, list[str]] = {}
    for area, facts in north_america().items():
        for state in facts.states:
            by_state.setdefault(state, []).append(area)
    found = []
    for row, text in enumerate(_ROWS):
        for column in range(COLUMNS):
            code = text[3 * column : 3 * column + 2].strip()
            if not code:
                continue
            country = "CA" if code in _CANADA else "US"
            areas = sorted(by_state.get(f"{country}-{code}", by_state.get(code, [])))
            places = [looks.get(area) or AreaLook(area, code, 0, 0, 0.0, 0, 0, "none") for area in areas]
            found.append(Tile(code, column * TILE, row * TILE, _squares(places)))
    return tuple(found)


def _squares(places: Sequence[Look]) -> tuple[Square, ...]:
    if not places:
        return ()
    wide, high = TILE - 2 * _INSET, TILE - _LABEL - _INSET
    columns = max(4, math.ceil(math.sqrt(len(places) * wide / high)))
    while math.ceil(len(places) / columns) * (wide / columns) > high:
        columns += 1
    step = min(_CELL_MAX, wide / columns)
    return tuple(
        Square(
            look,
            round(_INSET + index % columns * step, 1),
            round(_LABEL + _INSET / 2 + index // columns * step, 1),
            round(step - 1.5, 1),
        )
        for index, look in enumerate(places)
    )


def _rungs(calls: Sequence[AreaCalls], total: int) -> tuple[RungShare, ...]:
    counts: dict[tuple[bool, str], int] = {}
    for item in calls:
        key = (bool(item.miss_reason), item.rung)
        counts[key] = counts.get(key, 0) + item.calls
    order = list(RUNGS)
    return tuple(
        RungShare(
            "none of ours" if is_miss else RUNGS.get(rung, rung or "unknown"),
            count,
            round(100 * count / total),
            is_miss,
        )
        for (is_miss, rung), count in sorted(
            counts.items(), key=lambda item: (item[0][0], order.index(item[0][1]) if item[0][1] in order else 99)
        )
    )
