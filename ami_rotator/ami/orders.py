"""Actions whose success nobody waits for: written, and told of only where Asterisk does not do them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from ami_rotator.ami.events import Fields

ACTION_ID = b"\r\nActionID: "
_RESPONSE = b"Response: "
_DONE = b"Response: Success"


@dataclass(slots=True)
class _Order:
    name: str
    until_s: float
    failed: Callable[[str], None]


class Orders:
    """The orders of one connection that are not answered yet, the oldest first.

    An action of panoramisk has a future, and a message is made of its answer: half of what it takes to set the number of a
    call, which has milliseconds. One timer serves all of these.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[bytes, _Order] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = count(1)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._waiting)

    def add(self, fields: Mapping[str, str], failed: Callable[[str], None]) -> bytes:
        """Return an action's bytes, to be written now. `fields` are those of `ami.actions`.

        `failed` is called once with the reason, where it is refused, not answered in time, or the connection ends first.
        """
        identity = b"rotator/%d" % next(self._numbers)
        until_s = self._loop.time() + self._timeout_s
        self._waiting[identity] = _Order(fields["Action"], until_s, failed)
        if self._timer is None:
            self._timer = self._loop.call_at(until_s, self._look_at_time)
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        return b"%sActionID: %s\r\n\r\n" % (lines.encode(), identity)

    def take(self, block: bytes) -> bool:
        """Take a response, without its blank line; False where it is not to one of these."""
        if not block.startswith(_RESPONSE):
            return False
        before, _, rest = block.partition(ACTION_ID)
        order = self._waiting.pop(rest.partition(b"\r\n")[0], None)
        if order is None:
            return False
        if not before.startswith(_DONE):
            order.failed(Fields(block.decode("utf-8", "replace")).get("Message", "refused"))
        return True

    def fail(self, reason: str) -> None:
        """Give all of them up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        for order in waiting.values():
            order.failed(reason)

    def _look_at_time(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting:
            identity, order = next(iter(self._waiting.items()))
            if order.until_s > now:
                self._timer = self._loop.call_at(order.until_s, self._look_at_time)
                return
            del self._waiting[identity]
            order.failed(f"Asterisk did not answer {order.name} within {self._timeout_s:g} s")
