"""Every page of the dashboard at a full inventory, with a week of calls and usage: how long it takes, how large it is."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import aiohttp
import asyncpg

from tests.bench.context import Bench
from tests.bench.figures import Figure
from tests.bench.load import areas
from tests.bench.part_http import daemon_settings
from tests.bench.processes import timed_daemon
from tests.support.daemon_process import TOKEN

PART = "pages"
_TRIES = 5
_CALL = "0190c7a2-0000-7000-8000-000000000001"
_POLICY = {"groups": "g1, g2", "rung_area": "1", "rung_state": "2", "rung_any": "3", "to": "2125550199"}
# Twenty groups; a week of calls as the page reads at the most; usage of every caller-ID on each of seven days.
_FILL = (
    "SET session_replication_role = replica",
    "INSERT INTO groups (name) SELECT 'g' || i FROM generate_series(0, 19) AS i",
    "UPDATE caller_ids SET group_name = 'g' || abs(hashtext(caller_id)) % 20, carrier = 'c' || abs(hashtext(area)) % 7",
    f"""
    INSERT INTO calls (reservation_id, assigned_at, caller_id, campaign, destination, dialer, code, source, rung,
        group_name, area, presented, presented_matches, outcome, talk_ms)
    SELECT CASE i WHEN 1 THEN '{_CALL}'::uuid ELSE gen_random_uuid() END, now() - i * interval '6 s', caller_id, 'SALES',
        '+1' || area || '5550199', 'bench', 'V' || i, 'ami', 'area', group_name, area, substr(caller_id, 3), true,
        'answered', 61000
    FROM generate_series(1, 100000) AS i
    JOIN (SELECT *, row_number() OVER () AS n FROM caller_ids) AS c ON c.n = 1 + i % (SELECT count(*) FROM caller_ids)
    """,
    """
    INSERT INTO usage_daily
    SELECT current_date - d, caller_id, 'SALES', 40, 0, 40, 0, 38, 8, 1, 3, 20, 1, 1, 0, 2, 480000
    FROM caller_ids, generate_series(0, 6) AS d
    """,
    "RESET session_replication_role",
    "ANALYZE",
)
_PAGES = {
    "Now": "/dashboard",
    "Caller-IDs": "/caller-ids",
    "Caller-IDs, a group by carrier": "/caller-ids?sort=-carrier&group=g7",
    "Caller-IDs, digits anywhere": "/caller-ids?search=5550",
    "one caller-ID": "",
    "Import": "/caller-ids/import",
    "Campaigns": "/campaigns",
    "one campaign": "/campaigns/SALES",
    "Calls": "/calls",
    "Calls of a destination": "/calls?destination=2125550199",
    "one call": f"/calls/{_CALL}",
    "Dialers": "/dialers",
    "Jobs": "/jobs",
    "Audit": "/audit",
    "Users": "/users",
    "API": "/api/v1/docs",
}


async def run(bench: Bench) -> None:
    """Ask for each page several times, one after the other."""
    size, among = bench.size, areas(bench.size.areas)
    largest_kb = 0.0
    bench.say(f"{PART}: {size.pages_caller_ids:,} caller-IDs")
    await bench.flush()
    async with bench.database(size.pages_caller_ids, among) as dsn:
        number = await _fill(dsn)
        settings = daemon_settings(bench.redis_url, dsn, {"bench": 9}, {"9": None}) | {"RATE_LIMIT_PER_USER": "0"}
        async with (
            timed_daemon(bench.folder, settings) as daemon,
            aiohttp.ClientSession(
                f"http://127.0.0.1:{daemon.port}", headers={"Authorization": f"Bearer {TOKEN}"}
            ) as client,
        ):
            policy = {"groups": ["g1", "g2"], "rungs": ["area", "state", "any"]}
            await _timed(client, "PUT", "/api/v1/campaigns/SALES", json=policy)
            asked: dict[str, tuple[str, str, dict[str, Any]]] = {
                name: ("GET", path or f"/caller-ids/{number[1:]}", {}) for name, path in _PAGES.items()
            }
            asked["preview of a policy"] = (
                "POST",
                "/campaigns/SALES/preview",
                {"data": _POLICY, "headers": {"HX-Request": "true"}},
            )
            for name, (method, path, options) in asked.items():
                took = [await _timed(client, method, path, **options) for _ in range(_TRIES)]
                bench.add(
                    Figure(
                        PART,
                        name,
                        median(ms for ms, _ in took),
                        "ms",
                        at_most=300,
                        note=f"the slowest of {_TRIES} {max(ms for ms, _ in took):.0f} ms; {took[0][1] / 1000:.0f} kB",
                    )
                )
                largest_kb = max(largest_kb, took[0][1] / 1000)
    await bench.flush()
    bench.add(Figure(PART, "the largest of them", largest_kb, "kB", at_most=200))


async def _timed(client: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[float, int]:
    """Return milliseconds and bytes of an answer."""
    began = time.perf_counter()
    async with client.request(method, path, **options) as answer:
        body = await answer.read()
    took_ms = 1000 * (time.perf_counter() - began)
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status} {body[:300]!r}")
    return took_ms, len(body)


async def _fill(dsn: str) -> str:
    """Add groups, calls and usage; return one of the numbers."""
    connection = await asyncpg.connect(dsn, timeout=30, command_timeout=300)
    try:
        for statement in _FILL:
            await connection.execute(statement)
        return str(await connection.fetchval("SELECT min(caller_id) FROM caller_ids"))
    finally:
        await connection.close()
