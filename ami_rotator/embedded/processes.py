"""Start server processes that outlive a Ctrl-C of ours, under the right user, and see them end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ami_rotator.errors import RotatorError

SOCKET_PATH_BYTES = 100
"""Longest path of a unix socket that we use; Linux takes 107, other clients less."""


class EmbeddedServerError(RotatorError):
    """An embedded server cannot be used."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom a server runs as. `sees_all` where it needs help to reach its own files through folders closed to it."""

    uid: int
    gid: int
    sees_all: bool = False


def user_without_root(folder: Path, others: Iterable[Path]) -> User | None:
    """Return whom to run as where root must not be (PostgreSQL refuses root); None: stay who we are.

    It is whom `folder`, if it exists, belongs to, else `nobody`, an account that every Linux has: none is made, and no
    folder's permissions are widened. A checkout in root's home is closed to `nobody`; the server then keeps one of root's
    abilities, to pass through folders.
    """
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    if folder.exists() and folder.stat().st_uid != 0:
        uid, gid = folder.stat().st_uid, folder.stat().st_gid
    return User(uid, gid, not all(_is_open_to(uid, path) for path in (folder.parent, *others)))


def _is_open_to(uid: int, folder: Path) -> bool:
    folder = folder.resolve()
    for part in (folder, *folder.parents):
        status = part.stat()
        if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
            return False
    return True


def _as_user(command: Sequence[str], user: User | None) -> list[str]:
    if user is None or not user.sees_all:
        return list(command)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedServerError(
            "PostgreSQL does not run as root, and another user cannot reach the installation or DATA_DIR: a folder above is"
            " closed to others, and `setpriv` (package util-linux) is not installed. Install it, run ami-rotator as another"
            " user, or move both to a folder such as /opt/ami_rotator."
        )
    ability = "+dac_override"
    identity = ["--reuid", str(user.uid), "--regid", str(user.gid), "--clear-groups"]
    return [setpriv, *identity, "--inh-caps", ability, "--ambient-caps", ability, "--", *command]


def _switch(user: User | None) -> tuple[int | None, int | None, list[int] | None]:
    """Return user, group and extra groups as `subprocess` takes them."""
    return (None, None, None) if user is None or user.sees_all else (user.uid, user.gid, [])


def run(command: Sequence[str], user: User | None, *, cwd: Path, text: str = "", timeout_s: float = 60) -> None:
    """Run a command to its end.

    Raises:
        EmbeddedServerError: it failed or took too long; with the last lines that it printed.
    """
    uid, gid, groups = _switch(user)
    try:
        done = subprocess.run(
            _as_user(command, user),
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=cwd,
            check=False,
            user=uid,
            group=gid,
            extra_groups=groups,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedServerError(f"{Path(command[0]).name} could not be run: {error}.") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1000:]
        raise EmbeddedServerError(f"{Path(command[0]).name} failed with exit code {done.returncode}: {said}")


def spawn(
    command: Sequence[str], user: User | None, *, cwd: Path, log: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, its output appended to `log`. Our own environment goes before `variables`.

    In a terminal Ctrl-C goes to the whole process group: in ours the servers would stop before the daemon had written
    its last words to them.
    """
    uid, gid, groups = _switch(user)
    with log.open("ab") as output:
        return subprocess.Popen(
            _as_user(command, user),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
            env={**(variables or {}), **os.environ},
            user=uid,
            group=gid,
            extra_groups=groups,
        )


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def works_in(pid: int, folder: Path) -> bool:
    """Tell whether a process runs with `folder` as its working folder, as our servers do: its id may be somebody else's."""
    try:
        return is_running(pid) and Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False


def processes_in(folder: Path) -> list[int]:
    """Return the ids of all processes whose working folder is `folder`."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if works_in(pid, folder)]


def end(pid: int, signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """End a process with each signal in turn, waiting that many seconds after it; tell whether it ended."""
    for number, wait_s in signals:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if not is_running(pid):
                return True
            time.sleep(0.01)
    return False


def tail(path: Path, size: int = 1500) -> str:
    """Return the last bytes of a log file as text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return "(no log)"
