"""Charts as numbers for a template: what stands where, in a box that is as wide as its bars and 100 high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 100
STEP = 10
_NICE = (1, 2, 4, 10)
_LABELS_MAX = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `part` is the lower piece of `total`. Places in the box's units; `is_open`: not over yet."""

    label: str
    total: int
    part: int
    x: int
    total_y: float
    total_height: float
    part_y: float
    part_height: float
    is_open: bool = False

    @property
    def percent(self) -> str:
        """The piece's share, as text."""
        return f"{100 * self.part / self.total:.0f} %" if self.total else "–"


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars with their scale. `top` is what the highest grid line stands for; `labels` are spread evenly below.

    `limit_y` is where a limit is; None where it does not fit into the picture. `line` is the share of the pieces, one point
    a bar that has calls, 100 % at the top.
    """

    bars: tuple[Bar, ...]
    width: int
    top: int
    labels: tuple[str, ...]
    limit_y: float | None
    lines: tuple[str, ...]
    summary: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(bar.total for bar in self.bars)


def chart(points: Sequence[tuple[str, int, int]], what: str, part: str, limit: int | None = None) -> Chart:
    """Return the chart of (label, total, part of it), oldest first; the last one is still open.

    `what` says of when, `part` what the piece is, in the summary; `limit` is drawn where it is below twice the highest bar.
    """
    highest = max((total for _, total, _ in points), default=0)
    shows_limit = limit is not None and 0 < limit <= 2 * highest
    top = nice_top(max(highest, limit or 0) if shows_limit else highest)
    bars = []
    for index, (label, total, piece) in enumerate(points):
        high, low = _high(total, top), _high(piece, top)
        bars.append(
            Bar(label, total, piece, index * STEP, HEIGHT - high, high, HEIGHT - low, low, index == len(points) - 1)
        )
    width = max(1, len(bars)) * STEP
    # A divisor, so that every label stands under its bar.
    every = next(step for step in range(1, len(bars) + 2) if len(bars) <= step * _LABELS_MAX and len(bars) % step == 0)
    peak = max(bars, key=lambda bar: bar.total, default=None)
    total, pieces = sum(bar.total for bar in bars), sum(bar.part for bar in bars)
    summary = f"No call {what}."
    if peak is not None and total:
        share = f"{100 * pieces / total:.0f} %"
        summary = (
            f"{total:,} call{'' if total == 1 else 's'} {what}, {share} {part}; most at {peak.label}: {peak.total:,}."
        )
    return Chart(
        tuple(bars),
        width,
        top,
        tuple(bar.label for bar in bars[::every]),
        round(HEIGHT - _high(limit, top), 1) if shows_limit and limit else None,
        _share_lines(bars),
        summary,
    )


def nice_top(highest: int) -> int:
    """Return the next round number: 1, 2 or 4 times a power of ten; at least 4, so that half of it is whole."""
    power = 1
    while True:
        for step in _NICE:
            if step * power >= max(4, highest):
                return step * power
        power *= 10


def _high(value: int, top: int) -> float:
    return round(HEIGHT * value / top, 1) if top else 0.0


def _share_lines(bars: Sequence[Bar]) -> tuple[str, ...]:
    """Return the share of the pieces as points of lines; where there are no calls, the line is broken."""
    lines: list[list[str]] = [[]]
    for bar in bars:
        if bar.total:
            lines[-1].append(f"{bar.x + STEP // 2},{round(HEIGHT - 100 * bar.part / bar.total, 1)}")
        elif lines[-1]:
            lines.append([])
    # One point alone is drawn as a short stroke.
    return tuple(" ".join(line if len(line) > 1 else [line[0], _beside(line[0])]) for line in lines if line)


def _beside(point: str) -> str:
    x, y = point.split(",")
    return f"{int(x) + 2},{y}"
