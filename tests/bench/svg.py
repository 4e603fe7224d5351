"""Two kinds of picture, drawn as SVG: bars of ratios against their bounds, and lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tests.bench.figures import Figure, Series, number

_WIDTH = 720
_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea")
_STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2937; } .muted { fill: #6b7280; } .line { stroke: #9ca3af; }
  .surface { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb; } .muted { fill: #9ca3af; } .line { stroke: #6b7280; } .surface { fill: #111827; }
  }
</style>"""


def ratio_bars(title: str, figures: Sequence[Figure]) -> str:
    """Draw each figure's ratio to its baseline on a logarithmic scale, with a mark where it should be at least."""
    row, top, left, right = 44, 48, 12, 90
    height = top + row * len(figures) + 34
    values = [value for item in figures for value in (item.judged, item.at_least or 1.0, 1.0) if value > 0]
    low, high = math.log10(min(values) / 1.6), math.log10(max(values) * 1.3)

    def at(value: float) -> float:
        share = (math.log10(max(value, 10**low)) - low) / (high - low)
        return left + (_WIDTH - left - right) * share

    parts = [_text(left, 24, title, weight=600)]
    bottom = top + row * len(figures)
    parts.append(
        f'<line class="line" x1="{at(1):.1f}" y1="{top - 8}" x2="{at(1):.1f}" y2="{bottom}" stroke-dasharray="3 3"/>'
    )
    parts.append(_text(at(1), bottom + 18, "1 × the baseline", anchor="middle", muted=True))
    for index, item in enumerate(figures):
        y = top + row * index
        colour = _COLOURS[0] if item.is_held is not False else "#dc2626"
        parts.append(_text(left, y + 12, f"{item.part}: {item.name}"))
        parts.append(
            f'<rect x="{left}" y="{y + 18}" width="{max(2.0, at(item.judged) - left):.1f}" height="14" rx="2"'
            f' fill="{colour}"/>'
        )
        parts.append(_text(at(item.judged) + 6, y + 30, f"{number(item.judged)} ×", weight=600))
        if item.at_least:
            x = at(item.at_least)
            parts.append(f'<line class="line" x1="{x:.1f}" y1="{y + 14}" x2="{x:.1f}" y2="{y + 36}" stroke-width="2"/>')
    return _svg(height, title, parts)


def lines(title: str, series: Sequence[Series], *, is_logarithmic: bool, bound: float | None = None) -> str:
    """Draw lines over the same axis; `bound` is a level that they should stay below."""
    height, left, right, top, bottom = 320, 56, 90, 44, 276
    xs = sorted({x for line in series for x, _ in line.points})
    most = max([y for line in series for _, y in line.points] + ([bound] if bound else [])) * 1.1 or 1.0

    def across(x: float) -> float:
        first, last, here = (math.log10(v) if is_logarithmic else v for v in (xs[0], xs[-1], x))
        return left + (_WIDTH - left - right) * ((here - first) / (last - first) if last > first else 0.5)

    def up(y: float) -> float:
        return bottom - (bottom - top) * y / most

    parts = [_text(left, 24, title, weight=600)]
    for step in range(5):
        y = most * step / 4
        parts.append(
            f'<line class="line" x1="{left}" y1="{up(y):.1f}" x2="{_WIDTH - right}" y2="{up(y):.1f}" stroke-opacity="0.4"/>'
        )
        parts.append(_text(left - 6, up(y) + 4, number(y), anchor="end", muted=True))
    for x in xs:
        parts.append(_text(across(x), bottom + 18, f"{x:,.0f}", anchor="middle", muted=True))
    parts.append(_text((left + _WIDTH - right) / 2, bottom + 36, series[0].x, anchor="middle", muted=True))
    parts.append(_text(_WIDTH - right + 6, top - 6, series[0].y.split(",")[0], muted=True))
    if bound:
        parts.append(
            f'<line x1="{left}" y1="{up(bound):.1f}" x2="{_WIDTH - right}" y2="{up(bound):.1f}" stroke="#dc2626"'
            ' stroke-dasharray="5 4"/>'
        )
        parts.append(_text(_WIDTH - right + 6, up(bound) + 4, f"≤ {bound:g}"))
    # Labels at the right keep 15 pixels from each other.
    ends: list[float] = [up(bound) + 4] if bound else []
    for line, colour in zip(series, _COLOURS, strict=False):
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in line.points]
        y = up(line.points[-1][1]) + 4
        while any(abs(y - other) < 15 for other in ends):
            y -= 15
        ends.append(y)
        parts.append(_text(_WIDTH - right + 6, y, line.name, colour=colour, weight=600))
    return _svg(height, title, parts)


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
    surface = f'<rect class="surface" width="{_WIDTH}" height="{height}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", _STYLE, surface, *parts, "</svg>"]) + "\n"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", muted: bool = False, weight: int = 400, colour: str = ""
) -> str:
    kind = ' class="muted"' if muted else ""
    style = f' style="fill:{colour}"' if colour else ""
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{style}{bold}>{escape(text)}</text>'
