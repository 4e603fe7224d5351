"""Passwords: Argon2id, in threads, few at a time. One hash takes 64 MiB and about 0.1 s; the event loop must not wait."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ami_rotator.admin.errors import InvalidError, Problem

_AT_ONCE = 2
_LENGTH_MIN = 12
_LENGTH_MAX = 200


class Passwords:
    """Hashes and verifies passwords."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # Verified where there is no such user, so that the time an answer takes does not tell which names there are.
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash of a password, with its parameters."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, password: str, kept: str | None) -> bool:
        """Tell whether a password is the one that was hashed; None: there is none, and it takes as long to say so."""
        if kept is None:
            if self._nobodys is None:
                self._nobodys = await self.hash(secrets.token_urlsafe(16))
            await self._verify(password, self._nobodys)
            return False
        return await self._verify(password, kept)

    def is_old(self, kept: str) -> bool:
        """Tell whether a hash was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(kept)

    async def _verify(self, password: str, kept: str) -> bool:
        try:
            async with self._turns:
                return await asyncio.to_thread(self._hasher.verify, kept, password)
        except (VerificationError, InvalidHashError):
            return False


def check_password(name: str, password: str) -> None:
    """Refuse a password that is easily guessed. Length is what counts; rules about signs only make people write it down.

    Raises:
        InvalidError: says why.
    """
    if len(password) < _LENGTH_MIN:
        message = f"shorter than {_LENGTH_MIN} characters; write a longer one, for example four words"
    elif len(password) > _LENGTH_MAX:
        message = f"longer than {_LENGTH_MAX} characters; write a shorter one"
    elif name.lower() in password.lower() and len(password) < len(name) + _LENGTH_MIN:
        message = "has the user's name in it and little else; write another one"
    elif len(set(password)) < 5:
        message = "has less than five different characters; write another one"
    else:
        return
    raise InvalidError([Problem("password", message)])


def make_password() -> str:
    """Return a new password that nobody guesses."""
    return secrets.token_urlsafe(15)
