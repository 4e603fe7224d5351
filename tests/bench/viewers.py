"""People who watch the dashboard: so many live streams kept open, read as fast as they come, nothing parsed but their ends.

Run with a port and a token; each line in is how many shall watch from now on, each line out what was read since the last.
"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop

from tests.bench.figures import as_json

_CONNECT_S = 10.0


class Viewer(asyncio.Protocol):
    """One stream. `pages` counts whole snapshots; `is_over`: the server ended it."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._tail = b""
        self._transport: asyncio.BaseTransport | None = None
        self.first = asyncio.get_running_loop().create_future()
        self.pages = 0
        self.octets = 0
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        head = f"GET /dashboard/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        transport.write(head.encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.octets += len(data)
        # A snapshot ends with an empty line, which may be cut in two.
        self.pages += (self._tail + data).count(b"\r\n\r\n") - self._tail.count(b"\r\n\r\n")
        self._tail = data[-3:]
        if not self.first.done():
            self.first.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_over = True

    def close(self) -> None:
        """Stop watching."""
        if self._transport is not None:
            self._transport.close()


async def main(port: int, token: str) -> None:
    """Take orders until the input ends."""
    loop = asyncio.get_running_loop()
    watching: list[Viewer] = []
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = int(orjson.loads(line))
        told = {
            "watching": sum(not viewer.is_over for viewer in watching),
            "pages": sum(viewer.pages for viewer in watching),
            "octets": sum(viewer.octets for viewer in watching),
        }
        for viewer in watching:
            viewer.pages = viewer.octets = 0
        for viewer in watching[wanted:]:
            viewer.close()
        del watching[wanted:]
        for _ in range(wanted - len(watching)):
            _, viewer = await loop.create_connection(lambda: Viewer(token), "127.0.0.1", port)
            await asyncio.wait_for(viewer.first, _CONNECT_S)
            watching.append(viewer)
        print(as_json(told), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), sys.argv[2]))
