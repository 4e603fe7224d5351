"""What push mode switches: never the last of a group and area, never what is not ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.domain.types import E164
from ami_rotator.vicidial.push_plan import Eligibility, plan_push
from ami_rotator.vicidial.push_transports import read_entries, refusal_of
from ami_rotator.vicidial.settings_read import CidEntry


def _entry(number: int, active: bool, owner: str = "EAST", areacode: str = "212") -> CidEntry:
    return CidEntry(owner, areacode, f"212555{number:04d}", active)


def _e164(*numbers: int) -> set[E164]:
    return {E164(f"+1212555{number:04d}") for number in numbers}


def test_eligible_numbers_are_switched_on_and_others_off() -> None:
    entries = [_entry(1, True), _entry(2, True), _entry(3, False), _entry(4, False)]
    plan = plan_push(entries, Eligibility(_e164(1, 2, 3, 4), _e164(1, 3)), most=10)

    assert ((entries[2],), (entries[1],), (), 0) == (plan.on, plan.off, plan.kept, plan.waiting)


def test_the_last_active_number_of_a_group_and_area_stays_on() -> None:
    entries = [_entry(1, True), _entry(2, True), _entry(3, True, areacode="646"), _entry(4, False)]
    plan = plan_push(entries, Eligibility(_e164(1, 2, 3, 4), _e164(4)), most=10)

    assert ((entries[3],), (entries[0],), (entries[1], entries[2])) == (plan.on, plan.off, plan.kept)


def test_numbers_that_are_not_ours_are_left_alone() -> None:
    entries = [_entry(1, True), _entry(2, False), _entry(3, True)]
    plan = plan_push(entries, Eligibility(_e164(3), set()), most=10)

    assert ((), (entries[2],), ()) == (plan.on, plan.off, plan.kept)


def test_a_round_is_bounded_and_switches_on_first() -> None:
    entries = [_entry(number, number < 50) for number in range(100)]
    plan = plan_push(entries, Eligibility(_e164(*range(100)), _e164(*range(50, 100))), most=60)

    assert (len(plan.on), len(plan.off), plan.waiting) == (50, 10, 39)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.sampled_from("AB"), st.sampled_from(["212", "646"]))),
    st.sets(st.integers(0, 9)),
    st.sets(st.integers(0, 9)),
    st.integers(1, 20),
)
def test_no_round_empties_a_group_and_area(
    rows: list[tuple[int, bool, str, str]], known: set[int], eligible: set[int], most: int
) -> None:
    entries = [_entry(*row) for row in rows]
    plan = plan_push(entries, Eligibility(_e164(*known), _e164(*(eligible & known))), most)
    had = {(entry.owner, entry.areacode) for entry in entries if entry.active}
    off = list(plan.off)
    have = set()
    for entry in entries:
        if entry in off:
            off.remove(entry)
        elif entry.active:
            have.add((entry.owner, entry.areacode))

    assert had == have
    assert len(plan.on) + len(plan.off) <= most


def test_the_apis_answers_are_read() -> None:
    listed = (
        "SUCCESS: update_cid_group_entry CID GROUP INFO AS FOLLOWS EAST|---ALL---||3\n"
        "1|212|2125550100|Y|main line|17\n2|212|2125550101|N||0\n3|646|6465550102||a description, with 1|0\n"
    )
    denied = "ERROR: update_cid_group_entry USER DOES NOT HAVE PERMISSION TO UPDATE CID GROUPS: |6666|0\n"

    assert refusal_of(listed) == ""
    assert read_entries("EAST", listed) == [
        CidEntry("EAST", "212", "2125550100", True),
        CidEntry("EAST", "212", "2125550101", False),
        CidEntry("EAST", "646", "6465550102", False),
    ]
    assert refusal_of(denied) == "update_cid_group_entry USER DOES NOT HAVE PERMISSION TO UPDATE CID GROUPS"
    assert "non_agent_api.php" in refusal_of("<html><h1>Not found</h1></html>")
