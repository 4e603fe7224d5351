"""The audit: written with the change or not at all, whoever makes it, and never changed."""

from __future__ import annotations

import asyncpg
import orjson
import pytest
from redis.asyncio import Redis

from ami_rotator.admin.caller_ids import Target
from ami_rotator.admin.changes import CallerIdChanges, SwitchChanges
from ami_rotator.domain.types import E164
from ami_rotator.ledger.audit import AuditFilter, note
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.paging import START
from tests.support.admin_desk import ANNA, Bench, make_bench
from tests.support.api_rig import api_rig
from tests.support.services import every_postgresql


@pytest.fixture
async def bench(database: Database, redis_client: Redis) -> Bench:
    bench = make_bench(database, redis_client)
    async with database.acting_as(ANNA).transaction() as connection:
        await connection.execute(
            "INSERT INTO caller_ids (caller_id, area) SELECT '+1212555' || (1000 + i), '212' FROM generate_series(1, 3) AS i"
        )
    return bench


@every_postgresql
async def test_each_change_says_who_from_where_and_what_was_before(bench: Bench) -> None:
    number = E164("+12125551001")
    await bench.desk.caller_ids.edit(ANNA, Target((number,)), CallerIdChanges(daily_limit=50, carrier="Acme"))
    await bench.desk.caller_ids.edit(ANNA, Target((number,)), CallerIdChanges(daily_limit=50))
    await bench.desk.caller_ids.remove(ANNA, [number])

    removed, changed, added = (await bench.desk.audit(AuditFilter(kind="caller_id", target=number))).entries
    assert (added.action, added.before, (added.after or {})["area"]) == ("added", None, "212")
    assert (changed.actor, changed.via, changed.address) == ("anna", "api", "192.0.2.7")
    assert (changed.before, changed.after) == (
        {"daily_limit": None, "carrier": ""},
        {"daily_limit": 50, "carrier": "Acme"},
    )
    assert (removed.action, removed.after, (removed.before or {})["carrier"]) == ("removed", None, "Acme")


async def test_one_change_of_many_is_one_change(bench: Bench) -> None:
    numbers = tuple(E164(f"+1212555100{i}") for i in (1, 2, 3))
    await bench.desk.caller_ids.edit(ANNA, Target(numbers), SwitchChanges(switch="disabled"))

    entries = (await bench.desk.audit(AuditFilter(action="changed"))).entries
    assert {entry.target for entry in entries} == set(numbers)
    assert len({entry.change for entry in entries}) == 1
    assert len((await bench.desk.audit(AuditFilter(change=entries[0].change))).entries) == 3


async def test_a_change_that_is_undone_leaves_no_entry(bench: Bench) -> None:
    before = (await bench.desk.audit(AuditFilter(), limit=500)).entries

    async def change() -> None:
        async with bench.database.acting_as(ANNA).transaction() as connection:
            await connection.execute("UPDATE caller_ids SET carrier = 'x'")
            await note(connection, bench.database, "tested", "test", "it")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()
    assert (await bench.desk.audit(AuditFilter(), limit=500)).entries == before


async def test_what_somebody_does_with_psql_is_in_it_under_their_database_user(bench: Bench) -> None:
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE caller_ids SET carrier = 'x' WHERE caller_id = '+12125551001'")
        user = await connection.fetchval("SELECT session_user")

    entry = (await bench.desk.audit(AuditFilter())).entries[0]
    assert (entry.actor, entry.via, entry.address, entry.target) == (user, "database", "", "+12125551001")


@every_postgresql
@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"],
)
async def test_nothing_in_it_is_changed_or_deleted(bench: Bench, statement: str) -> None:
    async with bench.database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)


async def test_a_policy_is_one_entry_with_all_of_it_and_saving_it_unchanged_is_none(bench: Bench) -> None:
    for weight in (2, 3, 3):
        await bench.desk.campaigns.save(ANNA, "SALES", {"groups": ["east", "west"], "weight": weight})
    await bench.desk.campaigns.remove(ANNA, "SALES")

    removed, changed, added = (await bench.desk.audit(AuditFilter(kind="campaign", target="SALES"))).entries
    assert (added.action, (added.after or {})["groups"]) == ("added", ["east", "west"])
    assert ((changed.before or {})["weight"], (changed.after or {})["weight"], changed.actor) == (2, 3, "anna")
    assert (removed.action, removed.after) == ("removed", None)


async def test_it_is_paged_and_exported_whole(bench: Bench, database: Database, redis_client: Redis) -> None:
    seen = []
    after = START
    while True:
        page = await bench.desk.audit(AuditFilter(kind="caller_id"), after, 2)
        seen += [entry.id for entry in page.entries]
        after = page.following
        if after == START:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 3

    async with api_rig(database, redis_client) as api, api.ask("GET", "/audit/export?kind=caller_id") as response:
        lines = [orjson.loads(line) for line in (await response.text()).splitlines()]
        assert response.content_type == "application/x-ndjson"
        assert [line["id"] for line in lines] == seen
