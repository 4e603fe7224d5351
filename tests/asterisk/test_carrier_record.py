from __future__ import annotations

from tests.asterisk.carrier_record import CarrierCall, live_duplicates, outcome_by_last_digits


def test_pairs_with_one_number_at_one_time_are_counted() -> None:
    calls = [
        _call("2125550001", 0, 10),
        _call("2125550001", 5, 6),
        _call("2125550001", 9, None),
        _call("3125550001", 0, 99),
    ]

    assert live_duplicates(calls, now_s=20) == 2


def test_one_call_after_another_is_no_duplicate() -> None:
    calls = [_call("2125550001", 0, 10), _call("2125550001", 10, 20)]

    assert live_duplicates(calls, now_s=30) == 0


def test_a_call_that_has_not_ended_counts_as_live() -> None:
    calls = [_call("2125550001", 0, None), _call("2125550001", 10, 20)]

    assert live_duplicates(calls, now_s=30) == 1


def test_short_overlaps_and_named_numbers_can_be_left_out() -> None:
    calls = [_call("2125550001", 0, 10.002), _call("2125550001", 10, 20)]

    assert live_duplicates(calls, now_s=30) == 1
    assert live_duplicates(calls, now_s=30, tolerance_s=0.005) == 0
    assert live_duplicates(calls, now_s=30, ignoring={"2125550001"}) == 0


def test_numbers_not_in_the_table_are_answered() -> None:
    assert [outcome_by_last_digits(number) for number in ("12125550101", "12125550147")] == [486, 200]


def _call(number: str, invited_at_s: float, ended_at_s: float | None) -> CarrierCall:
    return CarrierCall("id", "12125550100", number, "", "", "", invited_at_s, ended_at_s=ended_at_s)
