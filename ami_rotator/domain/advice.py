"""What is allowed but not wise, for the dashboard, the commands and the doctor: said, never enforced."""

from __future__ import annotations

from collections.abc import Iterator

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import kind_of
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import E164, Rung

SAFE_DAILY_LIMIT = 200
"""Uses a day. Vendors name 75 to 200 as what a number can take before people and carriers begin to flag it."""

SAFE_HOURLY_LIMIT = 40
RECOMMENDED_DAILY_LIMIT = 100
RECOMMENDED_HOURLY_LIMIT = 20


def on_limits(what: str, hourly_limit: int | None, daily_limit: int | None) -> Iterator[str]:
    """Give advice on the limits of a caller-ID, group, campaign or the defaults; `what` names it. None: not set here."""
    if daily_limit is not None and daily_limit > SAFE_DAILY_LIMIT:
        yield (
            f"{what}: {daily_limit:,} uses a day of one number is more than the 75 to {SAFE_DAILY_LIMIT} that are called"
            f" safe; numbers used that often get flagged. Try {RECOMMENDED_DAILY_LIMIT}; `ami-rotator plan` says how many"
            " numbers that takes."
        )
    if hourly_limit is not None and hourly_limit > SAFE_HOURLY_LIMIT:
        yield (
            f"{what}: {hourly_limit:,} uses an hour of one number empty its day in a short burst. Try"
            f" {RECOMMENDED_HOURLY_LIMIT}."
        )


def on_number(number: E164) -> str:
    """Give advice on a number; empty: none."""
    area = area_of(number)
    kind = kind_of(area)
    if kind == "unknown" and number.startswith("+1"):
        return f"{area} is not in service as an area code: nobody can call it back. It is fine for tests only."
    if kind == "non_geographic":
        return f"{area} is no place: people do not know such numbers, and the ladder finds them on its last rungs only."
    if kind == "geographic" and number[5] in "01":
        return (
            f"An exchange cannot begin with {number[5]}: nobody can call this number back. It is fine for tests only."
        )
    return ""


def on_policy(policy: CampaignPolicy) -> Iterator[str]:
    """Give advice on a campaign's policy."""
    yield from on_limits(f"Campaign {policy.name}", policy.hourly_limit, policy.daily_limit)
    rungs = policy.rungs
    if Rung.ANY in rungs and rungs.index(Rung.ANY) < len(rungs) - 1 and rungs[-1] is not Rung.NEXT_GROUP:
        after = ", ".join(rungs[rungs.index(Rung.ANY) + 1 :])
        yield f"The rung any finds every caller-ID, so what follows it never does: {after}. Put any last."
    order = [rung for rung in Rung if rung in rungs]
    if list(rungs) != order and Rung.ANY not in rungs[:-1]:
        yield f"The rungs are not in order of distance; that would be {', '.join(order)}."
    if policy.neighbour_miles and Rung.NEIGHBOUR not in rungs:
        yield "neighbour_miles says how far the rung neighbour looks, and that rung is off: nothing uses it."
    if policy.exhaustion == "refuse" and Rung.ANY not in rungs:
        yield "Calls to areas without a number near them are refused: the rung any is off and exhaustion is refuse."
    if policy.distinct_max and policy.sticky_days == 0:
        yield "distinct_max without sticky_days makes people see up to that many numbers; sticky_days keeps it to one."
