"""The campaign's policy in the pool: rungs, caps, exhaustion, sticky, distinct, opt-outs, shares, explained."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from ami_rotator.domain.caller_id import Attestation, CallerId
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import (
    E164,
    Area,
    Assignment,
    CallRequest,
    Campaign,
    End,
    Group,
    Miss,
    Rung,
)
from ami_rotator.pool.opt_outs import PoolOptOuts
from tests.support.policy_caller import OTHER, PERSON, SALES, Caller
from tests.support.pool_checks import numbers_of, violations
from tests.support.pool_setup import caller_id, make_pool, set_time

START = 1_700_000_000_000
DAY_MS = 86_400_000
LADDER = (Rung.AREA, Rung.OVERLAY, Rung.NEIGHBOUR, Rung.STATE, Rung.ZONE, Rung.COUNTRY, Rung.ANY)


def _choice(found: Assignment | Miss) -> tuple[str | None, str, str]:
    if isinstance(found, Miss):
        return (None, "", "")
    return (found.caller_id, found.rung.value, found.why)


def said(found: Assignment | Miss) -> tuple[str, ...]:
    """Return what an answer says, in short."""
    if isinstance(found, Miss):
        return (found.reason, found.detail)
    return (found.caller_id, found.rung.value, found.why)


def placed(area: str, index: int = 0, **limits: Any) -> CallerId:
    """Return a caller-ID that is filed for the whole ladder."""
    return replace(caller_id(index, area=area, **limits), places=places_of(Area(area), LADDER))


async def test_each_rung_is_found_in_its_order_and_none_is_skipped(redis_client: Redis) -> None:
    # 212 Manhattan; 646 overlays it; 201 New Jersey is next to it; 716 Buffalo is in the state; 404 Atlanta keeps its time;
    # 213 Los Angeles is in the country; 604 Vancouver is not.
    areas = ["604", "213", "404", "716", "201", "646", "212"]
    pool = await make_pool(redis_client, [placed(area) for area in areas])
    caller = Caller(pool, CampaignPolicy(SALES, rungs=LADDER))

    found = [said(await caller.call(end=None))[:2] for _ in areas]

    rungs = ["area", "overlay", "neighbour", "state", "zone", "country", "any"]
    assert found == [(f"+1{area}5550000", rung) for area, rung in zip(reversed(areas), rungs, strict=True)]
    assert await violations(redis_client, pool.tag) == []


async def test_no_rung_is_skipped_while_an_earlier_one_has_an_eligible_number(redis_client: Redis) -> None:
    dice = random.Random(5)
    areas = ["212", "646", "917", "201", "716", "315", "404", "213", "604"]
    items = [placed(dice.choice(areas), n, hourly=dice.randint(1, 3)) for n in range(60)]
    pool = await make_pool(redis_client, items, test_clock=True)
    caller = Caller(pool, CampaignPolicy(SALES, rungs=LADDER))
    places = {item.number: {"", item.area, *item.places} for item in items}
    live: list[CallRequest] = []
    for turn in range(250):
        await set_time(redis_client, pool, START + turn * 20_000)
        destination = E164(f"+1{dice.choice(areas)}5559999")
        ladder = steps(caller.policies[SALES], area_of(destination))
        await pool.promote(Group("default"))
        free = {n for n, record in (await numbers_of(redis_client, pool.tag)).items() if record["st"] == "idle"}
        expected = next((step.rung for step in ladder if any(step.place in places[E164(n)] for n in free)), None)
        request = caller.request(SALES, destination)

        told = await caller.explain(request)
        found = await caller.ask(request)

        assert (told.caller_id, told.rung, told.how) == _choice(found)
        assert (found.rung if isinstance(found, Assignment) else None) == expected
        live.append(request)
        if len(live) > 12:
            await pool.release(live.pop(dice.randrange(12)).key, End("answered"))


async def test_a_minute_cap_ends_with_the_minute(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [replace(caller_id(0), minute_limit=2)], test_clock=True)
    caller = Caller(pool, CampaignPolicy(SALES))
    minute = START - START % 60_000
    answers = []
    for second in (0, 30, 59, 60):
        await set_time(redis_client, pool, minute + second * 1000)
        answers.append(isinstance(await caller.call(), Assignment))

    assert answers == [True, True, False, True]


async def test_a_number_counts_in_the_zone_it_has(redis_client: Redis) -> None:
    pool = await make_pool(
        redis_client,
        [replace(caller_id(n, daily=1), timezone=zone) for n, zone in enumerate(["", "Asia/Tokyo"])],
        test_clock=True,
    )
    caller = Caller(pool, CampaignPolicy(SALES))
    at = int(datetime(2026, 11, 22, 14, 59, 59, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
    await set_time(redis_client, pool, at)
    both = {said(await caller.call())[0], said(await caller.call())[0]}
    await set_time(redis_client, pool, at + 1000)  # midnight in Tokyo

    assert len(both) == 2
    assert said(await caller.call())[0] == "+12125550001"
    assert await caller.call() == Miss("none_free")


async def test_caps_are_exact_under_sixty_four_workers_over_a_week_with_a_change_of_the_clocks(
    redis_client: Redis,
) -> None:
    # Sunday 2026-03-08 has 23 hours in New York.
    zone = ZoneInfo("America/New_York")
    items = [replace(caller_id(n, hourly=3, daily=7, concurrent=3), minute_limit=2) for n in range(8)]
    pool = await make_pool(redis_client, items, zone="America/New_York", test_clock=True)
    pool._clock = MovedClock()
    caller = Caller(pool, CampaignPolicy(SALES))
    uses: Counter[tuple[str, str, str]] = Counter()
    begin = int(datetime(2026, 3, 5, tzinfo=zone).timestamp() * 1000)
    for hour in range(7 * 24 - 1):
        for part in (0, 1, 59):
            now = begin + hour * 3_600_000 + part * 60_000
            await set_time(redis_client, pool, now)
            pool._clock.now_ms, pool._offsets_until_s = now, float("-inf")
            local = datetime.fromtimestamp(now / 1000, zone)
            names = (("minute", str(now // 60_000)), ("hour", str(now // 3_600_000)), ("day", local.date().isoformat()))
            for found in await asyncio.gather(
                *(caller.call() for _ in range(64 if part == 0 and hour % 4 == 0 else 12))
            ):
                if isinstance(found, Assignment):
                    for window, value in names:
                        uses[found.caller_id, window, value] += 1

    most = {w: max(count for (_, window, _), count in uses.items() if window == w) for w in ("minute", "hour", "day")}
    days_full = Counter(count for (_, window, _), count in uses.items() if window == "day")
    assert most == {"minute": 2, "hour": 3, "day": 7}
    assert days_full == {7: 8 * 7}
    assert await violations(redis_client, pool.tag) == []


class MovedClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now_ms = 0

    def wall_ms(self) -> int:
        """Return the time it was put to."""
        return self.now_ms

    def monotonic_s(self) -> float:
        """Return the same in seconds."""
        return self.now_ms / 1000


async def test_exhaustion_is_what_the_campaign_says_and_stays_in_its_groups(redis_client: Redis) -> None:
    near, far = caller_id(0, area="212"), caller_id(0, area="305")
    alien = caller_id(1, area="212", group="alien")
    seen: dict[str, list[tuple[str, ...]]] = {}
    for exhaustion in ("next_rung", "keep_own", "refuse"):
        pool = await make_pool(redis_client, [near, far, alien])
        caller = Caller(pool, CampaignPolicy(SALES, exhaustion=exhaustion))
        seen[exhaustion] = [said(await caller.call(end=None)) for _ in range(3)]

    first = (near.number, "area", "free")
    assert seen == {
        "next_rung": [first, (far.number, "any", "free"), ("none_free", "")],
        "keep_own": [first, ("none_free", ""), ("none_free", "")],
        "refuse": [first, ("refused", ""), ("refused", "")],
    }


async def test_overflow_is_bounded_by_its_share_and_by_live_calls(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(10)])
    policy = CampaignPolicy(SALES, exhaustion="overflow", overflow_percent=20, overflow_concurrent=2)
    caller = Caller(pool, policy)

    found = await asyncio.gather(*(caller.call(end=None) for _ in range(64)))

    overflow = [one for one in found if isinstance(one, Assignment) and one.why == "overflow"]
    held = Counter(one.caller_id for one in found if isinstance(one, Assignment))
    assert len(overflow) == 10  # each number once more; 64 calls allow 12
    assert max(held.values()) == 2
    assert await violations(redis_client, pool.tag) == []

    some = Caller(
        await make_pool(redis_client, [caller_id(n) for n in range(10)]), replace(policy, overflow_percent=10)
    )
    found = [await some.call(end=None) for _ in range(30)]
    at = [n for n, one in enumerate(found, 1) if isinstance(one, Assignment) and one.why == "overflow"]
    assert at == [11, 20, 30]


async def test_overflow_may_go_beyond_the_soft_cap_and_never_beyond_the_cap(redis_client: Redis) -> None:
    number = replace(caller_id(0, daily=5), soft_daily_limit=2)
    policy = CampaignPolicy(SALES, exhaustion="overflow", overflow_percent=100, overflow_soft_cap=True)
    caller = Caller(await make_pool(redis_client, [number]), policy)
    strict = Caller(await make_pool(redis_client, [number]), replace(policy, overflow_soft_cap=False))

    assert [said(await caller.call())[-1] for _ in range(6)] == ["free", "free", "overflow", "overflow", "overflow", ""]
    assert [said(await strict.call())[-1] for _ in range(3)] == ["free", "free", ""]


async def test_a_lead_sees_the_same_number_for_its_days_whoever_else_calls(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(20)], test_clock=True)
    caller = Caller(pool, CampaignPolicy(SALES, sticky_days=3), CampaignPolicy(OTHER))
    first = said(await caller.call(lead="7"))[0]
    seen = []
    for turn in range(1, 6):
        await set_time(redis_client, pool, START + turn * 2 * DAY_MS)
        await asyncio.gather(*(caller.call(OTHER, E164(f"+1305555{n:04d}")) for n in range(30)))
        seen.append(said(await caller.call(lead="7", destination=E164("+12125550142"))))
    await set_time(redis_client, pool, START + 14 * DAY_MS)
    after = said(await caller.call(lead="7"))

    assert seen == [(first, "area", "sticky")] * 5
    assert after[2] == "free"


async def test_calls_to_one_lead_at_the_same_moment_leave_it_with_one_number(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(80)])
    caller = Caller(pool, CampaignPolicy(SALES, sticky_days=3))

    found = [
        one for one in await asyncio.gather(*(caller.call(lead="7") for _ in range(64))) if isinstance(one, Assignment)
    ]
    later = {said(await caller.call(lead="7")) for _ in range(5)}

    assert len(later) == 1
    assert later.pop() in {(one.caller_id, "area", "sticky") for one in found}


async def test_a_bond_breaks_by_its_rules(redis_client: Redis) -> None:
    items = [caller_id(n, daily=4) for n in range(6)]
    pool = await make_pool(redis_client, items)
    policy = CampaignPolicy(SALES, sticky_days=3, sticky_unanswered_max=2)
    caller = Caller(pool, policy, replace(policy, name=OTHER, sticky_breaks=()))
    busy = End("busy")

    first = said(await caller.call(lead="1", end=busy))
    second = said(await caller.call(lead="1", end=busy))
    third = said(await caller.call(lead="1"))
    assert (second[0], second[2]) == (first[0], "sticky")
    assert third[0] != first[0]
    assert third[2] == "free:unanswered"

    resting = next(item for item in items if item.number == third[0])
    await pool.put([replace(resting, switch="resting")], 2)
    fourth = said(await caller.call(lead="1"))
    await pool.put([resting], 3)
    assert (fourth[2], said(await caller.call(lead="1"))[0]) == ("free:resting", fourth[0])

    kept = said(await caller.call(OTHER, lead="2"))
    held = next(item for item in items if item.number == kept[0])
    await pool.put([replace(held, switch="resting")], 4)
    meanwhile = said(await caller.call(OTHER, lead="2"))
    await pool.put([held], 5)
    assert (meanwhile[2], said(await caller.call(OTHER, lead="2"))[0]) == ("free:resting", kept[0])


async def test_a_call_that_never_reached_the_carrier_leaves_no_trace_with_the_person(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(5)])
    caller = Caller(pool, CampaignPolicy(SALES, sticky_days=3, distinct_max=1, distinct_days=7))

    unseen = said(await caller.call(lead="1", end=End("not_dialled", dialled=False)))
    shown = said(await caller.call(lead="1"))

    assert shown[2] == "free"
    assert unseen[2] == "free"
    assert said(await caller.call(lead="1"))[0] == shown[0]


async def test_a_destination_sees_so_many_numbers_and_no_more_in_its_days(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(40)], test_clock=True)
    policy = CampaignPolicy(SALES, distinct_max=3, distinct_days=7)
    caller = Caller(pool, policy, replace(policy, name=OTHER))

    found = await asyncio.gather(*(caller.call(name) for _ in range(32) for name in (SALES, OTHER)))
    held = await asyncio.gather(*(caller.call(end=None) for _ in range(4)))
    await set_time(redis_client, pool, START + 8 * DAY_MS)

    seen = {one.caller_id for one in found if isinstance(one, Assignment)}
    assert len(seen) == 3
    assert Counter(said(one)[-1] for one in held) == {"seen": 3, "distinct": 1}
    assert said(await caller.call())[0] not in seen
    assert await violations(redis_client, pool.tag) == []


async def test_only_numbers_signed_well_enough_are_used(redis_client: Redis) -> None:
    levels: tuple[Attestation, ...] = ("", "C", "B", "A")
    items = [replace(caller_id(n), attestation=level) for n, level in enumerate(levels)]
    pool = await make_pool(redis_client, items)
    caller = Caller(pool, CampaignPolicy(SALES, attestation_min="B", sticky_days=3))

    found = [said(await caller.call(end=None, destination=E164(f"+1212555{n:04d}")))[0] for n in range(3)]

    assert sorted(found) == sorted([items[2].number, items[3].number, "none_free"])


async def test_an_opted_out_destination_gets_nothing_from_that_moment_on(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(5)])
    caller = Caller(pool, CampaignPolicy(SALES), CampaignPolicy(OTHER))
    opt_outs = PoolOptOuts(pool)
    before = await caller.call()
    await opt_outs.add([(PERSON, SALES)])
    of_one = [(await caller.call(name)) for name in (SALES, OTHER)]
    await opt_outs.add([(PERSON, Campaign(""))])
    of_all = await caller.call(OTHER)
    await opt_outs.remove([(PERSON, Campaign("")), (PERSON, SALES)])

    assert isinstance(before, Assignment)
    assert of_one[0] == Miss("opted_out")
    assert isinstance(of_one[1], Assignment)
    assert of_all == Miss("opted_out")
    assert isinstance(await caller.call(), Assignment)


async def test_a_campaign_that_is_alone_in_a_short_group_loses_nothing_to_its_share(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(10)])
    caller = Caller(pool, CampaignPolicy(SALES), CampaignPolicy(OTHER, weight=9))

    found = [isinstance(await caller.call(end=None), Assignment) for _ in range(12)]

    assert found == [True] * 10 + [False] * 2


async def test_explain_tells_what_assign_does_under_every_policy_and_changes_nothing(redis_client: Redis) -> None:
    dice = random.Random(7)
    items = [
        replace(
            placed(
                dice.choice(["212", "646", "305"]), n, hourly=dice.randint(1, 4), group=dice.choice(["east", "west"])
            ),
            attestation=dice.choice(["A", "B"]),
            soft_daily_limit=3,
            minute_limit=2,
        )
        for n in range(24)
    ]
    pool = await make_pool(redis_client, items, test_clock=True)
    groups = (Group("east"), Group("west"))
    rungs = (Rung.AREA, Rung.OVERLAY, Rung.ANY)
    caller = Caller(
        pool,
        CampaignPolicy(SALES, groups, rungs, sticky_days=2, sticky_unanswered_max=2, distinct_max=2, distinct_days=3),
        CampaignPolicy(OTHER, groups[:1], rungs, attestation_min="A", exhaustion="keep_own"),
        CampaignPolicy(
            Campaign("OVER"), groups, rungs, exhaustion="overflow", overflow_percent=60, overflow_concurrent=2, weight=2
        ),
        CampaignPolicy(Campaign("LAST"), groups[:1], (*rungs, Rung.NEXT_GROUP), groups[1:], exhaustion="refuse"),
    )
    live: list[CallRequest] = []
    hows: Counter[str] = Counter()
    for turn in range(300):
        await set_time(redis_client, pool, START + turn * 15_000)
        for group in groups:  # as the daemon does every second
            await pool.promote(group)
        campaign = dice.choice(sorted(caller.policies))
        destination = E164(f"+1{dice.choice(['212', '646', '305'])}555900{dice.randrange(6)}")
        request = caller.request(campaign, destination, str(dice.randrange(6)))
        told, again = await caller.explain(request), await caller.explain(request)
        found = await caller.ask(request)

        assert (told.caller_id, told.rung, told.how) == (again.caller_id, again.rung, again.how) == _choice(found)
        assert (told.reason, told.detail) == ((found.reason, found.detail) if isinstance(found, Miss) else ("", ""))
        hows[told.how.partition(":")[0] or told.reason] += 1
        live.append(request)
        if len(live) > 14:
            await pool.release(live.pop(dice.randrange(14)).key, End(dice.choice(["answered", "busy"])))

    assert set(hows) >= {"free", "sticky", "seen", "overflow", "none_free", "refused"}
    assert await violations(redis_client, pool.tag) == []


async def test_explain_names_those_passed_over_and_why(redis_client: Redis) -> None:
    items = [caller_id(0, daily=1), caller_id(1), replace(caller_id(2), switch="resting"), caller_id(3, cooldown_s=60)]
    pool = await make_pool(redis_client, items, test_clock=True)
    caller = Caller(pool, CampaignPolicy(SALES, rungs=(Rung.AREA,)))
    await caller.call()
    await caller.call(end=None)
    await caller.call()

    told = await caller.explain(caller.request(SALES))

    passed = {one.number[-1]: (one.why, one.until_ms - START) for one in told.steps[0].passed}
    day_ends = DAY_MS - START % DAY_MS
    assert told.reason == "none_free"
    assert passed == {
        "0": ("daily_cap", day_ends),
        "1": ("in_use", -START),
        "2": ("resting", -START),
        "3": ("cool_down", 60_000),
    }
    assert dict(told.steps[0].counts) == {"in_use": 1, "waiting": 2, "resting": 1}
