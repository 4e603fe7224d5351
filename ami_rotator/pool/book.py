"""What this process gave to calls: kept beside Redis, so that a call still has its caller-ID after Redis was emptied."""

from __future__ import annotations

from collections.abc import Sequence

from ami_rotator.domain.held import HeldCall
from ami_rotator.domain.types import ReservationId

_KEPT_MS = 900_000
_MOST = 20_000


class Book:
    """The calls that got their caller-ID through this process in the last quarter of an hour and that it has not ended.

    The ledger knows all but the newest ones; it is asked first. Bounded: the oldest go.
    """

    def __init__(self) -> None:
        self._calls: dict[ReservationId, HeldCall] = {}

    def note(self, call: HeldCall) -> None:
        """Write a call down."""
        self._calls[call.reservation] = call
        while len(self._calls) > _MOST or next(iter(self._calls.values())).at_ms < call.at_ms - _KEPT_MS:
            del self._calls[next(iter(self._calls))]

    def strike(self, reservation: ReservationId) -> None:
        """Forget a call that has ended."""
        self._calls.pop(reservation, None)

    def calls(self, since_ms: int = 0) -> Sequence[HeldCall]:
        """Return the calls assigned since then, the newest first."""
        return [call for call in reversed(self._calls.values()) if call.at_ms >= since_ms]
