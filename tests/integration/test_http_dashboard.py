"""The dashboard over a real server: signing in, the page, the live stream."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar

from ami_rotator.http import live
from ami_rotator.http.auth import COOKIE
from ami_rotator.http.deps import DashboardData, Health
from ami_rotator.http.live import BROADCASTER
from tests.support.dashboard_sample import sample
from tests.support.http_rig import TOKEN, Rig, rig

HTML = {"Accept": "text/html,application/xhtml+xml"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def sign_in(at: Rig, client: ClientSession, token: str = TOKEN, **headers: str) -> ClientResponse:
    given = {"Origin": at.url, **headers}
    return await client.post(at.url + "/sign-in", data={"token": token}, headers=given, allow_redirects=False)


def browser() -> ClientSession:
    return ClientSession(cookie_jar=CookieJar(unsafe=True), headers=HTML)


async def test_bug_12_a_browser_is_sent_to_the_form_and_gets_in_with_the_token() -> None:
    async with rig() as at, browser() as client:
        async with client.get(at.url + "/", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/dashboard")
        async with client.get(at.url + "/dashboard") as response:
            assert (response.status, response.url.path) == (200, "/sign-in")
        response = await sign_in(at, client)
        assert (response.status, response.headers["Location"]) == (303, "/dashboard")
        async with client.get(at.url + "/dashboard") as response:
            assert (response.status, response.url.path) == (200, "/dashboard")
            assert "<h1>Now</h1>" in await response.text()


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    async with rig() as at, browser() as client:
        cookie = (await sign_in(at, client)).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie
        behind_proxy = (await sign_in(at, client, **{"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]
        assert "Secure" in behind_proxy


async def test_a_wrong_token_is_401_and_says_where_the_right_one_is() -> None:
    async with rig() as at, browser() as client:
        response = await sign_in(at, client, "wrong")

        assert response.status == 401
        assert "ADMIN_TOKEN" in await response.text()
        assert "Set-Cookie" not in response.headers


async def test_guessing_is_throttled() -> None:
    async with rig() as at, browser() as client:
        statuses = [(await sign_in(at, client, f"guess{i}")).status for i in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        assert (await sign_in(at, client)).status == 429


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_form_from_another_site_is_refused(path: str, headers: dict[str, str]) -> None:
    async with rig() as at, at.client.post(at.url + path, data={"token": TOKEN}, headers=headers) as response:
        assert response.status == 403


async def test_a_cookie_from_another_site_adds_no_number() -> None:
    async with rig() as at, browser() as client:
        await sign_in(at, client)
        body = {"caller_id": "5551234567"}
        evil = {"Origin": "https://evil.example"}
        async with client.post(at.url + "/add-number", json=body, headers=evil) as response:
            assert response.status == 403
        async with client.post(at.url + "/add-number", json=body, headers={"Origin": at.url}) as response:
            assert response.status == 200


async def test_signing_out_ends_the_session_also_for_a_copied_cookie() -> None:
    async with rig() as at, browser() as client:
        await sign_in(at, client)
        copied = {"Cookie": f"{COOKIE}={next(c.value for c in client.cookie_jar if c.key == COOKIE)}"}
        async with at.client.get(at.url + "/dashboard", headers=copied) as response:
            assert response.status == 200
        async with client.post(at.url + "/sign-out", headers={"Origin": at.url}) as response:
            assert response.url.path == "/sign-in"
        async with at.client.get(at.url + "/dashboard", headers=copied) as response:
            assert response.status == 403


async def page(at: Rig) -> str:
    async with at.client.get(at.url + "/dashboard", headers=at.admin) as response:
        assert response.status == 200
        return await response.text()


async def test_bug_11_the_page_has_everything_after_many_calls() -> None:
    async with rig() as at:
        at.state.data = data = sample(now_ms())
        text = await page(at)

        for expected in ("312", "6,334", "dialer3", "Login refused", "No caller-ID was free", "SURVEY", "as assigned"):
            assert expected in text
        assert all(call.campaign in text for call in data.last_calls)
        assert text.count('<tr data-at="') == 60


async def test_people_called_are_masked() -> None:
    async with rig() as at:
        at.state.data = data = sample(now_ms())
        text = await page(at)

        assert not [call.destination for call in data.last_calls if call.destination[2:] in text]


async def test_the_empty_page_says_what_to_do() -> None:
    async with rig() as at:
        at.state.data = DashboardData(Health(True, True))
        text = await page(at)

        assert "ami-rotator import FILE.csv" in text
        assert "AMI_HOST" in text


async def test_the_page_is_there_while_redis_and_postgresql_are_away() -> None:
    async with rig() as at:
        at.state.data = DashboardData(Health(False, False), outbox=12)
        text = await page(at)

        assert "Not serving calls" in text
        assert "REDIS_URL" in text
        assert "DATABASE_URL" in text


async def test_text_from_outside_cannot_become_markup() -> None:
    async with rig() as at:
        data = sample(now_ms())
        at.state.data = DashboardData(data.health, misses={"<script>alert(1)</script>": 1})
        text = await page(at)

        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


async def test_scripts_carry_the_nonce_of_the_header_and_nothing_is_inline() -> None:
    async with rig() as at:
        at.state.data = sample(now_ms())
        async with at.client.get(at.url + "/dashboard", headers=at.admin) as response:
            text = await response.text()
            policy = response.headers["Content-Security-Policy"]
        nonces = set(re.findall(r'nonce="([^"]+)"', text))

        assert nonces == set(re.findall(r"'nonce-([^']+)'", policy))
        assert "unsafe" not in policy
        assert re.findall(r"<script(?![^>]*nonce=)", text) == []
        assert re.findall(r"\sstyle=|\son\w+=|<style", text) == []
        assert text not in await page(at)


async def test_failing_data_is_500_without_internals() -> None:
    async with rig() as at:
        at.state.failure = RuntimeError("SELECT secret")
        async with at.client.get(at.url + "/dashboard", headers=at.admin) as response:
            body = await response.text()

        assert response.status == 500
        assert body.startswith('{"detail":"Failed to load dashboard: ')
        assert "SELECT" not in body


async def test_bug_13_a_large_inventory_makes_no_larger_page() -> None:
    async with rig() as at:
        data = sample(now_ms())
        warm = tuple(pool for n in range(400) for pool in sample(now_ms(), seed=n).warm)
        at.state.data = DashboardData(
            data.health, states=data.states, warm=warm, last_calls=tuple(data.last_calls) * 500
        )

        assert len(await page(at)) < 60_000


async def next_event(response: ClientResponse) -> str:
    lines: list[str] = []
    async with asyncio.timeout(10):
        while (line := (await response.content.readline()).decode().rstrip("\r\n")) or not lines:
            if line.startswith("data: "):
                lines.append(line.removeprefix("data: "))
    return "\n".join(lines)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_stream_brings_what_changed() -> None:
    async with rig() as at:
        at.state.data = DashboardData(Health(True, True), live=41)
        async with at.client.get(at.url + "/dashboard/live", headers=at.admin) as response:
            assert response.content_type == "text/event-stream"
            assert '<dd id="live-calls">41</dd>' in await next_event(response)
            at.state.data = DashboardData(Health(True, True), live=42)
            async with asyncio.timeout(10):
                while '<dd id="live-calls">42</dd>' not in await next_event(response):
                    pass


async def test_nothing_is_computed_while_nobody_watches_and_once_for_all_who_do() -> None:
    async with rig() as at:
        broadcaster = at.app[BROADCASTER]
        assert at.state.looks == 0
        watchers = [await at.client.get(at.url + "/dashboard/live", headers=at.admin) for _ in range(5)]
        pages = [await next_event(watcher) for watcher in watchers]
        looks = at.state.looks
        assert len(pages) == broadcaster.watching == 5
        assert looks <= 2
        for watcher in watchers:
            watcher.close()
        await until(lambda: broadcaster.watching == 0)
        looks = at.state.looks
        await asyncio.sleep(1.5)  # longer than the interval in which it would look again
        assert at.state.looks == looks


async def test_a_watcher_that_reads_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def large() -> str:
        return "x" * 1_000_000

    async with rig() as at:
        broadcaster = at.app[BROADCASTER]
        monkeypatch.setattr(live, "SEND_TIMEOUT_S", 0.2)
        monkeypatch.setattr(broadcaster, "_snapshot", large)
        monkeypatch.setattr(broadcaster, "_interval_s", 0.01)
        with socket.create_connection(("127.0.0.1", int(at.url.rpartition(":")[2]))) as deaf:
            head = f"GET /dashboard/live HTTP/1.1\r\nHost: x\r\nAuthorization: {at.admin['Authorization']}\r\n\r\n"
            deaf.sendall(head.encode())
            await until(lambda: broadcaster.watching == 1)
            await until(lambda: broadcaster.watching == 0)


async def test_a_failing_snapshot_does_not_end_the_stream() -> None:
    async with rig() as at:
        at.state.failure = RuntimeError("for now")
        async with at.client.get(at.url + "/dashboard/live", headers=at.admin) as response:
            await until(lambda: at.state.looks > 0)
            at.state.failure = None
            assert "<h1>Now</h1>" in await next_event(response)


async def test_stopping_the_server_ends_the_streams_at_once() -> None:
    async with ClientSession() as client:
        async with rig() as at:
            response = await client.get(at.url + "/dashboard/live", headers=at.admin)
            await next_event(response)
            began = time.monotonic()

        assert time.monotonic() - began < 1.5
        response.close()
