"""Users and their sessions, as PostgreSQL keeps them. Every method raises LedgerUnavailableError while it is away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ami_rotator.domain.access import Actor, Role
from ami_rotator.ledger import audit
from ami_rotator.ledger.database import Database


@dataclass(frozen=True, slots=True)
class User:
    """A user. `sessions` live now; times in ms, 0 is never."""

    name: str
    role: Role
    is_disabled: bool
    created_at_ms: int
    password_changed_at_ms: int
    sessions: int
    last_seen_at_ms: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is needed to sign a user in."""

    name: str
    role: Role
    password_hash: str
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A session that lives. `user_name` is empty for the admin token."""

    id: str
    user_name: str
    started_at_ms: int
    ends_at_ms: int
    last_seen_at_ms: int
    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class SeenSession:
    """Whose session it is, and what they may do now: the role is that of the user, not that of when they signed in."""

    id: str
    user_name: str
    role: Role


class UserBook:
    """Reads and writes users and sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def users(self) -> tuple[User, ...]:
        """Return all users."""
        return tuple(User(**row) for row in await self._database.rows("all_users"))

    async def count(self) -> int:
        """Return how many users there are."""
        return int(await self._database.value("count_users"))

    async def credentials(self, name: str) -> Credentials | None:
        """Return what signs a user in; None where there is none of that name."""
        rows = await self._database.rows("user_credentials", name)
        return Credentials(**rows[0]) if rows else None

    async def add(self, actor: Actor, name: str, role: Role, password_hash: str) -> bool:
        """Add a user; false where the name is taken."""
        async with self._database.acting_as(actor).transaction() as connection:
            return await connection.fetchval(self._database.query("add_user"), name, role, password_hash) is not None

    async def change(
        self,
        actor: Actor,
        name: str,
        *,
        role: Role | None = None,
        is_disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> bool:
        """Change a user; false where there is none of that name. A new password and a disabling end all their sessions."""
        query = self._database.query
        async with self._database.acting_as(actor).transaction() as connection:
            found = await connection.fetchval(query("set_user"), name, role, is_disabled, password_hash)
            if found is not None and (is_disabled or password_hash is not None):
                await connection.fetch(query("end_sessions"), None, name)
            return found is not None

    async def rehash(self, name: str, password_hash: str) -> None:
        """Keep the same password under newer parameters."""
        await self._database.run("rehash_password", name, password_hash)

    async def remove(self, actor: Actor, name: str) -> bool:
        """Delete a user and their sessions; false where there is none of that name."""
        async with self._database.acting_as(actor).transaction() as connection:
            return await connection.fetchval(self._database.query("remove_user"), name) is not None

    async def start_session(self, actor: Actor, session: str, user_name: str, ends_at_ms: int, browser: str) -> None:
        """Keep a new session and note the sign-in; `user_name` is empty for the admin token."""
        database = self._database.acting_as(actor)
        async with database.transaction() as connection:
            await connection.execute(
                database.query("start_session"),
                session,
                user_name or None,
                ends_at_ms,
                actor.address[:60],
                browser[:200],
            )
            await audit.note(connection, database, "signed_in", "session", session)

    async def note_refused(self, actor: Actor, name: str) -> None:
        """Note a sign-in that failed."""
        database = self._database.acting_as(actor)
        async with database.transaction() as connection:
            await audit.note(connection, database, "sign_in_refused", "session", name)

    async def see_session(self, session: str) -> SeenSession | None:
        """Return a session that lives and whose user may sign in."""
        rows = await self._database.rows("see_session", session)
        if not rows:
            return None
        return SeenSession(rows[0]["id"], rows[0]["user_name"] or "", cast(Role, rows[0]["role"]))

    async def sessions(self, user_name: str | None = None) -> tuple[Session, ...]:
        """Return sessions that live, the newest first; of one user where named (empty: of the admin token)."""
        return tuple(Session(**row) for row in await self._database.rows("live_sessions", user_name))

    async def end_session(self, actor: Actor, session: str) -> bool:
        """End one session; false where it does not live."""
        return bool(await self._end(actor, session, None))

    async def end_sessions_of(self, actor: Actor, user_name: str) -> int:
        """End all sessions of a user (empty: of the admin token); return how many."""
        return len(await self._end(actor, None, user_name))

    async def _end(self, actor: Actor, session: str | None, user_name: str | None) -> list[str]:
        database = self._database.acting_as(actor)
        async with database.transaction() as connection:
            ended = [row["id"] for row in await connection.fetch(database.query("end_sessions"), session, user_name)]
            for one in ended:
                await audit.note(connection, database, "signed_out", "session", one)
        return ended
