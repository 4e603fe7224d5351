"""Run a feed and keep what it tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from ami_rotator.cancellation import end_tasks
from ami_rotator.domain.types import Dialer
from ami_rotator.vicidial.address import DatabaseAddress
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.feed import Feed, FeedPace
from ami_rotator.vicidial.feed_rows import AgentKnown, FeedCall

DIALER = Dialer("dialer1")
SERVER_IP = "127.0.0.1"


class FeedListener:
    """A running feed; enter it with ``async with``. The time at which each call was told of is in `told_at_ms`."""

    def __init__(
        self, address: DatabaseAddress, pace: FeedPace | None = None, query_limit_s: float = 1.0, servers: int = 1
    ) -> None:
        """Prepare a feed for dialers at 127.0.0.1 and on."""
        self.calls: list[FeedCall] = []
        self.agents: list[AgentKnown] = []
        self.told_at_ms: dict[str, int] = {}
        dialers = {f"127.0.0.{number}": Dialer(f"dialer{number}") for number in range(1, servers + 1)}
        self.connection = VicidialConnection(address, purpose="test", query_limit_s=query_limit_s)
        self.feed = Feed(self.connection, dialers, self._on_calls, self._on_agents, pace=pace)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> FeedListener:
        self._task = asyncio.create_task(self.feed.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await end_tasks(self._task)

    @property
    def codes(self) -> list[str]:
        """The codes told of, in order."""
        return [call.code for call in self.calls]

    async def until(self, condition: Callable[[FeedListener], bool], limit_s: float = 10.0) -> float:
        """Wait until a condition holds and return how long it took in seconds; fail with the feed's state."""
        began_s = time.monotonic()
        while not condition(self):
            if time.monotonic() - began_s > limit_s:
                raise AssertionError(f"not within {limit_s} s: {self.feed.state()}; told of {self.codes}")
            await asyncio.sleep(0.005)
        return time.monotonic() - began_s

    async def until_on(self, limit_s: float = 10.0) -> float:
        """Wait until the feed is on."""
        return await self.until(lambda it: it.feed.state().status == "on", limit_s)

    async def until_off(self, limit_s: float = 10.0) -> float:
        """Wait until the feed is off."""
        return await self.until(lambda it: it.feed.state().status == "off", limit_s)

    def _on_calls(self, calls: Sequence[FeedCall]) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.calls.extend(calls)
        self.told_at_ms.update({call.code: now_ms for call in calls})

    def _on_agents(self, agents: Sequence[AgentKnown]) -> None:
        self.agents.extend(agents)
