"""Background work that never ends by itself: where it fails, it is logged, and starts again after a growing pause."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from ami_rotator.cancellation import raise_if_cancelled

_FIRST_S = 0.5
_MOST_S = 30.0
_HEALTHY_S = 60.0


async def keep_running(name: str, work: Callable[[], Awaitable[None]], *, may_end: bool = False) -> None:
    """Run `work` until cancelled. A pause with full jitter follows each failure, doubled up to half a minute.

    `may_end`: where it returns by itself it has done its work and does not start again.
    """
    log = structlog.get_logger("supervise").bind(work=name)
    pause_s = _FIRST_S
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await work()
            raise_if_cancelled()
            if may_end:
                return
            log.warning("background work ended; it starts again")
        except Exception as error:  # the one place where background failures end
            log.exception("background work failed; it starts again", error=str(error), pause_s=round(pause_s, 1))
        raise_if_cancelled()
        if loop.time() - began > _HEALTHY_S:
            pause_s = _FIRST_S
        await asyncio.sleep(random.uniform(0, pause_s))
        pause_s = min(pause_s * 2, _MOST_S)
