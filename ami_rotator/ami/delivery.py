"""One ordered, bounded queue between a socket and its synchronous handlers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from ami_rotator.ami.events import Event

_AT_ONCE = 200


class Delivery:
    """Hand over events, and calls that must keep their place among them, in the order they were put.

    Handlers run at once, but at most 200 before others get their turn on the loop; what comes beyond that waits. Events
    beyond `size` are dropped and counted; calls never are. A handler that raises is logged and counted, and the next one
    runs.
    """

    def __init__(self, on_event: Callable[[Event], None], size: int, name: str) -> None:
        self.taken = 0
        self.dropped = 0
        self.errors = 0
        self._on_event = on_event
        self._size = size
        self._queue: deque[Event | Callable[[], None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handled = 0  # in this turn
        self._is_scheduled = False
        self._log = structlog.get_logger("delivery").bind(dialer=name)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def start(self) -> None:
        """Use the running loop. May be called again."""
        self._loop = asyncio.get_running_loop()

    def take(self, event: Event) -> None:
        """Hand over an event, or drop it."""
        self.taken += 1
        if len(self._queue) >= self._size:
            self.dropped += 1
        else:
            self.put(event)

    def put(self, item: Event | Callable[[], None]) -> None:
        """Hand over something, however much waits. `start` comes first."""
        if self._queue or self._handled >= _AT_ONCE:
            self._queue.append(item)
        else:
            self._handle(item)
        self._schedule()

    def _schedule(self) -> None:
        if self._loop is not None and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_scheduled = False
        self._handled = 0
        while self._queue and self._handled < _AT_ONCE:
            self._handle(self._queue.popleft())
        if self._queue:
            self._schedule()

    def _handle(self, item: Event | Callable[[], None]) -> None:
        self._handled += 1
        try:
            if isinstance(item, Event):
                self._on_event(item)
            else:
                item()
        except Exception:  # one event's trouble must not stop those behind it; logged whole and counted
            self.errors += 1
            self._log.exception("an event could not be handled")
