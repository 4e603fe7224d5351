"""Keep the pool in Redis true to the inventory in PostgreSQL, and bring it back when Redis was emptied."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import structlog

from ami_rotator.cancellation import two_at_a_time
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.types import E164, Rung
from ami_rotator.domain.windows import window_starts_ms, zone_named
from ami_rotator.ledger.exchanges import load_exchanges
from ami_rotator.ledger.inventory import ChangeToken, Inventory
from ami_rotator.ledger.opt_outs import OptOuts
from ami_rotator.ledger.recall import Recall
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.opt_outs import Entry, PoolOptOuts
from ami_rotator.pool.rebuild import PoolState, Rebuild
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.take_over import OTHERS_S, SURELY_LIVE_MS, TakeOver

_RECOUNTED_AT_ONCE = 2000
# The time zones' days begin on whole quarters of an hour.
_DAY_MAY_BEGIN_MS = 900_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load found in the pool: not there, there but otherwise, and there without being in the inventory.

    `numbers` are those of the inventory without their plus, a million in 8 MB, by the name of their time zone (empty: the
    inventory's own).
    """

    numbers: Mapping[str, array[int]]
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
        self.take_over = TakeOver(pool, recall)
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
        self._owes = False
        self._asked_for: int | None = None
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
        made_up = await self.take_over.check()
        state = await self._rebuild.state()
        if state.epoch is None:
            self._owes = True
            return made_up if state.is_moved else await self._bring_back(state)
        if self._server not in (None, state.server) or self._epoch not in (None, state.epoch):
            self._owes = True
        if self._owes and self._server is not None:
            return made_up or await self._catch_up(state)
        self._know(state)
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
        if await self._rebuild.take_turn() is None:
            await self._load_policies()
            return "another daemon brings the caller-IDs back"
        token = await self._inventory.token()
        await self._load_policies()
        loaded = await self._put_all(is_turn=True)
        if self._server is not None or await self._recall.has_recent_calls():
            await asyncio.sleep(max(0.0, began + OTHERS_S - time.monotonic()))
        await self._recount(loaded.numbers, await self._rebuild.keep_turn())
        restored = await self._rebuild.restore(await self._recall.open_calls(), is_unrecorded=False)
        lost = await self._recall.unrecorded(await self._rebuild.books())
        restored += await self._rebuild.restore(lost, is_unrecorded=True)
        await self._rebuild.open()
        self._pool.server = state.server
        self._token, self._server, self._epoch, self._owes = token, state.server, None, False
        took_s = round(time.monotonic() - began, 2)
        self._log.warning(
            "the pool was filled",
            caller_ids=loaded.count,
            reservations=restored,
            unrecorded=len(lost),
            took_s=took_s,
        )
        await self.take_over.check()
        if self.on_back is not None:
            self.on_back()
        return f"{loaded.count} caller-IDs and {restored} reservations brought back in {took_s} s"

    async def _catch_up(self, state: PoolState) -> str:
        """Take up work with a pool that was opened anew: ask dialers and PostgreSQL, and bring in what this daemon knows."""
        if self.on_back is not None and self._asked_for != state.epoch:
            self.on_back()
            self._asked_for = state.epoch
        since_ms = state.now_ms - SURELY_LIVE_MS
        lost = await self._recall.unrecorded(self._pool.book.calls(since_ms))
        restored = await self._rebuild.restore(lost, is_unrecorded=True)
        # Those that are back are left as they are: what the ledger has is not counted twice.
        restored += await self._rebuild.restore(self._pool.book.live(since_ms), is_unrecorded=False)
        await self._recount((await self._load_whole()).numbers, state.now_ms)
        self._know(state)
        return f"{restored} reservations brought back"

    def _know(self, state: PoolState) -> None:
        self._server, self._epoch, self._owes = state.server, state.epoch, False

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
        numbers: dict[str, array[int]] = defaultdict(lambda: array("Q"))
        count = missing = different = 0
        async for batch in self._inventory.load_all():
            if is_turn:
                await self._rebuild.keep_turn()
            put = await self._pool.put(batch, generation)
            missing, different = missing + put.new, different + put.different
            count += len(batch)
            for item in batch:
                numbers[item.timezone].append(int(item.number))
        # Where all were new there was, but for a load that was broken off, nothing before them.
        surplus = await self._pool.prune(generation) if missing < count or not is_turn else 0
        return Loaded(numbers, count, missing, different, surplus)

    async def _recount(self, numbers: Mapping[str, array[int]], now_ms: int) -> None:
        async def recount(some: tuple[Sequence[E164], Sequence[int]]) -> None:
            there, starts_ms = some
            await self._rebuild.recount(await self._recall.uses(there, *starts_ms), now_ms)

        await two_at_a_time(self._slices(numbers, now_ms), recount)

    def _slices(self, numbers: Mapping[str, array[int]], now_ms: int) -> Iterator[tuple[Sequence[E164], Sequence[int]]]:
        """Return caller-IDs of one time zone each, with the times at which its minute, hour and day began."""
        for timezone, there in numbers.items():
            starts_ms = window_starts_ms(zone_named(timezone) or self._zone, now_ms)
            for start in range(0, len(there), _RECOUNTED_AT_ONCE):
                yield [E164(f"+{number}") for number in there[start : start + _RECOUNTED_AT_ONCE]], starts_ms

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
