"""Keep the pool in Redis true to the inventory in PostgreSQL, and bring it back when Redis was emptied."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import structlog

from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.types import E164, CallKey, Dialer, Rung
from ami_rotator.domain.windows import window_starts_ms, zone_named
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.ledger.exchanges import load_exchanges
from ami_rotator.ledger.inventory import ChangeToken, Inventory
from ami_rotator.ledger.opt_outs import OptOuts
from ami_rotator.ledger.recall import Recall
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.opt_outs import Entry, PoolOptOuts
from ami_rotator.pool.rebuild import PoolState, Rebuild
from ami_rotator.pool.redis_pool import RedisPool

# For the other daemons to notice and leave their books, and for records on their way to reach the ledger.
_OTHERS_S = 1.5
# A reservation that has ended is remembered for five minutes (pool/lua/include/reservations.lua); older calls may have been.
_SURELY_LIVE_MS = 240_000
_RECOUNTED_AT_ONCE = 2000
# The time zones' days begin on whole quarters of an hour.
_DAY_MAY_BEGIN_MS = 900_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load found in the pool: not there, there but otherwise, and there without being in the inventory.

    `numbers` are those of the inventory, by the name of their time zone, empty for the inventory's own.
    """

    numbers: Mapping[str, Sequence[E164]]
    count: int
    missing: int
    different: int
    surplus: int


class InventorySync:
    """Loads everything once, then what changed since. Run `sync` every second: an edit works from then on.

    `on_back` is called after reservations were brought back: dialers are to be asked which of the calls are still up.
    """

    def __init__(
        self,
        inventory: Inventory,
        pool: RedisPool,
        assigner: Assigner,
        recall: Recall,
        zone: ZoneInfo,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.on_back: Callable[[], None] | None = None
        self._inventory = inventory
        self._pool = pool
        self._assigner = assigner
        self._recall = recall
        self._zone = zone
        self._clock = clock or SystemClock()
        self._metrics = metrics or Metrics()
        self._quarter = self._clock.wall_ms() // _DAY_MAY_BEGIN_MS
        self._opt_outs = PoolOptOuts(pool)
        self._rebuild = Rebuild(pool)
        self._token: ChangeToken | None = None
        self._server: str | None = None
        self._epoch: int | None = None
        self._turn = asyncio.Lock()
        self._log = structlog.get_logger("inventory")

    @property
    def is_loaded(self) -> bool:
        """Whether the whole inventory went into the pool since the start."""
        return self._token is not None

    async def sync(self) -> str:
        """Bring the pool up to date; return what was done, for people.

        Raises:
            LedgerUnavailableError, PoolUnavailableError: nothing is lost; the next run goes on.
        """
        async with self._turn:
            return await self._sync()

    async def load(self) -> str:
        """Compare the whole inventory with the pool and set the pool right; return what differed, for people.

        What was edited lately is taken over first, and an empty Redis brought back, so that only drift is left to count.
        """
        async with self._turn:
            done = await self._sync()
            if self._token is None:
                return done
            return self._told(await self._load_whole())

    async def _sync(self) -> str:
        state = await self._rebuild.state()
        if state.epoch is None:
            self._epoch = None
            return await (self._take_over(state) if state.is_moved else self._bring_back(state))
        if self._server not in (None, state.server) or self._epoch not in (None, state.epoch):
            return await self._catch_up(state)
        self._server, self._epoch = state.server, state.epoch
        if self._token is None:
            return f"{(await self._load_whole()).count} caller-IDs loaded"
        changes = await self._inventory.changed_since(self._token)
        if changes.caller_ids:
            await self._pool.put(changes.caller_ids, await self._pool.new_generation())
        if changes.removed:
            await self._pool.remove(changes.removed)
        if changes.opted_out:
            await self._opt_outs.add([(item.destination, item.campaign) for item in changes.opted_out])
        if changes.opted_in:
            await self._opt_outs.remove([(item.destination, item.campaign) for item in changes.opted_in])
        if changes.has_campaigns:
            await self._load_policies()
        self._token = changes.token
        await self._warm_up()
        done = len(changes.caller_ids) + len(changes.removed) + len(changes.opted_out) + len(changes.opted_in)
        return f"{done} changes of the inventory taken over" if done or changes.has_campaigns else ""

    async def _bring_back(self, state: PoolState) -> str:
        """Fill an empty Redis: inventory, counts, calls that may still be up. Nothing is assigned until all is done."""
        began = time.monotonic()
        if self._server is not None:
            self._log.error("Redis was emptied: the caller-IDs are brought back from PostgreSQL")
        self._token = None
        await self._rebuild.leave_book()
        if await self._rebuild.take_turn() is None:
            await self._load_policies()
            return "another daemon brings the caller-IDs back"
        token = await self._inventory.token()
        await self._load_policies()
        loaded = await self._put_all(is_turn=True)
        if self._server is not None or await self._recall.has_recent_calls():
            await asyncio.sleep(max(0.0, began + _OTHERS_S - time.monotonic()))
        await self._recount(loaded.numbers, await self._rebuild.keep_turn())
        restored = await self._rebuild.restore(await self._recall.open_calls(), is_unrecorded=False)
        lost = await self._recall.unrecorded(await self._rebuild.books())
        restored += await self._rebuild.restore(lost, is_unrecorded=True)
        await self._rebuild.open()
        await self._end_again()
        self._token, self._server = token, state.server
        took_s = round(time.monotonic() - began, 2)
        self._log.warning(
            "the pool was filled",
            caller_ids=loaded.count,
            reservations=restored,
            unrecorded=len(lost),
            took_s=took_s,
        )
        if self.on_back is not None:
            self.on_back()
        return f"{loaded.count} caller-IDs and {restored} reservations brought back in {took_s} s"

    async def _take_over(self, state: PoolState) -> str:
        """Make up for the last moments, which a Redis that was started again, or a replica that took over, may not have.

        Nothing is assigned until what each daemon gave in them is there, as far as it may still be up.
        """
        await self._rebuild.leave_book()
        if await self._rebuild.take_turn() is None:
            return "another daemon makes up for what Redis lost"
        if self._server is not None or await self._was_busy():
            await asyncio.sleep(_OTHERS_S)
        now_ms = await self._rebuild.keep_turn()
        given = [call for call in await self._rebuild.books() if call.at_ms >= now_ms - _SURELY_LIVE_MS]
        restored = await self._rebuild.restore(given, is_unrecorded=True)
        # What a former primary, that did not know better yet, let this daemon give meanwhile.
        newest = self._pool.book.calls(since_ms=now_ms - _SURELY_LIVE_MS)
        restored += await self._rebuild.restore(newest, is_unrecorded=True)
        await self._rebuild.open()
        return await self._catch_up(await self._rebuild.state(), restored)

    async def _catch_up(self, state: PoolState, restored: int = 0) -> str:
        """Take up work with a Redis that was opened anew: give it what this daemon has, and ask dialers and PostgreSQL."""
        given = self._pool.book.calls(since_ms=state.now_ms - _SURELY_LIVE_MS)
        restored += await self._rebuild.restore(given, is_unrecorded=True)
        await self._end_again()
        self._server, self._epoch = state.server, state.epoch
        self._log.warning("Redis was started again or another one took over", reservations_brought_back=restored)
        if self.on_back is not None:
            self.on_back()
        try:
            await self._recount((await self._load_whole()).numbers, state.now_ms)
        except LedgerUnavailableError:
            self._token = None  # the next run loads all
        return f"{restored} reservations brought back"

    async def _end_again(self) -> None:
        """End once more what this daemon has ended just now: Redis may have lost it."""
        await asyncio.gather(
            *(
                self._pool.release(CallKey(Dialer(call.dialer), call.code, call.uniqueid), end, call.reservation)
                for call, end in self._pool.book.ended()
            )
        )

    async def _was_busy(self) -> bool:
        """Tell whether other daemons may have given caller-IDs lately; where nobody can say, they may."""
        try:
            return bool((await self._pool.snapshot()).live) or await self._recall.has_recent_calls()
        except LedgerUnavailableError:
            return True

    async def _load_whole(self) -> Loaded:
        token = await self._inventory.token()
        await self._load_policies()
        loaded = await self._put_all()
        self._token = token
        self._log.info("inventory loaded", caller_ids=loaded.count, new=loaded.missing, removed=loaded.surplus)
        return loaded

    def _told(self, loaded: Loaded) -> str:
        """Count the drift that a comparison found, and say it."""
        found = {"missing": loaded.missing, "different": loaded.different, "surplus": loaded.surplus}
        for kind, count in found.items():
            self._metrics.drift.labels(kind).inc(count)
        said = ", ".join(f"{count} {kind}" for kind, count in found.items() if count)
        if said:
            self._log.warning("Redis differed from PostgreSQL and was set right", **found)
        return f"{loaded.count} caller-IDs compared: {f'{said}, set right' if said else 'no differences'}"

    async def _put_all(self, *, is_turn: bool = False) -> Loaded:
        await self._opt_outs.replace(self._opted_out())
        generation = await self._pool.new_generation()
        numbers: dict[str, list[E164]] = defaultdict(list)
        count = missing = different = 0
        async for batch in self._inventory.load_all():
            if is_turn:
                await self._rebuild.keep_turn()
            put = await self._pool.put(batch, generation)
            missing, different = missing + put.new, different + put.different
            count += len(batch)
            for item in batch:
                numbers[item.timezone].append(item.number)
        # Where all were new there was nothing before them.
        surplus = await self._pool.prune(generation) if missing < count or not is_turn else 0
        return Loaded(numbers, count, missing, different, surplus)

    async def _recount(self, numbers: Mapping[str, Sequence[E164]], now_ms: int) -> None:
        for timezone, there in numbers.items():
            starts_ms = window_starts_ms(zone_named(timezone) or self._zone, now_ms)
            for start in range(0, len(there), _RECOUNTED_AT_ONCE):
                uses = await self._recall.uses(there[start : start + _RECOUNTED_AT_ONCE], *starts_ms)
                await self._rebuild.recount(uses, now_ms)

    async def _opted_out(self) -> AsyncIterator[list[Entry]]:
        async for batch in OptOuts(self._inventory.database).load_all():
            yield [(item.destination, item.campaign) for item in batch]

    async def _warm_up(self) -> None:
        """Give caller-IDs that warm up the daily limit of a day that has begun."""
        quarter = self._clock.wall_ms() // _DAY_MAY_BEGIN_MS
        if quarter != self._quarter:
            warming = await self._inventory.warming()
            if warming:
                await self._pool.put(warming, await self._pool.new_generation())
            self._quarter = quarter

    async def _load_policies(self) -> None:
        policies = await self._inventory.campaigns()
        if any(Rung.CITY in policy.rungs for policy in policies.values()):
            self._assigner.cities = await load_exchanges(self._inventory.database)
        self._assigner.policies = policies
        await self._pool.save_policies(policies)
