"""The fictional numbers, and the seed that decides the calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from ami_rotator.domain.call_codes import parse_call_code
from ami_rotator.domain.numbers import parse_dialled, parse_number
from ami_rotator.domain.types import Area, Campaign, Group
from ami_rotator.simulator import (
    DEMO_AREAS,
    DEMO_CAMPAIGNS,
    Fixed,
    SimulatedCampaign,
    SimulatorOptions,
    demo_groups,
    demo_inventory,
    demo_policies,
)
from ami_rotator.simulator.plan import CallPlan, Planner


class StandingClock:
    """Always Saturday 2026-11-21 12:00:00 UTC."""

    def wall_ms(self) -> int:
        return 1_795_262_400_000

    def monotonic_s(self) -> float:
        return 0.0


def plans(options: SimulatorOptions, count: int) -> list[CallPlan]:
    planner = Planner(options, StandingClock())
    return [planner.next() for _ in range(count)]


def test_the_inventory_has_as_many_numbers_as_asked_for_and_none_twice() -> None:
    rows = list(demo_inventory(2000))

    assert len(rows) == 2000
    assert len({row["caller_id"] for row in rows}) == 2000


def test_every_number_is_whole_and_fictional() -> None:
    for row in demo_inventory(2000):
        assert parse_number(row["caller_id"]) == row["caller_id"]
        assert row["caller_id"][2:8] == f"{row['area_code']}555"


def test_a_small_inventory_stays_on_the_lines_set_aside_for_fiction() -> None:
    lines = {int(row["caller_id"][-4:]) for row in demo_inventory(1000)}

    assert min(lines) >= 100
    assert max(lines) < 150


def test_a_large_inventory_has_no_directory_assistance_and_nobody_who_is_called() -> None:
    numbers = {row["caller_id"] for row in demo_inventory(9_849, {Area("212"): 1.0})}

    assert "+12125551212" not in numbers
    assert not {f"+1212555{line:04d}" for line in range(150, 200)} & numbers


def test_more_numbers_than_an_area_has_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="ask for fewer, or for more areas"):
        list(demo_inventory(9_850, {Area("212"): 1.0}))


def test_numbers_are_spread_over_areas_as_the_people_called_are() -> None:
    by_area = Counter(row["area_code"] for row in demo_inventory(10_000))
    total = sum(DEMO_AREAS.values())

    assert by_area.keys() == set(DEMO_AREAS)
    assert all(abs(by_area[area] - 10_000 * weight / total) <= 1 for area, weight in DEMO_AREAS.items())


def test_every_group_of_the_demo_campaigns_gets_its_share() -> None:
    groups = demo_groups(DEMO_CAMPAIGNS)

    by_group = Counter(row["group"] for row in demo_inventory(300, groups=groups))

    assert by_group == {Group("sales"): 100, Group("survey"): 100, Group("renewal"): 100}
    assert {group for policy in demo_policies(DEMO_CAMPAIGNS) for group in policy.groups} == set(groups)


def test_the_inventory_comes_row_by_row() -> None:
    assert len(list(islice(demo_inventory(500_000), 3))) == 3


def test_the_same_seed_plans_the_same_calls() -> None:
    assert plans(SimulatorOptions(seed=7), 500) == plans(SimulatorOptions(seed=7), 500)


def test_another_seed_plans_other_calls() -> None:
    first, second = plans(SimulatorOptions(seed=7), 50), plans(SimulatorOptions(seed=8), 50)

    assert [plan.destination for plan in first] != [plan.destination for plan in second]


def test_other_durations_leave_who_is_called_as_it_was() -> None:
    options = SimulatorOptions(seed=7)

    quick = plans(replace(options, auto_timeout_s=1.0, first_lead_id=5), 200)

    assert [plan.destination for plan in quick] == [plan.destination for plan in plans(options, 200)]


def test_each_call_has_a_code_of_its_own_that_reads_as_vicidials() -> None:
    found = plans(SimulatorOptions(), 1000)

    assert len({plan.code for plan in found}) == 1000
    for plan in found:
        code = parse_call_code(plan.name)
        assert code is not None
        assert (code.kind, code.text) == (plan.kind, plan.code)


def test_what_is_dialled_is_the_destination_behind_the_campaigns_prefix() -> None:
    prefixes = {campaign.name: campaign.dial_prefix for campaign in DEMO_CAMPAIGNS}

    for plan in plans(SimulatorOptions(), 200):
        assert plan.dial_prefix == prefixes[Campaign(plan.campaign)]
        assert parse_dialled(plan.dialled, [plan.dial_prefix]) == f"+1{plan.destination}"
        assert 150 <= int(plan.destination[-4:]) < 200


def test_the_mix_is_the_one_asked_for() -> None:
    options = SimulatorOptions(outcomes={"busy": 3.0, "answered": 1.0}, manual_share=0.5, failover_share=0.25)

    found = plans(options, 4000)

    outcomes = Counter(plan.outcome for plan in found)
    assert outcomes.keys() == {"busy", "answered"}
    assert 2.6 < outcomes["busy"] / outcomes["answered"] < 3.4
    assert 0.46 < sum(plan.kind == "manual" for plan in found) / 4000 < 0.54
    assert 0.22 < sum(plan.failover for plan in found) / 4000 < 0.28


def test_a_call_without_answer_rings_until_its_dialler_gives_up() -> None:
    options = SimulatorOptions(
        outcomes={"no_answer": 1.0}, answer_after_s=Fixed(1.0), auto_timeout_s=21.0, manual_timeout_s=33.0
    )

    assert {(plan.kind, plan.ring_s) for plan in plans(options, 100)} == {("auto", 21.0), ("manual", 33.0)}


def test_a_prefix_that_campaigns_share_names_none_of_them() -> None:
    campaigns = tuple(
        SimulatedCampaign(Campaign(name), prefix, (Group("default"),))
        for name, prefix in (("A", "9"), ("B", "9"), ("C", "8"))
    )

    assert SimulatorOptions(campaigns=campaigns).dial_prefixes() == {"9": None, "8": "C"}
