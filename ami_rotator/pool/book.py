"""What this process gave to calls: kept beside Redis, so that it can be made up for what Redis loses."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ami_rotator.domain.held import HeldCall
from ami_rotator.domain.types import End, ReservationId

_KEPT_MS = 900_000
_MOST = 20_000
# Longer than a failover takes, and than the last second that a server may lose.
_ENDED_KEPT_S = 30.0
_ENDED_MOST = 5_000


class Book:
    """The calls that got their caller-ID through this process in the last quarter of an hour and that it has not ended.

    Those that it ended in the last half minute are kept with their end. The ledger, which is asked first, lacks the newest.
    Bounded: the oldest go.
    """

    def __init__(self) -> None:
        self._calls: dict[ReservationId, HeldCall] = {}
        self._ended: dict[ReservationId, tuple[float, HeldCall, End]] = {}

    def note(self, call: HeldCall) -> None:
        """Write a call down."""
        self._calls[call.reservation] = call
        while len(self._calls) > _MOST or next(iter(self._calls.values())).at_ms < call.at_ms - _KEPT_MS:
            del self._calls[next(iter(self._calls))]

    def strike(self, reservation: ReservationId, end: End | None = None) -> None:
        """Take note that a call has ended, and how; without an end it is forgotten."""
        call = self._calls.pop(reservation, None)
        if call is not None and end is not None:
            self._ended[reservation] = (time.monotonic(), call, end)
            self._forget_ended()

    def calls(self, since_ms: int = 0) -> Sequence[HeldCall]:
        """Return the calls assigned since then, the newest first; those that have ended just now are among them."""
        ended = [call for _, call, _ in self._ended.values()]
        return sorted(
            (call for call in (*self._calls.values(), *ended) if call.at_ms >= since_ms),
            key=lambda call: call.at_ms,
            reverse=True,
        )

    def ended(self) -> Sequence[tuple[HeldCall, End]]:
        """Return the calls that have ended just now, and how."""
        self._forget_ended()
        return [(call, end) for _, call, end in self._ended.values()]

    def _forget_ended(self) -> None:
        since_s = time.monotonic() - _ENDED_KEPT_S
        while self._ended and (len(self._ended) > _ENDED_MOST or next(iter(self._ended.values()))[0] < since_s):
            del self._ended[next(iter(self._ended))]
