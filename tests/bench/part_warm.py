"""How often a call finds a warm caller-ID, and how many lie warm for it, under even and under bursty demand.

Time is Redis' own in the daemon; here a test clock moves it second by second: ten minutes take as long as their calls.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from ami_rotator.domain.types import Area, Assignment, CallKey, CallRequest, Campaign, End, ReservationId, State
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.filler import Filler
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.pool.scripts import load_scripts
from tests.bench.context import Bench, open_pool
from tests.bench.figures import Figure
from tests.bench.load import DIALER, areas, code, inventory, percentile
from tests.support.pool_checks import TEST_CLOCK
from tests.support.pool_setup import set_time

PART = "warm"
_CAMPAIGNS = 3
_CALL_S = 20.0
_WARM_UP_SHARE = 0.25
_BURST_LASTS_S, _QUIET_LASTS_S, _BURST, _BETWEEN = 15.0, 60.0, 4.0, 0.25
# 15 s at 4 times the mean and 60 s at a quarter of it are the mean over all.
_START_MS = 1_800_000_000_000
_SHARE_MAX = 0.05


@dataclass(slots=True)
class _Seen:
    calls: int = 0
    hits: int = 0
    stock: list[int] = field(default_factory=list)
    took_s: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})


async def run(bench: Bench) -> None:
    """Measure both kinds of demand."""
    size = bench.size
    for name, is_bursty in (("Poisson", False), ("bursts", True)):
        bench.say(
            f"{PART}: {name}, {size.warm_rate:g} calls/s over {size.warm_areas} areas for {size.warm_s} s of test time"
        )
        async with bench.connections(32) as redis:
            seen = await _simulate(bench, redis, is_bursty)
        await bench.flush()
        stock = sum(seen.stock) / len(seen.stock)
        idle = 1 - seen.hits / max(1, sum(seen.stock))
        warm_ms, cold_ms = (percentile(seen.took_s[was_warm], 0.5) * 1000 for was_warm in (True, False))
        bench.add(
            Figure(
                PART,
                f"{name}: calls that found a warm caller-ID",
                100 * seen.hits / seen.calls,
                "%",
                at_least=95,
                note=f"{_CAMPAIGNS} campaigns, a few areas far busier than most"
                + (
                    f"; {_BURST:g} × the calls for {_BURST_LASTS_S:g} s in every {_BURST_LASTS_S + _QUIET_LASTS_S:g}"
                    if is_bursty
                    else ""
                ),
            ),
            Figure(PART, f"{name}: share of the inventory that is warm", 100 * stock / size.caller_ids, "%", at_most=5),
            Figure(PART, f"{name}: share of the warm that a second leaves unused", 100 * idle, "%"),
            Figure(
                PART,
                f"{name}: one assignment, warm against not warm, p50",
                warm_ms,
                "ms",
                cold_ms,
                "ms not warm",
                note="both are one script; above 1 × the warm pool saves no time",
            ),
        )


async def _simulate(bench: Bench, redis: Redis, is_bursty: bool) -> _Seen:
    size, among = bench.size, areas(bench.size.warm_areas)
    pool = RedisPool(redis, uuid.uuid4().hex[:12], ZoneInfo("UTC"), 3600, scripts=load_scripts({"clock": TEST_CLOCK}))
    await set_time(redis, pool, _START_MS)
    await pool.put(list(inventory(size.caller_ids, among)), await pool.new_generation())
    await open_pool(pool)
    assigner = Assigner(pool, "US", ["9"])
    filler = Filler(pool, assigner, _SHARE_MAX)
    random, seen = Random(7), _Seen()
    # Half of the calls go to a tenth of the areas, roughly: the sizes of cities.
    weights = [1 / (place + 10) for place in range(len(among))]
    sums = list(accumulate(weights))
    ending: dict[int, list[tuple[CallKey, ReservationId]]] = defaultdict(list)
    number = 0
    for second in range(size.warm_s):
        await set_time(redis, pool, _START_MS + second * 1000)
        for key, reservation in ending.pop(second, ()):
            await pool.release(key, End("answered", 16, 200, 1000), reservation)
        await filler.fill()
        is_counted = second >= size.warm_s * _WARM_UP_SHARE
        if is_counted:
            seen.stock.append((await pool.snapshot()).states[State.WARM])
        for area in _called(random, among, sums, size.warm_rate * _level(second, is_bursty)):
            number += 1
            key = CallKey(DIALER, code(number))
            campaign = Campaign(f"CAMP{random.randrange(_CAMPAIGNS)}")
            began = time.perf_counter()
            found = await assigner.assign(CallRequest(key, f"91{area}9000000", campaign, "ami"))
            took_s = time.perf_counter() - began
            if not isinstance(found, Assignment):
                raise LookupError(f"no caller-ID: {found.reason} {found.detail}")
            ending[second + 1 + int(random.expovariate(1 / _CALL_S))].append((key, found.reservation))
            if is_counted:
                seen.calls += 1
                seen.hits += found.was_warm
                seen.took_s[found.was_warm].append(took_s)
    return seen


def _level(second: int, is_bursty: bool) -> float:
    """Return how many times the mean rate is called now; over a whole period it is once."""
    if not is_bursty:
        return 1.0
    return _BURST if second % (_BURST_LASTS_S + _QUIET_LASTS_S) < _BURST_LASTS_S else _BETWEEN


def _called(random: Random, among: Sequence[Area], sums: Sequence[float], rate: float) -> list[Area]:
    """Return the areas called in one second, a Poisson process."""
    count, left = 0, math.exp(-rate)
    product = random.random()
    while product > left:
        count += 1
        product *= random.random()
    return random.choices(among, cum_weights=sums, k=count)
