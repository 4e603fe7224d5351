"""Calendar windows in every zone, over every change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_rotator.domain.windows import zone_offsets

ZONES = ("America/New_York", "America/Phoenix", "Australia/Adelaide", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


@given(zone=st.sampled_from(ZONES), now=st.integers(1_600_000_000, 1_900_000_000), later=st.integers(0, 86_400))
def test_offsets_hold_for_a_day_whatever_the_clocks_do(zone: str, now: int, later: int) -> None:
    offsets = zone_offsets(ZoneInfo(zone), now)
    then = now + later
    told = offsets.next_offset_s if then >= offsets.change_at_s else offsets.offset_s
    real = datetime.fromtimestamp(then, UTC).astimezone(ZoneInfo(zone)).utcoffset()

    assert real is not None
    assert told == real.total_seconds()


@pytest.mark.parametrize(("month", "day", "change"), [(3, 8, 7), (11, 1, 6)])
def test_the_change_is_found_to_the_second(month: int, day: int, change: int) -> None:
    before = datetime(2026, month, day, 0, 0, tzinfo=UTC)

    offsets = zone_offsets(ZoneInfo("America/New_York"), before.timestamp())

    assert offsets.change_at_s == datetime(2026, month, day, change, 0, tzinfo=UTC).timestamp()
