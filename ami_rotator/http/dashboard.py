"""The dashboard's pages: what happens now, and the form to sign in."""

from __future__ import annotations

import asyncio

import aiohttp_jinja2
import structlog
from aiohttp import web

from ami_rotator.http.asking import address_of, same_secret
from ami_rotator.http.auth import COOKIE, SESSION_S, SESSIONS, check_admin, check_same_origin, is_https
from ami_rotator.http.deps import DEPS
from ami_rotator.http.figures import View, view
from ami_rotator.http.pages.frame import page
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


async def now(request: web.Request) -> web.Response:
    """Show what happens now. A browser that is not signed in is sent to the form.

    Raises:
        ApiError: 401, 403; 500 where the data could not be read.
    """
    try:
        check_admin(request)
    except ApiError as error:
        if error.status == 403 and wants_html(request) and "Authorization" not in request.headers:
            raise web.HTTPSeeOther("/sign-in") from None
        raise
    try:
        shown = await snapshot(request.app)
    except Exception as error:
        _log.exception("dashboard failed")
        raise ApiError(500, "Failed to load dashboard: the data could not be read; the log says why") from error
    return page(request, "now.html", {"view": shown})


async def sign_in_form(request: web.Request) -> web.Response:
    """Show the form."""
    if request.app[SESSIONS].is_valid(request.cookies.get(COOKIE, "")):
        raise web.HTTPSeeOther("/dashboard")
    return page(request, "sign_in.html", {"message": ""})


async def sign_in(request: web.Request) -> web.Response:
    """Take the token and start a session.

    Raises:
        ApiError: 403 for a form of another site.
    """
    check_same_origin(request)
    deps = request.app[DEPS]
    peer = request.transport.get_extra_info("peername") if request.transport else None
    wait_s = await deps.allow("sign-in", str(address_of(peer)))
    if wait_s is not None:
        message = f"Too many tries. Wait {round(wait_s) + 1} seconds, then try again."
        response = page(request, "sign_in.html", {"message": message}, 429)
        response.headers["Retry-After"] = str(max(1, round(wait_s)))
        return response
    token = str((await request.post()).get("token", "")).strip()
    if not same_secret(token, deps.admin_token):
        message = "That is not the token. It is ADMIN_TOKEN in the settings, or was printed when the daemon started."
        return page(request, "sign_in.html", {"message": message}, 401)
    response = web.Response(status=303, headers={"Location": "/dashboard"})
    response.set_cookie(
        COOKIE,
        request.app[SESSIONS].start(),
        max_age=SESSION_S,
        httponly=True,
        samesite="Strict",
        secure=is_https(request),
    )
    return response


async def sign_out(request: web.Request) -> web.Response:
    """End the session.

    Raises:
        ApiError: 403 for a form of another site.
    """
    check_same_origin(request)
    request.app[SESSIONS].end(request.cookies.get(COOKIE, ""))
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    response.del_cookie(COOKIE, httponly=True, samesite="Strict", secure=is_https(request))
    return response


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
