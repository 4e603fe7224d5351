from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.domain.planner import Caps, Demand, PlacePlan, Plan, Stock, lead_demand, make_plan, what_if
from ami_rotator.domain.types import Area

HUNDRED = Caps(daily_limit=100, hourly_limit=20, busy_s=60, headroom=0)


def some(count: int = 1, area: str = "212", *, daily: int = 100, hourly: int = 20) -> Stock:
    return Stock(Area(area), hourly, daily, caller_ids=count)


def only(plan: Plan) -> PlacePlan:
    assert len(plan.places) == 1
    return plan.places[0]


def test_without_numbers_all_that_are_needed_are_to_be_bought() -> None:
    plan = make_plan({Area("212"): Demand(1000, 100)}, [], HUNDRED)

    assert only(plan) == PlacePlan("212", 1000, 100, 0, 10, 10, 0, 0.0, "day")


def test_the_busiest_hour_can_need_more_than_the_day() -> None:
    plan = only(make_plan({Area("212"): Demand(1000, 400)}, [], HUNDRED))

    assert (plan.needed, plan.bound_by) == (20, "hour")


def test_long_calls_can_need_more_than_both() -> None:
    caps = Caps(daily_limit=100, hourly_limit=20, busy_s=600, headroom=0)

    plan = only(make_plan({Area("212"): Demand(1000, 100)}, [], caps))

    assert (plan.needed, plan.bound_by) == (17, "lines")


def test_headroom_comes_on_top() -> None:
    caps = Caps(daily_limit=100, hourly_limit=20, headroom=0.25)

    assert only(make_plan({Area("212"): Demand(1000, 10)}, [], caps)).needed == 13


def test_numbers_that_are_there_count_with_their_own_limits() -> None:
    stock = [some(daily=500), some(daily=50), some(daily=0)]

    plan = only(make_plan({Area("212"): Demand(700, 10)}, stock, HUNDRED))

    assert (plan.have, plan.needed, plan.buy) == (2, 4, 2)
    assert plan.served_share == pytest.approx(550 / 700, abs=0.001)


def test_numbers_that_nobody_needs_where_they_are_are_idle() -> None:
    plan = make_plan({Area("212"): Demand(150, 5)}, [some(5), some(1, "415")], HUNDRED)

    assert [(place.place, place.have, place.needed, place.idle) for place in plan.places] == [
        ("212", 5, 2, 3),
        ("415", 1, 0, 1),
    ]
    assert (plan.needed, plan.buy, plan.idle) == (2, 0, 4)


def test_other_caps_can_be_tried() -> None:
    demand, stock = {Area("212"): Demand(1000, 50)}, [some(2, daily=1000, hourly=1000)]
    loose = only(make_plan(demand, stock, HUNDRED))

    tight = only(make_plan(demand, stock, what_if(HUNDRED, daily_limit=50, hourly_limit=None)))

    assert (loose.buy, tight.buy, tight.needed) == (0, 18, 20)
    assert what_if(HUNDRED, daily_limit=None, hourly_limit=None) == HUNDRED


def test_numbers_of_one_overlay_serve_each_other_where_regions_are_planned() -> None:
    demand = {Area("212"): Demand(100, 5), Area("646"): Demand(100, 5), Area("718"): Demand(100, 5)}

    plan = make_plan(demand, [some(1, "332")], HUNDRED, "region")

    assert {place.place: (place.have, place.needed) for place in plan.places} == {"212": (1, 2), "347": (0, 1)}
    assert [p.place for p in make_plan(demand, [], HUNDRED, "state").places] == ["US-NY"]
    assert only(make_plan(demand, [], HUNDRED, "all")).calls_a_day == 300


def test_calls_to_no_place_are_told_apart() -> None:
    plan = make_plan({Area("800"): Demand(7, 1), Area(""): Demand(3, 1), Area("+4420"): Demand(5, 1)}, [], HUNDRED)

    assert plan.calls_nowhere == 10
    assert only(plan).place == "+4420"


def test_a_lead_list_becomes_demand() -> None:
    demand = lead_demand({Area("212"): 1000}, calls_per_lead=4, days=5, hours_a_day=8)

    assert demand == {Area("212"): Demand(800, 150)}


@pytest.mark.parametrize("wrong", [Caps(0, 1), Caps(1, 0), Caps(1, 1, busy_s=0), Caps(1, 1, headroom=-1)])
def test_caps_that_make_no_plan_are_refused_with_what_to_write(wrong: Caps) -> None:
    with pytest.raises(ValueError, match="write for example"):
        make_plan({}, [], wrong)


@given(
    st.integers(0, 50_000),
    st.integers(0, 5_000),
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 100), st.integers(1, 30)), max_size=10),
    st.integers(1, 300),
    st.integers(1, 60),
)
def test_what_the_plan_says_is_enough_and_one_less_is_not(
    day: int, hour: int, limits: list[tuple[int, int, int]], daily: int, hourly: int
) -> None:
    stock = [some(count, daily=a, hourly=b) for a, b, count in limits]
    caps = Caps(daily, hourly, busy_s=30, headroom=0)

    plan = make_plan({Area("212"): Demand(day, hour)}, stock, caps).places[0]

    lines = 120
    have = sum(count for *_, count in limits)
    capacity = [sum(a * count for a, _, count in limits), sum(b * count for _, b, count in limits), lines * have]

    def serves(bought: int) -> bool:
        return (
            capacity[0] + bought * daily >= day - 0.001
            and capacity[1] + bought * hourly >= hour - 0.001
            and capacity[2] + bought * lines >= hour - 0.001
        )

    assert serves(plan.buy)
    assert plan.buy == 0 or not serves(plan.buy - 1)
    assert plan.have == have
    assert plan.have + plan.buy >= plan.needed
    assert plan.idle == 0 or plan.buy == 0
