"""`ami-rotator plan`: how many numbers are needed where, what to buy, what is idle."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from ami_rotator.domain.advice import on_limits
from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import policy_of
from ami_rotator.domain.planner import Caps, Demand, Per, Plan, lead_demand, make_plan, what_if
from ami_rotator.domain.types import Area, Campaign
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.demand import past_demand
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.lead_list import read_leads
from ami_rotator.ledger.migrate import migrate
from ami_rotator.log import set_up_logging
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores

_USUAL_CALL_S = 45.0
_ROWS = 40


class PlanError(RotatorError):
    """The plan cannot be made."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the plan is to be made of."""

    leads: Path | None
    campaign: str
    days: int
    per: Per
    daily_limit: int | None
    hourly_limit: int | None
    headroom: float
    calls_per_lead: float
    lead_days: float
    hours: float


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
    asked = Asked(
        leads, campaign, days, chosen[per], daily_limit, hourly_limit, headroom / 100, calls_per_lead, lead_days, hours
    )
    settings = load_settings()
    set_up_logging("WARNING")
    plan, caps, notes = asyncio.run(_plan(settings, asked))
    if as_json:
        totals = {"needed": plan.needed, "buy": plan.buy, "idle": plan.idle, "calls_nowhere": plan.calls_nowhere}
        answer = {"per": per, "caps": asdict(caps), "totals": totals, "places": plan.places, "notes": notes}
        typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
        return
    _print(plan, caps, notes, None if every else _ROWS)


async def _plan(settings: Settings, asked: Asked) -> tuple[Plan, Caps, list[str]]:
    defaults = LimitDefaults(
        settings.default_hourly_limit, settings.default_daily_limit, settings.default_cooldown_seconds, settings.zone
    )
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            stock = await _stock(Inventory(database, defaults), Campaign(asked.campaign))
            demand, call_s, notes = await _demand(database, settings, asked)
    caps = what_if(
        Caps(
            max(settings.default_daily_limit, 1),
            max(settings.default_hourly_limit, 1),
            busy_s=call_s + settings.default_cooldown_seconds,
            headroom=asked.headroom,
        ),
        daily_limit=asked.daily_limit,
        hourly_limit=asked.hourly_limit,
    )
    notes.extend(on_limits("The limits of this plan", caps.hourly_limit, caps.daily_limit))
    return make_plan(demand, stock, caps, asked.per), caps, notes


async def _stock(inventory: Inventory, campaign: Campaign) -> list[CallerId]:
    groups = None
    if campaign:
        policy = policy_of(campaign, await inventory.campaigns())
        groups = {*policy.groups, *policy.next_groups}
    return [item async for batch in inventory.load_all() for item in batch if groups is None or item.group in groups]


async def _demand(database: Database, settings: Settings, asked: Asked) -> tuple[dict[Area, Demand], float, list[str]]:
    if asked.leads is not None:
        leads = await asyncio.to_thread(read_leads, asked.leads, settings.default_region)
        notes = [f"{leads.unread} rows of {asked.leads.name} have no phone number."] if leads.unread else []
        demand = lead_demand(
            leads.areas, calls_per_lead=asked.calls_per_lead, days=asked.lead_days, hours_a_day=asked.hours
        )
        return demand, _USUAL_CALL_S, notes
    past = await past_demand(database, asked.days, settings.timezone, Campaign(asked.campaign))
    if not past.calls:
        raise PlanError(
            f"The ledger has no calls of the last {asked.days} days{f' of {asked.campaign}' if asked.campaign else ''}."
            " Give a CSV of leads: ami-rotator plan leads.csv, or look further back with --days."
        )
    return past.areas, past.call_s or _USUAL_CALL_S, []


def _print(plan: Plan, caps: Caps, notes: list[str], most: int | None) -> None:
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
