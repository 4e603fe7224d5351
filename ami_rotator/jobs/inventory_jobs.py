"""The jobs that keep the pool in Redis true to the inventory in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ami_rotator.errors import PoolUnavailableError
from ami_rotator.jobs.job import Job

_RECONCILE_EVERY_S = 900.0


def inventory_jobs(
    sync: Callable[[], Awaitable[str]], load: Callable[[], Awaitable[str]], check: Callable[[], Awaitable[str]]
) -> list[Job]:
    """Return the jobs: `sync` takes over what changed, `load` compares everything. The two never run at once.

    `check` (take_over.py) runs whatever PostgreSQL does.
    """
    turn = asyncio.Lock()

    async def inventory() -> str:
        async with turn:
            return await sync()

    async def reconcile() -> str:
        async with turn:
            return await load()

    async def take_over() -> str:
        try:
            return await check()
        except PoolUnavailableError:
            return ""  # `inventory` says so

    return [
        Job("take_over", 0.5, take_over, "Bring back what Redis lost in a restart or failover"),
        Job("inventory", 1.0, inventory, "Take over what changed in the inventory"),
        Job(
            "reconcile",
            _RECONCILE_EVERY_S,
            reconcile,
            "Compare every caller-ID in Redis with PostgreSQL, and set right what differs",
            alone=True,
            at_start=False,
        ),
    ]
