"""What this process gave to calls and ended: kept beside Redis, so that it can be made up for what Redis loses."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ami_rotator.domain.held import HeldCall
from ami_rotator.domain.types import CallKey, End, ReservationId

_KEPT_MS = 900_000
_MOST = 20_000
_ENDED_KEPT_S = 30.0
_ENDED_MOST = 5_000


@dataclass(frozen=True, slots=True)
class _Ended:
    at_s: float
    key: CallKey
    end: End
    call: HeldCall | None


class Book:
    """The calls that got their caller-ID through this process in the last quarter of an hour and that it has not ended.

    What it ended in the last half minute, whoever gave it, is kept with its end; for longer while Redis is away. The ledger,
    which is asked first, lacks the newest. Bounded: the oldest go.
    """

    def __init__(self) -> None:
        # Ordered ones: to find the oldest, a plain dict looks at every place from which one was taken.
        self._calls: OrderedDict[ReservationId, HeldCall] = OrderedDict()
        self._ended: OrderedDict[ReservationId, _Ended] = OrderedDict()

    def note(self, call: HeldCall) -> None:
        """Write a call down."""
        self._calls[call.reservation] = call
        while len(self._calls) > _MOST or next(iter(self._calls.values())).at_ms < call.at_ms - _KEPT_MS:
            del self._calls[next(iter(self._calls))]

    def note_shown(self, reservation: ReservationId, trunk: str, shown: str) -> None:
        """Add the trunk leg of a call, and what it showed."""
        call = self._calls.get(reservation)
        if call is not None:
            self._calls[reservation] = call._replace(trunk=trunk, shown=shown)

    def strike(self, reservation: ReservationId, key: CallKey | None = None, end: End | None = None) -> None:
        """Take note that a call has ended, and how; without an end it is forgotten."""
        call = self._calls.pop(reservation, None)
        if key is not None and end is not None:
            before = self._ended.pop(reservation, None)
            self._ended[reservation] = _Ended(time.monotonic(), key, end, call or (before.call if before else None))
            while len(self._ended) > _ENDED_MOST:
                del self._ended[next(iter(self._ended))]

    def live(self, since_ms: int = 0) -> Sequence[HeldCall]:
        """Return the calls assigned since then that have not ended, the newest first."""
        return _newest_first(self._calls.values(), since_ms)

    def calls(self, since_ms: int = 0) -> Sequence[HeldCall]:
        """Return the calls assigned since then, those that have ended just now among them, the newest first."""
        return _newest_first(
            [*self._calls.values(), *(item.call for item in self._ended.values() if item.call)], since_ms
        )

    def ended(self) -> Sequence[tuple[CallKey, End, ReservationId]]:
        """Return the calls that have ended just now, and how."""
        return [(item.key, item.end, reservation) for reservation, item in self._ended.items()]

    def forget_ended(self) -> None:
        """Forget what ended more than half a minute ago. To be called while Redis has it."""
        since_s = time.monotonic() - _ENDED_KEPT_S
        while self._ended and next(iter(self._ended.values())).at_s < since_s:
            del self._ended[next(iter(self._ended))]


def _newest_first(calls: Iterable[HeldCall], since_ms: int) -> Sequence[HeldCall]:
    return sorted((call for call in calls if call.at_ms >= since_ms), key=lambda call: call.at_ms, reverse=True)
