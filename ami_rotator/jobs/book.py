"""The book of jobs in Redis: how the last runs went, for whoever looks, and which are wished for out of turn."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from ami_rotator.jobs.job import Job, JobRun
from ami_rotator.jobs.lease import as_pool
from ami_rotator.pool.connect import RedisClient

_WISH_HOLDS_S = 60


@dataclass(frozen=True, slots=True)
class Wish:
    """A job that somebody wants to run now."""

    job: str
    identity: str


class JobBook:
    """The book of one inventory. All methods raise PoolUnavailableError where Redis is away."""

    def __init__(self, redis: RedisClient, tag: str) -> None:
        self._redis = redis
        self._runs = f"jobs:{tag}"
        self._wishes = f"job-wishes:{tag}"

    async def announce(self, jobs: Iterable[Job]) -> None:
        """Put jobs that never ran in the book; forget those that there are no more."""
        known = {job.name: job for job in jobs}
        fresh: dict[Any, Any] = {
            name: _text(JobRun(name, job.what, job.every_s, job.alone)) for name, job in known.items()
        }

        async def write() -> None:
            async with self._redis.pipeline(transaction=False) as pipe:
                for name, text in fresh.items():
                    pipe.hsetnx(self._runs, name, text)
                await pipe.execute()
            gone = [name for name in await self._redis.hkeys(self._runs) if name not in known]
            if gone:
                await self._redis.hdel(self._runs, *gone)

        await as_pool(write)

    async def save(self, run: JobRun) -> None:
        """Note how a run went."""
        await as_pool(lambda: self._redis.hset(self._runs, run.name, _text(run)))

    async def runs(self) -> list[JobRun]:
        """Return every job with its last run, by name."""
        kept = await as_pool(lambda: self._redis.hgetall(self._runs))
        return [JobRun(**orjson.loads(text)) for _, text in sorted(kept.items())]

    async def wish(self, job: str) -> Wish:
        """Ask whichever daemon reads it first to run a job now. Forgotten after a minute without a daemon."""
        wish = Wish(job, uuid.uuid4().hex)

        async def write() -> None:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.rpush(self._wishes, f"{wish.job} {wish.identity}")
                pipe.expire(self._wishes, _WISH_HOLDS_S)
                await pipe.execute()

        await as_pool(write)
        return wish

    async def next_wish(self) -> Wish | None:
        """Take the oldest wish, if there is one."""
        found = await as_pool(lambda: self._redis.lpop(self._wishes))
        return Wish(*found.split(" ", 1)) if isinstance(found, str) else None

    async def has_wishes(self) -> bool:
        """Tell whether a wish waits for a daemon."""
        return bool(await as_pool(lambda: self._redis.llen(self._wishes)))


def _text(run: JobRun) -> str:
    return orjson.dumps(asdict(run)).decode()
