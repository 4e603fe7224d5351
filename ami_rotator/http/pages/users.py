"""The page Users: who may sign in, with which role, who is signed in now."""

from __future__ import annotations

from aiohttp import web

from ami_rotator.domain.access import ROLES, Role
from ami_rotator.http.auth import WHO
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import FormError, back, frame_of, page, shown
from ami_rotator.http.pages.words import ago, browser_name, moment

_SESSIONS_SHOWN = 200


@shown("admin")
async def users(request: web.Request) -> web.Response:
    """Show users and sessions."""
    return await _shown_users(request)


@shown("admin")
async def add_user(request: web.Request) -> web.Response:
    """Add a user. A password that was made up is shown this once."""
    frame = frame_of(request)
    form = await request.post()
    name = str(form.get("name", "")).strip().lower()
    given = str(form.get("password", ""))
    password = await desk_of(request).users.add(frame.visitor.actor, name, _role(form.get("role")), given)
    if given:
        return back("/users", done="saved")
    return await _shown_users(request, made=(name, password))


@shown("admin")
async def change_user(request: web.Request) -> web.Response:
    """Give a user another role or password, disable, enable or delete them; end their sessions."""
    frame = frame_of(request)
    desk, actor = desk_of(request), frame.visitor.actor
    name = request.match_info["name"]
    form = await request.post()
    action = form.get("action")
    if action in ("disable", "remove") and name == frame.visitor.name:
        raise FormError("You cannot lock yourself out. Ask another admin, or use the admin token.")
    if action == "role":
        await desk.users.change(actor, name, role=_role(form.get("role")))
    elif action in ("disable", "enable"):
        await desk.users.change(actor, name, is_disabled=action == "disable")
    elif action == "password":
        return await _shown_users(request, made=(name, await desk.users.set_password(actor, name)))
    elif action == "end":
        await desk.sessions.end_all(actor, name)
    elif action == "remove":
        if form.get("sure") != "yes":
            return page(request, "user_sure.html", {"name": name})
        await desk.users.remove(actor, name)
    else:
        raise FormError("Nothing to do was chosen. Go back and choose what to do.")
    return back("/users", done="saved")


@shown("admin")
async def end_session(request: web.Request) -> web.Response:
    """End one session."""
    session = str((await request.post()).get("session", ""))[:64]
    await desk_of(request).sessions.end(frame_of(request).visitor.actor, session)
    return back("/users", done="saved")


async def _shown_users(request: web.Request, made: tuple[str, str] | None = None) -> web.Response:
    frame = frame_of(request)
    desk = desk_of(request)
    zone, now_ms = frame.deps.settings.zone, frame.deps.clock.wall_ms()
    sessions = await desk.sessions.list()
    context = {
        "users": [
            (user, ago(user.last_seen_at_ms, now_ms), moment(user.created_at_ms, zone))
            for user in await desk.users.list()
        ],
        "sessions": [
            (
                session,
                moment(session.started_at_ms, zone),
                ago(session.last_seen_at_ms, now_ms),
                browser_name(session.browser),
            )
            for session in sessions[:_SESSIONS_SHOWN]
        ],
        "hidden": max(0, len(sessions) - _SESSIONS_SHOWN),
        "roles": ROLES,
        "made": made,
        "own_session": request[WHO].session,
        "own_name": frame.visitor.name,
    }
    return page(request, "users.html", context)


def _role(value: object) -> Role:
    role = next((role for role in ROLES if role == value), None)
    if role is None:
        raise FormError("Choose a role: viewer looks, operator switches caller-IDs, admin does everything.")
    return role
