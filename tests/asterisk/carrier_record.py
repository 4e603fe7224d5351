"""Keep what the test carrier decides and sees.

The last two digits of the number decide, as in the recorded captures:

==  =============================================
00  answered                     (so does any not in this table)
01  486 busy
02  rings until it is cancelled
03  404 not found
04  603 declined
05  607 unwanted
06  608 rejected
07  503 congestion
08  480 temporarily unavailable
09  403 forbidden
==  =============================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

ANSWER = 200
RING_FOREVER = 180
OUTCOMES = {
    "00": ANSWER,
    "01": 486,
    "02": RING_FOREVER,
    "03": 404,
    "04": 603,
    "05": 607,
    "06": 608,
    "07": 503,
    "08": 480,
    "09": 403,
}

Seconds = float | Callable[[str], float]


def outcome_by_last_digits(number: str) -> int:
    """Return ANSWER, RING_FOREVER or the SIP status with which this number is refused."""
    return OUTCOMES.get(number[-2:], ANSWER)


@dataclass(slots=True)
class CarrierCall:
    """Record one INVITE and its dialog; times are seconds of time.monotonic()."""

    call_id: str
    destination: str
    from_number: str
    from_name: str
    asserted_identity: str
    remote_party_id: str
    invited_at_s: float
    answered_at_s: float | None = None
    ended_at_s: float | None = None
    status: int | None = None
    ended_by: Literal["dialer", "carrier"] | None = None


def live_duplicates(
    calls: Iterable[CarrierCall], now_s: float, *, ignoring: Collection[str] = (), tolerance_s: float = 0.0
) -> int:
    """Count the pairs of calls that were up at one time with the same caller-ID; see SipCarrier.live_duplicates."""
    ends_by_number: dict[str, list[float]] = {}
    pairs = 0
    for call in sorted(calls, key=lambda call: call.invited_at_s):
        if call.from_number in ignoring:
            continue
        ends = ends_by_number.setdefault(call.from_number, [])
        pairs += sum(end_s > call.invited_at_s + tolerance_s for end_s in ends)
        ends.append(now_s if call.ended_at_s is None else call.ended_at_s)
    return pairs


def seconds(value: Seconds, number: str) -> float:
    """Return the time for this number."""
    return value(number) if callable(value) else value
