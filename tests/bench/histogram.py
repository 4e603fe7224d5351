"""Percentiles out of a Prometheus histogram, between two looks at it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

_LINE = re.compile(r'_bucket\{[^}]*\ble="([^"]+)"[^}]*\} (\S+)')


@dataclass(frozen=True, slots=True)
class Buckets:
    """How many were at most so long, by seconds, over all labels."""

    counts: dict[float, float]

    def __sub__(self, earlier: Buckets) -> Buckets:
        """Return what came since."""
        return Buckets({bound: count - earlier.counts.get(bound, 0) for bound, count in self.counts.items()})

    @property
    def total(self) -> float:
        """Return how many there are."""
        return max(self.counts.values(), default=0)

    def ms(self, share: float) -> float:
        """Return the time in ms that this share took at the most, as if those of a bucket were spread evenly in it."""
        wanted = share * self.total
        low = below = 0.0
        for bound, count in sorted(self.counts.items()):
            if count >= wanted > 0:
                if bound == float("inf"):
                    return low * 1000
                return 1000 * (low + (bound - low) * (wanted - below) / (count - below))
            low, below = bound, count
        return 0.0


def histogram(text: str, name: str) -> Buckets:
    """Read one histogram, all its labels together."""
    counts: defaultdict[float, float] = defaultdict(float)
    for line in text.splitlines():
        if line.startswith(f"{name}_bucket"):
            found = _LINE.search(line)
            if found:
                counts[float(found[1])] += float(found[2])
    return Buckets(dict(counts))
