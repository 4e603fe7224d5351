"""`ami-rotator campaigns` and `exchanges`: policies, and the cities of exchanges, from the command line."""

from __future__ import annotations

import asyncio
import csv
import getpass
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ami_rotator.admin.campaigns import Campaigns
from ami_rotator.admin.errors import InvalidError, Problem
from ami_rotator.admin.policies import read_campaign
from ami_rotator.admin.policy_csv import read_rows, value_of, write_rows
from ami_rotator.domain.access import Actor
from ami_rotator.domain.advice import on_policy
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Campaign
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.exchanges import save_exchanges
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.ledger.migrate import migrate
from ami_rotator.log import set_up_logging
from ami_rotator.settings import load_settings
from ami_rotator.stores import open_stores

campaigns_cli = typer.Typer(help="Show and change the campaigns' policies.", invoke_without_command=True)
exchanges_cli = typer.Typer(help="The cities of exchanges, for the rung city.", no_args_is_help=True)

_CITY_MAX = 60


class CampaignError(RotatorError):
    """What was asked of a campaign cannot be done."""


class ExchangeFileError(RotatorError):
    """The NPA-NXX file cannot be read."""


@campaigns_cli.callback()
def list_campaigns(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the campaigns that have a policy of their own."""
    if context.invoked_subcommand is None:
        _print_campaigns(as_json)


def _print_campaigns(as_json: bool) -> None:
    policies = asyncio.run(_list())
    if as_json:
        found = {policy.name: policy.to_dict() for policy in policies}
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    for policy in policies if not as_json else ():
        typer.echo(f"{policy.name}: {_said(policy) or 'the defaults'}")
    if not policies and not as_json:
        typer.echo("No campaign has a policy of its own: all use the group default, same area first, then any.")


@campaigns_cli.command("list")
def list_campaigns_by_name(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the campaigns that have a policy of their own."""
    _print_campaigns(as_json)


@campaigns_cli.command("show")
def show_campaign(
    name: Annotated[str, typer.Argument(help="VICIdial's campaign id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one policy whole, and advice on it."""
    policy = asyncio.run(_get(name))
    if as_json:
        typer.echo(orjson.dumps(policy.to_dict(), option=orjson.OPT_INDENT_2).decode())
        return
    for field, value in policy.to_dict().items():
        typer.echo(f"{field:22} {_text(value)}".rstrip())
    for line in on_policy(policy):
        typer.echo(f"Note: {line}")


@campaigns_cli.command("set")
def set_campaign(
    name: Annotated[str, typer.Argument(help="VICIdial's campaign id.")],
    changes: Annotated[
        list[str], typer.Argument(help="field=value ...; lists with commas; docs/choosing.md names them.")
    ],
) -> None:
    """Change a policy, or give a campaign one; what is not named stays. A daemon that runs uses it within a second."""
    policy, warnings = asyncio.run(_set(name, dict(_change(text) for text in changes)))
    typer.echo(f"{policy.name}: {_said(policy) or 'the defaults'}")
    for line in warnings:
        typer.echo(f"Note: {line}")


@campaigns_cli.command("remove")
def remove_campaign(name: Annotated[str, typer.Argument(help="VICIdial's campaign id.")]) -> None:
    """Delete a policy: the campaign's calls use the group default from then on."""
    asyncio.run(_remove(name))
    typer.echo(f"{name} has no policy of its own any more.")


@campaigns_cli.command("export")
def export_campaigns() -> None:
    """Print all policies as CSV."""
    write_rows(sys.stdout, CampaignPolicy, asyncio.run(_list()))


@campaigns_cli.command("import")
def import_campaigns(
    file: Annotated[Path, typer.Argument(help="CSV as export prints it; fewer columns will do.")],
) -> None:
    """Add and change the policies of a file: all of them, or none where a row is wrong. A missing column stays."""
    typer.echo(f"{asyncio.run(_import(file))} policies are as the file says.")


@exchanges_cli.command("import")
def import_exchanges(
    file: Annotated[Path, typer.Argument(help="CSV with the columns npa, nxx and city, or prefix and city.")],
) -> None:
    """Take over in which city each exchange is, from your own NPA-NXX file."""
    cities = read_exchanges(file)
    changed = asyncio.run(_save_exchanges(cities))
    typer.echo(f"{len(cities):,} exchanges read, {changed:,} of them new or other than before.")


def read_exchanges(path: Path) -> dict[str, str]:
    """Read an NPA-NXX file: the city of each exchange, by six digits.

    Raises:
        ExchangeFileError: there is no such file or column, or no exchange in it.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            cities = dict(_exchanges(csv.DictReader(file)))
    except (OSError, csv.Error) as error:
        raise ExchangeFileError(f"{path} cannot be read: {error}.") from error
    if not cities:
        raise ExchangeFileError(
            f"{path} has no exchanges. Its first line must name npa, nxx and city, or prefix and city."
        )
    return cities


def _exchanges(reader: csv.DictReader[str]) -> Iterator[tuple[str, str]]:
    for row in reader:
        cells = {str(key).strip().lower(): str(value or "").strip() for key, value in row.items()}
        prefix = cells.get("prefix") or cells.get("npa", "") + cells.get("nxx", "")
        digits = "".join(character for character in prefix if character.isdigit())
        city = " ".join((cells.get("city") or cells.get("ratecenter") or "").replace("|", " ").split())[:_CITY_MAX]
        if len(digits) == 6 and digits[0] in "23456789" and city:
            yield digits, city.title() if city.isupper() else city


def _change(text: str) -> tuple[str, Any]:
    field, sign, value = text.partition("=")
    known = [item.name for item in fields(CampaignPolicy) if item.name != "name"]
    if not sign or field not in known:
        raise CampaignError(f"{text!r} changes nothing: write field=value; the fields are {', '.join(known)}.")
    return field, value_of(CampaignPolicy, field, value)


def _said(policy: CampaignPolicy) -> str:
    default = CampaignPolicy(policy.name).to_dict()
    return " ".join(f"{field}={_text(value)}" for field, value in policy.to_dict().items() if value != default[field])


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else "" if value is None else str(value)


@asynccontextmanager
async def open_campaigns() -> AsyncIterator[tuple[Campaigns, Database]]:
    """Give the administrators' functions of campaigns and groups, and the database behind them."""
    settings = load_settings()
    set_up_logging("WARNING")
    defaults = LimitDefaults(
        settings.default_hourly_limit, settings.default_daily_limit, settings.default_cooldown_seconds, settings.zone
    )
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            yield Campaigns(database, defaults, _daemon_polls), database


async def _daemon_polls() -> None:
    """The running daemon looks for changes every second by itself."""


async def _list() -> tuple[CampaignPolicy, ...]:
    async with open_campaigns() as (campaigns, _):
        return await campaigns.list()


async def _get(name: str) -> CampaignPolicy:
    async with open_campaigns() as (campaigns, _):
        return await campaigns.get(name)


async def _set(name: str, values: Mapping[str, Any]) -> tuple[CampaignPolicy, tuple[str, ...]]:
    async with open_campaigns() as (campaigns, _):
        saved = await campaigns.save(actor(), name, values, keep=True)
        return await campaigns.get(name), saved.warnings


async def _import(file: Path) -> int:
    async with open_campaigns() as (campaigns, _):
        before = {policy.name: policy.to_dict() for policy in await campaigns.list()}
        with file.open(encoding="utf-8-sig", newline="") as source:
            rows = [
                (line, name, {**before.get(Campaign(name), {}), **values})
                for line, name, values in read_rows(source, CampaignPolicy)
            ]
        checked_rows(rows, read_campaign)
        for _, name, values in rows:
            await campaigns.save(actor(), name, values)
        return len(rows)


def checked_rows(
    rows: Iterable[tuple[int, str, Mapping[str, Any]]], read: Callable[[str, Mapping[str, Any]], object]
) -> None:
    """See that every row can be used, before any is saved.

    Raises:
        InvalidError: some cannot; says the line, the field, why, and what to write.
    """
    problems: list[Problem] = []
    for line, name, values in rows:
        try:
            read(name, values)
        except InvalidError as error:
            problems += [Problem(f"line {line}, {problem.field}", problem.message) for problem in error.problems]
    if problems:
        raise InvalidError(problems)


async def _remove(name: str) -> None:
    async with open_campaigns() as (campaigns, _):
        await campaigns.remove(actor(), name)


async def _save_exchanges(cities: Mapping[str, str]) -> int:
    async with open_campaigns() as (_, database):
        return await save_exchanges(database, cities)


def actor() -> Actor:
    """Return who runs the command, for the audit."""
    try:
        return Actor(getpass.getuser(), "cli")
    except (OSError, KeyError):  # no name for this user id, as in some containers
        return Actor("unknown", "cli")
