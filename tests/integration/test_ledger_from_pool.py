from __future__ import annotations

from redis.asyncio import Redis

from ami_rotator.domain.types import Assignment, End, Miss
from ami_rotator.ledger import reports
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import LedgerOutbox
from tests.support.pool_setup import DESTINATION, assign, call, caller_id, make_pool
from tests.support.services import every_redis


@every_redis
async def test_what_the_pool_does_is_what_the_ledger_says(redis_client: Redis, database: Database) -> None:
    pool = await make_pool(redis_client, [caller_id(1)])
    outbox = LedgerOutbox(redis_client, database, pool.tag.strip("{}"), "one")
    first, second = call(1), call(2, dialer="d2", uniqueid="17.4")

    found = await assign(pool, first)
    again = await assign(pool, first)
    nothing = await assign(pool, second)
    assert isinstance(found, Assignment)
    assert isinstance(again, Assignment)
    assert isinstance(nothing, Miss)
    await pool.confirm(first.key, found.caller_id, "17.9")
    assert await outbox.drain()
    await pool.release(first.key, End("answered", cause=16, talk_ms=4200))
    assert await outbox.drain()

    assert outbox.set_aside == 0
    [row] = await reports.recent(database)
    assert (row.reservation, row.caller_id, row.code) == (found.reservation, found.caller_id, first.key.code)
    assert (row.destination, row.campaign, row.dialer, row.source) == (DESTINATION, "SALES", "d1", "ami")
    assert (row.rung, row.group, row.area, row.was_warm) == ("area", "default", "212", False)
    assert row.presented_matches is True
    assert (row.outcome, row.cause, row.talk_ms) == ("answered", 16, 4200)
    assert row.ended_at_ms >= row.assigned_at_ms
    assert await reports.misses_by_reason(database) == {nothing.reason: 1}


async def test_a_reservation_nobody_ends_is_expired_in_the_ledger_too(redis_client: Redis, database: Database) -> None:
    pool = await make_pool(redis_client, [caller_id(1)], ttl_s=0.001)
    outbox = LedgerOutbox(redis_client, database, pool.tag.strip("{}"), "one")
    await assign(pool, call(1))

    while not await pool.expire():
        pass
    assert await outbox.drain()

    assert outbox.set_aside == 0
    [row] = await reports.recent(database)
    assert row.outcome == "expired"
