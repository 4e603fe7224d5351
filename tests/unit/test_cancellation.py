"""A cancellation that is lost on its way does not keep anybody waiting."""

from __future__ import annotations

import asyncio

import pytest

from ami_rotator import cancellation
from ami_rotator.cancellation import TimeLimit, end_tasks, raise_if_cancelled, two_at_a_time
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


async def test_each_has_the_whole_time_limit_and_no_more() -> None:
    limit = TimeLimit(0.1)
    loop = asyncio.get_running_loop()

    async def take(begin_s: float, work_s: float) -> tuple[str, float]:
        await asyncio.sleep(begin_s)
        began = loop.time()
        try:
            return await limit.within(asyncio.sleep(work_s, "done")), loop.time() - began
        except TimeoutError:
            return "too slow", loop.time() - began

    took = await asyncio.gather(*(take(begin_s, work_s) for begin_s in (0, 0.03, 0.06, 0.2) for work_s in (0.01, 30)))

    assert [what for what, _ in took] == ["done", "too slow"] * 4
    assert all(0.09 < took_s < 5 for what, took_s in took if what == "too slow")


async def test_a_time_limit_cancels_the_work_that_takes_longer() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError):
        await TimeLimit(0.01).within(work())
    await asyncio.sleep(0)  # the task itself is not cancelled

    task = asyncio.current_task()
    assert (cancelled, task.cancelling() if task else None) == ([True], 0)


async def test_a_cancellation_from_outside_is_none_of_a_time_limit() -> None:
    limit = TimeLimit(0.05)
    task = asyncio.create_task(limit.within(asyncio.sleep(30)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(TimeoutError):  # and the next one has a timer of its own
        await limit.within(asyncio.sleep(30))
    assert await limit.within(asyncio.sleep(0, "done")) == "done"


async def test_a_cancellation_from_outside_at_the_very_end_of_the_time_limit_is_not_lost() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            task.cancel()  # while the limit's own is on its way

    task = asyncio.create_task(TimeLimit(0.01).within(work()))
    await asyncio.wait({task}, timeout=5)

    assert task.cancelled()


async def test_an_error_of_the_work_goes_through_a_time_limit() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await TimeLimit(1).within(fail())
