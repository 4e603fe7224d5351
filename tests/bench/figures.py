"""What the benchmark measured: figures with their baselines, printed as a table and kept as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

_PACKAGES = ("ami_rotator", "aiohttp", "asyncpg", "redis", "hiredis", "uvloop", "pydantic")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    What is judged is the ratio to `baseline`, measured in the same run, where there is one, else the value itself. It should
    be `at_least` or `at_most` so much; None of both: for information.
    """

    part: str
    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def judged(self) -> float:
        """Return the ratio, or the value where nothing is compared."""
        return self.value if self.baseline is None else self.value / self.baseline if self.baseline else 0.0

    @property
    def wanted(self) -> str:
        """Return the bound in words; empty where there is none."""
        if self.at_least is None and self.at_most is None:
            return ""
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {bound:g}{' ×' if self.baseline is not None else ''}"

    @property
    def is_held(self) -> bool | None:
        """Tell whether the bound is held; None where there is none."""
        if self.at_least is not None:
            return self.judged >= self.at_least
        return self.judged <= self.at_most if self.at_most is not None else None


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one line of a picture: `points` are (x, y)."""

    part: str
    name: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Results:
    """One run."""

    about: Mapping[str, str]
    figures: tuple[Figure, ...]
    series: tuple[Series, ...]

    def write(self, path: Path) -> None:
        """Keep the run as JSON; `judged` and `held` are there to be read by others."""
        figures = [{**asdict(item), "judged": item.judged, "held": item.is_held} for item in self.figures]
        document = {"about": self.about, "figures": figures, "series": [asdict(item) for item in self.series]}
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def read_results(path: Path) -> Results:
    """Read what `Results.write` wrote."""
    document = orjson.loads(path.read_bytes())
    figures = [
        Figure(**{name: value for name, value in item.items() if name not in ("judged", "held")})
        for item in document["figures"]
    ]
    series = [
        Series(**{**item, "points": tuple((x, y) for x, y in item["points"])}) for item in document.get("series", ())
    ]
    return Results(document["about"], tuple(figures), tuple(series))


def machine(servers: Mapping[str, str], size: str, parts: Sequence[str]) -> dict[str, str]:
    """Describe the run: machine, versions, date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "servers": ", ".join(f"{name} {number}" for name, number in servers.items()),
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "size": size,
        "parts": " ".join(parts),
    }


def print_table(figures: Sequence[Figure], console: Console | None = None) -> None:
    """Show the figures, one part after the other."""
    table = Table(box=None, pad_edge=False)
    for title, justify in (
        ("part", "left"),
        ("figure", "left"),
        ("value", "right"),
        ("baseline", "right"),
        ("ratio", "right"),
        ("wanted", "right"),
        ("", "left"),
    ):
        table.add_column(title, justify="right" if justify == "right" else "left", overflow="fold")
    part = ""
    for item in figures:
        table.add_row(item.part if item.part != part else "", *cells(item))
        part = item.part
    (console or Console(width=150)).print(table)


def cells(item: Figure) -> tuple[str, str, str, str, str, str]:
    """Return a figure as text: name, value, baseline, ratio, bound, verdict."""
    baseline = f"{number(item.baseline)} {item.baseline_name}" if item.baseline is not None else ""
    ratio = f"{number(item.judged)} ×" if item.baseline is not None else ""
    verdict = {True: "held", False: "MISSED", None: ""}[item.is_held]
    return item.name, f"{number(item.value)} {item.unit}", baseline, ratio, item.wanted, verdict


def number(value: float) -> str:
    """Return a value with about three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def as_json(value: Any) -> str:
    """Return one line of JSON, as the helper processes of the benchmark speak to each other."""
    return orjson.dumps(value).decode()
