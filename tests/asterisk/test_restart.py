"""A real Asterisk crashes, or is restarted, while calls are up: what ended is given back, and the next calls are served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.asterisk.rotator_lab import OWN_NUMBER, hooked, import_numbers, mixed_plan, settings_for
from tests.asterisk.vicidial_lab import VicidialLab, vicidial_lab
from tests.chaos.sizes import SERVED_AGAIN_S, sized
from tests.support.asterisk_lab import free_port
from tests.support.daemon_process import daemon
from tests.support.pool_checks import violations
from tests.support.pool_load import until
from tests.support.sip_carrier import SipCarrier
from tests.support.vicidial_dialer import PlannedCall

pytestmark = [pytest.mark.thorough, pytest.mark.asterisk, pytest.mark.chaos, pytest.mark.timeout(1200)]

TALKING = 12
# A short lifetime for what a call that began and ended unseen had; those seen up are renewed while nobody can be asked.
TTL_S = 10


async def _reserved(redis: Redis, codes: set[str]) -> set[str]:
    """Return those of these calls that are still in the index of live calls' reservations."""
    live = set(await redis.zrange("expiries:{main}", 0, -1))
    found = {code: await redis.get(f"call:{{main}}:lab:{code}") for code in codes}
    return {code for code, identity in found.items() if identity in live}


async def _talking(lab: VicidialLab, redis: Redis) -> set[str]:
    """Place calls that are answered and never end by themselves; return their codes once their trunks are known."""
    lab.carrier.talk_s = None
    plan = [PlannedCall("V" if n % 2 else "M", f"2125557{n:02d}0"[:10], timeout_s=5) for n in range(TALKING)]
    placed = await lab.dialer.run(plan, rate_per_s=15)
    codes = {call.code for call in placed}

    async def all_talk() -> bool:
        return await _reserved(redis, codes) == codes and all(call.answered_at_s for call in lab.carrier.live())

    await until(all_talk)
    # Answered calls of VICIdial's go on without their Local halves.
    await asyncio.sleep(1.0)
    lab.carrier.talk_s = 0.6
    return codes


async def test_calls_that_died_with_asterisk_are_given_back_and_calls_after_it_are_served(
    asterisk_root: Path, redis_url: str, redis_client: Redis, database_dsn: str, tmp_path: Path
) -> None:
    api_port = free_port()
    carrier = SipCarrier(talk_s=0.6)
    # How each call ended that was up when its Asterisk did, and the calls that were placed when it was back.
    crashed: dict[str, bool] = {}
    after: set[str] = set()
    async with vicidial_lab(asterisk_root, carrier=carrier, options=hooked(api_port)) as lab:
        settings = {**settings_for(lab, redis_url, database_dsn, api_port), "RESERVATION_TTL_SECONDS": str(TTL_S)}
        await import_numbers(tmp_path, settings, per_area=60)
        async with daemon(tmp_path, settings) as running:

            async def is_up() -> bool:
                return (await running.get("/health"))[0] == 200

            async def is_down() -> bool:
                return not await is_up()

            async def none_reserved() -> bool:
                return not await redis_client.zcard("expiries:{main}")

            for crash in sized((True, False), (True, False) * 5):
                held = await _talking(lab, redis_client)
                crashed |= dict.fromkeys(held, crash)
                load = asyncio.create_task(lab.dialer.run(mixed_plan(40), rate_per_s=10))
                await asyncio.sleep(1.5)
                await (lab.asterisk.kill() if crash else lab.asterisk.stop())
                lab.carrier.forget_all()
                await until(is_down)
                await lab.asterisk.start()
                back_s = await until(is_up)
                await lab.dialer.connect()

                async def given_back(codes: set[str] = held) -> bool:
                    return not await _reserved(redis_client, codes)

                compared_s = await until(given_back)
                print(f"connected {back_s:.1f} s after Asterisk was back, and compared {compared_s:.1f} s later")
                # Tried again at least every five seconds; a busy machine has more.
                assert back_s <= SERVED_AGAIN_S + 1
                await load
                await lab.settle(20)
                after |= {call.code for call in await lab.dialer.run(mixed_plan(12), rate_per_s=10)}
                await lab.settle(20)
                await until(none_reserved, 2 * TTL_S)
                assert await violations(redis_client, "{main}") == []
            assert await running.stop() == 0

    connection = await asyncpg.connect(database_dsn)
    rows = {row["code"]: row for row in await connection.fetch("SELECT * FROM calls WHERE caller_id IS NOT NULL")}
    await connection.close()
    shown = {call.from_name: call.from_number for call in carrier.calls}
    assert [code for code, row in rows.items() if row["ended_at"] is None] == []
    # Of a crash nobody told how the calls ended; an Asterisk that is stopped in order may say so.
    assert {rows[code]["outcome"] for code, was_crash in crashed.items() if was_crash} == {"unknown"}
    assert {rows[code]["outcome"] for code in crashed} <= {"unknown", "answered"}
    assert {code: shown[code] for code in after} == {code: rows[code]["caller_id"].removeprefix("+1") for code in after}
    assert carrier.live_duplicates(ignoring={OWN_NUMBER}) == 0
