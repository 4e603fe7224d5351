"""The command `ami-rotator`."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from ami_rotator.cli_admin import caller_ids_cli, reservations_cli, users_cli
from ami_rotator.cli_campaigns import campaigns_cli, exchanges_cli
from ami_rotator.cli_dialplan import dialplan, manager_conf_command
from ami_rotator.cli_doctor import doctor
from ami_rotator.cli_explain import explain_command
from ami_rotator.cli_groups import groups_cli
from ami_rotator.cli_jobs import jobs_cli
from ami_rotator.cli_opt_outs import opt_outs_cli
from ami_rotator.cli_plan import plan_command
from ami_rotator.cli_records import export_command, import_command, migrate_command
from ami_rotator.cli_serve import serve, simulate
from ami_rotator.cli_version import version_option
from ami_rotator.cli_vicidial import vicidial_cli
from ami_rotator.errors import RotatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.callback()(version_option)
app.command()(serve)
app.command("migrate")(migrate_command)
app.command("import")(import_command)
app.command("export")(export_command)
app.command()(dialplan)
app.command("manager-conf")(manager_conf_command)
app.command()(simulate)
app.command()(doctor)
app.command("plan")(plan_command)
app.command("explain")(explain_command)
app.add_typer(campaigns_cli, name="campaigns")
app.add_typer(groups_cli, name="groups")
app.add_typer(exchanges_cli, name="exchanges")
app.add_typer(opt_outs_cli, name="opt-outs")
app.add_typer(jobs_cli, name="jobs")
app.add_typer(caller_ids_cli, name="caller-ids")
app.add_typer(users_cli, name="users")
app.add_typer(reservations_cli, name="reservations")
app.add_typer(vicidial_cli, name="vicidial")
_console = Console(stderr=True, highlight=False)


def main() -> None:
    """Run a command; what went wrong is told in a sentence, and the exit code is 1."""
    try:
        app()
    except RotatorError as error:
        _console.print(f"[red]{error}[/red]", soft_wrap=True)
        sys.exit(1)
