"""The plan from the ledger and from lead lists, and the commands around policies, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ami_rotator.cli_campaigns import ExchangeFileError, read_exchanges
from ami_rotator.domain.planner import Demand
from ami_rotator.domain.types import Area, Campaign
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.demand import past_demand
from ami_rotator.ledger.lead_list import LeadListError, read_leads


async def add_calls(database: Database, calls: list[tuple[datetime, str, str, str | None]]) -> None:
    """Write calls: when, destination, campaign, miss reason. Those that are no miss take 20 s."""
    async with database.transaction() as connection:
        await connection.executemany(
            "INSERT INTO calls (reservation_id, assigned_at, destination, campaign, caller_id, miss_reason, ended_at)"
            " VALUES (gen_random_uuid(), $1::timestamptz, $2, $3, CASE WHEN $4::text IS NULL THEN '+12125550001' END,"
            " $4::text::miss_reason, CASE WHEN $4::text IS NULL THEN $1::timestamptz + interval '20 seconds' END)",
            calls,
        )


async def test_demand_is_the_busiest_day_and_hour_of_each_area_misses_too(database: Database) -> None:
    day = (datetime.now(UTC) - timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0)
    busy = [(day + timedelta(minutes=n), "+12125550199", "SALES", None) for n in range(30)]
    later = [(day + timedelta(hours=3), "+12125550199", "SALES", "none_free")] * 5
    other = [(day - timedelta(days=1), "+12125550199", "SALES", None)] * 10
    abroad = [(day, "+442071234567", "SURVEY", None)] * 4
    left_out: list[tuple[datetime, str, str, str | None]] = [
        (day, "", "SALES", None),
        (day, "+12125550199", "SALES", "opted_out"),
        (day - timedelta(days=30), "+12125550199", "SALES", None),
    ]
    await add_calls(database, [*busy, *later, *other, *abroad, *left_out])

    everything = await past_demand(database, 14, "UTC")
    survey = await past_demand(database, 14, "UTC", Campaign("SURVEY"))

    assert everything.areas == {Area("212"): Demand(35, 30), Area("+4420"): Demand(4, 4)}
    assert (everything.calls, everything.call_s) == (49, 20.0)
    assert survey.areas == {Area("+4420"): Demand(4, 4)}


@pytest.mark.parametrize(
    "text",
    [
        "lead_id,phone_number,name\n1,2125550100,Ann\n2,(415) 555-0101,Bob\n3,n/a,Eve\n",
        "1;2125550100;Ann\n2;4155550101;Bob\n3;;Eve\n",
        "\ufeffPhone\n2125550100\n4155550101\nnone\n",
    ],
)
def test_a_lead_list_is_read_whatever_its_columns(tmp_path: Path, text: str) -> None:
    path = tmp_path / "leads.csv"
    path.write_text(text)

    leads = read_leads(path)

    assert leads.areas == {"212": 1, "415": 1}
    assert leads.unread == 1


@pytest.mark.parametrize("text", ["", "name,town\nAnn,Rome\nBob,Oslo\n"])
def test_a_file_without_numbers_is_refused_with_what_to_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "leads.csv"
    path.write_text(text)

    with pytest.raises(LeadListError, match="phone_number"):
        read_leads(path)


def test_an_exchange_file_gives_cities_by_six_digits(tmp_path: Path) -> None:
    path = tmp_path / "npanxx.csv"
    path.write_text("NPA,NXX,City\n212,555,NEW YORK\n415,555,San Francisco\n123,555,Nowhere\n646,55,Short\n")
    assert read_exchanges(path) == {"212555": "New York", "415555": "San Francisco"}

    path.write_text("a,b\n1,2\n")
    with pytest.raises(ExchangeFileError, match="npa, nxx and city"):
        read_exchanges(path)


# One process for all commands: starting one costs more than running it.
_RUNNER = """
import contextlib, io, json, sys
from ami_rotator.cli import main
for line in sys.stdin:
    said, failed, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["ami-rotator", *json.loads(line)]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, said.getvalue(), failed.getvalue()]))
"""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    said: str
    failed: str


def run_commands(dsn: str, folder: Path, commands: dict[str, list[str]]) -> dict[str, Ran]:
    """Run commands one after the other, as a user would in this folder."""
    environment = {
        "PATH": os.environ["PATH"],
        "ADMIN_TOKEN": "0123456789abcdef0123456789abcdef",
        "JWT_SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "DATABASE_URL": dsn,
        "REDIS_URL": "redis://127.0.0.1:1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER],
        input="".join(json.dumps(words) + "\n" for words in commands.values()),
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return {name: Ran(*json.loads(line)) for name, line in zip(commands, done.stdout.splitlines(), strict=True)}


async def test_the_commands_change_policies_and_opt_outs_and_plan(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "leads.csv").write_text("phone_number\n" + "2125550100\n" * 1000)
    (tmp_path / "gone.csv").write_text("phone_number\n2125550111\n+442071234567\nnobody\n")

    ran = run_commands(
        database_dsn,
        tmp_path,
        {
            "wrong": ["campaigns", "set", "SALES", "rungs=area,moon"],
            "saved": ["campaigns", "set", "SALES", "groups=west", "rungs=area,overlay,any", "daily_limit=900"],
            "kept": ["campaigns", "set", "SALES", "sticky_days=30"],
            "shown": ["campaigns", "show", "SALES", "--json"],
            "empty": ["plan"],
            "plan": ["plan", "leads.csv", "--daily-limit", "100", "--hourly-limit", "20", "--json"],
            "table": ["plan", "leads.csv"],
            "added": ["opt-outs", "add", "(212) 555-0100", "--campaign", "SALES", "--note", "asked"],
            "imported": ["opt-outs", "import", "gone.csv"],
            "removed": ["opt-outs", "remove", "2125550111", "2125550199"],
            "listed": ["opt-outs", "list"],
            "refused": ["opt-outs", "add", "2125550100", "hello"],
        },
    )

    async with database.connection() as connection:
        actions = await connection.fetch("SELECT DISTINCT kind, via FROM audit WHERE kind IN ('campaign', 'opt_out')")
    failed = {name for name, command in ran.items() if command.code}
    shown, plan = json.loads(ran["shown"].said), json.loads(ran["plan"].said)
    assert failed == {"wrong", "empty", "refused"}, ran
    assert "rungs" in ran["wrong"].failed
    assert "900 uses a day" in ran["saved"].said
    assert "Group west has no caller-IDs yet" in ran["saved"].said
    assert (shown["rungs"], shown["sticky_days"]) == (["area", "overlay", "any"], 30)
    assert shown["daily_limit"] == 900
    assert "Give a CSV of leads" in ran["empty"].failed
    assert plan["totals"]["buy"] == 8
    assert plan["places"][0]["place"] == "212"
    assert "In all:" in ran["table"].said
    assert "75 to 200" in ran["table"].said
    assert ran["imported"].said.splitlines() == ["2 added to the list, 0 were on it.", "1 rows have no phone number."]
    assert ran["removed"].said.strip() == "1 taken off the list, 1 were not on it."
    assert ran["listed"].said.splitlines()[1:] == ["+12125550100,SALES,asked", "+442071234567,,"]
    assert "'hello' cannot be read" in ran["refused"].failed
    assert {(row["kind"], row["via"]) for row in actions} == {("campaign", "cli"), ("opt_out", "cli")}
