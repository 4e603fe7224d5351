"""PostgreSQL refuses, freezes, is cut off or killed: calls do not notice, and afterwards every record is there once."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ami_rotator.clock import SystemClock
from ami_rotator.embedded.postgresql import PostgreSQL
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.outbox_watch import OutboxWatch
from ami_rotator.metrics import Metrics
from ami_rotator.pool.connect import RedisClient, connect
from tests.chaos.sizes import IS_LONG, sized
from tests.support.pool_checks import violations
from tests.support.pool_load import Load, fill_inventory, ledger, running, stores, until
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300 if IS_LONG else 120)]

Fault = Callable[[TcpProxy], Awaitable[None]]


def behind(dsn: str, proxy: TcpProxy) -> str:
    """Return the DSN of the same database through the proxy."""
    return f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(dsn).path}?sslmode=disable"


def socket_of(dsn: str) -> Path:
    """Return the unix socket of a server."""
    return Path(parse_qs(urlsplit(dsn).query)["host"][0]) / ".s.PGSQL.5432"


@pytest.fixture
async def proxy(database_dsn: str) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(socket_of(database_dsn)) as one:
        yield one


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    client = connect(redis_url, timeout_s=2)
    yield client
    await client.aclose()


async def refuse(proxy: TcpProxy) -> None:
    await proxy.refuse()


async def freeze(proxy: TcpProxy) -> None:
    proxy.freeze()


async def reset(proxy: TcpProxy) -> None:
    proxy.reset()


@pytest.mark.parametrize("fault", [refuse, freeze, reset])
async def test_calls_do_not_notice_and_every_record_is_stored_once(
    proxy: TcpProxy, redis: RedisClient, redis_client: Redis, database_dsn: str, database: Database, fault: Fault
) -> None:
    await fill_inventory(database, 150)
    async with Database.open(behind(database_dsn, proxy), timeout_s=1) as distant:
        part = stores(redis, distant, uuid.uuid4().hex[:12])
        await part.sync.sync()
        load = Load([part], workers=20)
        during: list[int] = []
        async with running(part), load.running():
            for _ in range(sized(1, 5)):
                await asyncio.sleep(1)
                load.longest_s, before = 0.0, len(load.calls)
                await fault(proxy)
                await asyncio.sleep(sized(2, 10))
                during.append(len(load.calls) - before)
                waiting = (await part.pool.snapshot()).outbox
                proxy.thaw()
                if fault is refuse:
                    await proxy.listen()
                assert fault is reset or waiting > during[-1]
        assert await part.outbox.drain(30)
    recorded = await ledger(database)
    assert load.misses == {}
    assert load.faults == []
    assert load.longest_s < 1
    assert {call.reservation: (call.number, "answered") for call in load.calls} == recorded
    assert await violations(redis_client, part.pool.tag) == []
    print(
        f"{fault.__name__}: {len(load.calls)} calls, {statistics.mean(during):.0f} while away, longest"
        f" {load.longest_s:.3f} s"
    )


async def test_killed_or_stopped_and_started_again_under_load(
    tmp_path: Path, redis: RedisClient, redis_client: Redis
) -> None:
    server = PostgreSQL(tmp_path / "pg")
    pid = await asyncio.to_thread(server.start)
    try:
        dsn = await asyncio.to_thread(server.wait_until_ready, pid)
        await migrate(dsn)
        async with Database.open(dsn, timeout_s=1) as database:
            await fill_inventory(database, 150)
            part = stores(redis, database, uuid.uuid4().hex[:12])
            await part.sync.sync()
            load = Load([part], workers=20)
            stored_s: list[float] = []

            async def few_wait() -> bool:
                return (await part.pool.snapshot()).outbox < 100

            async with running(part), load.running():
                for how in (signal.SIGKILL, *(signal.SIGINT, signal.SIGKILL) * sized(0, 2)):
                    await asyncio.sleep(1)
                    os.kill(pid, how)
                    await asyncio.to_thread(server.stop, pid)
                    await asyncio.sleep(1)
                    assert (await part.pool.snapshot()).outbox > 100
                    pid = await asyncio.to_thread(server.start)
                    await asyncio.to_thread(server.wait_until_ready, pid)
                    stored_s.append(await until(few_wait, 30))
            assert await part.outbox.drain(30)
            recorded = await ledger(database)
    finally:
        await asyncio.to_thread(server.stop, pid)
    print(
        f"{len(load.calls)} calls, longest {load.longest_s:.3f} s, backlog gone after {[round(s, 2) for s in stored_s]} s"
    )
    assert load.misses == {}
    assert load.faults == []
    assert load.longest_s < 1
    assert {call.reservation: (call.number, "answered") for call in load.calls} == recorded
    assert await violations(redis_client, part.pool.tag) == []


async def test_an_edit_while_postgresql_was_away_is_taken_over_and_calls_go_on_from_redis_alone(
    proxy: TcpProxy, redis: RedisClient, database_dsn: str, database: Database
) -> None:
    """A daemon that starts without PostgreSQL serves what Redis has."""
    inventory = uuid.uuid4().hex[:12]
    await fill_inventory(database, 5)
    await stores(redis, database, inventory).sync.sync()
    await proxy.refuse()
    async with Database.open(behind(database_dsn, proxy), timeout_s=1) as distant:
        part = stores(redis, distant, inventory)
        load = Load([part], 0)
        async with running(part, every_s=0.2):
            placed = [await load.place() for _ in range(6)]
            await fill_inventory_more(database)
            await proxy.listen()

            async def is_served() -> bool:
                return await load.place() is not None

            await until(is_served)

    assert [call is not None for call in placed] == [True] * 5 + [False]
    assert load.faults == []


async def fill_inventory_more(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO caller_ids (caller_id, area) VALUES ('+12125559001', '212')")


async def test_the_outbox_alarms_once_a_minute_and_drops_only_what_is_beyond_its_bound(redis_client: Redis) -> None:
    clock = _Minutes()
    metrics = Metrics()
    watch = OutboxWatch(redis_client, "outbox:{w}", alarm_entries=100, most_entries=1000, metrics=metrics, clock=clock)

    async def add(count: int) -> None:
        for _ in range(count):
            await redis_client.xadd("outbox:{w}", {"n": "1"})

    with capture_logs() as lines:
        await add(99)
        assert await watch.check() == ""
        await add(1)
        for _ in range(13):  # five seconds apart: a little more than a minute
            assert "100 records wait" in await watch.check()
            clock.now_s += 5
        assert [line["log_level"] for line in lines] == ["error", "error"]
        await add(1000)
        assert "100 just now" in await watch.check()
        first_kept = await redis_client.xlen("outbox:{w}")
        await redis_client.delete("outbox:{w}")
        assert await watch.check() == ""

    assert first_kept == 1000
    assert metrics.registry.get_sample_value("rotator_outbox_dropped_total") == 100
    assert metrics.registry.get_sample_value("rotator_outbox_alarm") == 0
    assert lines[-1]["event"] == "the outbox is within its bounds again"


class _Minutes(SystemClock):
    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


async def test_an_hour_of_fifty_calls_a_second_fits_beside_the_pool(
    redis: RedisClient, redis_client: Redis, database: Database
) -> None:
    """Without PostgreSQL only the backlog grows: so many bytes an entry, and three entries a call."""
    part = stores(redis, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 200)
    await part.sync.sync()
    load = Load([part], workers=50, hold_s=(0.001, 0.002))
    began = time.monotonic()
    async with load.running():
        await asyncio.sleep(sized(2, 20))
    for call in load.calls[-100:]:
        await part.pool.confirm(call.key, call.number, f"{call.key.uniqueid}7")

    entries = int(await redis_client.xlen(part.pool.outbox_stream))
    size = int(await redis_client.memory_usage(part.pool.outbox_stream, samples=0) or 0)
    hour_mb = size / entries * 3 * 50 * 3600 / 1e6
    backlog_s = time.monotonic()
    assert await part.outbox.drain(60)
    drained = entries / (time.monotonic() - backlog_s)
    print(
        f"{entries} entries in {backlog_s - began:.1f} s, {size / entries:.0f} bytes each; an hour at 50 calls a second:"
        f" {hour_mb:.0f} MB; drained at {drained:.0f} entries a second"
    )

    assert size / entries < 400
    assert hour_mb < 250
    # Faster than 50 calls a second make them, or the backlog would never end.
    assert drained > 300
    assert len(await ledger(database)) == len(load.calls)
