"""The mode without any dialplan edit: keep VICIdial's own CID groups so that only eligible numbers are on.

Slower than the other doors, and without exclusivity: VICIdial still chooses, so that a number rests within a round (a
minute), not at once; two calls may show the same number; caps can be passed by what is dialled between two rounds. What it
gives: limits, rest and health count, and nothing on the dialers is touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from ami_rotator.cancellation import raise_if_cancelled
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.vicidial.errors import VicidialError
from ami_rotator.vicidial.push_plan import Eligibility, PushPlan, plan_push
from ami_rotator.vicidial.push_transports import PushTransport, set_all


@dataclass(frozen=True, slots=True)
class PushState:
    """How it is doing. `kept` numbers should rest, and are the last of their group and area; `at_ms` 0 before a round."""

    at_ms: int = 0
    switched_on: int = 0
    switched_off: int = 0
    kept: int = 0
    waiting: int = 0
    why: str = ""


class PushMetrics:
    """The push mode's figures, in the registry of the daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.switched = Counter("rotator_push_switched", "Entries of CID groups switched", ["to"], registry=registry)
        self.kept = Gauge("rotator_push_kept", "Entries that stay on as the last of their group", registry=registry)
        self.up = Gauge("rotator_push_up", "1 while VICIdial's CID groups can be switched", registry=registry)


class Push:
    """Makes a `round` every so often; `run` it."""

    def __init__(
        self,
        transport: PushTransport,
        eligibility: Callable[[], Awaitable[Eligibility]],
        *,
        metrics: PushMetrics | None = None,
        clock: Clock | None = None,
        every_s: float = 60.0,
        most: int = 50,
        region: str = "US",
    ) -> None:
        """Prepare it. `eligibility` is asked once a round; what it raises ends `run`."""
        self.state = PushState()
        self._transport = transport
        self._eligibility = eligibility
        self._metrics = metrics or PushMetrics(CollectorRegistry())
        self._clock = clock or SystemClock()
        self._every_s = every_s
        self._most = most
        self._region = region
        self._log = structlog.get_logger("push")

    async def run(self) -> None:
        """Make rounds until cancelled."""
        self._log.warning(
            "push mode: VICIdial chooses the numbers itself among those that are on; slower than the dialplan, and two "
            "calls may show the same number",
            every_s=self._every_s,
        )
        while True:
            await self.round()
            raise_if_cancelled()
            await asyncio.sleep(self._every_s)

    async def round(self) -> PushState:
        """Compare and switch once, on before off; where VICIdial cannot be reached, say so in the state."""
        plan, on, off, why = PushPlan(), 0, 0, ""
        try:
            now = await self._eligibility()
            plan = plan_push(await self._transport.entries(), now, self._most, self._region)
            on, refused = await set_all(self._transport, plan.on, active=True)
            off, also_refused = await set_all(self._transport, plan.off, active=False)
            why = next(iter(refused + also_refused), "")
        except VicidialError as error:
            why = str(error)
        if why and why != self.state.why:
            self._log.warning("VICIdial's CID groups cannot be switched as they should", why=why)
        if on or off or plan.kept:
            self._log.info("pushed", on=on, off=off, kept=len(plan.kept), waiting=plan.waiting)
        self._metrics.up.set(int(not why))
        self._metrics.kept.set(len(plan.kept))
        self._metrics.switched.labels("on").inc(on)
        self._metrics.switched.labels("off").inc(off)
        self.state = PushState(self._clock.wall_ms(), on, off, len(plan.kept), plan.waiting, why)
        return self.state
