"""How many numbers are needed where: demand against caps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ami_rotator.domain.geography import north_america, places_of
from ami_rotator.domain.types import Area, Rung

Per = Literal["area", "region", "state", "all"]
"""What counts as local: the area code, the region that overlays share, the state or province, or everything."""

Bound = Literal["", "day", "hour", "lines"]
"""What decides how many are needed: the daily limit, the hourly limit, or how many calls a number can be on in an hour."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls to one area: on its busiest day, and in its busiest hour."""

    calls_a_day: float
    calls_an_hour: float


@dataclass(frozen=True, slots=True)
class Stock:
    """Caller-IDs of one area that have the same limits."""

    area: Area
    hourly_limit: int
    daily_limit: int
    max_concurrent: int = 1
    caller_ids: int = 1


@dataclass(frozen=True, slots=True)
class Caps:
    """What one number can do: the limits of numbers to buy, and with `replaces_own` of those that are there too (what if).

    `busy_s`: seconds that a call keeps a number, cool-down included. `headroom`: spare share on top of the demand, for
    numbers that rest and days that are busier.
    """

    daily_limit: int
    hourly_limit: int
    busy_s: float = 60.0
    max_concurrent: int = 1
    headroom: float = 0.25
    replaces_own: bool = False


@dataclass(frozen=True, slots=True)
class PlacePlan:
    """One place. `needed` numbers in all, of which `have`; `buy` are missing, `idle` are more than needed.

    `served_share` is the share of the busiest day's calls that the numbers there could serve, without headroom.
    """

    place: str
    calls_a_day: int
    calls_an_hour: int
    have: int
    needed: int
    buy: int
    idle: int
    served_share: float
    bound_by: Bound


@dataclass(frozen=True, slots=True)
class Plan:
    """All places, those that lack most first. `calls_nowhere`: calls a day to what is no place; any number serves them."""

    places: tuple[PlacePlan, ...]
    calls_nowhere: int

    @property
    def needed(self) -> int:
        """Return how many numbers are needed in all."""
        return sum(place.needed for place in self.places)

    @property
    def buy(self) -> int:
        """Return how many are missing."""
        return sum(place.buy for place in self.places)

    @property
    def idle(self) -> int:
        """Return how many are more than needed where they are."""
        return sum(place.idle for place in self.places)

    @property
    def have(self) -> int:
        """Return how many there are."""
        return sum(place.have for place in self.places)


@dataclass(frozen=True, slots=True)
class _Capacity:
    """What each of some numbers can serve."""

    day: float
    hour: float
    lines: float
    count: int = 1


def make_plan(demand: Mapping[Area, Demand], stock: Iterable[Stock], caps: Caps, per: Per = "area") -> Plan:
    """Say how many numbers each place needs. Caller-IDs whose limit is 0 count as not there.

    The busiest hours of areas that are taken together are added up: they may not be the same hour, so the need is rather
    over- than underestimated.
    """
    _check(caps)
    calls: dict[str, Demand] = {}
    nowhere = 0.0
    for area, asked in demand.items():
        place = place_of(area, per)
        if not place:
            nowhere += asked.calls_a_day
            continue
        so_far = calls.get(place, Demand(0, 0))
        calls[place] = Demand(so_far.calls_a_day + asked.calls_a_day, so_far.calls_an_hour + asked.calls_an_hour)
    numbers: dict[str, list[_Capacity]] = {}
    for item in stock:
        place = place_of(item.area, per) or item.area
        if item.daily_limit and item.hourly_limit and item.caller_ids and place:
            numbers.setdefault(place, []).append(_capacity(item, caps))
    new = _bought(caps)
    places = [
        _place(place, calls.get(place, Demand(0, 0)), numbers.get(place, []), new, caps.headroom)
        for place in {*calls, *numbers}
    ]
    return Plan(
        tuple(sorted(places, key=lambda item: (-item.buy, -item.calls_a_day, -item.idle, item.place))),
        math.ceil(nowhere),
    )


def place_of(area: Area, per: Per) -> str:
    """Return the name of the place that an area is in; empty where it is none, such as toll-free."""
    if per == "all":
        return "all"
    facts = north_america().get(area)
    if area.startswith("+"):
        return area
    if facts is None:
        return ""
    if per == "state":
        return facts.states[0] if facts.states else facts.country
    if per == "region":
        # A code of two overlays counts where its first one is.
        return next((place.removeprefix("overlay:") for place in places_of(area, (Rung.OVERLAY,))), area)
    return area


def lead_demand(
    areas: Mapping[Area, int], *, calls_per_lead: float, days: float, hours_a_day: float
) -> dict[Area, Demand]:
    """Return the demand of a lead list: so many leads an area, called so often in so many days of so many hours.

    The busiest hour has half as many calls again as the mean one.

    Raises:
        ValueError: a figure is not above 0.
    """
    if min(calls_per_lead, days, hours_a_day) <= 0:
        raise ValueError(
            "calls per lead, days and hours a day must be above 0; write for example 3 calls, 5 days, 8 hours"
        )
    found = {}
    for area, leads in areas.items():
        a_day = leads * calls_per_lead / days
        found[area] = Demand(a_day, min(a_day, a_day / hours_a_day * 1.5))
    return found


def _check(caps: Caps) -> None:
    if (
        caps.daily_limit < 1
        or caps.hourly_limit < 1
        or caps.busy_s <= 0
        or caps.max_concurrent < 1
        or caps.headroom < 0
    ):
        raise ValueError(
            "a plan needs a daily and an hourly limit of 1 or more, busy seconds above 0 and a headroom of 0 or more;"
            " write for example 100 a day, 20 an hour, 60 seconds, 0.25"
        )


def _bought(caps: Caps) -> _Capacity:
    return _Capacity(caps.daily_limit, caps.hourly_limit, caps.max_concurrent * 3600 / caps.busy_s)


def _capacity(item: Stock, caps: Caps) -> _Capacity:
    if caps.replaces_own:
        return replace(_bought(caps), count=item.caller_ids)
    lines = item.max_concurrent * 3600 / caps.busy_s
    return _Capacity(item.daily_limit, item.hourly_limit, lines, item.caller_ids)


def _place(place: str, asked: Demand, numbers: Sequence[_Capacity], new: _Capacity, headroom: float) -> PlacePlan:
    day, hour = asked.calls_a_day * (1 + headroom), asked.calls_an_hour * (1 + headroom)
    each: list[tuple[int, int, Bound]] = [
        (*_count([(number.day, number.count) for number in numbers], day, new.day), "day"),
        (*_count([(number.hour, number.count) for number in numbers], hour, new.hour), "hour"),
        (*_count([(number.lines, number.count) for number in numbers], hour, new.lines), "lines"),
    ]
    have = sum(number.count for number in numbers)
    needed, buy, bound_by = max(each, key=lambda item: (item[1], item[0]))
    needed = max(item[0] for item in each)
    served = min(
        _share(sum(number.day * number.count for number in numbers), asked.calls_a_day),
        _share(sum(number.hour * number.count for number in numbers), asked.calls_an_hour),
        _share(sum(number.lines * number.count for number in numbers), asked.calls_an_hour),
    )
    return PlacePlan(
        place=place,
        calls_a_day=math.ceil(asked.calls_a_day),
        calls_an_hour=math.ceil(asked.calls_an_hour),
        have=have,
        needed=needed,
        buy=buy,
        idle=max(have - needed, 0),
        served_share=round(served, 3),
        bound_by=bound_by if needed else "",
    )


def _count(have: Sequence[tuple[float, int]], wanted: float, new: float) -> tuple[int, int]:
    """Return how many numbers serve what is wanted, the strongest first and bought ones last, and how many are bought."""
    used = 0
    for capacity, count in sorted(have, reverse=True):
        if wanted <= 1e-9:
            break
        taken = min(count, math.ceil(wanted / capacity - 1e-9))
        wanted -= taken * capacity
        used += taken
    buy = math.ceil(wanted / new - 1e-9) if wanted > 1e-9 else 0
    return used + buy, buy


def _share(capacity: float, asked: float) -> float:
    return 1.0 if asked <= capacity else capacity / asked


def what_if(caps: Caps, *, daily_limit: int | None, hourly_limit: int | None) -> Caps:
    """Return caps in which these limits stand for the numbers' own too."""
    if daily_limit is None and hourly_limit is None:
        return caps
    return replace(
        caps,
        daily_limit=caps.daily_limit if daily_limit is None else daily_limit,
        hourly_limit=caps.hourly_limit if hourly_limit is None else hourly_limit,
        replaces_own=True,
    )
