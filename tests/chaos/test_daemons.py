"""Several daemons on the same dialers and stores: one answer a call, jobs once, and one may be killed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import asyncpg
import orjson
import pytest
from redis.asyncio import Redis

from ami_rotator.cancellation import end_tasks
from ami_rotator.simulator import Simulator, Uniform
from tests.chaos.sizes import IS_LONG, sized
from tests.chaos.test_processes import SHORT_CALLS, import_numbers, nothing_reserved, settings_for
from tests.support.daemon_process import daemon
from tests.support.outbox_replay import entries_of
from tests.support.pool_checks import violations

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900 if IS_LONG else 120)]


async def leader(redis: Redis) -> str:
    return str(await redis.get("lease:{main}") or "")


# What is judged is that somebody answers; a busy machine may take its time.
UNHURRIED = replace(SHORT_CALLS, call_log_after_s=Uniform(0.8, 1.0))


async def test_two_daemons_serve_the_same_dialer_and_either_may_be_killed(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    async with Simulator(UNHURRIED) as simulator:
        settings = {**settings_for([simulator], redis_url, database_dsn), "RESERVATION_TTL_SECONDS": "10"}
        await import_numbers(tmp_path, settings, 600)
        async with AsyncExitStack() as stack:
            running = [await stack.enter_async_context(daemon(tmp_path, settings)) for _ in range(2)]
            load = asyncio.create_task(simulator.run(30))
            await asyncio.sleep(2.0)
            for number in range(sized(1, 10)):
                await running[number % 2].kill()
                await asyncio.sleep(1.5)
                if IS_LONG:
                    running[number % 2] = await stack.enter_async_context(daemon(tmp_path, settings))
            await end_tasks(load)
            assert await simulator.drain(10)
            await nothing_reserved(redis_client)
            for one in running:
                if one.process.returncode is None:
                    assert await one.stop() == 0

    report = simulator.report
    assert (report.duplicates, report.name_changes, report.setvars_after_trunk) == (0, 0, 0)
    assert await violations(redis_client, "{main}") == []
    given = await _recorded(database_dsn, redis_client)
    records = {record.code: record for record in report.records}
    assert set(records) == set(given), "a call that nobody saw, or a call that never was"
    in_time = {code for code, record in records.items() if record.way != "own"}
    # A few have no trunk and show nothing.
    shown = {code: f"+1{records[code].presented}" for code in in_time if records[code].presented}
    assert shown.items() <= given.items()
    # The other daemon heard every event too, so that a kill costs no call its number: only a late processor can.
    print(f"{len(in_time)} of {len(records)} calls had their number in time")
    assert len(in_time) >= 0.95 * len(records)


async def _recorded(dsn: str, redis: Redis) -> dict[str, str]:
    """Return the caller-ID of each call; fails where one has two, or has not ended.

    What a dead daemon had taken from the outbox waits there for its heir, half a minute: the ledger and it are one record.
    """
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT reservation_id::text, code, caller_id, ended_at, miss_reason FROM calls")
    await connection.close()
    assert [row["miss_reason"] for row in rows if row["miss_reason"]] == []
    # The end of a call may be stored before its beginning, by another daemon.
    assigned = {row["reservation_id"]: (row["code"], row["caller_id"]) for row in rows if row["caller_id"]}
    ended = {row["reservation_id"] for row in rows if row["ended_at"] is not None}
    async for entry in entries_of(redis, "outbox:{main}"):
        if entry["event"] == "assigned":
            assigned[entry["id"]] = (entry["code"], entry["caller_id"])
        elif entry["event"] == "ended":
            ended.add(entry["id"])
    given = dict(assigned.values())
    assert len(given) == len(assigned), "a call got two reservations"
    assert ended == set(assigned)
    return given


@pytest.mark.thorough
async def test_the_jobs_of_a_leader_that_is_killed_are_taken_over_and_none_ran_twice(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    async with Simulator(SHORT_CALLS) as simulator, AsyncExitStack() as stack:
        settings = settings_for([simulator], redis_url, database_dsn)
        first = await stack.enter_async_context(daemon(tmp_path, settings))
        await _until_leader(redis_client, "")
        for _ in range(sized(1, 5)):
            held = await leader(redis_client)
            second = await stack.enter_async_context(daemon(tmp_path, settings))
            begun = await redis_client.hgetall("jobs-begun:{main}")
            await asyncio.sleep(6)
            assert await leader(redis_client) == held
            before = {**begun, **await redis_client.hgetall("jobs-begun:{main}")}
            await first.kill()
            killed = time.monotonic()

            await _until_leader(redis_client, held)

            # The lease holds for ten seconds, and is asked for every third of that.
            assert time.monotonic() - killed <= 20
            after = await redis_client.hgetall("jobs-begun:{main}")
            # Intervals of hours: what the first one did is not done again.
            assert {name: after[name] for name in ("partitions", "retention")} == {
                name: before[name] for name in ("partitions", "retention")
            }
            runs = {name: orjson.loads(text) for name, text in (await redis_client.hgetall("jobs:{main}")).items()}
            assert runs["expire"]["daemon"] != held
            first = second


async def _until_leader(redis: Redis, not_this: str) -> None:
    deadline = time.monotonic() + 25
    while (await leader(redis)) in ("", not_this):
        assert time.monotonic() < deadline, "nobody took the lease"
        await asyncio.sleep(0.1)
