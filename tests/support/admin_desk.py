"""An administrators' desk on real stores, for tests."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher
from redis.asyncio import Redis

from ami_rotator.admin.desk import AdminDesk, AdminOptions
from ami_rotator.admin.passwords import Passwords
from ami_rotator.admin.users import Users
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.access import Actor
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.opt_outs import OptOuts
from ami_rotator.ledger.users import UserBook
from ami_rotator.pool.opt_outs import Entry, PoolOptOuts
from ami_rotator.pool.redis_pool import RedisPool
from tests.support.pool_setup import open_pool

DEFAULTS = LimitDefaults(100, 1000, 30)
KEY = "a key for the sessions of the tests 0123456789"
ANNA = Actor("anna", "api", "192.0.2.7")


@dataclass
class Bench:
    """A desk and what is behind it."""

    desk: AdminDesk
    database: Database
    redis: Redis
    pool: RedisPool
    is_open: bool = False

    async def sync(self) -> None:
        """Put the whole inventory into the pool, as the daemon does."""
        generation = await self.pool.new_generation()
        async for batch in Inventory(self.database, DEFAULTS).load_all():
            await self.pool.put(batch, generation)
        await self.pool.prune(generation)
        await PoolOptOuts(self.pool).replace(self._opted_out())
        if not self.is_open:
            await open_pool(self.pool)
            self.is_open = True

    async def _opted_out(self) -> AsyncIterator[list[Entry]]:
        async for batch in OptOuts(self.database).load_all():
            yield [(item.destination, item.campaign) for item in batch]


def make_bench(database: Database, redis: Redis, *, clock: Clock | None = None, key: str = KEY) -> Bench:
    """Return a desk of an inventory of its own; passwords are hashed with little effort."""
    clock = clock or SystemClock()
    pool = RedisPool(redis, uuid.uuid4().hex[:12], ZoneInfo("UTC"), 300, clock=clock)
    bench: Bench

    async def changed() -> None:
        await bench.sync()

    options = AdminOptions(DEFAULTS, "US", ZoneInfo("UTC"), key, 24 * 3600)
    desk = AdminDesk(database, redis, pool, options, changed, clock)
    quick = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    desk.users = Users(UserBook(database), desk.sessions, quick)
    bench = Bench(desk, database, redis, pool)
    return bench


@asynccontextmanager
async def bench_without_stores(clock: Clock | None = None) -> AsyncIterator[Bench]:
    """Give a desk whose Redis and PostgreSQL are away: nothing listens at their addresses."""
    redis = Redis.from_url("redis://127.0.0.1:1/0", decode_responses=True, socket_connect_timeout=0.2)
    try:
        async with Database.open("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.5) as database:
            yield make_bench(database, redis, clock=clock)
    finally:
        await redis.aclose()
