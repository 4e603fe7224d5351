"""Sessions: a signed token that says who signed in, and a row that says that it is still valid.

The token is a JWT (RFC 7519), HS256 and nothing else. Its `jti` is the session's id: a session that was ended, or whose user
was disabled, is refused although its token has not expired. While PostgreSQL is away, sessions that this daemon has seen
valid go on, and the admin token can still sign in: that is when people need to look.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace

import jwt

from ami_rotator.clock import Clock
from ami_rotator.domain.access import TOKEN_NAME, Actor, Role
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.ledger.users import SeenSession, Session, UserBook

ALGORITHM = "HS256"
ISSUER = "ami_rotator"
# How long a session is taken for valid without asking again: what another daemon ended lives on so long at the most.
_HOLDS_S = 5.0
_KNOWN_MAX = 10_000
_CLAIMS = ["exp", "iat", "iss", "jti", "sub"]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session and its token, which is shown to nobody else."""

    token: str
    session: str
    name: str
    role: Role
    ends_at_ms: int


@dataclass(frozen=True, slots=True)
class _Known:
    seen: SeenSession
    checked_s: float
    ends_at_ms: int
    # Started while PostgreSQL was away: it is not there, and is valid all the same.
    is_here_only: bool = False


class Sessions:
    """Starts, checks and ends sessions."""

    def __init__(self, book: UserBook, key: str, clock: Clock, lifetime_s: float) -> None:
        self._book = book
        self._key = key
        self._clock = clock
        self.lifetime_s = lifetime_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def start(self, actor: Actor, user_name: str, role: Role, browser: str) -> SignedIn:
        """Start a session; `user_name` is empty for the admin token.

        Raises:
            LedgerUnavailableError: PostgreSQL is away, and it is a user's session.
        """
        session = secrets.token_urlsafe(24)
        now_ms = self._clock.wall_ms()
        ends_at_ms = now_ms + int(self.lifetime_s * 1000)
        is_here_only = False
        try:
            await self._book.start_session(actor, session, user_name, ends_at_ms, browser)
        except LedgerUnavailableError:
            if user_name:
                raise
            is_here_only = True
        self._remember(
            session, _Known(SeenSession(session, user_name, role), self._clock.monotonic_s(), ends_at_ms, is_here_only)
        )
        claims = {
            "iss": ISSUER,
            "sub": user_name or TOKEN_NAME,
            "jti": session,
            "iat": now_ms // 1000,
            "exp": ends_at_ms // 1000,
        }
        token = jwt.encode(claims, self._key, algorithm=ALGORITHM)
        return SignedIn(token, session, user_name or TOKEN_NAME, role, ends_at_ms)

    async def check(self, token: str) -> SeenSession | None:
        """Return whose token this is and what they may do now; None where it is not valid.

        Raises:
            LedgerUnavailableError: the token is good, but PostgreSQL is away and this daemon has not seen the session yet.
        """
        session = self._read(token)
        if session is None or session in self._ended:
            return None
        known = self._known.get(session)
        now_s = self._clock.monotonic_s()
        if known is not None and (known.is_here_only or now_s - known.checked_s < _HOLDS_S):
            return known.seen if known.ends_at_ms > self._clock.wall_ms() else None
        try:
            seen = await self._book.see_session(session)
        except LedgerUnavailableError:
            if known is None:
                raise
            return known.seen
        if seen is None:
            self._known.pop(session, None)
            return None
        ends_at_ms = known.ends_at_ms if known else self._clock.wall_ms() + int(_HOLDS_S * 1000)
        self._remember(session, _Known(seen, now_s, ends_at_ms))
        return seen

    async def list(self, user_name: str | None = None) -> tuple[Session, ...]:
        """Return the sessions that live, of one user where named (empty: of the admin token)."""
        return await self._book.sessions(user_name)

    async def end(self, actor: Actor, session: str) -> bool:
        """End a session; false where there is none."""
        was_here = self._forget(session)
        try:
            return await self._book.end_session(actor, session) or was_here
        except LedgerUnavailableError:
            if not was_here:
                raise
            return True

    async def end_all(self, actor: Actor, user_name: str) -> int:
        """End all sessions of a user (empty: of the admin token); return how many."""
        ended = await self._book.end_sessions_of(actor, user_name)
        here = [session for session, known in self._known.items() if known.seen.user_name == user_name]
        for session in here:
            self._forget(session)
        return max(ended, len(here))

    def ask_again(self) -> None:
        """Forget how long sessions were good for: something about a user was changed."""
        for session, known in self._known.items():
            self._known[session] = replace(known, checked_s=float("-inf"))

    def _read(self, token: str) -> str | None:
        """Return the session's id of a token that is signed, not expired, and ours."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": _CLAIMS, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None
        session, ends_s = claims["jti"], claims["exp"]
        if not isinstance(session, str) or ends_s * 1000 <= self._clock.wall_ms():
            return None
        return session

    def _remember(self, session: str, known: _Known) -> None:
        self._known[session] = known
        self._known.move_to_end(session)
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    def _forget(self, session: str) -> bool:
        self._ended[session] = None
        if len(self._ended) > _KNOWN_MAX:
            self._ended.popitem(last=False)
        return self._known.pop(session, None) is not None
