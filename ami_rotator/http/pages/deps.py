"""What the pages need from the rest of the daemon. The composition root fills it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ami_rotator.admin.caller_ids import CallerIds
from ami_rotator.ami.dialer_state import DialerState
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.settings import DialerSettings


class JobLook(Protocol):
    """A maintenance job and how its last run went; `at_ms` 0: it never ran, `failures` in a row."""

    @property
    def name(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def every_s(self) -> float: ...
    @property
    def alone(self) -> bool: ...
    @property
    def at_ms(self) -> int: ...
    @property
    def took_ms(self) -> float: ...
    @property
    def result(self) -> str: ...
    @property
    def failures(self) -> int: ...
    @property
    def daemon(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PageDeps:
    """Everything the pages use besides `Deps`.

    `take_over` brings a change of the inventory into the pool at once; `wish` asks for a run of a job now; `dialers` tells
    how the connections are. All may raise LedgerUnavailableError or PoolUnavailableError.
    """

    database: Database
    caller_ids: CallerIds
    defaults: LimitDefaults
    take_over: Callable[[], Awaitable[object]]
    jobs: Callable[[], Awaitable[Sequence[JobLook]]]
    wish: Callable[[str], Awaitable[object]]
    dialers: Callable[[], Sequence[tuple[DialerSettings, DialerState]]]
