from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.domain.warmup import CURVES, curve_of, daily_limit


def test_a_named_curve_ramps_up_and_ends_at_the_daily_limit() -> None:
    limits = [daily_limit(1000, "steady", day) for day in range(20)]

    assert limits[:3] == [25, 30, 35]
    assert limits[:14] == sorted(limits[:14])
    assert limits[14:] == [1000] * 6


def test_own_numbers_are_a_curve_too() -> None:
    assert [daily_limit(100, "10, 20,500", day) for day in range(4)] == [10, 20, 100, 100]


def test_without_a_curve_the_limit_holds_from_the_first_day() -> None:
    assert daily_limit(80, "", 0) == 80


def test_a_caller_id_whose_warm_up_lies_ahead_has_the_first_days_limit() -> None:
    assert daily_limit(80, "brisk", -3) == 50


@given(st.integers(0, 10_000), st.sampled_from(["", *CURVES, "5,6,7", "nonsense!"]), st.integers(-5, 120))
def test_a_curve_never_raises_a_limit(limit: int, curve: str, day: int) -> None:
    assert 0 <= daily_limit(limit, curve, day) <= limit


@pytest.mark.parametrize("text", ["fast", "10;20", "-5", "1,,2", ",".join(["1"] * 91), "9999999"])
def test_what_is_no_curve_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one of careful, steady, brisk|shorten it"):
        curve_of(text)


@pytest.mark.parametrize("name", sorted(CURVES))
def test_named_curves_rise_and_stay_within_what_is_called_safe(name: str) -> None:
    uses = CURVES[name]

    assert list(uses) == sorted(uses)
    assert uses[0] <= 50
    assert uses[-1] <= 200


def test_no_curve_limits_nothing_on_any_day() -> None:
    assert [daily_limit(80, "", day) for day in (-1, 0, 5)] == [80, 80, 80]
