"""The JSON API over a real server and real stores: what it does, what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import Assignment, Miss
from ami_rotator.http.api.problems import CODES
from ami_rotator.http.api.routes import ENDPOINTS
from ami_rotator.http.limits import MinuteLimits
from ami_rotator.ledger.database import Database
from tests.support.api_rig import ApiRig, api_rig
from tests.support.http_rig import rig
from tests.support.pool_setup import assign, call

NUMBER = {"number": "(212) 555-0142", "carrier": "Acme", "daily_limit": 50}


@pytest.fixture
async def api(database: Database, redis_client: Redis) -> AsyncIterator[ApiRig]:
    async with api_rig(database, redis_client) as running:
        yield running


async def test_a_caller_id_is_added_found_changed_and_removed(api: ApiRig) -> None:
    status, added = await api.json("POST", "/caller-ids", json=NUMBER)
    assert (status, added["number"], added["area"], added["now"]["state"]) == (201, "+12125550142", "212", "idle")

    _, page = await api.json("GET", "/caller-ids?search=0142&count=true")
    assert ([item["number"] for item in page["items"]], page["next"], page["total"]) == (["+12125550142"], "", 1)

    status, changed = await api.json(
        "PATCH", "/caller-ids/2125550142", json={"switch": "disabled", "daily_limit": None}
    )
    assert (status, changed["switch"], changed["daily_limit"], changed["now"]["state"]) == (
        200,
        "disabled",
        None,
        "disabled",
    )

    assert (await api.json("DELETE", "/caller-ids/+12125550142"))[0] == 204
    status, problem = await api.json("GET", "/caller-ids/2125550142")
    assert (status, problem["code"]) == (404, "not_found")


async def test_pages_follow_each_other(api: ApiRig) -> None:
    for index in range(7):
        await api.json("POST", "/caller-ids", json={"number": f"212555010{index}"})
    found: list[str] = []
    after = ""
    for _ in range(4):
        _, page = await api.json("GET", f"/caller-ids?limit=2&sort=-number&after={after}")
        found += [item["number"] for item in page["items"]]
        after = page["next"]

    assert after == ""
    assert found == sorted(found, reverse=True)
    assert len(found) == 7


async def test_many_are_switched_edited_and_removed(api: ApiRig) -> None:
    for index in range(3):
        await api.json("POST", "/caller-ids", json={"number": f"212555010{index}"})

    body = {"numbers": ["2125550100", "2125550999"], "to": {"switch": "resting", "resting_until_ms": 4_000_000_000_000}}
    assert await api.json("POST", "/caller-ids/switch", json=body) == (
        200, {"done": 1, "missing": ["+12125550999"], "in_pool": True},
    )  # fmt: skip
    body = {"matching": {"area": "212"}, "to": {"group": "west", "hourly_limit": 5}}
    assert (await api.json("POST", "/caller-ids/edit", json=body))[1]["done"] == 3
    _, groups = await api.json("GET", "/groups")
    assert {group["name"]: group["caller_ids"] for group in groups["items"]} == {"default": 0, "west": 3}
    assert (await api.json("POST", "/caller-ids/remove", json={"numbers": ["2125550100"]}))[1]["done"] == 1
    _, facets = await api.json("GET", "/caller-ids/facets")
    assert facets["group"] == {"west": 2}


async def test_a_csv_file_is_looked_at_then_imported_then_exported(api: ApiRig) -> None:
    csv = "caller_id,carrier\n2125550001,Acme\nhello,Acme\n"

    status, dry = await api.json("POST", "/caller-ids/import?dry_run=true", data=csv)
    assert (status, dry["added"], dry["errors"], dry["problems"][0]["line"]) == (200, 1, 1, 3)
    _, done = await api.json("POST", "/caller-ids/import", data=csv)
    assert (done["added"], done["dry_run"]) == (1, False)
    async with api.ask("GET", "/caller-ids/export") as response:
        text = await response.text()
        assert response.content_type == "text/csv"
    assert text.splitlines()[1].startswith("2125550001,Acme,212,")
    status, problem = await api.json("POST", "/caller-ids/import", data="a,b\n1,2\n")
    assert (status, problem["code"]) == (422, "invalid")
    assert "no column caller_id" in problem["detail"]
    assert "/tmp" not in problem["detail"]


async def test_a_policy_is_put_patched_and_refused_field_by_field(api: ApiRig) -> None:
    status, saved = await api.json("PUT", "/campaigns/SALES", json={"groups": ["default"], "weight": 2})
    assert (status, saved) == (200, {"warnings": ["Group default has no caller-IDs yet; import some into it, or check its name."], "in_pool": True})  # fmt: skip  # noqa: E501
    await api.json("PATCH", "/campaigns/SALES", json={"sticky_days": 7})
    _, found = await api.json("GET", "/campaigns/SALES")
    assert (found["name"], found["weight"], found["sticky_days"]) == ("SALES", 2, 7)

    status, problem = await api.json("PATCH", "/campaigns/SALES", json={"weight": 0, "timezone": "Mars"})
    assert (status, problem["code"], [item["field"] for item in problem["errors"]]) == (422, "invalid", ["weight", "timezone"])  # fmt: skip  # noqa: E501
    assert (await api.json("PUT", "/groups/west", json={"max_concurrent": 2}))[0] == 200
    assert (await api.json("GET", "/groups/west"))[1]["max_concurrent"] == 2
    assert (await api.json("DELETE", "/campaigns/SALES"))[0] == 204
    assert (await api.json("DELETE", "/campaigns/SALES"))[0] == 404


async def test_opt_outs_are_added_listed_and_removed_by_operators_and_calls_to_them_get_nothing(api: ApiRig) -> None:
    await api.json("POST", "/caller-ids", json={"number": "2125550100"})
    operator, viewer = await api.user("operator"), await api.user("viewer")
    numbers = ["(305) 555-0199", "2125550111", "+442071234567"]

    status, added = await api.json("POST", "/opt-outs", json={"numbers": numbers, "note": "asked"}, headers=operator)
    assert (status, added) == (200, {"done": 3, "unchanged": 0, "in_pool": True})
    miss = await assign(api.bench.pool, call(1))
    assert isinstance(miss, Miss)
    assert miss.reason == "opted_out"
    _, again = await api.json("POST", "/opt-outs", json={"numbers": numbers[:1], "campaign": "SALES"}, headers=operator)
    assert again["done"] == 1

    _, first = await api.json("GET", "/opt-outs?limit=2", headers=operator)
    _, second = await api.json("GET", f"/opt-outs?limit=2&after={first['next']}", headers=operator)
    found = [(item["destination"], item["campaign"], item["note"]) for item in (*first["items"], *second["items"])]
    assert found == [
        ("+12125550111", "", "asked"), ("+13055550199", "", "asked"), ("+13055550199", "SALES", ""),
        ("+442071234567", "", "asked"),
    ]  # fmt: skip
    assert second["next"] == ""
    _, some = await api.json("GET", "/opt-outs?number=305", headers=operator)
    assert [item["campaign"] for item in some["items"]] == ["", "SALES"]

    body = {"numbers": ["3055550199", "2125550999"]}
    assert (await api.json("POST", "/opt-outs/remove", json=body, headers=operator))[1] == {
        "done": 1, "unchanged": 1, "in_pool": True,
    }  # fmt: skip
    status, problem = await api.json("POST", "/opt-outs", json={"numbers": ["2125550100", "hello"]}, headers=operator)
    assert (status, problem["errors"][0]["field"]) == (422, "numbers")
    for method, path in (("GET", "/opt-outs"), ("POST", "/opt-outs"), ("POST", "/opt-outs/remove")):
        assert (await api.json(method, path, json=body, headers=viewer))[0] == 403
    _, audit = await api.json("GET", "/audit?kind=opt_out&limit=100")
    assert sorted((item["actor"], item["action"]) for item in audit["items"]) == [("operator", "added")] * 4 + [
        ("operator", "removed")
    ]


async def test_reservations_are_listed_and_ended(api: ApiRig) -> None:
    await api.json("POST", "/caller-ids", json=NUMBER)
    given = await assign(api.bench.pool, call(1))
    assert isinstance(given, Assignment)

    _, page = await api.json("GET", "/reservations")
    assert [item["id"] for item in page["items"]] == [given.reservation]
    assert (await api.json("DELETE", f"/reservations/{given.reservation}"))[0] == 204
    assert (await api.json("GET", "/reservations"))[1]["items"] == []
    assert (await api.json("DELETE", f"/reservations/{given.reservation}"))[0] == 404


async def store_calls(database: Database, count: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO calls (reservation_id, assigned_at, caller_id, campaign, destination, dialled, code, source,"
            " outcome) SELECT gen_random_uuid(), now() - make_interval(secs => i / 2), '+12125550142', 'C' || i % 2,"
            " '+13055550199', '913055550199', 'V' || i, 'ami', 'answered' FROM generate_series(1, $1) AS i",
            count,
        )


async def test_the_ledger_is_filtered_and_paged_and_viewers_see_no_whole_destination(
    api: ApiRig, database: Database
) -> None:
    await store_calls(database, 25)

    codes: list[str] = []
    after = ""
    while True:
        _, page = await api.json("GET", f"/calls?campaign=C1&limit=5&after={after}")
        codes += [item["code"] for item in page["items"]]
        after = page["next"]
        if not after:
            break
    assert sorted(codes) == sorted(f"V{index}" for index in range(1, 26) if index % 2)
    assert (await api.json("GET", "/calls?code=V7"))[1]["items"][0]["destination"] == "+13055550199"
    assert len((await api.json("GET", "/calls?destination=3055550199&outcome=answered"))[1]["items"]) == 25
    viewer = await api.user("viewer")
    _, seen = await api.json("GET", "/calls?code=V7", headers=viewer)
    assert (seen["items"][0]["destination"], seen["items"][0]["dialled"]) == ("+1305555****", "91305555****")


async def test_stats_dialers_and_jobs(api: ApiRig) -> None:
    status, stats = await api.json("GET", "/stats")
    assert (status, stats["status"], stats["live"]) == (200, "healthy", 0)
    assert (await api.json("GET", "/dialers"))[1]["items"][0]["name"] == "dialer1"
    assert (await api.json("GET", "/jobs"))[1] == {"items": [], "next": ""}
    assert (await api.json("POST", "/jobs/none/run"))[0] == 404


async def test_usage_coverage_and_a_policy_that_is_tried(api: ApiRig, database: Database) -> None:
    await api.json("POST", "/caller-ids", json={"number": "2125550100", "group": "west"})
    async with database.connection() as connection:
        for table, value in (("usage_hourly", "date_trunc('hour', now())"), ("usage_daily", "now()")):
            await connection.execute(
                f"INSERT INTO {table} VALUES ({value}, '+12125550100', 'SALES', 40, 0, 40, 0, 36, 9, 0, 0, 0, 0, 0, 0, 0, 0)"
            )
    _, used = await api.json("GET", "/caller-ids/2125550100/usage")
    _, covered = await api.json("GET", "/coverage")
    policy = {"groups": ["west"], "rungs": ["state"]}
    status, tried = await api.json("POST", "/campaigns/SALES/preview?to=6465550199", json=policy)
    _, missed = await api.json("POST", "/campaigns/SALES/preview?to=6465550199", json={"groups": ["none"]})

    assert ([hour["calls"] for hour in used["hours"]], [day["answered"] for day in used["days"]]) == ([40], [9])
    assert covered["supply"] == [{"group": "west", "area": "212", "caller_ids": 1, "uses": 1000}]
    assert (status, tried["caller_id"], tried["rung"], tried["new_rungs"]) == (200, "+12125550100", "state", ["state"])
    assert (missed["caller_id"], missed["reason"]) == (None, "none_free")
    assert (await api.json("GET", "/campaigns/SALES"))[0] == 404


WRONG: list[tuple[str, str, Any, int, str, str | None]] = [
    ("GET", "/caller-ids?limit=0", None, 422, "invalid", "limit"),
    ("GET", "/caller-ids?colour=red", None, 422, "invalid", "colour"),
    ("GET", "/caller-ids?after=nonsense", None, 422, "invalid", "after"),
    ("GET", "/caller-ids?search=%00", None, 422, "invalid", "search"),
    ("GET", "/calls?since_ms=99999999999999999", None, 422, "invalid", "since_ms"),
    ("GET", "/calls?after=1.zz", None, 422, "invalid", "after"),
    ("GET", "/audit?after=-1", None, 422, "invalid", "after"),
    ("GET", "/caller-ids/hello", None, 422, "invalid", "number"),
    ("GET", "/campaigns/%00", None, 404, "not_found", None),
    ("GET", "/nowhere", None, 404, "not_found", None),
    ("PUT", "/caller-ids", None, 405, "method_not_allowed", None),
    ("POST", "/caller-ids", b"{", 422, "invalid", None),
    ("POST", "/caller-ids", b"[]", 422, "invalid", "body"),
    ("POST", "/caller-ids", {"number": "hello"}, 422, "invalid", "number"),
    ("POST", "/caller-ids/edit", {"to": {"daily_limit": 1}}, 422, "invalid", "body"),
    ("POST", "/caller-ids/edit", {"numbers": ["2125550100"], "to": {}}, 422, "invalid", "to"),
    ("POST", "/caller-ids/edit", {"numbers": ["2125550100"], "to": {"group": None}}, 422, "invalid", "to"),
    ("POST", "/users", {"name": "A b", "role": "viewer"}, 422, "invalid", "name"),
    ("POST", "/users", {"name": "bob", "role": "viewer", "password": "short"}, 422, "invalid", "password"),
    ("POST", "/sign-out", None, 400, "refused", None),
]


async def test_what_is_wrong_is_said_as_a_problem_with_a_stable_code(api: ApiRig) -> None:
    for method, path, body, status, code, field in WRONG:
        options = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        async with api.ask(method, path, **options) as response:
            problem = orjson.loads(await response.read())

            expected = (status, code, status, "application/problem+json", CODES[code][1], field)
            fields = [item["field"] for item in problem.get("errors", [])] or [None]
            found = (
                response.status,
                problem["code"],
                problem["status"],
                response.content_type,
                problem["title"],
                fields[0],
            )
            assert found == expected, (path, problem)
            assert problem["detail"]


async def test_a_body_that_is_too_large_is_413(api: ApiRig) -> None:
    body = {"numbers": ["2125550100"], "to": {"carrier": "x" * 4_200_000}}
    status, problem = await api.json("POST", "/caller-ids/edit", json=body)

    assert (status, problem["code"]) == (413, "too_large")


async def test_a_change_that_is_sent_twice_is_made_once(api: ApiRig) -> None:
    headers = {**api.admin, "Idempotency-Key": str(uuid.uuid4())}

    first = await api.json("POST", "/caller-ids", json=NUMBER, headers=headers)
    async with api.ask("POST", "/caller-ids", json=NUMBER, headers=headers) as response:
        second = response.status, await response.json()
        assert response.headers["Idempotency-Replayed"] == "true"
    without = await api.json("POST", "/caller-ids", json=NUMBER)
    other = await api.json("POST", "/caller-ids", json={"number": "2125550199"}, headers=headers)

    assert first[0] == 201
    assert second == first
    assert (without[0], without[1]["code"]) == (409, "exists")
    assert (other[0], other[1]["code"]) == (422, "key_reused")


async def test_of_many_at_once_with_one_key_one_is_done(api: ApiRig) -> None:
    headers = {**api.admin, "Idempotency-Key": "a-key"}

    answers = await asyncio.gather(*(api.json("POST", "/caller-ids", json=NUMBER, headers=headers) for _ in range(8)))

    statuses = {(status, body.get("code")) for status, body in answers}
    assert (201, None) in statuses
    assert statuses <= {(201, None), (409, "under_way")}


async def test_a_refusal_is_repeated_and_a_key_of_somebody_else_is_their_own(api: ApiRig) -> None:
    headers = {"Idempotency-Key": "a-key"}
    operator = await api.user("operator")
    body = {"numbers": ["hello"], "to": {"switch": "active"}}

    first = await api.json("POST", "/caller-ids/switch", json=body, headers={**api.admin, **headers})
    second = await api.json("POST", "/caller-ids/switch", json=body, headers={**api.admin, **headers})
    of_another = await api.json(
        "POST", "/caller-ids/switch", json={**body, "numbers": ["2125550100"]}, headers={**operator, **headers}
    )

    assert (first[0], second) == (422, first)
    assert of_another[0] == 200


async def test_a_made_up_password_is_not_kept_for_a_repetition(api: ApiRig, database: Database) -> None:
    headers = {**api.admin, "Idempotency-Key": "a-key"}
    body = {"name": "bob", "role": "viewer"}

    _, first = await api.json("POST", "/users", json=body, headers=headers)
    _, second = await api.json("POST", "/users", json=body, headers=headers)

    assert len(first["password"]) >= 20
    assert second == {"name": "bob", "password": None}


@pytest.mark.parametrize("key", ["", "a b", "x" * 201])
async def test_a_key_that_is_none_is_refused(api: ApiRig, key: str) -> None:
    headers = {**api.admin, "Idempotency-Key": key}
    assert (await api.json("POST", "/caller-ids", json=NUMBER, headers=headers))[0] == 422


async def test_without_stores_the_api_says_what_is_away_and_names_no_internals() -> None:
    async with rig() as at:
        for path, code in (("/api/v1/caller-ids", "ledger_away"), ("/api/v1/reservations", "redis_away")):
            async with at.client.get(at.url + path, headers=at.admin) as response:
                problem = await response.json(content_type=None)
                assert (response.status, problem["code"], response.headers["Retry-After"]) == (503, code, "5")
                assert "127.0.0.1" not in str(problem)


async def test_requests_of_a_user_are_limited_each_on_their_own(database: Database, redis_client: Redis) -> None:
    async with api_rig(database, redis_client, changes={"allow": _two_a_minute()}) as api:
        viewer = await api.user("viewer")
        statuses = [(await api.json("GET", "/me"))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await api.json("GET", "/me", headers=viewer))[0] == 200


def _two_a_minute() -> Any:
    return MinuteLimits(SystemClock(), {"user": 2})


async def test_every_error_code_is_described_and_every_path_is_one_word_a_part() -> None:
    for endpoint in ENDPOINTS:
        assert set(endpoint.errors) <= set(CODES)
        assert re.fullmatch(r"(/[a-z-]+|/\{[a-z]+\})+", endpoint.path)
        assert (endpoint.status == 204) == (endpoint.answer is None and endpoint.media == "application/json")


async def test_the_page_of_the_api_names_every_endpoint() -> None:
    async with rig() as at, at.client.get(at.url + "/api/v1/docs") as response:
        text = await response.text()

        assert response.status == 200
        for endpoint in ENDPOINTS:
            assert f"<code><b>{endpoint.method}</b> /api/v1{endpoint.path}</code>" in text
