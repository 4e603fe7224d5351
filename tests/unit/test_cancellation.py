"""A cancellation that is lost on its way does not keep anybody waiting."""

from __future__ import annotations

import asyncio

import pytest

from ami_rotator import cancellation
from ami_rotator.cancellation import end_tasks, raise_if_cancelled, two_at_a_time
from ami_rotator.stopping import background


class Work:
    """Steps of a loop; one of them loses a cancellation, as `asyncio.wait_for` does in Python 3.11."""

    def __init__(self) -> None:
        self.steps = 0
        self.lost = 0

    async def step(self) -> None:
        self.steps += 1
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            if self.lost:
                raise
            self.lost += 1

    async def unguarded(self) -> None:
        while True:
            await self.step()

    async def guarded(self) -> None:
        while True:
            raise_if_cancelled()
            await self.step()


async def test_a_loop_that_lost_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "_AGAIN_S", 0.05)
    work = Work()
    task = asyncio.create_task(work.unguarded())
    await asyncio.sleep(0.02)

    async with asyncio.timeout(2):
        await end_tasks(task)

    assert (task.cancelled(), work.lost) == (True, 1)


async def test_a_guarded_loop_ends_by_itself() -> None:
    work = Work()
    task = asyncio.create_task(work.guarded())
    await asyncio.sleep(0.02)

    async with asyncio.timeout(2):
        await end_tasks(task)

    assert (task.cancelled(), work.lost) == (True, 1)


async def test_background_work_that_returns_where_it_was_cancelled_does_not_start_again() -> None:
    work = Work()
    async with asyncio.timeout(2):
        async with background("test", work.step):
            await asyncio.sleep(0.005)
        steps = work.steps
        await asyncio.sleep(0.05)

    assert (work.lost, work.steps) == (1, steps)


async def test_tasks_that_failed_or_ended_before_are_no_trouble() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    failed, done = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait({failed, done})

    await end_tasks(failed, done)
    await end_tasks()

    assert isinstance(failed.exception(), ValueError)


async def test_two_are_worked_at_side_by_side_and_no_more() -> None:
    under_way, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        done.append(item)

    await two_at_a_time(range(9), work)

    assert (most, sorted(done)) == (2, list(range(9)))


async def test_the_first_error_stops_the_rest() -> None:
    begun = []

    async def work(item: int) -> None:
        begun.append(item)
        await asyncio.sleep(0.001)
        if item == 2:
            raise ValueError(item)

    with pytest.raises(ValueError, match="2"):
        await two_at_a_time(range(100), work)
    at_the_error = len(begun)
    await asyncio.sleep(0.02)

    assert at_the_error == len(begun) <= 5
