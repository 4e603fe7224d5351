"""Bring the pool back after Redis was emptied, or after it lost its newest moments in a restart or failover.

An emptied Redis has no epoch, one that was started again or took over that of another process (lua/include/whole.lua): until
`open` sets a new one, nothing is given out, and nothing is said of a call that is not known. One daemon at a time has the
turn; each leaves its book for it. Every step may be repeated.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from ami_rotator.domain.held import HeldCall, Use
from ami_rotator.domain.types import ReservationId
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.redis_pool import RedisPool

_TURN_MS = 15_000
_AT_ONCE = 100
_BEGINS_ANEW = (
    "Redis was emptied once more, or another daemon took over, while the caller-IDs were brought back. It begins anew by"
    " itself."
)


@dataclass(frozen=True, slots=True)
class PoolState:
    """`epoch`: when the pool became whole, None while it is not. `server` changes with every start of Redis and failover.

    `is_moved`: it was whole on another server process, and all but its last moments is there.
    """

    epoch: int | None
    server: str
    now_ms: int
    is_moved: bool


class Rebuild:
    """One daemon's part in it. Every method raises PoolUnavailableError."""

    def __init__(self, pool: RedisPool) -> None:
        self._pool = pool
        self._token = uuid.uuid4().hex

    async def state(self) -> PoolState:
        """Return whether the pool is whole, and which server has it."""
        epoch, server, now_ms, is_moved = await self._pool.command("state")
        return PoolState(int(epoch) if epoch else None, server, int(now_ms), bool(int(is_moved)))

    async def take_turn(self) -> int | None:
        """Take the turn, or keep it; return Redis' time in ms, None while another daemon has it."""
        return int(await self._pool.command("rebuild", self._token, _TURN_MS, 1)) or None

    async def keep_turn(self) -> int:
        """Keep the turn during long work; raises where it was lost: the work then begins anew. Returns Redis' time in ms."""
        now_ms = int(await self._pool.command("rebuild", self._token, _TURN_MS, 0))
        if not now_ms:
            raise PoolUnavailableError(_BEGINS_ANEW)
        return now_ms

    async def recount(self, uses: Sequence[Use], counted_at_ms: int) -> None:
        """Give caller-IDs their counts, last use and cool-down back."""
        for start in range(0, len(uses), _AT_ONCE):
            words = [
                word
                for use in uses[start : start + _AT_ONCE]
                for word in (use.number, use.in_minute, use.in_hour, use.in_day, use.last_ms, use.ended_ms)
            ]
            await self._pool.command("recount", *self._pool.zone_args(), counted_at_ms, *words)

    async def restore(self, calls: Sequence[HeldCall], *, is_unrecorded: bool) -> int:
        """Bring reservations back that are not there, the newest first; return how many.

        `is_unrecorded`: neither counted nor in the ledger, so that both are made up for.
        """
        back = 0
        for start in range(0, len(calls), _AT_ONCE):
            words = [
                word
                for call in calls[start : start + _AT_ONCE]
                for word in (*_words(call), "1" if is_unrecorded else "0")
            ]
            back += int(await self._pool.command("restore", self._pool.ttl_ms, *self._pool.zone_args(), *words))
        return back

    async def leave_book(self, server: str) -> None:
        """Leave this daemon's newest calls for whoever has the turn on this server. A second time changes nothing."""
        await self._pool.leave_book(f"{self._token} {server}", self._book_text)

    def _book_text(self) -> bytes:
        return orjson.dumps([call._asdict() for call in self._pool.book.calls()])

    async def books(self) -> list[HeldCall]:
        """Return the calls that all daemons left, the newest first."""
        calls: dict[ReservationId, HeldCall] = {}
        for text in await self._pool.books():
            calls.update((call.reservation, call) for call in (HeldCall(**item) for item in orjson.loads(text)))
        return sorted(calls.values(), key=lambda call: call.at_ms, reverse=True)

    async def open(self) -> None:
        """Serve calls from here on; raises where the turn was lost or Redis was emptied once more."""
        if not int(await self._pool.command("open", self._token)):
            raise PoolUnavailableError(_BEGINS_ANEW)


def _words(call: HeldCall) -> tuple[str | int, ...]:
    return (
        call.reservation,
        call.at_ms,
        call.caller_id,
        call.campaign,
        call.destination,
        call.dialled,
        call.dialer,
        call.code,
        call.uniqueid,
        call.agent,
        call.lead_id,
        call.source,
        call.rung,
        call.group,
        call.area,
        int(call.was_warm),
        call.trunk,
        call.shown,
    )
