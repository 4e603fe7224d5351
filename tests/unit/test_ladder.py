from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.domain.campaign import CampaignPolicy, policy_from_dict
from ami_rotator.domain.geography import north_america, places_of
from ami_rotator.domain.ladder import Step, steps
from ami_rotator.domain.types import Area, Campaign, Group, Rung

SALES = Campaign("SALES")
ONE, TWO, SPARE = Group("one"), Group("two"), Group("spare")
NO_AREA = ["", "800", "900", "911", "500"]

rung_lists = st.lists(st.sampled_from(list(Rung)), min_size=1, unique=True).map(tuple)
areas = st.sampled_from([*sorted(north_america()), "+4420", "+49", "555", *NO_AREA]).map(Area)


def rungs_of(found: tuple[Step, ...]) -> list[Rung]:
    return list(dict.fromkeys(step.rung for step in found))


def test_the_default_ladder_is_same_area_then_any() -> None:
    assert steps(CampaignPolicy(SALES, (ONE, TWO)), Area("212")) == (
        Step(Rung.AREA, ONE, "212"),
        Step(Rung.AREA, TWO, "212"),
        Step(Rung.ANY, ONE, ""),
        Step(Rung.ANY, TWO, ""),
    )


def test_the_whole_ladder_goes_from_the_city_to_the_next_group() -> None:
    policy = CampaignPolicy(SALES, (ONE,), tuple(Rung), (SPARE,))

    found = steps(policy, Area("212"), "New York")

    assert rungs_of(found) == list(Rung)
    assert [step.place for step in found if step.group == ONE][:3] == ["city:212:New York", "212", "overlay:212"]
    assert {step.group for step in found if step.rung is Rung.NEXT_GROUP} == {SPARE}


def test_a_rung_that_is_off_is_not_looked_at_and_the_order_is_the_campaigns() -> None:
    found = steps(CampaignPolicy(SALES, (ONE,), (Rung.ZONE, Rung.STATE)), Area("212"))

    assert found == (Step(Rung.ZONE, ONE, "zone:America/New_York"), Step(Rung.STATE, ONE, "state:US-NY"))


def test_next_groups_are_asked_one_after_the_other_nearest_first() -> None:
    policy = CampaignPolicy(SALES, (ONE,), (Rung.AREA, Rung.STATE, Rung.NEXT_GROUP), (TWO, SPARE))

    found = steps(policy, Area("212"))

    assert found[2:] == (
        Step(Rung.NEXT_GROUP, TWO, "212"),
        Step(Rung.NEXT_GROUP, TWO, "state:US-NY"),
        Step(Rung.NEXT_GROUP, SPARE, "212"),
        Step(Rung.NEXT_GROUP, SPARE, "state:US-NY"),
    )


def test_outside_north_america_the_country_comes_after_the_area() -> None:
    found = steps(CampaignPolicy(SALES, (ONE,), tuple(Rung)), Area("+4420"))

    assert [step.place for step in found] == ["+4420", "country:+44", ""]


@given(st.sampled_from(NO_AREA).map(Area))
def test_a_destination_that_is_no_place_has_the_last_rungs_alone(area: Area) -> None:
    policy = CampaignPolicy(SALES, (ONE,), tuple(Rung), (SPARE,))

    assert steps(policy, area) == (Step(Rung.ANY, ONE, ""), Step(Rung.NEXT_GROUP, SPARE, ""))


@given(rung_lists, areas, st.sampled_from(["", "Town"]))
def test_rungs_keep_their_order_and_only_the_campaigns_groups_are_asked(
    rungs: tuple[Rung, ...], area: Area, city: str
) -> None:
    found = steps(CampaignPolicy(SALES, (ONE, TWO), rungs, (SPARE,)), area, city)

    assert rungs_of(found) == [rung for rung in rungs if rung in {step.rung for step in found}]
    assert {step.group for step in found if step.rung is not Rung.NEXT_GROUP} <= {ONE, TWO}
    assert {step.group for step in found if step.rung is Rung.NEXT_GROUP} <= {SPARE}
    assert len(found) == len(set(found))
    assert len(found) <= 3 * 20


@given(rung_lists, areas, areas)
def test_every_place_that_is_looked_in_is_one_where_caller_ids_are_filed(
    rungs: tuple[Rung, ...], area: Area, other: Area
) -> None:
    looked = {step.place for step in steps(CampaignPolicy(SALES, (ONE,), rungs), area)} - {"", str(area)}
    codes = set(north_america()) | {Area("+4420"), Area("+49")}

    assert all(any(place in {code, *places_of(code, rungs)} for code in codes) for place in looked)


@given(rung_lists)
def test_a_policy_survives_being_written_down(rungs: tuple[Rung, ...]) -> None:
    policy = CampaignPolicy(SALES, (ONE, TWO), rungs, (SPARE,), sticky_days=3, minute_limit=2)

    assert policy_from_dict(SALES, policy.to_dict()) == policy


def test_a_policy_of_another_version_is_read_as_far_as_it_is_known() -> None:
    kept = {"groups": ["one"], "rungs": ["area", "moon"], "colour": "red"}

    assert policy_from_dict(SALES, kept) == CampaignPolicy(SALES, (ONE,), (Rung.AREA,))
