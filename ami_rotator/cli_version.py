"""`ami-rotator --version`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"ami_rotator {version('ami_rotator')}")
        raise typer.Exit


def version_option(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """The caller-ID engine for VICIdial."""
