"""Processes of the benchmark besides its own: helpers that speak in lines of JSON, and the daemon with a stopwatch."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.support.asterisk_lab import free_port
from tests.support.daemon_process import TOKEN

_STOP_S = 15.0
_OVERLOADED_S = 60.0
"""How long a daemon may take to tell its metrics that is asked for more calls than it can serve."""
_DAEMON = (sys.executable, "-m", "ami_rotator", "serve")


@dataclass(frozen=True, slots=True)
class Helper:
    """A module of the benchmark in a process of its own."""

    process: asyncio.subprocess.Process

    async def told(self, timeout_s: float = 120.0) -> Any:
        """Return its next line of JSON."""
        output = self.process.stdout
        line = await asyncio.wait_for(output.readline(), timeout_s) if output else b""
        if not line:
            raise RuntimeError(f"a process of the benchmark ended by itself: {self.process.returncode}")
        return orjson.loads(line)

    async def tell(self, what: object) -> None:
        """Send it a line of JSON."""
        if self.process.stdin is not None:
            self.process.stdin.write(orjson.dumps(what) + b"\n")
            await self.process.stdin.drain()

    async def ask(self, what: object, timeout_s: float = 120.0) -> Any:
        """Send it a line and return its answer."""
        await self.tell(what)
        return await self.told(timeout_s)


@asynccontextmanager
async def helper(module: str, *arguments: str) -> AsyncIterator[Helper]:
    """Run `python -m tests.bench.<module>`; it ends when its input ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{module}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield Helper(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class TimedDaemon:
    """A running daemon. `ready_s` is from the start of its process to the first answer, `ready_cpu_s` its processor time."""

    process: asyncio.subprocess.Process
    port: int
    ready_s: float
    ready_cpu_s: float
    log: Path

    def cpu_s(self) -> float:
        """Return the processor seconds that it has used."""
        return cpu_s(self.process.pid)

    def rss_mib(self) -> float:
        """Return its resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    async def metrics(self) -> str:
        """Return what it counts, in Prometheus' text format."""
        return await _get(self.port, "/metrics", _OVERLOADED_S)


@asynccontextmanager
async def timed_daemon(
    folder: Path, settings: Mapping[str, str], *, until: str = "/livez", within_s: float = 180.0
) -> AsyncIterator[TimedDaemon]:
    """Run `ami-rotator serve` as a user does; yields once `until` is answered with 200."""
    port = free_port()
    log = folder / f"daemon-{port}.log"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    began = time.monotonic()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *_DAEMON,
            cwd=folder,
            env={**kept, "ADMIN_TOKEN": TOKEN, **settings, "API_PORT": str(port)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while not await _answers(port, until):
            if process.returncode is not None or time.monotonic() - began > within_s:
                raise RuntimeError(f"the daemon does not start:\n{log.read_text()[-4000:]}")
            await asyncio.sleep(0.02)
        yield TimedDaemon(process, port, time.monotonic() - began, cpu_s(process.pid), log)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _answers(port: int, path: str) -> bool:
    try:
        await _get(port, path)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
    return True


async def _get(port: int, path: str, within_s: float = 5.0) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limit = aiohttp.ClientTimeout(total=within_s)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=limit, raise_for_status=True) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return await answer.text()
