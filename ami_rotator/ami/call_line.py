"""One call as the listener follows it, and what the listener may do on its dialer."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from ami_rotator.ami.events import Event
from ami_rotator.ami.facts import Fact
from ami_rotator.domain.types import CallKey, ReservationId


class DialerActions(Protocol):
    """What the listener may do on a dialer."""

    def catch_up(self) -> bool:
        """Take what the dialer has said by now: events are told before it returns. False where some of it has to wait."""
        ...

    def setvar(self, channel: str, variable: str, value: str) -> None:
        """Write a channel variable; the answer is not waited for."""
        ...

    def set_caller_id_number(self, channel: str, number: str) -> None:
        """Write `CALLERID(num)`; the answer is not waited for."""
        ...

    async def channels(self) -> list[Event]:
        """Return every channel, one CoreShowChannel event each; raises RotatorError."""
        ...

    async def db_put(self, family: str, key: str, value: str) -> None:
        """Write digits into AstDB; raises RotatorError."""
        ...

    async def db_del(self, family: str, key: str) -> bool:
        """Delete a key of AstDB, False where there is none; raises RotatorError."""
        ...

    async def db_keys(self, family: str) -> list[str]:
        """Return the keys of a family of AstDB; raises RotatorError."""
        ...


@dataclass(slots=True)
class CallLine:
    """One call. `waiting` holds what is still to be done, in order, while `work` is under way.

    `number` is what was assigned to it, as it is presented; `is_in_astdb` while that may still stand in AstDB.
    """

    key: CallKey
    began_s: float
    seen_s: float = 0.0
    waiting: deque[Fact] = field(default_factory=deque)
    work: asyncio.Future[None] | None = None
    reservation: ReservationId | None = None
    number: str = ""
    has_trunk: bool = False
    is_asked: bool = False
    is_seen: bool = False
    is_in_astdb: bool = False
