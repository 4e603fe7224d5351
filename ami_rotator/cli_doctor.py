"""`ami-rotator doctor`: everything that an installer gets wrong, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.console import Console

from ami_rotator.doctor import dialers, machine, stores, vicidial
from ami_rotator.doctor.findings import Check, Finding, Patient, examine
from ami_rotator.log import set_up_logging
from ami_rotator.settings import Settings, load_settings
from ami_rotator.stores import open_stores

CHECKS: tuple[tuple[str, Check], ...] = (
    ("redis", stores.redis),
    ("postgresql", stores.postgresql),
    ("dialers", dialers.dialers),
    ("vicidial", vicidial.vicidial),
    ("ports", machine.ports),
    ("reach", machine.reach),
    (".env", machine.env_file),
    ("limits", machine.limits),
)
"""Every check, in the order in which its findings are shown. Further parts of the program join here."""

_MARKS = {"ok": "[green]ok     [/green]", "advice": "[yellow]advice [/yellow]", "problem": "[red]PROBLEM[/red]"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check the installation, and say how to mend what is wrong. Ends with 1 where there is a problem."""
    settings = load_settings()
    set_up_logging("ERROR")
    findings = asyncio.run(_examine(settings))
    if as_json:
        typer.echo(orjson.dumps([asdict(finding) for finding in findings], option=orjson.OPT_INDENT_2).decode())
    else:
        _show(findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[Finding]:
    async with open_stores(settings) as opened:
        found = await examine(Patient(settings, opened), CHECKS)
    return [Finding(one.check, one.level, stores.without_password(one.what), one.fix) for one in found]


def _show(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        console.print(f"{_MARKS[finding.level]} {finding.check}: ", end="")
        console.print(finding.what, markup=False, soft_wrap=True)
        if finding.fix:
            console.print(f"        Fix: {finding.fix}", markup=False, soft_wrap=True)
