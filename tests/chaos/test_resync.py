"""The connection to a dialer is lost, at every point of a call and under load: nothing stays reserved."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from ami_rotator.ami.events import Event
from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import Assignment, CallKey, CallRequest, Campaign, Dialer
from ami_rotator.simulator import CallPlan, Fixed, SimulatorOptions, Uniform
from tests.chaos.sizes import sized
from tests.support.dialer_rig import NAME, DialerRig, dialer_rig, until

pytestmark = pytest.mark.chaos

# The events that are heard of every such call, from its first caller-ID to the last before its trunk leg hangs up.
EVENTS_OF_A_CALL = {"auto": 8, "manual": 6}
_BUSY_FLOOR = SimulatorOptions(
    answer_after_s=Uniform(0.1, 0.5),
    reject_after_s=Uniform(0.05, 0.3),
    talk_s=Uniform(0.3, 1.5),
    auto_timeout_s=0.6,
    manual_timeout_s=0.8,
)


def plan(rig: DialerRig, kind: str, *, talk_s: float = 0.2, ring_s: float = 0.05) -> CallPlan:
    found = rig.simulator.plan()
    while found.kind != kind:
        found = rig.simulator.plan()
    return replace(found, outcome="answered", failover=False, ring_s=ring_s, talk_s=talk_s, redirect_s=0.05)


def cut_after(rig: DialerRig, number: int) -> asyncio.Event:
    """Lose the connection for good at the event with this number; the answer is set when it happened."""
    happened = asyncio.Event()

    def seen(count: int, _event: Event) -> None:
        if count == number and not happened.is_set():
            happened.set()
            rig.cut(for_good=True)

    rig.on_seen = seen
    return happened


async def sound(rig: DialerRig) -> None:
    await rig.none_reserved()
    assert await rig.violations() == []
    await until(lambda: not rig.listener.live())


@pytest.mark.parametrize("kind", ["auto", "manual"])
async def test_a_call_that_ends_while_nobody_listens_is_given_back_wherever_the_line_broke(
    redis_client: Redis, kind: str
) -> None:
    found_reserved = 0
    async with dialer_rig(redis_client) as rig:
        for number in range(1, EVENTS_OF_A_CALL[kind] + 1):
            rig.seen.clear()
            happened = cut_after(rig, number)
            call = rig.simulator.place(plan(rig, kind))
            await asyncio.wait({call}, timeout=5)
            async with asyncio.timeout(5):
                await happened.wait()  # or the call has fewer events than this test believes
            await rig.leave()
            found_reserved += await rig.reserved()

            await rig.connect()

            await sound(rig)
        assert found_reserved >= 3
        assert rig.simulator.report.duplicates == 0


@pytest.mark.parametrize("kind", ["auto", "manual"])
async def test_a_call_that_goes_on_keeps_its_caller_id_wherever_the_line_broke(redis_client: Redis, kind: str) -> None:
    async with dialer_rig(redis_client) as rig:
        for number in sized((1, 3, 5, 6), range(1, 9)):
            rig.seen.clear()
            happened = cut_after(rig, number)
            call = rig.simulator.place(plan(rig, kind, talk_s=1.2))
            await asyncio.wait({asyncio.ensure_future(happened.wait()), call}, return_when="FIRST_COMPLETED")
            if call.done():
                break
            await rig.leave()
            await rig.listener.drain(1.0)
            given = await rig.reserved()

            await rig.connect()

            assert not call.done(), "the call was to outlive the reconnection"
            # One that was only announced may get its number now.
            assert await rig.reserved() >= given
            await call
            await sound(rig)
            assert await _ended_as(rig) in (["answered"], ["unknown"], [])


async def _ended_as(rig: DialerRig) -> list[str]:
    entries = await rig._redis.xrange(rig.pool.outbox_stream)
    await rig._redis.delete(rig.pool.outbox_stream)
    ended = [fields for _, fields in entries or () if fields and fields["event"] == "ended"]
    return [str(fields["outcome"]) for fields in ended]


async def test_a_call_that_began_while_nobody_listened_is_adopted_renewed_and_released_at_its_end(
    redis_client: Redis,
) -> None:
    async with dialer_rig(redis_client) as rig:
        await rig.leave()
        planned = plan(rig, "auto", talk_s=1.5)
        key = CallKey(Dialer(NAME), planned.code)
        # Another door gave it its number meanwhile.
        given = await rig.assigner.assign(CallRequest(key, planned.dialled, Campaign(planned.campaign), "http"))
        assert isinstance(given, Assignment)
        call = rig.simulator.place(planned)
        await asyncio.sleep(0.4)

        await rig.connect()

        await until(lambda: rig.listener.live() == [given.reservation])
        assert rig.count("rotator_resync_total", kind="adopted") == 1
        assert not call.done()
        await call
        await sound(rig)


async def test_a_daemon_that_starts_anew_finds_the_calls_of_the_one_before(redis_client: Redis) -> None:
    async with dialer_rig(redis_client, replace(_BUSY_FLOOR, talk_s=Fixed(2.0))) as rig:
        await rig.simulator.run(20, 1.0)
        await asyncio.sleep(0.5)
        await rig.leave()
        await rig.listener.drain(1.0)

        heir = DialerRig(rig.simulator, redis_client, rig.pool)
        await heir.connect()

        assert await heir.reserved() > 0
        assert await rig.simulator.drain(10)
        await heir.none_reserved()
        assert await heir.violations() == []
        await heir.leave()
        await heir.listener.drain(1.0)


async def test_nothing_is_released_for_a_call_that_was_assigned_ahead_and_is_not_dialled_yet(
    redis_client: Redis,
) -> None:
    async with dialer_rig(redis_client) as rig:
        key = CallKey(Dialer(NAME), "V1122180000000012345")
        given = await rig.assigner.assign(CallRequest(key, "912125550199", Campaign("SALES"), "feed"))
        assert isinstance(given, Assignment)

        said = await rig.listener.comparison.resync()

        assert said == ""
        assert await rig.reserved() == 1


class JumpingClock(SystemClock):
    """A wall clock that a test sets."""

    ahead_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms


@pytest.mark.parametrize("jump_s", [3600, -3600])
async def test_a_wall_clock_that_jumps_an_hour_ends_no_call_and_leaves_none(redis_client: Redis, jump_s: int) -> None:
    clock = JumpingClock()
    async with dialer_rig(redis_client, _BUSY_FLOOR, clock=clock) as rig:
        load = asyncio.create_task(rig.simulator.run(40, 1.4))
        await asyncio.sleep(0.7)
        clock.ahead_ms = jump_s * 1000
        live_before = await rig.reserved()
        await rig.listener.comparison.resync()
        live_after = await rig.reserved()
        await load
        assert await rig.simulator.drain(10)

        assert live_before > 0
        assert live_after >= live_before / 2
        assert rig.count("rotator_resync_total", kind="ended") == 0
        await sound(rig)
        assert rig.simulator.report.duplicates == 0


async def test_a_half_open_connection_is_noticed_within_two_pings_and_what_ended_meanwhile_is_given_back(
    redis_client: Redis,
) -> None:
    ping_s = 0.4
    rounds = sized(2, 20)
    async with dialer_rig(redis_client, _BUSY_FLOOR, ping_interval_s=ping_s) as rig:
        for _ in range(rounds):
            await rig.simulator.run(30, 0.6)
            downs = len(rig.downs)
            began = time.monotonic()
            rig.simulator.freeze()
            assert await rig.simulator.drain(10)
            await until(lambda downs=downs: len(rig.downs) > downs)  # type: ignore[misc]

            # Two intervals, and what a busy machine adds.
            assert rig.downs[-1][0] - began <= 2 * ping_s + ping_s
            await until(lambda: rig.listener.is_up)
            await sound(rig)


async def test_asterisk_restarting_under_load_leaves_nothing_reserved_and_no_number_on_two_calls(
    redis_client: Redis,
) -> None:
    rounds = sized(2, 20)
    async with dialer_rig(redis_client, _BUSY_FLOOR) as rig:
        load = asyncio.create_task(rig.simulator.run(60))
        for _ in range(rounds):
            await asyncio.sleep(0.8)
            await rig.simulator.restart(0.2)
            await until(lambda: rig.listener.is_up)
        await end_tasks(load)
        assert await rig.simulator.drain(10)

        await sound(rig)
        report = rig.simulator.report
        assert (report.duplicates, report.name_changes, report.setvars_after_trunk) == (0, 0, 0)
        assert report.by_outcome["cut_off"] > 0


async def test_connections_cut_at_random_under_load_leave_nothing_reserved(redis_client: Redis) -> None:
    rounds = sized(5, 60)
    async with dialer_rig(redis_client, _BUSY_FLOOR) as rig:
        load = asyncio.create_task(rig.simulator.run(60))
        for number in range(rounds):
            await asyncio.sleep(0.05 + 0.037 * (number % 7))
            rig.cut()
            await until(lambda: rig.listener.is_up)
        await end_tasks(load)
        assert await rig.simulator.drain(10)
        await until(lambda: rig.listener.is_up)
        await rig.listener.comparison.resync()

        await sound(rig)
        report = rig.simulator.report
        assert (report.duplicates, report.setvars_after_trunk) == (0, 0)


async def test_before_the_comparison_the_call_that_ended_is_still_reserved(redis_client: Redis) -> None:
    """The negative control: the comparison has something to find."""
    async with dialer_rig(redis_client) as rig:
        dialled = asyncio.Event()
        rig.on_seen = lambda _, event: dialled.set() if event["DestChannel"].startswith("PJSIP") else None
        call = rig.simulator.place(plan(rig, "auto"))
        await dialled.wait()
        rig.cut(for_good=True)
        await rig.leave()
        await call

        assert await rig.reserved() == 1
        await rig.connect()
        await sound(rig)
