"""Join a dialer's tracker to the pool: what AMI says becomes assignments, confirmations and releases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial

import structlog

from ami_rotator.ami.ahead import AheadOfTime
from ami_rotator.ami.call_line import CallLine, DialerActions
from ami_rotator.ami.comparison import UNDIALLED_MOST_MS, Comparison, name_of
from ami_rotator.ami.events import Event
from ami_rotator.ami.facts import Anomaly, CallAnnounced, CallEnded, CallSeen, DialerStopped, Fact, TrunkBegan
from ami_rotator.ami.patience import surely
from ami_rotator.ami.tracker import Tracker
from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock
from ami_rotator.domain.numbers import Presentation, parse_number, present
from ami_rotator.domain.types import (
    E164,
    Assignment,
    CallRequest,
    Campaign,
    End,
    Miss,
    ReservationId,
)
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.redis_pool import Confirmed, RedisPool
from ami_rotator.settings import Mode

HOOK_VARIABLE = "ROTATOR_CID"
# How long calls are believed to be up on a dialer that nobody can ask.
_BLIND_MOST_S = 900.0


class Listener:
    """Feed one dialer's events, in arrival order, to `on_event`.

    The tracker runs at once; what needs Redis is done in order for each call and side by side for different calls. A number
    is asked for in the turn of the loop in which the event is read, and set in that in which the answer is: with many
    calls each further turn is a millisecond of the few that the dialplan leaves. What the dialer has said until then comes
    before it.
    """

    def __init__(
        self,
        tracker: Tracker,
        actions: DialerActions,
        assigner: Assigner,
        pool: RedisPool,
        *,
        dialer: str,
        mode: Mode,
        presentation: Presentation,
        region: str,
        give_up_s: float,
        metrics: Metrics,
        clock: Clock,
        settle_s: float = 1.0,
    ) -> None:
        self._tracker = tracker
        self._actions = actions
        self._assigner = assigner
        self._pool = pool
        self._dialer = dialer
        self._mode = mode
        self._presentation: Presentation = presentation
        self._region = region
        self._give_up_s = give_up_s
        self._metrics = metrics
        self._clock = clock
        self._calls: dict[str, CallLine] = {}
        # Told the code and the number of each trunk leg.
        self.on_presented: Callable[[str, str], None] = lambda _code, _number: None
        self._ahead = AheadOfTime(assigner.assign, actions, presentation, dialer, uses_astdb=mode == "hook")
        self.comparison = Comparison(
            tracker, actions, pool, self.on_fact, self._ahead.sweep, dialer=dialer, metrics=metrics, settle_s=settle_s
        )
        self._down_since_s: float | None = clock.monotonic_s()
        self._log = structlog.get_logger("listener").bind(dialer=dialer)

    def on_event(self, event: Event) -> None:
        """Take one event. Synchronous: the tracker's state is true when it returns.

        After it, numbers that Redis has found meanwhile are set: with many calls the next turn of the loop is a
        millisecond away.
        """
        for fact in self._tracker.apply(event):
            self.on_fact(fact)
        self._pool.read_answers()

    def on_up(self) -> None:
        """Compare with what the dialer has up, now that it is connected (again)."""
        self._down_since_s = None
        self.comparison.begin()

    def on_down(self, reason: str) -> None:
        """Note that the connection is gone. Calls are kept: the next `on_up` tells which ended meanwhile."""
        self._down_since_s = self._clock.monotonic_s()
        self._log.warning("connection lost", reason=reason)

    def on_fact(self, fact: Fact) -> None:
        """Take one fact, from the tracker or from a resync."""
        if isinstance(fact, Anomaly):
            self._metrics.anomalies.labels(self._dialer, fact.reason).inc()
            self._log.debug("anomaly", reason=fact.reason, detail=fact.detail)
            return
        if isinstance(fact, DialerStopped):
            self._log.warning("Asterisk is shutting down")
            return
        name = name_of(fact.key)
        call = self._calls.get(name)
        if call is None:
            call = self._calls[name] = CallLine(fact.key, self._clock.monotonic_s())
        if isinstance(fact, TrunkBegan):
            call.has_trunk = True
        elif isinstance(fact, CallSeen):
            call.seen_s = self._clock.monotonic_s()
            call.is_seen = True
        call.waiting.append(fact)
        self._go_on(name, call)
        if isinstance(fact, TrunkBegan):
            try:
                self.on_presented(fact.key.code, fact.presented)
            except Exception:  # the call goes on
                self._log.exception("what a call showed could not be noted", call=name)

    @property
    def is_up(self) -> bool:
        """Whether the dialer is connected."""
        return self._down_since_s is None

    def live(self) -> list[ReservationId]:
        """Return the reservations of the calls that are up, as far as this listener knows them.

        While the dialer is not connected its calls may go on: they count as up for a quarter of an hour, and no longer.
        """
        down_since_s = self._down_since_s
        if down_since_s is not None and self._clock.monotonic_s() - down_since_s > _BLIND_MOST_S:
            return []
        return [call.reservation for call in self._calls.values() if call.reservation]

    def forget(self, gone: Collection[ReservationId]) -> None:
        """Drop calls whose reservation is no longer live, and old ones that never had one: their end was missed."""
        now = self._clock.monotonic_s()
        for name, call in list(self._calls.items()):
            lost = call.reservation in gone if call.reservation else now - call.began_s > self._give_up_s
            if lost and call.work is None:
                del self._calls[name]

    async def drain(self, within_s: float) -> None:
        """Finish what is under way, for so many seconds at the most."""
        await self.comparison.end()
        until_s = self._clock.monotonic_s() + within_s
        while under_way := [call.work for call in self._calls.values() if call.work]:
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0:
                await end_tasks(*under_way)
                return
            await asyncio.wait(under_way, timeout=left_s)

    def _go_on(self, name: str, call: CallLine) -> None:
        """Take what waits, unless something is under way. What asks Redis once does so at once, without a task."""
        if call.work is not None or not call.waiting:
            return
        fact = call.waiting[0]
        if isinstance(fact, CallSeen):
            call.waiting.popleft()
            self._see(name, call, fact)
            self._go_on(name, call)
            return
        try:
            if not self._tell(name, call, fact):
                self._begin_work(name, call)
        except Exception:
            call.work = None
            call.waiting.popleft()
            self._give_up(name)
            self._go_on(name, call)

    def _tell(self, name: str, call: CallLine, fact: Fact) -> bool:
        """Confirm or release; false where that waits for more than one answer of Redis."""
        ask: Callable[[Callable[[Confirmed | E164 | Exception | None], None]], None]
        if isinstance(fact, TrunkBegan) and self._mode != "push":
            ask = partial(self._pool.confirm_then, fact.key, self._shown(fact), fact.trunk_uniqueid)
        elif isinstance(fact, CallEnded) and not call.is_in_astdb:
            ask = partial(self._pool.release_then, fact.key, fact.end)
        else:
            return False
        told = call.work = asyncio.get_running_loop().create_future()

        def answered(answer: Confirmed | E164 | Exception | None) -> None:
            if told.cancelled() or call.work is not told:
                return  # the daemon stops, or the call was given up
            call.work = None
            told.set_result(None)
            if isinstance(answer, PoolUnavailableError):
                self._begin_work(name, call)  # once more, with patience
                return
            call.waiting.popleft()
            try:
                if isinstance(answer, Exception):
                    raise answer
                if isinstance(answer, Confirmed):
                    self._confirmed(call, answer)
                elif isinstance(fact, CallEnded):
                    self._released(name, fact, answer)
            except Exception:
                self._give_up(name)
            self._go_on(name, call)

        ask(answered)
        return True

    def _begin_work(self, name: str, call: CallLine) -> None:
        call.work = asyncio.create_task(self._work(name, call), name=f"call {name}")

    async def _work(self, name: str, call: CallLine) -> None:
        try:
            while call.waiting and not isinstance(call.waiting[0], CallSeen):
                fact = call.waiting.popleft()
                if isinstance(fact, CallAnnounced):
                    if self._mode != "push":
                        await self._ahead.assign(fact, call)
                elif isinstance(fact, TrunkBegan):
                    await self._confirm(fact, call)
                elif isinstance(fact, CallEnded):
                    released = await surely(
                        self._clock, self._give_up_s, partial(self._pool.release, fact.key, fact.end)
                    )
                    await self._ahead.clear(call)
                    self._released(name, fact, released)
        except Exception:
            self._give_up(name)
        finally:
            call.work = None
        self._go_on(name, call)

    async def sweep(self) -> str:
        """End what was assigned to calls that were announced and never came; return how many, for people."""
        now = self._clock.monotonic_s()
        stale = [
            call
            for call in self._calls.values()
            if call.is_asked and not call.is_seen and not call.has_trunk and not call.waiting and call.work is None
            and now - call.began_s > UNDIALLED_MOST_MS / 1000
        ]  # fmt: skip
        for call in stale:
            self.on_fact(CallEnded(call.key, End("not_dialled", dialled=False)))
        return f"{self._dialer}: {len(stale)} announced calls never came" if stale else ""

    def _see(self, name: str, call: CallLine, fact: CallSeen) -> None:
        """Ask for the number of a call, where that has not been done."""
        if call.has_trunk:
            return
        try:
            if call.number and self._mode == "direct" and fact.kind == "auto":
                self._actions.set_caller_id_number(fact.channel, call.number)
            if fact.campaign and not call.is_asked and self._mode != "push":
                call.is_asked = True
                self._ask(name, call, fact)
        except Exception:
            self._log.exception("a call could not be followed", call=name)
            call.work = None

    def _ask(self, name: str, call: CallLine, fact: CallSeen) -> None:
        loop = asyncio.get_running_loop()
        answered = call.work = loop.create_future()

        def assigned(found: Assignment | Miss) -> None:
            if answered.cancelled():
                return  # the daemon stops
            # First what the dialer has said by now, the begin of the trunk leg perhaps (DESIGN.md rule 8).
            if call.has_trunk or self._actions.catch_up():
                go_on(found)
            else:
                loop.call_soon(loop.call_soon, assigned, found)  # once the loop has read all connections

        def go_on(found: Assignment | Miss) -> None:
            call.work = None
            answered.set_result(None)
            try:
                if isinstance(found, Assignment) and not found.ended:
                    self._set(fact, call, found)
            except Exception:
                self._log.exception("a call could not be followed", call=name)
            self._go_on(name, call)

        request = CallRequest(fact.key, fact.dialled, Campaign(fact.campaign), "ami", fact.agent, fact.lead_id)
        self._assigner.assign_then(request, assigned)

    def _set(self, fact: CallSeen, call: CallLine, found: Assignment) -> None:
        """Tell the dialer the number of a call."""
        call.reservation = found.reservation
        if call.has_trunk:
            # Nothing is set on a channel after its trunk leg exists (DESIGN.md rule 8); confirm gives the number back.
            self._metrics.late.labels(self._dialer).inc()
            return
        number = present(found.caller_id, self._presentation)
        if self._mode == "hook":
            self._actions.setvar(fact.channel, HOOK_VARIABLE, number)
        elif self._mode == "direct" and fact.kind == "auto":
            self._actions.set_caller_id_number(fact.channel, number)
        else:
            return
        self._metrics.was_set(self._dialer, self._clock.monotonic_s() - call.seen_s)

    async def _confirm(self, fact: TrunkBegan, call: CallLine) -> None:
        number = parse_number(fact.presented, self._region)
        if self._mode == "push" and number is not None:
            trunk = f"{self._dialer}:{fact.trunk_uniqueid}"
            await surely(self._clock, self._give_up_s, lambda: self._pool.count_use(number, trunk))
        shown = self._shown(fact)
        confirmed = await surely(
            self._clock, self._give_up_s, lambda: self._pool.confirm(fact.key, shown, fact.trunk_uniqueid)
        )
        if confirmed is not None:
            self._confirmed(call, confirmed)

    def _shown(self, fact: TrunkBegan) -> str:
        return parse_number(fact.presented, self._region) or fact.presented

    def _confirmed(self, call: CallLine, confirmed: Confirmed) -> None:
        if confirmed.status != "same":
            self._metrics.presented.labels(self._dialer, confirmed.status).inc()
        if confirmed.reservation and confirmed.status != "ended":
            call.reservation = confirmed.reservation

    def _released(self, name: str, fact: CallEnded, released: E164 | None) -> None:
        self._calls.pop(name, None)
        if released is not None:
            self._metrics.was_released(self._dialer, fact.end.outcome)

    def _give_up(self, name: str) -> None:
        """Leave a call to its lifetime, from an except clause: one call's trouble must not stop the others."""
        self._log.exception("a call could not be followed", call=name)
        self._calls.pop(name, None)
