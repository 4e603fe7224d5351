"""Rate limits: so many uses a minute and subject, spread evenly after a first burst; one count for all daemons, in Redis."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ami_rotator.clock import Clock
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.http.deps import LimitKind

_SUBJECTS_MAX = 20_000
_REDIS_S = 0.1
# After Redis did not answer, it is left alone for so long: callers must not wait for a limit.
_LEFT_ALONE_S = 1.0


class MinuteLimits:
    """Token buckets of this process, as many as there are subjects; the longest unused go first. 0 is no limit."""

    def __init__(self, clock: Clock, per_minute: Mapping[str, int]) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    async def __call__(self, kind: LimitKind, subject: str) -> float | None:
        """Count one use; None if it is within the limit, else the seconds until the next one is."""
        return _wait_of(await self.first_over((kind, subject)))

    async def first_over(self, *uses: tuple[LimitKind, str]) -> tuple[LimitKind, float] | None:
        """Count uses; None if all are within their limits, else the kind of the first that is not and its wait in s."""
        for kind, subject in uses:
            wait_s = self._count(kind, subject)
            if wait_s is not None:
                return kind, wait_s
        return None

    def _count(self, kind: LimitKind, subject: str) -> float | None:
        limit = self._per_minute.get(kind, 0)
        if limit <= 0:
            return None
        now = self._clock.monotonic_s()
        tokens, at = self._buckets.get((kind, subject), (float(limit), now))
        tokens = min(float(limit), tokens + (now - at) * limit / 60)
        is_allowed = tokens >= 1
        self._buckets[kind, subject] = (tokens - 1 if is_allowed else tokens, now)
        self._buckets.move_to_end((kind, subject))
        if len(self._buckets) > _SUBJECTS_MAX:
            self._buckets.popitem(last=False)
        return None if is_allowed else (1 - tokens) * 60 / limit


class SharedLimits:
    """The same limits counted in Redis, together with all other daemons; while it is away, in this process alone.

    `run` runs a script of the pool by name (RedisPool.command).
    """

    def __init__(self, clock: Clock, per_minute: Mapping[str, int], run: Callable[..., Awaitable[Any]]) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._run = run
        self._alone = MinuteLimits(clock, per_minute)
        self._alone_until_s = float("-inf")

    async def __call__(self, kind: LimitKind, subject: str) -> float | None:
        """Count one use; None if it is within the limit, else the seconds until the next one is."""
        return _wait_of(await self.first_over((kind, subject)))

    async def first_over(self, *uses: tuple[LimitKind, str]) -> tuple[LimitKind, float] | None:
        """Count uses together; None if all are within their limits, else the kind of the first that is not, and its wait."""
        limited = [
            (kind, subject, self._per_minute[kind]) for kind, subject in uses if self._per_minute.get(kind, 0) > 0
        ]
        if not limited:
            return None
        if self._clock.monotonic_s() >= self._alone_until_s:
            words = [word for kind, subject, limit in limited for word in (f"{kind}:{_short(subject)}", limit)]
            try:
                async with asyncio.timeout(_REDIS_S):
                    place, wait_ms = map(int, await self._run("ratelimit", *words))
                return (limited[place - 1][0], wait_ms / 1000) if place else None
            except (PoolUnavailableError, TimeoutError):
                self._alone_until_s = self._clock.monotonic_s() + _LEFT_ALONE_S
        return await self._alone.first_over(*uses)


def _wait_of(over: tuple[LimitKind, float] | None) -> float | None:
    return over[1] if over else None


def _short(subject: str) -> str:
    """Return a subject that is fit for a key, whatever a client sent."""
    is_plain = len(subject) <= 60 and subject.isascii() and subject.isprintable()
    return subject if is_plain else hashlib.sha256(subject.encode(errors="replace")).hexdigest()[:32]
