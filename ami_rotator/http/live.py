"""The live stream: one snapshot a second for all who watch, rendered and framed once, none while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from ami_rotator.cancellation import end_tasks, raise_if_cancelled
from ami_rotator.http.auth import access
from ami_rotator.http.replies import ApiError

INTERVAL_S = 1.0
WATCHERS_MAX = 200
# A watcher that cannot take a page in this time is dropped; its browser comes back by itself.
SEND_TIMEOUT_S = 5.0
# A stream ends now and then, so that a session that is over does not watch for ever.
STREAM_S = 900.0

_log = structlog.get_logger(__name__)


class Broadcaster:
    """Calls `snapshot` once every `interval_s` seconds while somebody watches and hands the same bytes to all of them.

    A watcher that is slower than that misses snapshots, and holds up nobody: it only ever waits for the newest.
    """

    def __init__(self, snapshot: Callable[[], Awaitable[str]], interval_s: float = INTERVAL_S) -> None:
        self._snapshot = snapshot
        self._interval_s = interval_s
        self._watchers: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def watching(self) -> int:
        """How many watch now."""
        return len(self._watchers)

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[asyncio.Queue[bytes | None]]:
        """Give a queue that holds the newest snapshot that was not taken yet; None: no more will come."""
        if self._is_closed or len(self._watchers) >= WATCHERS_MAX:
            raise ApiError(503, "Too many watch already; close a dashboard and reload", {"Retry-After": "30"})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._watchers.add(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="dashboard broadcaster")
        try:
            yield queue
        finally:
            self._watchers.discard(queue)
            if not self._watchers:
                await self._stop()

    async def close(self) -> None:
        """End all streams."""
        self._is_closed = True
        self._hand_out(None)
        await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        await end_tasks(task)

    async def _run(self) -> None:
        while True:
            try:
                self._hand_out(event(await self._snapshot()))
            except Exception:
                # The next second is another try; the page says that it is not live meanwhile.
                _log.exception("dashboard snapshot failed")
            raise_if_cancelled()
            await asyncio.sleep(self._interval_s)

    def _hand_out(self, page: bytes | None) -> None:
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(page)


def event(text: str) -> bytes:
    """Return a text as one server-sent event (WHATWG HTML, 9.2.5)."""
    return b"".join(b"data: %b\r\n" % line.encode() for line in text.splitlines() or [""]) + b"\r\n"


BROADCASTER = web.AppKey("BROADCASTER", Broadcaster)


@access("viewer")
async def live(request: web.Request) -> web.StreamResponse:
    """Stream the live part of the dashboard as server-sent events.

    Raises:
        ApiError: 401, 403; 503 where too many watch.
    """
    async with request.app[BROADCASTER].watch() as queue:
        async with sse_response(request, send_timeout=SEND_TIMEOUT_S) as response:
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                async with asyncio.timeout(STREAM_S):
                    while response.is_connected() and await _send(request, response, await queue.get()):
                        pass
        return response


async def _send(request: web.Request, response: EventSourceResponse, page: bytes | None) -> bool:
    """Write a snapshot; tell whether the stream goes on."""
    if page is None:
        return False
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await response.write(page)
    except TimeoutError:
        # Its buffers are full: to close it in an orderly way would wait for it too.
        if request.transport is not None:
            request.transport.abort()
        return False
    return True
