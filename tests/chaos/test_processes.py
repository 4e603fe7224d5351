"""Processes are killed, stopped, paused and started again, under load: nothing is lost, nothing is given twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from ami_rotator.app import App
from ami_rotator.domain.types import State
from ami_rotator.settings import load_settings
from ami_rotator.simulator import Simulator, SimulatorOptions, Uniform
from tests.chaos.sizes import IS_LONG, sized
from tests.support.daemon_process import TOKEN, DaemonProcess, daemon, run_command
from tests.support.pool_checks import violations
from tests.support.pool_setup import caller_id, make_pool

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900 if IS_LONG else 120)]

_WORKERS, _TASKS, _TTL_S = 4, 25, 1.5


@asynccontextmanager
async def killed_at_random(module: str, *arguments: str, count: int, every_s: float) -> AsyncIterator[list[int]]:
    """Run processes and kill one (-9) each `every_s`, replaced at once; yields the ids of those that were killed."""
    killed: list[int] = []
    processes: list[asyncio.subprocess.Process] = []

    async def start() -> asyncio.subprocess.Process:
        # It says a word once it works: one that is killed while it still starts proves nothing.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return process

    async def kill() -> None:
        while True:
            await asyncio.sleep(every_s)
            victim = random.randrange(count)
            assert processes[victim].returncode is None, "it ended by itself"
            processes[victim].kill()
            await processes[victim].wait()
            killed.append(processes[victim].pid)
            processes[victim] = await start()

    for _ in range(count):
        processes.append(await start())
    killer = asyncio.create_task(kill())
    try:
        yield killed
    finally:
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def sound(redis: Redis, tag: str) -> None:
    """Look three times: a look takes several commands, and scripts run between them."""
    for _ in range(3):
        found = await violations(redis, tag)
        if not found:
            return
    raise AssertionError(found)


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
    return "\n".join((parts / f"{name}.lua").read_text() for name in names) + _HELD_AS_COUNTED


def replayed(entries: list[dict[str, str]]) -> Counter[str]:
    """Check that each caller-ID was assigned and ended in turn; return how often each event happened."""
    holder: dict[str, str] = {}
    of: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry["event"]] += 1
        if entry["event"] == "assigned":
            assert entry["caller_id"] not in holder, f"{entry['caller_id']} was given twice: {entry}"
            assert entry["id"] not in of, f"assigned twice: {entry}"
            holder[entry["caller_id"]] = entry["id"]
            of[entry["id"]] = entry["caller_id"]
        elif entry["event"] == "ended":
            assert holder.pop(of[entry["id"]]) == entry["id"], f"ended, but not held: {entry}"
    assert holder == {}
    return counts


async def whole_stream(redis: Redis, stream: str) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = []
    last = "-"
    while page := await redis.xrange(stream, last, count=5000):
        entries += [{str(name): str(value) for name, value in (fields or {}).items()} for _, fields in page]
        last = f"({page[-1][0]!s}"
    return entries


@pytest.mark.skipif(not IS_LONG, reason="minutes of kill -9 under full load: make chaos")
async def test_workers_killed_at_random_give_no_number_twice_and_leak_none_and_the_ledger_has_every_event(
    redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    wanted_kills, wanted_calls = sized((5, 2000), (30, 120_000))
    numbers = 80
    items = [caller_id(n, hourly=10**6, daily=10**7) for n in range(numbers)]
    pool = await make_pool(redis_client, items, ttl_s=_TTL_S)
    look = redis_client.register_script(looking())
    looks = 0
    inventory = pool.tag.strip("{}")
    arguments = (redis_url, inventory, str(_TTL_S), str(_TASKS))
    expired = 0
    async with killed_at_random("tests.support.pool_worker", *arguments, count=_WORKERS, every_s=0.6) as killed:
        deadline = time.monotonic() + sized(60, 600)
        while len(killed) < wanted_kills or await redis_client.xlen(pool.outbox_stream) < 3 * wanted_calls:
            assert time.monotonic() < deadline
            expired += len(await pool.expire())
            assert await look(keys=[pool.tag], args=[item.number for item in items]) == []
            looks += 1
            await asyncio.sleep(0.2)
    kills = len(killed)
    # After one lifetime nothing is reserved any more.
    await asyncio.sleep(_TTL_S + 0.5)
    while gone := await pool.expire():
        expired += len(gone)
    counts = replayed(await whole_stream(redis_client, pool.outbox_stream))
    snapshot = await pool.snapshot()
    assert snapshot.live == 0
    assert snapshot.states[State.IDLE] == numbers
    async with Redis.from_url(redis_url, decode_responses=True, socket_timeout=60) as patient:
        assert await violations(patient, pool.tag) == []
    assert counts["assigned"] == counts["ended"] >= wanted_calls
    assert expired > 0

    async with killed_at_random(
        "tests.support.ledger_worker", redis_url, database_dsn, inventory, count=2, every_s=sized(1.5, 3.0)
    ) as storers:
        deadline = time.monotonic() + sized(60, 300)
        while await redis_client.xlen(pool.outbox_stream):
            assert time.monotonic() < deadline, "the outbox was not stored"
            await asyncio.sleep(0.2)
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
    print(f"{kills} pool kills, {looks} looks, {len(storers)} ledger kills, {expired} expiries, {dict(counts)}")


def settings_for(simulators: list[Simulator], redis_url: str, dsn: str) -> dict[str, str]:
    dialers = [
        {"name": f"d{n}", "port": one.port, "secret": "simulator", "dial_prefixes": one.options.dial_prefixes()}
        for n, one in enumerate(simulators)
    ]
    return {
        "REDIS_URL": redis_url,
        "DATABASE_URL": dsn,
        "ADMIN_TOKEN": TOKEN,
        "DIALERS": json.dumps(dialers),
        "DEFAULT_COOLDOWN_SECONDS": "1",
        "DEFAULT_HOURLY_LIMIT": "100000",
        "DEFAULT_DAILY_LIMIT": "100000",
    }


async def import_numbers(folder: Path, settings: dict[str, str], count: int = 300) -> None:
    file = folder / "caller_ids.csv"
    areas = ("212", "312", "415", "646", "305", "713")
    file.write_text("caller_id\n" + "".join(f"{areas[n % 6]}557{n // 6:04d}\n" for n in range(count)))
    code, output = await run_command(folder, settings, "import", str(file))
    assert code == 0, output


# A slow call_log: on a busy machine the daemon has its time all the same.
SHORT_CALLS = SimulatorOptions(
    call_log_before_s=Uniform(0.005, 0.02), call_log_after_s=Uniform(0.3, 0.5),
    answer_after_s=Uniform(0.1, 0.6), reject_after_s=Uniform(0.05, 0.4), talk_s=Uniform(0.3, 2.0), auto_timeout_s=0.8,
    manual_timeout_s=1.0,
)  # fmt: skip


async def test_asked_to_stop_under_load_a_daemon_gives_its_warm_numbers_back_and_ends_in_order_within_ten_seconds(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    async with Simulator(SHORT_CALLS) as simulator:
        settings = settings_for([simulator], redis_url, database_dsn)
        await import_numbers(tmp_path, settings)
        async with daemon(tmp_path, settings) as one:
            load = asyncio.create_task(simulator.run(30))
            await _warm(redis_client)
            began = time.monotonic()

            code = await one.stop()

            took_s = time.monotonic() - began
            load.cancel()
    assert code == 0, one.log.read_text()[-3000:]
    assert took_s < 10
    assert not [key async for key in redis_client.scan_iter("warm:{main}*")]
    assert not [key async for key in redis_client.scan_iter("pool:{main}*")]
    assert not await redis_client.exists("lease:{main}")
    assert "Traceback" not in one.log.read_text()


async def _warm(redis: Redis) -> None:
    deadline = time.monotonic() + 20
    while not [key async for key in redis.scan_iter("warm:{main}*")]:
        assert time.monotonic() < deadline, "nothing became warm"
        await asyncio.sleep(0.1)


async def test_asked_to_stop_while_no_dialer_answers_a_daemon_ends_in_order(
    tmp_path: Path, redis_url: str, database_dsn: str
) -> None:
    simulator = Simulator(SHORT_CALLS)
    await simulator.start()
    settings = settings_for([simulator], redis_url, database_dsn)
    await simulator.stop()
    async with daemon(tmp_path, settings, wait_for="http") as one:
        assert await one.stop() == 0


async def test_asked_twice_a_daemon_ends_at_once(tmp_path: Path, redis_url: str, database_dsn: str) -> None:
    async with (
        Simulator(SHORT_CALLS) as simulator,
        daemon(tmp_path, settings_for([simulator], redis_url, database_dsn)) as one,
    ):
        # Half open: logging off takes its second, so that there is a moment to ask again.
        simulator.freeze()
        began = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        one.process.send_signal(signal.SIGTERM)

        code = await asyncio.wait_for(one.process.wait(), 5)

    assert code == -signal.SIGTERM
    assert time.monotonic() - began < 1.0
    assert "ending at once" in one.log.read_text()


async def test_starting_and_stopping_again_and_again_in_one_process_leaks_nothing(
    redis_url: str, redis_client: Redis, database_dsn: str, tmp_path: Path
) -> None:
    async def counts() -> tuple[int, int, int, int]:
        connection = await asyncpg.connect(database_dsn)
        try:
            backends = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()
        clients = len(await redis_client.client_list())
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), clients, int(backends)

    async def settled(wanted: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        deadline = time.monotonic() + 5
        while (found := await counts()) != wanted and time.monotonic() < deadline:  # noqa: ASYNC110 - all is asked anew
            await asyncio.sleep(0.1)
        return found

    async with Simulator(SHORT_CALLS) as simulator:
        settings = load_settings(
            _env_file=None, redis_url=redis_url, database_url=database_dsn, admin_token=TOKEN, api_port=0,
            data_dir=tmp_path, dialers=settings_for([simulator], redis_url, database_dsn)["DIALERS"],
        )  # fmt: skip
        async with App(settings).running():
            pass
        before = await counts()
        for number in range(sized(8, 100)):
            async with App(settings).running():
                if number % 2:
                    await asyncio.sleep(0.2)
        await asyncio.sleep(0)

        assert await settled(before) == before


async def test_a_daemon_that_was_paused_for_longer_than_a_lifetime_changes_nothing_when_it_goes_on(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    async with Simulator(SHORT_CALLS) as simulator:
        settings = {**settings_for([simulator], redis_url, database_dsn), "RESERVATION_TTL_SECONDS": "5"}
        await import_numbers(tmp_path, settings)
        async with daemon(tmp_path, settings) as paused, daemon(tmp_path, settings):
            load = asyncio.create_task(simulator.run(20))
            for _ in range(sized(1, 20)):
                await asyncio.sleep(1.0)
                paused.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(6.0)
                paused.process.send_signal(signal.SIGCONT)
                await asyncio.sleep(1.0)
                await sound(redis_client, "{main}")
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
            assert await simulator.drain(10)
            await nothing_reserved(redis_client)
        assert simulator.report.duplicates == 0
        assert await violations(redis_client, "{main}") == []


async def nothing_reserved(redis: Redis, within_s: float = 12.0) -> None:
    deadline = time.monotonic() + within_s
    while left := await redis.zcard("expiries:{main}"):
        assert time.monotonic() < deadline, f"{left} are still reserved"
        await asyncio.sleep(0.1)


async def test_a_daemon_killed_again_and_again_leavesnothing_reserved_and_every_call_in_the_ledger(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    async with Simulator(SHORT_CALLS) as simulator:
        settings = {**settings_for([simulator], redis_url, database_dsn), "RESERVATION_TTL_SECONDS": "6"}
        await import_numbers(tmp_path, settings)
        load = asyncio.create_task(simulator.run(30))
        logs: list[DaemonProcess] = []
        for _ in range(sized(2, 25)):
            async with daemon(tmp_path, settings) as one:
                logs.append(one)
                await asyncio.sleep(1.0 + random.random())
                await sound(redis_client, "{main}")
                await one.kill()
        async with daemon(tmp_path, settings) as last:
            logs.append(last)
            await asyncio.sleep(1.0)
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
            assert await simulator.drain(10)
            await nothing_reserved(redis_client)
            assert await last.stop() == 0
        connection = await asyncpg.connect(database_dsn)
        rows = await connection.fetch(
            "SELECT reservation_id FROM calls WHERE caller_id IS NOT NULL AND ended_at IS NULL"
        )
        unended = {str(row[0]) for row in rows}
        stored = await connection.fetchval("SELECT count(*) FROM calls WHERE caller_id IS NOT NULL")
        await connection.close()

    assert simulator.report.duplicates == 0
    # What a dead daemon had taken from the outbox waits there for its heir, half a minute; nothing is lost.
    waiting = {entry["id"] for entry in await whole_stream(redis_client, "outbox:{main}") if entry["event"] == "ended"}
    assert unended <= waiting
    assert stored > 0
    assert await violations(redis_client, "{main}") == []
