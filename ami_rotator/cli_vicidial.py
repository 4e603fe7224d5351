"""`ami-rotator vicidial`: the account for VICIdial's database, and what can be taken over from its settings."""

from __future__ import annotations

import asyncio
import csv
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ami_rotator.domain.campaign import policy_of
from ami_rotator.domain.types import E164, Area, Campaign, Group
from ami_rotator.errors import SettingsError
from ami_rotator.foresight import parts_used, vicidial_address
from ami_rotator.ledger.csv_import import import_csv
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import GroupSettings, Inventory, LimitDefaults
from ami_rotator.ledger.migrate import migrate
from ami_rotator.log import set_up_logging
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.grants import Finding, check_grants, grants_sql
from ami_rotator.vicidial.schema import Part
from ami_rotator.vicidial.settings_import import (
    ImportPlan,
    PresentCallerId,
    PresentState,
    apply_plan,
    make_plan,
    render,
)
from ami_rotator.vicidial.settings_mapping import WantedCallerId, map_settings
from ami_rotator.vicidial.settings_read import read_settings

vicidial_cli = typer.Typer(help="VICIdial's own database: rights, and what can be taken over.", no_args_is_help=True)


@vicidial_cli.command("grants")
def grants(
    host: Annotated[str, typer.Option(help="Where this daemon connects from, as MySQL sees it.")] = "127.0.0.1",
    check: Annotated[bool, typer.Option("--check", help="Compare with the rights that the account has.")] = False,
) -> None:
    """Print the statements that make the account, with the rights that are used and no more."""
    settings = load_settings()
    set_up_logging("WARNING")
    parts = parts_used(settings)
    address = vicidial_address(settings)
    if not check:
        name, user = (address.name, address.user) if address else ("asterisk", "rotator")
        typer.echo("\n".join(grants_sql(name, user, host, parts=parts)))
        return
    findings = asyncio.run(_check(settings, parts))
    for finding in findings:
        typer.echo(f"{finding.level}: {finding.what}\n  {finding.fix}")
    if not findings:
        typer.echo("The account has the rights that are used, and no more.")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


@vicidial_cli.command("import")
def import_settings(
    apply: Annotated[bool, typer.Option("--apply", help="Do it. Without this the plan is only shown.")] = False,
) -> None:
    """Take over CID groups, AC-CIDs, campaign and list CIDs, and the groups of campaigns. Can be repeated."""
    settings = load_settings()
    set_up_logging("WARNING")
    plan = asyncio.run(_import(settings, apply=apply))
    typer.echo(render(plan))
    if not plan.is_empty:
        typer.echo("Done." if apply else "Nothing was changed. To do it: ami-rotator vicidial import --apply")


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[VicidialConnection]:
    address = vicidial_address(settings)
    if address is None:
        raise SettingsError(
            "VICIdial's database is not configured. Set VICIDIAL_DATABASE_URL, for example"
            " mysql://rotator:password@10.0.0.5:3306/asterisk; `ami-rotator vicidial grants` prints how to make the account."
        )
    connection = VicidialConnection(address, purpose="command", query_limit_s=30)
    await connection.open()
    try:
        yield connection
    finally:
        connection.close()


async def _check(settings: Settings, parts: Sequence[Part]) -> list[Finding]:
    async with _connected(settings) as connection:
        return await check_grants(connection, parts)


async def _import(settings: Settings, *, apply: bool) -> ImportPlan:
    async with _connected(settings) as connection:
        wanted = map_settings(await read_settings(connection), settings.default_region)
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            limits = LimitDefaults(
                settings.default_hourly_limit, settings.default_daily_limit, settings.default_cooldown_seconds
            )
            target = _Target(database, Inventory(database, limits))
            plan = make_plan(wanted, await target.present())
            if apply:
                await apply_plan(plan, target)
            return plan


class _Target:
    """Our inventory, as the import writes to it."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory

    async def present(self) -> PresentState:
        """Return what we have."""
        caller_ids = {
            item.number: PresentCallerId(item.group, item.area)
            async for batch in self._inventory.load_all()
            for item in batch
        }
        campaigns = {name: policy.groups for name, policy in (await self._inventory.campaigns()).items()}
        return PresentState(list(await self._inventory.groups()), caller_ids, campaigns)

    async def create_group(self, group: Group) -> None:
        """Make a group."""
        await self._inventory.save_group(GroupSettings(group))

    async def add_caller_ids(self, caller_ids: Sequence[WantedCallerId]) -> None:
        """Add caller-IDs."""
        await self._import_rows(
            [
                {
                    "caller_id": item.number,
                    "area_code": item.area,
                    "group": item.group,
                    "switch": "active" if item.active else "disabled",
                }
                for item in caller_ids
            ]
        )

    async def move_caller_id(self, number: E164, group: Group, area: Area) -> None:
        """Change the group and area of a caller-ID."""
        await self._import_rows([{"caller_id": number, "area_code": area, "group": group}])

    async def set_campaign_groups(self, campaign: Campaign, groups: tuple[Group, ...]) -> None:
        """Set a campaign's groups, in order; the rest of its policy stays."""
        policy = policy_of(campaign, await self._inventory.campaigns())
        await self._inventory.save_campaign(replace(policy, groups=groups))

    async def _import_rows(self, rows: Sequence[dict[str, str]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "vicidial.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            await import_csv(path, self._database)
