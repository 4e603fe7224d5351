"""How the feed is doing: for /health, the dashboard, the metrics and the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from ami_rotator.clock import Clock
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialError
from ami_rotator.vicidial.feed_rows import CLOCK_NEAR_MS, FeedCall, FeedRow

Status = Literal["starting", "on", "off"]
Skipped = Literal["not_outbound", "past", "unknown_dialer"]

_POLL_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_RATE_OVER_S = 1.0


@dataclass(frozen=True, slots=True)
class FeedState:
    """A moment of the feed.

    `why` is empty while it is on. `lag_ms` is the time since the last poll that succeeded, `poll_ms` how long the last one
    took; `calls` and `skipped` are counts since the start. `clock_off_s` is how far the dialers' clocks or time zone are
    from the database's, as the newest rows show it.
    """

    status: Status
    why: str
    since_ms: int
    database: str
    lag_ms: float
    poll_ms: float
    queries_per_s: float
    calls: int
    skipped: Mapping[str, int]
    unknown_servers: tuple[str, ...]
    knows_agents: bool
    clock_off_s: float


class FeedMetrics:
    """The feed's counters, in the registry of the daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = prometheus_client.Counter
        self.up = Gauge("rotator_feed_up", "1 while VICIdial's database is read", registry=registry)
        self.calls = counter("rotator_feed_calls", "Calls seen before Asterisk", ["dialer", "kind"], registry=registry)
        self.skipped = counter("rotator_feed_skipped", "Rows that are no call to come", ["reason"], registry=registry)
        self.poll_seconds = Histogram("rotator_feed_poll_seconds", "Time of a poll", buckets=_POLL_S, registry=registry)
        self.outages = counter("rotator_feed_outages", "Times the feed went off", registry=registry)


class FeedRecord:
    """Keeps the figures of one feed, and logs each change once."""

    def __init__(self, connection: VicidialConnection, clock: Clock, metrics: FeedMetrics | None) -> None:
        self._connection = connection
        self._clock = clock
        self._metrics = metrics or FeedMetrics(CollectorRegistry())
        self._log = structlog.get_logger("feed")
        self._status: Status = "starting"
        self._error: VicidialError | None = None
        self._since_ms = clock.wall_ms()
        self._poll_ms = self._rate = 0.0
        self._rate_from = (clock.monotonic_s(), 0)
        self._calls = 0
        self._skipped: Counter[str] = Counter()
        self._unknown: dict[str, None] = {}
        self._clock_off_ms = 0

    def state(self, polled_at_s: float, knows_agents: bool) -> FeedState:
        """Return the figures now."""
        return FeedState(
            status=self._status,
            why=str(self._error or ""),
            since_ms=self._since_ms,
            database=f"{self._connection.address} ({self._connection.version or 'version not known'})",
            lag_ms=round((self._clock.monotonic_s() - polled_at_s) * 1000, 1),
            poll_ms=round(self._poll_ms, 2),
            queries_per_s=round(self._rate, 1) if self._status == "on" else 0.0,
            calls=self._calls,
            skipped=MappingProxyType(dict(self._skipped)),
            unknown_servers=tuple(self._unknown),
            knows_agents=knows_agents,
            clock_off_s=round(self._clock_off_ms / 1000, 1),
        )

    def turn_on(self) -> None:
        """Note that the feed is on."""
        self._turn("on", None)
        self._log.info("the feed is on", database=str(self._connection.address), version=self._connection.version)

    def turn_off(self, error: VicidialError) -> None:
        """Note that the feed is off. It is logged once an outage, and again where another kind of trouble follows."""
        news = self._status != "off" or type(error) is not type(self._error)
        self._turn("off", error)
        if news:
            self._log.warning("the feed is off; calls get their caller-ID by AMI and HTTP meanwhile", why=str(error))

    def _turn(self, status: Status, error: VicidialError | None) -> None:
        self._metrics.up.set(int(status == "on"))
        if status != self._status:
            self._since_ms = self._clock.wall_ms()
            self._metrics.outages.inc(int(status == "off"))
        self._status, self._error = status, error

    def polled(self, now_s: float, took_s: float) -> None:
        """Note how long a poll took."""
        self._poll_ms = took_s * 1000
        self._metrics.poll_seconds.observe(took_s)
        since_s, count = self._rate_from
        if now_s - since_s >= _RATE_OVER_S:
            self._rate = (self._connection.queries - count) / (now_s - since_s)
            self._rate_from = (now_s, self._connection.queries)

    def told(self, calls: Sequence[FeedCall]) -> None:
        """Count calls."""
        self._calls += len(calls)
        for call in calls:
            self._metrics.calls.labels(call.dialer, call.kind).inc()

    def skipped(self, row: FeedRow, reason: Skipped) -> None:
        """Count a row that is no call to come; a server nobody knows is logged the first time."""
        self._skipped[reason] += 1
        self._metrics.skipped.labels(reason).inc()
        if reason == "unknown_dialer" and row.server_ip not in self._unknown:
            self._unknown[row.server_ip] = None
            self._log.warning(
                "VICIdial dials on a server that is none of the dialers; give a dialer this server_ip to serve it",
                server_ip=row.server_ip,
            )

    def look_at_clock(self, row: FeedRow, poll_s: float) -> None:
        """Note how far the clocks are apart: a row that has just appeared was written just now."""
        if row.age_ms is None:
            return
        off_ms = 0 if abs(row.age_ms) <= CLOCK_NEAR_MS + poll_s * 1000 else row.age_ms
        if off_ms and not self._clock_off_ms:
            self._log.warning(
                "a dialer's clock or time zone differs from the database's; calls are told of all the same, but after an "
                "outage of the database those that began meanwhile are left to AMI and HTTP",
                off_s=round(off_ms / 1000),
                server_ip=row.server_ip,
            )
        self._clock_off_ms = off_ms
