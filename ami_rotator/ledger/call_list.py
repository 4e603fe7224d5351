"""Find calls in the ledger: filters and pages, the newest first."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from ami_rotator.ledger.database import Database
from ami_rotator.ledger.paging import START, Cursor, CursorError, Selection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"(\d{1,17})\.([0-9a-f]{32})")
_SHOWN_APART = frozenset(
    {
        "reservation_id", "assigned_at", "caller_id", "campaign", "destination", "dialled", "dialer", "code", "uniqueid",
        "agent", "lead_id", "source", "rung", "group_name", "area", "was_warm", "miss_reason", "presented",
        "presented_matches", "presented_at", "trunk_uniqueid", "ended_at", "outcome", "cause", "sip", "talk_ms",
        "was_dialled",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls; empty or None: all. Times in ms, `since_ms` inclusive. `missed`: only those without a caller-ID, or only
    those with one; `differs`: only those that showed another number than the one assigned."""

    campaign: str = ""
    destination: str = ""
    code: str = ""
    caller_id: str = ""
    outcome: str = ""
    dialer: str = ""
    agent: str = ""
    rung: str = ""
    source: str = ""
    miss_reason: str = ""
    missed: bool | None = None
    differs: bool = False
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call. What has not happened (yet) is empty, None or 0; `more` has what the ledger keeps besides, by its column."""

    reservation: str
    assigned_at_ms: int
    caller_id: str
    campaign: str
    destination: str
    dialled: str
    dialer: str
    code: str
    uniqueid: str
    agent: str
    lead_id: str
    source: str
    rung: str
    group: str
    area: str
    was_warm: bool
    miss_reason: str
    presented: str
    presented_matches: bool | None
    ended_at_ms: int
    outcome: str
    cause: int
    sip: int
    talk_ms: int
    more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, the newest first, and where the next page begins; empty: this was the last."""

    calls: tuple[CallRecord, ...]
    following: Cursor


async def call_page(database: Database, wanted: CallFilter, after: Cursor = START, limit: int = 50) -> CallPage:
    """Return a page of the ledger. Without a filter by number or code, `since_ms` bounds how much is read.

    Raises:
        CursorError: `after` is no cursor of this list.
    """
    select = Selection(database.query("list_calls"))
    apply_call_filter(select, wanted)
    if after:
        match = _CURSOR.fullmatch(after)
        if match is None:
            raise CursorError
        select.where("(assigned_at, reservation_id) < (?, ?)", _time_us(int(match[1])), uuid.UUID(match[2]))
    async with database.connection() as connection:
        rows = await connection.fetch(
            select.page("assigned_at DESC, reservation_id DESC", limit + 1), *select.arguments
        )
    following = START
    if len(rows) > limit:
        last = rows[limit - 1]
        at_us = (last["assigned_at"] - _EPOCH) // timedelta(microseconds=1)
        following = Cursor(f"{at_us}.{uuid.UUID(last['reservation']).hex}")
    return CallPage(tuple(_record(row) for row in rows[:limit]), following)


async def one_call(database: Database, reservation: str) -> CallRecord | None:
    """Return one call by its reservation, if the ledger has it."""
    try:
        uuid.UUID(reservation)
    except ValueError:
        return None
    rows = await database.rows("one_call", reservation)
    return _record(rows[0]) if rows else None


def apply_call_filter(select: Selection, wanted: CallFilter) -> None:
    """Add a filter's conditions."""
    for column in ("campaign", "destination", "code", "caller_id", "dialer", "agent", "rung"):
        value = getattr(wanted, column)
        if value:
            select.where(f"{column} = ?", value)
    for column in ("outcome", "source", "miss_reason"):
        value = getattr(wanted, column)
        if value:
            select.where(f"{column}::text = ?", value)
    if wanted.missed is not None:
        select.where("miss_reason IS NOT NULL" if wanted.missed else "caller_id IS NOT NULL")
    if wanted.differs:
        select.where("NOT presented_matches")
    if wanted.since_ms is not None:
        select.where("assigned_at >= ?", _time_us(wanted.since_ms * 1000))
    if wanted.until_ms is not None:
        select.where("assigned_at < ?", _time_us(wanted.until_ms * 1000))


def _time_us(at_us: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=at_us)  # exactly: a cursor that is a microsecond off loses a call
    except (ValueError, OverflowError) as error:
        raise CursorError from error


def _record(row: asyncpg.Record) -> CallRecord:
    of: dict[str, Any] = row["fields"]
    return CallRecord(
        reservation=row["reservation"],
        assigned_at_ms=row["assigned_at_ms"],
        caller_id=of["caller_id"] or "",
        campaign=of["campaign"],
        destination=of["destination"],
        dialled=of["dialled"],
        dialer=of["dialer"],
        code=of["code"],
        uniqueid=of["uniqueid"],
        agent=of["agent"],
        lead_id=of["lead_id"],
        source=of["source"] or "",
        rung=of["rung"] or "",
        group=of["group_name"] or "",
        area=of["area"] or "",
        was_warm=bool(of["was_warm"]),
        miss_reason=of["miss_reason"] or "",
        presented=of["presented"] or "",
        presented_matches=of["presented_matches"],
        ended_at_ms=row["ended_at_ms"] or 0,
        outcome=of["outcome"] or "",
        cause=of["cause"] or 0,
        sip=of["sip"] or 0,
        talk_ms=of["talk_ms"] or 0,
        more={name: value for name, value in of.items() if name not in _SHOWN_APART and value not in (None, "")},
    )
