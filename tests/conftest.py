"""Fixtures for tests that need a real Redis or PostgreSQL. Servers start once a session, only where asked for."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from tests.support.services import postgresql_from_wheel, valkey_from_wheel


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """A short path: socket names have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="rot-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis_server(services_folder: Path) -> Iterator[str]:
    folder = services_folder / "redis"
    folder.mkdir()
    with valkey_from_wheel(folder) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[AsyncRedis]:
    """A client of an empty Redis, with decoded answers."""
    client = AsyncRedis.from_url(redis_url, decode_responses=True, socket_timeout=5)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def postgresql_server(services_folder: Path) -> Iterator[str]:
    folder = services_folder / "pg"
    folder.mkdir()
    with postgresql_from_wheel(folder) as dsn:
        yield dsn


@pytest.fixture
async def database_dsn(postgresql_server: str) -> AsyncIterator[str]:
    """The DSN of a database of this test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgresql_server)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield postgresql_server.replace("/postgres?", f"/{name}?")
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()
