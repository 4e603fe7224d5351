"""Baseline of the AMI path: a listener that sets one constant number. Run with a Redis URL or "", `user:secret`, and ports.

With Redis it makes one round trip (a) for each call first; without, it answers in the very turn in which the event is read:
how often even that is too late is what Asterisk leaves to any listener. It follows no call, keeps no record, takes nothing
back, and looks for the two events only by which the daemon asks too. Its time runs, as the daemon's, from when it knows that
an event is about a new call.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from ami_rotator.ami.listener import HOOK_VARIABLE
from tests.bench.baselines import load_one_line, many_connections, round_trip
from tests.bench.figures import as_json
from tests.bench.load import percentile

_NUMBER = "12125550100"
_CONNECTIONS = 256
_BLANK = b"\r\n\r\n"


class _Reflex(asyncio.Protocol):
    """One dialer. `took_s` are the seconds from event to Setvar."""

    def __init__(self, login: str, work: Callable[[int], Awaitable[None]] | None, took_s: list[float]) -> None:
        self._login = login
        self._work = work
        self._took_s = took_s
        self._rest = b""
        self._asked: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        user, _, secret = self._login.partition(":")
        self._write = transport.write  # type: ignore[attr-defined]
        self._write(f"Action: Login\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: on\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        whole, blank, rest = (self._rest + data).rpartition(_BLANK)
        self._rest = rest
        if not blank:
            return
        for block in whole.split(_BLANK):
            channel = _asked_by(block)
            if channel and channel not in self._asked:
                self._asked.add(channel)
                at_s = time.monotonic()
                if self._work is None:
                    self._set(channel, at_s)
                else:
                    task = asyncio.create_task(self._ask(self._work, channel, at_s))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _ask(self, work: Callable[[int], Awaitable[None]], channel: bytes, at_s: float) -> None:
        await work(0)
        self._set(channel, at_s)

    def _set(self, channel: bytes, at_s: float) -> None:
        text = f"Action: Setvar\r\nChannel: {channel.decode()}\r\nVariable: {HOOK_VARIABLE}\r\nValue: {_NUMBER}\r\n\r\n"
        self._write(text.encode())
        self._took_s.append(time.monotonic() - at_s)


def _asked_by(block: bytes) -> bytes:
    """Return the channel of an event that names both a call and what it dials; empty of any other event."""
    if block.startswith(b"Event: NewCallerid\r") and b"\r\nCallerIDName: V" in block:
        half = b";2"
    elif block.startswith(b"Event: Newexten\r") and block.endswith(b"/call_log") and b"\r\nCallerIDName: M" in block:
        half = b";1"
    else:
        return b""
    channel = block.partition(b"\r\nChannel: ")[2].partition(b"\r")[0]
    return channel if channel.startswith(b"Local/") and channel.endswith(half) else b""


async def main(redis_url: str, login: str, ports: list[int]) -> None:
    """Answer calls until the input ends; each line in tells how long those since the last one took."""
    redis = many_connections(redis_url, _CONNECTIONS) if redis_url else None
    if redis is not None:
        await load_one_line(redis)
    work = round_trip(redis) if redis is not None else None
    took_s: list[float] = []
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_connection(lambda: _Reflex(login, work, took_s), "127.0.0.1", port)
    print(as_json({"connected": len(ports)}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        told = {"p50_ms": percentile(took_s, 0.5) * 1000, "p99_ms": percentile(took_s, 0.99) * 1000, "set": len(took_s)}
        took_s.clear()
        print(as_json(told), flush=True)
    if redis is not None:
        await redis.aclose()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
