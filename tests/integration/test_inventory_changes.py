from __future__ import annotations

import asyncio

import asyncpg
import pytest

from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import E164, Area, Campaign, Group, Rung
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import DuplicateCallerIdError, GroupSettings, Inventory, LimitDefaults
from tests.support.services import every_postgresql

DEFAULTS = LimitDefaults(hourly_limit=100, daily_limit=1000, cooldown_s=30)
ONE, TWO, THREE = E164("+12125550001"), E164("+12125550002"), E164("+12125550003")


@pytest.fixture
def inventory(database: Database) -> Inventory:
    return Inventory(database, DEFAULTS)


async def everything(inventory: Inventory, batch: int = 2000) -> list[CallerId]:
    return [caller_id async for rows in inventory.load_all(batch) for caller_id in rows]


async def add(inventory: Inventory, *numbers: E164, group: str = "default") -> None:
    for number in numbers:
        await inventory.add(number, area=Area("212"), group=Group(group))


async def test_limits_come_from_the_number_else_its_group_else_the_defaults(inventory: Inventory) -> None:
    await inventory.save_group(GroupSettings(Group("west"), max_concurrent=3, cooldown_s=0, daily_limit=50))
    await inventory.add(ONE, area=Area("212"))
    await inventory.add(TWO, area=Area("212"), group=Group("west"), meta_json='{"a":1}', carrier="AT&T")
    await inventory.add(THREE, area=Area("212"), group=Group("west"), daily_limit=0, hourly_limit=7)

    west = Group("west")
    assert await everything(inventory) == [
        CallerId(ONE, Area("212"), Group("default"), hourly_limit=100, daily_limit=1000, cooldown_s=30),
        CallerId(TWO, Area("212"), west, 100, 50, 0, max_concurrent=3, carrier="AT&T", meta_json='{"a": 1}'),
        CallerId(THREE, Area("212"), west, 7, 0, 0, max_concurrent=3),
    ]


async def test_batches_hold_every_caller_id_once(inventory: Inventory) -> None:
    numbers = [E164(f"+1212555{n:04}") for n in range(25)]
    await add(inventory, *numbers)

    sizes = [len(rows) async for rows in inventory.load_all(10)]

    assert sizes == [10, 10, 5]
    assert [caller_id.number for caller_id in await everything(inventory, 5)] == numbers


async def test_adding_a_number_that_is_there_is_refused_and_changes_nothing(inventory: Inventory) -> None:
    await inventory.add(ONE, area=Area("212"), carrier="first")

    with pytest.raises(DuplicateCallerIdError, match="in the inventory already"):
        await inventory.add(ONE, area=Area("212"), carrier="second", group=Group("new"))

    assert [caller_id.carrier for caller_id in await everything(inventory)] == ["first"]
    assert list(await inventory.groups()) == ["default"]


@every_postgresql
async def test_a_change_by_anybody_is_reported_once_and_rest_is_quiet(inventory: Inventory, database_dsn: str) -> None:
    await add(inventory, ONE, TWO)
    token = await inventory.token()
    psql = await asyncpg.connect(database_dsn, timeout=10)
    await psql.execute("UPDATE caller_ids SET switch = 'disabled' WHERE caller_id = $1", ONE)

    changes = await inventory.changed_since(token)
    after = await inventory.changed_since(changes.token)

    await psql.close()
    assert [(caller_id.number, caller_id.switch) for caller_id in changes.caller_ids] == [(ONE, "disabled")]
    assert (after.caller_ids, after.removed, after.has_campaigns) == ((), (), False)


@every_postgresql
async def test_while_nothing_changes_no_look_is_taken_at_every_caller_id(
    inventory: Inventory, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    psql = await asyncpg.connect(database_dsn, timeout=10)
    await psql.execute(
        "INSERT INTO caller_ids (caller_id, area) SELECT '+1' || (2120000000 + n), '212' FROM generate_series(1, 5000) AS n"
    )
    await psql.execute("ANALYZE caller_ids")
    token = await inventory.token()
    asked: list[str] = []
    query = inventory.database.query

    def listed(name: str) -> str:
        asked.append(name)
        return query(name)

    monkeypatch.setattr(inventory.database, "query", listed)
    quiet = await inventory.changed_since(token)
    asked_then, asked = asked, []
    await psql.execute("UPDATE caller_ids SET carrier = 'new' WHERE caller_id = $1", "+12120000007")
    changes = await inventory.changed_since(quiet.token)

    # As a plan for any token: PostgreSQL takes one for the statements that it is asked often.
    await psql.execute("SET plan_cache_mode = force_generic_plan")
    await psql.execute(f"PREPARE ask AS {query('has_changed_since')}")
    plan = "\n".join(row[0] for row in await psql.fetch("EXPLAIN EXECUTE ask('1')"))
    await psql.close()
    assert "has_changed_since" in asked_then
    assert "caller_ids_changed_since" not in asked_then
    assert [caller_id.carrier for caller_id in changes.caller_ids] == ["new"]
    assert "caller_ids_by_change" in plan
    assert "Seq Scan on caller_ids" not in plan


@every_postgresql
async def test_a_change_is_not_missed_that_was_made_first_and_committed_last(
    inventory: Inventory, database_dsn: str
) -> None:
    await add(inventory, ONE, TWO)
    token = await inventory.token()
    slow = await asyncpg.connect(database_dsn, timeout=10)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("UPDATE caller_ids SET carrier = 'slow' WHERE caller_id = $1", ONE)
    async with asyncpg.create_pool(database_dsn, min_size=1, max_size=1) as fast:
        await fast.execute("UPDATE caller_ids SET carrier = 'fast' WHERE caller_id = $1", TWO)

    during = await inventory.changed_since(token)
    await transaction.commit()
    afterwards = await inventory.changed_since(during.token)

    await slow.close()
    assert [caller_id.number for caller_id in during.caller_ids] == [TWO]
    assert ONE in [caller_id.number for caller_id in afterwards.caller_ids]
    # Once nothing is open any more it comes to rest.
    assert (await inventory.changed_since(afterwards.token)).caller_ids == ()


async def test_a_change_of_a_group_is_a_change_of_its_caller_ids(inventory: Inventory) -> None:
    await add(inventory, ONE)
    await add(inventory, TWO, group="west")
    token = await inventory.token()

    await inventory.save_group(GroupSettings(Group("west"), hourly_limit=3))
    changes = await inventory.changed_since(token)

    assert [(caller_id.number, caller_id.hourly_limit) for caller_id in changes.caller_ids] == [(TWO, 3)]


async def test_writing_the_same_values_again_is_no_change(inventory: Inventory, database: Database) -> None:
    await add(inventory, ONE)
    token = await inventory.token()

    async with database.connection() as connection:
        await connection.execute("UPDATE caller_ids SET carrier = carrier")

    assert (await inventory.changed_since(token)).caller_ids == ()


async def test_a_deleted_caller_id_is_reported_unless_it_is_back(inventory: Inventory, database: Database) -> None:
    await add(inventory, ONE, TWO)
    token = await inventory.token()
    async with database.connection() as connection:
        await connection.execute("DELETE FROM caller_ids")
    await add(inventory, TWO)

    changes = await inventory.changed_since(token)

    assert changes.removed == (ONE,)
    assert [caller_id.number for caller_id in changes.caller_ids] == [TWO]


async def test_rows_restored_from_another_server_are_not_reported_for_ever(
    inventory: Inventory, database: Database
) -> None:
    await add(inventory, ONE)
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE caller_ids DISABLE TRIGGER stamp")
        await connection.execute("UPDATE caller_ids SET changed_in = '9000000000'")
        await connection.execute("ALTER TABLE caller_ids ENABLE TRIGGER stamp")

    first = await inventory.changed_since(await inventory.token())
    second = await inventory.changed_since(first.token)

    assert second.caller_ids == ()


async def test_campaigns_have_their_groups_in_order_and_say_when_they_change(inventory: Inventory) -> None:
    policy = CampaignPolicy(Campaign("SALES"), (Group("west"), Group("default"), Group("east")), (Rung.AREA,))
    token = await inventory.token()

    await inventory.save_campaign(policy)

    assert await inventory.campaigns() == {"SALES": policy}
    changes = await inventory.changed_since(token)
    assert changes.has_campaigns
    fewer = CampaignPolicy(Campaign("SALES"), (Group("east"),), (Rung.AREA,))
    await inventory.save_campaign(fewer)
    assert await inventory.campaigns() == {"SALES": fewer}
    again = await inventory.changed_since(changes.token)
    assert again.has_campaigns
    assert not (await inventory.changed_since(again.token)).has_campaigns


async def test_two_who_add_the_same_number_at_once_add_it_once(inventory: Inventory) -> None:
    results = await asyncio.gather(
        *(inventory.add(ONE, area=Area("212"), group=Group(f"g{n}")) for n in range(8)), return_exceptions=True
    )

    assert [type(result) for result in results].count(DuplicateCallerIdError) == 7
    assert [caller_id.number for caller_id in await everything(inventory)] == [ONE]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO caller_ids (caller_id, area) VALUES ('5551234567', '555')",
        "INSERT INTO caller_ids (caller_id, area, daily_limit) VALUES ('+15551234567', '555', -5)",
        "INSERT INTO caller_ids (caller_id, area, meta) VALUES ('+15551234567', '555', '[1]')",
        "INSERT INTO caller_ids (caller_id, area, resting_until) VALUES ('+15551234567', '555', now())",
        "INSERT INTO caller_ids (caller_id, area, group_name) VALUES ('+15551234567', '555', 'nowhere')",
        "INSERT INTO groups (name) VALUES ('a b')",
        "INSERT INTO groups (name, max_concurrent) VALUES ('a', 0)",
        "INSERT INTO campaigns (name, rungs) VALUES ('A', '{}')",
        "INSERT INTO campaigns (name, rungs) VALUES ('A', '{moon}')",
    ],
)
async def test_the_database_itself_refuses_what_the_program_would(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with database.connection() as connection:
            await connection.execute(statement)
