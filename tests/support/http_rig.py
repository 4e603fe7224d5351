"""A real HTTP server on a free port, with simple objects behind its seams."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import E164, Area, Assignment, CallRequest, Group, Miss, ReservationId, Rung
from ami_rotator.http.deps import DashboardData, Deps, DialerHealth, Health, NewCallerId
from ami_rotator.http.limits import MinuteLimits
from ami_rotator.http.server import make_app
from ami_rotator.settings import Settings
from tests.support.admin_desk import bench_without_stores

WEB = Path(__file__).parents[2] / "web"
TOKEN = "a-token-for-tests-0123456789"
HEALTHY = Health(True, True, (DialerHealth("dialer1", "up", "hook"),))

ASSIGNMENT = Assignment(
    reservation=ReservationId("0190c7a2-0000-7000-8000-000000000001"),
    caller_id=E164("+15551234567"),
    is_new=True,
    rung=Rung.AREA,
    group=Group("default"),
    area=Area("555"),
    carrier="Verizon",
    meta_json="",
    was_warm=True,
)


class Desk:
    """An assigner that answers what it is told to and keeps what it was asked."""

    def __init__(self, answer: Assignment | Miss = ASSIGNMENT) -> None:
        self.answer = answer
        self.asked: list[CallRequest] = []
        self.before: Callable[[], Awaitable[object]] | None = None

    async def assign(self, request: CallRequest) -> Assignment | Miss:
        """Answer, after `before` where a test set it."""
        self.asked.append(request)
        if self.before is not None:
            await self.before()
        return self.answer


@dataclass
class Inventory:
    """Caller-IDs that were added."""

    added: list[NewCallerId] = field(default_factory=list)
    failure: Exception | None = None

    async def add(self, new: NewCallerId) -> bool:
        """Add a caller-ID; false where it is there already."""
        if self.failure is not None:
            raise self.failure
        if any(old.number == new.number for old in self.added):
            return False
        self.added.append(new)
        return True


@dataclass
class Rig:
    """What a test talks to and what is behind it."""

    url: str
    client: ClientSession
    desk: Desk
    inventory: Inventory
    state: State
    app: web.Application

    @property
    def admin(self) -> dict[str, str]:
        """The headers of an administrator."""
        return {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class State:
    """What the health and dashboard callables answer; a test may change it while the server runs."""

    health: Health = HEALTHY
    data: DashboardData = field(default_factory=lambda: DashboardData(HEALTHY))
    looks: int = 0
    failure: Exception | None = None


def settings(**options: Any) -> Settings:
    """Return settings that no environment or `.env` changes."""
    return Settings(_env_file=None, admin_token=TOKEN, **options)


def make_deps(
    desk: Desk, inventory: Inventory, state: State, options: dict[str, Any], dialers: tuple[str, ...] = ("dialer1",)
) -> Deps:
    """Return what the server needs."""

    async def health() -> Health:
        return state.health

    async def dashboard() -> DashboardData:
        state.looks += 1
        if state.failure is not None:
            raise state.failure
        return state.data

    chosen = settings(**options)
    clock = SystemClock()
    limits = {"agent": chosen.rate_limit_per_agent, "ip": chosen.rate_limit_per_ip, "sign-in": 10}
    return Deps(
        assigner=desk,
        add_caller_id=inventory.add,
        health=health,
        dashboard=dashboard,
        allow=MinuteLimits(clock, limits),
        settings=chosen,
        clock=clock,
        admin_token=TOKEN,
        web_dir=WEB,
        dialers=dialers,
    )


@contextlib.asynccontextmanager
async def rig(
    *, dialers: tuple[str, ...] = ("dialer1",), changes: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Rig]:
    """Start a server. `options` are settings, `changes` replace parts of the Deps."""
    desk, inventory, state = Desk(), Inventory(), State()
    stack = contextlib.AsyncExitStack()
    bench = await stack.enter_async_context(bench_without_stores())
    deps = replace(make_deps(desk, inventory, state, options, dialers), desk=bench.desk)
    app = make_app(replace(deps, **(changes or {})))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ClientSession() as client:
            yield Rig(f"http://{host}:{port}", client, desk, inventory, state, app)
    finally:
        await runner.cleanup()
        await stack.aclose()
