"""Run a real Asterisk, configured as VICIdial configures it, for as long as a test needs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path
from types import TracebackType

from tests.asterisk import launch
from tests.asterisk.ami_session import AmiRefused, AmiSession
from tests.asterisk.configuration import SECRET, DialerOptions, Ports, write_configuration
from tests.asterisk.debian_root import LabUnavailable, ensure_asterisk_root

__all__ = ["SECRET", "AsteriskLab", "DialerOptions", "LabUnavailable", "ensure_asterisk_root", "free_port"]

# Below the kernel's ephemeral ports, so that no client socket takes one between the look and the use.
_PORTS = range(20000, 32000)
_PORTS_A_WORKER = 1500
_USER = "asterisk"
_BOOT_S = 30.0
_STOP_S = 15.0


class AsteriskLab:
    """Run one Asterisk in its own folder, with its own ports and database; several can run at once.

    `root` is the folder that ensure_asterisk_root() gave; the carrier and the call_log must listen already, or their
    ports must at least be known. AMI users, all with the password SECRET: `sendcron` originates, `rotator` has the
    least rights that the daemon needs, `labcron` sees calls and may do everything.
    """

    def __init__(
        self, root: Path, *, carrier_port: int, call_log_port: int, options: DialerOptions | None = None
    ) -> None:
        self._root = root
        self._options = options or DialerOptions()
        self.ports = Ports(free_port(), free_port(), carrier_port, call_log_port)
        self._identity = _user_and_group(root, _USER)
        self._run: Path | None = None
        self._process: Process | None = None

    @property
    def ami_port(self) -> int:
        """Return the AMI port on 127.0.0.1; it stays the same over restart()."""
        return self.ports.ami

    async def __aenter__(self) -> AsteriskLab:
        self._run = self._new_run()
        try:
            await self.start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def start(self) -> None:
        """Start Asterisk and return when it is fully booted and AMI lets `rotator` in."""
        command = ["/usr/sbin/asterisk", "-f", "-C", self._inside("etc/asterisk.conf")]
        with (self._folder() / "console").open("ab") as console:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", launch.__file__, str(os.getpid()), str(self._root), *self._identity, *command),
                stdin=DEVNULL,
                stdout=console,
                stderr=STDOUT,
                start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        try:
            async with asyncio.timeout(_BOOT_S):
                while not await self._answers():
                    if self._process.returncode is not None:
                        raise LabUnavailable(f"Asterisk ended at its start:\n{self.log_tail()}")
                    await asyncio.sleep(0.05)
                await self.cli("core waitfullybooted")
        except TimeoutError as error:
            raise LabUnavailable(f"Asterisk did not boot in {_BOOT_S:.0f} s:\n{self.log_tail()}") from error

    async def stop(self) -> None:
        """Stop Asterisk as its service does: all channels are hung up, and told to the carrier and to AMI."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill Asterisk as a crash does: nobody is told, and AstDB loses what was written in the last second or so."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def restart(self, *, crash: bool = False) -> None:
        """Stop (or, with crash, kill) Asterisk and start it again on the same ports with the same database."""
        await (self.kill() if crash else self.stop())
        await self.start()

    async def cli(self, command: str) -> str:
        """Run one command of Asterisk's console and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *("chroot", str(self._root), "asterisk", "-C", self._inside("etc/asterisk.conf"), "-rx", command),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        try:
            async with asyncio.timeout(_BOOT_S):
                output, _ = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        return output.decode(errors="replace")

    async def reload_manager(self) -> None:
        """Have manager.conf read again, and its certificate with it: both are only where that file is newer."""
        os.utime(self._folder() / "etc" / "manager.conf")
        await self.cli("manager reload")

    async def database(self, family: str = "rotator") -> dict[str, str]:
        """Return the keys and values of one AstDB family (`database show rotator`), without the family's name."""
        pairs = {}
        for line in (await self.cli(f"database show {family}")).splitlines():
            key, separator, value = line.partition(":")
            if separator and key.startswith(f"/{family}/"):
                pairs[key.strip().removeprefix(f"/{family}/")] = value.strip()
        return pairs

    async def channels(self) -> list[str]:
        """Return the names of the channels that are up."""
        output = await self.cli("core show channels concise")
        return [line.split("!", 1)[0] for line in output.splitlines() if "!" in line]

    async def wait_channels(self, count: int, timeout_s: float = 10.0) -> list[str]:
        """Return the channels when there are this many; raises TimeoutError, naming those that there are."""
        deadline_s = time.monotonic() + timeout_s
        while len(channels := await self.channels()) != count:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"after {timeout_s} s there are not {count} channels but {channels}")
            await asyncio.sleep(0.1)
        return channels

    def ami(self, username: str = "labcron") -> AmiSession:
        """Return a session to enter with ``async with``."""
        return AmiSession(self.ports.ami, username, SECRET)

    def log_tail(self, lines: int = 30) -> str:
        """Return the end of what Asterisk wrote to its console and to its log of notices, warnings and errors."""
        logs = (self._folder() / "console", self._folder() / "log" / "messages")
        texts = [log.read_text(errors="replace") for log in logs if log.exists()]
        return "\n".join(line for text in texts for line in text.splitlines()[-lines:])

    async def _answers(self) -> bool:
        try:
            async with self.ami("rotator"):
                return True
        except (OSError, TimeoutError, AmiRefused):
            return False

    async def _leave(self) -> None:
        try:
            await self.stop()
        finally:
            # A cancelled stop must not leave a process behind; a zombie is all that remains, and asyncio reaps it.
            process = self._process
            if process is not None and process.returncode is None:
                process.kill()
            shutil.rmtree(self._folder(), ignore_errors=True)

    def _new_run(self) -> Path:
        runs = self._root / "srv" / "lab"
        runs.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(runs)
        run = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=runs))
        run.chmod(0o755)
        write_configuration(self._root, run, self.ports, self._options)
        for name in ("db", "run", "log", "spool", "cache"):
            (run / name).mkdir()
        uid, gid = map(int, self._identity)
        for path in (run, *run.rglob("*")):
            os.chown(path, uid, gid)
        return run

    def _folder(self) -> Path:
        if self._run is None:
            raise RuntimeError("the lab is not entered")
        return self._run

    def _inside(self, path: str) -> str:
        return f"/srv/lab/{self._folder().name}/{path}"


def free_port() -> int:
    """Return a port that is free now on 127.0.0.1, for TCP and for UDP; each worker of pytest-xdist has some of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = int(worker) % (len(_PORTS) // _PORTS_A_WORKER) * _PORTS_A_WORKER
    for port in random.SystemRandom().sample(_PORTS[first : first + _PORTS_A_WORKER], 200):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabUnavailable("no free port on 127.0.0.1")


def _user_and_group(root: Path, user: str) -> tuple[str, str]:
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _, uid, gid, *_ = line.split(":")
        if name == user:
            return uid, gid
    raise LabUnavailable(f"the Asterisk root has no user {user}: remove {root} to have it built again")


def _remove_abandoned(runs: Path) -> None:
    """Remove the folders of runs whose test process is gone; its Asterisk was killed with it."""
    for run in runs.iterdir():
        owner = run.name.partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(run, ignore_errors=True)
