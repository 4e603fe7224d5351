"""The audit: who did what, when, from where, what was there before and what came.

Changes of caller-IDs, groups, campaigns, opt-outs and users are written by triggers, in the transaction of the change
(sql/migrations/0005_admin.sql); `Database.acting_as` says whose they are. What changes no table is noted with `note`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ami_rotator.ledger.database import Connection, Database
from ami_rotator.ledger.paging import START, Cursor, CursorError, Selection


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done. Entries of one transaction have the same `change`."""

    id: int
    at_ms: int
    change: str
    actor: str
    via: str
    address: str
    action: str
    kind: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; empty or None: all. Times in ms, `since_ms` inclusive."""

    actor: str = ""
    kind: str = ""
    target: str = ""
    action: str = ""
    change: str = ""
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, the newest first, and where the next page begins; empty: this was the last."""

    entries: tuple[AuditEntry, ...]
    following: Cursor


async def note(
    connection: Connection,
    database: Database,
    action: str,
    kind: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Note an action in the transaction of `connection`, which came from `database.acting_as(...)`."""
    await connection.execute(database.query("note_audit"), action, kind, target, before, after)


async def audit_page(database: Database, wanted: AuditFilter, after: Cursor = START, limit: int = 50) -> AuditPage:
    """Return a page of the audit, the newest first.

    Raises:
        CursorError: `after` is no cursor of this list.
    """
    select = Selection(database.query("list_audit"))
    for column in ("actor", "kind", "target", "action"):
        value = getattr(wanted, column)
        if value:
            select.where(f"{column} = ?", value)
    if wanted.change:
        select.where("change::text = ?", wanted.change)
    if wanted.since_ms is not None:
        select.where("at >= ?", _time(wanted.since_ms))
    if wanted.until_ms is not None:
        select.where("at < ?", _time(wanted.until_ms))
    if after:
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise CursorError
        select.where("id < ?", int(after))
    async with database.connection() as connection:
        rows = await connection.fetch(select.page("id DESC", limit + 1), *select.arguments)
    entries = tuple(AuditEntry(**row) for row in rows[:limit])
    return AuditPage(entries, Cursor(str(entries[-1].id)) if len(rows) > limit else START)


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
