"""How many caller-IDs lie warm."""

from __future__ import annotations

from ami_rotator.domain.types import Area, Campaign
from ami_rotator.domain.warmth import Demand, targets

CAMPAIGN = Campaign("SALES")


def demand(number: int, per_minute: float) -> Demand:
    """Return the demand for an area."""
    return Demand(CAMPAIGN, Area(str(number)), per_minute)


def test_what_is_called_more_is_held_deeper_and_more_of_it_is_enough() -> None:
    found = targets([demand(201, 1), demand(202, 60), demand(203, 600)], 60_000, 0.05)

    # A mean of 10, 1 and 1/60 until the next look.
    assert [(item.area, item.enough, item.depth) for item in found] == [("203", 17, 47), ("202", 3, 6), ("201", 1, 2)]


def test_all_have_enough_before_one_has_a_stock() -> None:
    # Five of 60 calls a minute: three are enough for each, and there are 17.
    found = targets([demand(number, 60) for number in range(201, 206)], 340, 0.05)

    assert [item.enough for item in found] == [3] * 5
    assert [item.depth for item in found] == [5, 3, 3, 3, 3]


def test_all_together_stay_within_the_share_and_the_busiest_come_first() -> None:
    found = targets([demand(201, 60), demand(202, 120)], 100, 0.05)

    assert [(item.area, item.depth) for item in found] == [("202", 5)]
    assert targets([demand(201, 60)], 100, 0) == []
