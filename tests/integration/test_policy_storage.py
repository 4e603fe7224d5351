"""Policies in the database: kept whole, resolved into caller-IDs, and taken over by a running pool."""

from __future__ import annotations

import csv
import dataclasses
import io
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.caller_id import NO_LIMIT, CallerId
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import E164, Area, Campaign, Group, Rung
from ami_rotator.inventory_sync import InventorySync
from ami_rotator.ledger.csv_export import export_csv
from ami_rotator.ledger.csv_import import import_csv
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.exchanges import load_exchanges, save_exchanges
from ami_rotator.ledger.inventory import GroupSettings, Inventory, LimitDefaults
from ami_rotator.ledger.opt_outs import OptOuts
from ami_rotator.ledger.recall import Recall
from ami_rotator.pool.assigner import Assigner
from tests.support.pool_checks import numbers_of
from tests.support.pool_setup import make_pool

NEW_YORK = ZoneInfo("America/New_York")
DEFAULTS = LimitDefaults(hourly_limit=100, daily_limit=1000, cooldown_s=30, zone=NEW_YORK)
ONE, TWO = E164("+12125550001"), E164("+16465550002")
SALES, SURVEY = Campaign("SALES"), Campaign("SURVEY")
WEST, EAST, SPARE = Group("west"), Group("east"), Group("spare")

EVERYTHING = CampaignPolicy(
    SALES,
    groups=(WEST, EAST),
    rungs=(Rung.AREA, Rung.OVERLAY, Rung.NEIGHBOUR, Rung.STATE, Rung.ZONE, Rung.COUNTRY, Rung.ANY, Rung.NEXT_GROUP),
    next_groups=(SPARE,),
    weight=3,
    attestation_min="B",
    exhaustion="overflow",
    overflow_percent=5,
    overflow_concurrent=2,
    overflow_soft_cap=True,
    sticky_days=30,
    sticky_by="destination",
    sticky_breaks=("resting",),
    sticky_unanswered_max=4,
    distinct_max=3,
    distinct_days=30,
    minute_limit=2,
    hourly_limit=20,
    daily_limit=120,
    timezone="America/Chicago",
    neighbour_miles=75,
)


class Clock:
    """A clock that a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def wall_ms(self) -> int:
        return int(self.at.timestamp() * 1000)

    def monotonic_s(self) -> float:
        return self.at.timestamp()


@pytest.fixture
def inventory(database: Database) -> Inventory:
    return Inventory(database, DEFAULTS)


async def loaded(inventory: Inventory) -> dict[E164, CallerId]:
    return {item.number: item async for batch in inventory.load_all() for item in batch}


async def test_a_policy_comes_back_as_it_was_saved(inventory: Inventory) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(CampaignPolicy)}

    await inventory.save_campaign(EVERYTHING)
    await inventory.save_campaign(CampaignPolicy(SURVEY))

    assert await inventory.campaigns() == {SALES: EVERYTHING, SURVEY: CampaignPolicy(SURVEY)}
    assert all(getattr(EVERYTHING, name) != value for name, value in defaults.items())


async def test_the_pool_keeps_policies_whole_for_a_start_without_the_database(redis_client: Redis) -> None:
    pool = await make_pool(redis_client)

    await pool.save_policies({SALES: EVERYTHING, SURVEY: CampaignPolicy(SURVEY)})

    assert await pool.policies() == {SALES: EVERYTHING, SURVEY: CampaignPolicy(SURVEY)}


async def test_a_group_comes_back_as_it_was_saved(inventory: Inventory) -> None:
    group = GroupSettings(WEST, 3, 60, 10, 100, 2, 80, "America/Denver", "steady")

    await inventory.save_group(group)
    await inventory.save_group(GroupSettings(EAST))

    groups = await inventory.groups()
    assert groups[WEST] == group
    assert groups[EAST] == GroupSettings(EAST)


async def test_a_limit_is_the_numbers_own_else_its_groups_else_the_tightest_of_its_campaigns(
    inventory: Inventory,
) -> None:
    await inventory.save_group(GroupSettings(WEST, hourly_limit=15))
    await inventory.add(ONE, area=Area("212"), group=WEST, daily_limit=60)
    await inventory.add(TWO, area=Area("646"), group=WEST)
    await inventory.save_campaign(dataclasses.replace(EVERYTHING, groups=(WEST,)))
    await inventory.save_campaign(CampaignPolicy(SURVEY, (WEST,), daily_limit=90, minute_limit=9))

    found = await loaded(inventory)
    one, two = found[ONE], found[TWO]
    assert (one.minute_limit, one.hourly_limit, one.daily_limit) == (2, 15, 60)
    assert (two.minute_limit, two.hourly_limit, two.daily_limit) == (2, 15, 90)
    assert two.timezone == "America/Chicago"
    assert two.soft_daily_limit == NO_LIMIT


async def test_a_number_of_a_group_that_no_campaign_limits_has_the_defaults(inventory: Inventory) -> None:
    await inventory.add(ONE, area=Area("212"))

    assert (await loaded(inventory))[ONE] == CallerId(ONE, Area("212"), Group("default"), 100, 1000, 30)


async def test_a_caller_id_is_filed_where_its_campaigns_look(inventory: Inventory) -> None:
    await inventory.add(ONE, area=Area("212"), group=WEST)
    await inventory.save_campaign(CampaignPolicy(SALES, (WEST,), (Rung.AREA, Rung.OVERLAY)))
    await inventory.save_campaign(CampaignPolicy(SURVEY, (EAST,), (Rung.STATE, Rung.NEXT_GROUP), (WEST,)))

    assert (await loaded(inventory))[ONE].places == ("overlay:212", "state:US-NY")


async def test_a_change_that_caller_ids_take_over_reports_them_and_another_does_not(inventory: Inventory) -> None:
    await inventory.add(ONE, area=Area("212"), group=WEST)
    policy = CampaignPolicy(SALES, (WEST,))
    await inventory.save_campaign(policy)
    token = await inventory.token()

    await inventory.save_campaign(dataclasses.replace(policy, weight=5, sticky_days=3))
    weight = await inventory.changed_since(token)
    await inventory.save_campaign(dataclasses.replace(policy, rungs=(Rung.STATE,)))
    rungs = await inventory.changed_since(weight.token)
    await inventory.save_campaign(dataclasses.replace(policy, rungs=(Rung.STATE,), groups=(EAST,)))
    group = await inventory.changed_since(rungs.token)

    assert (weight.caller_ids, weight.has_campaigns) == ((), True)
    assert [item.places for item in rungs.caller_ids] == [("state:US-NY",)]
    assert [item.places for item in group.caller_ids] == [()]


async def test_deleting_a_campaign_gives_its_caller_ids_their_own_limits_back(
    inventory: Inventory, database: Database
) -> None:
    await inventory.add(ONE, area=Area("212"), group=WEST)
    await inventory.save_campaign(CampaignPolicy(SALES, (WEST,), daily_limit=7))
    token = await inventory.token()

    async with database.transaction() as connection:
        await connection.execute("DELETE FROM campaigns")
    changes = await inventory.changed_since(token)

    assert [item.daily_limit for item in changes.caller_ids] == [1000]
    assert changes.has_campaigns


@pytest.mark.parametrize(
    ("moment", "limit"),
    [
        (datetime(2026, 3, 7, 23, 59, tzinfo=NEW_YORK), 25),
        (datetime(2026, 3, 8, 0, 1, tzinfo=NEW_YORK), 30),  # the day the clocks change
        (datetime(2026, 3, 8, 23, 30, tzinfo=NEW_YORK), 30),
        (datetime(2026, 3, 9, 0, 0, tzinfo=NEW_YORK), 35),
        (datetime(2026, 4, 30, 12, 0, tzinfo=NEW_YORK), 400),
    ],
)
async def test_a_new_number_warms_up_day_by_day_of_its_time_zone(
    database: Database, moment: datetime, limit: int
) -> None:
    inventory = Inventory(database, DEFAULTS, Clock(moment))
    await inventory.save_group(GroupSettings(WEST, daily_limit=400, warmup="steady"))
    await inventory.add(ONE, area=Area("212"), group=WEST)
    await inventory.add(TWO, area=Area("646"), group=WEST)
    async with database.transaction() as connection:
        await connection.execute("UPDATE caller_ids SET warmup_from = $1 WHERE caller_id = $2", date(2026, 3, 7), ONE)
        await connection.execute("UPDATE caller_ids SET warmup_from = NULL WHERE caller_id = $1", TWO)

    found = await loaded(inventory)
    assert found[ONE].daily_limit == limit
    assert found[TWO].daily_limit == 400


async def test_opt_outs_are_listed_and_reported_as_they_come_and_go(inventory: Inventory, database: Database) -> None:
    opt_outs = OptOuts(database)
    token = await inventory.token()

    assert await opt_outs.add([ONE, TWO, ONE], note="asked on the phone") == [ONE, TWO]
    assert await opt_outs.add([ONE], SALES) == [ONE]
    assert await opt_outs.add([ONE]) == []
    added = await inventory.changed_since(token)
    assert await opt_outs.remove([TWO]) == [TWO]
    removed = await inventory.changed_since(added.token)

    assert {(item.destination, item.campaign) for item in added.opted_out} == {(ONE, ""), (ONE, SALES), (TWO, "")}
    assert [(item.destination, item.campaign) for item in removed.opted_in] == [(TWO, "")]
    pages = [batch async for batch in opt_outs.load_all(1)]
    assert [[(item.destination, item.campaign) for item in page] for page in pages] == [[(ONE, "")], [(ONE, SALES)]]
    assert pages[0][0].note == "asked on the phone"


async def test_cities_of_exchanges_file_caller_ids_only_for_the_rung_city(
    inventory: Inventory, database: Database
) -> None:
    await inventory.add(ONE, area=Area("212"), group=WEST)
    await inventory.save_campaign(CampaignPolicy(SALES, (WEST,), (Rung.CITY, Rung.AREA)))
    assert (await loaded(inventory))[ONE].places == ()
    token = await inventory.token()

    assert await save_exchanges(database, {"212555": "New York", "646555": "New York"}) == 2
    assert await save_exchanges(database, {"212555": "New York"}) == 0
    changes = await inventory.changed_since(token)

    assert [item.places for item in changes.caller_ids] == [("city:212:New York",)]
    assert changes.has_campaigns
    assert await load_exchanges(database) == {"212555": "New York", "646555": "New York"}


async def test_a_running_pool_takes_over_opt_outs_cities_and_the_next_days_warm_up(
    database: Database, redis_client: Redis
) -> None:
    clock = Clock(datetime(2026, 3, 7, 23, 59, tzinfo=NEW_YORK))
    inventory = Inventory(database, DEFAULTS, clock)
    await inventory.save_group(GroupSettings(WEST, warmup="10,20"))
    await inventory.add(ONE, area=Area("212"), group=WEST)
    async with database.transaction() as connection:
        await connection.execute("UPDATE caller_ids SET warmup_from = $1", date(2026, 3, 7))
    await inventory.save_campaign(CampaignPolicy(SALES, (WEST,), (Rung.CITY, Rung.ANY)))
    await OptOuts(database).add([ONE])
    pool = await make_pool(redis_client)
    assigner = Assigner(pool, "US", ["9"])
    sync = InventorySync(inventory, pool, assigner, Recall(database), NEW_YORK, clock)

    async def limit() -> str:
        return str((await numbers_of(redis_client, pool.tag))[ONE]["dl"])

    await sync.sync()
    assert await limit() == "10"
    assert await redis_client.smembers(f"optouts:{pool.tag}") == {ONE}

    await save_exchanges(database, {"212555": "New York"})
    await OptOuts(database).add([TWO], SALES)
    await OptOuts(database).remove([ONE])
    await sync.sync()
    assert await redis_client.smembers(f"optouts:{pool.tag}") == {f"{TWO}|SALES"}
    assert assigner.cities == {"212555": "New York"}

    clock.at = datetime(2026, 3, 8, 0, 0, 1, tzinfo=NEW_YORK)
    await sync.sync()
    assert await limit() == "20"


async def test_a_load_forgets_opt_outs_that_are_not_in_the_database(database: Database, redis_client: Redis) -> None:
    pool = await make_pool(redis_client)
    await redis_client.sadd(f"optouts:{pool.tag}", "+13055550100")
    sync = InventorySync(Inventory(database, DEFAULTS), pool, Assigner(pool, "US", []), Recall(database), NEW_YORK)

    await sync.load()

    assert await redis_client.smembers(f"optouts:{pool.tag}") == set()


async def test_a_csv_file_brings_limits_attestation_and_warm_up_and_takes_them_out_again(
    database: Database, inventory: Inventory, tmp_path: Path
) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(
        "caller_id,minute_limit,attestation,warmup_from\n2125550001,3,a,2026-03-07\n6465550002,,,none\n7185550003,,,\n"
    )

    report = await import_csv(path, database)
    again = await import_csv(path, database)
    path.write_text("caller_id,minute_limit,attestation,warmup_from\n2125550001,,B,\n")
    changed = await import_csv(path, database)

    exported = io.StringIO()
    await export_csv(database, exported)
    rows = {row["caller_id"]: row for row in csv.DictReader(exported.getvalue().splitlines())}
    columns = ("minute_limit", "attestation", "warmup_from")
    assert [tuple(rows[number][name] for name in columns) for number in ("2125550001", "6465550002")] == [
        ("", "B", "2026-03-07"),
        ("", "", "none"),
    ]
    assert rows["7185550003"]["warmup_from"] not in ("", "none")
    assert (report.added, again.unchanged, changed.updated) == (3, 3, 1)
    assert (await loaded(inventory))[ONE].attestation == "B"
