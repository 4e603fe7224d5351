"""Assign and release in one process, against the floor of a round trip."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from ami_rotator.domain.types import Assignment, End
from tests.bench.baselines import load_one_line, many_connections, round_trip, shared_round_trip
from tests.bench.context import Bench, FilledPool
from tests.bench.figures import Figure
from tests.bench.load import Timing, areas, closed_loop, middle_pair, rates, request
from tests.support.services import Kind

PART = "assign"
_END = End("answered", 16, 200, 60_000)


async def run(bench: Bench) -> None:
    """Measure on Valkey, and on Redis where it is installed."""
    kinds: tuple[Kind, ...] = ("wheel", "debian") if bench.size.name in ("full", "huge") else ("wheel",)
    for kind in kinds:
        await _on(bench, kind)


def calls(
    filled: FilledPool, campaigns: int, taken: Callable[[str, bool], None] | None = None
) -> Callable[[int], Awaitable[None]]:
    """Return the work of one call: assign, then release.

    `taken` is told each number with True when it is assigned, and with False when its release was answered: the least
    recently used are assigned first, so that none comes back as soon as that.
    """

    async def work(index: int) -> None:
        wanted = request(index, filled.areas, campaigns)
        found = await filled.assigner.assign(wanted)
        if not isinstance(found, Assignment):
            raise LookupError(f"no caller-ID: {found.reason} {found.detail}")
        if taken is not None:
            taken(found.caller_id, True)
        await filled.pool.release(wanted.key, _END, found.reservation)
        if taken is not None:
            taken(found.caller_id, False)

    return work


async def _on(bench: Bench, kind: Kind) -> None:
    size = bench.size
    server = {"wheel": "Valkey", "debian": "Redis 7.0"}[kind]
    bench.say(f"{PART}: {size.caller_ids:,} caller-IDs on {server}")
    floor: list[Timing] = []
    shared: list[Timing] = []
    ours: list[Timing] = []
    async with bench.pool(size.caller_ids, areas(size.areas), kind) as filled:
        plain = many_connections(bench.services.redis(kind), size.concurrent)
        try:
            await load_one_line(plain)
            work = calls(filled, size.campaigns)
            first, redis_s, own_s = 1, 0.0, 0.0
            # In turns, so that what disturbs the machine disturbs all three.
            for _ in range(size.rounds):
                floor.append(await closed_loop(size.concurrent, size.round_s, round_trip(plain)))
                shared.append(await closed_loop(size.concurrent, size.round_s, shared_round_trip(filled.redis)))
                redis_before_s, own_before_s = await _redis_cpu_s(plain), time.process_time()
                ours.append(await closed_loop(size.concurrent, size.round_s, work, first))
                own_s += time.process_time() - own_before_s
                redis_s += await _redis_cpu_s(plain) - redis_before_s
                first += ours[-1].count + size.concurrent
        finally:
            await plain.aclose()
    slowest, made = max(timing.ms(0.99) for timing in ours), sum(timing.count for timing in ours)
    rate, floor_rate = middle_pair(rates(ours), rates(floor))
    rate_against_shared, shared_rate = middle_pair(rates(ours), rates(shared))
    bench.add(
        Figure(
            PART,
            f"{server}: questions (an assign, a release) a second",
            2 * rate,
            "/s",
            floor_rate,
            "/s one-line EVALSHA",
            at_least=0.6,
            note=f"{size.concurrent} concurrent; a call asks twice, and waits for the first answer before it asks again",
        ),
        Figure(
            PART,
            f"{server}: calls (assign and release) a second",
            rate,
            "/s",
            floor_rate,
            "/s one-line EVALSHA",
            note="stricter: both questions against one EVALSHA",
        ),
        Figure(
            PART,
            f"{server}: questions against shared runs",
            2 * rate_against_shared,
            "/s",
            shared_rate,
            "/s one-line by shared runs",
            note="what Redis and Python spend on the work itself, once trips and runs are shared",
        ),
        Figure(PART, f"{server}: one call, p50", min(timing.ms(0.5) for timing in ours), "ms"),
        Figure(PART, f"{server}: one call, p99", slowest, "ms"),
        Figure(PART, f"{server}: processor time of Redis a call", 1e6 * redis_s / made, "µs"),
        Figure(PART, f"{server}: processor time of Python a call", 1e6 * own_s / made, "µs"),
    )


async def _redis_cpu_s(redis: Redis) -> float:
    told = await redis.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
