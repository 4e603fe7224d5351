"""The page Caller-IDs: find, sort and page, change many at once, add, import and export."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from ami_rotator.admin.caller_ids import CallerIdView, Target
from ami_rotator.admin.changes import CallerIdChanges, NewCallerIdBody, SwitchChanges
from ami_rotator.domain.caller_id import Switch
from ami_rotator.domain.numbers import Presentation, present
from ami_rotator.domain.types import E164, State
from ami_rotator.http.pages.frame import FormError, back, frame_of, page, shown
from ami_rotator.http.pages.words import ago, limit_text, share
from ami_rotator.ledger.caller_id_list import CallerIdFilter, Sort
from ami_rotator.ledger.paging import Cursor

Action = Literal["enable", "disable", "rest", "move", "limits"]
ROWS = 50
_LIVE = (State.IN_USE, State.WARM, State.WAITING, State.IDLE)
_SWITCHES = {"active": "switched on", "resting": "resting", "disabled": "switched off"}
_FILTERS = ("search", "state", "group", "area", "carrier")
_HOUR_MS = 3_600_000
_FACETS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A caller-ID in the list."""

    number: E164
    shown: str
    state: str
    area: str
    group: str
    carrier: str
    today: str
    today_percent: int
    hour: str
    last_used: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the list is asked for: `state` is a state of the pool, or a switch."""

    wanted: CallerIdFilter
    state: State | None
    sort: Sort
    query: Mapping[str, str]

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.wanted == CallerIdFilter() and self.state is None


def asked_for(given: Mapping[str, Any]) -> Asked:
    """Read filter and order from an address or a form; what cannot be is left out."""
    kept = {name: str(given.get(name, "")).strip()[:100].replace("\0", "") for name in (*_FILTERS, "sort")}
    state = State(kept["state"]) if kept["state"] in _LIVE else None
    switch = cast(Switch, kept["state"]) if kept["state"] in _SWITCHES else ""
    sort = cast(Sort, kept["sort"]) if kept["sort"] in get_args(Sort) else "number"
    wanted = CallerIdFilter(kept["search"], switch, kept["group"], kept["area"], kept["carrier"])
    return Asked(wanted, state, sort, {name: value for name, value in kept.items() if value})


@shown()
async def caller_ids(request: web.Request) -> web.Response:
    """Show a page of the inventory."""
    frame = frame_of(request)
    asked = asked_for(request.query)
    desk = frame.pages.caller_ids
    found, count, facets = await asyncio.gather(
        desk.page(
            asked.wanted, state=asked.state, sort=asked.sort, after=Cursor(request.query.get("after", "")), limit=ROWS
        ),
        desk.count(asked.wanted, asked.state),
        desk.facets(),
    )
    now_ms = frame.deps.clock.wall_ms()
    return page(
        request,
        "caller_ids.html",
        {
            "rows": [row_of(item, now_ms, frame.presentation) for item in found.items],
            "count": count,
            "asked": {**dict.fromkeys((*_FILTERS, "sort"), ""), **asked.query},
            "kept": asked.query,
            "is_all": asked.is_all,
            "can_take_all": asked.state is None,
            "sorts": _sorts(asked),
            "following": _address(asked, after=found.following) if found.following else "",
            "is_first": "after" not in request.query,
            "first": _address(asked),
            "facets": {name: list(values.items())[:_FACETS_SHOWN] for name, values in facets.items()},
            "is_empty": not any(facets["group"].values()),
            "switches": _SWITCHES,
            "can_change": frame.can("operator"),
            "can_add": frame.can("admin"),
        },
    )


@shown("operator")
async def change_caller_ids(request: web.Request) -> web.Response:
    """Change those that were chosen, or all that the filter finds; ask once where it takes numbers away from calls."""
    frame = frame_of(request)
    form = await request.post()
    action, changes, said = read_change(form, frame.deps.clock.wall_ms())
    if action in ("move", "limits") and not frame.can("admin"):
        raise FormError("Only an admin moves caller-IDs or sets their limits. Ask one.")
    asked = asked_for(form)
    numbers = tuple(E164(str(value)) for value in form.getall("number", []))
    is_all = form.get("which") == "all" and asked.state is None
    if not is_all and not numbers:
        raise FormError("No caller-ID was chosen. Go back, tick some, then choose what to do.")
    target = Target(matching=asked.wanted) if is_all else Target(numbers)
    desk = frame.pages.caller_ids
    if action != "enable" and form.get("sure") != "yes":
        count = await desk.count(asked.wanted) if is_all else len(numbers)
        kept = [(name, str(value)) for name, value in form.items() if name != "sure" and isinstance(value, str)]
        context = {"said": said, "count": count or 0, "kept": kept, "numbers": numbers[:12], "back": _address(asked)}
        return page(request, "caller_ids_sure.html", context)
    report = await desk.edit(frame.visitor.actor, target, changes)
    return back("/caller-ids", **{**asked.query, "done": action, "n": len(report.done)})


def read_change(
    form: Mapping[str, Any], now_ms: int, allowed: Collection[str] = get_args(Action)
) -> tuple[Action, CallerIdChanges | SwitchChanges, str]:
    """Read what a form wants to change, of what is `allowed` here; also return it in words.

    Raises:
        FormError: it says nothing that can be done.
    """
    action = form.get("action")
    if action not in allowed:
        raise FormError("Nothing to do was chosen. Go back and choose what to do.")
    try:
        if action == "enable":
            return action, SwitchChanges(switch="active"), "switch on"
        if action == "disable":
            return action, SwitchChanges(switch="disabled"), "switch off"
        if action == "rest":
            hours = whole(form, "hours", "The hours of the rest") or 0
            until = now_ms + hours * _HOUR_MS if hours else None
            words = f"rest for {hours} hours" if hours else "rest until they are switched on"
            return action, SwitchChanges(switch="resting", resting_until_ms=until), words
        if action == "move":
            group = str(form.get("to_group", "")).strip()
            return action, CallerIdChanges(group=group), f"move to the group {group}"
        if action == "limits":
            limits = {name: whole(form, name, "A limit") for name in ("hourly_limit", "daily_limit")}
            words = " and ".join(f"{limit_text(value)} {name[:-6]}" for name, value in limits.items())
            return action, CallerIdChanges(**limits), f"set the limits to {words}"
    except ValidationError as error:
        raise reason_of(error) from None
    raise FormError("Nothing to do was chosen. Go back and choose what to do.")


@shown("admin")
async def add_caller_id(request: web.Request) -> web.Response:
    """Add one caller-ID."""
    frame = frame_of(request)
    form = await request.post()
    given: dict[str, Any] = {name: str(form.get(name, "")).strip() for name in ("number", "carrier", "area")}
    given["group"] = str(form.get("group", "")).strip() or "default"
    for name in ("hourly_limit", "daily_limit"):
        given[name] = whole(form, name, "A limit")
    try:
        number = await frame.pages.caller_ids.add(frame.visitor.actor, NewCallerIdBody(**given))
    except ValidationError as error:
        raise reason_of(error) from None
    return back(f"/caller-ids/{number[1:]}", done="added")


@shown()
async def export(request: web.Request) -> web.StreamResponse:
    """Send all caller-IDs as a CSV file."""
    frame = frame_of(request)
    day = datetime.fromtimestamp(frame.deps.clock.wall_ms() / 1000, frame.deps.settings.zone)
    with tempfile.TemporaryDirectory(prefix="rotator-export-") as folder:
        path = Path(folder) / "caller-ids.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            await frame.pages.caller_ids.export(file)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": f'attachment; filename="caller-ids-{day:%Y-%m-%d}.csv"',
            }
        )
        await response.prepare(request)
        with path.open("rb") as source:
            while chunk := await asyncio.to_thread(source.read, 1 << 18):
                await response.write(chunk)
        await response.write_eof()
    return response


def row_of(item: CallerIdView, now_ms: int, presentation: Presentation) -> Row:
    """Return a caller-ID as the list shows it."""
    record, standing = item.record, item.standing
    return Row(
        number=record.number,
        shown=present(record.number, presentation),
        state=standing.state.value if standing else {"active": "idle"}.get(record.switch, record.switch),
        area=record.area,
        group=record.group,
        carrier=record.carrier,
        today=f"{standing.used_today:,} / {limit_text(standing.daily_limit)}" if standing else "–",
        today_percent=share(standing.used_today, standing.daily_limit) if standing else 0,
        hour=f"{standing.used_this_hour:,} / {limit_text(standing.hourly_limit)}" if standing else "–",
        last_used=ago(standing.last_used_ms, now_ms) if standing else "–",
    )


def _sorts(asked: Asked) -> dict[str, tuple[str, str]]:
    """Return for each column that sorts: the address that sorts by it (the other way round where it does), and how it is."""
    found = {}
    for name in ("number", "area", "group", "carrier", "created"):
        is_up, is_down = asked.sort == name, asked.sort == f"-{name}"
        address = _address(asked, sort=f"-{name}" if is_up else name)
        found[name] = (address, "ascending" if is_up else "descending" if is_down else "none")
    return found


def _address(asked: Asked, **more: str) -> str:
    query = urlencode({**asked.query, **more})
    return f"/caller-ids?{query}" if query else "/caller-ids"


def whole(form: Mapping[str, Any], name: str, what: str) -> int | None:
    """Return a whole number of a form; None where it is empty.

    Raises:
        FormError: it is none.
    """
    text = str(form.get(name, "")).strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise FormError(f"{what} is a whole number such as 100; {text[:20]!r} is none. Leave it empty for the default.")
    return int(text)


def reason_of(error: ValidationError) -> FormError:
    """Return what a model rejects, for people."""
    first = error.errors(include_url=False, include_context=False)[0]
    return FormError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].removeprefix('Value error, ')}.")
