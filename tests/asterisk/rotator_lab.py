"""A daemon beside a real Asterisk: the hook in its dialplan, the daemon's settings, its numbers, its ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from ami_rotator.ami.stanza import manager_conf
from ami_rotator.dialplan import Hook, hook_lines
from tests.asterisk.vicidial_lab import VicidialLab
from tests.support.asterisk_lab import SECRET, DialerOptions
from tests.support.daemon_process import TOKEN, run_command
from tests.support.vicidial_dialer import PlannedCall

OWN_NUMBER = "3125550000"
ACCOUNT = "tight"  # exactly what `ami-rotator manager-conf` prints, event filters too
CAMPAIGN = "TESTCAMP"
AREAS = ["212", "312", "415", "646"]
BUDGET_S = 0.25


def mixed_plan(count: int) -> list[PlannedCall]:
    """Return auto-dialled and manual calls in turn, to four areas, with every outcome."""
    return [
        PlannedCall(
            "V" if position % 2 == 0 else "M",
            f"{AREAS[position // 10 % 4]}555{position:02d}{position % 10:02d}"[:10],
            campaign=CAMPAIGN,
            timeout_s=3,
        )
        for position in range(count)
    ]


def hooked(api_port: int) -> DialerOptions:
    """Return a dialplan with the hook, and the account that the daemon is to have."""
    hook = Hook(
        trunk="PJSIP/{number}@carrier", base_url=f"http://127.0.0.1:{api_port}", budget_s=BUDGET_S, dialer="lab"
    )
    return DialerOptions(carrier_entry=hook_lines(hook), manager_users=manager_conf(ACCOUNT, SECRET))


def settings_for(lab: VicidialLab, redis_url: str, dsn: str, api_port: int, mode: str = "hook") -> dict[str, str]:
    """Return the settings of a daemon for the lab's Asterisk."""
    dialer = {
        "name": "lab",
        "port": lab.asterisk.ami_port,
        "username": ACCOUNT,
        "secret": SECRET,
        "mode": mode,
        "dial_prefixes": {"9": CAMPAIGN},
    }
    return {
        "DIALERS": json.dumps([dialer]),
        "REDIS_URL": redis_url,
        "DATABASE_URL": dsn,
        "API_PORT": str(api_port),
        "DEFAULT_COOLDOWN_SECONDS": "1",
        "RATE_LIMIT_PER_AGENT": "0",
        "ADMIN_TOKEN": TOKEN,
    }


async def import_numbers(folder: Path, settings: Mapping[str, str], per_area: int) -> None:
    """Import so many caller-IDs for each area."""
    rows = [f"{area}556{line:04d}" for area in AREAS for line in range(per_area)]
    file = folder / "caller_ids.csv"
    file.write_text("caller_id\n" + "\n".join(rows) + "\n")
    code, output = await run_command(folder, settings, "import", str(file))
    assert code == 0, output


async def ended_calls(dsn: str, count: int) -> list[asyncpg.Record]:
    """Return the ledger once `count` calls have ended in it."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(20):
            while True:
                rows = await connection.fetch("SELECT * FROM calls WHERE caller_id IS NOT NULL")
                if sum(row["ended_at"] is not None for row in rows) >= count:
                    return list(rows)
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
