"""Work that ends when it is cancelled, always.

In Python 3.11 `asyncio.wait_for` loses a cancellation that arrives in the step in which its work completes (CPython issue
86296, mended in 3.12). redis-py and asyncpg wait with it: of busy loops a third went on for ever, and their owner with them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import structlog

T = TypeVar("T")

_AGAIN_S = 4.0
"""Longer than anything takes that has to be finished after a cancellation (vicidial/write_back.py)."""


def raise_if_cancelled() -> None:
    """Raise if the running task was asked to end. To be called in every loop that talks to Redis or PostgreSQL.

    Raises:
        CancelledError: the task was cancelled and nobody has said so yet.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class TimeLimit:
    """`asyncio.timeout` for many tasks that may all take equally long, with one timer for all of them.

    `asyncio.timeout` makes one for each: 5 µs of each answer of the HTTP door, where this takes 1.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._entered: deque[_Entered] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Awaitable[T]) -> T:
        """Await work; raises TimeoutError where it takes longer, having cancelled it."""
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())
        entered = _Entered(loop.time() + self._limit_s, task)
        self._entered.append(entered)
        if self._timer is None:
            self._timer = loop.call_at(entered.until_s, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if entered.is_over and task.cancelling() == 1:
                raise TimeoutError from None
            raise  # somebody else asked for it, alone or as well
        finally:
            entered.task = None
            if entered.is_over:
                task.uncancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        while self._entered and (self._entered[0].task is None or self._entered[0].until_s <= now_s):
            entered = self._entered.popleft()
            if entered.task is not None:
                entered.is_over = True
                entered.task.cancel()
        self._timer = loop.call_at(self._entered[0].until_s, self._look) if self._entered else None


@dataclass(slots=True)
class _Entered:
    """One that waits; without its task it does no longer."""

    until_s: float
    task: asyncio.Task[Any] | None
    is_over: bool = False


async def end_tasks(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, wait until they have ended, and cancel those again that lost it. How they ended is not told."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        if pending:
            names = sorted(task.get_name() if isinstance(task, asyncio.Task) else repr(task) for task in pending)
            structlog.get_logger("stop").warning("work that was cancelled goes on; it is cancelled again", work=names)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # so that asyncio does not call it unseen


async def two_at_a_time(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Work at each item, at two of them side by side. The first error stops the rest, and is raised when all has stopped."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            raise_if_cancelled()
            await work(item)

    tasks = [asyncio.create_task(take()) for _ in range(2)]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_tasks(*tasks)
