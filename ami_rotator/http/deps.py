"""What the HTTP server and the FastAGI server need from the rest of the daemon. The composition root fills it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from aiohttp import web

from ami_rotator.admin.desk import AdminDesk
from ami_rotator.clock import Clock
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import E164, Area, Assignment, CallRequest, Campaign, Group, Miss, State
from ami_rotator.http.pages.deps import PageDeps
from ami_rotator.ledger.callbacks import Callback, Observed
from ami_rotator.pool.answer_times import Latency
from ami_rotator.pool.explaining import Explanation
from ami_rotator.pool.trial import Trial
from ami_rotator.settings import Settings

DialerState = Literal["up", "connecting", "down"]
WhyDown = Literal["", "refused", "untrusted"]
LimitKind = Literal["agent", "ip", "sign-in", "sign-in-name", "user"]


@dataclass(frozen=True, slots=True)
class DialerHealth:
    """One dialer. `detail` is for operators and may name hosts: it is shown on the dashboard, never in /health.

    `why` says in a word of one that is down what only a person can mend: the login, or the certificate.
    """

    name: str
    state: DialerState
    mode: str = ""
    detail: str = ""
    why: WhyDown = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What works now. `simulator` is None where no simulator was started; its dialer is among `dialers`.

    `feed` is None where VICIdial's database is not used, else `ok` or why it is off: for the dashboard, never in /health.
    """

    redis_ok: bool
    postgresql_ok: bool
    dialers: tuple[DialerHealth, ...] = ()
    simulator: DialerState | None = None
    feed: str | None = None

    @property
    def serves_calls(self) -> bool:
        """Whether a call that is dialled now can get a caller-ID: PostgreSQL is not needed for that."""
        return self.redis_ok and any(dialer.state == "up" for dialer in self.dialers)

    @property
    def status(self) -> Literal["healthy", "degraded", "unhealthy"]:
        """Return `degraded` where calls are served but something needs a look."""
        if not self.serves_calls:
            return "unhealthy"
        all_well = (
            self.postgresql_ok and self.feed in (None, "ok") and all(dialer.state == "up" for dialer in self.dialers)
        )
        return "healthy" if all_well else "degraded"


@dataclass(frozen=True, slots=True)
class NewCallerId:
    """A caller-ID to store. None stands for what nobody said: the defaults then apply. A limit of 0 is never."""

    number: E164
    carrier: str | None = None
    area: Area | None = None
    group: Group | None = None
    daily_limit: int | None = None
    hourly_limit: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Minute:
    """What happened in the minute that began at `at_ms` (wall time)."""

    at_ms: int
    assigned: int
    missed: int


@dataclass(frozen=True, slots=True)
class WarmDepth:
    """Caller-IDs held ready for one campaign and area, and how much that campaign and area is called."""

    campaign: str
    area: str
    depth: int
    calls_per_minute: float


@dataclass(frozen=True, slots=True)
class NextCalls:
    """What VICIdial's hopper is about to dial: `ready` leads of a campaign and area, and the caller-IDs that there are.

    `eligible` counts caller-IDs of that very area in the campaign's groups that a call could have at this moment.
    """

    campaign: str
    area: str
    ready: int
    eligible: int


@dataclass(frozen=True, slots=True)
class LastCall:
    """One assignment. Numbers in E.164 (`presented` as Asterisk had it); empty where not known yet.

    `is_match` is None until the carrier leg showed what was presented.
    """

    at_ms: int
    campaign: str
    dialer: str
    destination: str
    caller_id: str
    presented: str
    rung: str
    source: str
    outcome: str
    is_match: bool | None = None


@dataclass(frozen=True, slots=True)
class DashboardData:
    """One look at everything. `states` is empty while Redis is away; the records while PostgreSQL is.

    `minutes` is the last hour, oldest first; the last one is not over yet. `misses` counts by reason over the same hour,
    `doors` assignments by the way the call came in: feed, ami, http, fastagi. `latency` is None before the first question.
    `live` is reservations now, `outbox` entries that the ledger has not stored yet.
    """

    health: Health
    states: Mapping[State, int] = field(default_factory=dict)
    live: int = 0
    outbox: int = 0
    warm: Sequence[WarmDepth] = ()
    minutes: Sequence[Minute] = ()
    last_calls: Sequence[LastCall] = ()
    misses: Mapping[str, int] = field(default_factory=dict)
    doors: Mapping[str, int] = field(default_factory=dict)
    latency: Latency | None = None
    next_calls: Sequence[NextCalls] = ()


class CallerIdSource(Protocol):
    """Whoever decides. Never raises; the same call always gets the same answer."""

    async def assign(self, request: CallRequest) -> Assignment | Miss:
        """Return the caller-ID of a call, or why there is none."""
        ...


class TryPolicy(Protocol):
    """The preview of a policy."""

    async def __call__(
        self, policy: CampaignPolicy, destination: E164 | None, area: Area, areas: Mapping[Group, Collection[Area]]
    ) -> Trial:
        """Return what a call would get under it; `areas` are those of the caller-IDs of each of its groups.

        Raises:
            PoolUnavailableError: Redis is away or too slow.
        """
        ...


class Allow(Protocol):
    """A rate limit."""

    async def __call__(self, kind: LimitKind, subject: str) -> float | None:
        """Count one use; None if it is within the limit, else the seconds until the next one is."""
        ...

    async def first_over(self, *uses: tuple[LimitKind, str]) -> tuple[LimitKind, float] | None:
        """Count uses; None if all are within their limits, else the kind of the first that is not and its wait in s."""


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything the handlers use.

    `dialers` names the dialers that are served (the simulator's included); a request that names none belongs to the only
    one. `add_caller_id` says whether the number is new and raises LedgerUnavailableError; `dashboard` answers with what it
    can reach rather than raise. `admin_token` is the setting, or that made up for the embedded demo. `desk` has
    what administrators can do; without it only the admin token in a header is known. `answered` is told path, status and
    seconds of each answer to a machine. `explain`, `callback` and `observed` answer the routes of that name.
    """

    assigner: CallerIdSource
    add_caller_id: Callable[[NewCallerId], Awaitable[bool]]
    health: Callable[[], Awaitable[Health]]
    dashboard: Callable[[], Awaitable[DashboardData]]
    allow: Allow
    settings: Settings
    clock: Clock
    admin_token: str
    web_dir: Path
    dialers: tuple[str, ...] = ()
    metrics: Callable[[], bytes] = bytes
    answered: Callable[[str, int, float], None] | None = None
    pages: PageDeps | None = None
    desk: AdminDesk | None = None
    explain: Callable[[Campaign, str, str], Awaitable[Explanation]] | None = None
    try_policy: TryPolicy | None = None
    callback: Callable[[E164, E164 | None], Awaitable[Callback | None]] | None = None
    observed: Callable[[int], Awaitable[Sequence[Observed]]] | None = None


DEPS = web.AppKey("DEPS", Deps)
"""Where an application keeps its Deps."""
