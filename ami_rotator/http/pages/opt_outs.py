"""The page Opt-outs: destinations for which no caller-ID is given."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from ami_rotator.admin.opt_outs import AT_ONCE_MAX, NewOptOuts, OptOutChange
from ami_rotator.domain.numbers import present
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import FormError, back, frame_of, page, shown
from ami_rotator.http.pages.words import moment
from ami_rotator.ledger.paging import Cursor

ROWS = 50


@shown("operator")
async def opt_outs(request: web.Request) -> web.Response:
    """Show a page of the list, in order of number."""
    frame = frame_of(request)
    number = request.query.get("number", "").strip()[:30].replace("\0", "")
    found = await desk_of(request).opt_outs.page(number, Cursor(request.query.get("after", "")), ROWS)
    kept = {"number": number} if number else {}
    zone = frame.deps.settings.zone
    context = {
        "items": [
            (item, present(item.destination, frame.presentation), moment(item.created_at_ms, zone))
            for item in found.items
        ],
        "number": number,
        "first": f"/opt-outs?{urlencode(kept)}",
        "following": f"/opt-outs?{urlencode({**kept, 'after': found.following})}" if found.following else "",
        "is_first": "after" not in request.query,
        "most": AT_ONCE_MAX,
    }
    return page(request, "opt_outs.html", context)


@shown("operator")
async def add_opt_outs(request: web.Request) -> web.Response:
    """Put numbers on the list, one a line."""
    form = await request.post()
    given = {"numbers": _lines(form), "campaign": _text(form, "campaign"), "note": _text(form, "note")}
    try:
        change = NewOptOuts.model_validate(given)
    except ValidationError as error:
        raise _problem(error) from None
    report = await desk_of(request).opt_outs.add(frame_of(request).visitor.actor, change)
    return back("/opt-outs", done="opted_out", n=report.done)


@shown("operator")
async def remove_opt_outs(request: web.Request) -> web.Response:
    """Take one off the list."""
    form = await request.post()
    try:
        change = OptOutChange.model_validate({"numbers": _lines(form), "campaign": _text(form, "campaign")})
    except ValidationError as error:
        raise _problem(error) from None
    report = await desk_of(request).opt_outs.remove(frame_of(request).visitor.actor, change)
    return back("/opt-outs", done="opted_in", n=report.done)


def _lines(form: Any) -> list[str]:
    return [line.strip() for line in str(form.get("numbers", "")).splitlines() if line.strip()]


def _text(form: Any, name: str) -> str:
    return str(form.get(name, "")).strip()


def _problem(error: ValidationError) -> FormError:
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "too_short":
        return FormError("No number was entered. Write one a line, for example 2125550100.")
    name = str(first["loc"][0]).capitalize()
    return FormError(f"{name}: {first['msg'].removeprefix('Value error, ')}.")
