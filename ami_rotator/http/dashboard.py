"""The dashboard's first page: what happens now."""

from __future__ import annotations

import asyncio

import aiohttp_jinja2
import structlog
from aiohttp import web

from ami_rotator.http.auth import access
from ami_rotator.http.deps import DEPS
from ami_rotator.http.figures import View, view
from ami_rotator.http.pages.frame import page, shown
from ami_rotator.http.replies import ApiError

_DATA_BUDGET_S = 10.0

_log = structlog.get_logger(__name__)


async def snapshot(app: web.Application) -> View:
    """Return what the page shows now."""
    deps = app[DEPS]
    async with asyncio.timeout(_DATA_BUDGET_S):
        data = await deps.dashboard()
    return view(data, deps.clock.wall_ms(), deps.settings.zone, deps.settings.presentation)


async def live_part(app: web.Application) -> str:
    """Return the part of the page that changes, as HTML."""
    return aiohttp_jinja2.get_env(app).get_template("now_live.html").render(view=await snapshot(app))


@shown()
async def now(request: web.Request) -> web.Response:
    """Show what happens now. A browser that is not signed in is sent to the form.

    Raises:
        ApiError: 401, 403; 500 where the data could not be read.
    """
    try:
        view_now = await snapshot(request.app)
    except Exception as error:
        _log.exception("dashboard failed")
        raise ApiError(500, "Failed to load dashboard: the data could not be read; the log says why") from error
    return page(request, "now.html", {"view": view_now})


@access("public")
async def root(request: web.Request) -> web.Response:
    """Send a browser to the dashboard; for everything else there is nothing here.

    Raises:
        ApiError: 404.
    """
    if wants_html(request):
        raise web.HTTPSeeOther("/dashboard")
    raise ApiError(404, "Not Found")


def wants_html(request: web.Request) -> bool:
    """Tell whether a person asks: only browsers name HTML."""
    return "text/html" in request.headers.get("Accept", "")
