"""What all pages share: who looks, the navigation, what a fault becomes, and the way back after a form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ami_rotator.admin.errors import AdminError, NotFoundError
from ami_rotator.domain.access import Actor, Role, may
from ami_rotator.domain.numbers import Presentation
from ami_rotator.domain.types import E164
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError, RotatorError
from ami_rotator.http.auth import actor_of, require
from ami_rotator.http.deps import DEPS, Deps
from ami_rotator.http.pages.deps import PageDeps
from ami_rotator.http.replies import ApiError, render_page
from ami_rotator.ledger.paging import CursorError

_NAVIGATION: tuple[tuple[str, str, Role], ...] = (
    ("/dashboard", "Now", "viewer"),
    ("/caller-ids", "Caller-IDs", "viewer"),
    ("/campaigns", "Campaigns", "viewer"),
    ("/plan", "Plan", "viewer"),
    ("/calls", "Calls", "viewer"),
    ("/dialers", "Dialers", "viewer"),
    ("/jobs", "Jobs", "viewer"),
    ("/opt-outs", "Opt-outs", "operator"),
    ("/audit", "Audit", "admin"),
    ("/users", "Users", "admin"),
)
_DONE = {
    "added": "The caller-ID was added.",
    "saved": "Saved.",
    "imported": "{n} rows of the file were imported.",
    "enable": "{n} caller-IDs were switched on.",
    "disable": "{n} caller-IDs were switched off.",
    "rest": "{n} caller-IDs rest.",
    "move": "{n} caller-IDs were moved.",
    "limits": "The limits of {n} caller-IDs were set.",
    "opted_out": "{n} numbers were put on the list; calls to them keep VICIdial's own number from now on.",
    "opted_in": "{n} numbers were taken off the list.",
    "wished": "The job was asked for; it runs within a few seconds.",
}
PAGES = web.AppKey("PAGES", PageDeps)


class FormError(RotatorError):
    """What was entered cannot be used."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page, and as whom their changes are noted."""

    name: str
    role: Role
    actor: Actor


VISITOR = web.RequestKey("VISITOR", Visitor)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What a handler works with."""

    deps: Deps
    pages: PageDeps
    visitor: Visitor

    @property
    def presentation(self) -> Presentation:
        """How numbers are shown."""
        return self.deps.settings.presentation

    def can(self, needed: Role) -> bool:
        """Tell whether the visitor's role is enough."""
        return may(self.visitor.role, needed)


def frame_of(request: web.Request) -> Frame:
    """Return what a handler works with; only inside `shown`."""
    return Frame(request.app[DEPS], request.app[PAGES], request[VISITOR])


def shown(needed: Role = "viewer") -> Callable[[_Handler], _Handler]:
    """Let only those in whose role is enough, and turn what goes wrong into a page that says what to do."""

    def decorate(handler: _Handler) -> _Handler:
        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                request[VISITOR] = visitor(request)
                require(request, needed)
                return await handler(request)
            except ApiError as error:
                if not wants_html(request):
                    raise
                if VISITOR not in request and error.status in (401, 403) and request.method == "GET":
                    raise web.HTTPSeeOther("/sign-in") from None
                return problem(request, error.status, "That is not allowed", str(error.detail))
            except CursorError:
                kept = {name: value for name, value in request.query.items() if name != "after"}
                raise web.HTTPSeeOther(f"{request.path}?{urlencode(kept)}") from None
            except NotFoundError as error:
                return problem(request, 404, "That is not here", str(error))
            except (FormError, AdminError) as error:
                return problem(request, 400, "That could not be done", str(error))
            except (LedgerUnavailableError, PoolUnavailableError) as error:
                return problem(request, 503, "This page needs a store that does not answer", str(error))

        guarded.access = needed  # type: ignore[attr-defined]
        return guarded

    return decorate


def visitor(request: web.Request) -> Visitor:
    """Return who looks.

    Raises:
        ApiError: 401, 403, 503.
    """
    who = require(request, "viewer")
    return Visitor(who.name, who.role, actor_of(request, "dashboard"))


def wants_html(request: web.Request) -> bool:
    """Tell whether a person asks: only browsers name HTML."""
    return "text/html" in request.headers.get("Accept", "") and "Authorization" not in request.headers


def page(request: web.Request, template: str, context: dict[str, Any], status: int = 200) -> web.Response:
    """Render a page, with what the frame around it needs."""
    frame = {"navigation": navigation(request), "done": done(request), "visitor": request.get(VISITOR)}
    return render_page(request, template, {**frame, **context}, status)


def navigation(request: web.Request) -> tuple[tuple[str, str, bool], ...]:
    """Return address, name and whether it is where we are, of every page the visitor may see; none without the stores."""
    if PAGES not in request.app or VISITOR not in request:
        return ()
    here, role = request.path, request[VISITOR].role
    return tuple(
        (path, name, here == path or here.startswith(path + "/"))
        for path, name, needed in _NAVIGATION
        if may(role, needed)
    )


def problem(request: web.Request, status: int, title: str, message: str) -> web.Response:
    """Return a page that says what went wrong."""
    return page(request, "problem.html", {"title": title, "message": message}, status)


def done(request: web.Request) -> str:
    """Return what the last form did, as the redirect after it says."""
    count = request.query.get("n", "")
    number = f"{int(count):,}" if count.isascii() and count.isdigit() and len(count) < 10 else "0"
    text = _DONE.get(request.query.get("done", ""), "").replace("{n}", number)
    return (
        text.replace("1 caller-IDs were", "1 caller-ID was")
        .replace("1 numbers were", "1 number was")
        .replace("1 caller-IDs rest", "1 caller-ID rests")
        if (number == "1")
        else text
    )


def back(path: str, **query: object) -> web.Response:
    """Send the browser to a page after a form, so that a reload does not send the form again."""
    kept = {name: str(value) for name, value in query.items() if value not in ("", None)}
    return web.Response(status=303, headers={"Location": f"{path}?{urlencode(kept)}" if kept else path})


def number_of(request: web.Request) -> E164:
    """Return the number in the address: its digits, without +.

    Raises:
        FormError: it is none.
    """
    digits = request.match_info["number"]
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        raise FormError("The address has no phone number in it. Find the caller-ID in the list.")
    return E164("+" + digits)
