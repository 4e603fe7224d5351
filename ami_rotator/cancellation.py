"""Loops that end when they are cancelled, always."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """Raise if the running task was asked to end. To be called in every loop that talks to Redis.

    In Python 3.11 `asyncio.wait_for` loses a cancellation that arrives in the step in which its work completes (CPython
    issue 86296, mended in 3.12), and redis-py sends every command inside one: of busy loops a third went on for ever.

    Raises:
        CancelledError: the task was cancelled and nobody has said so yet.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
