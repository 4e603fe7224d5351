"""`ami-rotator caller-ids`, `users`, `reservations`: what the dashboard can do, from the terminal.

Changes go into PostgreSQL; a daemon that runs takes them over within a second.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from ami_rotator.admin.caller_ids import EditReport, Target
from ami_rotator.admin.changes import CallerIdChanges, NewCallerIdBody, SwitchChanges
from ami_rotator.admin.desk import AdminDesk, AdminOptions
from ami_rotator.admin.errors import InvalidError, Problem
from ami_rotator.clock import SystemClock
from ami_rotator.domain.access import Actor, Role
from ami_rotator.domain.types import ReservationId, State
from ami_rotator.ledger.caller_id_list import CallerIdFilter, Sort
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.paging import START
from ami_rotator.log import set_up_logging
from ami_rotator.pool.connect import connect
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.settings import load_settings
from ami_rotator.stores import open_stores

caller_ids_cli = typer.Typer(help="List and change caller-IDs.", no_args_is_help=True)
users_cli = typer.Typer(help="List and change the people who may sign in.", no_args_is_help=True)
reservations_cli = typer.Typer(help="List live reservations, or end one.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Numbers = Annotated[list[str], typer.Argument(help="Numbers, in any common format.")]
_T = TypeVar("_T")


@caller_ids_cli.command("list")
def list_caller_ids(
    search: Annotated[str, typer.Option(help="Digits anywhere in the number, or text in carrier and meta.")] = "",
    group: str = "",
    area: str = "",
    carrier: str = "",
    state: Annotated[State | None, typer.Option(help="Where they stand in the pool now.")] = None,
    sort: Annotated[Sort, typer.Option(help="The order; with - before it the other way round.")] = "number",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List caller-IDs, with their use against their limits."""
    names = ("number", "area", "group", "carrier", "created")
    if sort.removeprefix("-") not in names:
        raise typer.BadParameter(
            f"write one of {', '.join(names)}, with - before it to turn it round", param_hint="--sort"
        )
    wanted = CallerIdFilter(search=search, group=group, area=area, carrier=carrier)
    page = _with_desk(lambda desk: desk.caller_ids.page(wanted, state=state, sort=sort, limit=limit))
    if as_json:
        _print_json([{**_plain(view.record), "now": view.standing and asdict(view.standing)} for view in page.items])
        return
    table = Table("number", "area", "group", "carrier", "state", "hour", "day", box=None, pad_edge=False)
    for view in page.items:
        now = view.standing
        hour = f"{now.used_this_hour}/{now.hourly_limit}" if now else ""
        day = f"{now.used_today}/{now.daily_limit}" if now else ""
        record = view.record
        state_shown = now.state.value if now else record.switch
        table.add_row(record.number, record.area, record.group, record.carrier, state_shown, hour, day)
    Console().print(table)
    if page.following != START:
        typer.echo(f"There are more than {limit}; narrow the search, raise --limit, or use: ami-rotator export")


@caller_ids_cli.command("add")
def add_caller_id(
    number: str,
    carrier: str = "",
    area: str = "",
    group: str = "default",
    hourly_limit: int | None = None,
    daily_limit: int | None = None,
) -> None:
    """Add a caller-ID."""
    new = _checked(
        lambda: NewCallerIdBody(
            number=number, carrier=carrier, area=area, group=group, hourly_limit=hourly_limit, daily_limit=daily_limit
        )
    )
    typer.echo(f"{_with_desk(lambda desk: desk.caller_ids.add(_actor(), new))} was added.")


@caller_ids_cli.command("set")
def set_caller_ids(
    numbers: Numbers,
    group: str | None = None,
    area: str | None = None,
    carrier: str | None = None,
    attestation: Annotated[str | None, typer.Option(help="A, B, C or empty.")] = None,
    minute_limit: Annotated[str | None, typer.Option(help="A number, 0 is never; group: that of the group.")] = None,
    hourly_limit: Annotated[str | None, typer.Option(help="As above.")] = None,
    daily_limit: Annotated[str | None, typer.Option(help="As above.")] = None,
) -> None:
    """Change group, area, carrier, attestation or limits of caller-IDs; what is not named stays."""
    given: dict[str, Any] = {"group": group, "area": area, "carrier": carrier, "attestation": attestation}
    given = {name: value for name, value in given.items() if value is not None}
    limits = {"minute_limit": minute_limit, "hourly_limit": hourly_limit, "daily_limit": daily_limit}
    given |= {name: None if value == "group" else value for name, value in limits.items() if value is not None}
    _edit(numbers, _checked(lambda: CallerIdChanges(**given)))


@caller_ids_cli.command("enable")
def enable(numbers: Numbers) -> None:
    """Switch caller-IDs on, also those that rest."""
    _edit(numbers, SwitchChanges(switch="active"))


@caller_ids_cli.command("disable")
def disable(numbers: Numbers) -> None:
    """Switch caller-IDs off; a live call keeps its own to the end."""
    _edit(numbers, SwitchChanges(switch="disabled"))


@caller_ids_cli.command("rest")
def rest(
    numbers: Numbers,
    hours: Annotated[float, typer.Option(help="How long; 0: until somebody enables them.", min=0, max=8760)] = 0,
) -> None:
    """Let caller-IDs rest."""
    until = int((time.time() + hours * 3600) * 1000) if hours else None
    _edit(numbers, SwitchChanges(switch="resting", resting_until_ms=until))


@users_cli.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List users."""
    found = _with_desk(lambda desk: desk.users.list())
    if as_json:
        _print_json([asdict(user) for user in found])
        return
    table = Table("name", "role", "state", "sessions", "last seen", box=None, pad_edge=False)
    for user in found:
        seen = _time(user.last_seen_at_ms) if user.last_seen_at_ms else "never"
        table.add_row(user.name, user.role, "disabled" if user.is_disabled else "", str(user.sessions), seen)
    Console().print(table)


@users_cli.command("add")
def add_user(
    name: str,
    role: Annotated[Role, typer.Option(help="What they may do.")] = "viewer",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Add a user; without a password one is made up and printed."""
    given = sys.stdin.readline().strip() if password_stdin else ""
    password = _with_desk(lambda desk: desk.users.add(_actor(), name, role, given))
    typer.echo(f"User {name} was added." if given else f"User {name} was added. The password: {password}")


@users_cli.command("disable")
def disable_user(name: str) -> None:
    """Disable a user and end their sessions."""
    _with_desk(lambda desk: desk.users.change(_actor(), name, is_disabled=True))
    typer.echo(f"User {name} is disabled.")


@users_cli.command("enable")
def enable_user(name: str) -> None:
    """Let a disabled user sign in again."""
    _with_desk(lambda desk: desk.users.change(_actor(), name, is_disabled=False))
    typer.echo(f"User {name} is enabled.")


@users_cli.command("password")
def set_password(
    name: str,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Give a user another password and end their sessions; without one it is made up and printed."""
    given = sys.stdin.readline().strip() if password_stdin else ""
    password = _with_desk(lambda desk: desk.users.set_password(_actor(), name, given))
    typer.echo("The password was changed." if given else f"The new password of {name}: {password}")


@reservations_cli.command("list")
def list_reservations(limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100, as_json: AsJson = False) -> None:
    """List live reservations, those that expire first first."""
    found = _with_desk(lambda desk: desk.reservations.list(0, limit))
    if as_json:
        _print_json([asdict(one) for one in found])
        return
    table = Table("reservation", "caller-ID", "campaign", "dialer", "call", "since", box=None, pad_edge=False)
    for one in found:
        call = one.code or one.uniqueid
        table.add_row(one.id, one.caller_id, one.campaign, one.dialer, call, _time(one.assigned_at_ms))
    Console().print(table)


@reservations_cli.command("release")
def release_reservation(reservation: str) -> None:
    """End a reservation: its caller-ID may be given to the next call."""
    found = _with_desk(lambda desk: desk.reservations.release(_actor(), ReservationId(reservation)))
    typer.echo(f"{found.caller_id} was taken back from its call.")


def _with_desk(work: Callable[[AdminDesk], Awaitable[_T]]) -> _T:
    set_up_logging("WARNING")

    async def run() -> _T:
        async with _desk() as desk:
            return await work(desk)

    return asyncio.run(run())


@asynccontextmanager
async def _desk() -> AsyncIterator[AdminDesk]:
    settings, clock = load_settings(), SystemClock()
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        redis = connect(stores.redis_url, timeout_s=5.0)
        try:
            async with Database.open(stores.database_dsn) as database:
                pool = RedisPool(
                    redis, settings.inventory, settings.zone, settings.reservation_ttl_seconds, clock=clock
                )
                defaults = LimitDefaults(
                    settings.default_hourly_limit, settings.default_daily_limit, settings.default_cooldown_seconds
                )
                # Nobody signs in here: the key signs nothing.
                options = AdminOptions(defaults, settings.default_region, settings.zone, "", 0.0)
                yield AdminDesk(database, redis, pool, options, _daemon_follows, clock)
        finally:
            await redis.aclose()


async def _daemon_follows() -> None:
    """Do nothing: a daemon that runs sees the change within a second."""


def _actor() -> Actor:
    """Return who is at the terminal, by the name the system knows: also behind sudo."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return Actor(name, "cli")


def _edit(numbers: Sequence[str], changes: CallerIdChanges | SwitchChanges) -> None:
    async def work(desk: AdminDesk) -> EditReport:
        target = Target(tuple(desk.caller_ids.read_number(number) for number in numbers))
        return await desk.caller_ids.edit(_actor(), target, changes)

    report = _with_desk(work)
    typer.echo(f"{len(report.done)} caller-IDs were changed.")
    if report.missing:
        typer.echo(f"Not in the inventory: {', '.join(report.missing)}", err=True)
        raise typer.Exit(2)


def _checked(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
        problems = [
            Problem(".".join(str(part) for part in item["loc"]) or "options", item["msg"].removeprefix("Value error, "))
            for item in items
        ]
        raise InvalidError(problems) from None


def _plain(record: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "cursor_value"}


def _print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
