"""At 100,000 caller-IDs: lists are read through an index, and no page is large. `make bench PART=pages` has the times."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import pytest
from aiohttp import web
from redis.asyncio import Redis

from ami_rotator.domain.types import Area, Group
from ami_rotator.ledger.caller_id_list import CallerIdFilter, Sort, caller_id_records, cursor_after, page_selection
from ami_rotator.ledger.database import Connection, Database
from tests.support.pages_rig import pages_rig
from tests.support.pool_setup import caller_id

COUNT = 100_000
MOST_BYTES = 200_000
# What counts everything has to look at everything; these stay a sum over one table.
COUNTS_ALL = ("caller_id_facets", "count_caller_ids", "supply_by_area")
NO_PAGES = ("/api/", "/static", "/export", "/live", "/metrics", "/next-cid", "/callback", "/openapi", "/sign-in/")
PLACES = {
    "code": "none",
    "number": "12009000000",
    "name": "SALES",
    "reservation": "0190c7a2-0000-7000-8000-000000000001",
}
POLICY = {"groups": "g7, g8", "rung_area": "1", "rung_state": "2", "rung_any": "3", "to": "2125550199"}

FILL = (
    "SET session_replication_role = replica",  # the audit of 100,000 additions would take most of the time
    "INSERT INTO groups (name) SELECT 'g' || i FROM generate_series(0, 19) AS i",
    f"""
    INSERT INTO caller_ids (caller_id, area, group_name, carrier, switch)
    SELECT '+1' || (200 + i % 700) || (9000000 + i), (200 + i % 700)::text, 'g' || i % 20, 'carrier' || i % 7,
        (CASE WHEN i % 500 = 499 THEN 'disabled' ELSE 'active' END)::caller_id_switch
    FROM generate_series(0, {COUNT - 1}) AS i
    """,
    """
    INSERT INTO calls (reservation_id, assigned_at, caller_id, campaign, destination, dialer, code, source, rung,
        group_name, area, presented, presented_matches, outcome, talk_ms)
    SELECT CASE WHEN i = 1 THEN '0190c7a2-0000-7000-8000-000000000001'::uuid ELSE gen_random_uuid() END,
        now() - i * interval '20 s', '+12009000000', 'SALES', '+1' || (200 + i % 700) || '5550199', 'dialer1', 'V' || i,
        'ami', 'area', 'g0', '200', '2009000000', true, 'answered', 61000
    FROM generate_series(1, 20000) AS i
    """,
    "VACUUM ANALYZE caller_ids",
    "VACUUM ANALYZE calls",
    "RESET session_replication_role",
)


@pytest.fixture
async def full(database: Database) -> Database:
    """A database with 100,000 caller-IDs in 20 groups and 700 areas, and 20,000 calls."""
    async with database.connection() as connection:
        for statement in FILL:
            await connection.execute(statement, timeout=120)
    return database


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[object, ...]]]:
    """Collect the statements that the program runs, each with one set of its arguments."""
    seen: dict[str, tuple[object, ...]] = {}
    lend = Database.connection

    def note(record: asyncpg.connection.LoggedQuery) -> None:
        if record.query.lstrip("- \n").upper().startswith(("SELECT", "WITH", "(SELECT")):
            seen[record.query] = tuple(record.args or ())

    @asynccontextmanager
    async def watched(self: Database) -> AsyncIterator[Connection]:
        async with lend(self) as connection:
            with connection.query_logger(note):
                yield connection

    with monkeypatch.context() as patched:
        patched.setattr(Database, "connection", watched)
        yield seen


async def plan_of(database: Database, statement: str, arguments: tuple[object, ...]) -> str:
    async with database.connection() as connection:
        return "\n".join(row[0] for row in await connection.fetch("EXPLAIN " + statement, *arguments))


async def all_scanned(database: Database, seen: dict[str, tuple[object, ...]]) -> list[str]:
    """Return the statements that read the whole inventory or the whole ledger, but for those that count everything."""
    counting = tuple(database.query(name).rstrip(" ;\n") for name in COUNTS_ALL)
    found = []
    for statement, arguments in seen.items():
        plan = await plan_of(database, statement, arguments)
        if not statement.startswith(counting) and re.search(r"Seq Scan on (caller_ids|calls_y)", plan):
            found.append(f"{statement}\n{plan}")
    return found


def pages(app: web.Application) -> list[str]:
    """Return the address of every page, by the server's own table."""
    addresses = {
        re.sub(r"\{(\w+)[^}]*\}", lambda part: PLACES[part[1]], route.resource.canonical)
        for route in app.router.routes()
        if route.method == "GET" and route.resource is not None
    }
    return sorted(path for path in addresses if not any(part in path for part in NO_PAGES))


async def list_plans(database: Database) -> list[str]:
    """Return the plans of pages far into the list that do not use the index they should."""
    found = []
    wanted: CallerIdFilter
    sort: Sort
    for wanted, sort, index in (
        (CallerIdFilter(), "number", "caller_ids_pkey"),
        (CallerIdFilter(), "-area", "caller_ids_by_area"),
        (CallerIdFilter(), "group", "caller_ids_by_group"),
        (CallerIdFilter(), "carrier", "caller_ids_by_carrier"),
        (CallerIdFilter(), "-created", "caller_ids_by_creation"),
        (CallerIdFilter(area=Area("212")), "number", "caller_ids_by_area"),
        (CallerIdFilter(group=Group("g7")), "number", "caller_ids_by_group"),
        (CallerIdFilter(switch="disabled"), "number", "caller_ids_switched_off"),
    ):
        first = await caller_id_records(database, wanted, sort, limit=50)
        select, order = page_selection(database, wanted, sort, cursor_after(first[-1]))
        plan = await plan_of(database, select.page(order, 51), tuple(select.arguments))
        if index not in plan or "Seq Scan" in plan:
            found.append(f"{index}: {plan}")
    return found


@pytest.mark.thorough
@pytest.mark.timeout(240)
async def test_every_page_is_small_and_finds_what_it_shows_through_an_index(
    full: Database, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pages_rig(full, redis_client) as at:
        await at.sign_in()
        await at.bench.pool.put([caller_id(n, group="g7") for n in range(100)], await at.bench.pool.new_generation())
        sizes = {}
        with statements(monkeypatch) as seen:
            for path in (
                *pages(at.app),
                "/caller-ids?sort=-carrier&group=g7",
                "/caller-ids?sort=created&state=disabled",
                "/caller-ids?state=idle",
                "/calls?campaign=SALES&days=1",
                "/calls?destination=2125550199",
                "/calls?caller_id=2009000000",
                "/api/v1/caller-ids?group=g7&sort=area&count=true&limit=200",
                "/api/v1/calls?limit=200",
            ):
                if path not in ("/", "/health", "/livez"):
                    sizes[path] = len((await at.page(path)).encode())
            for path, form in (("/campaigns/SALES/preview", POLICY), ("/campaigns/SALES", POLICY)):
                sizes[f"POST {path}"] = len((await at.post(path, form))[1].encode())

        assert {path: size for path, size in sizes.items() if size >= MOST_BYTES} == {}
        assert len(sizes) >= 20
        assert len(seen) > 15
        assert await all_scanned(full, seen) == []
        assert await list_plans(full) == []
