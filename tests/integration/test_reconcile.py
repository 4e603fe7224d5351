"""What Redis has otherwise than PostgreSQL is set right, told and counted; what was only edited is no difference."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from ami_rotator.domain.types import E164
from ami_rotator.inventory_sync import InventorySync
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.recall import Recall
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from tests.support.pool_checks import numbers_of, violations
from tests.support.pool_load import fill_inventory
from tests.support.pool_setup import make_pool


async def test_drift_is_set_right_told_and_counted_and_an_edit_is_none(database: Database, redis_client: Redis) -> None:
    await fill_inventory(database, 6)
    inventory = Inventory(database, LimitDefaults(hourly_limit=100, daily_limit=1000, cooldown_s=0))
    pool, metrics, zone = await make_pool(redis_client), Metrics(), ZoneInfo("UTC")
    sync = InventorySync(inventory, pool, Assigner(pool, "US", []), Recall(database), zone, metrics=metrics)
    await sync.sync()
    async with database.transaction() as connection:
        # A rest that is over says nothing any more, whatever the inventory still has of it.
        await connection.execute(
            "UPDATE caller_ids SET switch = 'resting', resting_until = now() - interval '1 hour'"
            " WHERE caller_id = '+12125550005'"
        )
        await connection.execute("UPDATE caller_ids SET daily_limit = 7 WHERE caller_id = '+12125550006'")
    assert await sync.load() == "6 caller-IDs compared: no differences"
    right = await numbers_of(redis_client, pool.tag)
    [one, two, *others] = [item async for batch in inventory.load_all() for item in batch]
    generation = await pool.new_generation()
    await pool.remove([one.number])
    await pool.put(
        [replace(two, daily_limit=5), *(replace(item, carrier="another") for item in others[:2])], generation
    )
    await pool.put([replace(two, number=E164("+12125559999"))], generation)

    said = await sync.load()

    assert said == "6 caller-IDs compared: 1 missing, 3 different, 1 surplus, set right"
    found = await numbers_of(redis_client, pool.tag)
    assert {number: {**kept, "gen": 0} for number, kept in found.items()} == {
        number: {**kept, "gen": 0} for number, kept in right.items()
    }
    assert await violations(redis_client, pool.tag) == []
    value, name = metrics.registry.get_sample_value, "rotator_drift_total"
    assert [value(name, {"kind": kind}) for kind in ("missing", "different", "surplus")] == [1, 3, 1]
    assert await sync.load() == "6 caller-IDs compared: no differences"
