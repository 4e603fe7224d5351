"""Rows of vicidial_auto_calls: what they say, and which are news."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.domain.numbers import parse_dialled
from ami_rotator.vicidial.feed_rows import FeedRow, RowWindow, dialled_of, is_ahead, read_row


def _row(number: int, code: str = "", server_ip: str = "10.0.0.1", status: str = "SENT") -> FeedRow:
    return FeedRow(number, server_ip, "SALES", status, "1", code or f"V{number:019d}", "1", "2125550100", 0)


def test_a_row_with_nulls_is_read() -> None:
    row = read_row((7, "10.0.0.1", None, "SENT", 12, "V1", None, "2125550100", None))

    assert FeedRow(7, "10.0.0.1", "", "SENT", "12", "V1", "", "2125550100", None) == row


@pytest.mark.parametrize(
    ("phone_code", "phone_number", "expected"),
    [
        ("1", "2125550100", "+12125550100"),
        ("1", "12125550100", "+12125550100"),
        ("", "2125550100", "+12125550100"),
        ("44", "2079460000", "+442079460000"),
        ("011", "442079460000", "+442079460000"),
        ("01144", "2079460000", "+442079460000"),
        ("52", "5512345678", "+525512345678"),
        ("1", "011442079460000", "+442079460000"),
    ],
)
def test_phone_code_and_number_are_read_as_a_person_would(phone_code: str, phone_number: str, expected: str) -> None:
    assert expected == parse_dialled(dialled_of(phone_code, phone_number))


def test_only_calls_still_to_come_are_ahead() -> None:
    assert is_ahead(_row(1, status="SENT"), "auto")
    assert is_ahead(_row(1, status="XFER"), "manual")
    assert not is_ahead(_row(1, status="XFER"), "auto")
    assert not is_ahead(_row(1, status="LIVE"), "manual")


@given(st.integers(1, 60), st.integers(0, 2**32), st.integers(1, 20))
def test_rows_that_become_visible_out_of_order_are_all_taken_once(count: int, seed: int, most_late: int) -> None:
    rng = random.Random(seed)
    window = RowWindow()
    window.start(100)
    visible_at = {number: number + rng.randint(0, most_late) for number in range(101, 101 + count)}
    taken = []
    for moment in range(101, 101 + count + most_late + 1):
        now_s = moment * 0.025
        gaps = set(window.gaps(now_s))
        seen = [n for n, at in visible_at.items() if at <= moment and (n > window.highest or n in gaps)]
        taken += [row.id for row in window.take([_row(number) for number in seen], now_s)]

    assert sorted(visible_at) == sorted(taken)


def test_a_gap_is_asked_for_for_a_while_only() -> None:
    window = RowWindow(gap_s=2.0)
    window.start(10)
    window.take([_row(13)], 100.0)

    assert window.gaps(101.9) == (11, 12)
    assert window.gaps(102.1) == ()


def test_a_large_jump_of_ids_does_not_ask_for_them_all() -> None:
    window = RowWindow()
    window.take([_row(3_000_000_000)], 1.0)

    assert len(window.gaps(1.0)) == 200


def test_a_call_is_news_once_even_under_another_id() -> None:
    window = RowWindow()
    window.take([_row(500, code="V1")], 1.0)
    window.start(0)

    assert window.take([_row(1, code="V1")], 2.0) == []
    assert [row.id for row in window.take([_row(2, code="V1", server_ip="10.0.0.2")], 2.0)] == [2]
