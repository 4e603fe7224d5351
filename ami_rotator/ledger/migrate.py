"""Bring a database to the newest schema: numbered files, each in a transaction of its own, each exactly once."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ami_rotator.errors import LedgerUnavailableError, RotatorError
from ami_rotator.files import project_folder
from ami_rotator.ledger.database import Connection, as_unavailable, check_version

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK = 0x616D695F726F74  # "ami_rot"
_CONNECT_S = 10.0
_STATEMENT_S = 900.0  # a migration may rewrite a large table
_LOCK_WAIT_S = 900.0

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(RotatorError):
    """The database cannot be brought to the newest schema."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum that is kept, of the text whatever its line ends."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """The version that the database has now, and the numbers of what was applied for it."""

    version: int
    applied: tuple[int, ...]


def load_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """Return the migrations in order.

    Raises:
        MigrationError: a file has another name than `0001_what.sql`, or the numbers are not 1, 2, 3 and so on.
    """
    found = []
    for path in sorted((folder or project_folder("sql") / "migrations").glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named as a migration. Name it 0001_what.sql.")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"The migrations are numbered {numbers}. Number them 1, 2, 3 and so on.")
    return tuple(found)


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> MigrationReport:
    """Apply what is missing. Two at once are safe: the second waits for the first and finds nothing to do.

    Raises:
        MigrationError: a migration failed (and was rolled back whole), or the database was changed by other ones.
        LedgerUnavailableError: PostgreSQL is not there.
    """
    known = load_migrations() if migrations is None else tuple(migrations)
    async with _locked(dsn) as connection:
        await _apply(connection, "schema_migrations", _LEDGER)
        rows = await connection.fetch("SELECT number, sha256 FROM schema_migrations")
        done = {row["number"]: row["sha256"] for row in rows}
        _check(done, known)
        applied = []
        for migration in known:
            if migration.number not in done:
                await _apply(connection, f"{migration.number:04}_{migration.name}", migration.sql, migration)
                applied.append(migration.number)
        return MigrationReport(len(known), tuple(applied))


@asynccontextmanager
async def _locked(dsn: str) -> AsyncIterator[Connection]:
    with as_unavailable():
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_S, command_timeout=_STATEMENT_S)
        try:
            check_version(connection)
            deadline = time.monotonic() + _LOCK_WAIT_S
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                if time.monotonic() > deadline:
                    raise LedgerUnavailableError(
                        f"Another process has been migrating the database for {_LOCK_WAIT_S:.0f} s. Wait for it, or end it."
                    )
                await asyncio.sleep(0.1)
            yield connection
        finally:
            # Ends the session, and the lock with it.
            connection.terminate()


def _check(done: Mapping[int, str], known: Sequence[Migration]) -> None:
    newest = max(done, default=0)
    if newest > len(known):
        raise MigrationError(
            f"The database has version {newest}, this ami_rotator knows versions up to {len(known)}. Install the newer"
            " ami_rotator that was here before, or restore a backup from before the upgrade."
        )
    for migration in known:
        checksum = done.get(migration.number)
        if checksum is not None and checksum != migration.sha256:
            raise MigrationError(
                f"Migration {migration.number:04}_{migration.name} was applied with other content than it has now (sha256"
                f" {checksum[:12]} then, {migration.sha256[:12]} now). Migrations are never edited: put the file back as it"
                " was, and make the change in a new one."
            )


async def _apply(connection: Connection, name: str, sql: str, migration: Migration | None = None) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql)
            if migration is not None:
                await connection.execute(
                    "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.sha256,
                )
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"{name}: {error}. The database user may not make tables. As an administrator of that database:"
            " GRANT CREATE ON SCHEMA public TO that user; then start again."
        ) from error
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{name} failed and was rolled back whole: {error}. Nothing of it was changed.") from error
