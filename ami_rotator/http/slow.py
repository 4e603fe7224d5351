"""Clients that send slowly, by accident or to wear the daemon out: they get their time, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

IDLE_S = 75.0
"""How long a connection may take for the head of a request, and be idle between two: longer than proxies keep one open
(nginx: 60 s), so that the proxy is the one to close it."""

LINGER_S = 1.0
"""How long what an answered client still sends is read and thrown away, so that it sees the answer."""

BODY_S = 10.0
# A file with the inventory, which the import page gives two minutes.
_FILE_S = 130.0
_SMALL = ("application/json", "application/x-www-form-urlencoded")


async def in_time(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Handle a request whose body is still on its way.

    Raises:
        HTTPRequestTimeout: it did not come in time.
    """
    limit = asyncio.timeout(BODY_S if request.content_type in _SMALL else _FILE_S)
    is_handling = True

    def arrived() -> None:
        if is_handling:
            limit.reschedule(None)

    try:
        async with limit:
            request.content.on_eof(arrived)
            return await handler(request)
    except TimeoutError:
        if not limit.expired():
            raise
        raise web.HTTPRequestTimeout from None
    finally:
        is_handling = False
