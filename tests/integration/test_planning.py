"""The plan from the ledger and from lead lists, and the commands around policies, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import FormData
from redis.asyncio import Redis

from ami_rotator.cli_campaigns import ExchangeFileError, read_exchanges
from ami_rotator.domain.planner import Demand
from ami_rotator.domain.types import Area, Campaign
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.demand import past_demand, stock_by_area
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.ledger.lead_list import LeadListError, read_leads
from ami_rotator.ledger.upkeep import roll_up_usage
from tests.support.api_rig import api_rig
from tests.support.pages_rig import PagesRig, pages_rig


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
    await roll_up_usage(database, "UTC")

    everything = await past_demand(database, (day - timedelta(days=11)).date())
    survey = await past_demand(database, (day - timedelta(days=11)).date(), Campaign("SURVEY"))

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


async def fill_ledger_and_stock(database: Database) -> None:
    """240 calls a day to 212, 10 an hour, on four days, 5 to toll-free; 3 numbers in 212 and one each in 646 and 415."""
    first = (datetime.now(UTC) - timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)
    calls: list[tuple[datetime, str, str, str | None]] = [
        (first + timedelta(days=day, hours=hour, seconds=second), "+12125550199", "SALES", None)
        for day in range(4)
        for hour in range(24)
        for second in range(10)
    ]
    calls += [(first, "+18005550100", "SURVEY", "none_free")] * 5
    await add_calls(database, calls)
    await roll_up_usage(database, "America/New_York")
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO caller_ids (caller_id, area, daily_limit, hourly_limit, switch) VALUES"
            " ('+12125550001', '212', 30, 10, 'active'), ('+12125550002', '212', 30, 10, 'active'),"
            " ('+12125550003', '212', 30, 10, 'resting'), ('+12125550004', '212', 30, 10, 'disabled'),"
            " ('+16465550001', '646', 30, 10, 'active'), ('+14155550001', '415', 30, 10, 'active')"
        )


@pytest.fixture
async def at(database: Database, redis_client: Redis) -> AsyncIterator[PagesRig]:
    async with pages_rig(database, redis_client) as rig:
        await rig.sign_in()
        yield rig


def figures(text: str) -> dict[str, str]:
    """The figures of the page by their names."""
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", text))


def rows(text: str, id: str) -> list[list[str]]:
    """The rows of one of its tables."""
    found = re.search(rf'id="h-{id}">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    cells = r"<t[hd][^>]*>(?:<a [^>]*>|<strong>)?([^<]*)"
    return [re.findall(cells, row) for row in found[1].split("</tr>")[:-1]] if found else []


async def test_the_page_says_what_to_buy_what_is_idle_and_what_if(at: PagesRig, database: Database) -> None:
    await fill_ledger_and_stock(database)
    as_it_is = await at.page("/plan?headroom_percent=0&daily_limit=&campaign=")
    what_if = await at.page("/plan?headroom_percent=0&daily_limit=40&hourly_limit=20")
    together = await at.page("/plan?per=region&headroom_percent=0")
    survey = await at.page("/plan?campaign=SURVEY")

    assert figures(as_it_is) == {"Calls a day": "245", "Caller-IDs": "5", "Needed": "4", "To buy": "1", "Idle": "2"}
    assert rows(as_it_is, "buy") == [["212", "240", "10", "3", "4", "1", "38 %", "daily limit"]]
    assert [row[0] for row in rows(as_it_is, "idle")] == ["415", "646"]
    assert "5 calls a day go to no place" in as_it_is
    assert "212: 240 calls a day, 3 of 4 caller-IDs, 1 to buy" in as_it_is
    assert (figures(what_if)["Needed"], figures(what_if)["To buy"]) == ("6", "3")
    assert 'name="daily_limit" inputmode="numeric" maxlength="9" value="40"' in what_if
    assert [row[:5] for row in rows(together, "buy")] == [["212", "240", "10", "4", "5"]]
    assert "5 calls a day go to no place" in survey


async def test_the_page_plans_for_a_list_of_leads_and_keeps_nothing_of_it(at: PagesRig) -> None:
    form = FormData({"calls_per_lead": "4", "lead_days": "5", "hours_a_day": "8", "daily_limit": "100"})
    form.add_field("file", b"phone_number\n" + b"2125550100\n" * 1000 + b"nobody\n", filename="leads.csv")
    _, text = await at.post("/plan", form)
    nothing = FormData({"calls_per_lead": "4"})
    nothing.add_field("file", b"name\nAnn\n", filename="leads.csv")
    status, refused = await at.post("/plan", nothing)

    assert figures(text) | {"Calls a day": "800", "Needed": "10", "To buy": "10"} == figures(text)
    assert "for 1,000 leads of leads.csv" in text
    assert "1 rows have no phone number." in text
    assert 'name="calls_per_lead" inputmode="decimal" maxlength="6" value="4"' in text
    assert (status, "The file has no column with phone numbers" in refused) == (400, True)


async def test_the_page_exports_all_places_and_says_what_is_missing_or_wrong(at: PagesRig, database: Database) -> None:
    assert "New calls are counted every minute" in await at.page("/plan")
    await fill_ledger_and_stock(database)
    table = list(csv.DictReader((await at.page("/plan/export.csv?headroom_percent=0")).splitlines()))
    status, text = await at.get("/plan?days=0")

    assert [(row["place"], row["buy"], row["idle"]) for row in table] == [
        ("212", "1", "0"), ("415", "0", "1"), ("646", "0", "1"),
    ]  # fmt: skip
    assert (status, "Days: Input should be greater than or equal to 1." in text) == (400, True)


async def test_the_api_gives_the_same_plan_and_takes_a_list(database: Database, redis_client: Redis) -> None:
    await fill_ledger_and_stock(database)
    async with api_rig(database, redis_client) as api:
        viewer = await api.user("viewer")
        _, plan = await api.json("GET", "/plan?headroom_percent=0", headers=viewer)
        _, leads = await api.json("POST", "/plan?calls_per_lead=4", data="phone_number\n" + "2125550100\n" * 1000)
        status, problem = await api.json("POST", "/plan", data="name\nAnn\n")

    assert plan["totals"] == {"have": 5, "needed": 4, "buy": 1, "idle": 2, "calls_nowhere": 5}
    assert plan["calls"] == 965
    assert plan["places"][0] | {"place": "212", "buy": 1, "bound_by": "day"} == plan["places"][0]
    assert (leads["calls"], leads["places"][0]["calls_a_day"]) == (1000, 800)
    assert (status, problem["errors"][0]["field"]) == (422, "body")
    assert "/tmp" not in problem["detail"]


async def test_numbers_that_warm_up_count_with_their_limit_of_today(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE groups SET warmup = '5,10,20'")
        await connection.execute(
            "INSERT INTO caller_ids (caller_id, area, daily_limit, warmup_from) VALUES"
            " ('+12125550001', '212', 50, CURRENT_DATE), ('+12125550002', '212', 50, CURRENT_DATE - 40),"
            " ('+12125550003', '212', 50, NULL)"
        )
    stock = await stock_by_area(database, None, LimitDefaults(20, 1000, 0), time.time())

    assert sorted((item.daily_limit, item.caller_ids) for item in stock) in (
        [(5, 1), (50, 2)],
        [(5, 1), (50, 1), (50, 1)],
    )


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
