"""How long the newest assignments took, for people who look; /metrics has the whole distribution."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 2000


@dataclass(frozen=True, slots=True)
class Latency:
    """From question to answer of the pool, over the newest `calls` questions of this daemon."""

    calls: int
    p50_ms: float
    p99_ms: float


class AnswerTimes:
    """The newest answer times."""

    def __init__(self) -> None:
        self._took_s: deque[float] = deque(maxlen=KEPT)

    def add(self, took_s: float) -> None:
        """Note one answer."""
        self._took_s.append(took_s)

    def look(self) -> Latency | None:
        """Return how long they took; None before the first."""
        ordered = sorted(self._took_s)
        if not ordered:
            return None
        last = len(ordered) - 1
        return Latency(len(ordered), 1000 * ordered[last // 2], 1000 * ordered[int(last * 0.99)])
