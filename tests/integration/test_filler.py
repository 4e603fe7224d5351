"""The warm pools follow what is called, and keeping them keeps Redis busy for moments only."""

from __future__ import annotations

from dataclasses import replace

from redis.asyncio import Redis

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Area, Assignment, Campaign, End, Group, State
from ami_rotator.domain.warmth import Demand
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.filler import Filler
from ami_rotator.pool.redis_pool import MOVES_MOST, RedisPool, Warmed, WarmOrder
from tests.support.pool_checks import violations
from tests.support.pool_setup import call, caller_id, make_pool

AREAS = [Area(str(code)) for code in range(212, 272)]


async def ready(redis: Redis, each: int = 2) -> tuple[RedisPool, Filler, Assigner]:
    """Return a pool of 60 areas, what fills it, and what asks it."""
    pool = await make_pool(redis, [caller_id(n, area=area) for area in AREAS for n in range(each)])
    assigner = Assigner(pool, "US", ["9"])
    return pool, Filler(pool, assigner, 1.0), assigner


async def ask(pool: RedisPool, assigner: Assigner, serial: int, campaign: str = "SALES") -> Assignment:
    """Let a call of area 212 ask for its caller-ID."""
    found = await assigner.assign(call(serial, campaign=campaign))
    assert isinstance(found, Assignment), found
    return found


async def test_what_is_called_is_held_warm_and_what_was_taken_is_replaced(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client)
    assert not (await ask(pool, assigner, 1)).was_warm
    await filler.fill()

    assert await pool.depths() == {(Campaign("SALES"), Area("212")): 1}
    assert (await ask(pool, assigner, 2)).was_warm
    assert await pool.depths() == {(Campaign("SALES"), Area("212")): 0}
    await filler.close()

    assert await pool.depths() == {}
    assert await violations(redis_client, pool.tag) == []


async def test_caller_ids_that_are_added_count_for_the_share_that_may_lie_warm(redis_client: Redis) -> None:
    pool, _, assigner = await ready(redis_client, each=1)
    # Of 60 caller-IDs none may lie warm, of 120 one.
    filler = Filler(pool, assigner, 1 / 100)
    for serial in (1, 2):
        await assigner.assign(call(serial))
    for _ in range(2):  # counted twice, and not again for a while
        await filler.fill()
    assert await pool.depths() == {}
    await pool.put([caller_id(n, area=area) for area in AREAS for n in (0, 1)], await pool.new_generation())

    for _ in range(30):
        await filler.fill()

    assert sum((await pool.depths()).values()) == 1


async def test_a_pool_that_was_empty_at_first_has_warm_ones_as_soon_as_it_is_loaded(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client, each=0)
    await filler.fill()
    await pool.put([caller_id(n) for n in range(4)], await pool.new_generation())
    await ask(pool, assigner, 1)

    await filler.fill()

    assert sum((await pool.depths()).values()) == 2


async def test_a_pool_is_filled_when_it_has_too_few_and_not_with_each_call(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client, each=10)
    await ask(pool, assigner, 1)
    held = []
    for serial in range(2, 8):
        await filler.fill()
        held.append(sum((await pool.depths()).values()))
        assert (await ask(pool, assigner, serial)).was_warm

    # A call now and then: one that is warm is enough, and it is filled to two.
    assert held == [2, 1, 2, 1, 2, 1]


async def test_a_pool_that_is_empty_and_not_called_any_more_is_closed(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client)
    await ask(pool, assigner, 1)
    await filler.fill()
    await ask(pool, assigner, 2)
    assert await pool.depths() == {(Campaign("SALES"), Area("212")): 0}
    await pool.demand(1)  # what was asked counts, and is then forgotten
    await redis_client.delete(f"demand:{pool.tag}")

    await filler.fill()

    assert await pool.depths() == {}


async def test_what_was_asked_for_is_counted_in_pages(redis_client: Redis) -> None:
    pool, _, assigner = await ready(redis_client, each=4)
    await pool.demand(1)  # loads the script
    for serial in range(180):
        await ask(pool, assigner, serial + 1, campaign=f"CAMP{serial}")
    await redis_client.config_resetstat()

    demand = await pool.demand(1000)

    stats = await redis_client.info("commandstats")
    assert len(demand) == 180
    assert stats["cmdstat_zincrby"]["calls"] == 180
    assert stats["cmdstat_evalsha"]["calls"] == 2


async def test_deep_pools_are_filled_and_closed_in_steps_that_keep_redis_for_moments(redis_client: Redis) -> None:
    pool, filler, _ = await ready(redis_client, each=50)
    demands = [Demand(Campaign("SALES"), area, 400.0) for area in AREAS[:3]]
    demands += [Demand(Campaign("SALES"), area, 1.0) for area in AREAS[3:]]
    filler.expect = lambda _: demands
    await filler.fill()  # loads the function
    await filler.close()
    await redis_client.config_resetstat()

    await filler.fill()
    filled = await pool.depths()
    await filler.close()

    stats = await redis_client.info("commandstats")
    runs = stats["cmdstat_fcall"]["calls"]
    depths = [filled[Campaign("SALES"), area] for area in AREAS]
    assert min(depths[:3]) > 3 * MOVES_MOST
    assert set(depths[3:]) == {2}
    assert await pool.depths() == {}
    assert await violations(redis_client, pool.tag) == []
    # Each that is taken is packed once, and so is each that goes back.
    moved = 2 * sum(depths)
    assert stats["cmdstat_set"]["calls"] >= moved
    assert moved / MOVES_MOST <= runs <= moved / MOVES_MOST + 20
    assert stats.get("cmdstat_evalsha", {"calls": 0})["calls"] < 20  # depths and demand


async def test_a_pool_that_cannot_be_filled_stops_no_other(redis_client: Redis) -> None:
    pool, filler, _ = await ready(redis_client, each=20)
    nowhere = Area("999")
    filler.expect = lambda _: [Demand(Campaign("SALES"), area, 400.0) for area in (nowhere, *AREAS[:4])]

    await filler.fill()
    await redis_client.config_resetstat()
    await filler.fill()

    depths = await pool.depths()
    assert depths[Campaign("SALES"), nowhere] == 0
    assert [depths[Campaign("SALES"), area] for area in AREAS[:4]] == [20] * 4
    # Twenty are enough, and where there are none it is tried once.
    assert (await redis_client.info("commandstats"))["cmdstat_fcall"]["calls"] == 1


async def test_a_pool_that_calls_take_from_meanwhile_is_filled_all_the_same(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client, each=60)
    filler.expect = lambda _: [Demand(Campaign("SALES"), AREAS[0], 400.0)]
    await filler.fill()
    wanted = (await pool.depths())[Campaign("SALES"), AREAS[0]]
    for serial in range(wanted - 8):
        await ask(pool, assigner, serial + 1)
    warm = pool.warm

    async def as_many_as_it_brings_are_taken(*orders: WarmOrder) -> list[Warmed]:
        pool.warm = warm  # type: ignore[method-assign]
        for serial in range(8):
            await ask(pool, assigner, 100 + serial)
        return await warm(*orders)

    pool.warm = as_many_as_it_brings_are_taken  # type: ignore[method-assign]
    await filler.fill()

    assert (await pool.depths())[Campaign("SALES"), AREAS[0]] >= wanted - 8
    assert await violations(redis_client, pool.tag) == []


async def test_a_run_brings_back_no_more_of_those_that_waited_than_it_needs(redis_client: Redis) -> None:
    groups = [Group(f"G{number}") for number in range(5)]
    items = [
        replace(caller_id(8 * number + n), group=group, cooldown_s=1)
        for number, group in enumerate(groups)
        for n in range(8)
    ]
    pool = await make_pool(redis_client, items, test_clock=True)
    clock = f"test-clock:{pool.tag}"
    assigner = Assigner(pool, "US", ["9"])
    assigner.policies = {Campaign("SALES"): CampaignPolicy(Campaign("SALES"), groups=tuple(groups))}
    for serial in range(40):
        await ask(pool, assigner, serial + 1)
        await pool.release(call(serial + 1).key, End("answered"))
    await redis_client.incrby(clock, 60_000)
    await redis_client.config_resetstat()

    # Nobody has this attestation: what comes back is of no use to the pool.
    found = await pool.warm(WarmOrder(Campaign("SALES"), Area("212"), groups, 8, "A"))

    assert found == [Warmed(0, 0)]
    assert (await redis_client.info("commandstats"))["cmdstat_set"]["calls"] <= MOVES_MOST
    assert await violations(redis_client, pool.tag) == []


async def test_pools_and_leaves_beyond_a_page_are_all_counted(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client, each=4)
    for serial in range(180):
        await ask(pool, assigner, serial + 1, campaign=f"CAMP{serial}")
    await filler.fill()
    snapshot = await pool.snapshot()

    assert len(snapshot.warm) == 180
    assert snapshot.states[State.IN_USE] == 180
    assert sum(snapshot.states.values()) == 240
    assert (
        sum(item.depth for item in snapshot.warm) == sum((await pool.depths()).values()) == snapshot.states[State.WARM]
    )


async def test_no_script_that_counts_keeps_redis_for_long(redis_client: Redis) -> None:
    pool, filler, assigner = await ready(redis_client, each=4)
    for serial in range(180):
        await ask(pool, assigner, serial + 1, campaign=f"CAMP{serial}")
    await filler.fill()
    await redis_client.config_resetstat()

    await pool.snapshot()

    stats = await redis_client.info("commandstats")
    # 60 leaves in 6 states and 180 pools: a call waits for one script, and 150 commands of one are half a millisecond.
    assert stats["cmdstat_zcard"]["calls"] >= 360
    assert stats["cmdstat_zcard"]["calls"] / stats["cmdstat_evalsha"]["calls"] <= 120
