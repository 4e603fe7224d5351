"""The API on a real server with real stores, and somebody of each role to ask it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse
from redis.asyncio import Redis

from ami_rotator.domain.access import ROLES, Role
from ami_rotator.http.pages.deps import JobLook, PageDeps
from ami_rotator.ledger.database import Database
from ami_rotator.pool.assigner import Assigner
from tests.support.admin_desk import ANNA, DEFAULTS, Bench, make_bench
from tests.support.http_rig import Rig, rig

PASSWORD = "correct horse battery"


@dataclass
class ApiRig:
    """A server and what is behind it."""

    at: Rig
    bench: Bench

    @property
    def admin(self) -> dict[str, str]:
        """The headers of the admin token."""
        return self.at.admin

    @contextlib.asynccontextmanager
    async def ask(self, method: str, path: str, **options: Any) -> AsyncIterator[ClientResponse]:
        """Ask the API as admin, or with the headers given."""
        options.setdefault("headers", self.admin)
        async with self.at.client.request(method, f"{self.at.url}/api/v1{path}", **options) as response:
            yield response

    async def json(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Ask the API; return status and JSON."""
        async with self.ask(method, path, **options) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else None

    async def user(self, role: Role) -> dict[str, str]:
        """Add a user of a role, named after it; return their headers, with a session's token."""
        await self.bench.desk.users.add(ANNA, role, role, PASSWORD)
        signed_in = await self.bench.desk.users.sign_in(ANNA, role, PASSWORD, "tests")
        return {"Authorization": f"Bearer {signed_in.token}"}

    async def everybody(self) -> dict[Role, dict[str, str]]:
        """Add a user of every role; return their headers."""
        return {role: await self.user(role) for role in ROLES}


def _pages(bench: Bench) -> PageDeps:
    """Return what the pages need, of a daemon without jobs and dialers."""

    async def no_jobs() -> list[JobLook]:
        return []

    async def no_wish(_name: str) -> None:
        return None

    return PageDeps(
        database=bench.database,
        caller_ids=bench.desk.caller_ids,
        defaults=DEFAULTS,
        take_over=bench.sync,
        jobs=no_jobs,
        wish=no_wish,
        dialers=list,
    )


@contextlib.asynccontextmanager
async def api_rig(database: Database, redis: Redis, **options: Any) -> AsyncIterator[ApiRig]:
    """Start a server on these stores. `options` are settings."""
    bench = make_bench(database, redis)
    await bench.sync()
    assigner = Assigner(bench.pool, "US", ["9"])
    changes = {
        "desk": bench.desk,
        "pages": _pages(bench),
        "try_policy": assigner.try_policy,
        **options.pop("changes", {}),
    }
    async with rig(changes=changes, **{"rate_limit_per_user": 0, **options}) as at:
        yield ApiRig(at, bench)
