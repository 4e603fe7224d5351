"""Calls, reservations, dialers, jobs, counts and the audit in the API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from ami_rotator.domain.access import may
from ami_rotator.domain.numbers import mask
from ami_rotator.domain.types import ReservationId
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.http.api.models import (
    AuditQuery,
    CallQuery,
    DialerItem,
    JobItem,
    MinuteItem,
    Page,
    ReservationQuery,
    StatsAnswer,
    WarmItem,
)
from ami_rotator.http.api.problems import problem_error
from ami_rotator.ledger.audit import AuditEntry, AuditFilter
from ami_rotator.ledger.call_list import CallFilter, CallRecord
from ami_rotator.ledger.paging import START, Cursor
from ami_rotator.pool.inspection import LiveReservation

_WEEK_MS = 7 * 24 * 3600 * 1000
_EXPORT_AT_ONCE = 1000


async def list_calls(call: Call) -> Page[CallRecord]:
    """Return a page of the ledger. A viewer sees no whole destination: people called are not everybody's business."""
    query: CallQuery = call.query
    given = query.model_dump(exclude={"after", "limit"})
    for name in ("destination", "caller_id"):
        if given[name]:
            given[name] = call.desk.caller_ids.read_number(given[name])
    is_narrow = bool(query.destination or query.caller_id or query.code)
    if query.since_ms is None and not is_narrow:
        given["since_ms"] = call.deps.clock.wall_ms() - _WEEK_MS
    page = await call.desk.calls(CallFilter(**given), Cursor(query.after), query.limit)
    is_whole = may(call.who.role, "operator")
    calls = page.calls if is_whole else [_masked(found) for found in page.calls]
    return Page(items=list(calls), next=page.following)


async def list_reservations(call: Call) -> Page[LiveReservation]:
    """Return reservations that live."""
    query: ReservationQuery = call.query
    found = await call.desk.reservations.list(query.skip, query.limit)
    if not may(call.who.role, "operator"):
        found = [replace(item, destination=_mask(item.destination)) for item in found]
    return Page(items=found)


async def release_reservation(call: Call) -> None:
    """End a reservation."""
    await call.desk.reservations.release(call.actor, ReservationId(call.part("id")))


async def list_dialers(call: Call) -> Page[DialerItem]:
    """Return the dialers. What detail says of hosts is for admins."""
    dialers = [DialerItem.model_validate(item) for item in (await call.deps.health()).dialers]
    return Page(items=dialers)


async def list_jobs(call: Call) -> Page[JobItem]:
    """Return the maintenance jobs."""
    pages = call.deps.pages
    return Page(items=[JobItem.model_validate(job) for job in (await pages.jobs() if pages else ())])


async def run_job(call: Call) -> None:
    """Ask for a run of a job now."""
    pages, name = call.deps.pages, call.part("name")
    if pages is None or name not in [job.name for job in await pages.jobs()]:
        raise problem_error("not_found", f"There is no job {name!r}.")
    await pages.wish(name)


async def stats(call: Call) -> StatsAnswer:
    """Return the counts of now and of the last hour."""
    data = await call.deps.dashboard()
    return StatsAnswer(
        status=data.health.status,
        redis_ok=data.health.redis_ok,
        postgresql_ok=data.health.postgresql_ok,
        states=dict(data.states),
        live=data.live,
        outbox=data.outbox,
        warm=[WarmItem.model_validate(item) for item in data.warm],
        minutes=[MinuteItem.model_validate(item) for item in data.minutes],
        misses=dict(data.misses),
        doors=dict(data.doors),
        answer_p50_ms=data.latency.p50_ms if data.latency else None,
        answer_p99_ms=data.latency.p99_ms if data.latency else None,
    )


async def list_audit(call: Call) -> Page[AuditEntry]:
    """Return a page of the audit."""
    query: AuditQuery = call.query
    page = await call.desk.audit(_audit_filter(query), Cursor(query.after), query.limit)
    return Page(items=list(page.entries), next=page.following)


async def export_audit(call: Call) -> web.StreamResponse:
    """Send all of the audit that the filter finds, one JSON object a line, the newest first."""
    response = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'})
    response.content_type = "application/x-ndjson"
    wanted, after = _audit_filter(call.query), Cursor(call.query.after)
    while True:
        page = await call.desk.audit(wanted, after, _EXPORT_AT_ONCE)
        if not response.prepared:
            await response.prepare(call.request)
        await response.write(b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in page.entries))
        after = page.following
        if after == START:
            await response.write_eof()
            return response


def _audit_filter(query: AuditQuery) -> AuditFilter:
    return AuditFilter(**query.model_dump(exclude={"after", "limit"}))


def _masked(found: CallRecord) -> CallRecord:
    return replace(found, destination=_mask(found.destination), dialled=_mask(found.dialled))


def _mask(number: str) -> str:
    return mask(number) if number else ""


_AUDIT: dict[str, Any] = {"query": AuditQuery}
ENDPOINTS = (
    Endpoint("GET", "/calls", list_calls, "viewer", "Find calls in the ledger", query=CallQuery, answer=Page[CallRecord]),
    Endpoint("GET", "/reservations", list_reservations, "viewer", "List live reservations", query=ReservationQuery,
             answer=Page[LiveReservation], errors=("redis_away",)),
    Endpoint("DELETE", "/reservations/{id}", release_reservation, "operator", "End a reservation",
             errors=("not_found", "redis_away"), status=204),
    Endpoint("GET", "/dialers", list_dialers, "viewer", "List dialers", answer=Page[DialerItem]),
    Endpoint("GET", "/jobs", list_jobs, "viewer", "List maintenance jobs", answer=Page[JobItem], errors=("redis_away",)),
    Endpoint("POST", "/jobs/{name}/run", run_job, "operator", "Run a maintenance job now", status=204,
             errors=("not_found", "redis_away")),
    Endpoint("GET", "/stats", stats, "viewer", "Counts of now and the last hour", answer=StatsAnswer),
    Endpoint("GET", "/audit", list_audit, "admin", "Read the audit", answer=Page[AuditEntry], **_AUDIT),
    Endpoint("GET", "/audit/export", export_audit, "admin", "Export the audit, one JSON object a line",
             media="application/x-ndjson", **_AUDIT),
)  # fmt: skip
