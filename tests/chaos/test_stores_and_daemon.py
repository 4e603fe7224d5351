"""The whole daemon, as a process, while its stores go away and come back."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.chaos.sizes import IS_LONG, SERVED_AGAIN_S, sized
from tests.support.daemon_process import TOKEN, DaemonProcess, daemon
from tests.support.tcp_proxy import target_of, tcp_proxy

pytestmark = [pytest.mark.thorough, pytest.mark.chaos, pytest.mark.timeout(900 if IS_LONG else 240)]


async def ask(running: DaemonProcess, number: int) -> tuple[int, float]:
    """Ask /next-cid; return its status and how long it took."""
    began = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{running.base_url}/next-cid",
            params={"to": "2125550199", "campaign": "SALES", "agent": "", "uniqueid": f"1.{number}"},
            timeout=aiohttp.ClientTimeout(total=10),
        ) as answer,
    ):
        await answer.read()
        return answer.status, time.monotonic() - began


async def status_of(running: DaemonProcess) -> str:
    """Return what /health says."""
    return str(json.loads((await running.get("/health"))[1])["status"])


async def becomes(running: DaemonProcess, wanted: str, within_s: float) -> float:
    """Wait until /health says so; return how long it took."""
    began = time.monotonic()
    while await status_of(running) != wanted:
        assert time.monotonic() - began < within_s, f"/health never says {wanted}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_the_daemon_serves_without_postgresql_and_lives_through_a_frozen_an_absent_and_an_emptied_redis(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    socket = Path(dict([urlsplit(database_dsn).query.split("=", 1)])["host"].replace("%2F", "/")) / ".s.PGSQL.5432"
    async with tcp_proxy(target_of(redis_url)) as redis, tcp_proxy(socket) as postgresql:
        settings = {
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{postgresql.port}{urlsplit(database_dsn).path}?sslmode=disable",
            "SIMULATOR_CALLS_PER_S": "20",
            "ADMIN_TOKEN": TOKEN,
            "RATE_LIMIT_PER_IP": "0",
        }
        async with daemon(tmp_path, settings) as running:
            assert (await ask(running, 1))[0] == 200

        for _ in range(sized(1, 5)):
            await postgresql.refuse()
            async with daemon(tmp_path, settings, wait_for="http") as running:
                await becomes(running, "degraded", 20)
                without_postgresql = await ask(running, 2)
                await postgresql.listen()
                await becomes(running, "healthy", 20)

                lines = running.log.read_text().count("\n")
                began = time.monotonic()
                redis.freeze()
                frozen = [await ask(running, 3 + n) for n in range(5)]
                health_frozen = await status_of(running)
                await redis.refuse()
                absent = [await ask(running, 20 + n) for n in range(5)]
                await asyncio.sleep(2)
                told = [line for line in running.log.read_text().splitlines()[lines:] if '"info"' not in line]
                per_second = len(told) / (time.monotonic() - began)
                redis.thaw()
                await redis.listen()
                back_s = await becomes(running, "healthy", 5)
                after = await ask(running, 40)

                await redis_client.flushall()
                emptied_s = time.monotonic()
                while (await ask(running, 50 + int(time.monotonic() * 1000) % 10**6))[0] != 200:
                    assert time.monotonic() - emptied_s < SERVED_AGAIN_S
                    await asyncio.sleep(0.1)
                refilled_s = time.monotonic() - emptied_s

            print(f"back after {back_s:.2f} s, refilled after {refilled_s:.2f} s, {per_second:.1f} lines a second")
            assert without_postgresql[0] == 200
            assert {status for status, _ in (*frozen, *absent)} == {503}
            assert max(took for _, took in (*frozen, *absent)) < 1
            assert health_frozen == "unhealthy"
            assert per_second < 20
            assert after[0] == 200
