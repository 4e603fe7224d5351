"""The two clocks: wall time to store, monotonic time to measure. Passed in, so that tests own them."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A pair of clocks."""

    def wall_ms(self) -> int:
        """Return the wall time in milliseconds since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds from a clock that never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Return the wall time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds from a clock that never goes back."""
        return time.monotonic()
