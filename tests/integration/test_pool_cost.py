"""What an assignment costs, counted in commands rather than in time: a machine that is busy counts the same."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.types import Area, Assignment, Campaign, End, ReservationId, Rung
from ami_rotator.pool.policy_terms import terms_of
from ami_rotator.pool.question import Question
from ami_rotator.pool.redis_pool import RedisPool
from tests.support.pool_setup import DESTINATION, call, caller_id, make_pool

LADDER = (
    Rung.CITY,
    Rung.AREA,
    Rung.OVERLAY,
    Rung.NEIGHBOUR,
    Rung.STATE,
    Rung.ZONE,
    Rung.COUNTRY,
    Rung.ANY,
    Rung.NEXT_GROUP,
)
SALES = Campaign("SALES")
INNER_COMMANDS_MOST = 18


async def commands(redis: Redis, work: Callable[[], Awaitable[Any]]) -> tuple[int, int]:
    """Return how many scripts some work ran, and how many commands these ran."""
    await redis.config_resetstat()
    await work()
    stats: dict[str, dict[str, Any]] = await redis.info("commandstats")
    counts = {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in stats.items()}
    around = ("fcall", "config|resetstat", "info")
    return counts["fcall"], sum(count for name, count in counts.items() if name not in around)


async def given(pool: RedisPool, policy: CampaignPolicy, serial: int, area: str = "212") -> Assignment:
    """Assign with a policy."""
    request = call(serial)
    terms = terms_of(policy, frozenset())
    found = await pool.assign(
        Question(ReservationId(str(uuid.uuid4())), request, DESTINATION, Area(area), steps(policy, Area(area)), terms)
    )
    assert isinstance(found, Assignment), found
    return found


async def test_an_assignment_is_one_script_and_few_commands_with_every_policy_off(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(50)])
    await given(pool, CampaignPolicy(SALES), 1)

    scripts, inner = await commands(redis_client, lambda: given(pool, CampaignPolicy(SALES), 2))
    _, released = await commands(redis_client, lambda: pool.release(call(2).key, End("answered")))

    assert scripts == 1
    assert inner <= INNER_COMMANDS_MOST
    assert released <= INNER_COMMANDS_MOST


async def test_the_whole_ladder_costs_nothing_where_the_area_has_a_number(redis_client: Redis) -> None:
    places = places_of(Area("212"), LADDER)
    pool = await make_pool(redis_client, [replace(caller_id(n), places=places) for n in range(50)])
    whole = CampaignPolicy(SALES, rungs=LADDER)
    for serial in (1, 2):
        await given(pool, whole, serial)

    _, one_rung = await commands(redis_client, lambda: given(pool, CampaignPolicy(SALES, rungs=(Rung.AREA,)), 3))
    scripts, all_rungs = await commands(redis_client, lambda: given(pool, whole, 4))

    assert scripts == 1
    assert all_rungs <= 1.5 * one_rung


async def test_a_further_place_without_numbers_costs_one_command_and_no_round_trip(redis_client: Redis) -> None:
    """`make bench PART=rungs` has the time: it is at most half as much again for ten places, the last of which has one."""
    pool = await make_pool(redis_client, [replace(caller_id(n, area="213"), places=()) for n in range(50)])
    near = CampaignPolicy(SALES, rungs=(Rung.AREA,))
    far = CampaignPolicy(SALES, rungs=(Rung.AREA, Rung.OVERLAY, Rung.NEIGHBOUR, Rung.STATE, Rung.ZONE, Rung.ANY))
    empty = len(steps(far, Area("212"))) - 1
    for serial in (1, 2):
        await given(pool, far, serial)
        await given(pool, near, serial + 10, "213")

    _, one_place = await commands(redis_client, lambda: given(pool, near, 3, "213"))
    scripts, all_places = await commands(redis_client, lambda: given(pool, far, 4))

    assert scripts == 1
    assert all_places <= one_place + empty + 3  # the first place costs three


async def test_every_policy_at_once_is_still_one_script(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [replace(caller_id(n), attestation="A") for n in range(50)])
    policy = CampaignPolicy(
        SALES,
        rungs=LADDER,
        attestation_min="B",
        exhaustion="overflow",
        overflow_percent=10,
        sticky_days=3,
        distinct_max=3,
        distinct_days=7,
    )
    await given(pool, policy, 1)

    scripts, _ = await commands(redis_client, lambda: given(pool, policy, 2))

    assert scripts == 1


async def test_a_caller_id_takes_at_most_six_hundred_bytes_with_all_its_places(redis_client: Redis) -> None:
    count = 20_000
    areas = ["212", "305", "404", "713", "213", "312", "617", "206"]
    items = [
        replace(caller_id(n // len(areas), area=area), places=places_of(Area(area), LADDER), carrier="Some Carrier")
        for n, area in ((n, areas[n % len(areas)]) for n in range(count))
    ]
    pool = await make_pool(redis_client)
    before = int((await redis_client.info("memory"))["used_memory"])

    await pool.put(items, await pool.new_generation())

    after = int((await redis_client.info("memory"))["used_memory"])
    assert (after - before) / count <= 600
