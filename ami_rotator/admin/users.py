"""Users: sign in, list, add, change, remove."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from ami_rotator.admin.errors import ConflictError, InvalidError, NotFoundError, Problem, SignInError
from ami_rotator.admin.passwords import Passwords, check_password, make_password
from ami_rotator.admin.sessions import Sessions, SignedIn
from ami_rotator.clock import Clock
from ami_rotator.domain.access import TOKEN_NAME, Actor, Role
from ami_rotator.ledger.users import User, UserBook

_NAME = re.compile(r"[a-z0-9][a-z0-9_.@-]{0,59}")
LINK_S = 15 * 60.0


class Users:
    """People who administrate. Every method raises LedgerUnavailableError while PostgreSQL is away."""

    def __init__(self, book: UserBook, sessions: Sessions, passwords: Passwords) -> None:
        self._book = book
        self._sessions = sessions
        self._passwords = passwords

    async def sign_in(self, actor: Actor, name: str, password: str, browser: str) -> SignedIn:
        """Start a session for a name and password. Failures are in the audit too.

        Raises:
            SignInError: one of them is wrong, or the user is disabled: it is not said which.
        """
        wanted = name.strip().lower()
        found = await self._book.credentials(wanted) if _NAME.fullmatch(wanted) else None
        is_right = await self._passwords.is_right(password[:1000], found.password_hash if found else None)
        if found is None or not is_right or found.is_disabled:
            await self._book.note_refused(actor, wanted[:60])
            raise SignInError("Name or password is wrong.")
        if self._passwords.is_old(found.password_hash):
            await self._book.rehash(found.name, await self._passwords.hash(password))
        who = Actor(found.name, actor.via, actor.address)
        return await self._sessions.start(who, found.name, found.role, browser)

    async def list(self) -> tuple[User, ...]:
        """Return all users."""
        return await self._book.users()

    async def get(self, name: str) -> User:
        """Return one user.

        Raises:
            NotFoundError: there is none of that name.
        """
        for user in await self._book.users():
            if user.name == name:
                return user
        raise NotFoundError(f"There is no user {name!r}.")

    async def add(self, actor: Actor, name: str, role: Role, password: str = "") -> str:
        """Add a user; return the password, which is made up where none is given and is kept nowhere.

        Raises:
            InvalidError: the name or the password cannot be used.
            ConflictError: the name is taken.
        """
        if not _NAME.fullmatch(name) or name == TOKEN_NAME:
            message = (
                "cannot name a user; use small letters, digits and _ . @ - with a letter or digit first, 60 at most"
            )
            raise InvalidError([Problem("name", message)])
        chosen = self._checked(name, password)
        if not await self._book.add(actor, name, role, await self._passwords.hash(chosen)):
            raise ConflictError(f"There is a user {name!r} already.")
        return chosen

    async def change(
        self, actor: Actor, name: str, *, role: Role | None = None, is_disabled: bool | None = None
    ) -> None:
        """Give a user another role, disable or enable them. It holds at once; disabling ends their sessions.

        Raises:
            NotFoundError: there is none of that name.
        """
        if not await self._book.change(actor, name, role=role, is_disabled=is_disabled):
            raise NotFoundError(f"There is no user {name!r}.")
        self._sessions.ask_again()

    async def set_password(self, actor: Actor, name: str, password: str = "") -> str:
        """Give a user another password and end their sessions; return it, made up where none is given.

        Raises:
            InvalidError: the password cannot be used.
            NotFoundError: there is none of that name.
        """
        chosen = self._checked(name, password)
        if not await self._book.change(actor, name, password_hash=await self._passwords.hash(chosen)):
            raise NotFoundError(f"There is no user {name!r}.")
        self._sessions.ask_again()
        return chosen

    async def change_own_password(self, actor: Actor, old: str, new: str) -> None:
        """Give the actor another password.

        Raises:
            SignInError: the old one is wrong.
            InvalidError: the new one cannot be used.
        """
        found = await self._book.credentials(actor.name)
        if not await self._passwords.is_right(old[:1000], found.password_hash if found else None):
            raise SignInError("The old password is wrong.")
        await self.set_password(actor, actor.name, new)

    async def remove(self, actor: Actor, name: str) -> None:
        """Delete a user; the audit keeps their name.

        Raises:
            NotFoundError: there is none of that name.
        """
        if not await self._book.remove(actor, name):
            raise NotFoundError(f"There is no user {name!r}.")
        self._sessions.ask_again()

    @staticmethod
    def _checked(name: str, password: str) -> str:
        if not password:
            return make_password()
        check_password(name, password)
        return password


class SignInLinks:
    """Links that sign in once, within a quarter of an hour: whoever can read the terminal is who started the daemon."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[bytes, float] = {}

    def make(self) -> str:
        """Return the code of a new link."""
        code = secrets.token_urlsafe(24)
        self._waiting[_digest(code)] = self._clock.monotonic_s() + LINK_S
        return code

    def take(self, code: str) -> bool:
        """Use up a code; false where it is none, was used, or is too old."""
        given = _digest(code)
        for digest, until_s in list(self._waiting.items()):
            if hmac.compare_digest(digest, given):
                del self._waiting[digest]
                return until_s > self._clock.monotonic_s()
        return False


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="replace")).digest()
