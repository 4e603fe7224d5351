"""Stand in for VICIdial's call_log FastAGI (bin/FastAGI_log.pl): tell the dialplan the campaign, when you say."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType

from ami_rotator.cancellation import end_tasks

_CODE = re.compile(r"[VM]\d{18}")
_IDLE_S = 60.0

Delay = float | Callable[[], float]
Campaigns = str | Mapping[str, str] | Callable[[str], str | None]


@dataclass(slots=True)
class CallLogRequest:
    """Record one request; the times are seconds of time.monotonic(), the last two None where nothing was set."""

    script: str
    channel: str
    uniqueid: str
    extension: str
    caller_id: str
    code: str
    received_at_s: float
    campaign: str | None = None
    campaign_sent_at_s: float | None = None
    closed_at_s: float | None = None

    @property
    def is_end(self) -> bool:
        """Tell the request of an `h` extension from that of a call's start."""
        return "--HVcauses--" in self.script


def spread_ms(p50_ms: float, p99_ms: float, seed: int = 1) -> Callable[[], float]:
    """Return a delay with this median and this 99th percentile (log-normal), as call_log has on a busy machine."""
    drawn = random.Random(seed)
    sigma = math.log(p99_ms / p50_ms) / 2.326
    return lambda: drawn.lognormvariate(math.log(p50_ms), sigma)


def measured_ms(points: Sequence[tuple[float, float]], seed: int = 1) -> Callable[[], float]:
    """Return a delay that is as often within each of these as was measured: `(percent of the calls, ms at the most)`."""
    drawn = random.Random(seed)

    def delay() -> float:
        percent = drawn.uniform(0, 100)
        (low, low_ms), (high, high_ms) = next(pair for pair in pairwise(points) if percent <= pair[1][0])
        return low_ms + (high_ms - low_ms) * (percent - low) / (high - low)

    return delay


# VICIdial's own FastAGI_log.pl (svn r3884) with MariaDB 10.11 and an almost empty database, 1,800 calls at 30 a second on
# two processors that had nothing else to do, 2026-11-26: from the request to `_CAMPCUST`, and from there to its end; less
# the 0.2 ms each that the stand-in takes by itself. The whole of it took 2.7 ms for one call in a hundred (2.4 at the
# least), 4.0 for half of them, 5.2 for nine in ten and 7 to 10 for 99 in a hundred.
CAMPAIGN_MEASURED_MS = (
    (0, 1.6),
    (1, 1.8),
    (5, 2.1),
    (10, 2.3),
    (25, 2.6),
    (50, 2.9),
    (75, 3.2),
    (90, 3.7),
    (99, 6.2),
    (100, 20),
)
END_MEASURED_MS = (
    (0, 0.3),
    (1, 0.4),
    (5, 0.45),
    (10, 0.5),
    (25, 0.6),
    (50, 0.7),
    (75, 0.9),
    (90, 1.2),
    (99, 2.2),
    (100, 6),
)


def between_ms(low_ms: float, high_ms: float, seed: int = 1) -> Callable[[], float]:
    """Return a delay that is anywhere between the two."""
    drawn = random.Random(seed)
    return lambda: drawn.uniform(low_ms, high_ms)


class CallLogAgi:
    """Listen on a TCP port of 127.0.0.1, between ``async with``.

    `campaigns` gives the campaign of a call code: one for all, a mapping, or a function (None: not known, as when
    VICIdial has no vicidial_auto_calls row, and nothing is set). before_ms is from the request to `_CAMPCUST`, after_ms
    from Asterisk's answer to the end of the script. manual_timeout_s is the `_CAMPDTO` that an M call gets.
    """

    def __init__(
        self,
        *,
        campaigns: Campaigns = "TESTCAMP",
        before_ms: Delay = 0.0,
        after_ms: Delay = 0.0,
        manual_timeout_s: int = 30,
    ) -> None:
        self.campaigns = campaigns
        self.before_ms = before_ms
        self.after_ms = after_ms
        self.manual_timeout_s = manual_timeout_s
        self.requests: list[CallLogRequest] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Return the port that the dialplan asks."""
        if self._server is None:
            raise RuntimeError("the call_log is not entered")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> CallLogAgi:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        await end_tasks(*self._tasks)

    def starts(self) -> list[CallLogRequest]:
        """Return the requests of calls that began, without those of `h`."""
        return [request for request in self.requests if not request.is_end]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            # Asterisk goes away in the middle of it when the call is hung up.
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_IDLE_S):
                    await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        environment = await _environment(reader)
        name = environment.get("agi_calleridname", "")
        request = CallLogRequest(
            script=environment.get("agi_network_script", ""),
            channel=environment.get("agi_channel", ""),
            uniqueid=environment.get("agi_uniqueid", ""),
            extension=environment.get("agi_extension", ""),
            caller_id=environment.get("agi_callerid", ""),
            code=name.partition(" ")[0],
            received_at_s=time.monotonic(),
        )
        self.requests.append(request)
        if not request.is_end and _CODE.match(request.code):
            await asyncio.sleep(_drawn_s(self.before_ms))
            request.campaign = self._campaign(request.code)
            if request.campaign is not None:
                request.campaign_sent_at_s = time.monotonic()
                await _set(reader, writer, "_CAMPCUST", request.campaign)
                if request.code.startswith("M"):
                    await _set(reader, writer, "_CAMPDTO", str(self.manual_timeout_s))
            await asyncio.sleep(_drawn_s(self.after_ms))
        request.closed_at_s = time.monotonic()

    def _campaign(self, code: str) -> str | None:
        if isinstance(self.campaigns, str):
            return self.campaigns
        return self.campaigns.get(code) if isinstance(self.campaigns, Mapping) else self.campaigns(code)


async def _environment(reader: asyncio.StreamReader) -> dict[str, str]:
    environment = {}
    while line := (await reader.readline()).decode(errors="replace").strip():
        name, _, value = line.partition(":")
        environment[name] = value.strip()
    return environment


async def _set(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, variable: str, value: str) -> None:
    # The very bytes that asterisk-perl's `$AGI->exec("EXEC Set(..)")` sends (FastAGI_log.pl:758).
    writer.write(f'EXEC EXEC Set({variable}={value}) ""\n'.encode())
    await writer.drain()
    while not (line := await reader.readline()).startswith(b"200"):
        if not line:
            raise asyncio.IncompleteReadError(b"", None)


def _drawn_s(delay: Delay) -> float:
    return (delay() if callable(delay) else delay) / 1000
