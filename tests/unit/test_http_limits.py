"""Rate limits, with a clock of the test's own."""

from __future__ import annotations

from ami_rotator.http.limits import MinuteLimits


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


async def test_a_burst_of_the_limit_then_evenly() -> None:
    clock = Clock()
    allow = MinuteLimits(clock, {"agent": 6})
    assert [await allow("agent", "a") for _ in range(6)] == [None] * 6
    assert await allow("agent", "a") == 10.0

    clock.now_s = 10.0
    assert await allow("agent", "a") is None
    assert await allow("agent", "a") == 10.0


async def test_subjects_and_kinds_are_counted_apart() -> None:
    allow = MinuteLimits(Clock(), {"agent": 1, "ip": 1})
    assert await allow("agent", "a") is None
    assert await allow("agent", "b") is None
    assert await allow("ip", "a") is None
    assert await allow("agent", "a") is not None


async def test_a_limit_of_0_is_none() -> None:
    allow = MinuteLimits(Clock(), {"agent": 0})
    assert [await allow("agent", "a") for _ in range(50)] == [None] * 50
