"""Rate limits counted in Redis: one count for all daemons, spread evenly after a burst, and no wait where Redis is away."""

from __future__ import annotations

import uuid
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from ami_rotator.clock import SystemClock
from ami_rotator.http.deps import LimitKind
from ami_rotator.http.limits import SharedLimits
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.pool.scripts import load_scripts
from tests.support.admin_desk import bench_without_stores
from tests.support.pool_checks import TEST_CLOCK
from tests.support.pool_setup import set_time
from tests.support.services import every_redis

NOW = 1_700_000_000_000


@every_redis
async def test_a_burst_then_evenly_and_the_wait_is_true(redis_client: Redis) -> None:
    scripts = load_scripts({"clock": TEST_CLOCK})
    pool = RedisPool(redis_client, uuid.uuid4().hex[:12], ZoneInfo("UTC"), 300, scripts=scripts)
    here, there = (SharedLimits(SystemClock(), {"agent": 6}, pool.command) for _ in range(2))
    await set_time(redis_client, pool, NOW)

    burst = [await limits("agent", "anna") for limits in (here, there) * 4]
    assert burst[:6] == [None] * 6
    assert burst[6:] == [10.0, 10.0]
    assert await here("agent", "bob") is None
    await set_time(redis_client, pool, NOW + 9_990)
    assert await here("agent", "anna") == 0.01
    await set_time(redis_client, pool, NOW + 10_000)
    assert [await here("agent", "anna"), await there("agent", "anna")] == [None, 10.0]
    await set_time(redis_client, pool, NOW + 200_000)
    assert [await here("agent", "anna") for _ in range(7)] == [None] * 6 + [10.0]


async def test_two_limits_are_one_trip_and_a_refused_first_use_does_not_count_the_second(redis_client: Redis) -> None:
    pool = RedisPool(redis_client, uuid.uuid4().hex[:12], ZoneInfo("UTC"), 300)
    limits = SharedLimits(SystemClock(), {"ip": 2, "agent": 3}, pool.command)
    both: tuple[tuple[LimitKind, str], ...] = (("ip", "192.0.2.1"), ("agent", "anna"))
    await limits.first_over(*both)
    await redis_client.config_resetstat()

    over = [await limits.first_over(*both) for _ in range(3)]
    trips = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    alone = [await limits("agent", "anna") is None for _ in range(2)]

    assert trips == 3
    assert [kind for kind, _ in filter(None, over)] == ["ip", "ip"]
    assert alone == [True, False]


async def test_keys_are_short_and_go_away_by_themselves(redis_client: Redis) -> None:
    pool = RedisPool(redis_client, "main", ZoneInfo("UTC"), 300)
    limits = SharedLimits(SystemClock(), {"agent": 6}, pool.command)
    for subject in ("anna", "x" * 5000, "\u00fc\n"):
        await limits("agent", subject)

    keys = await redis_client.keys("rate:*")
    assert len(keys) == 3
    assert all(len(key) < 100 for key in keys)
    left_ms = [await redis_client.pttl(key) for key in keys]
    assert all(0 < left <= 70_000 for left in left_ms)


async def test_while_redis_is_away_each_daemon_counts_for_itself() -> None:
    async with bench_without_stores() as away:
        limits = SharedLimits(SystemClock(), {"agent": 2}, away.pool.command)

        assert [await limits("agent", "anna") is None for _ in range(3)] == [True, True, False]
        assert await limits("agent", "bob") is None
        assert await limits("ip", "192.0.2.1") is None
