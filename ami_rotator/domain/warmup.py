"""How often a new caller-ID may be used a day while people and carriers get used to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# Peers start new numbers at 25 to 50 calls a day, take two weeks and more to full use, and call 75 to 200 a day safe.
CURVES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "careful": (
            15, 15, 20, 20, 25, 25, 30, 30, 35, 35, 40, 40, 45, 45,
            50, 50, 55, 55, 60, 60, 65, 70, 75, 75, 80, 85, 90, 95,
        ),
        "steady": (25, 30, 35, 40, 45, 50, 60, 65, 70, 80, 90, 100, 110, 120),
        "brisk": (50, 65, 80, 100, 125, 150, 175),
    }
)  # fmt: skip
"""Uses a day from the first day on, by name; after the last day the daily limit holds alone."""

DAYS_MAX = 90
USES_MAX = 1_000_000
_OWN = re.compile(r"\d{1,9}(\s*,\s*\d{1,9})*")


def curve_of(text: str) -> tuple[int, ...]:
    """Read a curve: a name, or uses a day with commas between, first day first; empty is none.

    Raises:
        ValueError: it is neither; says what to write.
    """
    compact = text.strip().lower()
    if not compact:
        return ()
    if compact in CURVES:
        return CURVES[compact]
    if not _OWN.fullmatch(compact):
        names = ", ".join(CURVES)
        raise ValueError(f"{text[:40]!r} is no warm-up curve; write one of {names}, or uses a day such as 20,30,50")
    uses = tuple(int(part) for part in compact.split(","))
    if len(uses) > DAYS_MAX or max(uses) > USES_MAX:
        raise ValueError(f"a warm-up curve has {DAYS_MAX} days at most and {USES_MAX:,} uses a day at most; shorten it")
    return uses


def daily_limit(limit: int, curve: str, day: int) -> int:
    """Return the daily limit of a caller-ID on a day of its warm-up, 0 is the first; before it, that of the first day.

    A curve never raises a limit. One that cannot be read (only a database edited by hand has one) limits nothing.
    """
    try:
        uses = curve_of(curve)
    except ValueError:
        return limit
    if not uses or day >= len(uses):
        return limit
    return min(limit, uses[max(day, 0)])
