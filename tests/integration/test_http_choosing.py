"""`/api/explain`, `/api/observed` and `/callback`, on a real pool and a real ledger."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import E164, Assignment, CallKey, CallRequest, Campaign, Dialer, End
from ami_rotator.ledger.callbacks import find_callback, observed
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import LedgerOutbox
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.redis_pool import RedisPool
from tests.support.http_rig import Rig, rig
from tests.support.pool_setup import caller_id, make_pool

PERSON, SALES = E164("+12125550199"), Campaign("SALES")


@pytest.fixture
async def pool(redis_client: Redis) -> RedisPool:
    return await make_pool(redis_client, [caller_id(n, daily=1) for n in range(2)])


@pytest.fixture
async def assigner(pool: RedisPool) -> Assigner:
    assigner = Assigner(pool, "US", ["9"])
    assigner.policies = {SALES: CampaignPolicy(SALES)}
    return assigner


@pytest.fixture
async def server(assigner: Assigner, database: Database) -> AsyncIterator[Rig]:
    changes = {
        "explain": assigner.explain,
        "callback": partial(find_callback, database),
        "observed": partial(observed, database),
    }
    async with rig(changes=changes) as running:
        yield running


async def call(
    assigner: Assigner, pool: RedisPool, serial: int, *, shown: str = "", lead: str = "77", to: str = PERSON
) -> str:
    """Place a call, show a number, and end it; return the number assigned."""
    key = CallKey(Dialer("dialer1"), f"V{serial:019d}")
    found = await assigner.assign(CallRequest(key, to, SALES, "ami", "6666", lead))
    assert isinstance(found, Assignment), found
    await pool.confirm(key, shown or found.caller_id, f"17.{serial}")
    await pool.release(key, End("answered"))
    return found.caller_id


async def test_explain_tells_the_choice_and_what_was_passed_over_and_gives_nothing(
    server: Rig, assigner: Assigner, pool: RedisPool
) -> None:
    first = await call(assigner, pool, 1)
    query = {"to": "92125550199", "campaign": "SALES"}

    async with server.client.get(f"{server.url}/api/explain", params=query, headers=server.admin) as response:
        told = await response.json()
    second = await call(assigner, pool, 2)
    async with server.client.get(f"{server.url}/api/explain", params=query, headers=server.admin) as response:
        then = await response.json()

    assert (told["destination"], told["caller_id"], told["rung"], told["how"]) == (PERSON, second, "area", "free")
    assert told["steps"][0]["counts"] == {"idle": 1, "waiting": 1}
    assert [(one["number"], one["why"]) for one in told["steps"][0]["passed"]] == [(first, "daily_cap")]
    assert (then["caller_id"], then["reason"]) == (None, "none_free")
    assert [step["rung"] for step in then["steps"]] == ["area", "any"]


async def test_explain_is_for_those_who_may_look(server: Rig) -> None:
    async with server.client.get(f"{server.url}/api/explain?to=2125550199&campaign=SALES") as response:
        assert response.status == 403
    async with server.client.get(f"{server.url}/api/explain?to=2125550199", headers=server.admin) as response:
        assert response.status == 422


async def test_callback_tells_who_called_the_person_that_calls_back(
    server: Rig, assigner: Assigner, pool: RedisPool, redis_client: Redis, database: Database
) -> None:
    first = await call(assigner, pool, 1, lead="1")
    second = await call(assigner, pool, 2, lead="2")
    assert await LedgerOutbox(redis_client, database, pool.tag.strip("{}"), "one").drain()

    async def ask(did: str, caller: str, form: str = "json") -> tuple[int, object]:
        query = {"did": did, "from": caller, "format": form}
        async with server.client.get(f"{server.url}/callback", params=query) as response:
            return response.status, await response.json() if form == "json" else await response.text()

    status, exact = await ask(first[2:], "2125550199")
    assert isinstance(exact, dict)
    assert (status, exact["match"], exact["campaign"], exact["lead_id"], exact["agent"]) == (
        200,
        "exact",
        "SALES",
        "1",
        "6666",
    )
    assert await ask(second, "12125550199", "plain") == (200, "SALES:2:6666:exact")
    assert await ask("3125550000", "2125550199", "plain") == (200, "SALES:2:6666:person")
    assert await ask(first, "anonymous", "plain") == (200, "SALES:::number")
    assert await ask("3125550000", "3055550000", "plain") == (200, "")
    assert (await ask("3125550000", "3055550000"))[0] == 404


async def test_callback_does_not_take_a_number_for_shown_that_another_replaced(
    server: Rig, assigner: Assigner, pool: RedisPool, redis_client: Redis, database: Database
) -> None:
    number = await call(assigner, pool, 1, shown="+13125550000")
    assert await LedgerOutbox(redis_client, database, pool.tag.strip("{}"), "one").drain()

    found = await find_callback(database, E164(number), PERSON)

    assert found is not None
    assert found.match == "number"


async def test_callback_answers_only_those_who_may_ask(pool: RedisPool) -> None:
    async with (
        rig(next_cid_networks="10.0.0.0/8") as running,
        running.client.get(f"{running.url}/callback?did=2125550100") as response,
    ):
        assert response.status == 403


async def test_observe_mode_reports_what_would_have_been_shown_against_what_was(
    server: Rig, assigner: Assigner, pool: RedisPool, redis_client: Redis, database: Database
) -> None:
    await pool.put([replace(caller_id(n), daily_limit=100) for n in range(2)], 2)
    for serial in range(1, 5):
        await call(assigner, pool, serial, shown="+13125550000" if serial > 1 else "", to=f"+1212555019{serial}")
    assert await LedgerOutbox(redis_client, database, pool.tag.strip("{}"), "one").drain()

    async with server.client.get(f"{server.url}/api/observed?hours=1", headers=server.admin) as response:
        [row] = (await response.json())["campaigns"]

    assert (row["campaign"], row["calls"], row["as_assigned"], row["otherwise"]) == ("SALES", 4, 1, 3)
    assert (row["assigned_local"], row["presented_local"]) == (4, 1)


async def test_every_row_of_the_ledger_says_its_rung_and_why(
    assigner: Assigner, pool: RedisPool, redis_client: Redis, database: Database
) -> None:
    assigner.policies = {SALES: CampaignPolicy(SALES, sticky_days=3, distinct_max=1, distinct_days=3)}
    await pool.put([replace(caller_id(n), daily_limit=100) for n in range(2)], 2)
    for serial in (1, 2):
        await call(assigner, pool, serial)
    held = CallRequest(CallKey(Dialer("dialer1"), f"V{8:019d}"), PERSON, SALES, "ami", "", "77")
    await assigner.assign(held)
    nothing = await assigner.assign(replace(held, key=CallKey(Dialer("dialer1"), f"V{9:019d}")))
    outbox = LedgerOutbox(redis_client, database, pool.tag.strip("{}"), uuid.uuid4().hex)
    assert await outbox.drain()

    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT rung, why, miss_reason::text AS miss FROM calls ORDER BY code, assigned_at"
        )
    assert outbox.set_aside == 0
    assert [tuple(row) for row in rows] == [
        ("area", "free", None),
        ("area", "sticky", None),
        ("area", "sticky", None),
        (None, "distinct", "none_free"),
    ]
    assert not isinstance(nothing, Assignment)
