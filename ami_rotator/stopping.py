"""What a daemon starts and how that ends: background work, servers, and the time that a stop may take as a whole."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.ami.listener import Listener
from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock
from ami_rotator.http import slow
from ami_rotator.http.deps import Deps
from ami_rotator.http.server import make_app
from ami_rotator.supervise import keep_running

_HTTP_DRAIN_S = 2.0
_LEAST_S = 0.1


class StopBudget:
    """The seconds that all steps of a stop share; they run from the first question."""

    def __init__(self, clock: Clock, total_s: float) -> None:
        self._clock = clock
        self._total_s = total_s
        self._ends_s: float | None = None

    def left_s(self, most_s: float) -> float:
        """Return how many seconds a step may take, `most_s` at the most; a tenth is left for each."""
        now = self._clock.monotonic_s()
        if self._ends_s is None:
            self._ends_s = now + self._total_s
        return max(_LEAST_S, min(most_s, self._ends_s - now))


@asynccontextmanager
async def background(name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Keep work running while the context is open."""
    task = asyncio.create_task(keep_running(name, work), name=name)
    try:
        yield
    finally:
        await end_tasks(task)


@asynccontextmanager
async def serving(deps: Deps, listening: socket.socket) -> AsyncIterator[None]:
    """Serve HTTP while the context is open; requests under way at its end are finished, for two seconds at the most."""
    runner = web.AppRunner(
        make_app(deps),
        access_log=None,
        shutdown_timeout=_HTTP_DRAIN_S,
        keepalive_timeout=slow.IDLE_S,
        lingering_time=slow.LINGER_S,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def following(
    links: Sequence[tuple[AmiDialer, Listener]], budget: StopBudget, drain_s: float
) -> AsyncIterator[None]:
    """Keep the dialers connected while the context is open; at its end all log off and finish side by side."""
    tasks = [
        asyncio.create_task(keep_running(name, link.run, may_end=True), name=name)
        for name, link in ((f"dialer {link.state.name}", link) for link, _ in links)
    ]
    try:
        yield
    finally:
        await asyncio.gather(*(link.close() for link, _ in links), return_exceptions=True)
        await end_tasks(*tasks)
        within_s = budget.left_s(drain_s)
        await asyncio.gather(*(listener.drain(within_s) for _, listener in links), return_exceptions=True)


async def close_server(server: asyncio.Server) -> None:
    """Stop to listen."""
    server.close()
    await server.wait_closed()
