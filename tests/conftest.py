"""Fixtures for tests that need a real Redis or PostgreSQL. Servers start once a session, only where asked for."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TextIO

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ami_rotator.ledger.database import Database
from tests.support.services import Kind, Services

_LONGEST_FIRST = ("chaos", "asterisk", "browser", "docs", "stateful")
_STDERR = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the terminal's stderr: a test's own is captured."""
    config.stash[_STDERR] = os.fdopen(os.dup(2), "w")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that hangs for good fail the run and say what it waits for, instead of holding it up for ever.

    pytest-timeout raises within the test; a task that swallows its cancellation (Python 3.11's wait_for) outlives that.
    """
    mark, asked = item.get_closest_marker("timeout"), item.config.getoption("timeout")
    limit_s = mark.args[0] if mark else float(item.config.getini("timeout") if asked is None else asked)
    if not limit_s:  # switched off, for a debugger
        return (yield)
    timer = threading.Timer(2 * limit_s + 60, _give_up, (item.nodeid, item.config.stash[_STDERR]))
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()


def _give_up(test: str, out: TextIO) -> None:
    print(f"\n{test} hangs. Its threads and tasks:", file=out, flush=True)
    faulthandler.dump_traceback(out)
    for task in [found for found in gc.get_objects() if isinstance(found, asyncio.Task) and not found.done()]:
        task.print_stack(file=out)
    out.flush()
    os._exit(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put folders whose tests take longest first, so that no worker begins one when the others are done."""
    rank = {name: number for number, name in enumerate(_LONGEST_FIRST)}
    here = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(here).parts[0], len(rank)))


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The servers of this session, in a folder with a short name: socket paths have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="rot-") as folder:
        # PostgreSQL runs as `nobody` where the tests run as root.
        Path(folder).chmod(0o755)
        running = Services(Path(folder))
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def redis_url(services: Services, request: pytest.FixtureRequest) -> str:
    """The URL of an empty Redis: Valkey, or what the mark `every_redis` asks for."""
    url = services.redis(getattr(request, "param", "wheel"))
    with Redis.from_url(url, socket_timeout=10) as client:
        client.flushall()
        client.script_flush()
        client.function_flush()
    return url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[AsyncRedis]:
    """A client of an empty Redis, with decoded answers."""
    client = AsyncRedis.from_url(redis_url, decode_responses=True, socket_timeout=5)
    yield client
    await client.aclose()


@pytest.fixture
async def database_dsn(services: Services, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test's own: PostgreSQL 18, or what the mark `every_postgresql` asks for."""
    kind: Kind = getattr(request, "param", "wheel")
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield await services.create_database(kind, name)
    await services.drop_database(kind, name)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A migrated database, connected."""
    async with Database.open(database_dsn) as opened:
        yield opened
