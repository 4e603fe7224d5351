"""Redis refuses, freezes, resets, crawls or is full: calls miss quickly, the log stays readable, all is soon well again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog
from redis.asyncio import Redis

from ami_rotator.domain.types import CallKey, CallRequest, Campaign, Dialer, Miss
from ami_rotator.ledger.database import Database
from ami_rotator.pool.connect import RedisClient, connect
from tests.chaos.sizes import sized
from tests.support.pool_checks import violations
from tests.support.pool_load import Load, fill_inventory, running, stores, until
from tests.support.tcp_proxy import TcpProxy, target_of, tcp_proxy

pytestmark = pytest.mark.chaos

Fault = Callable[[TcpProxy], Awaitable[None]]
_FAULT_S = 1.5


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(target_of(redis_url)) as one:
        yield one


@pytest.fixture
async def through(proxy: TcpProxy) -> AsyncIterator[RedisClient]:
    client = connect(f"redis://127.0.0.1:{proxy.port}")
    yield client
    await client.aclose()


async def refuse(proxy: TcpProxy) -> None:
    await proxy.refuse()


async def freeze(proxy: TcpProxy) -> None:
    proxy.freeze()


async def reset(proxy: TcpProxy) -> None:
    for _ in range(30):
        proxy.reset()
        await asyncio.sleep(_FAULT_S / 30)


async def crawl(proxy: TcpProxy) -> None:
    proxy.delay_s = 2.0


async def heal(proxy: TcpProxy) -> None:
    proxy.delay_s = 0
    proxy.thaw()
    await proxy.listen()


@pytest.mark.parametrize("fault", [refuse, freeze, reset, crawl])
async def test_calls_miss_quickly_and_are_served_again_within_five_seconds(
    proxy: TcpProxy, through: RedisClient, redis_client: Redis, database: Database, fault: Fault
) -> None:
    part = stores(through, database, uuid.uuid4().hex[:12], ttl_s=300)
    await fill_inventory(database, 300)
    await part.sync.sync()
    load = Load([part], workers=20)
    recovered: list[float] = []
    longest: list[float] = []
    with structlog.testing.capture_logs() as lines:
        async with running(part), load.running():
            for _ in range(sized(1, 5)):
                await asyncio.sleep(0.5)
                load.longest_s = 0
                told = sum(line["log_level"] != "info" for line in lines)
                began = time.monotonic()
                await fault(proxy)
                await asyncio.sleep(max(0, began + _FAULT_S - time.monotonic()))
                longest.append(load.longest_s)
                told = sum(line["log_level"] != "info" for line in lines) - told
                took_s = time.monotonic() - began
                await heal(proxy)
                healed_s = time.monotonic()

                async def serves(since_s: float = healed_s) -> bool:
                    return any(at > since_s + 0.05 for at in load.assigned_at_s[-50:])

                recovered.append(await until(serves))
                assert told / took_s < 20

    print(
        f"{fault.__name__}: longest {max(longest):.2f} s, served again after {max(recovered):.2f} s, {dict(load.misses)}"
    )
    assert fault is reset or load.misses["unavailable"] > 0
    assert max(longest) < 1.5
    assert max(recovered) <= 5
    assert load.faults == []
    assert await violations(redis_client, part.pool.tag) == []


@pytest.mark.parametrize("delay_s", [0.001, 0.05])
async def test_a_distant_redis_serves_every_call(
    proxy: TcpProxy, through: RedisClient, database: Database, delay_s: float
) -> None:
    part = stores(through, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 100)
    proxy.delay_s = delay_s
    await part.sync.sync()
    load = Load([part], workers=20)

    async with load.running():
        await asyncio.sleep(1)

    assert load.misses == {}
    assert len(load.calls) > 20


async def test_hundreds_that_wait_for_a_frozen_redis_all_miss_after_one_time_limit(
    proxy: TcpProxy, through: RedisClient, database: Database
) -> None:
    part = stores(through, database, uuid.uuid4().hex[:12])
    await part.sync.sync()
    proxy.freeze()
    began = time.monotonic()

    requests = [CallRequest(CallKey(Dialer("d"), uniqueid=str(n)), "212", Campaign("S"), "ami") for n in range(500)]
    answers = await asyncio.gather(*(part.assigner.assign(request) for request in requests))

    assert {answer.reason for answer in answers if isinstance(answer, Miss)} == {"unavailable"}
    assert time.monotonic() - began < 2.5
    proxy.thaw()


async def test_a_full_redis_refuses_new_calls_in_words_ends_old_ones_and_breaks_nothing(
    redis_client: Redis, database: Database, redis_url: str
) -> None:
    direct = connect(redis_url)
    part = stores(direct, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 50)
    await part.sync.sync()
    assert await part.outbox.drain()
    load = Load([part], 0)
    calls = [call for call in [await load.place() for _ in range(20)] if call]
    request = CallRequest(CallKey(Dialer("d1"), uniqueid="full.1"), "92125550199", Campaign("SALES"), "ami")
    try:
        await redis_client.config_set("maxmemory", "1")
        refused = await part.assigner.assign(request)
        for call in calls[:10]:
            await load.end(call)
        assert await part.outbox.drain()
        broken = await violations(redis_client, part.pool.tag)
    finally:
        await redis_client.config_set("maxmemory", "0")

    assert isinstance(refused, Miss)
    assert refused.reason == "unavailable"
    assert "Redis is full" in refused.detail
    assert broken == []
    assert (await part.pool.snapshot()).live == 10
    assert not isinstance(await part.assigner.assign(request), Miss)
    await direct.aclose()
