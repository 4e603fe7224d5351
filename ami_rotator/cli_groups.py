"""`ami-rotator groups`: what groups say of their caller-IDs, from the command line."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ami_rotator.admin.campaigns import GroupView
from ami_rotator.admin.errors import NotFoundError
from ami_rotator.admin.policies import read_group
from ami_rotator.admin.policy_csv import columns_of, read_rows, value_of, write_rows
from ami_rotator.cli_campaigns import actor, checked_rows, open_campaigns
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.inventory import GroupSettings

groups_cli = typer.Typer(help="Show and change groups: limits and warm-up of their caller-IDs.", no_args_is_help=True)


class GroupError(RotatorError):
    """What was asked of a group cannot be done."""


@groups_cli.command("list")
def list_groups(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all groups."""
    views = asyncio.run(_list())
    if as_json:
        found = {view.settings.name: {**_values(view.settings), "caller_ids": view.caller_ids} for view in views}
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for view in views:
        typer.echo(f"{view.settings.name}: {view.caller_ids:,} caller-IDs; {_said(view.settings) or 'the defaults'}")


@groups_cli.command("set")
def set_group(
    name: Annotated[str, typer.Argument(help="The group; one that does not exist is made.")],
    changes: Annotated[list[str], typer.Argument(help="field=value ...; docs/choosing.md names them.")],
) -> None:
    """Change a group; what is not named stays. A daemon that runs uses it within a second."""
    settings, warnings = asyncio.run(_set(name, dict(_change(text) for text in changes)))
    typer.echo(f"{settings.name}: {_said(settings) or 'the defaults'}")
    for line in warnings:
        typer.echo(f"Note: {line}")


@groups_cli.command("export")
def export_groups() -> None:
    """Print all groups as CSV."""
    write_rows(sys.stdout, GroupSettings, [view.settings for view in asyncio.run(_list())])


@groups_cli.command("import")
def import_groups(
    file: Annotated[Path, typer.Argument(help="CSV as export prints it; fewer columns will do.")],
) -> None:
    """Add and change the groups of a file: all of them, or none where a row is wrong. A missing column stays."""
    typer.echo(f"{asyncio.run(_import(file))} groups are as the file says.")


async def _list() -> tuple[GroupView, ...]:
    async with open_campaigns() as (campaigns, _):
        return await campaigns.groups()


async def _set(name: str, values: dict[str, Any]) -> tuple[GroupSettings, tuple[str, ...]]:
    async with open_campaigns() as (campaigns, _):
        try:
            before = _values((await campaigns.group(name)).settings)
        except NotFoundError:
            before = {}
        saved = await campaigns.save_group(actor(), name, {**before, **values})
        return (await campaigns.group(name)).settings, saved.warnings


async def _import(file: Path) -> int:
    async with open_campaigns() as (campaigns, _):
        before = {str(view.settings.name): _values(view.settings) for view in await campaigns.groups()}
        with file.open(encoding="utf-8-sig", newline="") as source:
            rows = [
                (line, name, {**before.get(name, {}), **values}) for line, name, values in read_rows(source, GroupSettings)
            ]  # fmt: skip
        checked_rows(rows, read_group)
        for _, name, values in rows:
            await campaigns.save_group(actor(), name, values)
        return len(rows)


def _change(text: str) -> tuple[str, Any]:
    field, sign, value = text.partition("=")
    known = [name for name in columns_of(GroupSettings) if name != "name"]
    if not sign or field not in known:
        raise GroupError(f"{text!r} changes nothing: write field=value; the fields are {', '.join(known)}.")
    return field, value_of(GroupSettings, field, value)


def _values(settings: GroupSettings) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(settings).items() if name != "name"}


def _said(settings: GroupSettings) -> str:
    default = _values(GroupSettings(settings.name))
    return " ".join(f"{name}={value}" for name, value in _values(settings).items() if value != default[name])
