"""Caller-IDs for administrators: find, look at, add, change, remove, import, export."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ami_rotator.admin.changes import CallerIdChanges, NewCallerIdBody, SwitchChanges
from ami_rotator.admin.errors import ConflictError, InvalidError, NotFoundError, Problem
from ami_rotator.domain.access import Actor
from ami_rotator.domain.numbers import parse_number
from ami_rotator.domain.types import E164, Area, Group, State
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.ledger.caller_id_list import (
    CallerIdFilter,
    CallerIdRecord,
    Sort,
    apply_filter,
    caller_id_records,
    count_caller_ids,
    cursor_after,
    facets,
)
from ami_rotator.ledger.csv_export import export_csv
from ami_rotator.ledger.csv_import import ImportOptions, ImportReport, import_csv
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import DuplicateCallerIdError, Inventory, LimitDefaults
from ami_rotator.ledger.paging import START, Cursor, Selection
from ami_rotator.pool.inspection import Inspection, Standing

_BULK_S = 120.0
# Up to so many caller-IDs of a state are named to the database; of more, the inventory is walked until the page is full.
_NAMED_MAX = 5000
_WALK_AT_ONCE = 1000
_WALKS_MAX = 20


@dataclass(frozen=True, slots=True)
class CallerIdView:
    """A caller-ID, and where it stands; `standing` is None while Redis is away or does not have it yet."""

    record: CallerIdRecord
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class CallerIdPage:
    """A page, and where the next one begins; empty: this was the last."""

    items: tuple[CallerIdView, ...]
    following: Cursor


@dataclass(frozen=True, slots=True)
class Target:
    """Which caller-IDs a change is for: these numbers, or all that a filter finds."""

    numbers: tuple[E164, ...] = ()
    matching: CallerIdFilter | None = None


@dataclass(frozen=True, slots=True)
class EditReport:
    """What became of a change. `missing` are not in the inventory; `is_in_pool` is false where Redis takes it over later."""

    done: tuple[E164, ...]
    missing: tuple[E164, ...]
    is_in_pool: bool


class CallerIds:
    """The inventory's caller-IDs. Reads of `standing` bear Redis' absence; everything raises LedgerUnavailableError.

    `changed` brings the pool up to date and is called after each change.
    """

    def __init__(
        self,
        database: Database,
        defaults: LimitDefaults,
        inspection: Inspection,
        region: str,
        changed: Callable[[], Awaitable[object]],
    ) -> None:
        self._database = database
        self._defaults = defaults
        self._inspection = inspection
        self._region = region
        self._changed = changed

    def read_number(self, text: str) -> E164:
        """Return a number that a person wrote.

        Raises:
            InvalidError: it is none.
        """
        number = parse_number(text, self._region)
        if number is None:
            message = f"{text[:40]!r} is not a phone number; write 5551234567 or, with country code, +15551234567"
            raise InvalidError([Problem("number", message)])
        return number

    async def page(
        self,
        wanted: CallerIdFilter,
        *,
        state: State | None = None,
        sort: Sort = "number",
        after: Cursor = START,
        limit: int = 50,
    ) -> CallerIdPage:
        """Return a page. With `state` it may be shorter than `limit` although more follow: then `following` says so.

        Raises:
            CursorError: `after` is no cursor of this list in this order.
            PoolUnavailableError: `state` is asked for, and Redis is away.
        """
        if state is None:
            records = await caller_id_records(self._database, wanted, sort, after, limit + 1)
        else:
            members = await self._members(wanted, state)
            if members is None:
                return await self._walk(wanted, state, sort, after, limit)
            records = await caller_id_records(self._database, wanted, sort, after, limit + 1, members)
        items = await self._views(records[:limit])
        return CallerIdPage(items, cursor_after(records[limit - 1]) if len(records) > limit else START)

    async def count(self, wanted: CallerIdFilter, state: State | None = None) -> int | None:
        """Return how many there are; None where that cannot be told at a reasonable cost."""
        if state is None:
            return await count_caller_ids(self._database, wanted)
        if wanted in (CallerIdFilter(), CallerIdFilter(group=wanted.group)):
            return await self._inspection.count(state, await self._groups(wanted))
        members = await self._members(wanted, state)
        return None if members is None else await count_caller_ids(self._database, wanted, members)

    async def get(self, number: E164) -> CallerIdView:
        """Return one caller-ID.

        Raises:
            NotFoundError: it is not in the inventory.
        """
        records = await caller_id_records(self._database, CallerIdFilter(), numbers=[number], limit=1)
        if not records:
            raise NotFoundError(f"Caller-ID {number} is not in the inventory. Add or import it first.")
        return (await self._views(records))[0]

    async def facets(self) -> dict[str, dict[str, int]]:
        """Return how many there are by `group`, `area` and `carrier`, the most frequent values first."""
        return await facets(self._database)

    async def edit(self, actor: Actor, target: Target, changes: CallerIdChanges | SwitchChanges) -> EditReport:
        """Change caller-IDs, all of them or none. A group that does not exist yet is made."""
        columns = changes.columns()
        query = self._database.query
        async with self._database.acting_as(actor).transaction() as connection:
            numbers: Sequence[str] = target.numbers
            if target.matching is not None:
                select = Selection(query("list_caller_id_numbers"))
                apply_filter(select, target.matching)
                found = await connection.fetch(select.text, *select.arguments, timeout=_BULK_S)
                numbers = [row["caller_id"] for row in found]
            if "group_name" in columns:
                await connection.execute(query("add_group"), columns["group_name"])
            rows = await connection.fetch(query("edit_caller_ids"), numbers, columns, timeout=_BULK_S)
        return await self._report(target, [E164(row["caller_id"]) for row in rows])

    async def add(self, actor: Actor, new: NewCallerIdBody) -> E164:
        """Add a caller-ID.

        Raises:
            InvalidError: the number is none.
            ConflictError: it is in the inventory already.
        """
        number = self.read_number(new.number)
        row = new.row(self._region)
        try:
            await Inventory(self._database.acting_as(actor), self._defaults).add(
                number,
                area=row.area_code or Area(""),
                carrier=new.carrier,
                group=Group(new.group),
                daily_limit=new.daily_limit,
                hourly_limit=new.hourly_limit,
            )
        except DuplicateCallerIdError as error:
            raise ConflictError(f"Caller-ID {number} is in the inventory already. Change it instead.") from error
        await self._sync()
        return number

    async def remove(self, actor: Actor, numbers: Sequence[E164]) -> EditReport:
        """Take caller-IDs out of the inventory; a live call keeps its own to the end."""
        async with self._database.acting_as(actor).transaction() as connection:
            query = self._database.query("remove_caller_ids")
            rows = await connection.fetch(query, list(numbers), timeout=_BULK_S)
        return await self._report(Target(tuple(numbers)), [E164(row["caller_id"]) for row in rows])

    async def import_file(self, actor: Actor, path: Path, *, dry_run: bool) -> ImportReport:
        """Import a CSV file: its good rows, or with `dry_run` only the report of what would come of it.

        Raises:
            CsvFileError: the file as a whole cannot be read.
        """
        report = await import_csv(path, self._database.acting_as(actor), ImportOptions(self._region, dry_run))
        if not dry_run:
            await self._sync()
        return report

    async def export(self, target: TextIO) -> int:
        """Write all caller-IDs as CSV; return how many."""
        return await export_csv(self._database, target)

    async def _report(self, target: Target, done: Sequence[E164]) -> EditReport:
        there = set(done)
        missing = tuple(number for number in dict.fromkeys(target.numbers) if number not in there)
        return EditReport(tuple(sorted(done)), missing, await self._sync())

    async def _sync(self) -> bool:
        try:
            await self._changed()
        except PoolUnavailableError:
            return False
        return True

    async def _views(self, records: Sequence[CallerIdRecord]) -> tuple[CallerIdView, ...]:
        try:
            standings = await self._inspection.standings([record.number for record in records])
        except PoolUnavailableError:
            standings = {}
        return tuple(CallerIdView(record, standings.get(record.number)) for record in records)

    async def _groups(self, wanted: CallerIdFilter) -> list[Group]:
        if wanted.group:
            return [Group(wanted.group)]
        return [Group(row["name"]) for row in await self._database.rows("all_groups")]

    async def _members(self, wanted: CallerIdFilter, state: State) -> list[E164] | None:
        groups = await self._groups(wanted)
        if await self._inspection.count(state, groups) > _NAMED_MAX:
            return None
        return await self._inspection.members(state, groups, _NAMED_MAX)

    async def _walk(self, wanted: CallerIdFilter, state: State, sort: Sort, after: Cursor, limit: int) -> CallerIdPage:
        """Read on in the inventory until the page is full, or for as long as a page may take."""
        found: list[CallerIdView] = []
        for _ in range(_WALKS_MAX):
            records = await caller_id_records(self._database, wanted, sort, after, _WALK_AT_ONCE)
            standings = await self._inspection.standings([record.number for record in records])
            for record in records:
                standing = standings.get(record.number)
                if standing is not None and standing.state is state:
                    found.append(CallerIdView(record, standing))
                    if len(found) == limit:
                        return CallerIdPage(tuple(found), cursor_after(record))
            if len(records) < _WALK_AT_ONCE:
                return CallerIdPage(tuple(found), START)
            after = cursor_after(records[-1])
        return CallerIdPage(tuple(found), after)
