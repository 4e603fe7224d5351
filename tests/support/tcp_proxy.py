"""A TCP proxy that breaks connections in the ways networks and servers break them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ami_rotator.cancellation import end_tasks

_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False, slots=True)
class _Pair:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    is_asked: bool = False


@dataclass(slots=True)
class TcpProxy:
    """Forwards to a unix socket or a port. Set the faults at any moment; they work on connections that are open, too.

    `delay_s`: each piece of an answer comes so much later. `lose_replies_to`: the next answer to a request with this in it
    is thrown away with its connection; `lost` counts those. `reworded`: what answers say, and what comes instead.
    """

    target: Path | tuple[str, int]
    delay_s: float = 0.0
    lose_replies_to: bytes = b""
    lost: int = 0
    reworded: tuple[bytes, bytes] = (b"", b"")
    port: int = 0
    connected: int = 0
    _pairs: set[_Pair] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _flows: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Take connections (again)."""
        self._flows.set()
        if self._server is not None and self._server.is_serving():
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse connections from now on, and reset those that are open."""
        if self._server is not None:
            self._server.close()
        self.reset()

    def freeze(self) -> None:
        """Take bytes that go nowhere, as with a stopped server or a half-open connection."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let bytes flow again, those that wait first."""
        self._flows.set()

    def reset(self) -> None:
        """Reset (RST) all connections."""
        for pair in list(self._pairs):
            self._reset(pair)

    async def close(self) -> None:
        """End everything."""
        await self.refuse()
        await end_tasks(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connected += 1
        pair = _Pair(writer)
        self._pairs.add(pair)
        try:
            if isinstance(self.target, Path):
                back, pair.server = await asyncio.open_unix_connection(str(self.target))
            else:
                back, pair.server = await asyncio.open_connection(*self.target)
            await asyncio.gather(self._requests(reader, pair), self._answers(back, pair))
        except OSError:
            pass
        finally:
            self._pairs.discard(pair)
            for end in (pair.client, pair.server):
                if end is not None:
                    end.close()

    async def _requests(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        assert pair.server is not None
        while data := await reader.read(65536):
            await self._flows.wait()
            if self.lose_replies_to and self.lose_replies_to in data:
                pair.is_asked = True
            pair.server.write(data)
            await pair.server.drain()
        pair.server.close()

    async def _answers(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            if pair.is_asked and self.lose_replies_to:
                self.lost += 1
                self.lose_replies_to = b""
                self._reset(pair)
                return
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            pair.client.write(data.replace(*self.reworded) if self.reworded[0] else data)
            await pair.client.drain()
        pair.client.close()

    @staticmethod
    def _reset(pair: _Pair) -> None:
        with contextlib.suppress(OSError, AttributeError):
            pair.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        pair.client.transport.abort()


def target_of(url: str) -> Path | tuple[str, int]:
    """Return where a Redis URL leads."""
    if url.startswith("unix://"):
        return Path(url.removeprefix("unix://").partition("?")[0])
    host, _, port = url.removeprefix("redis://").partition("/")[0].rpartition(":")
    return host, int(port)


@asynccontextmanager
async def tcp_proxy(target: Path | tuple[str, int]) -> AsyncIterator[TcpProxy]:
    """Run a proxy while the context is open."""
    proxy = TcpProxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
