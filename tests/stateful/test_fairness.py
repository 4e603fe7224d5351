"""Use is even within a class, and campaigns share what is short by their weight. Long: 100,000 assignments each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.types import E164, Area, Assignment, CallRequest, Campaign, Rung
from tests.chaos.sizes import sized
from tests.support.policy_caller import ANSWERED, OTHER, SALES, Caller
from tests.support.pool_setup import caller_id, make_pool, set_time

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(sized(120, 900))]

WORKERS = 64
AREAS = ("212", "646", "305", "404")
RUNGS = (Rung.AREA, Rung.OVERLAY, Rung.ANY)


def endless(area: str, index: int) -> CallerId:
    """A caller-ID without limits, filed for the ladder."""
    item = caller_id(index, area=area, hourly=10**9, daily=10**9)
    return replace(item, places=places_of(Area(area), RUNGS))


async def test_long_run_use_of_numbers_of_one_area_differs_by_five_percent_at_the_most(redis_client: Redis) -> None:
    """64 workers, each with some calls up, so that the numbers of an area are held for unlike times."""
    wanted, most_up = sized(4_000, 100_000), sized(2, 4)
    items = [endless(area, n) for area in AREAS for n in range(50)]
    caller = Caller(await make_pool(redis_client, items), CampaignPolicy(SALES, rungs=RUNGS))
    uses: Counter[str] = Counter()

    async def work(dice: random.Random) -> None:
        up: list[CallRequest] = []
        for _ in range(wanted // WORKERS + 1):
            request = caller.request(SALES, E164(f"+1{dice.choice(AREAS)}555{dice.randrange(9999):04d}"))
            found = await caller.ask(request)
            if isinstance(found, Assignment) and found.rung is Rung.AREA:
                uses[found.caller_id] += 1
            up.append(request)
            while len(up) > dice.randrange(most_up):
                await caller.pool.release(up.pop(0).key, ANSWERED)
        for request in up:
            await caller.pool.release(request.key, ANSWERED)

    await asyncio.gather(*(work(random.Random(n)) for n in range(WORKERS)))

    assert sum(uses.values()) > 0.98 * wanted  # some find their area full, and get another's
    for area in AREAS:
        of_area = [uses[item.number] for item in items if item.area == area]
        print(f"{area}: {sum(of_area):,} uses, {min(of_area):,} to {max(of_area):,} a number")
        # Where 5 % is less than one use, whole uses still differ by one or two.
        assert max(of_area) <= max(1.05 * min(of_area), min(of_area) + 2)


async def test_two_campaigns_share_a_short_group_by_their_weight(redis_client: Redis) -> None:
    """Each asks for about what there is for both, one with three times the weight of the other."""
    size = sized(1, 10)  # numbers and calls alike
    ticks, numbers, asked = sized(500, 10_000), 20 * size, size
    pool = await make_pool(redis_client, [endless("212", n) for n in range(numbers)], test_clock=True)
    caller = Caller(pool, CampaignPolicy(SALES, weight=3), CampaignPolicy(OTHER))
    served: Counter[Campaign] = Counter()
    ends: dict[int, list[CallRequest]] = defaultdict(list)
    dice = random.Random(3)

    for tick in range(ticks):
        await set_time(redis_client, pool, 1_700_000_000_000 + tick * 100)
        await asyncio.gather(*(pool.release(request.key, ANSWERED) for request in ends.pop(tick, ())))
        requests = [
            caller.request(campaign, E164(f"+1{dice.choice(['212', '305'])}555{dice.randrange(9999):04d}"))
            for campaign in dice.sample([SALES, OTHER] * asked, 2 * asked)
        ]
        for request, found in zip(requests, await asyncio.gather(*map(caller.ask, requests)), strict=True):
            if isinstance(found, Assignment):
                ends[tick + dice.randint(8, 30)].append(request)
                served[request.campaign] += tick > 100
    total, ratio = sum(served.values()), served[SALES] / served[OTHER]
    print(f"{total:,} assignments, {ratio:.3f} to 1")

    assert 2.5 < ratio < 3.5
    assert total > 0.8 * numbers / 19 * (ticks - 100)  # nearly all of the capacity is used
