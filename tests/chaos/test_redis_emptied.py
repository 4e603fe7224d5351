"""Redis loses everything, or its newest moments: nothing is given twice, and what was known is known again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.types import Campaign, Dialer, End
from ami_rotator.embedded.valkey import Valkey
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.ledger.database import Database
from ami_rotator.pool.connect import RedisClient, connect
from ami_rotator.pool.rebuild import Rebuild
from ami_rotator.pool.redis_pool import Put
from ami_rotator.pool.scripts import load_scripts
from tests.chaos.sizes import IS_LONG, SERVED_AGAIN_S, sized
from tests.support.pool_checks import TEST_CLOCK, numbers_of, violations
from tests.support.pool_load import Load, Stores, fill_inventory, ledger, running, stores, until
from tests.support.pool_setup import set_time

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300 if IS_LONG else 120)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    client = connect(redis_url, timeout_s=2)
    yield client
    await client.aclose()


# The load that put it there, and the running minute, which may be another one by now.
_NOT_KEPT = ("gen", "mw", "mn")


async def callers(redis: Redis, tag: str) -> dict[str, dict[str, Any]]:
    """Return what each caller-ID's record says of its state and counts."""
    found = await numbers_of(redis, tag)
    return {number: {name: kept[name] for name in kept if name not in _NOT_KEPT} for number, kept in found.items()}


async def test_counts_last_uses_cool_downs_and_open_calls_are_as_before(
    redis: Redis, redis_client: Redis, database: Database
) -> None:
    part = stores(redis, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 12)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE caller_ids SET hourly_limit = 3, daily_limit = 5 WHERE caller_id < '+12125550007'"
        )
        await connection.execute("UPDATE groups SET cooldown_s = 30")
    await part.sync.sync()
    load = Load([part], 0)
    for outcome in ("answered", "busy", "not_dialled", "answered"):
        call = await load.place()
        assert call is not None
        await part.pool.release(call.key, End(outcome, dialled=outcome != "not_dialled"))
        load.holders.clear()
    shown, other = await load.place(), await load.place()
    assert shown is not None
    assert other is not None
    await part.pool.confirm(shown.key, shown.number, "1700000000.77")
    await part.pool.confirm(other.key, "+15550000000", "1700000000.78")
    unseen = await load.place()
    assert unseen is not None
    assert await part.outbox.drain()
    before, live = await callers(redis_client, part.pool.tag), (await part.pool.snapshot()).live
    epoch = (await Rebuild(part.pool).state()).epoch

    await redis_client.flushall()
    missed = await load.place()
    with pytest.raises(PoolUnavailableError):
        await part.pool.release(shown.key, End("answered"))
    await part.sync.sync()

    after = await callers(redis_client, part.pool.tag)
    for number, kept in after.items():
        # When the last call ended is known to the ledger only for those that were dialled; a cool-down that was is enough.
        # Of a last use the ledger knows the millisecond.
        whole = {name: int(before[number][name]) for name in ("lu", "sc")}
        assert kept == {**before[number], **whole}, number
    assert (missed, load.misses) == (None, {"unavailable": 1})
    assert (await part.pool.snapshot()).live == live == 3
    assert await violations(redis_client, part.pool.tag) == []
    assert ((await Rebuild(part.pool).state()).epoch or 0) > (epoch or 0)
    assert await part.pool.release(shown.key, End("answered")) == shown.number
    assert await part.pool.release(unseen.key, End("busy")) == unseen.number
    assert await part.outbox.drain()
    assert (await ledger(database))[shown.reservation] == (shown.number, "answered")


async def test_uses_of_the_running_minute_and_of_the_day_where_the_number_is_are_counted_again(
    redis: Redis, redis_client: Redis, database: Database
) -> None:
    part = stores(redis, database, uuid.uuid4().hex[:12], scripts=load_scripts({"clock": TEST_CLOCK}))
    # In Honolulu it is the afternoon of one day; in UTC midnight lies between the two.
    midnight = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC) + timedelta(days=1)
    before_ms, after_ms = (int(midnight.timestamp() + hours * 3600) * 1000 for hours in (-1, 3))
    await fill_inventory(database, 1)
    async with database.connection() as connection:
        await connection.execute("UPDATE groups SET timezone = 'Pacific/Honolulu'")
        await connection.execute("UPDATE caller_ids SET minute_limit = 2, daily_limit = 4")
    load = Load([part], 0)

    async def call_at(now_ms: int) -> bool:
        await set_time(redis_client, part.pool, now_ms)
        call = await load.place()
        if call is not None:
            await load.end(call)
        return call is not None

    await set_time(redis_client, part.pool, before_ms)
    await part.sync.sync()
    assert [await call_at(now) for now in (before_ms, after_ms, after_ms + 10_000)] == [True] * 3
    assert await part.outbox.drain()
    counts = await _counts(redis_client, part)

    await redis_client.flushall()
    await set_time(redis_client, part.pool, after_ms + 20_000)
    await part.sync.sync()

    assert counts == await _counts(redis_client, part) == [(2, 2, 3)]
    # The minute is full; in the next one there is one use left of the day.
    assert [await call_at(after_ms + later) for later in (30_000, 60_000, 120_000)] == [False, True, False]


async def _counts(redis: Redis, part: Stores) -> list[tuple[int, int, int]]:
    """Return the uses of each caller-ID in its running minute, hour and day."""
    return [(kept["mn"], kept["hn"], kept["dn"]) for kept in (await numbers_of(redis, part.pool.tag)).values()]


async def test_a_call_whose_record_died_with_redis_keeps_its_number_and_is_recorded_after_all(
    redis: Redis, redis_client: Redis, database: Database
) -> None:
    inventory = uuid.uuid4().hex[:12]
    here, there = stores(redis, database, inventory, "here"), stores(redis, database, inventory, "there")
    await fill_inventory(database, 2)
    await here.sync.sync()
    await there.sync.sync()
    load = Load([here, there], 0)
    one, two = await load.place(here), await load.place(there)
    assert one is not None
    assert two is not None

    await redis_client.flushall()
    await asyncio.gather(here.sync.sync(), there.sync.sync())

    assert await load.place() is None
    assert load.misses == {"none_free": 1}
    assert await violations(redis_client, here.pool.tag) == []
    assert await here.outbox.drain()
    assert await ledger(database) == {one.reservation: (one.number, None), two.reservation: (two.number, None)}


async def test_redis_emptied_again_in_the_middle_opens_only_when_all_is_back(
    redis: Redis, redis_client: Redis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = stores(redis, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 50)
    put = part.pool.put

    async def put_and_lose(*args: Any) -> Put:
        counts = await put(*args)
        await redis_client.flushall()
        return counts

    monkeypatch.setattr(part.pool, "put", put_and_lose)
    with pytest.raises(PoolUnavailableError):
        await part.sync.sync()
    assert (await Rebuild(part.pool).state()).epoch is None

    monkeypatch.setattr(part.pool, "put", put)
    await part.sync.sync()

    assert len(await callers(redis_client, part.pool.tag)) == 50
    assert await Load([part], 0).place() is not None


async def test_a_load_that_began_before_removes_nothing_that_was_brought_back(
    redis: Redis, redis_client: Redis, database: Database
) -> None:
    part = stores(redis, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 20)
    await part.sync.sync()
    late_generation = await part.pool.new_generation()

    await redis_client.flushall()
    await part.sync.sync()
    removed = await part.pool.prune(late_generation)

    assert removed == 0
    assert len(await callers(redis_client, part.pool.tag)) == 20


async def test_emptied_under_load(redis: Redis, redis_client: Redis, database: Database) -> None:
    part = stores(redis, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 80)
    await part.sync.sync()
    load = Load([part], workers=20)
    recovered: list[float] = []
    emptied: list[float] = []
    async with running(part), load.running():
        long_calls = [call for call in [await load.place() for _ in range(20)] if call]
        for _ in range(sized(1, 5)):
            await asyncio.sleep(1.5)
            await redis_client.flushall()
            emptied.append(time.monotonic())

            async def serves(since_s: float = emptied[-1]) -> bool:
                return any(at > since_s + 0.05 for at in load.assigned_at_s[-50:])

            recovered.append(await until(serves))
        await asyncio.sleep(1)
        for call in long_calls:
            await load.end(call)
    assert await part.outbox.drain()

    recorded = await ledger(database)
    ghosts = await part.pool.live_calls(Dialer("d1"))
    print(f"{len(load.calls)} calls, served again after {[round(s, 2) for s in recovered]} s, {dict(load.misses)}")
    assert load.faults == []
    assert max(recovered) <= SERVED_AGAIN_S
    assert ghosts == []
    assert {call.reservation: (call.number, "answered") for call in load.calls}.items() <= recorded.items()
    assert await violations(redis_client, part.pool.tag) == []


async def test_what_either_daemon_ended_just_before_ends_again_and_counts_once(
    redis: Redis, redis_client: Redis, database: Database
) -> None:
    inventory = uuid.uuid4().hex[:12]
    parts = [stores(redis, database, inventory, name) for name in ("a", "b")]
    await fill_inventory(database, 8)
    for part in parts:
        await part.sync.sync()
    load = Load(parts, 0)
    recorded = [await load.place(part) for part in parts]
    for part, call in zip(parts, recorded, strict=True):
        assert call is not None
        await part.pool.release(call.key, End("busy"))
    assert await parts[0].outbox.drain()
    lost = [await load.place(part) for part in parts]
    for part, call in zip(parts, lost, strict=True):
        assert call is not None
        await part.pool.release(call.key, End("busy"))

    await redis_client.flushall()
    await asyncio.gather(*(part.sync.sync() for part in parts))
    await asyncio.gather(*(part.sync.sync() for part in parts))

    assert await parts[0].pool.live_calls(Dialer("d1")) == []
    assert (
        sorted(int(kept["dn"]) for kept in (await callers(redis_client, parts[0].pool.tag)).values())
        == [0] * 4 + [1] * 4
    )
    assert await violations(redis_client, parts[0].pool.tag) == []
    assert await parts[0].outbox.drain()
    assert {outcome for _, outcome in (await ledger(database)).values()} == {"busy"}
    assert len(await ledger(database)) == 4


async def test_restarted_with_its_data_under_load(tmp_path: Path, database: Database) -> None:
    server = Valkey(tmp_path / "valkey", options={"appendfsync": "everysec"})
    pid = server.start()
    url = server.wait_until_ready(pid)
    client, direct = connect(url), Redis.from_url(url, decode_responses=True)
    part = stores(client, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 80)
    await part.sync.sync()
    load = Load([part], workers=20)
    recovered: list[float] = []
    start: Callable[[], int] = server.start
    async with running(part), load.running():
        long_calls = [call for call in [await load.place() for _ in range(20)] if call]
        for how in (signal.SIGKILL, *(signal.SIGTERM, signal.SIGKILL) * sized(0, 2)):
            await asyncio.sleep(1)
            os.kill(pid, how)
            await asyncio.to_thread(server.stop, pid)
            await asyncio.sleep(0.3)
            pid = await asyncio.to_thread(start)
            await asyncio.to_thread(server.wait_until_ready, pid)
            up_s = time.monotonic()

            async def serves(since_s: float = up_s) -> bool:
                return any(at > since_s + 0.05 for at in load.assigned_at_s[-50:])

            recovered.append(await until(serves))
        await asyncio.sleep(1.5)
        for call in long_calls:
            await load.end(call)
    assert await part.outbox.drain()

    recorded = await ledger(database)
    broken = await violations(direct, part.pool.tag)
    snapshot = await part.pool.snapshot()
    await client.aclose()
    await direct.aclose()
    await asyncio.to_thread(server.stop, pid)
    print(f"{len(load.calls)} calls, served again after {[round(s, 2) for s in recovered]} s, {dict(load.misses)}")
    assert load.faults == []
    assert max(recovered) <= SERVED_AGAIN_S
    assert broken == []
    # An assignment whose answer was lost with the server is a call that kept its own number: its reservation runs out.
    assert {call.reservation: (call.number, "answered") for call in load.calls}.items() <= recorded.items()
    assert snapshot.live == len(recorded) - len(load.calls) - sum(o == "expired" for _, o in recorded.values())


async def test_policies_survive_with_it(redis: Redis, redis_client: Redis, database: Database) -> None:
    part = stores(redis, database, uuid.uuid4().hex[:12])
    await fill_inventory(database, 1)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO campaigns (name) VALUES ('SALES')")
        await connection.execute("INSERT INTO campaign_groups VALUES ('SALES', 'default', 0)")
    await part.sync.sync()

    await redis_client.flushall()
    await part.sync.sync()

    assert Campaign("SALES") in await part.pool.policies()
