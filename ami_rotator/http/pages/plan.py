"""The page Plan: how many numbers are needed where, what to buy, what is idle, and what if the limits were others."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from ami_rotator.admin.planning import LeadQuestion, Planned, PlanQuestion
from ami_rotator.domain.geography import north_america
from ami_rotator.domain.planner import Per, PlacePlan, Plan, place_of
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import FormError, page, shown
from ami_rotator.http.pages.import_file import take_file
from ami_rotator.http.pages.tile_map import HEIGHT, WIDTH, Level, tiles
from ami_rotator.ledger.csv_export import guarded
from ami_rotator.ledger.lead_list import LeadListError

ROWS = 100
LEADS_MAX = 8 << 20
_UPLOAD_S = 60.0
_DAYS = (1, 7, 14, 31, 92)
_PER = {
    "area": "the same area code",
    "region": "the region: areas that overlay each other",
    "state": "the state or province",
    "all": "any number",
}
BOUNDS = {"day": "daily limit", "hour": "hourly limit", "lines": "calls at once", "": ""}
_AnyQuestion = TypeVar("_AnyQuestion", bound=PlanQuestion)


@dataclass(frozen=True, slots=True)
class PlanLook:
    """A square of the map: what the plan says of the place that an area is in."""

    level: Level
    words: str


@shown()
async def plan(request: web.Request) -> web.Response:
    """Show the plan for the calls of the ledger."""
    question = _question(PlanQuestion, request.query)
    found = await desk_of(request).planning.of_ledger(question)
    return _page(request, question, found)


@shown()
async def plan_for_leads(request: web.Request) -> web.Response:
    """Show the plan for a list of leads; nothing of the list is kept."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        path = Path(file.name)
        try:
            async with asyncio.timeout(_UPLOAD_S):
                title, entered = await take_file(
                    request, path, LEADS_MAX, "Split it, or use: ami-rotator plan LEADS.csv"
                )
            question = _question(LeadQuestion, entered)
            found = await desk_of(request).planning.of_leads(question, path)
        except LeadListError as error:
            raise FormError(str(error).replace(str(path), "The file")) from None
        except TimeoutError:
            raise FormError("The file took too long. Try again, or use: ami-rotator plan LEADS.csv") from None
    return _page(request, question, found, title)


@shown()
async def export(request: web.Request) -> web.Response:
    """Send every place of the plan for the ledger's calls as CSV."""
    found = await desk_of(request).planning.of_ledger(_question(PlanQuestion, request.query))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(PlacePlan)])
    writer.writerows([guarded(value) if isinstance(value, str) else value for value in astuple(place)]
                     for place in found.plan.places)  # fmt: skip
    headers = {"Content-Disposition": 'attachment; filename="plan.csv"'}
    return web.Response(text=text.getvalue(), content_type="text/csv", headers=headers)


def looks(plan: Plan, per: Per) -> dict[str, PlanLook]:
    """Return what the map shows of each area."""
    places = {place.place: place for place in plan.places}
    found: dict[str, PlanLook] = {}
    for area in north_america():
        name = place_of(area, per)
        place = places.get(name)
        if place is not None:
            found[area] = PlanLook(_level(place), _words(area if name == area else f"{area} in {name}", place))
    return found


def _level(place: PlacePlan) -> Level:
    if place.buy:
        return "short" if place.served_share < 1 else "tight"
    if place.needed:
        return "fine"
    return "spare" if place.have else "none"


def _words(name: str, place: PlacePlan) -> str:
    more = f"{place.buy:,} to buy" if place.buy else f"{place.idle:,} idle" if place.idle else "enough"
    return f"{name}: {place.calls_a_day:,} calls a day, {place.have:,} of {place.needed:,} caller-IDs, {more}"


def _question(kind: type[_AnyQuestion], entered: Mapping[str, str]) -> _AnyQuestion:
    """Read a form, sent or in an address.

    Raises:
        FormError: something in it cannot be.
    """
    given = {name: text for name in kind.model_fields if (text := entered.get(name, "").strip().replace(",", ""))}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0]).replace("_", " ")
        raise FormError(f"{name.capitalize()}: {first['msg'].removeprefix('Value error, ')}.") from None


def _page(request: web.Request, question: PlanQuestion, found: Planned, title: str = "") -> web.Response:
    plan = found.plan
    to_buy = [place for place in plan.places if place.buy]
    idle = sorted((place for place in plan.places if place.idle), key=lambda place: (-place.idle, place.place))
    asked = {name: value for name, value in question.model_dump(exclude_defaults=True).items() if value != ""}
    context: dict[str, Any] = {
        "question": question,
        "leads": question if isinstance(question, LeadQuestion) else LeadQuestion(),
        "title": title,
        "kept": {name: value for name, value in asked.items() if name in PlanQuestion.model_fields},
        "plan": plan,
        "caps": found.caps,
        "calls": found.calls,
        "notes": found.notes,
        "calls_a_day": sum(place.calls_a_day for place in plan.places) + plan.calls_nowhere,
        "tables": (
            ("buy", "What to buy", to_buy[:ROWS], max(0, len(to_buy) - ROWS)),
            ("idle", "More than needed where they are", idle[:ROWS], max(0, len(idle) - ROWS)),
        ),
        "tiles": tiles(looks(plan, question.per)),
        "width": WIDTH,
        "height": HEIGHT,
        "export": f"/plan/export.csv?{urlencode(asked)}",
        "bounds": BOUNDS,
        "pers": _PER,
        "days": sorted({*_DAYS, question.days}),
    }
    return page(request, "plan.html", context)
