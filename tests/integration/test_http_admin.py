"""Everything of the contract that is not `/next-cid`, over a real server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ami_rotator.domain.types import State
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.deps import DashboardData, DialerHealth, Health, NewCallerId
from ami_rotator.http.openapi import document
from tests.support.http_rig import HEALTHY, TOKEN, Rig, rig

NUMBER = {"caller_id": "5551234567", "carrier": "Verizon", "area_code": "555", "daily_limit": 500, "hourly_limit": 50}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


async def add(at: Rig, body: Any, **options: Any) -> tuple[int, str]:
    options.setdefault("headers", at.admin)
    async with at.client.post(at.url + "/add-number", json=body, **options) as response:
        return response.status, await response.text()


async def test_add_number_answers_as_the_contract_says() -> None:
    async with rig() as at:
        expected = '{"status":"success","message":"Caller-ID 5551234567 added successfully","caller_id":"5551234567"}'
        assert (200, expected) == await add(at, {**NUMBER, "meta": {"state": "CA"}, "group": "east"})
        assert at.inventory.added == [
            NewCallerId(
                number="+15551234567",  # type: ignore[arg-type]
                carrier="Verizon",
                area="555",  # type: ignore[arg-type]
                group="east",  # type: ignore[arg-type]
                daily_limit=500,
                hourly_limit=50,
                meta={"state": "CA"},
            )
        ]


async def test_a_number_that_is_there_is_400() -> None:
    async with rig() as at:
        await add(at, NUMBER)
        expected = (400, '{"detail":"Caller-ID 5551234567 already exists"}')
        assert expected == await add(at, {"caller_id": "+1 (555) 123-4567"})


async def test_a_body_without_caller_id_is_422_as_fastapi_says_it() -> None:
    async with rig() as at:
        async with at.client.post(at.url + "/add-number", json={}, headers=at.admin) as response:
            detail = (await response.json())["detail"][0]

        assert response.status == 422
        assert detail["loc"] == ["body", "caller_id"]
        assert (detail["type"], detail["msg"], detail["input"]) == ("missing", "Field required", None)


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"[]", b'{"caller_id":5551234567}', b"\xff\xfe", b"[" * 5000])
async def test_a_body_that_is_no_object_of_text_is_422(body: bytes) -> None:
    async with rig() as at, at.client.post(at.url + "/add-number", data=body, headers=at.admin) as response:
        assert response.status == 422
        assert at.inventory.added == []


@pytest.mark.parametrize(
    "change",
    [
        {"caller_id": "5" * 21},
        {"area_code": "5555"},
        {"area_code": "abc"},
        {"carrier": "V" * 101},
        {"carrier": "a\nb"},
        {"daily_limit": -5},
        {"hourly_limit": -1},
        {"hourly_limit": 10**30},
        {"daily_limit": "many"},
        {"meta": [1]},
        {"meta": {"long": "x" * 5000}},
        {"group": "a b"},
    ],
)
async def test_what_does_not_fit_is_422_and_not_stored(change: dict[str, Any]) -> None:
    async with rig() as at:
        assert (await add(at, {**NUMBER, **change}))[0] == 422
        assert at.inventory.added == []


@pytest.mark.parametrize("caller_id", ["hello", "12345", "+1 (155) 123-4567", ""])
async def test_bug_15_what_is_no_number_is_422(caller_id: str) -> None:
    async with rig() as at:
        status, body = await add(at, {"caller_id": caller_id})

        assert status == 422
        assert '"loc":["body","caller_id"]' in body


async def test_bug_15_a_formatted_number_is_stored_as_the_number() -> None:
    async with rig() as at:
        await add(at, {"caller_id": "+1 (555) 123-4567"})
        assert [new.number for new in at.inventory.added] == ["+15551234567"]


async def test_bug_16_a_limit_of_0_is_0_and_none_is_the_default() -> None:
    async with rig() as at:
        await add(at, {"caller_id": "5551234567", "daily_limit": 0, "hourly_limit": 0})
        await add(at, {"caller_id": "5551234568"})
        await add(at, {"caller_id": "5551234569", "daily_limit": None})

        assert [(n.daily_limit, n.hourly_limit) for n in at.inventory.added] == [(0, 0), (None, None), (None, None)]


async def test_bug_17_a_database_that_is_away_is_told_without_internals() -> None:
    async with rig() as at:
        at.inventory.failure = LedgerUnavailableError("connect to postgresql://user:pass@10.0.0.5 failed")
        status, body = await add(at, NUMBER)

        assert status == 500
        assert body.startswith('{"detail":"Failed to add caller-ID: ')
        assert "10.0.0.5" not in body


async def test_a_large_body_is_refused() -> None:
    async with rig() as at:
        status, body = await add(at, {**NUMBER, "meta": {"x": "y" * 20_000}})

        assert (status, body) == (413, '{"detail":"Request Entity Too Large"}')


async def test_get_on_add_number_is_405() -> None:
    async with rig() as at, at.client.get(at.url + "/add-number") as response:
        assert (response.status, await response.text()) == (405, '{"detail":"Method Not Allowed"}')


ADMIN_ROUTES = [("POST", "/add-number"), ("GET", "/api/stats"), ("GET", "/dashboard"), ("GET", "/dashboard/live")]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({}, 403, "Not authenticated"),
        ({"Authorization": "Basic YTpi"}, 403, "Invalid authentication credentials"),
        ({"Authorization": "Bearer "}, 403, "Invalid authentication credentials"),
        ({"Authorization": "Bearer wrong"}, 401, "Invalid admin token"),
        ({"X-Admin-Token": "wrong"}, 401, "Invalid admin token"),
        ({"Authorization": "Bearer wr\u00f6ng"}, 401, "Invalid admin token"),
        ({"Cookie": "rotator_session=9999999999.x.0000"}, 403, "Not authenticated"),
    ],
)
async def test_nobody_gets_in_without_the_token(
    method: str, path: str, headers: dict[str, str], status: int, detail: str
) -> None:
    async with rig() as at, at.client.request(method, at.url + path, headers=headers) as response:
        assert (status, f'{{"detail":"{detail}"}}') == (response.status, await response.text())


async def test_the_x_admin_token_header_works_too() -> None:
    async with rig() as at:
        assert (await add(at, NUMBER, headers={"X-Admin-Token": TOKEN}))[0] == 200


async def test_stats_counts() -> None:
    async with rig() as at:
        states = {State.IDLE: 15, State.IN_USE: 3, State.WARM: 3, State.RESTING: 2, State.DISABLED: 1}
        at.state.data = DashboardData(HEALTHY, states=states, live=3)
        async with at.client.get(at.url + "/api/stats", headers=at.admin) as response:
            body = await response.json()

        assert response.status == 200
        assert TIMESTAMP.fullmatch(body.pop("timestamp"))
        assert body == {"total_caller_ids": 24, "active_caller_ids": 21, "active_reservations": 3}


async def test_stats_are_not_made_up_while_redis_is_away() -> None:
    async with rig() as at, at.client.get(at.url + "/api/stats", headers=at.admin) as response:
        assert response.status == 503


async def health(at: Rig) -> tuple[int, dict[str, Any]]:
    async with at.client.get(at.url + "/health") as response:
        return response.status, await response.json()


async def test_health_is_healthy_with_the_contracts_keys_first() -> None:
    async with rig() as at, at.client.get(at.url + "/health") as response:
        body = await response.text()

        assert response.status == 200
        assert re.match(r'\{"status":"healthy","redis":"ok","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}",', body)
        assert body.endswith('"postgresql":"ok","dialers":{"dialer1":"up"},"simulator":"off"}')


UP, DOWN = DialerHealth("a", "up"), DialerHealth("b", "down", "hook", "10.0.0.5 refused the login")


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        (Health(False, True, (UP,)), 503, "unhealthy"),
        (Health(True, True, (DOWN,)), 503, "unhealthy"),
        (Health(True, True, ()), 503, "unhealthy"),
        (Health(True, False, (UP,)), 200, "degraded"),
        (Health(True, True, (UP, DOWN)), 200, "degraded"),
        (Health(True, True, (UP,), "up"), 200, "healthy"),
    ],
)
async def test_bug_14_health_tells_the_truth(state: Health, code: int, status: str) -> None:
    async with rig() as at:
        at.state.health = state
        found, body = await health(at)

        assert (code, status) == (found, body["status"])
        assert ("ok" if state.redis_ok else "error: no answer") == body["redis"]
        assert "10.0.0.5" not in str(body)


async def test_livez_answers_whatever_else_is_down() -> None:
    async with rig() as at:
        at.state.health = Health(False, False)
        async with at.client.get(at.url + "/livez") as response:
            assert (response.status, await response.text()) == (200, '{"status":"alive"}')


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/static/", "/static/../templates/base.html", "/%2e%2e/x"])
async def test_what_is_not_there_is_404(path: str) -> None:
    async with rig() as at, at.client.get(at.url + path) as response:
        status, body = response.status, await response.text()

        assert status in ((403, 404) if path == "/static/" else (404,))
        assert body in ('{"detail":"Forbidden"}', '{"detail":"Not Found"}')


async def test_openapi_describes_every_route_of_the_contract() -> None:
    async with rig() as at, at.client.get(at.url + "/openapi.json") as response:
        body = await response.json()

        assert response.status == 200
        assert body == document()
        contract = {path for path in body["paths"] if not path.startswith("/api/v1")}
        assert contract == {"/next-cid", "/add-number", "/api/stats", "/health", "/livez"}
        wanted = [p["name"] for p in body["paths"]["/next-cid"]["get"]["parameters"] if p["required"]]
        assert wanted == ["to", "campaign", "agent"]


async def test_every_answer_has_the_security_headers() -> None:
    async with rig() as at:
        for path in ("/health", "/nowhere", "/next-cid", "/sign-in"):
            async with at.client.get(at.url + path) as response:
                headers = response.headers
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["X-Frame-Options"] == "DENY"
                assert headers["Server"] == "ami_rotator"
                assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
                assert "Access-Control-Allow-Origin" not in headers
