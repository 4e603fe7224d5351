"""`ami-rotator vicidial` against a real MariaDB, and mode push as a whole."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from ami_rotator.simulator import Fixed, Simulator, SimulatorOptions
from ami_rotator.vicidial.address import DatabaseAddress
from tests.support.daemon_process import TOKEN, daemon, run_command
from tests.support.mariadb import execute, query

pytestmark = [pytest.mark.thorough, pytest.mark.mariadb, pytest.mark.timeout(180)]


@pytest.fixture
async def settings(vicidial_database: DatabaseAddress, redis_url: str, database_dsn: str) -> dict[str, str]:
    address = vicidial_database
    await execute(
        address,
        "INSERT INTO vicidial_cid_groups (cid_group_id, cid_group_type) VALUES ('EAST', 'AREACODE')",
        "INSERT INTO vicidial_campaigns (campaign_id, campaign_cid, cid_group_id) VALUES ('SALES', '0000000000', 'EAST')",
        "INSERT INTO vicidial_campaign_cid_areacodes (campaign_id, areacode, outbound_cid, active) VALUES "
        "('EAST', '212', '2125550100', 'Y'), ('EAST', '212', '2125550101', 'Y'), ('EAST', '917', '9175550100', 'N')",
    )
    return {
        "VICIDIAL_DATABASE_URL": f"mysql://{address.user}:{address.password}@{address.host}:{address.port}/{address.name}",
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_dsn,
        "ADMIN_TOKEN": TOKEN,
    }


async def test_an_import_is_shown_first_then_done_and_then_there_is_nothing_left_to_do(
    settings: dict[str, str], tmp_path: Path
) -> None:
    shown = await run_command(tmp_path, settings, "vicidial", "import")
    untouched = await run_command(tmp_path, settings, "export")
    done = await run_command(tmp_path, settings, "vicidial", "import", "--apply")
    exported = await run_command(tmp_path, settings, "export")
    again = await run_command(tmp_path, settings, "vicidial", "import")

    assert shown[0] == 0, shown
    assert "Caller-IDs to add (3)" in shown[1]
    assert "--apply" in shown[1]
    assert "2125550100" not in untouched[1]
    assert "Done." in done[1]
    assert "2125550101" in exported[1]
    assert "Nothing to do" in again[1]


async def test_the_grants_are_printed_and_checked(settings: dict[str, str], tmp_path: Path) -> None:
    printed = await run_command(tmp_path, settings, "vicidial", "grants")
    checked = await run_command(tmp_path, settings, "vicidial", "grants", "--check")

    assert printed[0] == 0
    assert "vicidial_auto_calls" in printed[1]
    assert "INSERT" not in printed[1]
    # The account of this test is the administrator's: more than is used, and it says so.
    assert "advice" in checked[1] or "problem" in checked[1]


async def test_the_doctor_looks_at_the_account(settings: dict[str, str], tmp_path: Path) -> None:
    _, output = await run_command(tmp_path, settings, "doctor", "--json")
    away = {**settings, "VICIDIAL_DATABASE_URL": "mysql://rotator:x@127.0.0.1:1/asterisk"}
    _, without = await run_command(tmp_path, away, "doctor", "--json")

    found = [item for item in json.loads(output) if item["check"] == "vicidial"]
    missed = [item for item in json.loads(without) if item["check"] == "vicidial"]
    # The account of this test is the administrator's: it may do more than is used.
    assert {item["level"] for item in found} == {"advice"}
    assert [item["level"] for item in missed] == ["problem"]


async def test_without_a_database_the_command_says_what_to_set(tmp_path: Path) -> None:
    code, output = await run_command(tmp_path, {}, "vicidial", "import")

    assert code == 1
    assert "VICIDIAL_DATABASE_URL" in output
    assert "Traceback" not in output


async def test_push_switches_off_what_has_reached_its_limit(
    settings: dict[str, str], vicidial_database: DatabaseAddress, tmp_path: Path
) -> None:
    """VICIdial shows 212-555-0100 by itself; after its one use of the day it is switched off, the other one is not."""
    await run_command(tmp_path, settings, "vicidial", "import", "--apply")
    options = SimulatorOptions(
        mode="direct", own_number="2125550100", secret="s", outcomes={"busy": 1.0}, reject_after_s=Fixed(0.1)
    )
    async with Simulator(options) as simulator:
        dialer = {
            "name": "sim",
            "port": simulator.port,
            "secret": "s",
            "mode": "push",
            "dial_prefixes": ["9", "8", "7"],
        }
        pushed = {**settings, "DIALERS": json.dumps([dialer]), "VICIDIAL_PUSH": "sql", "DEFAULT_DAILY_LIMIT": "1"}
        async with daemon(tmp_path, pushed):
            await simulator.place()
        # The next start makes a round at once.
        async with daemon(tmp_path, pushed):
            await _until_active(vicidial_database, ["2125550101"])

    assert simulator.report.by_way == {"own": 1}


async def _until_active(address: DatabaseAddress, numbers: list[str]) -> None:
    async with asyncio.timeout(30):
        while True:
            rows = await query(address, "SELECT outbound_cid FROM vicidial_campaign_cid_areacodes WHERE active = 'Y'")
            if [row[0] for row in rows] == numbers:
                return
            await asyncio.sleep(0.2)


async def test_the_dashboard_sets_demand_against_supply(
    settings: dict[str, str], vicidial_database: DatabaseAddress, tmp_path: Path
) -> None:
    await run_command(tmp_path, settings, "vicidial", "import", "--apply")
    for lead in range(30):
        number = f"{'212' if lead < 20 else '907'}55501{lead:02d}"
        await execute(
            vicidial_database,
            f"INSERT INTO vicidial_list (lead_id, phone_code, phone_number) VALUES ({lead + 1}, '1', '{number}')",
            "INSERT INTO vicidial_hopper (lead_id, campaign_id, list_id, priority, alt_dial, status) "
            f"VALUES ({lead + 1}, 'SALES', 1, 0, 'NONE', 'READY')",
        )
    dialer = {"name": "away", "port": 1, "secret": "s"}
    async with daemon(tmp_path, {**settings, "DIALERS": json.dumps([dialer])}, wait_for="http") as running:
        async with asyncio.timeout(30):
            while True:
                _, page = await running.get("/dashboard")
                _, health = await running.get("/health")
                if "Demand against supply" in page and json.loads(health)["feed"] == "ok":
                    break
                await asyncio.sleep(0.2)

    found = re.findall(r"<td>SALES</td><td>(\d+)</td><td class=\"n\">(\d+)</td><td class=\"n\">(\d+)</td>", page)
    assert found == [("212", "20", "2"), ("907", "10", "0")]


async def test_a_database_that_is_away_is_told_and_the_daemon_serves(
    redis_url: str, database_dsn: str, tmp_path: Path
) -> None:
    settings = {
        "VICIDIAL_DATABASE_URL": "mysql://rotator:secretword@127.0.0.1:1/asterisk",
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_dsn,
    }
    async with Simulator(SimulatorOptions(secret="s")) as simulator:
        dialers = json.dumps([{"name": "sim", "port": simulator.port, "secret": "s"}])
        async with daemon(tmp_path, {**settings, "DIALERS": dialers}) as running:
            status, health = await running.get("/health")
            _, page = await running.get("/dashboard")
            log = running.log.read_text()

    assert (status, json.loads(health)["status"], json.loads(health)["feed"]) == (200, "degraded", "off")
    assert "VICIdial&#39;s database is not read" in page
    assert "secretword" not in health + page + log
