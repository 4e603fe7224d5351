"""Faults of Caller-ID Rotation API that ours must not have, by their number in the list that its users keep.

Those of the HTTP answers (3, 11 to 17, 21) stand in test_http_*.py, those of the import (19, 20) in
test_inventory_import.py; 1 is test_daemon.py, 2 test_migrations.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from redis.asyncio import Redis

from ami_rotator.domain.types import Assignment, End
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import LedgerOutbox
from tests.support.pool_setup import assign, call, caller_id, given, make_pool


async def test_bug_4_a_destination_without_a_number_of_its_area_gets_another(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0)])

    assert await given(pool, call(1), area="907") == "+12125550000"


async def test_bug_5_numbers_that_were_used_do_not_come_first(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(25)])
    used = set()
    for turn in range(25):
        used.add(await given(pool, call(turn + 1)))
        await pool.release(call(turn + 1).key, End("answered"))

    assert len(used) == 25


async def test_bug_6_an_assignment_is_one_round_trip_whatever_the_inventory(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(1000)])
    await given(pool, call(1))

    before = (await redis_client.info("commandstats")).get("cmdstat_fcall", {"calls": 0})["calls"]
    processed = (await redis_client.info("stats"))["total_net_input_bytes"]
    await given(pool, call(2))
    after = (await redis_client.info("commandstats"))["cmdstat_fcall"]["calls"]
    sent = (await redis_client.info("stats"))["total_net_input_bytes"] - processed

    assert after - before == 1
    assert sent < 2000


async def test_bug_7_a_limit_is_never_passed_however_many_ask_at_once(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i, hourly=1) for i in range(20)])
    found = await asyncio.gather(*(assign(pool, call(turn + 1)) for turn in range(100)))
    uses = Counter(item.caller_id for item in found if isinstance(item, Assignment))

    assert dict(uses) == {caller_id(i).number: 1 for i in range(20)}


async def test_bug_8_no_use_is_lost_in_the_records(redis_client: Redis, database: Database) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(200)])
    await asyncio.gather(*(assign(pool, call(turn + 1)) for turn in range(200)))
    outbox = LedgerOutbox(redis_client, database, pool.tag.strip("{}"), "test")
    assert await outbox.drain()

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM calls WHERE caller_id IS NOT NULL") == 200


async def test_bug_9_a_number_is_free_again_when_its_call_ends_not_minutes_later(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0)])
    for turn in range(30):
        await given(pool, call(turn + 1))
        await pool.release(call(turn + 1).key, End("busy"))


async def test_bug_10_a_database_that_is_away_burns_no_number(redis_client: Redis) -> None:
    """Choosing never asks PostgreSQL: there is none in this test."""
    pool = await make_pool(redis_client, [caller_id(i) for i in range(3)])

    assert len({await given(pool, call(turn + 1)) for turn in range(3)}) == 3


async def test_bug_18_a_call_is_recorded_once(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0)])
    for _ in range(3):
        await assign(pool, call(1))

    assert await redis_client.xlen(pool.outbox_stream) == 1
