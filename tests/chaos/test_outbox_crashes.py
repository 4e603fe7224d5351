"""The consumer of the outbox dies between reading, storing and taking off: each record is stored once."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import uuid
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ami_rotator.cancellation import end_tasks
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import GROUP, LedgerOutbox
from tests.chaos.outbox_victim import COMMITTED, READ, STORED
from tests.chaos.sizes import sized
from tests.support.pool_load import Load, fill_inventory, ledger, stores, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_VICTIM = [sys.executable, "-m", "tests.chaos.outbox_victim"]
_ROOT = Path(__file__).parents[2]


async def test_each_record_is_stored_once_wherever_a_consumer_dies(
    redis_url: str, redis_client: Redis, database_dsn: str, database: Database
) -> None:
    inventory = uuid.uuid4().hex[:12]
    part = stores(redis_client, database, inventory)
    await fill_inventory(database, 400)
    await part.sync.sync()
    load = Load([part], workers=10)
    kills = 0
    for point in (READ, STORED, COMMITTED) * sized(1, 20):
        async with load.running():
            await asyncio.sleep(0.4)
        load._stopping = False
        victim = await asyncio.create_subprocess_exec(
            *_VICTIM, redis_url, database_dsn, inventory, point, str(random.randint(1, 3)), cwd=_ROOT
        )
        kills += await asyncio.wait_for(victim.wait(), 30) == -9
    heir = LedgerOutbox(redis_client, database, inventory, "heir", claim_after_ms=100, block_ms=20)
    task = asyncio.create_task(heir.run())

    async def is_empty() -> bool:
        return await redis_client.xlen(part.pool.outbox_stream) == 0

    await until(is_empty, 30)
    await end_tasks(task)

    assert kills == sized(3, 60)
    assert {call.reservation: (call.number, "answered") for call in load.calls} == await ledger(database)
    assert (await redis_client.xpending(part.pool.outbox_stream, GROUP))["pending"] == 0
    print(f"{kills} kills, {len(load.calls)} calls, each recorded once")


async def test_a_consumer_killed_while_it_works_leaves_nothing_behind(
    redis_url: str, redis_client: Redis, database_dsn: str, database: Database
) -> None:
    """kill -9 at any moment rather than at a chosen point, with two at work."""
    inventory = uuid.uuid4().hex[:12]
    part = stores(redis_client, database, inventory)
    await fill_inventory(database, 400)
    await part.sync.sync()
    load = Load([part], workers=20)

    async def consume() -> None:
        for _ in range(sized(2, 10)):
            victim = await asyncio.create_subprocess_exec(
                *_VICTIM, redis_url, database_dsn, inventory, "never", "1", cwd=_ROOT
            )
            await asyncio.sleep(random.uniform(1.0, 2.0))
            victim.kill()
            await victim.wait()

    async with load.running():
        await asyncio.gather(consume(), consume())
    began = time.monotonic()
    heir = LedgerOutbox(redis_client, database, inventory, "heir", claim_after_ms=100, block_ms=20)
    task = asyncio.create_task(heir.run())

    async def is_empty() -> bool:
        return await redis_client.xlen(part.pool.outbox_stream) == 0

    await until(is_empty, 60)
    await end_tasks(task)

    assert {call.reservation: (call.number, "answered") for call in load.calls} == await ledger(database)
    print(f"{len(load.calls)} calls; the rest was stored in {time.monotonic() - began:.1f} s")
