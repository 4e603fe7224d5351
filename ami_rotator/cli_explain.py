"""`ami-rotator explain`: which caller-ID a call would get now, and why not the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from ami_rotator.domain.campaign import policy_of
from ami_rotator.domain.types import Campaign, Rung
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.exchanges import load_exchanges
from ami_rotator.log import set_up_logging
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import connect
from ami_rotator.pool.explaining import ExplainedStep, Explanation
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores

_SHOWN_MOST = 3


def explain_command(
    to: Annotated[str, typer.Argument(help="The number called, with or without dial prefix.")],
    campaign: Annotated[str, typer.Argument(help="VICIdial's campaign.")],
    lead: Annotated[str, typer.Option(help="Lead id, for campaigns with sticky caller-IDs.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which caller-ID a call would get now and how the ladder was walked. Nothing is given or counted."""
    settings = load_settings()
    set_up_logging("WARNING")
    found = asyncio.run(_explain(settings, to, Campaign(campaign), lead))
    if as_json:
        typer.echo(orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(Console(highlight=False), found)


async def _explain(settings: Settings, to: str, campaign: Campaign, lead: str) -> Explanation:
    async with open_stores(settings) as stores:
        redis = connect(stores.redis_url, timeout_s=5.0)
        try:
            pool = RedisPool(redis, settings.inventory, settings.zone, settings.reservation_ttl_seconds)
            prefixes = sorted({prefix for dialer in settings.all_dialers() for prefix in dialer.dial_prefixes} or {"9"})
            assigner = Assigner(pool, settings.default_region, prefixes)
            assigner.policies = await pool.policies()
            if Rung.CITY in policy_of(campaign, assigner.policies).rungs:
                async with Database.open(stores.database_dsn) as database:
                    assigner.cities = await load_exchanges(database)
            return await assigner.explain(campaign, to, lead)
        finally:
            await redis.aclose()


def _print(console: Console, found: Explanation) -> None:
    whom = found.destination or "a number that cannot be read"
    if found.caller_id is not None:
        console.print(f"{found.campaign} to {whom}: [bold]{found.caller_id}[/bold] ({found.rung}, {found.how})")
    else:
        why = f"{found.reason}: {found.detail}" if found.detail else found.reason
        console.print(f"{found.campaign} to {whom}: [bold]none[/bold] ({why}); the call keeps VICIdial's own number")
    if found.steps:
        console.print(_table(found.steps))


def _table(steps: Sequence[ExplainedStep]) -> Table:
    table = Table("rung", "group", "place", "there", "gave", "passed over", box=None, pad_edge=False)
    for step in steps:
        if step.event:
            table.add_row(step.rung, "", "", "", step.event, "")
            continue
        there = ", ".join(f"{count} {state}" for state, count in step.counts.items()) or "none"
        passed = [f"{one.number} {one.why}{_until(one.until_ms)}" for one in step.passed[:_SHOWN_MOST]]
        place = step.place or ("all" if step.counts else "")
        table.add_row(step.rung, step.group, place, there, step.chosen, "; ".join(passed))
    return table


def _until(at_ms: int) -> str:
    return f" until {datetime.fromtimestamp(at_ms / 1000).astimezone():%m-%d %H:%M:%S}" if at_ms else ""
