"""The last hour by minutes, for a page that asks every second: what is over is not counted again each time."""

from __future__ import annotations

from ami_rotator.clock import Clock
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.reports import MinuteCount, calls_per_minute

_MINUTES = 60
# The newest minutes still change with every call; the older ones only where the outbox was behind.
_NEWEST = 3
_ALL_AGAIN_S = 30.0


class LastHour:
    """Counts all of the last hour every half a minute, and in between the newest minutes alone."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counts: dict[int, MinuteCount] = {}
        self._all_at_s = float("-inf")

    async def minutes(self) -> tuple[MinuteCount, ...]:
        """Return one count a minute, oldest first, without gaps; the last one is the minute that runs.

        Raises:
            LedgerUnavailableError: PostgreSQL is away or too slow.
        """
        now_s = self._clock.monotonic_s()
        is_all = now_s - self._all_at_s >= _ALL_AGAIN_S
        found = await calls_per_minute(self._database, _MINUTES if is_all else _NEWEST)
        if is_all:
            self._all_at_s = now_s
            self._counts = {}
        self._counts |= {count.minute_ms: count for count in found}
        for minute_ms in sorted(self._counts)[:-_MINUTES]:
            del self._counts[minute_ms]
        return tuple(self._counts[minute_ms] for minute_ms in sorted(self._counts))
