"""What a larger inventory costs: time of an assignment, memory, and the load from PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from uuid import uuid4
from zoneinfo import ZoneInfo

from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import connect
from ami_rotator.pool.redis_pool import RedisPool
from tests.bench.context import Bench, FilledPool
from tests.bench.figures import Figure, Series
from tests.bench.load import areas, closed_loop
from tests.bench.part_assign import calls
from tests.bench.part_http import daemon_settings
from tests.bench.processes import timed_daemon

PART = "growth"
_CONCURRENT = 8
_ROUNDS = 4
_LOAD_MOST_S = 60


async def run(bench: Bench) -> None:
    """Load each size with a daemon, then call all of them in turns from one process."""
    size, among = bench.size, areas(bench.size.areas)
    names = {count: f"grow{uuid4().hex[:8]}" for count in size.growth}
    bytes_each: dict[int, float] = {}
    ready_s: dict[int, float] = {}
    rss_mib: dict[int, float] = {}
    await bench.flush()
    for count, name in names.items():
        bench.say(f"{PART}: {count:,} caller-IDs are loaded")
        before = await _used_bytes(bench)
        async with bench.database(count, among) as dsn:
            settings = {**daemon_settings(bench.redis_url, dsn, {"bench": 9}, {"9": None}), "INVENTORY": name}
            # The hours of caller-IDs and calls are those of the zone: UTC, as the pool below has it.
            async with timed_daemon(bench.folder, {**settings, "TIMEZONE": "UTC"}) as daemon:
                ready_s[count], rss_mib[count] = daemon.ready_s, daemon.rss_mib()
        bytes_each[count] = (await _used_bytes(bench) - before) / count
    p50, p99 = await _call_all(bench, names)
    await bench.flush()
    least, most = min(names), max(names)
    bench.add(
        *(
            Figure(
                PART,
                f"{count:,} caller-IDs: assign and release, p99",
                p99[count],
                "ms",
                note=f"p50 {p50[count]:.2f} ms",
            )
            for count in names
        ),
        Figure(
            PART, f"p99 at {most:,} against {least:,}", p99[most], "ms", p99[least], f"ms at {least:,}", at_most=1.5
        ),
        Figure(PART, f"Redis a caller-ID, at {most:,}", bytes_each[most], "bytes", at_most=600),
        Figure(
            PART,
            f"daemon started to serving, {most:,} in PostgreSQL, Redis empty",
            ready_s[most],
            "s",
            at_most=_LOAD_MOST_S,
        ),
        Figure(PART, f"memory of the daemon, {most:,}, once started", rss_mib[most], "MiB"),
        Figure(
            PART,
            f"memory of the daemon, {most:,} more than {least:,}",
            rss_mib[most] - rss_mib[least],
            "MiB",
            at_most=50,
        ),
    )
    for name, points, unit in (
        ("p99", p99, "ms, assign and release"),
        ("p50", p50, "ms, assign and release"),
    ):
        line = tuple((float(count), points[count]) for count in names)
        bench.draw(Series(PART, name, "caller-IDs", unit, line))


async def _call_all(bench: Bench, names: dict[int, str]) -> tuple[dict[int, float], dict[int, float]]:
    """Return p50 and p99 in ms by size: the middle of rounds that take turns."""
    redis = connect(bench.redis_url, timeout_s=10)
    p50: dict[int, list[float]] = defaultdict(list)
    p99: dict[int, list[float]] = defaultdict(list)
    seconds = bench.size.growth_calls / 2000 / _ROUNDS
    try:
        pools = {count: RedisPool(redis, name, ZoneInfo("UTC"), 300) for count, name in names.items()}
        for turn in range(_ROUNDS + 1):
            for count, pool in pools.items():
                filled = FilledPool(redis, pool, Assigner(pool, "US", ["9"]), areas(bench.size.areas))
                work = calls(filled, bench.size.campaigns)
                timing = await closed_loop(_CONCURRENT, max(0.3, seconds), work, 1 + turn * 1_000_000)
                if turn:  # the first is for caches to fill
                    p50[count].append(timing.ms(0.5))
                    p99[count].append(timing.ms(0.99))
    finally:
        await redis.aclose()
    return {n: median(found) for n, found in p50.items()}, {n: median(found) for n, found in p99.items()}


async def _used_bytes(bench: Bench) -> int:
    async with bench.connections(1) as redis:
        return int((await redis.info("memory"))["used_memory"])
