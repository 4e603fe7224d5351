"""What is read as a phone number, where a shortcut might read something else."""

from __future__ import annotations

from random import Random

import phonenumbers
import pytest

from ami_rotator.domain.numbers import parse_dialled, parse_number


@pytest.mark.parametrize(("region", "seed"), [("US", 1), ("CA", 2)])
def test_digits_behind_a_dial_prefix_are_no_number_to_the_library_either(region: str, seed: int) -> None:
    random = Random(seed)
    numbers = [f"{random.choice('23456789')}{random.randrange(10 ** random.randint(10, 15)):010d}" for _ in range(500)]
    valid = [text for text in numbers if phonenumbers.is_valid_number(phonenumbers.parse(text, region))]

    assert valid == []
    assert {parse_number(text, region) for text in numbers} == {None}


def test_a_dial_prefix_is_cut_off_with_and_without_the_one() -> None:
    dialled = ["912125550100", "92125550100", "12125550100", "2125550100"]

    assert {parse_dialled(text, ["9"]) for text in dialled} == {"+12125550100"}
