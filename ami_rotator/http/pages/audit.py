"""The page Audit: who changed what, when and from where, what was there before and what came."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

import orjson
from aiohttp import web

from ami_rotator.http.pages.caller_id import change_of
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import FormError, Frame, frame_of, page, shown
from ami_rotator.ledger.audit import AuditFilter
from ami_rotator.ledger.csv_export import guarded
from ami_rotator.ledger.paging import START, Cursor

ROWS = 50
_EXPORT_AT_ONCE = 1000
_EXPORT_MAX = 100_000
_FILTERS = ("actor", "kind", "target", "action", "since", "until")
_KINDS = ("caller_id", "group", "campaign", "opt_out", "user", "session")


@shown("admin")
async def audit(request: web.Request) -> web.Response:
    """Show a page of the audit, the newest first."""
    frame = frame_of(request)
    asked, wanted = _asked(request.query, frame)
    found = await desk_of(request).audit(wanted, Cursor(request.query.get("after", "")), ROWS)
    kept = {name: value for name, value in asked.items() if value}
    zone = frame.deps.settings.zone
    context = {
        "entries": [(entry, change_of(entry, zone)) for entry in found.entries],
        "asked": asked,
        "kept": kept,
        "kinds": _KINDS,
        "first": f"/audit?{urlencode(kept)}",
        "following": f"/audit?{urlencode({**kept, 'after': found.following})}" if found.following else "",
        "export": f"/audit/export.csv?{urlencode(kept)}",
        "is_first": "after" not in request.query,
    }
    return page(request, "audit.html", context)


@shown("admin")
async def export(request: web.Request) -> web.StreamResponse:
    """Send what the filter finds as a CSV file, the newest 100,000 entries at the most."""
    frame = frame_of(request)
    _, wanted = _asked(request.query, frame)
    after = START
    response = web.StreamResponse(
        headers={"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="audit.csv"'}
    )
    found = await desk_of(request).audit(wanted, after, _EXPORT_AT_ONCE)
    await response.prepare(request)
    await response.write(b"at,actor,via,address,action,kind,target,before,after,change\n")
    for _ in range(_EXPORT_MAX // _EXPORT_AT_ONCE):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for entry in found.entries:
            at = datetime.fromtimestamp(entry.at_ms / 1000, frame.deps.settings.zone).isoformat()
            values = (entry.actor, entry.via, entry.address, entry.action, entry.kind, entry.target)
            sides = (orjson.dumps(side).decode() if side else "" for side in (entry.before, entry.after))
            writer.writerow([at, *(guarded(value) for value in values), *sides, entry.change])
        await response.write(text.getvalue().encode())
        if not found.following:
            break
        found = await desk_of(request).audit(wanted, found.following, _EXPORT_AT_ONCE)
    await response.write_eof()
    return response


def _asked(query: Mapping[str, str], frame: Frame) -> tuple[dict[str, str], AuditFilter]:
    asked = {name: query.get(name, "").strip()[:100].replace("\0", "") for name in _FILTERS}
    times: dict[str, int | None] = {}
    for name in ("since", "until"):
        try:
            day = datetime.fromisoformat(asked[name]) if asked[name] else None
        except ValueError:
            raise FormError(f"{asked[name]!r} is no date; write for example 2026-11-22.") from None
        times[name] = int(day.replace(tzinfo=frame.deps.settings.zone).timestamp() * 1000) if day else None
    wanted = AuditFilter(
        actor=asked["actor"],
        kind=asked["kind"],
        target=asked["target"],
        action=asked["action"],
        since_ms=times["since"],
        until_ms=times["until"],
    )
    return asked, wanted
