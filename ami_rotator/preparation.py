"""What must be there before calls are served: the newest schema, the inventory in the pool, and new numbers at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
import structlog

from ami_rotator.demo import fill_demo_inventory, remove_demo_inventory
from ami_rotator.domain.campaign import DEFAULT_GROUP
from ami_rotator.domain.numbers import area_of
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError
from ami_rotator.http.deps import NewCallerId
from ami_rotator.inventory_sync import InventorySync
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import DuplicateCallerIdError, Inventory
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.upkeep import ensure_partitions
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.redis_pool import RedisPool


class Preparation:
    """Brings the database to the newest schema once PostgreSQL is there, then keeps the pool true to it."""

    def __init__(
        self, dsn: str, database: Database, inventory: Inventory, sync: InventorySync, *, with_demo: bool
    ) -> None:
        self._dsn = dsn
        self._database = database
        self._inventory = inventory
        self._inventory_sync = sync
        self._with_demo = with_demo
        self._is_migrated = False

    async def begin(self, pool: RedisPool, assigner: Assigner) -> None:
        """Fill the pool. With PostgreSQL away, serve what Redis has; the job goes on trying."""
        log = structlog.get_logger("daemon")
        try:
            await self.sync()
        except LedgerUnavailableError as error:
            log.error("started without PostgreSQL: calls are served with what Redis has", reason=str(error))
            try:
                assigner.policies = await pool.policies()
                await pool.refresh_zones()
            except PoolUnavailableError as second:
                log.error("started without Redis: no caller-IDs until it answers", reason=str(second))
        except PoolUnavailableError as error:
            log.error("started without Redis: no caller-IDs until it answers", reason=str(error))

    async def sync(self) -> str:
        """Bring the pool up to date, the schema first where that was not possible yet; return what was done."""
        if not self._is_migrated:
            await migrate(self._dsn)
            await ensure_partitions(self._database)
            if self._with_demo:
                await fill_demo_inventory(self._database, self._inventory)
            elif removed := await remove_demo_inventory(self._database):
                structlog.get_logger("daemon").info(
                    "a real dialer is configured: the demo's caller-IDs were deleted", caller_ids=removed
                )
            self._is_migrated = True
        return await self._inventory_sync.sync()

    async def load(self) -> str:
        """Compare the whole inventory with the pool; return what differed."""
        await self.sync()
        return await self._inventory_sync.load()


def adding(inventory: Inventory, sync: InventorySync) -> Callable[[NewCallerId], Awaitable[bool]]:
    """Return the function that stores a new caller-ID and takes it into the pool; it says whether the number is new."""

    async def add(new: NewCallerId) -> bool:
        try:
            await inventory.add(
                new.number,
                area=new.area or area_of(new.number),
                carrier=new.carrier or "",
                group=new.group or DEFAULT_GROUP,
                daily_limit=new.daily_limit,
                hourly_limit=new.hourly_limit,
                meta_json=orjson.dumps(dict(new.meta)).decode(),
            )
        except DuplicateCallerIdError:
            return False
        await sync.sync()
        return True

    return add
