"""Connections to PostgreSQL, with a time limit on everything and one error for "not there now"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from ami_rotator.domain.access import Actor
from ami_rotator.errors import LedgerUnavailableError, RotatorError, SettingsError
from ami_rotator.ledger.queries import load_queries

MINIMUM_VERSION = 15

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

# SQLSTATE (PostgreSQL manual, appendix A): connection, resources, operator intervention, system, authorisation, unknown
# database, rollback by the server, database closed to connections, lock not available, read-only (a standby).
_AWAY = ("08", "53", "57", "58", "28", "3D", "40", "55000", "55P03", "25006")


class ServerTooOldError(RotatorError):
    """The PostgreSQL server is too old."""


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Turn all that means "PostgreSQL is not there now" into `LedgerUnavailableError`; our own faults stay as they are."""
    try:
        yield
    except asyncpg.ClientConfigurationError as error:
        raise SettingsError(
            f"DATABASE_URL cannot be used: {error}. Write postgresql://USER:PASSWORD@HOST:5432/DATABASE."
        ) from error
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_AWAY):
            raise LedgerUnavailableError(
                f"PostgreSQL refused: {error}. Check that the server runs and that DATABASE_URL or DB_* are right; records"
                " wait in the outbox until then."
            ) from error
        raise
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        said = str(error) or type(error).__name__
        raise LedgerUnavailableError(
            f"PostgreSQL did not answer ({said}). Check that the server runs and can be reached; records wait in the outbox"
            " until then."
        ) from error


def check_version(connection: Connection) -> None:
    """Refuse a server that is too old.

    Raises:
        ServerTooOldError: says which version it is and what is needed.
    """
    version = connection.get_server_version()
    if version.major < MINIMUM_VERSION:
        raise ServerTooOldError(
            f"The server is PostgreSQL {version.major}.{version.minor}; ami_rotator needs {MINIMUM_VERSION} or newer."
            " Upgrade it, or leave DATABASE_URL and DB_HOST empty to use the embedded one."
        )


class Database:
    """A pool of connections and the named queries. It connects when it is first used: the server may come later."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        timeout_s: float,
        queries: Mapping[str, str],
        actor: Actor | None = None,
    ) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._queries = queries
        self._actor = actor

    def acting_as(self, actor: Actor) -> Database:
        """Return the same database for changes that the audit notes under this actor."""
        return Database(self._pool, self._timeout_s, self._queries, actor)

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, *, timeout_s: float = 10.0, size: int = 8) -> AsyncIterator[Database]:
        """Open the pool; `timeout_s` bounds each connect, wait and statement."""
        pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            timeout=timeout_s,
            command_timeout=timeout_s,
            init=_prepare,
            max_inactive_connection_lifetime=60,
            server_settings={"application_name": "ami_rotator", "timezone": "UTC"},
        )
        with as_unavailable():
            await pool
        try:
            yield cls(pool, timeout_s, load_queries())
        finally:
            try:
                await asyncio.wait_for(pool.close(), timeout=5)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        Raises:
            LedgerUnavailableError: PostgreSQL is not there, or went away meanwhile.
        """
        with as_unavailable():
            async with self._pool.acquire(timeout=self._timeout_s) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction: all of it or nothing."""
        async with self.connection() as connection, connection.transaction(readonly=read_only):
            if self._actor is not None:
                await connection.execute(
                    self._queries["set_actor"], self._actor.name, self._actor.via, self._actor.address
                )
            yield connection

    def _lend(self) -> AbstractAsyncContextManager[Connection]:
        # Who acts is known to one transaction only.
        return self.connection() if self._actor is None else self.transaction()

    def query(self, name: str) -> str:
        """Return the statement of a named query."""
        return self._queries[name]

    async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a named query and return its rows."""
        async with self._lend() as connection:
            return await connection.fetch(self._queries[name], *arguments)

    async def value(self, name: str, *arguments: Any) -> Any:
        """Run a named query and return the first column of its first row."""
        async with self._lend() as connection:
            return await connection.fetchval(self._queries[name], *arguments)

    async def run(self, name: str, *arguments: Any) -> None:
        """Run a named query."""
        async with self._lend() as connection:
            await connection.execute(self._queries[name], *arguments)

    async def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            LedgerUnavailableError: there is none.
            ServerTooOldError: it is too old.
        """
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    check_version(connection)
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog"
        )
