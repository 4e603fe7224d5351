"""`ami-rotator plan`: how many numbers are needed where, what to buy, what is idle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from ami_rotator.admin.planning import LeadQuestion, Planned, Planning
from ami_rotator.clock import SystemClock
from ami_rotator.domain.planner import Caps, Per, Plan
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.upkeep import roll_up_usage
from ami_rotator.log import set_up_logging
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores

_ROWS = 40


class PlanError(RotatorError):
    """The plan cannot be made."""


def plan_command(
    leads: Annotated[Path | None, typer.Argument(help="CSV of leads to call; left out: what the ledger has.")] = None,
    campaign: Annotated[str, typer.Option(help="Calls and groups of this campaign alone.")] = "",
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days of the ledger to look at.")] = 14,
    per: Annotated[str, typer.Option(help="What is local enough: area, region (overlays), state or all.")] = "area",
    daily_limit: Annotated[int | None, typer.Option(min=1, help="What if every number had this daily limit?")] = None,
    hourly_limit: Annotated[int | None, typer.Option(min=1, help="What if every number had this hourly limit?")] = None,
    headroom: Annotated[float, typer.Option(min=0, max=500, help="Percent on top of the busiest day and hour.")] = 25.0,
    calls_per_lead: Annotated[float, typer.Option(min=0.01, help="Calls to each lead of the list.")] = 3.0,
    lead_days: Annotated[float, typer.Option(min=0.1, help="Days in which the list is to be called.")] = 5.0,
    hours: Annotated[float, typer.Option(min=0.5, max=24, help="Hours a day in which the list is called.")] = 8.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Print all places, not only the first 40.")] = False,
) -> None:
    """Say how many numbers are needed where, what to buy and what is idle, from past calls or a list of leads."""
    chosen: dict[str, Per] = {"area": "area", "region": "region", "state": "state", "all": "all"}
    if per not in chosen:
        raise typer.BadParameter("write area, region, state or all", param_hint="--per")
    question = LeadQuestion(
        campaign=campaign,
        days=days,
        per=chosen[per],
        daily_limit=daily_limit,
        hourly_limit=hourly_limit,
        headroom_percent=headroom,
        calls_per_lead=calls_per_lead,
        lead_days=lead_days,
        hours_a_day=hours,
    )
    settings = load_settings()
    set_up_logging("WARNING")
    found = asyncio.run(_plan(settings, question, leads))
    plan, caps = found.plan, found.caps
    if as_json:
        totals = {"needed": plan.needed, "buy": plan.buy, "idle": plan.idle, "calls_nowhere": plan.calls_nowhere}
        answer = {"per": per, "caps": asdict(caps), "totals": totals, "places": plan.places, "notes": found.notes}
        typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
        return
    _print(plan, caps, found.notes, None if every else _ROWS)


async def _plan(settings: Settings, question: LeadQuestion, leads: Path | None) -> Planned:
    defaults = LimitDefaults(
        settings.default_hourly_limit, settings.default_daily_limit, settings.default_cooldown_seconds, settings.zone
    )
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            planning = Planning(database, defaults, settings.default_region, SystemClock())
            if leads is not None:
                return await planning.of_leads(question, leads)
            # No daemon may run; the calls since the last count would be missing.
            await roll_up_usage(database, settings.timezone)
            found = await planning.of_ledger(question)
    if not found.calls:
        of_campaign = f" of {question.campaign}" if question.campaign else ""
        raise PlanError(
            f"The ledger has no calls of the last {question.days} days{of_campaign}."
            " Give a CSV of leads: ami-rotator plan leads.csv, or look further back with --days."
        )
    return found


def _print(plan: Plan, caps: Caps, notes: Sequence[str], most: int | None) -> None:
    console = Console(highlight=False)
    table = Table("place", box=None, pad_edge=False)
    for heading in ("calls a day", "an hour", "have", "needed", "buy", "idle", "served", "bound by"):
        table.add_column(heading, justify="right")
    for place in plan.places[:most]:
        table.add_row(
            place.place,
            f"{place.calls_a_day:,}",
            f"{place.calls_an_hour:,}",
            f"{place.have:,}",
            f"{place.needed:,}",
            f"[bold]{place.buy:,}[/bold]" if place.buy else "",
            f"{place.idle:,}" if place.idle else "",
            f"{place.served_share:.0%}" if place.calls_a_day else "",
            place.bound_by,
        )
    console.print(table)
    if most is not None and len(plan.places) > most:
        console.print(f"... and {len(plan.places) - most} more places; --all prints them.")
    limits = f"{caps.daily_limit:,} a day, {caps.hourly_limit:,} an hour"
    whose = "every number" if caps.replaces_own else "numbers to buy; those that are there have their own"
    console.print(
        f"In all: {plan.needed:,} needed, {plan.buy:,} to buy, {plan.idle:,} idle, at {limits} ({whose}),"
        f" {caps.busy_s:.0f} s a call with cool-down, {caps.headroom:.0%} headroom.",
        soft_wrap=True,
    )
    if plan.calls_nowhere:
        console.print(
            f"{plan.calls_nowhere:,} calls a day go to no place (toll-free and such); any number serves them."
        )
    for note in notes:
        console.print(f"Note: {note}", soft_wrap=True)
