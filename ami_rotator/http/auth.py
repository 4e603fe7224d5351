"""Who asks, and whether their role is enough: the admin token, or the token of a session, in a header or in a cookie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Literal, TypeVar

from aiohttp import web

from ami_rotator.admin.sessions import SignedIn
from ami_rotator.domain.access import TOKEN_NAME, Actor, Role, Via, may
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.asking import address_of, same_secret
from ami_rotator.http.deps import DEPS
from ami_rotator.http.replies import ApiError

COOKIE = "rotator_session"
"""The cookie of a browser that came over plain http."""

SECURE_COOKIE = "__Host-rotator_session"
"""The cookie of a browser that came over https. Browsers keep a `__Host-` cookie only if it is Secure, for this host alone
and for all of its paths (RFC 6265bis), so that no neighbouring host and no plain http can put another in its place."""

Access = Role | Literal["public", "caller"]
"""Who may use a route. `public`: anybody; `caller`: those who may ask for caller-IDs, by address and key."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_H = TypeVar("_H", bound=Callable[..., Awaitable[web.StreamResponse]])


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `session` is empty for the admin token in a header; `by_cookie`: the browser sent it by itself."""

    name: str
    role: Role
    session: str = ""
    by_cookie: bool = False


WHO = web.RequestKey("WHO", Identity)
_REFUSAL = web.RequestKey("REFUSAL", ApiError)


@web.middleware
async def find_out_who(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep who asks, or why that is not known, for `require`."""
    if request.path != "/next-cid":
        try:
            request[WHO] = await _identify(request)
        except ApiError as refusal:
            request[_REFUSAL] = refusal
    return await handler(request)


def require(request: web.Request, needed: Role = "admin") -> Identity:
    """Return who asks, if their role is enough.

    Raises:
        ApiError: 403 without credentials, with those of another kind, with too small a role, or for a form of another site;
            401 where they are wrong; 503 where PostgreSQL would have to be asked, and is away.
    """
    if WHO not in request:
        raise request.get(_REFUSAL) or ApiError(403, "Not authenticated", code="not_authenticated")
    who = request[WHO]
    if not may(who.role, needed):
        message = f"This takes the role {needed}; {who.name} has the role {who.role}. Ask an admin."
        raise ApiError(403, message, code="role_too_small")
    if who.by_cookie and request.method not in ("GET", "HEAD"):
        check_same_origin(request)
    return who


def check_admin(request: web.Request) -> Identity:
    """Return who asks, if they may administrate; raises as `require`."""
    return require(request, "admin")


def access(needed: Access) -> Callable[[_H], _H]:
    """Say who may use a handler's route. Every route says it; a test walks the routes and tries every role on each."""

    def decorate(handler: _H) -> _H:
        if needed == "public" or needed == "caller":
            handler.access = needed  # type: ignore[attr-defined]
            return handler
        role: Role = needed

        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            require(request, role)
            return await handler(request)

        guarded.access = needed  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate


def actor_of(request: web.Request, via: Via = "api") -> Actor:
    """Return who asks as the audit has it."""
    who = request.get(WHO)
    return Actor(who.name if who else "", via, peer_address(request))


def peer_address(request: web.Request) -> str:
    """Return the address of the connection, or behind a proxy on this machine, the one that the proxy saw.

    The last one in X-Forwarded-For is the one the proxy wrote itself; those before it can be made up.
    """
    address = address_of(request.transport.get_extra_info("peername") if request.transport else None)
    if address is not None and address.is_loopback:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        seen = address_of((forwarded, 0)) if forwarded else None
        address = seen or address
    return str(address or "")


def check_same_origin(request: web.Request) -> None:
    """Refuse a form that another site sent. Browsers always say where a POST comes from.

    Raises:
        ApiError: 403.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        is_ours = site == "same-origin"
    else:
        origin = request.headers.get("Origin", "")
        is_ours = origin.partition("://")[2] == request.host
    if not is_ours:
        raise ApiError(403, "This form was sent from another site", code="other_origin")


def is_https(request: web.Request) -> bool:
    """Tell whether the browser uses https, here or up to a proxy. A made-up header only makes a cookie stricter."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def set_session_cookie(
    request: web.Request, response: web.StreamResponse, signed_in: SignedIn, lifetime_s: float
) -> None:
    """Give the browser its session: not readable for scripts, never sent along from another site."""
    secure = is_https(request)
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        signed_in.token,
        max_age=int(lifetime_s),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=secure,
    )


def drop_session_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take the session's cookie back."""
    secure = is_https(request)
    name = SECURE_COOKIE if secure else COOKIE
    response.del_cookie(name, path="/", httponly=True, samesite="Strict", secure=secure)


async def _identify(request: web.Request) -> Identity:
    given = request.headers.get("X-Admin-Token")
    header = request.headers.get("Authorization")
    if given is None and header is not None:
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise ApiError(403, "Invalid authentication credentials", code="not_authenticated")
        given = given.strip()
    if given is not None:
        if same_secret(given, request.app[DEPS].admin_token):
            return Identity(TOKEN_NAME, "admin")
        found = await _of_session(request, given, by_cookie=False)
        if found is None:
            raise ApiError(401, "Invalid admin token", {"WWW-Authenticate": "Bearer"}, code="invalid_token")
        return found
    cookie = request.cookies.get(SECURE_COOKIE if is_https(request) else COOKIE, "")
    found = await _of_session(request, cookie, by_cookie=True) if cookie else None
    if found is None:
        raise ApiError(403, "Not authenticated", code="not_authenticated")
    return found


async def _of_session(request: web.Request, token: str, *, by_cookie: bool) -> Identity | None:
    try:
        desk = request.app[DEPS].desk
        seen = await desk.sessions.check(token) if desk is not None else None
    except LedgerUnavailableError as error:
        message = "PostgreSQL does not answer, so it is not known whether this session is still valid; try again later"
        raise ApiError(503, message, {"Retry-After": "5"}, code="ledger_away") from error
    if seen is None:
        return None
    return Identity(seen.user_name or TOKEN_NAME, seen.role, seen.id, by_cookie)
