"""What every part is given: the servers, a folder, how much to do, and pools and databases filled with caller-IDs."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
from redis.asyncio import Redis

from ami_rotator.domain.types import Area
from ami_rotator.log import set_up_logging
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import RedisClient, connect
from ami_rotator.pool.rebuild import Rebuild
from ami_rotator.pool.redis_pool import RedisPool
from tests.bench.figures import Figure, Series
from tests.bench.load import inventory
from tests.bench.sizes import Size
from tests.support.services import Kind, Services

_TTL_S = 300
_COPY_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class FilledPool:
    """A pool that serves calls, and the way in that all doors use."""

    redis: RedisClient
    pool: RedisPool
    assigner: Assigner
    areas: Sequence[Area]


@dataclass(slots=True)
class Bench:
    """One run. `found` and `drawn` grow with each part; a later part may look at what an earlier one found."""

    services: Services
    folder: Path
    size: Size
    redis_kind: Kind = "wheel"
    found: list[Figure] = field(default_factory=list)
    drawn: list[Series] = field(default_factory=list)

    @property
    def redis_url(self) -> str:
        """Return the Redis that parts use when they do not compare several."""
        return self.services.redis(self.redis_kind)

    def say(self, text: str) -> None:
        """Tell what is being done, beside the table."""
        print(f"  {text}", file=sys.stderr, flush=True)

    def add(self, *figures: Figure) -> None:
        """Keep figures."""
        self.found.extend(figures)

    def draw(self, series: Series) -> None:
        """Keep a line of a picture."""
        self.drawn.append(series)

    def value_of(self, part: str, name: str) -> float | None:
        """Return what an earlier part found."""
        return next((item.value for item in self.found if (item.part, item.name) == (part, name)), None)

    @asynccontextmanager
    async def pool(self, caller_ids: int, among: Sequence[Area], kind: Kind | None = None) -> AsyncIterator[FilledPool]:
        """Fill an inventory of its own in Redis; it is emptied at the end."""
        url = self.services.redis(kind or self.redis_kind)
        redis = connect(url, timeout_s=10)
        pool = RedisPool(redis, uuid.uuid4().hex[:12], ZoneInfo("UTC"), _TTL_S)
        try:
            await pool.put(list(inventory(caller_ids, among)), await pool.new_generation())
            await open_pool(pool)
            yield FilledPool(redis, pool, Assigner(pool, "US", ["9"]), among)
        finally:
            await redis.flushdb()
            await redis.aclose()

    @asynccontextmanager
    async def database(self, caller_ids: int, among: Sequence[Area]) -> AsyncIterator[str]:
        """Give the DSN of a migrated database with this inventory."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        dsn = await self.services.create_database("wheel", name)
        try:
            await fill_database(dsn, caller_ids, among)
            yield dsn
        finally:
            await self.services.drop_database("wheel", name)

    @asynccontextmanager
    async def connections(self, concurrent: int) -> AsyncIterator[Redis]:
        """Give a client with a connection for each task."""
        redis = Redis.from_url(self.redis_url, decode_responses=True, max_connections=concurrent, socket_timeout=30)
        try:
            yield redis
        finally:
            await redis.aclose()

    async def flush(self) -> None:
        """Empty Redis."""
        async with self.connections(1) as redis:
            await redis.flushall()


def log_to(file: Path) -> None:
    """Log as the daemon does, in JSON and by its thread: what a call costs includes its line in the log."""
    with contextlib.redirect_stderr(file.open("a", encoding="utf-8")):
        set_up_logging("INFO", behind=True)


async def open_pool(pool: RedisPool) -> None:
    """Let a pool serve calls, as a daemon does once everything is loaded."""
    rebuild = Rebuild(pool)
    await rebuild.take_turn()
    await rebuild.open()


async def fill_database(dsn: str, caller_ids: int, among: Sequence[Area]) -> None:
    """Copy an inventory into PostgreSQL, without the audit that an import leaves."""
    connection = await asyncpg.connect(dsn, timeout=30, command_timeout=300)
    try:
        await connection.execute("SET session_replication_role = replica")
        batch: list[tuple[object, ...]] = []
        for item in inventory(caller_ids, among):
            batch.append((item.number, item.area, 1_000_000, 1_000_000, None))
            if len(batch) == _COPY_AT_ONCE:
                await _copy(connection, batch)
                batch.clear()
        await _copy(connection, batch)
        await connection.execute("ANALYZE caller_ids")
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection[asyncpg.Record], batch: Sequence[tuple[object, ...]]) -> None:
    await connection.copy_records_to_table(
        "caller_ids", records=batch, columns=["caller_id", "area", "daily_limit", "hourly_limit", "warmup_from"]
    )
