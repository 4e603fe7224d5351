"""A pretend Asterisk on a local port, which dials as VICIdial does and watches what is presented."""

from __future__ import annotations

import asyncio
from random import Random
from types import TracebackType
from typing import Self

import aiohttp

from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.errors import RotatorError
from ami_rotator.simulator.ami_actions import Actions
from ami_rotator.simulator.ami_session import AmiSession
from ami_rotator.simulator.auto_call import AutoCall
from ami_rotator.simulator.carrier_call import CarrierCall
from ami_rotator.simulator.checks import SimulatorReport
from ami_rotator.simulator.exchange import Exchange
from ami_rotator.simulator.hook import Hook
from ami_rotator.simulator.manual_call import ManualCall
from ami_rotator.simulator.options import SimulatorOptions
from ami_rotator.simulator.placed import CallRecord, Ending, PlacedCall
from ami_rotator.simulator.plan import CallPlan, Planner


class SimulatorError(RotatorError):
    """The simulator cannot do this: it is not started."""


class Simulator:
    """One pretend Asterisk. Use it with ``async with``, or call `start` and `stop`.

    A seed gives the same calls in the same order. Several can run in one process, each on a port of its own.
    """

    def __init__(self, options: SimulatorOptions | None = None, clock: Clock | None = None) -> None:
        self.options = options or SimulatorOptions()
        self._clock = clock or SystemClock()
        self._exchange = Exchange(self.options, self._clock)
        self._actions = Actions(self._exchange)
        self._planner = Planner(self.options, self._clock)
        self._gaps = Random(self.options.seed)
        self._sessions: set[AmiSession] = set()
        self._calls: set[asyncio.Task[CallRecord]] = set()
        self._server: asyncio.Server | None = None
        self._http: aiohttp.ClientSession | None = None
        self._hook: Hook | None = None
        self._port = self.options.port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port that AMI is on; known once started, and kept by a restart."""
        return self._port

    @property
    def sessions(self) -> int:
        """How many AMI clients are connected."""
        return len(self._sessions)

    @property
    def report(self) -> SimulatorReport:
        """What happened until now."""
        return self._exchange.checks.report()

    async def start(self) -> None:
        """Listen for AMI clients.

        Raises:
            OSError: the port is taken.
        """
        if self.options.mode == "hook":
            if self.options.http_url and self._http is None:
                self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            self._hook = Hook(self._exchange, self._http)
        await self._listen()

    async def stop(self) -> None:
        """Cut off the calls that go on, and all clients; stop listening."""
        self._unlisten()
        await self._cut_off_calls()
        if self._http is not None:
            await self._http.close()
            self._http = None

    def plan(self) -> CallPlan:
        """Return the next call of the seed, to be changed with `dataclasses.replace` and placed, or not."""
        return self._planner.next()

    def place(self, plan: CallPlan | None = None) -> asyncio.Task[CallRecord]:
        """Place one call now, the next of the seed unless another is given; the task ends with the call.

        Raises:
            SimulatorError: not started.
        """
        if self._server is None:
            raise SimulatorError("The simulator is not started, so it cannot place a call; start it first.")
        call = PlacedCall(plan or self._planner.next(), self._clock.wall_ms())
        kind = AutoCall if call.plan.kind == "auto" else ManualCall
        self._exchange.checks.call_placed()
        self._exchange.processed_calls += 1
        task = asyncio.get_running_loop().create_task(self._follow(call, kind(self._exchange, self._hook, call)))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def run(self, rate_per_s: float, duration_s: float | None = None) -> None:
        """Place calls at random moments, `rate_per_s` of them a second on average, for a time or until cancelled.

        Calls that were placed go on after it. Calls beyond `max_live_calls`, and those of a restart's pause, are skipped and
        counted.
        """
        began_s = self._clock.monotonic_s()
        at_s = began_s + self._gaps.expovariate(rate_per_s)
        while duration_s is None or at_s < began_s + duration_s:
            # Sleeping for nothing still lets the others run: a thousand calls a second must not starve the sessions.
            await asyncio.sleep(max(at_s - self._clock.monotonic_s(), 0.0))
            if self._server is not None and len(self._calls) < self.options.max_live_calls:
                self.place()
            else:
                self._exchange.checks.call_skipped()
            at_s += self._gaps.expovariate(rate_per_s)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no call goes on; False where some still do after the timeout."""
        if self._calls:
            await asyncio.wait(tuple(self._calls), timeout=timeout_s)
        return not self._calls

    def drop_connections(self) -> None:
        """Cut every AMI connection, without a word. Calls go on."""
        for session in tuple(self._sessions):
            session.cut()

    def freeze(self) -> None:
        """Leave every AMI connection half open: neither read nor write on it again. New ones are served."""
        for session in tuple(self._sessions):
            session.freeze()

    async def restart(self, down_s: float = 0.0) -> None:
        """Say Shutdown, cut off calls and clients, and come back on the same port with uniqueids that start anew."""
        if self._exchange.bus.wants("Shutdown"):
            self._exchange.bus.emit("Shutdown", "Shutdown: Cleanly\r\nRestart: True\r\n", "system")
        self._unlisten()
        await self._cut_off_calls()
        self._exchange.restart()
        await asyncio.sleep(down_s)
        await self._listen()

    async def _follow(self, call: PlacedCall, script: CarrierCall) -> CallRecord:
        outcome: Ending = "cut_off"
        try:
            await script.play()
            outcome = call.plan.outcome
        except asyncio.CancelledError:
            # Asterisk went away under the call: that is one of its ends, and the record says so.
            pass
        finally:
            script.remove_channels()
        return self._exchange.checks.call_ended(call, outcome)

    async def _cut_off_calls(self) -> None:
        # A task that is cancelled before its first step never runs: let each begin, so that each leaves its record.
        await asyncio.sleep(0)
        calls = tuple(self._calls)
        await end_tasks(*calls)

    async def _listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: AmiSession(self._exchange, self._actions, self._sessions), self.options.host, self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def _unlisten(self) -> None:
        self._exchange.bus.flush()
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in tuple(self._sessions):
            session.close()
