"""Steps that must not be lost while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ami_rotator.cancellation import raise_if_cancelled
from ami_rotator.clock import Clock
from ami_rotator.errors import PoolUnavailableError

_FIRST_S = 0.1
_MOST_S = 5.0
_T = TypeVar("_T")


async def surely(clock: Clock, give_up_s: float, step: Callable[[], Awaitable[_T]]) -> _T | None:
    """Repeat a step until Redis takes it; None after `give_up_s`: the reservation's own lifetime has done its work then."""
    began_s = clock.monotonic_s()
    wait_s = _FIRST_S
    while True:
        raise_if_cancelled()
        try:
            return await step()
        except PoolUnavailableError:
            if clock.monotonic_s() - began_s > give_up_s:
                return None
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _MOST_S)
