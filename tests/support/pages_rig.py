"""The pages on a real server, with a real Redis and PostgreSQL behind them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import ClientSession, CookieJar, web
from pydantic import SecretStr
from redis.asyncio import Redis

from ami_rotator.ami.dialer_state import DialerState
from ami_rotator.http.pages.deps import PageDeps
from ami_rotator.http.server import make_app
from ami_rotator.jobs.job import JobRun
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.pool.assigner import Assigner
from ami_rotator.settings import DialerSettings
from tests.support.admin_desk import Bench, make_bench
from tests.support.http_rig import TOKEN, Desk, Inventory, State, make_deps

DEFAULTS = LimitDefaults(100, 1000, 0)
DIALER = DialerSettings(name="dialer1", host="10.0.0.5", secret=SecretStr("s"), dial_prefixes={"9": "SALES"})
STATE = DialerState(
    "dialer1",
    "up",
    "",
    "Asterisk 18.20.0",
    1,
    2,
    12_345,
    1.5,
    ("DBPut needs write=system",),
    0,
    0,
    0,
    3,
    "Setvar refused",
    0,
)
_LINKS = re.compile(r'(?:href|action|formaction)="(/[^"#]*)"')


@dataclass
class PagesRig:
    """What a test talks to; `client` keeps cookies and sends what a browser sends."""

    url: str
    client: ClientSession
    bench: Bench
    database: Database
    app: web.Application
    wished: list[str] = field(default_factory=list)
    jobs: list[JobRun] = field(default_factory=list)
    state: State = field(default_factory=State)

    async def sign_in(self, name: str = "", password: str = TOKEN) -> None:
        """Sign in by the form."""
        status, _ = await self.post("/sign-in", {"name": name, "token": password})
        assert status == 200

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page, redirects followed."""
        async with self.client.get(self.url + path) as response:
            return response.status, await response.text()

    async def page(self, path: str) -> str:
        """Return the text of a page that must be there."""
        status, text = await self.get(path)
        assert status == 200, text[:2000]
        return text

    async def post(self, path: str, form: Any = None) -> tuple[int, str]:
        """Send a form as a browser does; return status and text of where it leads."""
        async with self.client.post(self.url + path, data=form or {}, headers={"Origin": self.url}) as response:
            return response.status, await response.text()


@contextlib.asynccontextmanager
async def pages_rig(database: Database, redis: Redis) -> AsyncIterator[PagesRig]:
    """Start a server."""
    state = State()
    bench = make_bench(database, redis)

    listed: list[JobRun] = []
    wished: list[str] = []

    async def nothing() -> None:
        return None

    async def jobs() -> list[JobRun]:
        return listed

    async def wish(name: str) -> None:
        wished.append(name)

    pages = PageDeps(database, bench.desk.caller_ids, DEFAULTS, nothing, jobs, wish, lambda: [(DIALER, STATE)])
    deps = replace(
        make_deps(Desk(), Inventory(), state, {}),
        desk=bench.desk,
        pages=pages,
        try_policy=Assigner(bench.pool, "US", ["9"]).try_policy,
    )
    app = make_app(deps)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(cookie_jar=CookieJar(unsafe=True), headers={"Accept": "text/html"}) as client:
            yield PagesRig(f"http://{host}:{port}", client, bench, database, app, wished, listed, state)
    finally:
        await runner.cleanup()


def links(text: str) -> set[str]:
    """Return the addresses of ours that a page leads to."""
    return {found.replace("&amp;", "&") for found in _LINKS.findall(text)}
