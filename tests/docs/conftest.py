"""One daemon for all tests that only look at one from outside."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.daemon_process import DaemonProcess, daemon


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo_daemon() -> AsyncIterator[DaemonProcess]:
    """The demo, with servers of its own and ten simulated calls a second. Nobody may change anything in it."""
    with tempfile.TemporaryDirectory(prefix="rot-") as name:
        Path(name).chmod(0o755)
        async with daemon(Path(name), {"SIMULATOR_CALLS_PER_S": "10"}) as started:
            yield started
