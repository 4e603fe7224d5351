"""Make up for what Redis lost when it was started again or another one took over. It does not wait for PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from ami_rotator.domain.held import HeldCall
from ami_rotator.ledger.recall import Recall
from ami_rotator.pool.rebuild import PoolState, Rebuild
from ami_rotator.pool.redis_pool import RedisPool

OTHERS_S = 2.0
"""For the other daemons to notice and leave their books: they look every half second, and a question may take one."""
# A reservation that has ended is remembered for five minutes (pool/lua/include/reservations.lua); older calls may have been.
SURELY_LIVE_MS = 240_000


class TakeOver:
    """What each daemon does for a pool that is not whole (pool/lua/include/whole.lua). Run `check` twice a second."""

    def __init__(self, pool: RedisPool, recall: Recall) -> None:
        self._pool = pool
        self._recall = recall
        self._rebuild = Rebuild(pool)
        self._epoch: int | None = None
        self._owes_ends = False
        self._turn = asyncio.Lock()
        self._log = structlog.get_logger("inventory")

    async def check(self) -> str:
        """Leave this daemon's book where the pool is not whole, and open it where only its last moments are missing.

        Once it is whole again, end once more what this daemon had ended just before: Redis may have lost it. Returns what
        was done, for people.

        Raises:
            PoolUnavailableError: nothing is lost; the next run goes on.
        """
        async with self._turn:
            state = await self._rebuild.state()
            if state.epoch is None:
                self._owes_ends = True
                await self._rebuild.leave_book(state.server)
                return await self._make_up(state) if state.is_moved else ""
            if self._pool.server not in ("", state.server):
                # Opened by another daemon; or a former primary that never stopped, and lacks what was given meanwhile.
                # What ended meanwhile only lacks its record, which a sync makes up for.
                held = self._pool.book.live(state.now_ms - SURELY_LIVE_MS)
                await self._rebuild.restore(held, is_unrecorded=True)
            if self._owes_ends or self._epoch not in (None, state.epoch):
                self._owes_ends = True
                await asyncio.gather(
                    *(self._pool.release(key, end, reservation) for key, end, reservation in self._pool.book.ended())
                )
            self._epoch, self._owes_ends = state.epoch, False
            self._pool.server = state.server
            self._pool.book.forget_ended()
            return ""

    async def _make_up(self, state: PoolState) -> str:
        """Bring back what each daemon gave in the last moments, as far as it may still be up, and open the pool."""
        began = time.monotonic()
        if await self._rebuild.take_turn() is None:
            return "another daemon makes up for what Redis lost"
        is_idle, recorded = await self._of_ledger()
        if self._epoch is not None or not is_idle or (await self._pool.snapshot()).live:
            await asyncio.sleep(max(0.0, began + OTHERS_S - time.monotonic()))
        since_ms = await self._rebuild.keep_turn() - SURELY_LIVE_MS
        given = [call for call in await self._rebuild.books() if call.at_ms >= since_ms]
        restored = await self._rebuild.restore(given, is_unrecorded=True)
        # What a former primary, that did not know better yet, let this daemon give since it left its book.
        restored += await self._rebuild.restore(self._pool.book.calls(since_ms), is_unrecorded=True)
        # A server that keeps only snapshots may lack minutes.
        restored += await self._rebuild.restore(recorded, is_unrecorded=False)
        await self._rebuild.open()
        self._pool.server = state.server
        took_s = round(time.monotonic() - began, 2)
        self._log.warning(
            "Redis was started again or another one took over: caller-IDs are given out again",
            reservations_brought_back=restored,
            server=state.server,
            took_s=took_s,
        )
        return f"{restored} reservations brought back in {took_s} s"

    async def _of_ledger(self) -> tuple[bool, Sequence[HeldCall]]:
        """Return whether no call got a caller-ID lately, and the calls that are open, if PostgreSQL says so at once."""
        try:
            async with asyncio.timeout(OTHERS_S):
                return not await self._recall.has_recent_calls(), await self._recall.open_calls()
        except Exception:  # away, hanging, or without its tables yet: the daemons' books are enough
            return False, ()
