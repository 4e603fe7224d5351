"""How much each part does: `full` and `huge` for figures, `small` to try it, `short` to see whether a ratio is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Size:
    """All amounts of one run. Times are in seconds; rates a second. `small` is the smaller inventory, 0: none."""

    name: str
    caller_ids: int = 60_000
    small: int = 1_000
    areas: int = 200
    campaigns: int = 10
    concurrent: int = 64
    rounds: int = 7
    round_s: float = 1.5
    http_requests: int = 4_000
    ami_dialers: int = 20
    ami_rates: tuple[int, ...] = (100, 200, 300, 400, 500, 1000)
    ami_s: float = 10.0
    asterisk_rate: float = 30.0
    asterisk_s: float = 60.0
    asterisk_rounds: int = 3
    growth: tuple[int, ...] = (1_000, 10_000, 100_000)
    growth_calls: int = 4_000
    warm_areas: int = 300
    warm_rate: float = 20.0
    warm_s: int = 400
    ledger_calls: int = 20_000
    pages_caller_ids: int = 100_000
    viewers: int = 200
    viewer_rounds: int = 6
    viewer_requests: int = 2_500
    viewer_idle_s: float = 15.0


FULL = Size("full")
HUGE = Size("huge", growth=(1_000, 10_000, 100_000, 1_000_000))
SMALL = Size(
    "small",
    caller_ids=6_000,
    rounds=2,
    round_s=0.7,
    http_requests=1_000,
    ami_dialers=4,
    ami_rates=(50, 100),
    ami_s=4.0,
    warm_areas=30,
    asterisk_rate=10.0,
    asterisk_s=4.0,
    asterisk_rounds=1,
    growth=(1_000, 5_000),
    growth_calls=800,
    warm_s=90,
    ledger_calls=1_500,
    pages_caller_ids=5_000,
    viewers=50,
    viewer_requests=500,
    viewer_rounds=2,
    viewer_idle_s=4.0,
)
SHORT = replace(SMALL, name="short", caller_ids=3_000, small=0, concurrent=16, rounds=3, round_s=0.5)
SIZES = {size.name: size for size in (FULL, HUGE, SMALL, SHORT)}
