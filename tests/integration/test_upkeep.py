"""Reservations whose lifetime is over end; but first those who could renew them get their turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import Dialer, ReservationId
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.jobs.upkeep import pool_jobs
from ami_rotator.metrics import Metrics
from ami_rotator.pool.redis_pool import RedisPool
from tests.support.pool_setup import call, caller_id, given, make_pool, set_time

BEGAN_MS = 1_700_000_000_000
TTL_S = 300.0


class Hands(SystemClock):
    """A clock whose hands a test moves."""

    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


class Up:
    """A listener whose dialer has calls up."""

    def __init__(self) -> None:
        self.reservations: list[ReservationId] = []

    def live(self) -> list[ReservationId]:
        return self.reservations

    def forget(self, gone: object) -> None:
        pass

    async def sweep(self) -> None:
        pass


@pytest.fixture
async def pool(redis_client: Redis) -> RedisPool:
    return await make_pool(redis_client, [caller_id(index) for index in range(2)], ttl_s=TTL_S, test_clock=True)


def job(pool: RedisPool, listener: Up, clock: Hands) -> Callable[[], Awaitable[str]]:
    nobody: Any = None
    listeners: Any = [listener]
    jobs = pool_jobs(pool, nobody, listeners, Metrics(), TTL_S, clock)
    return next(item.run for item in jobs if item.name == "expire")


async def live(pool: RedisPool) -> list[ReservationId]:
    return [item.reservation for item in await pool.live_calls(Dialer("d1"))]


async def test_a_daemon_that_starts_after_a_long_pause_lets_calls_that_are_up_keep_their_numbers(
    redis_client: Redis, pool: RedisPool
) -> None:
    clock, listener = Hands(), Up()
    for code in (1, 2):
        await given(pool, call(code))
    stays, goes = await live(pool)
    await set_time(redis_client, pool, BEGAN_MS + 400_000)
    expire = job(pool, listener, clock)

    first = await expire()
    assert (first, set(await live(pool))) == ("", {stays, goes})
    # By now the dialer has been asked: one of the two is up.
    listener.reservations = [stays]
    clock.now_s += 59
    await expire()
    clock.now_s += 2
    done = await expire()

    assert (done, await live(pool)) == ("1 reservations ended by their lifetime", [stays])
    clock.now_s += 1
    await set_time(redis_client, pool, BEGAN_MS + 800_000)
    assert await expire() == "1 reservations ended by their lifetime", "no second pause"


async def test_so_does_one_that_could_not_reach_redis_for_long(
    redis_client: Redis, pool: RedisPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, listener = Hands(), Up()
    expire = job(pool, listener, clock)
    await expire()
    clock.now_s += 59
    await expire()
    clock.now_s += 2
    await expire()
    await given(pool, call(1))

    async def away() -> None:
        raise PoolUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(pool, "ping", away)
        for _ in range(400):
            clock.now_s += 1
            with pytest.raises(PoolUnavailableError):
                await expire()
    await set_time(redis_client, pool, BEGAN_MS + 400_000)

    assert await expire() == ""
    listener.reservations = await live(pool)
    clock.now_s += 59
    await expire()
    clock.now_s += 2
    assert await expire() == ""
    assert await live(pool) == listener.reservations
