"""`ami-rotator opt-outs`: destinations for which no caller-ID is given."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from ami_rotator.cli_campaigns import actor
from ami_rotator.domain.numbers import parse_number
from ami_rotator.domain.types import E164, Campaign
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.lead_list import read_numbers
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.opt_outs import OptOuts
from ami_rotator.log import set_up_logging
from ami_rotator.settings import load_settings
from ami_rotator.stores import open_stores

opt_outs_cli = typer.Typer(help="Destinations for which no caller-ID is given.", no_args_is_help=True)

_AT_ONCE = 10_000
_ONE_CAMPAIGN = typer.Option(help="Calls of this campaign alone; left out: of every campaign.")


class OptOutError(RotatorError):
    """The list cannot be changed like this."""


@opt_outs_cli.command("list")
def list_opt_outs() -> None:
    """Print the list as CSV: destination, campaign (empty: every), note."""
    asyncio.run(_list())


@opt_outs_cli.command("add")
def add_opt_outs(
    numbers: Annotated[list[str], typer.Argument(help="Phone numbers.")],
    campaign: Annotated[str, _ONE_CAMPAIGN] = "",
    note: Annotated[str, typer.Option(help="Why; kept with it.")] = "",
) -> None:
    """Give these destinations no caller-ID from now on. A daemon that runs knows it within a second."""
    added = asyncio.run(_change(_read(numbers), campaign, note, is_added=True))
    typer.echo(f"{added} added to the list, {len(numbers) - added} were on it.")


@opt_outs_cli.command("remove")
def remove_opt_outs(
    numbers: Annotated[list[str], typer.Argument(help="Phone numbers.")], campaign: Annotated[str, _ONE_CAMPAIGN] = ""
) -> None:
    """Take destinations off the list."""
    removed = asyncio.run(_change(_read(numbers), campaign, "", is_added=False))
    typer.echo(f"{removed} taken off the list, {len(numbers) - removed} were not on it.")


@opt_outs_cli.command("import")
def import_opt_outs(
    file: Annotated[Path, typer.Argument(help="CSV with a column of phone numbers.")],
    campaign: Annotated[str, _ONE_CAMPAIGN] = "",
    note: Annotated[str, typer.Option(help="Why; kept with each.")] = "",
) -> None:
    """Add all numbers of a file. Can be repeated."""
    read = list(read_numbers(file, load_settings().default_region))
    numbers = list(dict.fromkeys(number for number in read if number is not None))
    added = asyncio.run(_change(numbers, campaign, note, is_added=True))
    typer.echo(f"{added} added to the list, {len(numbers) - added} were on it.")
    if None in read:
        typer.echo(f"{read.count(None)} rows have no phone number.")


def _read(texts: Sequence[str]) -> list[E164]:
    region = load_settings().default_region
    numbers = {text: parse_number(text, region) for text in texts}
    wrong = [text for text, number in numbers.items() if number is None]
    if wrong:
        raise OptOutError(
            f"{', '.join(repr(text[:40]) for text in wrong)} cannot be read as a phone number; write for example"
            " 2125550100 or +442071234567. Nothing was changed."
        )
    return [number for number in numbers.values() if number is not None]


@asynccontextmanager
async def _database() -> AsyncIterator[Database]:
    settings = load_settings()
    set_up_logging("WARNING")
    async with open_stores(settings) as stores:
        await migrate(stores.database_dsn)
        async with Database.open(stores.database_dsn) as database:
            yield database.acting_as(actor())


async def _list() -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("phone_number", "campaign", "note"))
    async with _database() as database:
        async for batch in OptOuts(database).load_all():
            writer.writerows((item.destination, item.campaign, item.note) for item in batch)


async def _change(numbers: Sequence[E164], campaign: str, note: str, *, is_added: bool) -> int:
    done = 0
    async with _database() as database:
        opt_outs = OptOuts(database)
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            if is_added:
                done += len(await opt_outs.add(part, Campaign(campaign), note))
            else:
                done += len(await opt_outs.remove(part, Campaign(campaign)))
    return done
