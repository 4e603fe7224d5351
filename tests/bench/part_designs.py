"""The same calls by the design that reads first and writes then, at a small and at a large inventory."""

from __future__ import annotations

import asyncpg

from tests.bench.baselines import ReadThenWrite, many_connections
from tests.bench.context import Bench
from tests.bench.figures import Figure
from tests.bench.load import areas, closed_loop, inventory, middle_pair, rates
from tests.bench.part_assign import calls
from tests.bench.sizes import FULL

PART = "designs"
_DATABASE_CONNECTIONS = 20


async def run(bench: Bench) -> None:
    """Measure both designs in turns."""
    size = bench.size
    for caller_ids, at_least in ((size.small, 10.0), (size.caller_ids, 100 * size.caller_ids / FULL.caller_ids)):
        if not caller_ids:
            continue
        bench.say(f"{PART}: {caller_ids:,} caller-IDs")
        among = areas(size.areas)
        theirs, ours = [], []
        async with bench.pool(caller_ids, among) as filled, bench.database(0, among) as dsn:
            redis = many_connections(bench.redis_url, size.concurrent)
            async with asyncpg.create_pool(
                dsn, min_size=1, max_size=_DATABASE_CONNECTIONS, command_timeout=60
            ) as postgresql:
                design = ReadThenWrite(redis, postgresql, among)
                await design.prepare([(item.number, item.area) for item in inventory(caller_ids, among)])
                work = calls(filled, size.campaigns)
                first = 1
                for _ in range(max(2, size.rounds - 1)):
                    theirs.append(await closed_loop(size.concurrent, size.round_s, design.assign_and_release, first))
                    ours.append(await closed_loop(size.concurrent, size.round_s, work, first))
                    first += max(theirs[-1].count, ours[-1].count) + size.concurrent
            await redis.aclose()
        rate, their_rate = middle_pair(rates(ours), rates(theirs))
        bench.add(
            Figure(
                PART,
                f"{caller_ids:,} caller-IDs: calls a second",
                rate,
                "/s",
                their_rate,
                "/s read, then write",
                at_least=at_least,
                note=f"{caller_ids // size.areas} caller-IDs an area, {size.concurrent} concurrent, neither with HTTP",
            ),
            Figure(
                PART,
                f"{caller_ids:,} caller-IDs: one call, p99",
                max(timing.ms(0.99) for timing in ours),
                "ms",
                max(timing.ms(0.99) for timing in theirs),
                "ms read, then write",
            ),
        )
