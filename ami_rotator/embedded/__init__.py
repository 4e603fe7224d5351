"""The daemon's own Valkey and PostgreSQL, used where none is configured.

Both keep their data in DATA_DIR and listen on unix sockets only. Several processes may use them at once, such as `serve` and
`import`: the first starts them, the others attach, the last one stops them. After a `kill -9` they run on and the next
process attaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from ami_rotator.embedded.postgresql import PostgreSQL
from ami_rotator.embedded.processes import EmbeddedServerError
from ami_rotator.embedded.shared_server import Server, SharedServer
from ami_rotator.embedded.valkey import Valkey

__all__ = ["EmbeddedServerError", "database_url", "redis_url"]

T = TypeVar("T")


@asynccontextmanager
async def redis_url(data_dir: Path) -> AsyncIterator[str]:
    """Give the URL of the Valkey in `data_dir`, running while the context is open.

    Raises:
        EmbeddedServerError: it cannot be started; says why and what to do.
    """
    async with _opened(Valkey(data_dir / "valkey"), data_dir) as url:
        yield url


@asynccontextmanager
async def database_url(data_dir: Path) -> AsyncIterator[str]:
    """Give the DSN of the PostgreSQL in `data_dir`, running while the context is open.

    Raises:
        EmbeddedServerError: it cannot be started; says why and what to do.
    """
    async with _opened(PostgreSQL(data_dir / "postgresql"), data_dir) as url:
        yield url


@asynccontextmanager
async def _opened(server: Server, data_dir: Path) -> AsyncIterator[str]:
    use = SharedServer(server, data_dir)
    try:
        yield await _to_the_end(use.open)
    finally:
        await _to_the_end(use.close)


async def _to_the_end(work: Callable[[], T]) -> T:
    """Run `work` in a thread, and see it finished even when cancelled: a server half started could not be stopped."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
