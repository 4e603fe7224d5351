"""Daemons are killed, stopped, paused and started again, under load: nothing is lost, nothing is given twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from ami_rotator.app import App
from ami_rotator.settings import load_settings
from ami_rotator.simulator import Simulator, SimulatorOptions, Uniform
from tests.chaos.sizes import IS_LONG, sized
from tests.support.daemon_process import TOKEN, DaemonProcess, daemon, run_command
from tests.support.outbox_replay import entries_of
from tests.support.pool_checks import violations

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900 if IS_LONG else 120)]


async def sound(redis: Redis, tag: str) -> None:
    """Look again while something seems broken: a look takes several commands, and scripts run between them. What is really
    broken is so at each look."""
    broken = set(await violations(redis, tag))
    for _ in range(5):
        if not broken:
            return
        broken &= set(await violations(redis, tag))
    assert not broken


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
        for _ in range(sized(1, 5)):
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


async def test_a_daemon_killed_again_and_again_leaves_nothing_reserved_and_every_call_in_the_ledger(
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
    waiting = {entry["id"] async for entry in entries_of(redis_client, "outbox:{main}") if entry["event"] == "ended"}
    assert unended <= waiting
    assert stored > 0
    assert await violations(redis_client, "{main}") == []
