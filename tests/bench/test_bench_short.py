"""A short form of the benchmark: it prints, and fails only where a ratio is worse than half of what was asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.ami_stage import Lag
from tests.bench.figures import Figure, Results, Series, read_results
from tests.bench.histogram import histogram
from tests.bench.load import middle_pair
from tests.bench.report import merge, write

pytestmark = pytest.mark.timeout(330)

_BROKEN = 0.5
_TRIES = 3
_MOST_S = 100


@pytest.mark.thorough
@pytest.mark.alone
def test_no_ratio_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "assign", "designs", "--size", "short", "--json", str(kept)]
    broken = ["not measured yet"]
    # What else runs on the machine may disturb one run; a ratio that is really broken is so in each.
    for _ in range(_TRIES):
        if broken:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_S, check=False)
            with capsys.disabled():
                print(f"\n{done.stdout}{done.stderr if done.returncode else ''}")
            judged = [item for item in read_results(kept).figures if item.baseline is not None and item.at_least]
            broken = [item.name for item in judged if item.judged < _BROKEN * (item.at_least or 0)]

    assert len(judged) == 2
    assert broken == []


def test_a_figure_is_judged_by_its_ratio_where_it_has_a_baseline_and_by_its_value_where_it_has_none() -> None:
    compared = Figure("p", "n", 6.0, "/s", 10.0, "/s", at_least=0.7)
    bare = Figure("p", "n", 6.0, "ms", at_most=6.0)

    assert (compared.judged, compared.is_held, compared.wanted) == (0.6, False, "≥ 0.7 ×")
    assert (bare.judged, bare.is_held, bare.wanted) == (6.0, True, "≤ 6")
    assert Figure("p", "n", 1.0, "").is_held is None


def test_a_round_in_which_one_side_was_disturbed_does_not_count() -> None:
    assert middle_pair([50.0, 10.0, 60.0], [10.0, 10.0, 12.0]) == (50.0, 10.0)
    assert middle_pair([8.0, 9.0], [1.0, 1.0]) == (8.0, 1.0)


def test_percentiles_of_a_histogram_lie_within_their_buckets() -> None:
    text = "\n".join(
        [
            'waited_seconds_bucket{dialer="a",le="0.001"} 40.0',
            'waited_seconds_bucket{dialer="a",le="0.01"} 50.0',
            'waited_seconds_bucket{dialer="a",le="+Inf"} 50.0',
            'waited_seconds_bucket{dialer="b",le="0.001"} 50.0',
            'waited_seconds_bucket{dialer="b",le="0.01"} 50.0',
            'waited_seconds_bucket{dialer="b",le="+Inf"} 50.0',
        ]
    )
    all_of_them = histogram(text, "waited_seconds")

    assert all_of_them.total == 100
    assert all_of_them.ms(0.45) == pytest.approx(0.5)
    assert all_of_them.ms(0.95) == pytest.approx(5.5)
    assert (all_of_them - all_of_them).ms(0.5) == 0.0


async def test_how_far_the_pretend_asterisks_are_behind_is_told_by_what_held_them_up() -> None:
    lag = Lag()
    before_s = lag.most_s

    time.sleep(0.2)  # noqa: ASYNC251 - the loop shall stand still
    async with asyncio.timeout(5):
        while not lag.most_s:  # noqa: ASYNC110 - told by its timer
            await asyncio.sleep(0)

    assert before_s == 0.0
    assert lag.most_s > 0.1


def test_a_run_is_read_back_as_it_was_written_and_becomes_a_page_with_pictures(tmp_path: Path) -> None:
    figures = (
        Figure("assign", "calls", 5.0, "/s", 10.0, "/s", at_least=0.6),
        Figure("ami", "p99", 3.0, "ms", at_most=10.0),
    )
    series = (Series("ami", "p99", "calls a second", "ms", ((100.0, 1.0), (300.0, 2.5))),)
    run = Results({"date": "2026-11-22 10:00 UTC", "parts": "assign ami"}, figures, series)
    run.write(tmp_path / "results.json")

    again = read_results(tmp_path / "results.json")
    write(merge([again]), tmp_path)
    page = (tmp_path / "performance.md").read_text()

    assert again == run
    assert "0.5 ×" in page
    assert "Not reached:\n\n- assign: calls: 0.5 ×, wanted ≥ 0.6 ×" in page
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"performance-ami.svg", "performance-ratios.svg"}
