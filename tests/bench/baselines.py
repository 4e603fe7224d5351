"""What the figures are compared with: the floor of one round trip, and the design that reads first and writes then."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
from redis.asyncio import Redis

from ami_rotator.domain.types import Area
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.flights import Flights
from ami_rotator.pool.scripts import Script
from tests.bench.load import destination

_ONE_LINE = "return 1"
# Of each that share the run it is told the name and that there are no arguments.
_ONE_EACH = "local all = {} for i = 1, #ARGV / 2 do all[i] = 1 end return all"
_RESERVED_S = 300


def round_trip(redis: Redis) -> Callable[[int], Awaitable[None]]:
    """Return the work of baseline (a): redis-py's EVALSHA of a script that does nothing. Load the script first."""
    sha = hashlib.sha1(_ONE_LINE.encode(), usedforsecurity=False).hexdigest()

    async def work(_: int) -> None:
        await redis.evalsha(sha, 1, "floor:{bench}")

    return work


async def load_one_line(redis: Redis) -> None:
    """Load the script of `round_trip`."""
    await redis.script_load(_ONE_LINE)


def shared_round_trip(redis: RedisClient) -> Callable[[int], Awaitable[None]]:
    """Return what does nothing by the way that calls take: those that wait at the same moment share a trip and a run."""
    sha = hashlib.sha1(_ONE_EACH.encode(), usedforsecurity=False).hexdigest()
    script = Script("floor", _ONE_EACH, sha, 1)
    flights = Flights(redis, "{bench}", script, script, tuple)

    async def work(_: int) -> None:
        await flights.ask("assign")

    return work


class ReadThenWrite:
    """Baseline (c): the seed's design, as its `composer` branch has it (facts: `CallerIDService.get_next_caller_id`).

    All active numbers of the area are read from PostgreSQL; of each, Redis is asked whether it is reserved, and for its
    hourly and its daily count, one command after the other. They are sorted by last use, and the first that
    `SET reservation NX EX` lets have is counted and its last use written to PostgreSQL. Without HTTP, which only favours it.
    """

    def __init__(self, redis: Redis, postgresql: asyncpg.Pool[asyncpg.Record], among: Sequence[Area]) -> None:
        self._redis = redis
        self._postgresql = postgresql
        self._among = among

    async def prepare(self, numbers: Sequence[tuple[str, Area]]) -> None:
        """Make the table."""
        await self._postgresql.execute(
            "CREATE TABLE read_then_write (caller_id text PRIMARY KEY, area text NOT NULL, active boolean NOT NULL,"
            " hourly_limit integer NOT NULL, daily_limit integer NOT NULL, last_used timestamptz)"
        )
        rows = [(number, area, True, 1_000_000, 1_000_000, None) for number, area in numbers]
        await self._postgresql.copy_records_to_table("read_then_write", records=rows)
        await self._postgresql.execute("CREATE INDEX ON read_then_write (area)")
        await self._postgresql.execute("ANALYZE read_then_write")

    async def assign_and_release(self, index: int) -> None:
        """Do one call, from the question to the release; raises LookupError where no number is free."""
        chosen = await self._choose(destination(index, self._among)[:3])
        if chosen is None:
            raise LookupError("no number is free")
        await self._redis.delete(f"reservation:{chosen}")

    async def _choose(self, area: str) -> str | None:
        redis = self._redis
        rows = await self._postgresql.fetch(
            "SELECT caller_id, hourly_limit, daily_limit, last_used FROM read_then_write WHERE area = $1 AND active",
            area,
        )
        hour, day = time.strftime("%Y%m%d%H"), time.strftime("%Y%m%d")
        free = []
        for row in rows:
            number = row["caller_id"]
            if await redis.exists(f"reservation:{number}"):
                continue
            used_in_hour = int(await redis.get(f"hourly:{number}:{hour}") or 0)
            used_in_day = int(await redis.get(f"daily:{number}:{day}") or 0)
            if used_in_hour < row["hourly_limit"] and used_in_day < row["daily_limit"]:
                free.append((row["last_used"].timestamp() if row["last_used"] else 0.0, number))
        for _, number in sorted(free):
            if await redis.set(f"reservation:{number}", "1", nx=True, ex=_RESERVED_S):
                await redis.incr(f"hourly:{number}:{hour}")
                await redis.incr(f"daily:{number}:{day}")
                await self._postgresql.execute(
                    "UPDATE read_then_write SET last_used = now() WHERE caller_id = $1", number
                )
                return str(number)
        return None


def many_connections(url: str, concurrent: int) -> Redis:
    """Return a client that never makes a task wait for a connection: one for each."""
    return Redis.from_url(url, decode_responses=True, max_connections=concurrent, socket_timeout=30)


async def settle() -> None:
    """Let the servers finish what they still do, so that one part's writes do not slow the next."""
    await asyncio.sleep(0.3)
