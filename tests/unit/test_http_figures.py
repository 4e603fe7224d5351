"""What the dashboard works out from its data."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from ami_rotator.domain.types import State
from ami_rotator.http.deps import DashboardData, DialerHealth, Health, LastCall, Minute, WarmDepth
from ami_rotator.http.figures import View, percent, view
from ami_rotator.http.heat import AREAS_MAX, CAMPAIGNS_MAX, heat
from ami_rotator.pool.answer_times import AnswerTimes

NEW_YORK = ZoneInfo("America/New_York")
NOW_MS = 1_763_835_000_000  # 2025-11-22 13:10:00 in New York
WELL = Health(True, True, (DialerHealth("d", "up"),))


def shown(data: DashboardData) -> View:
    return view(data, NOW_MS, NEW_YORK, "national")


def test_calls_a_minute_are_those_of_the_last_whole_minute() -> None:
    minutes = [Minute(NOW_MS - 60_000, 90, 10), Minute(NOW_MS, 3, 0)]
    found = shown(DashboardData(WELL, minutes=minutes))

    assert (
        found.calls_last_minute,
        found.calls_last_hour,
        found.missed_last_hour,
        found.missed_percent,
    ) == (100, 103, 10, "9.7 %")
    assert [(m.time, m.bar, m.is_open) for m in found.minutes] == [("13:09", 100, False), ("13:10", 3, True)]


def test_the_states_bar_is_whole_and_a_rare_state_is_visible() -> None:
    found = shown(DashboardData(WELL, states={State.IDLE: 99_999, State.IN_USE: 1}))
    by_key = {segment.key: segment for segment in found.segments}

    assert (by_key["in_use"].count, by_key["in_use"].percent, by_key["in_use"].width) == (1, "<0.1 %", 3)
    assert by_key["resting"].width == 0
    assert len(by_key) == len(State)


def test_percent_never_rounds_something_to_nothing() -> None:
    assert [
        percent(0, 10),
        percent(1, 10**6),
        percent(1, 1000),
        percent(1, 2),
        percent(1, 0),
    ] == ["0 %", "<0.1 %", "0.1 %", "50 %", "0 %"]


def test_warm_pools_keep_to_what_fits_and_say_what_is_hidden() -> None:
    pools = [WarmDepth(f"C{c:02}", f"{a:03}", c, float(a)) for c in range(20) for a in range(30)]
    found = heat(pools)

    assert (len(found.rows), len(found.areas)) == (CAMPAIGNS_MAX, AREAS_MAX)
    assert found.areas[-1] == "029"
    assert found.hidden == 600 - CAMPAIGNS_MAX * AREAS_MAX


def test_a_called_pool_with_nothing_warm_stands_out() -> None:
    found = heat([WarmDepth("A", "212", 0, 4.0), WarmDepth("A", "305", 0, 0.0), WarmDepth("A", "404", 8, 1.0)])
    cells = [cell for cell in found.rows[0].cells if cell]

    assert [(cell.level, cell.is_short) for cell in cells] == [(0, True), (0, False), (5, False)]


def test_a_call_says_whether_it_went_out_as_assigned() -> None:
    def call(is_match: bool | None) -> LastCall:
        return LastCall(
            NOW_MS, "A", "d", "+12125550199", "+12125551234", "2125551234", "area", "ami", "no_answer", is_match
        )

    found = shown(DashboardData(WELL, last_calls=[call(None), call(True), call(False)]))

    assert [row.verdict for row in found.calls] == ["pending", "match", "differs"]
    assert (
        found.calls[0].destination,
        found.calls[0].caller_id,
        found.calls[0].outcome,
    ) == ("212555****", "2125551234", "no answer")


def test_an_exhausted_inventory_is_said_and_an_empty_one_is_not_called_exhausted() -> None:
    assert "No caller-ID is free" in shown(DashboardData(WELL, states={State.WAITING: 5})).notices[0]
    assert shown(DashboardData(WELL, states={})).notices == ()


def test_the_doors_that_calls_took_are_shared_out_and_unused_ones_left_out() -> None:
    found = shown(DashboardData(WELL, doors={"feed": 0, "ami": 30, "http": 10, "fastagi": 0}))

    assert found.doors == (("AMI", 30, "75 %", 75.0), ("HTTP", 10, "25 %", 25.0))
    assert shown(DashboardData(WELL)).doors == ()


def test_answer_times_are_those_of_the_newest_calls() -> None:
    times = AnswerTimes()
    assert times.look() is None
    for took_ms in range(10_000):
        times.add(took_ms / 1000)
    found = times.look()

    assert found is not None
    assert (found.calls, found.p50_ms, found.p99_ms) == (2000, 8999.0, 9979.0)
