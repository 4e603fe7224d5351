"""From the start of the daemon to its first caller-ID: with an empty Redis, and with one that has everything."""

from __future__ import annotations

from tests.bench.context import Bench
from tests.bench.figures import Figure
from tests.bench.load import areas
from tests.bench.part_http import daemon_settings
from tests.bench.processes import timed_daemon

PART = "start"
_ASK = "/next-cid?format=json&agent=&to=2125550199&campaign=CAMP0"


async def run(bench: Bench) -> None:
    """Start twice."""
    size, among = bench.size, areas(bench.size.areas)
    bench.say(f"{PART}: {size.caller_ids:,} caller-IDs")
    ready_s, used_s = [], []
    await bench.flush()
    async with bench.database(size.caller_ids, among) as dsn:
        settings = daemon_settings(bench.redis_url, dsn, {"bench": 9}, {"9": None})
        for _ in range(2):
            async with timed_daemon(bench.folder, settings, until=_ASK) as daemon:
                ready_s.append(daemon.ready_s)
                used_s.append(daemon.ready_cpu_s)
    await bench.flush()
    bench.add(
        Figure(
            PART,
            f"cold start with {size.caller_ids:,}: first caller-ID",
            ready_s[0],
            "s",
            at_most=5,
            note="process start, migrations checked, PostgreSQL read, Redis filled, HTTP answers",
        ),
        Figure(PART, "the same: processor time of the daemon", used_s[0], "s"),
        Figure(PART, "start again, Redis full", ready_s[1], "s"),
    )
