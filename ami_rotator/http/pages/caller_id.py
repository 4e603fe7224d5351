"""The page of one caller-ID: how it stands, its day and month, its last calls, what was changed, and forms to change it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from aiohttp import web
from pydantic import ValidationError

from ami_rotator.admin.caller_ids import Target
from ami_rotator.admin.changes import CallerIdChanges
from ami_rotator.domain.numbers import present
from ami_rotator.domain.types import E164
from ami_rotator.http.pages.call_rows import call_rows
from ami_rotator.http.pages.caller_ids import read_change, reason_of, whole
from ami_rotator.http.pages.charts import Chart, chart
from ami_rotator.http.pages.frame import back, frame_of, number_of, page, shown
from ami_rotator.http.pages.words import ago, limit_text, moment, share
from ami_rotator.ledger.audit import AuditEntry, AuditFilter, audit_page
from ami_rotator.ledger.call_list import CallFilter, call_page
from ami_rotator.ledger.usage import DayOfUse, HourOfUse, by_day, by_hour

DAYS = 30
HOURS = 24
CALLS = 20
CHANGES = 10
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the audit as people read it."""

    at: str
    actor: str
    via: str
    action: str
    values: tuple[tuple[str, str, str], ...]


@shown()
async def caller_id(request: web.Request) -> web.Response:
    """Show one caller-ID."""
    frame = frame_of(request)
    number, database = number_of(request), frame.pages.database
    zone, now_ms = frame.deps.settings.zone, frame.deps.clock.wall_ms()
    view = await frame.pages.caller_ids.get(number)
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    hours, days, calls, changes = await asyncio.gather(
        by_hour(database, number, now_ms - HOURS * _HOUR_MS),
        by_day(database, number, today - timedelta(days=DAYS - 1)),
        call_page(database, CallFilter(caller_id=number, since_ms=now_ms - 92 * _DAY_MS), limit=CALLS),
        audit_page(database, AuditFilter(kind="caller_id", target=number), limit=CHANGES),
    )
    standing = view.standing
    dialled, answered = sum(day.dialled for day in days), sum(day.answered for day in days)
    return page(
        request,
        "caller_id.html",
        {
            "number": number,
            "shown": present(number, frame.presentation),
            "record": view.record,
            "standing": standing,
            "today_percent": share(standing.used_today, standing.daily_limit) if standing else 0,
            "hour_percent": share(standing.used_this_hour, standing.hourly_limit) if standing else 0,
            "limit_text": limit_text,
            "last_used": ago(standing.last_used_ms, now_ms) if standing else "",
            "last_used_at": moment(standing.last_used_ms, zone) if standing else "",
            "free_at": moment(standing.free_at_ms, zone) if standing and standing.free_at_ms > now_ms else "",
            "resting_until": moment(view.record.resting_until_ms, zone),
            "created_at": moment(view.record.created_at_ms, zone),
            "month_calls": sum(day.calls for day in days),
            "answer_rate": f"{100 * answered / dialled:.0f} %" if dialled else "–",
            "dialled": dialled,
            "by_hour": hours_chart(hours, now_ms, zone, standing.hourly_limit if standing else None),
            "by_day": days_chart(days, now_ms, zone, standing.daily_limit if standing else None),
            "calls": call_rows(calls.calls, zone, frame.presentation, is_whole=frame.can("operator")),
            "more_calls": bool(calls.following),
            "changes": [change_of(entry, zone) for entry in changes.entries],
            "can_switch": frame.can("operator"),
            "can_change": frame.can("admin"),
        },
    )


@shown("operator")
async def switch_caller_id(request: web.Request) -> web.Response:
    """Switch one caller-ID on or off, or let it rest."""
    frame = frame_of(request)
    number = number_of(request)
    form = await request.post()
    action, changes, _ = read_change(form, frame.deps.clock.wall_ms(), ("enable", "disable", "rest"))
    report = await frame.pages.caller_ids.edit(frame.visitor.actor, Target((number,)), changes)
    return back(f"/caller-ids/{number[1:]}", done=action, n=len(report.done))


@shown("admin")
async def save_caller_id(request: web.Request) -> web.Response:
    """Change what was entered of one caller-ID."""
    frame = frame_of(request)
    number = number_of(request)
    form = await request.post()
    given: dict[str, Any] = {
        name: str(form.get(name, "")).strip() for name in ("group", "area", "carrier", "attestation")
    }
    limits = {name: whole(form, name, "A limit") for name in ("minute_limit", "hourly_limit", "daily_limit")}
    try:
        changes = CallerIdChanges(**given, **limits)
    except ValidationError as error:
        raise reason_of(error) from None
    await frame.pages.caller_ids.edit(frame.visitor.actor, Target((E164(number),)), changes)
    return back(f"/caller-ids/{number[1:]}", done="saved")


def hours_chart(hours: Sequence[HourOfUse], now_ms: int, zone: ZoneInfo, limit: int | None) -> Chart:
    """Return the last 24 hours; the last one is the hour that runs."""
    kept = {hour.at_ms // _HOUR_MS: hour for hour in hours}
    points = []
    for index in range(now_ms // _HOUR_MS - HOURS + 1, now_ms // _HOUR_MS + 1):
        hour = kept.get(index)
        label = f"{datetime.fromtimestamp(index * 3600, zone):%H:%M}"
        points.append((label, hour.calls if hour else 0, hour.answered if hour else 0))
    return chart(points, "in 24 hours", "answered", limit)


def days_chart(days: Sequence[DayOfUse], now_ms: int, zone: ZoneInfo, limit: int | None) -> Chart:
    """Return the last 30 days; the last one is today."""
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    kept = {day.day: day for day in days}
    points = []
    for index in range(DAYS - 1, -1, -1):
        at = today - timedelta(days=index)
        day = kept.get(at)
        points.append((f"{at:%b} {at.day}", day.calls if day else 0, day.answered if day else 0))
    return chart(points, "in 30 days", "answered", limit)


def change_of(entry: AuditEntry, zone: ZoneInfo) -> Change:
    """Return an entry of the audit with what it changed: name, before, after. What says nothing new is left out."""
    before: Mapping[str, Any] = entry.before or {}
    after: Mapping[str, Any] = entry.after or {}
    said = ((name, _said(before.get(name)), _said(after.get(name))) for name in {**before, **after})
    values = tuple((name.replace("_", " "), old, new) for name, old, new in said if old != new and new != entry.target)
    return Change(moment(entry.at_ms, zone), entry.actor, entry.via, entry.action.replace("_", " "), values)


def _said(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)[:200]
    if isinstance(value, dict):
        return orjson.dumps(value).decode()[:200] if value else ""
    return str(value)[:200]
