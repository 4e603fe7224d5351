"""The daemon as a user runs it, on the embedded servers and the simulated dialer."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from tests.support.daemon_process import TOKEN, DaemonProcess, daemon, run_command

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path / "data"), "SIMULATOR_CALLS_PER_S": "20", "ADMIN_TOKEN": TOKEN}


async def _assigned(running: DaemonProcess, at_least: int) -> float:
    async with asyncio.timeout(30):
        while True:
            _, text = await running.get("/metrics")
            found = re.findall(r"^rotator_assignments_total\{.*\} (\S+)$", text, re.MULTILINE)
            if (count := sum(map(float, found))) >= at_least:
                return count
            await asyncio.sleep(0.1)


async def test_it_starts_with_nothing_configured_serves_calls_and_leaves_nothing_running(
    settings: dict[str, str], tmp_path: Path
) -> None:
    async with daemon(tmp_path, settings) as running:
        await _assigned(running, 20)
        status, health = await running.get("/health")
        children = psutil.Process(running.process.pid).children(recursive=True)
        servers = {child.name() for child in children}
        async with asyncio.timeout(20):
            # Its warm pools are looked at every few seconds, its calls come from the ledger.
            while "SALES" not in (await running.get("/dashboard"))[1]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)
        code = await running.stop()

    assert (status, json.loads(health)["status"]) == (200, "healthy")
    assert code == 0
    assert servers
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


async def test_the_second_start_finds_what_the_first_one_stored(settings: dict[str, str], tmp_path: Path) -> None:
    async with daemon(tmp_path, settings) as running:
        await _assigned(running, 10)
    code, first = await run_command(tmp_path, settings, "export")
    async with daemon(tmp_path, settings) as running:
        _, stats = await running.get("/api/stats")

    assert code == 0
    rows = [line for line in first.splitlines() if line[:1].isdigit() and "," in line]
    assert json.loads(stats)["total_caller_ids"] == len(rows) == 3000


async def test_what_is_imported_or_added_while_it_runs_is_used_at_once(
    settings: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "more.csv"
    file.write_text("caller_id,group\n907-555-0100,alaska\n")
    async with daemon(tmp_path, settings) as running, aiohttp.ClientSession() as session:
        code, output = await run_command(tmp_path, settings, "import", str(file))
        added = await session.post(
            f"{running.base_url}/add-number",
            json={"caller_id": "8085550100", "meta": {"owner": "us"}},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        asked = await session.get(
            f"{running.base_url}/next-cid", params={"to": "8085550199", "campaign": "NEW", "agent": ""}
        )
        answer = await asked.text()

    assert (code, "Imported: 1" in output) == (0, True)
    assert added.status == 200
    assert answer.startswith('{"caller_id":"8085550100","carrier":null,"area_code":"808","meta":{"owner":"us"},')


async def test_a_port_that_is_taken_stops_the_start_with_what_to_do(settings: dict[str, str], tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        code, output = await run_command(tmp_path, {**settings, "API_PORT": str(port)}, "serve")

    assert code == 1
    assert "API_PORT" in output
    assert "Traceback" not in output
