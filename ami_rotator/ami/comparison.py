"""Set right what is reserved by what a dialer has up: after a connection, and every now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from ami_rotator.ami.call_line import DialerActions
from ami_rotator.ami.facts import CallEnded, Fact, TrunkBegan
from ami_rotator.ami.resync import CallsUp, calls_up
from ami_rotator.ami.tracker import Tracker
from ami_rotator.cancellation import end_tasks, raise_if_cancelled
from ami_rotator.domain.types import CallKey, Dialer, End
from ami_rotator.errors import DialerUnavailableError, RotatorError
from ami_rotator.metrics import Metrics
from ami_rotator.pool.redis_pool import LiveCall, RedisPool

UNDIALLED_MOST_MS = 120_000
"""An assignment without a trunk leg may be of a call that VICIdial has queued and not yet sent, for so long."""

_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 5.0


def name_of(key: CallKey) -> str:
    """Return what a call is known by on its dialer."""
    return key.code or key.uniqueid


class Comparison:
    """Compares one dialer's calls. What the list of its channels tells goes to `on_fact`, as if it had been an event.

    `sweep` is given the codes that hold a reservation, after a connection.
    """

    def __init__(
        self,
        tracker: Tracker,
        actions: DialerActions,
        pool: RedisPool,
        on_fact: Callable[[Fact], None],
        sweep: Callable[[Collection[str]], Awaitable[None]],
        *,
        dialer: str,
        metrics: Metrics,
        settle_s: float,
    ) -> None:
        self._tracker = tracker
        self._actions = actions
        self._pool = pool
        self._on_fact = on_fact
        self._sweep = sweep
        self._dialer = dialer
        self._metrics = metrics
        self._settle_s = settle_s
        self._one_at_a_time = asyncio.Lock()
        self._after_connecting: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("listener").bind(dialer=dialer)

    @property
    def is_under_way(self) -> bool:
        """Whether the comparison after the last connection goes on."""
        return self._after_connecting is not None and not self._after_connecting.done()

    def begin(self) -> None:
        """Compare, now that the dialer is connected (again)."""
        self._tracker.doubt(after_gap=True)
        if self._after_connecting is not None:
            self._after_connecting.cancel()
        self._after_connecting = asyncio.create_task(self._after_connection(), name=f"resync {self._dialer}")

    async def end(self) -> None:
        """Stop the comparison after the last connection."""
        if self._after_connecting is not None:
            await end_tasks(self._after_connecting)

    async def resync(self) -> str:
        """Compare what is reserved with what the dialer has up, and set it right; return the differences, for people.

        Raises:
            RotatorError: the dialer or Redis did not answer; nothing was changed by guess.
        """
        async with self._one_at_a_time:
            # Read before the list is asked for, what is reserved tells what should be in it without asking any clock.
            reserved = await self._pool.live_calls(Dialer(self._dialer))
            self._tracker.doubt()
            rows = await self._actions.channels()
            # Asterisk answers at once, and may send events that are older than its answer after it.
            await asyncio.sleep(self._settle_s)
            facts = self._tracker.resync(rows)
            for fact in facts:
                self._on_fact(fact)
            adopted = sum(isinstance(fact, TrunkBegan) for fact in facts)
            told = {name_of(fact.key) for fact in facts if isinstance(fact, CallEnded)}
            ended = len(told) + await self._release_gone(reserved, calls_up(self._tracker.still_up(rows)), told)
        self._metrics.resync.labels(self._dialer, "adopted").inc(adopted)
        self._metrics.resync.labels(self._dialer, "ended").inc(ended)
        return f"{self._dialer}: {ended} calls had ended, {adopted} adopted" if adopted or ended else ""

    async def _release_gone(self, reserved: Sequence[LiveCall], up: CallsUp, told: Collection[str]) -> int:
        """Release what is reserved for calls that are not up, but for those of which it was told; return how many."""
        ended = 0
        for call in reserved:
            names = (call.key, CallKey(call.key.dialer, uniqueid=call.trunk_uniqueid))
            is_due = call.trunk_uniqueid or call.age_ms > UNDIALLED_MOST_MS
            if is_due and name_of(call.key) not in told and not any(up.has(name) for name in names):
                end = End("unknown", dialled=bool(call.trunk_uniqueid))
                ended += await self._pool.release(call.key, end, call.reservation) is not None
        return ended

    async def _after_connection(self) -> None:
        wait_s = _RETRY_FIRST_S
        while True:
            raise_if_cancelled()
            try:
                done = await self.resync()
                reserved = await self._pool.live_calls(Dialer(self._dialer))
                await self._sweep({call.key.code for call in reserved})
            except DialerUnavailableError:
                return  # gone again; the next connection compares
            except RotatorError as error:
                self._log.warning("the dialer's calls could not be compared", error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _RETRY_MOST_S)
            else:
                self._log.info("connected", differences=done or "none")
                return
