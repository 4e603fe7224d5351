"""Attach to a server that runs in a data folder, or start it; who leaves last stops it.

Every process that uses a server holds a shared lock on `<name>.users`; starting and stopping happen under an exclusive lock
on `<name>.lock`. The kernel frees the locks of a killed process, so nothing has to be cleaned up after `kill -9`: the server
runs on, and the next process attaches to it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog

from ami_rotator.embedded.processes import EmbeddedServerError

log = structlog.get_logger(__name__)

_LOCK_WAIT_S = 180.0


class Server(Protocol):
    """A server with its files in one folder. All methods block."""

    @property
    def name(self) -> str:
        """What it is called in logs and lock files."""
        ...

    def find(self) -> int | None:
        """Return the process id of the server that runs in the folder, however it was started."""
        ...

    def start(self) -> int:
        """Start it and return its process id."""
        ...

    def wait_until_ready(self, pid: int) -> str:
        """Wait until it answers and return its URL."""
        ...

    def stop(self, pid: int) -> None:
        """Stop it, with everything written to disk."""
        ...


class SharedServer:
    """One use of a server, as a context manager that gives its URL. Blocking; each use needs its own object."""

    def __init__(self, server: Server, data_dir: Path) -> None:
        self._server = server
        self._data_dir = data_dir
        self._users: int | None = None

    def open(self) -> str:
        """Attach or start, and return the URL.

        Raises:
            EmbeddedServerError: it cannot be started; says why.
        """
        starting = self._lock("lock", fcntl.LOCK_EX)
        try:
            users = self._lock("users", fcntl.LOCK_SH)
            try:
                url = self._attach_or_start()
            except BaseException:
                os.close(users)
                raise
            self._users = users
            return url
        finally:
            os.close(starting)

    def close(self) -> None:
        """Leave; the last one stops the server."""
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            starting = self._lock("lock", fcntl.LOCK_EX)
            try:
                self._stop_if_last(users)
            finally:
                os.close(starting)
        finally:
            os.close(users)

    def __enter__(self) -> str:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attach_or_start(self) -> str:
        began = time.monotonic()
        pid = self._server.find()
        attached = pid is not None
        if pid is None:
            pid = self._server.start()
        url = self._server.wait_until_ready(pid)
        log.info(
            "attached to the embedded server" if attached else "embedded server started",
            server=self._server.name,
            pid=pid,
            folder=str(self._data_dir),
            seconds=round(time.monotonic() - began, 2),
        )
        return url

    def _stop_if_last(self, users: int) -> None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("embedded server left running for others", server=self._server.name)
            return
        pid = self._server.find()
        if pid is not None:
            self._server.stop(pid)
            log.info("embedded server stopped", server=self._server.name, pid=pid)

    def _lock(self, suffix: str, kind: int) -> int:
        path = self._data_dir / f"{self._server.name}.{suffix}"
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedServerError(
                f"DATA_DIR {self._data_dir} cannot be used ({error.strerror}). Run ami-rotator as the user it belongs to,"
                " or set DATA_DIR to a folder that you can write to."
            ) from error
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise EmbeddedServerError(
                        f"Another process has been starting or stopping {self._server.name} for {_LOCK_WAIT_S:.0f} s and"
                        f" still holds {path}. End that process (`fuser {path}` names it), then try again."
                    ) from None
                time.sleep(0.05)
