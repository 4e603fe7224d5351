"""One simulated dialer, followed as the daemon follows it, on a real Redis; a test cuts the connection where it wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from pydantic import SecretStr
from redis.asyncio import Redis

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.ami.events import Event
from ami_rotator.ami.listener import Listener
from ami_rotator.ami.tracker import Tracker
from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.types import Dialer
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.settings import DialerSettings
from ami_rotator.simulator import Simulator, SimulatorOptions
from tests.support.pool_checks import violations
from tests.support.pool_setup import caller_id, make_pool

NAME = "sim"


class DialerRig:
    """A simulator, its connection, and the listener behind it. `seen` has every event that was handed over."""

    def __init__(
        self,
        simulator: Simulator,
        redis: Redis,
        pool: RedisPool,
        *,
        clock: Clock | None = None,
        ping_interval_s: float = 5.0,
    ) -> None:
        self.simulator = simulator
        self.pool = pool
        self.metrics = Metrics()
        self.clock = clock or SystemClock()
        self.assigner = Assigner(pool, "US", ["9"], self.metrics, self.clock)
        self.seen: list[Event] = []
        self.downs: list[tuple[float, str]] = []
        self.on_seen: Callable[[int, Event], None] | None = None
        self._redis = redis
        self._is_deaf = False
        self._ups = 0
        self._ping_interval_s = ping_interval_s
        self._task: asyncio.Task[None] | None = None
        self.link = self._new_link()
        self.listener = Listener(
            Tracker(Dialer(NAME), {"9": None}, clock=self.clock),
            self,
            self.assigner,
            pool,
            dialer=NAME,
            mode="hook",
            presentation="national",
            region="US",
            give_up_s=300,
            metrics=self.metrics,
            clock=self.clock,
            settle_s=0.1,
        )

    def catch_up(self) -> bool:
        """Read whichever connection there is."""
        return self.link.catch_up()

    def setvar(self, channel: str, variable: str, value: str) -> None:
        """Write on whichever connection there is."""
        self.link.setvar(channel, variable, value)

    def set_caller_id_number(self, channel: str, number: str) -> None:
        """Write on whichever connection there is."""
        self.link.set_caller_id_number(channel, number)

    async def db_put(self, family: str, key: str, value: str) -> None:
        """Write on whichever connection there is."""
        await self.link.db_put(family, key, value)

    async def db_del(self, family: str, key: str) -> bool:
        """Delete on whichever connection there is."""
        return await self.link.db_del(family, key)

    async def db_keys(self, family: str) -> list[str]:
        """Ask on whichever connection there is."""
        return await self.link.db_keys(family)

    async def channels(self) -> list[Event]:
        """Ask on whichever connection there is."""
        return await self.link.channels()

    async def connect(self) -> None:
        """Connect and return when the first comparison is done."""
        self._is_deaf = False
        self.link = self._new_link()
        before = self._ups
        self._task = asyncio.create_task(self.link.run())
        await until(lambda: self.listener.is_up and self._ups > before and not self.listener.comparison.is_under_way)

    def cut(self, *, for_good: bool = False) -> None:
        """Lose the connection at this very event; what comes after it is never heard. `for_good`: until `connect`."""
        self._is_deaf = True
        if for_good and self._task is not None:
            self._task.cancel()
        self.simulator.drop_connections()

    async def leave(self) -> None:
        """Stay disconnected until `connect`."""
        await self.link.close()
        if self._task is not None:
            await end_tasks(self._task)
            self._task = None

    async def violations(self) -> list[str]:
        """Return which rules of the pool are broken. Under load a look may fall between two scripts: three are taken."""
        found: list[str] = []
        for _ in range(3):
            found = await violations(self._redis, self.pool.tag)
            if not found:
                break
        return found

    async def reserved(self) -> int:
        """Return how many reservations live."""
        return (await self.pool.snapshot()).live

    async def none_reserved(self, within_s: float = 5.0) -> None:
        """Return when no reservation lives; fails where one stays."""
        deadline = time.monotonic() + within_s
        while left := await self.pool.live_calls(Dialer(NAME)):
            assert time.monotonic() < deadline, f"still reserved: {left}"
            await asyncio.sleep(0.02)

    def count(self, name: str, **labels: str) -> float:
        """Return a counter."""
        return self.metrics.registry.get_sample_value(name, {"dialer": NAME, **labels}) or 0.0

    def _new_link(self) -> AmiDialer:
        return AmiDialer(
            DialerSettings(
                name=NAME, port=self.simulator.port, secret=SecretStr("simulator"), dial_prefixes={"9": None}
            ),
            ping_interval_s=self._ping_interval_s,
            timeout_s=2.0,
            clock=self.clock,
            on_event=self._on_event,
            on_up=self._on_up,
            on_down=self._on_down,
            backoff_first_s=0.05,
            backoff_most_s=0.2,
        )

    def _on_event(self, event: Event) -> None:
        if self._is_deaf:
            return
        self.listener.on_event(event)
        self.seen.append(event)
        if self.on_seen is not None:
            self.on_seen(len(self.seen), event)

    def _on_up(self) -> None:
        self._is_deaf = False
        self._ups += 1
        self.listener.on_up()

    def _on_down(self, reason: str) -> None:
        self.downs.append((time.monotonic(), reason))
        self.listener.on_down(reason)


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Return when it is so; fails where it does not come to that."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def dialer_rig(
    redis: Redis,
    options: SimulatorOptions | None = None,
    *,
    caller_ids: int = 200,
    areas: Sequence[str] = ("212", "312", "415", "646"),
    clock: Clock | None = None,
    ping_interval_s: float = 5.0,
    ttl_s: float = 300,
) -> AsyncIterator[DialerRig]:
    """Run a rig, connected."""
    items = [caller_id(n, area=areas[n % len(areas)], hourly=10_000, daily=10_000) for n in range(caller_ids)]
    pool = await make_pool(redis, items, ttl_s=ttl_s)
    async with Simulator(options or SimulatorOptions()) as simulator:
        rig = DialerRig(simulator, redis, pool, clock=clock, ping_interval_s=ping_interval_s)
        try:
            await rig.connect()
            yield rig
        finally:
            await rig.leave()
            await rig.listener.drain(2.0)
