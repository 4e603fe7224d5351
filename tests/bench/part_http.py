"""`/next-cid` of the daemon as a user runs it, asked from another process, against a bare handler with one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from tests.bench.context import Bench
from tests.bench.figures import Figure
from tests.bench.load import areas, middle_pair
from tests.bench.processes import helper, timed_daemon
from tests.bench.wrk import wrk_rates

PART = "http"


def daemon_settings(
    redis_url: str, dsn: str, ports: Mapping[str, int], prefixes: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the settings of a daemon with these dialers; all else is as it comes."""
    dialers = [
        {"name": name, "port": port, "username": "rotator", "secret": "simulator", "dial_prefixes": dict(prefixes)}
        for name, port in ports.items()
    ]
    return {
        "DIALERS": orjson.dumps(dialers).decode(),
        "REDIS_URL": redis_url,
        "DATABASE_URL": dsn,
        "DEFAULT_COOLDOWN_SECONDS": "0",
    }


async def run(bench: Bench) -> None:
    """Ask both in turns; each question is of a new call, and all get a number."""
    size, among = bench.size, areas(bench.size.areas)
    bench.say(f"{PART}: {size.caller_ids:,} caller-IDs, {size.http_requests:,} questions a round")
    floor: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    bounds = {"count": size.http_requests, "concurrent": size.concurrent}
    shape = {"area_count": size.areas, "campaigns": size.campaigns}
    wrk: list[tuple[float, float]] | None = None
    # A dialer where nobody listens: HTTP needs its name only.
    async with bench.database(size.caller_ids, among) as dsn:
        settings = daemon_settings(bench.redis_url, dsn, {"bench": 9}, {"9": None})
        async with (
            timed_daemon(bench.folder, settings) as daemon,
            helper("http_floor", bench.redis_url) as bare,
            helper("http_driver") as driver,
        ):
            bare_port = (await bare.told())["port"]
            first, cpu_s = 1, 0.0
            for _ in range(size.rounds):
                floor.append(await driver.ask({"port": bare_port, "first": first, **bounds, **shape}))
                used_s = daemon.cpu_s()
                ours.append(await driver.ask({"port": daemon.port, "first": first, **bounds, **shape}))
                cpu_s += daemon.cpu_s() - used_s
                first += size.http_requests
            wrk = await wrk_rates(bare_port, daemon.port, Path(bench.folder), size)
    await bench.flush()
    asked = size.rounds * size.http_requests
    numbers = sum(answer["answers"].get("200", 0) for answer in ours)
    best = min(ours, key=lambda answer: float(answer["p99_ms"]))
    # An answer without a number, because the budget was over, is none.
    rate, floor_rate = middle_pair(*([float(answer["per_s"]) for answer in side] for side in (ours, floor)))
    bench.add(
        Figure(
            PART,
            "numbers answered a second",
            rate * numbers / asked,
            "/s",
            floor_rate,
            "/s bare handler and EVALSHA",
            at_least=0.7,
            note=f"{size.concurrent} connections, driver in another process; each a new call, logged, counted and recorded",
        ),
        Figure(PART, "p50", best["p50_ms"], "ms", min(answer["p50_ms"] for answer in floor), "ms bare handler"),
        Figure(PART, "p99 against p50 of the same round", best["p99_ms"], "ms", best["p50_ms"], "ms p50", at_most=5),
        Figure(PART, "questions answered with a number", 100 * numbers / asked, "%", at_least=100),
        Figure(PART, "processor time of the daemon an answer", 1e6 * cpu_s / asked, "µs"),
    )
    if wrk is not None:
        wrk_rate, wrk_floor = middle_pair([rate for _, rate in wrk], [rate for rate, _ in wrk])
        bench.add(
            Figure(
                PART,
                "by wrk, which takes no processor itself: answers a second",
                wrk_rate,
                "/s",
                wrk_floor,
                "/s bare handler and EVALSHA",
                at_least=0.7,
            )
        )
