from __future__ import annotations

import subprocess
import sys

import pytest

from ami_rotator.domain.geography import (
    AreaFacts,
    country_of,
    kind_of,
    miles_between,
    north_america,
    places_of,
    places_to_look,
)
from ami_rotator.domain.types import Area, Rung


def facts(code: str) -> AreaFacts:
    return north_america()[Area(code)]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("AK", "907"), ("AL", "205"), ("AR", "501"), ("AZ", "602"), ("CA", "213"), ("CO", "303"), ("CT", "203"),
        ("DC", "202"), ("DE", "302"), ("FL", "305"), ("GA", "404"), ("HI", "808"), ("IA", "515"), ("ID", "208"),
        ("IL", "312"), ("IN", "317"), ("KS", "316"), ("KY", "502"), ("LA", "504"), ("MA", "617"), ("MD", "410"),
        ("ME", "207"), ("MI", "313"), ("MN", "612"), ("MO", "314"), ("MS", "601"), ("MT", "406"), ("NC", "704"),
        ("ND", "701"), ("NE", "402"), ("NH", "603"), ("NJ", "201"), ("NM", "505"), ("NV", "702"), ("NY", "212"),
        ("OH", "216"), ("OK", "405"), ("OR", "503"), ("PA", "215"), ("RI", "401"), ("SC", "803"), ("SD", "605"),
        ("TN", "615"), ("TX", "214"), ("UT", "801"), ("VA", "703"), ("VT", "802"), ("WA", "206"), ("WI", "414"),
        ("WV", "304"), ("WY", "307"),
    ],
)  # fmt: skip
def test_the_oldest_area_code_of_every_state_is_in_it(state: str, code: str) -> None:
    assert facts(code).states == (f"US-{state}",)
    assert facts(code).country == "US"


def test_every_state_and_every_province_has_an_area_code() -> None:
    found = {state for area in north_america().values() for state in area.states}

    states = {state for state in found if state.startswith("US-")} - {"US-AS", "US-GU", "US-MP", "US-PR", "US-VI"}
    assert len(states) == 51
    assert len({state for state in found if state.startswith("CA-")}) == 13


@pytest.mark.parametrize(
    ("code", "states"),
    [
        ("403", ("CA-AB",)), ("604", ("CA-BC",)), ("204", ("CA-MB",)), ("506", ("CA-NB",)), ("709", ("CA-NL",)),
        ("416", ("CA-ON",)), ("514", ("CA-QC",)), ("306", ("CA-SK",)), ("902", ("CA-NS", "CA-PE")),
        ("867", ("CA-NT", "CA-YT", "CA-NU")),
    ],
)  # fmt: skip
def test_canadian_area_codes_are_in_their_provinces(code: str, states: tuple[str, ...]) -> None:
    assert sorted(facts(code).states) == sorted(states)


@pytest.mark.parametrize(
    "codes",
    [
        "212 332 646 917", "347 718 917 929", "201 551", "213 323 738", "310 424", "415 628", "214 469 945 972",
        "281 346 713 832", "305 645 786", "312 872", "404 470 678 943", "416 437 647", "438 514", "604 778 672",
    ],
)  # fmt: skip
def test_the_codes_of_an_overlay_are_filed_and_looked_for_in_one_place(codes: str) -> None:
    first, *others = codes.split()
    look = set(places_to_look(Rung.OVERLAY, Area(first)))

    assert look
    for other in others:
        assert look & set(places_of(Area(other), {Rung.OVERLAY}))


def test_a_code_of_two_overlays_is_found_from_both_and_joins_them_to_no_one() -> None:
    assert facts("917").regions == ("212", "347")
    assert set(facts("212").regions).isdisjoint(facts("718").regions)
    assert set(facts("604").regions).isdisjoint(facts("250").regions)


@pytest.mark.parametrize(
    ("code", "other"),
    [("212", "718"), ("415", "510"), ("312", "708"), ("617", "781"), ("503", "541"), ("416", "905"), ("202", "703")],
)
def test_areas_side_by_side_are_neighbours_of_each_other(code: str, other: str) -> None:
    region = {Area(c) for c in north_america() if set(facts(c).regions) & set(facts(other).regions)} | {Area(other)}

    assert region & set(facts(code).neighbours)


def test_neighbours_are_near_known_and_not_of_the_same_overlay() -> None:
    for area in north_america().values():
        for code in area.neighbours:
            assert code in north_america()
            assert not set(area.regions) & set(facts(code).regions)
    assert Area("310") not in facts("212").neighbours
    assert facts("808").neighbours == ()


def test_neighbours_are_looked_for_region_by_region_nearest_first() -> None:
    places = places_to_look(Rung.NEIGHBOUR, Area("212"))

    assert places[:2] == ("overlay:347", "overlay:201")
    assert len(places) == len(set(places)) <= 6
    for code in ("718", "201"):
        assert set(places_of(Area(code), {Rung.NEIGHBOUR})) & set(places)


@pytest.mark.parametrize(
    ("code", "miles", "near", "far"),
    [
        ("212", 25, ("718", "201", "973", "914"), ("845", "215", "203")),
        ("212", 100, ("845", "215", "203"), ("617", "202")),
        ("312", 30, ("708", "847", "630"), ("414", "815")),
        ("415", 50, ("510", "650", "925", "408"), ("916", "213")),
        ("416", 40, ("905",), ("519", "613", "514")),
    ],
)
def test_neighbours_within_miles_are_by_the_distance_of_centres(
    code: str, miles: int, near: tuple[str, ...], far: tuple[str, ...]
) -> None:
    places = set(places_to_look(Rung.NEIGHBOUR, Area(code), miles=miles))

    assert [other for other in near if not places & {other, *places_of(Area(other), {Rung.NEIGHBOUR})}] == []
    assert [other for other in far if places & {other, *places_of(Area(other), {Rung.NEIGHBOUR})}] == []


def test_neighbours_within_miles_are_the_nearest_first_and_no_overlays_of_its_own() -> None:
    areas = north_america()
    for code, here in areas.items():
        places = places_to_look(Rung.NEIGHBOUR, code, miles=60)
        own = {code, *(f"overlay:{region}" for region in here.regions)}
        away = [
            min(miles_between(here, facts) for other, facts in areas.items()
                if other != code and place in {other, *(f"overlay:{region}" for region in facts.regions)})
            for place in places
        ]  # fmt: skip

        assert own.isdisjoint(places)
        assert away == sorted(away)
        assert len(places) <= 12
        assert max(away, default=0) <= 60
    assert places_to_look(Rung.NEIGHBOUR, Area("808"), miles=60) == ()
    assert places_to_look(Rung.NEIGHBOUR, Area("+4420"), miles=60) == ()


@pytest.mark.parametrize(
    ("code", "zones"),
    [
        ("212", ("America/New_York",)), ("416", ("America/New_York",)), ("312", ("America/Chicago",)),
        ("303", ("America/Denver",)), ("602", ("America/Phoenix",)), ("213", ("America/Los_Angeles",)),
        ("808", ("Pacific/Honolulu",)), ("902", ("America/Halifax",)), ("407", ("America/New_York",)),
        ("689", ("America/New_York",)), ("850", ("America/Chicago", "America/New_York")),
    ],
)  # fmt: skip
def test_time_zones_that_keep_the_same_time_have_one_name(code: str, zones: tuple[str, ...]) -> None:
    assert facts(code).zones == zones


@pytest.mark.parametrize(
    ("area", "kind"),
    [
        ("212", "geographic"), ("800", "toll_free"), ("888", "toll_free"), ("900", "premium"), ("911", "service"),
        ("500", "non_geographic"), ("555", "unknown"), ("+4420", "foreign"), ("", "unknown"),
    ],
)  # fmt: skip
def test_what_an_area_is_for(area: str, kind: str) -> None:
    assert kind_of(Area(area)) == kind


@pytest.mark.parametrize(
    ("area", "country"), [("212", "US"), ("416", "CA"), ("876", "JM"), ("787", "US"), ("+4420", "+44"), ("+3531", "+353"),
                          ("+7495", "+7"), ("555", ""), ("", "")],
)  # fmt: skip
def test_the_country_of_an_area(area: str, country: str) -> None:
    assert country_of(Area(area)) == country


def test_a_caller_id_is_filed_only_where_a_rung_in_use_looks() -> None:
    assert places_of(Area("212"), {Rung.AREA, Rung.ANY}) == ()
    assert places_of(Area("212"), {Rung.STATE}) == ("state:US-NY",)
    assert places_of(Area("+4420"), set(Rung)) == ("country:+44",)
    assert places_of(Area("212"), {Rung.CITY}, "New York") == ("city:212:New York",)
    assert places_of(Area("555"), set(Rung)) == ()


@pytest.mark.parametrize("rung", [rung for rung in Rung if rung not in (Rung.NEIGHBOUR, Rung.ANY, Rung.NEXT_GROUP)])
def test_whatever_a_rung_looks_for_a_caller_id_of_the_same_area_is_filed_there(rung: Rung) -> None:
    for area in (*north_america(), Area("+4420")):
        filed = {str(area), *places_of(area, {rung}, "Town")}

        assert set(places_to_look(rung, area, "Town")) <= filed


@pytest.mark.thorough
def test_the_daemon_does_not_load_the_geocoder() -> None:
    code = "import sys, ami_rotator.app; print([m for m in sys.modules if m.startswith('phonenumbers.geo')])"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert answer.stdout.strip() == "[]"
