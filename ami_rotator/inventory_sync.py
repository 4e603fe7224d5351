"""Keep the pool in Redis true to the inventory in PostgreSQL."""

from __future__ import annotations

import structlog

from ami_rotator.ledger.inventory import ChangeToken, Inventory
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.redis_pool import RedisPool


class InventorySync:
    """Loads everything once, then what changed since. Run `sync` every second: an edit works from then on."""

    def __init__(self, inventory: Inventory, pool: RedisPool, assigner: Assigner) -> None:
        self._inventory = inventory
        self._pool = pool
        self._assigner = assigner
        self._token: ChangeToken | None = None
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
        if self._token is None:
            return await self.load()
        changes = await self._inventory.changed_since(self._token)
        if changes.caller_ids:
            await self._pool.put(changes.caller_ids, await self._pool.new_generation())
        if changes.removed:
            await self._pool.remove(changes.removed)
        if changes.has_campaigns:
            await self._load_policies()
        self._token = changes.token
        done = len(changes.caller_ids) + len(changes.removed)
        return f"{done} changes of the inventory taken over" if done or changes.has_campaigns else ""

    async def load(self) -> str:
        """Load the whole inventory, and remove from the pool what is not in it."""
        token = await self._inventory.token()
        await self._load_policies()
        generation = await self._pool.new_generation()
        total = new = 0
        async for batch in self._inventory.load_all():
            new += await self._pool.put(batch, generation)
            total += len(batch)
        removed = await self._pool.prune(generation)
        self._token = token
        self._log.info("inventory loaded", caller_ids=total, new=new, removed=removed)
        return f"{total} caller-IDs loaded"

    async def _load_policies(self) -> None:
        policies = await self._inventory.campaigns()
        self._assigner.policies = policies
        await self._pool.save_policies(policies)
