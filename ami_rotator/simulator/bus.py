"""Where events go: collected for one turn of the event loop, then handed to every AMI session in one piece."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

from ami_rotator.clock import Clock

EventClass = Literal["system", "call", "dialplan"]
Batch = list[tuple[EventClass, str]]


class Listener(Protocol):
    """An AMI session that takes events."""

    def deliver(self, batch: Batch) -> None:
        """Send those that this session may read."""
        ...


class Bus:
    """All events of one pretend Asterisk, in order.

    Collecting costs nothing in order and saves a system call an event; all events of one turn have one timestamp.
    """

    def __init__(self, clock: Clock, event_filter: frozenset[str]) -> None:
        self._clock = clock
        self._filter = event_filter
        self._listeners: list[Listener] = []
        self._batch: Batch = []
        self._stamp = ""

    def attach(self, listener: Listener) -> None:
        """Begin to send events to a session."""
        self._listeners.append(listener)

    def detach(self, listener: Listener) -> None:
        """Stop sending events to a session. Does nothing where it never began."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def wants(self, event: str) -> bool:
        """Tell whether anybody would be sent this event: ask before building it."""
        return bool(self._listeners) and (not self._filter or event in self._filter)

    def wants_variable(self, variable: str) -> bool:
        """Tell whether anybody would be sent this variable's `VarSet`."""
        return self.wants("VarSet") or self.wants(f"VarSet:{variable}")

    def emit(self, event: str, body: str, privilege: EventClass = "call") -> None:
        """Send one event; `body` is its header lines, each with its line end."""
        if not self._batch:
            ms = self._clock.wall_ms()
            self._stamp = f"{ms // 1000}.{ms % 1000:03d}000"
            asyncio.get_running_loop().call_soon(self.flush)
        self._batch.append(
            (
                privilege,
                f"Event: {event}\r\nPrivilege: {privilege},all\r\nTimestamp: {self._stamp}\r\n{body}\r\n",
            )
        )

    def flush(self) -> None:
        """Hand over what was collected, at once: before an answer that must not overtake it."""
        batch, self._batch = self._batch, []
        if batch:
            for listener in tuple(self._listeners):
                listener.deliver(batch)
