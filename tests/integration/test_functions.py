"""What calls wait for runs as a function of Redis where there are functions, and as a script where there are none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Area, Assignment, Campaign, End, Group, Miss
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.connect import connect
from ami_rotator.pool.redis_pool import RedisPool, Warmed, WarmOrder
from ami_rotator.pool.scripts import load_scripts
from tests.support.policy_caller import OTHER, SALES, Caller
from tests.support.pool_checks import violations
from tests.support.pool_setup import assign, call, caller_id, make_pool
from tests.support.redis_topologies import node
from tests.support.tcp_proxy import tcp_proxy

ENDED = End("answered", 16, talk_ms=1000)
ITEMS = [caller_id(index) for index in range(20)]


async def runs(redis: Redis, *names: str) -> list[int]:
    """Return how often commands were run since the last `CONFIG RESETSTAT`."""
    stats = await redis.info("commandstats")
    return [int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in names]


async def a_call(pool: RedisPool, serial: int) -> Assignment:
    """Make a call and end it."""
    found = await assign(pool, call(serial))
    assert isinstance(found, Assignment), found
    assert await pool.release(call(serial).key, ENDED) == found.caller_id
    return found


async def test_assignments_and_releases_are_functions_of_this_version(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, ITEMS)
    await a_call(pool, 1)
    await redis_client.config_resetstat()

    await a_call(pool, 2)

    assert await runs(redis_client, "fcall", "evalsha") == [2, 0]
    named: Any = await redis_client.function_list("rotator_*")
    libraries = {library["library_name"] if isinstance(library, dict) else library[1] for library in named}
    assert libraries == {load_scripts()[name].function for name in ("ask", "tell")}


async def test_functions_that_are_gone_are_loaded_once_more(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, ITEMS)
    for serial in range(0, 60, 20):
        await redis_client.function_flush()
        await redis_client.script_flush()

        found = await asyncio.gather(*(a_call(pool, serial + n) for n in range(1, 20)))

        assert len({one.caller_id for one in found}) == 19
    assert await violations(redis_client, pool.tag) == []


async def test_inventories_and_their_days_do_not_mix_in_one_function(redis_client: Redis) -> None:
    abroad = replace(caller_id(1, daily=2), timezone="Asia/Tokyo")
    first = await make_pool(redis_client, [abroad], test_clock=True)
    second = await make_pool(redis_client, [caller_id(2, daily=2)], test_clock=True)
    day_ms = 86_400_000

    for day in range(3):
        for pool in (first, second):
            await redis_client.set(f"test-clock:{pool.tag}", 1_700_000_000_000 + day * day_ms)
        for turn in range(2):
            for pool, number in ((first, 1), (second, 2)):
                found = await a_call(pool, 100 * day + 10 * turn + number)
                assert found.caller_id == caller_id(number).number
        assert isinstance(await assign(first, call(100 * day + 99)), Miss)
        assert isinstance(await assign(second, call(100 * day + 99)), Miss)


@pytest.mark.parametrize(
    "option",
    [
        "rename-command FCALL ''",
        "user rotator on >s3cret ~* &* +@all -fcall",
        "user rotator on >s3cret ~* &* +@all -function",
    ],
    ids=["FCALL not known", "FCALL not allowed", "FUNCTION not allowed"],
)
async def test_without_functions_scripts_do(tmp_path: Path, option: str) -> None:
    with node(tmp_path, option) as server:
        account = "rotator:s3cret@" if option.startswith("user") else ""
        client = connect(f"redis://{account}127.0.0.1:{server.port}")
        assert isinstance(client, Redis)
        pool = await make_pool(client, ITEMS)

        found = await asyncio.gather(*(a_call(pool, n) for n in range(1, 20)))
        depths = await pool.warm(WarmOrder(SALES, Area("212"), [Group("default")], 2))
        await client.config_resetstat()
        await a_call(pool, 20)

        assert len({one.caller_id for one in found}) == 19
        assert depths == [Warmed(2, 2)]
        assert await runs(client, "evalsha", "script|load", "function|load") == [2, 0, 0]
        assert not (await client.info("errorstats"))  # FCALL is not tried once more
        assert await violations(client, pool.tag) == []
        await client.aclose()


async def test_functions_that_are_refused_in_other_words_are_not_needed(tmp_path: Path) -> None:
    with node(tmp_path, "rename-command FCALL ''") as server:
        async with tcp_proxy(("127.0.0.1", server.port)) as managed:
            managed.reworded = (b"-ERR unknown command 'FCALL'", b"-ERR Command is not available: 'FCALL'.")
            client = connect(f"redis://127.0.0.1:{managed.port}")
            assert isinstance(client, Redis)
            pool = await make_pool(client, ITEMS)

            with capture_logs() as logs:
                found = await asyncio.gather(*(a_call(pool, n) for n in range(1, 20)))

            assert len({one.caller_id for one in found}) == 19
            [line] = [line for line in logs if line["log_level"] == "warning"]
            assert "Command is not available" in line["reason"]
            assert await violations(client, pool.tag) == []
            await client.aclose()


async def test_a_function_that_has_worked_is_not_given_up_for_an_error(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, ITEMS)
    await a_call(pool, 1)
    await redis_client.set(f"outbox:{pool.tag}", "no stream")

    with pytest.raises(PoolUnavailableError, match="wrong kind of value"):
        await assign(pool, call(2))

    await redis_client.delete(f"outbox:{pool.tag}")
    await redis_client.config_resetstat()
    await a_call(pool, 3)
    assert await runs(redis_client, "fcall", "evalsha") == [2, 0]


@pytest.mark.parametrize("has_functions", [True, False])
async def test_calls_end_on_a_full_redis(redis_client: Redis, has_functions: bool) -> None:
    pool = await make_pool(redis_client, ITEMS)
    await a_call(pool, 1)
    assert isinstance(await assign(pool, call(2)), Assignment)
    if not has_functions:  # as after an upgrade
        await redis_client.function_flush()
    await redis_client.config_resetstat()
    try:
        await redis_client.config_set("maxmemory", "1")
        released = await pool.release(call(2).key, ENDED)
        by_function, by_script = await runs(redis_client, "fcall", "evalsha")
        with pytest.raises(PoolUnavailableError, match="Redis is full"):
            await assign(pool, call(3))
    finally:
        await redis_client.config_set("maxmemory", "0")

    assert released is not None
    assert (by_function > 0, by_script) == ((True, 0) if has_functions else (True, 1))
    await a_call(pool, 4)
    assert await violations(redis_client, pool.tag) == []


@pytest.mark.parametrize("has_functions", [True, False])
async def test_warm_pools_are_closed_on_a_full_redis(redis_client: Redis, has_functions: bool) -> None:
    pool = await make_pool(redis_client, ITEMS)
    order = WarmOrder(SALES, Area("212"), [Group("default")], 4)
    assert await pool.warm(order) == [Warmed(4, 4)]
    if not has_functions:
        await redis_client.function_flush()
    try:
        await redis_client.config_set("maxmemory", "1")
        closed = await pool.warm(order._replace(depth=0))
    finally:
        await redis_client.config_set("maxmemory", "0")

    assert closed == [Warmed(0, 4)]
    assert await violations(redis_client, pool.tag) == []


@pytest.mark.parametrize("has_functions", [True, False])
async def test_a_replica_is_left(tmp_path: Path, has_functions: bool) -> None:
    with node(tmp_path) as server:
        client = connect(f"redis://127.0.0.1:{server.port}")
        assert isinstance(client, Redis)
        pool = await make_pool(client, ITEMS)
        await a_call(pool, 1)
        if not has_functions:
            server.ask("FUNCTION", "FLUSH")
        server.ask("REPLICAOF", "127.0.0.1", "1")
        trips: Any = pool._flights._trips
        before = trips._wire

        with pytest.raises(PoolUnavailableError, match="ReadOnlyError"):
            await assign(pool, call(2))

        assert not before.is_open
        server.ask("REPLICAOF", "NO", "ONE")
        await a_call(pool, 3)
        assert pool._flights._has_functions
        await client.aclose()


async def test_two_that_load_a_function_at_once_both_have_it(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, ITEMS)
    other = RedisPool(redis_client, pool.tag.strip("{}"), ZoneInfo("UTC"), 300)

    found = await asyncio.gather(*(a_call(one, 2 * n + m) for n in range(1, 9) for m, one in enumerate((pool, other))))

    assert len({one.caller_id for one in found}) == 16
    assert pool._flights._has_functions
    assert other._flights._has_functions


async def test_policies_take_turns_in_one_function(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, ITEMS)
    caller = Caller(pool, CampaignPolicy(SALES, sticky_days=3), CampaignPolicy(OTHER))
    seen: dict[Campaign, list[str]] = {SALES: [], OTHER: []}

    for _ in range(6):
        for campaign, numbers in seen.items():
            request = caller.request(campaign)
            found = await caller.ask(request)
            assert isinstance(found, Assignment)
            numbers.append(found.caller_id)
            await pool.release(request.key, ENDED)

    assert len(set(seen[SALES])) == 1
    assert len(set(seen[OTHER])) == 6
