"""The daemon as a user runs it: the command, in a process of its own, set up by environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.asterisk_lab import free_port

TOKEN = "token-of-the-tests-0123456789"
_COMMAND = [sys.executable, "-m", "ami_rotator"]


@dataclass(frozen=True, slots=True)
class DaemonProcess:
    """A running daemon."""

    process: asyncio.subprocess.Process
    base_url: str
    log: Path

    async def stop(self, timeout_s: float = 15.0) -> int:
        """Ask it to stop, as systemd does; return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), timeout_s)

    async def kill(self) -> None:
        """End it at once."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def get(self, path: str) -> tuple[int, str]:
        """Ask it over HTTP, as admin."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(self.base_url + path, timeout=aiohttp.ClientTimeout(total=5)) as answer,
        ):
            return answer.status, await answer.text()


async def run_command(folder: Path, settings: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run one command of `ami-rotator` to its end; return exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *arguments,
        cwd=folder,
        env=_environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, output.decode()


@asynccontextmanager
async def daemon(folder: Path, settings: Mapping[str, str], *, wait_for: str = "up") -> AsyncIterator[DaemonProcess]:
    """Run `ami-rotator serve` in a folder; yields once its dialers are up (`wait_for="http"`: once it answers)."""
    port = settings.get("API_PORT") or str(free_port())
    log = folder / f"daemon-{port}.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            "serve",
            cwd=folder,
            env=_environment({"ADMIN_TOKEN": TOKEN, **settings, "API_PORT": port}),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = DaemonProcess(process, f"http://127.0.0.1:{port}", log)
    try:
        await _ready(running, wait_for)
        yield running
    finally:
        try:
            await running.stop()
        except TimeoutError:
            await running.kill()
            raise


async def _ready(running: DaemonProcess, wait_for: str) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while asyncio.get_running_loop().time() < deadline:
        if running.process.returncode is not None:
            raise RuntimeError(f"the daemon ended by itself:\n{running.log.read_text()[-4000:]}")
        try:
            status, _ = await running.get("/health")
            if wait_for == "http" or status == 200:
                return
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the daemon is not ready:\n{running.log.read_text()[-4000:]}")


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, **settings}
