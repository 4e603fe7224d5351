"""Caller-IDs in the API."""

from __future__ import annotations

import tempfile
from typing import Any

from aiohttp import web

from ami_rotator.admin.caller_ids import EditReport, Target
from ami_rotator.admin.changes import CallerIdChanges, NewCallerIdBody
from ami_rotator.domain.types import E164
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.http.api.models import (
    CallerIdItem,
    CallerIdPageBody,
    CallerIdQuery,
    EditAnswer,
    EditBody,
    Facets,
    ImportAnswer,
    ImportProblem,
    ImportQuery,
    RemoveBody,
    SwitchBody,
)
from ami_rotator.ledger.paging import Cursor

_CHUNK = 65_536
_PROBLEMS_MAX = 1000


async def list_caller_ids(call: Call) -> CallerIdPageBody:
    """Return a page."""
    query: CallerIdQuery = call.query
    wanted = query.as_filter()
    page = await call.desk.caller_ids.page(
        wanted, state=query.state, sort=query.sort, after=Cursor(query.after), limit=query.limit
    )
    total = await call.desk.caller_ids.count(wanted, query.state) if query.count else None
    return CallerIdPageBody(items=[CallerIdItem.of(view) for view in page.items], next=page.following, total=total)


async def facets(call: Call) -> Facets:
    """Return the values that filters can have."""
    return Facets(**await call.desk.caller_ids.facets())


async def get_caller_id(call: Call) -> CallerIdItem:
    """Return one caller-ID."""
    return CallerIdItem.of(await call.desk.caller_ids.get(_number(call)))


async def add_caller_id(call: Call) -> CallerIdItem:
    """Add one caller-ID."""
    number = await call.desk.caller_ids.add(call.actor, call.body)
    return CallerIdItem.of(await call.desk.caller_ids.get(number))


async def change_caller_id(call: Call) -> CallerIdItem:
    """Change one caller-ID."""
    number = _number(call)
    await call.desk.caller_ids.edit(call.actor, Target((number,)), call.body)
    return CallerIdItem.of(await call.desk.caller_ids.get(number))


async def remove_caller_id(call: Call) -> None:
    """Remove one caller-ID."""
    number = _number(call)
    await call.desk.caller_ids.get(number)
    await call.desk.caller_ids.remove(call.actor, [number])


async def edit_caller_ids(call: Call) -> EditAnswer:
    """Change or switch many."""
    body: SwitchBody | EditBody = call.body
    if body.matching is not None:
        target = Target(matching=body.matching.as_filter())
    else:
        target = Target(_numbers(call, body.numbers))
    return _answer(await call.desk.caller_ids.edit(call.actor, target, body.to))


async def remove_caller_ids(call: Call) -> EditAnswer:
    """Remove many."""
    body: RemoveBody = call.body
    return _answer(await call.desk.caller_ids.remove(call.actor, _numbers(call, body.numbers)))


async def import_caller_ids(call: Call) -> ImportAnswer:
    """Import a CSV file."""
    if call.file is None:
        raise RuntimeError("an endpoint that takes CSV has a file")
    report = await call.desk.caller_ids.import_file(call.actor, call.file, dry_run=call.query.dry_run)
    return ImportAnswer(
        dry_run=report.dry_run,
        rows=report.rows,
        added=report.added,
        updated=report.updated,
        unchanged=report.unchanged,
        errors=report.errors,
        warnings=report.warnings,
        duplicates=report.duplicates,
        new_groups=list(report.new_groups),
        unknown_columns=list(report.unknown_columns),
        problems=[ImportProblem.model_validate(problem) for problem in report.problems[:_PROBLEMS_MAX]],
    )


async def export_caller_ids(call: Call) -> web.StreamResponse:
    """Send all caller-IDs as CSV, in the form that import reads."""
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as file:
        await call.desk.caller_ids.export(file)
        file.seek(0)
        response = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="caller-ids.csv"'})
        response.content_type, response.charset = "text/csv", "utf-8"
        await response.prepare(call.request)
        while chunk := file.read(_CHUNK):
            await response.write(chunk.encode())
        await response.write_eof()
        return response


def _number(call: Call) -> E164:
    return call.desk.caller_ids.read_number(call.part("number"))


def _numbers(call: Call, texts: list[str]) -> tuple[E164, ...]:
    return tuple(dict.fromkeys(call.desk.caller_ids.read_number(text) for text in texts))


def _answer(report: EditReport) -> EditAnswer:
    return EditAnswer(done=len(report.done), missing=list(report.missing), in_pool=report.is_in_pool)


_LIST: dict[str, Any] = {"query": CallerIdQuery, "answer": CallerIdPageBody, "errors": ("redis_away",)}
ENDPOINTS = (
    Endpoint("GET", "/caller-ids", list_caller_ids, "viewer", "Find caller-IDs", **_LIST),
    Endpoint("POST", "/caller-ids", add_caller_id, "admin", "Add a caller-ID", body=NewCallerIdBody, answer=CallerIdItem,
             status=201, errors=("exists",)),
    Endpoint("GET", "/caller-ids/facets", facets, "viewer", "Count caller-IDs by group, area and carrier", answer=Facets),
    Endpoint("GET", "/caller-ids/export", export_caller_ids, "operator", "Export all caller-IDs as CSV", media="text/csv"),
    Endpoint("POST", "/caller-ids/import", import_caller_ids, "admin", "Import caller-IDs from CSV", query=ImportQuery,
             body="csv", answer=ImportAnswer, errors=("too_large",)),
    Endpoint("POST", "/caller-ids/switch", edit_caller_ids, "operator", "Enable, disable or rest many caller-IDs",
             body=SwitchBody, answer=EditAnswer),
    Endpoint("POST", "/caller-ids/edit", edit_caller_ids, "admin", "Move many caller-IDs, set their limits and the like",
             body=EditBody, answer=EditAnswer),
    Endpoint("POST", "/caller-ids/remove", remove_caller_ids, "admin", "Remove many caller-IDs", body=RemoveBody,
             answer=EditAnswer),
    Endpoint("GET", "/caller-ids/{number}", get_caller_id, "viewer", "Look at a caller-ID", answer=CallerIdItem,
             errors=("not_found",)),
    Endpoint("PATCH", "/caller-ids/{number}", change_caller_id, "admin", "Change a caller-ID", body=CallerIdChanges,
             answer=CallerIdItem, errors=("not_found",)),
    Endpoint("DELETE", "/caller-ids/{number}", remove_caller_id, "admin", "Remove a caller-ID", errors=("not_found",),
             status=204),
)  # fmt: skip
