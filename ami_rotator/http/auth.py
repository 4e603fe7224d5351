"""Who may administrate: a Bearer token, `X-Admin-Token`, or the session cookie of a browser that signed in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal

from aiohttp import web

from ami_rotator.clock import Clock
from ami_rotator.http.asking import same_secret
from ami_rotator.http.deps import DEPS
from ami_rotator.http.replies import ApiError

COOKIE = "rotator_session"
SESSION_S = 24 * 3600
_ENDED_MAX = 10_000


class Sessions:
    """Sessions of browsers, signed and not stored: `expiry.id.signature`. Those that were signed out are remembered."""

    def __init__(self, key: str, clock: Clock) -> None:
        # Not the key itself: what is signed here must never pass for anything else that is signed with it.
        self._key = hmac.digest(key.encode(), b"ami_rotator dashboard session", hashlib.sha256)
        self._clock = clock
        self._ended: dict[str, int] = {}

    def start(self) -> str:
        """Return the cookie's value for a new session."""
        body = f"{self._now_s() + SESSION_S}.{secrets.token_urlsafe(16)}"
        return f"{body}.{self._sign(body)}"

    def is_valid(self, value: str) -> bool:
        """Tell whether a cookie's value is of a session that lives."""
        body, _, signature = value.rpartition(".")
        if not same_secret(signature, self._sign(body)):
            return False
        return int(body.partition(".")[0]) > self._now_s() and body not in self._ended

    def end(self, value: str) -> None:
        """End a session; other cookies are ignored."""
        if not self.is_valid(value):
            return
        body = value.rpartition(".")[0]
        now_s = self._now_s()
        self._ended = {ended: until for ended, until in self._ended.items() if until > now_s}
        if len(self._ended) < _ENDED_MAX:
            self._ended[body] = int(body.partition(".")[0])

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode(errors="replace"), hashlib.sha256).hexdigest()

    def _now_s(self) -> int:
        return self._clock.wall_ms() // 1000


SESSIONS = web.AppKey("SESSIONS", Sessions)


def check_admin(request: web.Request) -> Literal["token", "session"]:
    """Return how an administrator is known.

    Raises:
        ApiError: 403 without credentials or with those of another kind, 401 with a wrong token.
    """
    expected = request.app[DEPS].admin_token
    given = request.headers.get("X-Admin-Token")
    header = request.headers.get("Authorization")
    if given is None and header is not None:
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise ApiError(403, "Invalid authentication credentials")
        given = given.strip()
    if given is not None:
        if not same_secret(given, expected):
            raise ApiError(401, "Invalid admin token", {"WWW-Authenticate": "Bearer"})
        return "token"
    if request.app[SESSIONS].is_valid(request.cookies.get(COOKIE, "")):
        if request.method != "GET":
            check_same_origin(request)
        return "session"
    raise ApiError(403, "Not authenticated")


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
        raise ApiError(403, "This form was sent from another site")


def is_https(request: web.Request) -> bool:
    """Tell whether the browser uses https, here or up to a proxy. A made-up header only makes a cookie stricter."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
