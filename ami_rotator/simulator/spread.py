"""Distributions to draw durations from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Protocol


class Spread(Protocol):
    """Something durations can be drawn from."""

    def draw(self, random: Random) -> float:
        """Return one value, in the unit of the option it stands in."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same value."""

    value: float

    def draw(self, random: Random) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any value between two, all as likely."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """Return one value."""
        return random.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Mostly short, sometimes long, as talk times are: half of the values are below `median`, none above `longest`."""

    median: float
    sigma: float
    longest: float = math.inf

    def draw(self, random: Random) -> float:
        """Return one value."""
        return min(self.median * math.exp(random.gauss(0.0, self.sigma)), self.longest)
