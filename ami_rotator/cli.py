"""The command `ami-rotator`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ami_rotator.ami.stanza import manager_conf
from ami_rotator.app import App
from ami_rotator.cli_admin import caller_ids_cli, reservations_cli, users_cli
from ami_rotator.cli_campaigns import campaigns_cli, exchanges_cli
from ami_rotator.cli_doctor import doctor
from ami_rotator.cli_explain import explain_command
from ami_rotator.cli_jobs import jobs_cli
from ami_rotator.cli_opt_outs import opt_outs_cli
from ami_rotator.cli_plan import plan_command
from ami_rotator.cli_vicidial import vicidial_cli
from ami_rotator.dialplan import Hook, patterns_for, render
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.csv_export import export_csv
from ami_rotator.ledger.csv_import import ImportOptions, ImportReport, RowProblem, import_csv
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.seed_import import SeedImport, import_seed
from ami_rotator.log import set_up_logging
from ami_rotator.settings import Settings, load_settings
from ami_rotator.simulator import Simulator, SimulatorOptions
from ami_rotator.stores import open_stores

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(campaigns_cli, name="campaigns")
app.add_typer(exchanges_cli, name="exchanges")
app.add_typer(opt_outs_cli, name="opt-outs")
app.add_typer(jobs_cli, name="jobs")
app.command()(doctor)
app.add_typer(caller_ids_cli, name="caller-ids")
app.add_typer(users_cli, name="users")
app.add_typer(reservations_cli, name="reservations")
app.add_typer(vicidial_cli, name="vicidial")
app.command("plan")(plan_command)
app.command("explain")(explain_command)
_T = TypeVar("_T")
_console = Console(stderr=True, highlight=False)


def main() -> None:
    """Run a command; what went wrong is told in a sentence, and the exit code is 1."""
    try:
        app()
    except RotatorError as error:
        _console.print(f"[red]{error}[/red]", soft_wrap=True)
        sys.exit(1)


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@app.command()
def serve() -> None:
    """Run the daemon until Ctrl-C or SIGTERM."""
    settings = load_settings()
    set_up_logging("DEBUG" if settings.debug else settings.log_level, settings.log_file)
    _run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _stop_or_end, signum, stop)
    await _serve_until(App(settings), stop)


def _stop_or_end(signum: int, stop: asyncio.Event) -> None:
    """Stop in order; asked a second time, end at once."""
    if stop.is_set():
        _console.print("Asked twice: ending at once. What is lost by that comes back when the daemon starts again.")
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
    stop.set()


async def _serve_until(daemon: App, stop: asyncio.Event) -> None:
    async with daemon.running():
        _console.print(
            f"\n[bold]ami_rotator is running.[/bold]  Dashboard: {daemon.base_url}/dashboard", soft_wrap=True
        )
        link = await daemon.sign_in_link()
        if link is not None:
            _console.print(f"Sign in with this link, once, within 15 minutes: {link}", soft_wrap=True)
        if daemon.settings.admin_token is None:
            _console.print(f"Sign in with this token, made for this run: [bold]{daemon.admin_token}[/bold]")
        if not daemon.settings.all_dialers():
            _console.print("No dialer is configured, so a simulated one places calls. Stop with Ctrl-C.\n")
        await stop.wait()
        _console.print("Stopping: calls under way are finished with, then everything that was started is stopped.")
    _console.print("Stopped.")


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database to the newest schema."""
    settings = load_settings()
    set_up_logging(settings.log_level)

    async def work() -> None:
        async with open_stores(settings) as stores:
            report = await migrate(stores.database_dsn)
        applied = ", ".join(str(number) for number in report.applied) or "nothing was missing"
        typer.echo(f"The database has version {report.version} ({applied}).")

    _run(work())


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            yield database


@app.command("import")
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

    return _run(work())


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

    found = _run(work())
    typer.echo(f"Read {found.read} caller-IDs, {found.switched_off} of them switched off.")
    return found.report


@app.command("export")
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

    count = _run(work())
    _console.print(f"{count} caller-IDs exported.")


@app.command()
def dialplan(
    dialer: Annotated[str, typer.Option(help="Name of the dialer, as in DIALERS.")] = "",
    via: Annotated[str, typer.Option(help="How the dialplan asks: curl or fastagi.")] = "curl",
    trunk: Annotated[
        str, typer.Option(help="What your carrier entry dials, with {number} in the number's place.")
    ] = "${SIPTRUNK}/{number}",
    url: Annotated[str, typer.Option(help="Address of this daemon as the dialer reaches it.")] = "",
    pjsip: Annotated[bool, typer.Option("--pjsip", help="PJSIP trunk: adds Dial option I.")] = False,
) -> None:
    """Print the carrier entry lines for a dialer."""
    settings = load_settings()
    if via not in ("curl", "fastagi"):
        raise typer.BadParameter("write curl or fastagi", param_hint="--via")
    chosen: Literal["curl", "fastagi"] = "curl" if via == "curl" else "fastagi"
    known = {item.name: item for item in settings.all_dialers()}
    if dialer and dialer not in known:
        names = ", ".join(known) or "none is configured"
        raise typer.BadParameter(f"no dialer {dialer!r} in the settings; there is: {names}", param_hint="--dialer")
    prefixes = list(known[dialer].dial_prefixes) if dialer else ["9"]
    key = settings.next_cid_key.get_secret_value() if settings.next_cid_key else ""
    hooks = [
        Hook(
            pattern=pattern,
            prefix_length=length,
            trunk=trunk,
            base_url=url or f"http://{settings.api_host}:{settings.api_port}",
            budget_s=settings.answer_budget_ms / 1000,
            via=chosen,
            fastagi=f"{settings.api_host}:{settings.fastagi_port or 4578}",
            key=key,
            dialer=dialer,
            presentation=settings.presentation,
            keeps_connected_line=pjsip,
        )
        for pattern, length in patterns_for(prefixes)
    ]
    typer.echo(render(hooks))


@app.command("manager-conf")
def manager_conf_command(
    dialer: Annotated[str, typer.Option(help="Name of the dialer, as in DIALERS.")] = "",
    permit: Annotated[
        str, typer.Option(help="Address of this daemon as the dialer sees it.")
    ] = "127.0.0.1/255.255.255.255",
) -> None:
    """Print the manager.conf lines for our AMI account: what we need, and no more."""
    settings = load_settings()
    known = {item.name: item for item in settings.all_dialers()}
    if dialer and dialer not in known:
        raise typer.BadParameter(
            f"no dialer {dialer!r} in the settings; there is: {', '.join(known) or 'none is configured'}",
            param_hint="--dialer",
        )
    username = known[dialer].username if dialer else "rotator"
    typer.echo(manager_conf(username, "WRITE_A_LONG_SECRET_HERE", permit=permit))


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="AMI port; 0 takes a free one.")] = 5038,
    rate: Annotated[float, typer.Option(help="Calls a second.")] = 5.0,
    seconds: Annotated[float, typer.Option(help="How long; 0 until Ctrl-C.")] = 0.0,
    url: Annotated[str, typer.Option(help="Where its dialplan asks /next-cid; empty: it does not ask.")] = "",
    secret: Annotated[str, typer.Option(help="AMI secret of the user rotator.")] = "simulator",
) -> None:
    """Run a pretend Asterisk that dials as VICIdial does, and report what it saw."""
    set_up_logging("INFO")

    async def work() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        async with Simulator(SimulatorOptions(port=port, secret=secret, http_url=url)) as simulator:
            _console.print(f"AMI on 127.0.0.1:{simulator.port}, user rotator; {rate:g} calls a second.")
            calls = asyncio.create_task(simulator.run(rate, seconds or None))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({calls, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (calls, stopping):
                task.cancel()
            await asyncio.gather(calls, stopping, return_exceptions=True)
            typer.echo(simulator.report)

    _run(work())
