"""Redis and PostgreSQL: the configured servers, or the daemon's own where none is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from ami_rotator import embedded
from ami_rotator.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the two stores are."""

    redis_url: str
    database_dsn: str


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Give the addresses of both stores; embedded servers run while the context is open.

    Raises:
        EmbeddedServerError: an own server cannot be started; says why and what to do.
    """
    log = structlog.get_logger("stores")
    redis_url, database_dsn = settings.redis_dsn(), settings.database_dsn()
    async with AsyncExitStack() as stack:
        folder = settings.data_dir.resolve()
        if redis_url is None:
            redis_url = await stack.enter_async_context(embedded.redis_url(folder))
            log.info("embedded Valkey runs", data=str(folder / "valkey"))
        if database_dsn is None:
            database_dsn = await stack.enter_async_context(embedded.database_url(folder))
            log.info("embedded PostgreSQL runs", data=str(folder / "postgresql"))
        yield Stores(redis_url, database_dsn)
