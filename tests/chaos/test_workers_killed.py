"""Processes that reserve as fast as they can are killed at random: nothing is given twice, leaked or lost."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

import asyncpg
import pytest
from redis.asyncio import Redis

from ami_rotator.cancellation import end_tasks
from ami_rotator.domain.types import State
from tests.chaos.sizes import IS_LONG, sized
from tests.support.outbox_replay import Replay
from tests.support.pool_checks import violations
from tests.support.pool_setup import caller_id, make_pool

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500 if IS_LONG else 120)]

_WORKERS, _TASKS = sized((2, 5), (4, 25))
_TTL_S = 1.5


@asynccontextmanager
async def killed_at_random(module: str, *arguments: str, count: int, every_s: float) -> AsyncIterator[list[int]]:
    """Run processes and kill one (-9) each `every_s`, replaced at once; yields the ids of those that were killed."""
    killed: list[int] = []
    processes: dict[int, asyncio.subprocess.Process] = {}

    async def start(place: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE
        )
        # Known before anything is awaited: one that is left alone would work on for ever.
        processes[place] = process
        # It says a word once it works: one that is killed while it still starts proves nothing.
        assert process.stdout is not None
        await process.stdout.readline()

    async def kill() -> None:
        while True:
            await asyncio.sleep(every_s)
            place = random.randrange(count)
            victim = processes[place]
            assert victim.returncode is None, "it ended by itself"
            victim.kill()
            await victim.wait()
            killed.append(victim.pid)
            await start(place)

    killer: asyncio.Task[None] | None = None
    try:
        for place in range(count):
            await start(place)
        killer = asyncio.create_task(kill())
        yield killed
        if killer.done():
            killer.result()
    finally:
        if killer is not None:
            await end_tasks(killer)
        for process in processes.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


_HELD_AS_COUNTED = """
local held, wrong = {}, {}
for _, id in ipairs(redis.call('ZRANGE', key('expiries'), 0, -1)) do
  local r = reservation(id)
  if r and r.held then held[r.cid] = (held[r.cid] or 0) + 1 end
end
for _, cid in ipairs(ARGV) do
  local c, n = caller(cid), held[cid] or 0
  if not c or n ~= c.n or n > c.mc or c.hn > c.hl then wrong[#wrong + 1] = cid .. ' is held by ' .. n end
end
return wrong
"""
"""Rules 1, 2 and 5 in one atomic look, however busy the pool is: live reservations against counts and limits."""


def looking() -> str:
    """Return the look's whole source, on top of the parts that the pool's own scripts are made of."""
    parts = resources.files("ami_rotator.pool") / "lua" / "include"
    names = ("clock", "filing", "windows", "outbox", "reservations")
    return "\n".join([*((parts / f"{name}.lua").read_text() for name in names), "begin(KEYS[1])", _HELD_AS_COUNTED])


async def test_workers_killed_at_random_give_no_number_twice_and_leak_none_and_the_ledger_has_every_event(
    redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    wanted_kills, wanted_calls = sized((3, 600), (25, 100_000))
    # Half of the numbers reach their limit early on, and are wanted from then on: there are too few of the others.
    numbers, hourly_limit = sized((16, 10), (200, 200))
    items = [caller_id(n, hourly=10**6 if n % 2 else hourly_limit, daily=10**7) for n in range(numbers)]
    limits: dict[str, int] = {item.number: item.hourly_limit for item in items}
    pool = await make_pool(redis_client, items, ttl_s=_TTL_S)
    look = redis_client.register_script(looking())
    inventory = pool.tag.strip("{}")
    arguments = (redis_url, inventory, str(_TTL_S), str(_TASKS))
    replay = Replay()
    counts = replay.events
    expired, looks, began = 0, 0, time.monotonic()
    async with killed_at_random(
        "tests.support.pool_worker", *arguments, count=_WORKERS, every_s=sized(0.3, 0.6)
    ) as killed:
        while len(killed) < wanted_kills or counts["ended"] < wanted_calls:
            assert time.monotonic() - began < sized(60, 900)
            expired += len(await pool.expire())
            assert await look(keys=[pool.tag], args=[item.number for item in items]) == []
            looks += 1
            await replay.follow(redis_client, pool.outbox_stream)
            await asyncio.sleep(0.2)
    kills, loaded_s = len(killed), time.monotonic() - began
    # After one lifetime nothing is reserved any more.
    await asyncio.sleep(_TTL_S + 0.5)
    while gone := await pool.expire():
        expired += len(gone)

    await replay.follow(redis_client, pool.outbox_stream)
    assert replay.faults == []
    assert replay.holder == {}
    assert counts["assigned"] == counts["ended"] >= wanted_calls
    assert [use for use, count in replay.uses.items() if count > limits[use[0]]] == []
    assert max(count for use, count in replay.uses.items() if limits[use[0]] == hourly_limit) == hourly_limit
    assert expired > 0
    snapshot = await pool.snapshot()
    assert snapshot.live == 0
    assert snapshot.states[State.IDLE] + snapshot.states[State.WAITING] == numbers
    async with Redis.from_url(redis_url, decode_responses=True, socket_timeout=60) as patient:
        assert await violations(patient, pool.tag) == []

    began = time.monotonic()
    async with killed_at_random(
        "tests.support.ledger_worker", redis_url, database_dsn, inventory, count=2, every_s=sized(0.3, 3.0)
    ) as storers:
        while await redis_client.xlen(pool.outbox_stream):
            assert time.monotonic() - began < sized(60, 600), "the outbox was not stored"
            await asyncio.sleep(0.2)
    assert len(storers) >= sized(0, 5)
    connection = await asyncpg.connect(database_dsn)
    rows = await connection.fetchrow(
        "SELECT count(*) AS rows, count(caller_id) AS assigned, count(ended_at) AS ended, count(presented_at) AS presented,"
        " count(miss_reason) AS missed, (SELECT count(*) FROM dead_letters) AS dead FROM calls"
    )
    await connection.close()

    assert rows is not None
    stored = dict(rows)
    assert stored == {
        "rows": counts["assigned"] + counts["missed"],
        "assigned": counts["assigned"],
        "ended": counts["ended"],
        "presented": counts["presented"],
        "missed": counts["missed"],
        "dead": 0,
    }
    print(
        f"{kills} pool kills in {loaded_s:.0f} s, {looks} looks, {expired} expiries, {dict(counts)};"
        f" {len(storers)} ledger kills in {time.monotonic() - began:.0f} s"
    )
