"""Keep the outbox within bounds, and say so long before: records wait there while PostgreSQL is away."""

from __future__ import annotations

import structlog
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from ami_rotator.clock import Clock
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.metrics import Metrics

_TELL_EVERY_S = 60.0
# Measured, with assignment, presentation and end of a call: 192 bytes an entry (docs/reliability.md).
_BYTES_AN_ENTRY = 192


class OutboxWatch:
    """Looks at the outbox; run `check` every few seconds.

    From `alarm_entries` on it is an error in the log, once a minute, and `rotator_outbox_alarm` is 1. Above `most_entries`
    the oldest are dropped, counted in `rotator_outbox_dropped_total`: a Redis that is full would serve no calls at all.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        stream: str,
        *,
        alarm_entries: int,
        most_entries: int,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._redis = redis
        self._stream = stream
        self._alarm_entries = alarm_entries
        self._most_entries = most_entries
        self._metrics = metrics
        self._clock = clock
        self._told_s = float("-inf")
        self._log = structlog.get_logger("outbox")

    async def check(self) -> str:
        """Look once; return what is wrong, for people.

        Raises:
            PoolUnavailableError: Redis is away.
        """
        try:
            entries = int(await self._redis.xlen(self._stream))
            dropped = 0
            if entries > self._most_entries:
                dropped = int(await self._redis.xtrim(self._stream, maxlen=self._most_entries, approximate=False))
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            raise PoolUnavailableError(f"Redis did not answer ({error}). Check that it runs, and REDIS_URL.") from error
        self._metrics.outbox_dropped.inc(dropped)
        is_alarm = entries >= self._alarm_entries
        self._metrics.outbox_alarm.set(is_alarm)
        if not is_alarm:
            if self._told_s != float("-inf"):
                self._log.info("the outbox is within its bounds again", entries=entries)
                self._told_s = float("-inf")
            return ""
        said = (
            f"{entries} records wait in Redis for PostgreSQL (about {entries * _BYTES_AN_ENTRY / 1e6:.0f} MB). Calls are not"
            f" affected. Bring PostgreSQL back; from {self._most_entries} on the oldest are dropped"
            + (f", {dropped} just now." if dropped else ".")
        )
        if self._clock.monotonic_s() - self._told_s >= _TELL_EVERY_S:
            self._told_s = self._clock.monotonic_s()
            self._log.error("the outbox grows", entries=entries, dropped_now=dropped, detail=said)
        return said
