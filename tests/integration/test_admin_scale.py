"""Lists at 100,000 caller-IDs: pages come through an index, are small, and come soon."""

from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis

from ami_rotator.ledger.caller_id_list import CallerIdFilter, Sort, caller_id_records, cursor_after, page_selection
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.paging import START
from tests.support.api_rig import api_rig

COUNT = 100_000
# Measured 29 to 363 ms on two cores at a load of 17 (2026-11-22); the bound leaves room for a busy machine.
SOON_S = 2.0


async def fill(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO groups (name) SELECT 'g' || i FROM generate_series(0, 19) AS i")
        await connection.execute(
            "INSERT INTO caller_ids (caller_id, area, group_name, carrier, switch)"
            " SELECT '+1' || (200 + i % 700) || (2000000 + i), (200 + i % 700)::text, 'g' || i % 20, 'carrier' || i % 7,"
            " (CASE WHEN i % 500 = 0 THEN 'disabled' ELSE 'active' END)::caller_id_switch"
            " FROM generate_series(1, $1) AS i",
            COUNT,
            timeout=100,
        )
        await connection.execute("ANALYZE caller_ids", timeout=60)


async def plan_of(database: Database, wanted: CallerIdFilter, sort: Sort) -> str:
    """Return the plan of a page far into the list."""
    first = await caller_id_records(database, wanted, sort, limit=50)
    select, order = page_selection(database, wanted, sort, cursor_after(first[-1]))
    async with database.connection() as connection:
        rows = await connection.fetch("EXPLAIN " + select.page(order, 51), *select.arguments)
    return "\n".join(row[0] for row in rows)


@pytest.mark.timeout(240)
async def test_pages_of_a_hundred_thousand_come_through_an_index_and_soon(
    database: Database, redis_client: Redis
) -> None:
    await fill(database)
    for wanted, sort, index in (
        (CallerIdFilter(), "number", "caller_ids_pkey"),
        (CallerIdFilter(), "-area", "caller_ids_by_area"),
        (CallerIdFilter(), "group", "caller_ids_by_group"),
        (CallerIdFilter(), "carrier", "caller_ids_by_carrier"),
        (CallerIdFilter(), "-created", "caller_ids_by_creation"),
        (CallerIdFilter(area="212"), "number", "caller_ids_by_area"),
        (CallerIdFilter(switch="disabled"), "number", "caller_ids_switched_off"),
    ):
        plan = await plan_of(database, wanted, sort)  # type: ignore[arg-type]
        assert index in plan, plan
        assert "Seq Scan" not in plan

    async with api_rig(database, redis_client) as api:
        for path in ("?", "?search=5004242", "?search=carrier3&sort=-created", "?group=g7&sort=area&count=true",
                     "?state=idle&limit=50", "?state=disabled", "?sort=-carrier&after="):  # fmt: skip
            began_s = time.monotonic()
            async with api.ask("GET", f"/caller-ids{path}") as response:
                body = await response.read()
            took_s = time.monotonic() - began_s
            print(f"{path}: {took_s * 1000:.0f} ms, {len(body):,} bytes")

            assert response.status == 200
            assert len(body) < 200_000
            assert took_s < SOON_S
    assert (await caller_id_records(database, CallerIdFilter(), "number", START, 1))[0].number == "+12002000700"
