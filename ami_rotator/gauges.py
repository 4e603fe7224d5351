"""What is measured when somebody looks: the pool, the outbox and the dialers, for /metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ami_rotator.ami.dialer_state import DialerState
from ami_rotator.clock import Clock
from ami_rotator.jobs.job import Job
from ami_rotator.jobs.lease import as_pool
from ami_rotator.pool.clock import now_ms
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.redis_pool import PoolSnapshot, RedisPool

MEASURE_EVERY_S = 5.0
_STALE_S = 4 * MEASURE_EVERY_S
_DIALER_GAUGES = {
    "rotator_dialer_queue_length": ("AMI events that wait to be handled", "queue_length"),
    "rotator_dialer_missing_permissions": ("What the AMI account may not do but should", "missing_permissions"),
}
_DIALER_COUNTERS = {
    "rotator_dialer_reconnects": ("AMI connections after the first", "reconnects"),
    "rotator_dialer_events": ("AMI events received and wanted", "events"),
    "rotator_dialer_dropped_events": ("AMI events dropped because the queue was full", "dropped"),
    "rotator_dialer_oversized_blocks": ("AMI blocks passed over because of their size", "oversized"),
    "rotator_dialer_failed_actions": ("AMI actions refused, unanswered or not sent", "failed_actions"),
    "rotator_dialer_handler_errors": ("Exceptions of our own while handling AMI events", "handler_errors"),
}


class HasState(Protocol):
    """A dialer's connection, as far as it is looked at here."""

    @property
    def state(self) -> DialerState:
        """Return the state at this moment."""
        ...


class Gauges(Collector):
    """Gives the last look at the pool, and the dialers as they are. What is older than 20 seconds is left out."""

    def __init__(self, pool: RedisPool, redis: RedisClient, dialers: Sequence[HasState], clock: Clock) -> None:
        self._pool = pool
        self._redis = redis
        self._dialers = dialers
        self._clock = clock
        self._snapshot: PoolSnapshot | None = None
        self._outbox_lag_s = 0.0
        self._looked_s = float("-inf")

    def job(self) -> Job:
        """Return the job that looks at the pool."""
        return Job("measure", MEASURE_EVERY_S, self._measure, "Look at the pool and the outbox for /metrics")

    def collect(self) -> Iterable[Metric]:
        """Yield everything, as the registry asks for it."""
        yield from self._of_dialers()
        is_fresh = self._clock.monotonic_s() - self._looked_s <= _STALE_S
        yield GaugeMetricFamily("rotator_redis_up", "1 while Redis answers", float(is_fresh))
        snapshot = self._snapshot
        if snapshot is None or not is_fresh:
            return
        states = GaugeMetricFamily("rotator_caller_ids", "Caller-IDs by state", labels=["state"])
        for state, count in snapshot.states.items():
            states.add_metric([state.value], count)
        yield states
        yield GaugeMetricFamily("rotator_live_reservations", "Reservations now", snapshot.live)
        warm = GaugeMetricFamily("rotator_warm_depth", "Caller-IDs held warm", labels=["campaign"])
        demand = GaugeMetricFamily("rotator_calls_per_minute", "Demand, as the warm pools see it", labels=["campaign"])
        short = GaugeMetricFamily(
            "rotator_areas_short", "Areas with a call a minute or more and nothing held warm", labels=["campaign"]
        )
        for campaign in sorted({pool.campaign for pool in snapshot.warm}):
            mine = [pool for pool in snapshot.warm if pool.campaign == campaign]
            warm.add_metric([campaign], sum(pool.depth for pool in mine))
            demand.add_metric([campaign], sum(pool.calls_per_minute for pool in mine))
            short.add_metric([campaign], sum(pool.calls_per_minute >= 1 and not pool.depth for pool in mine))
        yield warm
        yield demand
        yield short
        yield GaugeMetricFamily("rotator_outbox_length", "Entries that the ledger has not stored", snapshot.outbox)
        yield GaugeMetricFamily("rotator_outbox_lag_seconds", "Age of the oldest of them", self._outbox_lag_s)

    async def _measure(self) -> str:
        self._snapshot = await self._pool.snapshot()
        self._outbox_lag_s = await as_pool(self._lag_s)
        self._looked_s = self._clock.monotonic_s()
        return ""

    async def _lag_s(self) -> float:
        oldest = await self._redis.xrange(self._pool.outbox_stream, count=1)
        if not oldest:
            return 0.0
        redis_ms = await now_ms(self._redis, self._pool.tag)
        return max(0.0, (redis_ms - int(str(oldest[0][0]).partition("-")[0])) / 1000)

    def _of_dialers(self) -> Iterable[Metric]:
        states = [dialer.state for dialer in self._dialers]
        up = GaugeMetricFamily("rotator_dialer_up", "1 while the dialer's AMI is up", labels=["dialer"])
        lag = GaugeMetricFamily("rotator_dialer_lag_seconds", "How long the last AMI Ping took", labels=["dialer"])
        for state in states:
            up.add_metric([state.name], state.status == "up")
            if state.lag_ms is not None:
                lag.add_metric([state.name], state.lag_ms / 1000)
        yield up
        yield lag
        for name, (text, field) in _DIALER_GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["dialer"])
            for state in states:
                gauge.add_metric([state.name], _number(getattr(state, field)))
            yield gauge
        for name, (text, field) in _DIALER_COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=["dialer"])
            for state in states:
                counter.add_metric([state.name], _number(getattr(state, field)))
            yield counter


def _number(value: int | tuple[str, ...]) -> int:
    return value if isinstance(value, int) else len(value)
