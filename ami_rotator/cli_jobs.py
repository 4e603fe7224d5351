"""`ami-rotator jobs`: the maintenance jobs, how their last runs went, and one of them now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from ami_rotator.errors import RotatorError
from ami_rotator.jobs.book import JobBook
from ami_rotator.jobs.job import JobRun
from ami_rotator.log import set_up_logging
from ami_rotator.pool.connect import connect
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores

jobs_cli = typer.Typer(help="List the maintenance jobs, or run one now.", invoke_without_command=True)

_RUN_MOST_S = 120.0
_PICKED_UP_S = 10.0
_WIDE = 120


class JobError(RotatorError):
    """The job could not be run."""


@jobs_cli.callback()
def list_jobs(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the maintenance jobs with their last run, how long it took, and its result."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    set_up_logging("WARNING")
    runs = asyncio.run(_list(settings))
    if as_json:
        typer.echo(orjson.dumps([asdict(run) for run in runs], option=orjson.OPT_INDENT_2).decode())
    elif runs:
        console = Console()
        console.print(_table(runs, console.width))
    else:
        typer.echo("No daemon has run yet, so there are no jobs. Start one: ami-rotator serve")


@jobs_cli.command("run")
def run_job(name: Annotated[str, typer.Argument(help="Name of the job, as in `ami-rotator jobs`.")]) -> None:
    """Let a running daemon run one job now, and print its result."""
    settings = load_settings()
    set_up_logging("WARNING")
    run = asyncio.run(_run(settings, name))
    typer.echo(f"{run.name}: {run.result or 'nothing was to be done'} ({run.took_ms:.0f} ms, by {run.daemon})")
    if run.failed:
        raise typer.Exit(1)


async def _list(settings: Settings) -> list[JobRun]:
    async with _book(settings) as book:
        return await book.runs()


async def _run(settings: Settings, name: str) -> JobRun:
    async with _book(settings) as book:
        names = [run.name for run in await book.runs()]
        if name not in names:
            known = ", ".join(names) or "none, because no daemon has run yet"
            raise JobError(f"There is no job {name!r}. There is: {known}.")
        wish = await book.wish(name)
        asked_s = time.monotonic()
        while (waited_s := time.monotonic() - asked_s) < _RUN_MOST_S:
            await asyncio.sleep(0.1)
            run = next((run for run in await book.runs() if run.wish == wish.identity), None)
            if run is not None:
                return run
            if waited_s > _PICKED_UP_S and await book.has_wishes():
                raise JobError("No daemon took it within ten seconds. Start one: ami-rotator serve")
        raise JobError(f"{name} still runs after {_RUN_MOST_S:.0f} s. Its result will be in: ami-rotator jobs")


@asynccontextmanager
async def _book(settings: Settings) -> AsyncIterator[JobBook]:
    async with open_stores(settings) as stores:
        redis = connect(stores.redis_url, timeout_s=5.0)
        try:
            yield JobBook(redis, "{" + settings.inventory + "}")
        finally:
            await redis.aclose()


def _table(runs: Sequence[JobRun], width: int) -> Table:
    table = Table("job", "every", "last run", "took", "result", box=None, pad_edge=False)
    if width >= _WIDE:
        table.add_column("what it does", style="dim")
    for run in runs:
        at = datetime.fromtimestamp(run.at_ms / 1000).astimezone().strftime("%m-%d %H:%M:%S") if run.at_ms else "never"
        result = (
            f"failed {run.failures} times: {run.result}" if run.failed else run.result or ("ok" if run.at_ms else "")
        )
        took = f"{run.took_ms:.0f} ms" if run.at_ms else ""
        table.add_row(run.name, _interval(run.every_s), at, took, result, *([run.what] if width >= _WIDE else []))
    return table


def _interval(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
