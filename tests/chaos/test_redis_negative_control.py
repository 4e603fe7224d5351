"""The checks can fail: a pool that reads and then writes gives numbers twice, and every kind of damage is named."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.types import E164, Area, Assignment, Campaign, Group
from ami_rotator.ledger.database import Database
from ami_rotator.pool.redis_pool import RedisPool, WarmOrder
from tests.support.pool_checks import violations
from tests.support.pool_load import Load, fill_inventory, stores
from tests.support.pool_setup import assign, call, caller_id, make_pool

pytestmark = pytest.mark.chaos


async def test_a_pool_that_reads_and_then_writes_is_caught_by_the_load(redis_client: Redis, database: Database) -> None:
    """The same load and the same checker on the mistake of the seed project: a number is looked for, then taken."""
    part = stores(redis_client, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 10)
    await part.sync.sync()
    script = part.pool.assign

    async def look_then_take(*args: object) -> object:
        free = [n for n in range(1, 11) if not await redis_client.exists(f"taken:{n}")]
        found = await script(*args)  # type: ignore[arg-type]
        if not free or not isinstance(found, Assignment):
            return found
        await redis_client.set(f"taken:{free[0]}", "1")
        asyncio.get_running_loop().call_later(
            0.2, lambda: asyncio.ensure_future(redis_client.delete(f"taken:{free[0]}"))
        )
        return found._replace(caller_id=E164(f"+1212{5550000 + free[0]}"))

    part.pool.assign = look_then_take  # type: ignore[method-assign, assignment]
    load = Load([part], workers=20, hold_s=(0.05, 0.1))
    async with load.running():
        await asyncio.sleep(1)

    assert len(load.faults) > 10


Damage = Callable[[Redis, str], Awaitable[object]]


async def _sets(redis: Redis, tag: str, state: str) -> str:
    return next(str(name) for name in sorted(map(str, await redis.keys(f"{state}:{tag}*"))))


async def stand_nowhere(redis: Redis, tag: str) -> None:
    await redis.zpopmin(await _sets(redis, tag, "idle"))


async def stand_twice(redis: Redis, tag: str) -> None:
    key = await _sets(redis, tag, "idle")
    number = str((await redis.zrange(key, 0, 0))[0])
    await redis.zadd(key.replace("idle:", "waiting:", 1), {number: 1})


async def stand_without_record(redis: Redis, tag: str) -> None:
    await redis.zadd(await _sets(redis, tag, "idle"), {"+19995550000": 1})


async def lose_a_reservation(redis: Redis, tag: str) -> None:
    await redis.delete(*map(str, await redis.keys(f"reservation:{tag}:*")))


async def lose_an_expiry(redis: Redis, tag: str) -> None:
    await redis.delete(f"expiries:{tag}")


async def lose_a_warm_pool(redis: Redis, tag: str) -> None:
    await redis.delete(*map(str, await redis.keys(f"pool:{tag}:*")))


@pytest.mark.parametrize(
    "damage",
    [stand_nowhere, stand_twice, stand_without_record, lose_a_reservation, lose_an_expiry, lose_a_warm_pool],
)
async def test_every_kind_of_damage_is_found(redis_client: Redis, damage: Damage) -> None:
    pool: RedisPool = await make_pool(redis_client, [caller_id(i) for i in range(8)])
    await assign(pool, call(1))
    await pool.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 2))
    assert await violations(redis_client, pool.tag) == []

    await damage(redis_client, pool.tag)

    assert await violations(redis_client, pool.tag) != []
