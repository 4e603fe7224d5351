"""The demo's fictional caller-IDs are gone before a real call could show one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ami_rotator.demo import fill_demo_inventory, remove_demo_inventory
from ami_rotator.domain.types import E164, Area, Group
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from tests.support.asterisk_lab import free_port
from tests.support.daemon_process import daemon, run_command

pytestmark = pytest.mark.thorough


async def _names(database: Database, sql: str) -> set[str]:
    async with database.connection() as connection:
        return {row[0] for row in await connection.fetch(sql)}


async def test_own_caller_ids_and_the_campaigns_that_use_them_stay(database: Database) -> None:
    inventory = Inventory(database, LimitDefaults(100, 1000, 30))
    added = await fill_demo_inventory(database, inventory)
    await inventory.add(E164("+12125551000"), area=Area("212"), carrier="mine", group=Group("sales"))
    removed = await remove_demo_inventory(database)

    assert removed == added > 0
    assert await _names(database, "SELECT caller_id FROM caller_ids") == {"+12125551000"}
    # SALES and RENEWAL use the group sales; SURVEY has nothing left.
    assert await _names(database, "SELECT name FROM campaigns") == {"SALES", "RENEWAL"}
    assert await remove_demo_inventory(database) == 0


async def test_the_first_start_with_a_real_dialer_removes_the_demo(
    database_dsn: str, redis_url: str, tmp_path: Path
) -> None:
    stores = {"DATABASE_URL": database_dsn, "REDIS_URL": redis_url, "ADMIN_TOKEN": "token-of-the-tests-0123456789"}
    async with daemon(tmp_path, stores) as running:
        _, before = await running.get("/api/stats")
    real = stores | {"AMI_HOST": "127.0.0.1", "AMI_PORT": str(free_port()), "AMI_SECRET": "x"}
    async with daemon(tmp_path, real, wait_for="http") as running:
        _, health = await running.get("/health")
        _, answer = await running.get("/next-cid?to=2125551234&campaign=SALES&agent=")
    code, exported = await run_command(tmp_path, real, "export")

    assert json.loads(before)["total_caller_ids"] == 3000
    assert json.loads(health)["redis"] == "ok"
    assert "No available caller-ID" in answer
    assert (code, [line for line in exported.splitlines() if line[:1].isdigit() and "exported" not in line]) == (0, [])
