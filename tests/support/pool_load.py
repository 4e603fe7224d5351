"""Calls that come and go, and what their callers know of it: who holds which number is judged without asking Redis."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from zoneinfo import ZoneInfo

from ami_rotator.cancellation import end_tasks, raise_if_cancelled
from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import Assignment, CallKey, CallRequest, Campaign, Dialer, End, Miss
from ami_rotator.errors import RotatorError
from ami_rotator.inventory_sync import InventorySync
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.outbox import LedgerOutbox
from ami_rotator.ledger.recall import Recall
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.pool.scripts import Script

_T = TypeVar("_T")


@dataclass(slots=True)
class Stores:
    """The part of a daemon that keeps Redis and PostgreSQL true to each other, in this process."""

    pool: RedisPool
    assigner: Assigner
    sync: InventorySync
    outbox: LedgerOutbox
    failures: Counter[str] = field(default_factory=Counter)

    async def keep_whole(self) -> None:
        """Do what the daemon's job of the take-over does."""
        while True:
            try:
                await self.sync.take_over.check()
            except RotatorError as error:
                self.failures[type(error).__name__] += 1
            raise_if_cancelled()
            await asyncio.sleep(0.5)

    async def keep_synced(self, every_s: float = 1.0) -> None:
        """Do what the daemon's inventory and expire jobs do."""
        while True:
            raise_if_cancelled()
            for job in (self.sync.sync, self.pool.expire):
                try:
                    await job()
                except RotatorError as error:
                    self.failures[type(error).__name__] += 1
            await asyncio.sleep(every_s)


def stores(
    redis: RedisClient,
    database: Database,
    inventory: str,
    name: str = "one",
    *,
    ttl_s: float = 60,
    scripts: Mapping[str, Script] | None = None,
) -> Stores:
    """Put them together as the composition root does."""
    zone = ZoneInfo("UTC")
    pool = RedisPool(redis, inventory, zone, ttl_s, scripts=scripts)
    assigner = Assigner(pool, "US", ["9"])
    source = Inventory(database, LimitDefaults(100_000, 100_000, 0, zone), SystemClock())
    sync = InventorySync(source, pool, assigner, Recall(database), zone, SystemClock())
    return Stores(pool, assigner, sync, LedgerOutbox(redis, database, inventory, name, block_ms=50))


@asynccontextmanager
async def running(*parts: Stores, every_s: float = 1.0) -> AsyncIterator[None]:
    """Keep them at work while the context is open."""
    tasks = [asyncio.create_task(part.keep_synced(every_s)) for part in parts]
    tasks += [asyncio.create_task(work()) for part in parts for work in (part.keep_whole, part.outbox.run)]
    try:
        yield
    finally:
        await end_tasks(*tasks)


@dataclass(slots=True)
class Call:
    """One call that got a number."""

    key: CallKey
    number: str
    reservation: str
    began_s: float
    released_s: float | None = None


class Load:
    """Workers that place calls. `faults` names every number that two calls had at once."""

    def __init__(self, parts: list[Stores], workers: int, hold_s: tuple[float, float] = (0.05, 0.3)) -> None:
        self.calls: list[Call] = []
        self.misses: Counter[str] = Counter()
        self.faults: list[str] = []
        self.longest_s = 0.0
        self.assigned_at_s: list[float] = []
        self.holders: dict[str, str] = {}
        self._parts = parts
        self._hold_s = hold_s
        self._workers = workers
        self._serial = 0
        self._stopping = False
        self._ending: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Place calls while the context is open; then let those that are up end."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        try:
            yield self
        finally:
            self._stopping = True
            async with asyncio.timeout(30):
                await asyncio.gather(*tasks)
                await asyncio.gather(*self._ending)

    async def place(self, part: Stores | None = None) -> Call | None:
        """Place one call that stays up until `end` is called."""
        self._serial += 1
        serial = self._serial
        key = CallKey(Dialer("d1"), f"V9{serial:09d}{random.randrange(10**9):010d}", f"1700000000.{serial}")
        request = CallRequest(key, "92125550199", Campaign("SALES"), "ami")
        began = time.monotonic()
        found = await (part or self._parts[serial % len(self._parts)]).assigner.assign(request)
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - began)
        if isinstance(found, Miss):
            self.misses[found.reason] += 1
            return None
        assert isinstance(found, Assignment)
        other = self.holders.get(found.caller_id)
        if other is not None:
            self.faults.append(f"{found.caller_id} went to {found.reservation} while {other} had it")
        self.holders[found.caller_id] = found.reservation
        self.assigned_at_s.append(now)
        call = Call(key, found.caller_id, found.reservation, now)
        self.calls.append(call)
        return call

    async def end(self, call: Call) -> None:
        """End a call, as the listener does: again and again until Redis takes it."""
        # From here on the number may be another call's: the answer to the release takes a while to come back.
        if self.holders.get(call.number) == call.reservation:
            del self.holders[call.number]
        call.released_s = time.monotonic()
        await again_until_taken(lambda: self._parts[0].pool.release(call.key, End("answered", 16, 0, 100)))

    async def _work(self) -> None:
        while not self._stopping:
            call = await self.place()
            await asyncio.sleep(random.uniform(*self._hold_s))
            if call is not None:
                # Calls go on being placed while Redis takes no release.
                self._ending.append(asyncio.create_task(self.end(call)))


async def again_until_taken(step: Callable[[], Awaitable[_T]], within_s: float = 25) -> _T:
    """Repeat a step while Redis is away."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await step()
        except RotatorError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 20) -> float:
    """Wait until a condition holds; return how long it took."""
    began = time.monotonic()
    while True:
        try:
            if await condition():
                return time.monotonic() - began
        except RotatorError:
            pass
        assert time.monotonic() - began < within_s, "it did not come to that in time"
        await asyncio.sleep(0.02)


async def fill_inventory(database: Database, count: int) -> None:
    """Put caller-IDs into PostgreSQL."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO caller_ids (caller_id, area) SELECT '+1212' || (5550000 + n), '212' FROM generate_series(1, $1) n",
            count,
        )


async def ledger(database: Database) -> dict[str, tuple[str, str | None]]:
    """Return caller-ID and outcome by reservation; fails where one is there twice."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT reservation_id::text, caller_id, outcome::text FROM calls WHERE miss_reason IS NULL"
        )
    found = {row[0]: (row[1], row[2]) for row in rows}
    assert len(found) == len(rows), "a reservation is in the ledger twice"
    return found
