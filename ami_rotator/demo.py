"""The demo: without a dialer of one's own, a pretend Asterisk dials, with fictional caller-IDs to show."""

from __future__ import annotations

import asyncio
import csv
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from ami_rotator.cancellation import end_tasks
from ami_rotator.ledger.csv_import import import_csv
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory
from ami_rotator.settings import DialerSettings
from ami_rotator.simulator import (
    DEMO_CAMPAIGNS,
    Simulator,
    SimulatorOptions,
    demo_groups,
    demo_inventory,
    demo_policies,
)
from ami_rotator.supervise import keep_running

SIMULATOR_NAME = "simulator"
_CALLER_IDS = 3000
_MARK = '{"demo": true}'


@asynccontextmanager
async def simulated_dialer(base_url: str, calls_per_s: float) -> AsyncIterator[tuple[Simulator, DialerSettings]]:
    """Run a pretend Asterisk that dials, and give the settings to connect to it."""
    options = SimulatorOptions(secret=secrets.token_hex(8), http_url=f"{base_url}/next-cid")
    async with Simulator(options) as simulator:
        dialer = DialerSettings(
            name=SIMULATOR_NAME,
            port=simulator.port,
            username=options.username,
            secret=SecretStr(options.secret),
            dial_prefixes=options.dial_prefixes(),
        )
        calls = asyncio.create_task(keep_running("simulator", lambda: simulator.run(calls_per_s)), name="simulator")
        try:
            yield simulator, dialer
        finally:
            await end_tasks(calls)


async def fill_demo_inventory(database: Database, inventory: Inventory) -> int:
    """Add fictional caller-IDs and the demo's campaigns to an empty inventory; return how many there were to add."""
    async for _ in inventory.load_all(batch=1):
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.csv"
        rows = list(demo_inventory(_CALLER_IDS, groups=demo_groups(DEMO_CAMPAIGNS)))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(row | {"meta_json": _MARK} for row in rows)
        report = await import_csv(path, database)
    for policy in demo_policies(DEMO_CAMPAIGNS):
        await inventory.save_campaign(policy)
    return report.added


async def remove_demo_inventory(database: Database) -> int:
    """Delete what `fill_demo_inventory` added; return how many caller-IDs. For the first start with a real dialer.

    A number that nobody owns must never be presented, and a demo left behind would be.
    """
    return int(await database.value("remove_demo", [campaign.name for campaign in DEMO_CAMPAIGNS]))
