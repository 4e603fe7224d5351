"""Sign in and out of the dashboard: with the admin token, with name and password, or with the link the daemon prints."""

from __future__ import annotations

import structlog
from aiohttp import web

from ami_rotator.admin.desk import AdminDesk
from ami_rotator.admin.errors import SignInError
from ami_rotator.admin.sessions import SignedIn
from ami_rotator.domain.access import TOKEN_NAME, Actor, Via
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.asking import same_secret
from ami_rotator.http.auth import (
    WHO,
    access,
    actor_of,
    check_same_origin,
    drop_session_cookie,
    is_https,
    peer_address,
    set_session_cookie,
)
from ami_rotator.http.deps import DEPS
from ami_rotator.http.pages.frame import page
from ami_rotator.http.replies import ApiError

_log = structlog.get_logger(__name__)


def desk_of(request: web.Request) -> AdminDesk:
    """Return the administrators' desk.

    Raises:
        ApiError: 503 where this server was started without one.
    """
    desk = request.app[DEPS].desk
    if desk is None:
        raise ApiError(
            503, "This server has no store for sessions; use the admin token in a header", code="ledger_away"
        )
    return desk


@access("public")
async def sign_in_form(request: web.Request) -> web.Response:
    """Show the form."""
    if WHO in request:
        raise web.HTTPSeeOther("/dashboard")
    return page(request, "sign_in.html", {"message": ""})


@access("public")
async def sign_in(request: web.Request) -> web.Response:
    """Take the token, or name and password, and start a session.

    Raises:
        ApiError: 403 for a form of another site.
    """
    check_same_origin(request)
    form = await request.post()
    name, secret = str(form.get("name", "")).strip(), str(form.get("token", "")).strip()
    try:
        signed_in = await start_session(request, name, secret, "dashboard")
    except ApiError as error:
        response = page(request, "sign_in.html", {"message": str(error.detail)}, error.status)
        response.headers.update(error.headers)
        return response
    return _let_in(request, signed_in)


@access("public")
async def sign_in_by_link(request: web.Request) -> web.Response:
    """Use up the link that the daemon printed when it started."""
    await _check_tries(request, "")
    desk = desk_of(request)
    if not desk.links.take(request.match_info["code"]):
        message = "This link was used already or is older than 15 minutes. Sign in with the admin token."
        return page(request, "sign_in.html", {"message": message}, 401)
    actor = Actor(TOKEN_NAME, "dashboard", peer_address(request))
    return _let_in(request, await desk.sessions.start(actor, "", "admin", request.headers.get("User-Agent", "")))


@access("public")
async def sign_out(request: web.Request) -> web.Response:
    """End the session.

    Raises:
        ApiError: 403 for a form of another site.
    """
    check_same_origin(request)
    who = request.get(WHO)
    if who is not None and who.session:
        await desk_of(request).sessions.end(actor_of(request, "dashboard"), who.session)
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    drop_session_cookie(request, response)
    return response


async def start_session(request: web.Request, name: str, secret: str, via: Via) -> SignedIn:
    """Start a session, for a user where named, else for the admin token.

    Raises:
        ApiError: 429 too many tries, 401 wrong, 503 where PostgreSQL is away.
    """
    await _check_tries(request, name)
    desk, browser = desk_of(request), request.headers.get("User-Agent", "")
    actor = Actor(name or TOKEN_NAME, via, peer_address(request))
    if not name:
        if same_secret(secret, request.app[DEPS].admin_token):
            return await desk.sessions.start(actor, "", "admin", browser)
        message = "That is not the token. It is ADMIN_TOKEN in the settings, or was printed when the daemon started."
        raise ApiError(401, message, code="sign_in_refused")
    try:
        return await desk.users.sign_in(actor, name, secret, browser)
    except SignInError as error:
        raise ApiError(401, str(error), code=error.code) from None
    except LedgerUnavailableError:
        message = (
            "PostgreSQL does not answer, so users cannot sign in now. The admin token works: leave the name empty."
        )
        raise ApiError(503, message, {"Retry-After": "5"}, code="ledger_away") from None


async def _check_tries(request: web.Request, name: str) -> None:
    allow = request.app[DEPS].allow
    wait_s = await allow("sign-in", peer_address(request))
    if wait_s is None and name:
        wait_s = await allow("sign-in-name", name.lower()[:60])
    if wait_s is not None:
        message = f"Too many tries. Wait {round(wait_s) + 1} seconds, then try again."
        raise ApiError(429, message, {"Retry-After": str(max(1, round(wait_s)))}, code="too_many_tries")


def _let_in(request: web.Request, signed_in: SignedIn) -> web.Response:
    if not is_https(request) and not peer_address(request).startswith(("127.", "::1")):
        _log.warning("signed in over plain http: who is on the network can read the session; put https before it")
    response = web.Response(status=303, headers={"Location": "/dashboard"})
    set_session_cookie(request, response, signed_in, desk_of(request).sessions.lifetime_s)
    return response
