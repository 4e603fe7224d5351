"""`ami-rotator migrate`, `import` and `export`: the records in PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ami_rotator.ledger.csv_export import export_csv
from ami_rotator.ledger.csv_import import ImportOptions, ImportReport, RowProblem, import_csv
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.seed_import import SeedImport, import_seed
from ami_rotator.log import set_up_logging
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores

_console = Console(stderr=True, highlight=False)


def migrate_command() -> None:
    """Bring the database to the newest schema."""
    settings = load_settings()
    set_up_logging(settings.log_level)

    async def work() -> None:
        async with open_stores(settings) as stores:
            report = await migrate(stores.database_dsn)
        applied = ", ".join(str(number) for number in report.applied) or "nothing was missing"
        typer.echo(f"The database has version {report.version} ({applied}).")

    asyncio.run(work())


def import_command(
    file: Annotated[
        Path | None, typer.Argument(help="CSV: caller_id,carrier,area_code,daily_limit,hourly_limit,meta_json,group")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    from_caller_id_api: Annotated[
        str,
        typer.Option(
            metavar="DATABASE_URL",
            help="Instead of a file: the PostgreSQL of a Caller-ID Rotation API. It is only read.",
        ),
    ] = "",
) -> None:
    """Import caller-IDs from a CSV file. A daemon that runs uses them within a second."""
    settings = load_settings()
    set_up_logging("WARNING")
    if (file is None) == (not from_caller_id_api):
        raise typer.BadParameter("write either a file or --from-caller-id-api with a database", param_hint="FILE")
    report = (
        _import_seed(settings, from_caller_id_api, dry_run) if file is None else _import_file(settings, file, dry_run)
    )
    typer.echo("Dry run: nothing was changed." if dry_run else "Import complete!")
    typer.echo(f"  Imported: {report.added}")
    typer.echo(f"  Updated: {report.updated}")
    typer.echo(f"  Skipped: {report.unchanged + report.duplicates}")
    typer.echo(f"  Errors: {report.errors}")
    if report.warnings:
        typer.echo(f"  Warnings: {report.warnings}")
    if report.new_groups:
        typer.echo(f"  New groups: {', '.join(report.new_groups)}")
    if report.unknown_columns:
        typer.echo(f"  Columns that are not used: {', '.join(report.unknown_columns)}")
    if report.errors:
        raise typer.Exit(2)


def _import_file(settings: Settings, file: Path, dry_run: bool) -> ImportReport:
    async def work() -> ImportReport:
        async with _database(settings) as database:
            with Progress(
                TextColumn("Importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=_console
            ) as progress:
                bar = progress.add_task("import", total=None)

                def show(problem: RowProblem) -> None:
                    progress.console.print(f"line {problem.line}: {problem.kind}: {problem.reason}", markup=False)

                return await import_csv(
                    file,
                    database,
                    ImportOptions(settings.default_region, dry_run),
                    on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
                    on_problem=show,
                )

    return asyncio.run(work())


def _import_seed(settings: Settings, dsn: str, dry_run: bool) -> ImportReport:
    async def work() -> SeedImport:
        async with _database(settings) as database:
            options = ImportOptions(settings.default_region, dry_run)
            return await import_seed(
                dsn,
                database,
                options,
                on_problem=lambda problem: _console.print(
                    f"row {problem.line - 1}: {problem.kind}: {problem.reason}", markup=False
                ),
            )

    found = asyncio.run(work())
    typer.echo(f"Read {found.read} caller-IDs, {found.switched_off} of them switched off.")
    return found.report


def export_command(
    file: Annotated[Path | None, typer.Argument(help="Where to write; standard output where it is left out.")] = None,
) -> None:
    """Write all caller-IDs as CSV, in the form that import reads."""
    settings = load_settings()
    set_up_logging("WARNING")

    async def work() -> int:
        async with _database(settings) as database:
            if file is None:
                return await export_csv(database, sys.stdout)
            with file.open("w", newline="", encoding="utf-8") as target:
                return await export_csv(database, target)

    count = asyncio.run(work())
    _console.print(f"{count} caller-IDs exported.")


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            yield database
