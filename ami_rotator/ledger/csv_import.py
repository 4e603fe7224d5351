"""Import caller-IDs from a CSV file: all of its good rows or, if anything breaks, none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from ami_rotator.ledger.caller_id_row import CallerIdRow, read_meta, read_row
from ami_rotator.ledger.csv_rows import CsvFile, RawRow, open_csv
from ami_rotator.ledger.database import Connection, Database

_BATCH = 2000
_STATEMENT_S = 600.0
_PROBLEMS_KEPT = 10_000
_STAGED = (
    "line", "caller_id", "carrier", "area", "group_name", "daily_limit", "hourly_limit", "meta", "switch", "minute_limit",
    "attestation", "warmup_from",
)  # fmt: skip

StagedRow = tuple[
    int, str, str | None, str | None, str | None, int | None, int | None, str | None, str | None, int | None, str | None,
    str | None,
]  # fmt: skip  # as _STAGED


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Something about one row. An error or duplicate was not imported; a warning was, without its meta."""

    line: int
    kind: Literal["error", "warning", "duplicate"]
    reason: str


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`region`: country of numbers without country code. With `dry_run` everything is done and then undone."""

    region: str = "US"
    dry_run: bool = False


@dataclass(slots=True)
class ImportReport:
    """What came of it. `problems` are the first 10,000; the counts are of all."""

    encoding: str
    unknown_columns: tuple[str, ...]
    dry_run: bool
    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: int = 0
    warnings: int = 0
    duplicates: int = 0
    new_groups: tuple[str, ...] = ()
    problems: list[RowProblem] = field(default_factory=list)

    def note(self, problem: RowProblem) -> None:
        """Count a problem, and keep it if there are not too many yet."""
        self.errors += problem.kind == "error"
        self.warnings += problem.kind == "warning"
        self.duplicates += problem.kind == "duplicate"
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)


class _Undo(Exception):
    """Ends a dry run's transaction."""


async def import_csv(
    path: Path,
    database: Database,
    options: ImportOptions | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    on_problem: Callable[[RowProblem], None] = lambda _problem: None,
) -> ImportReport:
    """Import a file. `on_progress` is told bytes done and bytes in all, `on_problem` each bad row as it is found.

    New numbers are added; those that are there get the file's values (an empty cell is the default, a missing column leaves
    the value as it is); of a number that the file has twice the first row counts. Importing again changes nothing.

    Raises:
        CsvFileError: the file as a whole cannot be read.
        LedgerUnavailableError: PostgreSQL is away; nothing was imported.
    """
    options = options or ImportOptions()
    file = await asyncio.to_thread(open_csv, path)
    report = ImportReport(file.encoding, file.unknown_columns, options.dry_run)

    def note(problem: RowProblem) -> None:
        report.note(problem)
        on_problem(problem)

    try:
        async with database.transaction() as connection:
            await connection.execute(database.query("make_staging"))
            rows = file.rows()
            while True:
                staged, problems, seen = await asyncio.to_thread(_batch, rows, file, options.region)
                for problem in problems:
                    note(problem)
                report.rows += seen
                if not seen:
                    break
                await connection.copy_records_to_table("staged", records=staged, columns=_STAGED, timeout=_STATEMENT_S)
                on_progress(min(file.position, file.size), file.size)
            await _apply(connection, database, file, report, note)
            if options.dry_run:
                raise _Undo
    except _Undo:
        pass
    finally:
        file.close()
    on_progress(file.size, file.size)
    return report


def _batch(rows: Iterator[RawRow], file: CsvFile, region: str) -> tuple[list[StagedRow], list[RowProblem], int]:
    """Read and check the next rows; return the good ones, the problems, and how many rows there were."""
    staged: list[StagedRow] = []
    problems: list[RowProblem] = []
    seen = 0
    for raw in islice(rows, _BATCH):
        seen += 1
        if raw.problem:
            problems.append(RowProblem(raw.line, "error", raw.problem))
            continue
        try:
            row = read_row(dict(raw.values), region)
        except ValueError as error:
            problems.append(RowProblem(raw.line, "error", str(error)))
            continue
        meta: str | None = None
        if "meta_json" in file.columns:
            try:
                meta = read_meta(raw.values.get("meta_json", "")) or "{}"
            except ValueError as error:
                problems.append(RowProblem(raw.line, "warning", f"meta_json: {error}; imported without it"))
        staged.append(_staged(raw.line, row, meta))
    return staged, problems, seen


def _staged(line: int, row: CallerIdRow, meta: str | None) -> StagedRow:
    return (
        line,
        row.caller_id,
        row.carrier or "",
        row.area_code,
        row.group,
        row.daily_limit,
        row.hourly_limit,
        meta,
        row.switch,
        row.minute_limit,
        row.attestation or "",
        row.warmup_from,
    )


async def _apply(
    connection: Connection, database: Database, file: CsvFile, report: ImportReport, note: Callable[[RowProblem], None]
) -> None:
    """Bring the staged rows into the inventory."""
    query = database.query
    for row in await connection.fetch(query("staged_duplicates"), timeout=_STATEMENT_S):
        reason = f"{row['caller_id']} is on line {row['first_line']} already; that row counts"
        note(RowProblem(row["line"], "duplicate", reason))
    await connection.execute(query("drop_staged_duplicates"), timeout=_STATEMENT_S)
    await connection.execute(query("analyze_staging"))
    report.new_groups = tuple(row["name"] for row in await connection.fetch(query("add_staged_groups")))
    settable = ("carrier", "area_code", "group", "daily_limit", "hourly_limit", "minute_limit", "attestation")
    has = [name in file.columns for name in settable]
    report.updated = _count(await connection.execute(query("update_from_staging"), *has, timeout=_STATEMENT_S))
    report.added = _count(await connection.execute(query("add_from_staging"), timeout=_STATEMENT_S))
    good = report.rows - report.errors - report.duplicates
    report.unchanged = good - report.updated - report.added


def _count(status: str) -> int:
    """Return the row count of a command's status such as `UPDATE 5`."""
    return int(status.rsplit(" ", 1)[1])
