"""`ami-rotator dialplan` and `manager-conf`: the lines that go onto a dialer."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ami_rotator.ami.stanza import manager_conf
from ami_rotator.dialplan import Hook, patterns_for, render
from ami_rotator.reach import what_to_do, why_not_asked
from ami_rotator.settings import load_settings


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
    for item in [known[dialer]] if dialer else known.values():
        if not url and (why := why_not_asked(settings, item)):
            typer.echo(f"These lines cannot work yet: {why}. Before you use them, {what_to_do(item)}.", err=True)


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
