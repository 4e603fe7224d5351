"""Rate limits of one daemon: so many uses a minute and subject, spread evenly after a first burst."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

from ami_rotator.clock import Clock

_SUBJECTS_MAX = 20_000


class MinuteLimits:
    """Token buckets, as many as there are subjects; the longest unused are forgotten first. A limit of 0 is none."""

    def __init__(self, clock: Clock, per_minute: Mapping[str, int]) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    async def __call__(self, kind: Literal["agent", "ip", "sign-in"], subject: str) -> float | None:
        """Count one use; None if it is within the limit, else the seconds until the next one is."""
        limit = self._per_minute.get(kind, 0)
        if limit <= 0:
            return None
        now = self._clock.monotonic_s()
        tokens, at = self._buckets.get((kind, subject), (float(limit), now))
        tokens = min(float(limit), tokens + (now - at) * limit / 60)
        is_allowed = tokens >= 1
        self._buckets[kind, subject] = (tokens - 1 if is_allowed else tokens, now)
        self._buckets.move_to_end((kind, subject))
        if len(self._buckets) > _SUBJECTS_MAX:
            self._buckets.popitem(last=False)
        return None if is_allowed else (1 - tokens) * 60 / limit
