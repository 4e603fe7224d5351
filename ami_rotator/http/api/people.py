"""Signing in, sessions and users in the API."""

from __future__ import annotations

from ami_rotator.domain.access import TOKEN_NAME, may
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.http.api.models import (
    Ended,
    Me,
    NewUserBody,
    OwnPasswordBody,
    Page,
    PasswordAnswer,
    PasswordBody,
    SessionQuery,
    SignInAnswer,
    SignInBody,
    UserChanges,
)
from ami_rotator.http.api.problems import problem_error
from ami_rotator.http.sign_in import start_session
from ami_rotator.ledger.users import Session, User


async def sign_in(call: Call) -> SignInAnswer:
    """Start a session."""
    body: SignInBody = call.body
    found = await start_session(call.request, body.name.strip(), body.password, "api")
    return SignInAnswer(
        token=found.token, session=found.session, name=found.name, role=found.role, ends_at_ms=found.ends_at_ms
    )


async def me(call: Call) -> Me:
    """Return who asks."""
    return Me(name=call.who.name, role=call.who.role, session=call.who.session)


async def sign_out(call: Call) -> None:
    """End the session that asks."""
    if not call.who.session:
        raise problem_error("refused", "The admin token in a header is no session; there is nothing to end.")
    await call.desk.sessions.end(call.actor, call.who.session)


async def sign_out_everywhere(call: Call) -> Ended:
    """End all sessions of whoever asks."""
    return Ended(sessions=await call.desk.sessions.end_all(call.actor, _user_name(call.who.name)))


async def change_own_password(call: Call) -> None:
    """Give whoever asks another password."""
    body: OwnPasswordBody = call.body
    if call.who.name == TOKEN_NAME:
        raise problem_error("refused", "The admin token has no password. Change ADMIN_TOKEN in the settings.")
    await call.desk.users.change_own_password(call.actor, body.old, body.new)


async def list_sessions(call: Call) -> Page[Session]:
    """Return sessions that live: one's own, or of everybody for admins."""
    query: SessionQuery = call.query
    if query.all and not may(call.who.role, "admin"):
        raise problem_error("role_too_small", "Everybody's sessions are for admins; leave out all=true for your own.")
    found = await call.desk.sessions.list(None if query.all else _user_name(call.who.name))
    return Page(items=list(found))


async def end_session(call: Call) -> None:
    """End one session: one's own, or anybody's for admins."""
    session = call.part("id")
    whose = None if may(call.who.role, "admin") else _user_name(call.who.name)
    if session not in [found.id for found in await call.desk.sessions.list(whose)]:
        raise problem_error("not_found", "There is no such session, or it is not yours.")
    await call.desk.sessions.end(call.actor, session)


async def list_users(call: Call) -> Page[User]:
    """Return all users."""
    return Page(items=list(await call.desk.users.list()))


async def get_user(call: Call) -> User:
    """Return one user."""
    return await call.desk.users.get(call.part("name"))


async def add_user(call: Call) -> PasswordAnswer:
    """Add a user."""
    body: NewUserBody = call.body
    password = await call.desk.users.add(call.actor, body.name, body.role, body.password)
    return PasswordAnswer(name=body.name, password=None if body.password else password)


async def change_user(call: Call) -> User:
    """Give a user another role, disable or enable them."""
    body: UserChanges = call.body
    name = call.part("name")
    await call.desk.users.change(call.actor, name, role=body.role, is_disabled=body.is_disabled)
    return await call.desk.users.get(name)


async def set_password(call: Call) -> PasswordAnswer:
    """Give a user another password."""
    body: PasswordBody = call.body
    name = call.part("name")
    password = await call.desk.users.set_password(call.actor, name, body.password)
    return PasswordAnswer(name=name, password=None if body.password else password)


async def sign_out_user(call: Call) -> Ended:
    """End all sessions of a user."""
    name = call.part("name")
    await call.desk.users.get(name)
    return Ended(sessions=await call.desk.sessions.end_all(call.actor, name))


async def remove_user(call: Call) -> None:
    """Delete a user."""
    await call.desk.users.remove(call.actor, call.part("name"))


def _user_name(name: str) -> str:
    return "" if name == TOKEN_NAME else name


ENDPOINTS = (
    Endpoint("POST", "/sign-in", sign_in, "public", "Start a session", body=SignInBody, answer=SignInAnswer,
             errors=("sign_in_refused", "too_many_tries"), is_secret=True),
    Endpoint("GET", "/me", me, "viewer", "Who I am", answer=Me),
    Endpoint("POST", "/me/password", change_own_password, "viewer", "Change my password", body=OwnPasswordBody, status=204,
             errors=("sign_in_refused", "refused")),
    Endpoint("POST", "/sign-out", sign_out, "viewer", "End this session", status=204, errors=("refused",)),
    Endpoint("POST", "/sign-out-everywhere", sign_out_everywhere, "viewer", "End all my sessions", answer=Ended),
    Endpoint("GET", "/sessions", list_sessions, "viewer", "List sessions", query=SessionQuery, answer=Page[Session]),
    Endpoint("DELETE", "/sessions/{id}", end_session, "viewer", "End a session", status=204, errors=("not_found",)),
    Endpoint("GET", "/users", list_users, "admin", "List users", answer=Page[User]),
    Endpoint("POST", "/users", add_user, "admin", "Add a user", body=NewUserBody, answer=PasswordAnswer, status=201,
             errors=("exists",), is_secret=True),
    Endpoint("GET", "/users/{name}", get_user, "admin", "Look at a user", answer=User, errors=("not_found",)),
    Endpoint("PATCH", "/users/{name}", change_user, "admin", "Change a user's role, disable or enable them",
             body=UserChanges, answer=User, errors=("not_found",)),
    Endpoint("DELETE", "/users/{name}", remove_user, "admin", "Delete a user", status=204, errors=("not_found",)),
    Endpoint("POST", "/users/{name}/password", set_password, "admin", "Give a user another password", body=PasswordBody,
             answer=PasswordAnswer, errors=("not_found",), is_secret=True),
    Endpoint("POST", "/users/{name}/sign-out", sign_out_user, "admin", "End all sessions of a user", answer=Ended,
             errors=("not_found",)),
)  # fmt: skip
