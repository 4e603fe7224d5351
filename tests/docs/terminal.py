"""A reader at a terminal: the commands of a page, run in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.asterisk_lab import free_port

ROOT = Path(__file__).parents[2]
_COMMAND_S = 900.0
_STOP_S = 30.0
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "USER")


def blocks(page: Path, language: str = "bash") -> list[str]:
    """Return the commands of a page: its blocks marked `bash`. Those marked `sh` need a dialer, root or Docker."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """Return the commands of a block, without comments; what a backslash splits is one."""
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    return [text for line in lines if (text := re.sub(r"\s+# .*", "", line).strip())]


def copy_project(folder: Path, program: Path | None = None) -> None:
    """Copy what a checkout has, with an environment that is installed already.

    `program` takes the place of `ami-rotator` in it.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and not name.startswith("tests/"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    # A folder of its own with links inside: whatever a command does to it does not reach the real one.
    environment = folder / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "lib").symlink_to(ROOT / ".venv/lib")
    for file in (ROOT / ".venv/bin").iterdir():
        (environment / "bin" / file.name).symlink_to(program if program and file.name == "ami-rotator" else file)
    for stamp in (".runs", ".installed"):
        (environment / stamp).touch()


@dataclass(slots=True)
class Terminal:
    """Runs commands in `folder`. What a page says of addresses and ports is replaced by what is free here."""

    folder: Path
    api_port: int = field(default_factory=free_port)
    ami_port: int = field(default_factory=free_port)
    replaced: dict[str, str] = field(default_factory=dict)
    path: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    start_s: float = 90.0
    _servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, block: str) -> str:
        """Run a block and return what it wrote; programs that run until they are stopped go to the background."""
        written = ""
        for part in re.split(r"^(make run|\S*ami-rotator simulate .*)$\n?", block, flags=re.MULTILINE):
            command = self._here(part)
            if re.match(r"make run|\S*ami-rotator simulate ", command):
                written += self._start(command.strip())
            elif command.strip():
                written += self._finish(command)
        return written

    def get(self, path: str) -> tuple[int, str]:
        """Ask the daemon."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log(self, name: str) -> str:
        """Return what a program in the background has written."""
        return (self.folder / f"{name}.output").read_text(errors="replace")

    def stop(self, name: str) -> str:
        """Press Ctrl-C and wait until the program has said its last; return what it wrote."""
        process = self._servers.pop(name, None)
        if process is None:
            return ""
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
        # `make` ends at once, and what it runs a little later.
        deadline_s = time.monotonic() + _STOP_S
        while _is_alive(process.pid):
            if time.monotonic() > deadline_s:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"it does not stop:\n{self.log(name)[-4000:]}")
            time.sleep(0.05)
        return self.log(name)

    def close(self) -> None:
        """Stop everything that runs."""
        for name in list(self._servers):
            self.stop(name)

    def _here(self, text: str) -> str:
        for old, new in {"127.0.0.1:8000": f"127.0.0.1:{self.api_port}", "5038": str(self.ami_port)}.items():
            text = text.replace(old, new)
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(("PIP_", "SSL_"))}
        path = f"{self.path or self.folder / '.venv/bin'}:{kept.pop('PATH', '')}"
        own = {"API_PORT": str(self.api_port), "AMI_PORT": str(self.ami_port), "SIMULATOR_CALLS_PER_S": "10"}
        return {"PATH": path, "COLUMNS": "200"} | kept | own | self.variables

    def _finish(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, command: str) -> str:
        name = "simulate" if "simulate" in command else "daemon"
        self.stop(name)
        with (self.folder / f"{name}.output").open("wb") as output:
            self._servers[name] = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if name == "daemon":
            self._wait(name)
        return ""

    def _wait(self, name: str) -> None:
        deadline_s = time.monotonic() + self.start_s
        while time.monotonic() < deadline_s:
            if self._servers[name].poll() is not None:
                raise AssertionError(f"it ended by itself:\n{self.log(name)[-4000:]}")
            try:
                if self.get("/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"it is not ready:\n{self.log(name)[-4000:]}")


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def terminal(folder: Path, program: Path | None = None) -> Iterator[Terminal]:
    """Give a terminal in a copy of the project in `folder`, which should have a short name (sockets)."""
    copy_project(folder, program)
    with closing(Terminal(folder)) as opened:
        yield opened
