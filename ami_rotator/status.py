"""One look at everything, for /health and the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.clock import Clock
from ami_rotator.domain.campaign import CampaignPolicy, policy_of
from ami_rotator.domain.types import Area, Campaign
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError
from ami_rotator.http.deps import (
    DashboardData,
    DialerHealth,
    Health,
    LastCall,
    Minute,
    NextCalls,
    WarmDepth,
)
from ami_rotator.jobs.job import JobRun
from ami_rotator.ledger import reports
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.last_hour import LastHour
from ami_rotator.pool.answer_times import Latency
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.pool.survey import PoolPulse
from ami_rotator.settings import DialerSettings

_LOOK_S = 1.0
# There may be thousands of warm pools, and they change slowly.
_WARM_KEPT_S = 3.0
_LAST_CALLS = 30
_NEXT_CALLS = 20
_DOORS = ("feed", "ami", "http", "fastagi")


class Status:
    """Asks the stores and the dialers how they are. What does not answer within a second is away.

    `jobs` returns every maintenance job with its last run.
    """

    def __init__(
        self,
        pool: RedisPool,
        database: Database,
        dialers: Sequence[tuple[DialerSettings, AmiDialer]],
        simulator_name: str | None,
        jobs: Callable[[], Awaitable[Sequence[JobRun]]],
        clock: Clock,
    ) -> None:
        self.jobs = jobs
        self.latency: Callable[[], Latency | None] = lambda: None
        # Campaign, area and ready leads, most first: replaced where VICIdial's hopper is read.
        self.hopper: Callable[[], Sequence[tuple[Campaign, Area, int]]] = tuple
        self.feed: Callable[[], str | None] = lambda: None
        self.policies: Callable[[], Mapping[Campaign, CampaignPolicy]] = dict
        self._pool = pool
        self._database = database
        self._last_hour = LastHour(database, clock)
        self._clock = clock
        self._warm: tuple[WarmDepth, ...] = ()
        self._warm_at_s = float("-inf")
        self._dialers = dialers
        self._simulator_name = simulator_name

    async def health(self) -> Health:
        """Return what works now."""
        redis_ok, postgresql_ok = await asyncio.gather(self._redis_ok(), self._postgresql_ok())
        dialers = tuple(self._dialer(settings, dialer) for settings, dialer in self._dialers)
        simulator = next((item.state for item in dialers if item.name == self._simulator_name), None)
        return Health(redis_ok, postgresql_ok, dialers, simulator, self.feed())

    async def dashboard(self) -> DashboardData:
        """Return what the dashboard shows; empty parts where a store is away."""
        health = await self.health()
        pool: PoolPulse | None = None
        if health.redis_ok:
            try:
                async with asyncio.timeout(_LOOK_S):
                    pool = await self._pool.pulse()
                    await self._look_at_warm()
            except (PoolUnavailableError, TimeoutError):
                pool = None
        minutes: tuple[Minute, ...] = ()
        calls: tuple[LastCall, ...] = ()
        misses: dict[str, int] = {}
        doors: dict[str, int] = {}
        if health.postgresql_ok:
            try:
                async with asyncio.timeout(_LOOK_S):
                    counts = await self._last_hour.minutes()
                    minutes = tuple(Minute(item.minute_ms, item.assigned, item.missed) for item in counts)
                    doors = {door: sum(getattr(item, door) for item in counts) for door in _DOORS}
                    calls = tuple(_last_call(item) for item in await reports.recent(self._database, _LAST_CALLS))
                    misses = await reports.misses_by_reason(self._database)
            except (LedgerUnavailableError, TimeoutError):
                minutes, calls, misses, doors = (), (), {}, {}
        return DashboardData(
            health=health,
            states=pool.states if pool else {},
            live=pool.live if pool else 0,
            outbox=pool.outbox if pool else 0,
            warm=self._warm if pool else (),
            minutes=minutes,
            last_calls=calls,
            misses=misses,
            doors=doors,
            latency=self.latency(),
            next_calls=await self._next_calls() if pool else (),
        )

    async def _look_at_warm(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._warm_at_s >= _WARM_KEPT_S:
            found = await self._pool.warm_pools()
            self._warm = tuple(WarmDepth(w.campaign, w.area, w.depth, w.calls_per_minute) for w in found)
            self._warm_at_s = now_s

    async def _next_calls(self) -> tuple[NextCalls, ...]:
        """Return the demand that the hopper has, each with what there is for it."""
        leads = self.hopper()[:_NEXT_CALLS]
        policies = self.policies()
        places = [[(group, area) for group in policy_of(campaign, policies).groups] for campaign, area, _ in leads]
        try:
            async with asyncio.timeout(_LOOK_S):
                counts = iter(await self._pool.eligible([place for some in places for place in some]))
        except (PoolUnavailableError, TimeoutError):
            return ()
        return tuple(
            NextCalls(campaign, area, ready, sum(next(counts) for _ in some))
            for (campaign, area, ready), some in zip(leads, places, strict=True)
        )

    async def _redis_ok(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._pool.ping()
        except (PoolUnavailableError, TimeoutError):
            return False
        return True

    async def _postgresql_ok(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._database.ping()
        except (LedgerUnavailableError, TimeoutError):
            return False
        return True

    @staticmethod
    def _dialer(settings: DialerSettings, dialer: AmiDialer) -> DialerHealth:
        state = dialer.state
        detail = "; ".join((state.detail, *state.missing_permissions) if state.detail else state.missing_permissions)
        if state.status == "refused" or state.status == "untrusted":
            return DialerHealth(state.name, "down", settings.mode, detail, state.status)
        return DialerHealth(state.name, state.status, settings.mode, detail)


def _last_call(call: reports.RecentCall) -> LastCall:
    return LastCall(
        at_ms=call.assigned_at_ms,
        campaign=call.campaign,
        dialer=call.dialer,
        destination=call.destination,
        caller_id=call.caller_id,
        presented=call.presented,
        rung=call.rung,
        source=call.source,
        outcome=call.outcome,
        is_match=call.presented_matches,
    )
