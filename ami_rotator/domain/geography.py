"""Where an area is and what is near it: North America from `data/npa.csv`, elsewhere the country alone."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from ami_rotator.domain.types import Area, Rung

Kind = Literal["geographic", "toll_free", "premium", "service", "non_geographic", "foreign", "unknown"]
"""What an area is for. `service` are 211 to 911; `unknown` is an area code that is not in use, such as 555."""

# NANPA's NPA report of 2025-11-26, the codes whose use is not geographic.
_TOLL_FREE = frozenset({"800", "822", "833", "844", "855", "866", "877", "888"})
_NON_GEOGRAPHIC = frozenset({
    "500", "521", "522", "523", "524", "525", "526", "527", "528", "529", "532", "533", "538", "544", "566",
    "577", "588", "600", "622", "633", "700", "710",
})  # fmt: skip

_NOWHERE = frozenset({"toll_free", "premium", "service", "non_geographic"})
_NEIGHBOURS_MAX = 6
_WITHIN_MAX = 12
_EARTH_RADIUS_MILES = 3958.8


@dataclass(frozen=True, slots=True)
class AreaFacts:
    """One North American area code.

    `country` is ISO 3166; `states` ISO 3166-2, several where it covers several provinces; `zones` IANA names, one for all
    zones that keep the same time; `regions` the names of the overlays that it is part of; `neighbours` the nearest first;
    `latitude` and `longitude` the mean of its exchanges.
    """

    area: Area
    country: str
    states: tuple[str, ...]
    zones: tuple[str, ...]
    regions: tuple[str, ...]
    neighbours: tuple[Area, ...]
    latitude: float
    longitude: float


@cache
def north_america() -> Mapping[Area, AreaFacts]:
    """Return every area code in service. Read once; where it comes from is in `data/SOURCES.md`."""
    text = files("ami_rotator").joinpath("data/npa.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    overlays = {overlay for row in rows for overlay in row["overlays"].split()}
    uses = Counter(code for overlay in overlays for code in overlay.split("/"))
    # 236 is in the overlays of 250 and of 604: a region is named by the lowest code that is in no other.
    names = {
        overlay: min((code for code in overlay.split("/") if uses[code] == 1), default=overlay) for overlay in overlays
    }
    return MappingProxyType(
        {
            Area(row["area"]): AreaFacts(
                area=Area(row["area"]),
                country=row["country"],
                states=tuple(row["states"].split()),
                zones=tuple(row["zones"].split()),
                regions=tuple(names[overlay] for overlay in row["overlays"].split()),
                neighbours=tuple(Area(code) for code in row["neighbours"].split()),
                latitude=float(row["latitude"]),
                longitude=float(row["longitude"]),
            )
            for row in rows
        }
    )


def kind_of(area: Area) -> Kind:
    """Tell what an area is for."""
    if area.startswith("+"):
        return "foreign"
    if area in north_america():
        return "geographic"
    if area in _TOLL_FREE:
        return "toll_free"
    if area == "900":
        return "premium"
    if area.endswith("11"):
        return "service"
    return "non_geographic" if area in _NON_GEOGRAPHIC else "unknown"


def country_of(area: Area) -> str:
    """Return an area's country: ISO 3166 in North America, `+44` elsewhere; empty where it is not known."""
    facts = north_america().get(area)
    if facts is not None:
        return facts.country
    # Country codes are no prefixes of each other (ITU-T E.164).
    for width in (1, 2, 3):
        if area.startswith("+") and int(area[1 : width + 1] or 0) in COUNTRY_CODE_TO_REGION_CODE:
            return area[: width + 1]
    return ""


def places_of(area: Area, rungs: Collection[Rung], city: str = "") -> tuple[str, ...]:
    """Return the names under which a caller-ID of this area is filed, besides its area, so that these rungs find it."""
    facts = north_america().get(area)
    places: list[str] = []
    if Rung.CITY in rungs and city:
        places.append(city_place(area, city))
    if facts is not None:
        if Rung.OVERLAY in rungs or Rung.NEIGHBOUR in rungs:
            places.extend(f"overlay:{region}" for region in facts.regions)
        if Rung.STATE in rungs:
            places.extend(f"state:{state}" for state in facts.states)
        if Rung.ZONE in rungs:
            places.extend(f"zone:{zone}" for zone in facts.zones)
    country = country_of(area)
    if Rung.COUNTRY in rungs and country:
        places.append(f"country:{country}")
    return tuple(places)


def places_to_look(rung: Rung, area: Area, city: str = "", miles: int = 0) -> tuple[str, ...]:
    """Return the places where a rung looks for a call to this area, nearest first; none where it does not apply.

    Neighbours are the areas that border on it or, with `miles`, those whose centre is at most so far from its own.
    """
    facts = north_america().get(area)
    if rung is Rung.ANY:
        return ("",)
    if rung is Rung.AREA:
        return (area,) if area and kind_of(area) not in _NOWHERE else ()
    if rung is Rung.CITY:
        return (city_place(area, city),) if city else ()
    if rung is Rung.COUNTRY:
        country = country_of(area)
        return (f"country:{country}",) if country else ()
    if facts is None:
        return ()
    if rung is Rung.NEIGHBOUR:
        return _within(area, miles) if miles else _neighbours(area)
    return places_of(area, (rung,))


def city_place(area: Area, city: str) -> str:
    """Name a city of an area."""
    return f"city:{area}:{city}"


def miles_between(one: AreaFacts, other: AreaFacts) -> float:
    """Return the great-circle distance between the centres of two areas (haversine)."""
    lat, lon, other_lat, other_lon = map(math.radians, (one.latitude, one.longitude, other.latitude, other.longitude))
    h = (
        math.sin((other_lat - lat) / 2) ** 2
        + math.cos(lat) * math.cos(other_lat) * math.sin((other_lon - lon) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS_MILES * math.asin(math.sqrt(h))


@lru_cache(maxsize=5000)
def _within(area: Area, miles: int) -> tuple[str, ...]:
    atlas = north_america()
    here = atlas[area]
    away = sorted((miles_between(here, facts), code) for code, facts in atlas.items() if code != area)
    return _places(here, [code for distance, code in away if distance <= miles])[:_WITHIN_MAX]


@cache
def _neighbours(area: Area) -> tuple[str, ...]:
    facts = north_america()[area]
    return _places(facts, facts.neighbours)[:_NEIGHBOURS_MAX]


def _places(facts: AreaFacts, codes: Sequence[Area]) -> tuple[str, ...]:
    """Return where caller-IDs of these areas are filed, in their order; those of its own overlays are no neighbours."""
    found: dict[str, None] = {}
    for code in codes:
        of_code = north_america()[code].regions
        # One place for all codes of an overlay: a caller-ID is filed under its region.
        regions = [region for region in of_code if region not in facts.regions]
        if regions or not of_code:
            found.update(dict.fromkeys([f"overlay:{region}" for region in regions] or [code]))
    return tuple(found)
