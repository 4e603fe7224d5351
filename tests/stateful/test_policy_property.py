"""Limits, sticky numbers and their count a person, with many calls at once and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import E164, Assignment, Campaign, End
from tests.support.policy_caller import OTHER, SALES, Caller
from tests.support.pool_checks import violations
from tests.support.pool_setup import caller_id, make_pool, set_time

AT_ONCE = 64
DAY_MS = 86_400_000
quick = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# The night of a change is three days into each week.
WEEKS = {
    "America/New_York": [datetime(2026, 3, 5), datetime(2026, 10, 29)],
    "Europe/London": [datetime(2026, 3, 26), datetime(2026, 10, 22)],
    "Australia/Adelaide": [datetime(2026, 4, 2), datetime(2026, 10, 1)],
}
weeks = st.sampled_from([(zone, first) for zone, firsts in WEEKS.items() for first in firsts])
# Minutes of the week; those of the change and of the midnights around it are drawn more often.
around_change, around_midnight = st.integers(3 * 1440 - 2, 3 * 1440 + 240), st.integers(4 * 1440 - 62, 4 * 1440 + 2)
moments = st.lists(
    st.one_of(st.integers(0, 7 * 1440 - 61), around_change, around_midnight), min_size=4, max_size=12, unique=True
).map(sorted)


class MovedClock:
    """A clock that stands where it is put."""

    now_ms = 0

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1000


def windows_at(now_ms: int, zone: ZoneInfo) -> dict[str, object]:
    """Name the minute, hour and day of a moment; an hour that is lived twice has two names."""
    local = datetime.fromtimestamp(now_ms / 1000, zone)
    offset = local.utcoffset()
    return {
        "minute": now_ms // 60_000,
        "hour": (local.replace(minute=0, second=0, tzinfo=None), offset),
        "day": local.date(),
    }


# The evening before the night of the change, the evening after it, and a minute after that day's midnight.
@quick
@example(
    week=("America/New_York", datetime(2026, 3, 5)),
    minutes=[3 * 1440 - 30, 4 * 1440 - 90, 4 * 1440 - 59],
    numbers=2,
    limits=(3, 5, 2),
    concurrent=1,
)
@given(
    week=weeks,
    minutes=moments,
    numbers=st.integers(1, 5),
    limits=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9)),
    concurrent=st.integers(1, 3),
)
async def test_limits_are_reached_and_never_passed_in_a_week_in_which_the_clocks_change(
    redis_client: Redis,
    week: tuple[str, datetime],
    minutes: list[int],
    numbers: int,
    limits: tuple[int, int, int],
    concurrent: int,
) -> None:
    zone = ZoneInfo(week[0])
    most = dict(zip(("minute", "hour", "day"), limits, strict=True))
    items = [
        replace(
            caller_id(n, hourly=most["hour"], daily=most["day"], concurrent=concurrent), minute_limit=most["minute"]
        )
        for n in range(numbers)
    ]
    pool = await make_pool(redis_client, items, zone=week[0], test_clock=True)
    clock = pool._clock = MovedClock()
    caller = Caller(pool, CampaignPolicy(SALES))
    uses: Counter[tuple[str, str, object]] = Counter()
    told_at = -1440
    began_ms = int(week[1].replace(tzinfo=zone).timestamp() * 1000)

    for minute in minutes:
        clock.now_ms = began_ms + minute * 60_000
        # What a daemon was told of a zone holds for a day: here it is as old as it may be.
        is_due = minute - told_at >= 1440
        told_at, pool._offsets_until_s = (minute, float("-inf")) if is_due else (told_at, float("inf"))
        await set_time(redis_client, pool, clock.now_ms)
        now = windows_at(clock.now_ms, zone)
        left = sum(
            max(0, min(most[kind] - uses[item.number, kind, name] for kind, name in now.items())) for item in items
        )
        served = 0
        while True:
            found = await asyncio.gather(*(caller.call() for _ in range(AT_ONCE)))
            given_now = [one.caller_id for one in found if isinstance(one, Assignment)]
            for number in given_now:
                uses.update((number, kind, name) for kind, name in now.items())
            served += len(given_now)
            if not given_now:
                break

        assert served == left, (datetime.fromtimestamp(clock.now_ms / 1000, UTC), now)
    assert all(count <= most[kind] for (_, kind, _), count in uses.items())
    assert await violations(redis_client, pool.tag) == []


rounds = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40), st.integers(0, 4 * 24)),
    min_size=1,
    max_size=6,
)


@settings(quick, max_examples=12)
@given(
    played=rounds,
    numbers=st.integers(2, 30),
    others=st.integers(0, 20),
    most=st.sampled_from([0, 0, 1, 2, 3]),
    days=st.integers(1, 9),
)
async def test_a_lead_keeps_its_number_and_a_person_sees_no_more_than_so_many(
    redis_client: Redis,
    played: list[tuple[list[tuple[int, bool]], int]],
    numbers: int,
    others: int,
    most: int,
    days: int,
) -> None:
    """Rounds of calls at once to four leads; `most` 0 leaves out the bound on different numbers in `days`."""
    pool = await make_pool(
        redis_client, [caller_id(n, hourly=10**6, daily=10**6) for n in range(numbers)], test_clock=True
    )
    policy = CampaignPolicy(SALES, sticky_days=30, distinct_max=most, distinct_days=days if most else 0)
    caller = Caller(pool, policy, CampaignPolicy(OTHER))
    now_ms = 1_700_000_000_000
    shown: dict[int, list[tuple[int, str]]] = defaultdict(list)
    bonds: dict[int, set[str]] = defaultdict(set)
    firsts: Counter[int] = Counter()

    for leads, hours in played:
        now_ms += hours * 3_600_000
        await set_time(redis_client, pool, now_ms)
        ours = [
            caller.call(SALES, E164(f"+1212555010{lead}"), str(lead + 1), End("answered" if is_answered else "busy"))
            for lead, is_answered in leads
        ]
        theirs = [caller.call(Campaign("OTHER"), E164(f"+1305555{n:04d}")) for n in range(others)]
        found = (await asyncio.gather(*ours, *theirs))[: len(ours)]
        for (lead, _), one in zip(leads, found, strict=True):
            if not isinstance(one, Assignment):
                continue
            shown[lead].append((now_ms, one.caller_id))
            if one.why == "sticky":
                bonds[lead].add(one.caller_id)
            if ":" not in one.why and one.why != "sticky":
                firsts[lead] += 1
                bonds[lead].add(one.caller_id)

    if not most:
        # One number a lead: chosen once; who found it busy was given another for that call alone.
        assert {lead: len(of_lead) for lead, of_lead in bonds.items() if len(of_lead) > 1} == {}
        assert {lead: count for lead, count in firsts.items() if count > 1} == {}
    else:
        # The bound wins: a number given while the lead's own was busy may be all that the person may see after.
        for history in shown.values():
            for at_ms, _ in history:
                seen = {number for when_ms, number in history if at_ms - days * DAY_MS < when_ms <= at_ms}
                assert len(seen) <= most
    assert await violations(redis_client, pool.tag) == []
