"""Find caller-IDs in the inventory: filters, orders, pages. Each page is read through an index, however far in it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg
import orjson

from ami_rotator.domain.caller_id import Switch
from ami_rotator.domain.types import E164, Area, Group
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.paging import START, Cursor, CursorError, Selection, like

Sort = Literal["number", "-number", "area", "-area", "group", "-group", "carrier", "-carrier", "created", "-created"]

_COLUMNS = {"number": "caller_id", "area": "area", "group": "group_name", "carrier": "carrier", "created": "created_at"}
_NOISE = " ()-./"


@dataclass(frozen=True, slots=True)
class CallerIdFilter:
    """Which caller-IDs; empty: all. `search` finds digits anywhere in the number, other text in carrier and meta."""

    search: str = ""
    switch: Switch | Literal[""] = ""
    group: str = ""
    area: str = ""
    carrier: str = ""


@dataclass(frozen=True, slots=True)
class CallerIdRecord:
    """A caller-ID as it was entered. A limit of None is that of its group; `resting_until_ms` 0: until somebody says so."""

    number: E164
    area: Area
    group: Group
    carrier: str
    switch: Switch
    attestation: str
    minute_limit: int | None
    hourly_limit: int | None
    daily_limit: int | None
    meta: Mapping[str, Any]
    resting_until_ms: int
    created_at_ms: int
    warmup_from: str
    cursor_value: str


def apply_filter(select: Selection, wanted: CallerIdFilter) -> None:
    """Add a filter's conditions."""
    search = wanted.search.strip()
    digits = "".join(character for character in search if character not in _NOISE).removeprefix("+")
    if digits and digits.isascii() and digits.isdigit():
        select.where("caller_id LIKE ?", like(digits))
    elif search:
        select.where("(carrier ILIKE ? OR meta::text ILIKE ?)", like(search), like(search))
    if wanted.switch:
        select.where("switch = ?::caller_id_switch", wanted.switch)
    for column, value in (("group_name", wanted.group), ("area", wanted.area), ("carrier", wanted.carrier)):
        if value:
            select.where(f"{column} = ?", value)


def page_selection(
    database: Database, wanted: CallerIdFilter, sort: Sort, after: Cursor, numbers: Sequence[E164] | None = None
) -> tuple[Selection, str]:
    """Return the query of a page, without its length, and its order.

    Raises:
        CursorError: `after` is no cursor of this list in this order.
    """
    select = Selection(database.query("list_caller_ids"))
    apply_filter(select, wanted)
    if numbers is not None:
        select.where("caller_id = ANY (?::text[])", numbers)
    name, is_down = sort.removeprefix("-"), sort.startswith("-")
    column, compare, direction = _COLUMNS[name], "<" if is_down else ">", "DESC" if is_down else "ASC"
    if after:
        value, number = _read_cursor(after, name)
        if column == "caller_id":
            select.where(f"caller_id {compare} ?", number)
        else:
            select.where(f"({column}, caller_id) {compare} (?, ?)", value, number)
    order = f"caller_id {direction}" if column == "caller_id" else f"{column} {direction}, caller_id {direction}"
    return select, order


async def caller_id_records(
    database: Database,
    wanted: CallerIdFilter,
    sort: Sort = "number",
    after: Cursor = START,
    limit: int = 50,
    numbers: Sequence[E164] | None = None,
) -> list[CallerIdRecord]:
    """Return the caller-IDs of a page; of `numbers` only, where they are given.

    Raises:
        CursorError: `after` is no cursor of this list in this order.
    """
    select, order = page_selection(database, wanted, sort, after, numbers)
    async with database.connection() as connection:
        rows = await connection.fetch(select.page(order, limit), *select.arguments)
    return [_record(row, _COLUMNS[sort.removeprefix("-")]) for row in rows]


async def count_caller_ids(database: Database, wanted: CallerIdFilter, numbers: Sequence[E164] | None = None) -> int:
    """Return how many caller-IDs there are; of `numbers` only, where they are given."""
    select = Selection(database.query("count_caller_ids"))
    apply_filter(select, wanted)
    if numbers is not None:
        select.where("caller_id = ANY (?::text[])", numbers)
    async with database.connection() as connection:
        return int(await connection.fetchval(select.text, *select.arguments))


async def facets(database: Database, most: int = 500) -> dict[str, dict[str, int]]:
    """Return how many caller-IDs there are by `group`, `area` and `carrier`, the most frequent values first."""
    found: dict[str, dict[str, int]] = {"group": {}, "area": {}, "carrier": {}}
    for row in await database.rows("caller_id_facets", most):
        found[row["what"]][row["value"]] = row["caller_ids"]
    return found


def cursor_after(record: CallerIdRecord) -> Cursor:
    """Return the cursor of the page that begins after a record."""
    return Cursor(base64.urlsafe_b64encode(orjson.dumps([record.cursor_value, record.number])).decode().rstrip("="))


def _read_cursor(cursor: Cursor, name: str) -> tuple[str | datetime, str]:
    try:
        value, number = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not (isinstance(value, str) and isinstance(number, str)) or "\0" in value + number:
            raise CursorError
        return (datetime.fromisoformat(value).astimezone(UTC) if name == "created" else value), number
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise CursorError from error


def _record(row: asyncpg.Record, column: str) -> CallerIdRecord:
    value = row[column]
    return CallerIdRecord(
        number=E164(row["caller_id"]),
        area=Area(row["area"]),
        group=Group(row["group_name"]),
        carrier=row["carrier"],
        switch=row["switch"],
        attestation=row["attestation"],
        minute_limit=row["minute_limit"],
        hourly_limit=row["hourly_limit"],
        daily_limit=row["daily_limit"],
        meta=row["meta"],
        resting_until_ms=row["resting_until_ms"],
        created_at_ms=row["created_at_ms"],
        warmup_from=row["warmup_from"].isoformat() if row["warmup_from"] else "",
        cursor_value=value.isoformat() if isinstance(value, datetime) else value,
    )
