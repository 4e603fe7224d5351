"""The pages that are made from the program: settings and commands.

Run as a program to write them: ``python -m tests.docs.references`` (``make docs``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ami_rotator.cli import app
from ami_rotator.settings_reference import env_example

DOCS = Path(__file__).parents[2] / "docs"


_SETTINGS_HEAD = """\
# Settings

Made from the program by `make docs`; a test holds both together. Every option is read once, at the start, from the
environment and from the file `.env` in the working folder; the environment wins, and an empty value is as none. A wrong
value stops the start with a message that says which, why, and what to write instead. `.env.example` has the same list."""

_CLI_HEAD = """\
# Commands

Made from the program by `make docs`; a test holds both together. Each command reads the [settings](settings.md) of the
folder it is run in; `ami-rotator --version` needs none. Exit codes: 0 done; 1 it could not be done, and the message says
why and what to do; 2 wrong arguments, or rows of a file that were not imported."""


def settings_page() -> str:
    """Return docs/settings.md."""
    return "\n".join(_settings()) + "\n"


def cli_page() -> str:
    """Return docs/cli.md."""
    return "\n".join(_commands()) + "\n"


def _settings() -> Iterator[str]:
    yield _SETTINGS_HEAD
    described = ""
    for line in env_example().splitlines()[1:]:
        if line.startswith("# --- "):
            yield from ("", f"## {line.removeprefix('# --- ').removesuffix(' ---')}", "")
            yield from ("| option | default | what it does |", "|---|---|---|")
        elif line.startswith("# "):
            described = line.removeprefix("# ")
        elif line:
            name, _, default = line.partition("=")
            yield f"| `{name}` | {f'`{default}`' if default else ''} | {_cell(described)} |"


def _commands() -> Iterator[str]:
    yield _CLI_HEAD
    command: Any = typer.main.get_command(app)  # click's, as typer brings it
    yield from _described("ami-rotator", command, command.make_context("ami-rotator", [], resilient_parsing=True))


def _described(name: str, command: Any, context: Any) -> Iterator[str]:
    if not hasattr(command, "list_commands"):
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        yield from ("", f"## {name}", "", _paragraph(command.help or ""), "", f"    {usage}")
        yield from _parameters(command, context)
        return
    if name != "ami-rotator":
        yield from ("", f"## {name}", "", _paragraph(command.help or ""))
        yield from _parameters(command, context)
    for part in sorted(command.list_commands(context)):
        found = command.get_command(context, part)
        if not found.hidden:
            inside = found.make_context(part, [], parent=context, resilient_parsing=True)
            yield from _described(f"{name} {part}", found, inside)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    rows = [row for parameter in command.params if (row := _parameter(parameter, context))]
    if rows:
        yield from ("", "| option | default | what it does |", "|---|---|---|", *rows)


def _parameter(parameter: Any, context: Any) -> str:
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return ""
    names = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        names = f"`{name}`" if parameter.required else f"`[{name}]`"
    default = parameter.default
    is_told = default not in (None, "", False, ()) and not callable(default) and "UNSET" not in repr(default)
    return f"| {names} | {f'`{default}`' if is_told else ''} | {_cell(getattr(parameter, 'help', '') or '')} |"


def _paragraph(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _paragraph(text).replace("|", "\\|")


if __name__ == "__main__":
    DOCS.joinpath("settings.md").write_text(settings_page(), encoding="utf-8")
    DOCS.joinpath("cli.md").write_text(cli_page(), encoding="utf-8")
