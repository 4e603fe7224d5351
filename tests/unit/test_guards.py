from __future__ import annotations

import pytest

from ami_rotator.domain.advice import on_limits, on_number, on_policy
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.guards import why_not_presentable
from ami_rotator.domain.types import E164, Campaign, Rung
from ami_rotator.ledger.caller_id_row import read_row

SALES = Campaign("SALES")


@pytest.mark.parametrize("number", ["+19005550100", "+19115550100", "+14115550100", "+12129115555"])
def test_numbers_that_nobody_can_call_back_are_refused_with_what_to_do(number: str) -> None:
    reason = why_not_presentable(E164(number))

    assert reason.endswith(("check the number", "leave the number out"))
    with pytest.raises(ValueError, match=r"check the number|leave the number out"):
        read_row({"caller_id": number})


@pytest.mark.parametrize("number", ["+12125550100", "+18005550100", "+442071234567", "+15551234567", "+15550115555"])
def test_numbers_that_can_be_called_back_and_test_numbers_are_taken(number: str) -> None:
    assert why_not_presentable(E164(number)) == ""
    assert read_row({"caller_id": number}).caller_id == number


@pytest.mark.parametrize(
    ("number", "said"),
    [("+15551234567", "not in service"), ("+12121234567", "cannot begin with 1"), ("+15005550100", "no place"),
     ("+12125550100", "")],
)  # fmt: skip
def test_advice_on_numbers(number: str, said: str) -> None:
    assert said in on_number(E164(number))
    assert bool(on_number(E164(number))) == bool(said)


def test_the_seeds_limits_are_flagged_and_the_recommended_ones_are_not() -> None:
    assert len(list(on_limits("DEFAULT limits", 100, 1000))) == 2
    assert "75 to 200" in next(on_limits("DEFAULT limits", 100, 1000))
    assert list(on_limits("Group west", 20, 100)) == []
    assert list(on_limits("Group west", None, None)) == []


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (CampaignPolicy(SALES), ""),
        (CampaignPolicy(SALES, rungs=tuple(Rung)), ""),
        (CampaignPolicy(SALES, rungs=(Rung.AREA, Rung.ANY, Rung.STATE)), "Put any last"),
        (CampaignPolicy(SALES, rungs=(Rung.STATE, Rung.AREA)), "that would be area, state"),
        (CampaignPolicy(SALES, rungs=(Rung.AREA,), exhaustion="refuse"), "are refused"),
        (CampaignPolicy(SALES, distinct_max=2, distinct_days=7), "sticky_days keeps it to one"),
        (CampaignPolicy(SALES, daily_limit=1000), "Campaign SALES: 1,000 uses a day"),
    ],
)
def test_advice_on_policies(policy: CampaignPolicy, said: str) -> None:
    found = list(on_policy(policy))

    assert [said in line for line in found] == ([True] if said else [])
