"""Who gets in, and what their role lets them do: every route with every role, forged tokens, cookies, other sites, tries."""

from __future__ import annotations

import base64
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import orjson
import pytest
from aiohttp import web
from redis.asyncio import Redis

from ami_rotator.admin.passwords import Passwords
from ami_rotator.admin.sessions import Sessions
from ami_rotator.domain.access import ROLES, may
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.auth import COOKIE, SECURE_COOKIE
from ami_rotator.ledger.audit import AuditFilter
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.users import UserBook
from tests.support.admin_desk import ANNA, KEY, bench_without_stores
from tests.support.api_rig import PASSWORD, ApiRig, api_rig
from tests.support.http_rig import TOKEN, rig

# Not tried with those who may: the session that the next routes are tried with would be over, or the answer never.
ENDS_SESSIONS = ("/sign-out", "/sign-out-everywhere", "/live", "/password")
HTML = {"Accept": "text/html"}
PROBLEM = "application/problem+json"
FOR_EVERYBODY = {
    ("GET", "/"),
    ("GET", "/next-cid"),
    ("GET", "/callback"),
    ("GET", "/health"),
    ("GET", "/livez"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/docs"),
    ("POST", "/api/v1/sign-in"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/sign-in/12125550142"),
    ("POST", "/sign-out"),
}


@pytest.fixture
async def api(database: Database, redis_client: Redis) -> AsyncIterator[ApiRig]:
    async with api_rig(database, redis_client) as running:
        yield running


def routes(app: web.Application) -> list[tuple[str, str, str | None]]:
    """Return method, address and who may use it, of every route but static files."""
    found = []
    for route in app.router.routes():
        if route.resource is None or isinstance(route.resource, web.StaticResource):
            continue
        path = re.sub(r"\{[^}]+\}", "12125550142", route.resource.canonical)
        found.append((route.method, path, getattr(route.handler, "access", None)))
    return found


async def test_every_route_says_who_may_use_it(api: ApiRig) -> None:
    without = [(method, path) for method, path, access in routes(api.at.app) if access is None]

    assert without == []
    assert len(routes(api.at.app)) > 50


async def test_what_everybody_may_use_is_this_and_no_more(api: ApiRig) -> None:
    found = {(method, path) for method, path, access in routes(api.at.app) if access not in ROLES}

    assert found == FOR_EVERYBODY


async def test_no_role_gets_in_anywhere_it_may_not(api: ApiRig) -> None:
    people: dict[str, dict[str, str]] = {"none": {}, "token": api.admin}
    people.update({str(role): headers for role, headers in (await api.everybody()).items()})
    before = await api.bench.desk.audit(AuditFilter())
    tries = [
        (method, path, access, name, name == "token" or (name != "none" and may(name, access)))  # type: ignore[arg-type]
        for method, path, access in routes(api.at.app)
        if access in ROLES
        for name in people
    ]
    wrong, bare, is_compared = [], [], False
    # Those who may not come first: nothing may have changed after them.
    for method, path, access, name, may_in in sorted(tries, key=lambda one: one[-1]):
        if may_in and not is_compared:
            assert await api.bench.desk.audit(AuditFilter()) == before
            is_compared = True
        if may_in and path.endswith(ENDS_SESSIONS):
            continue
        async with api.at.client.request(method, api.at.url + path, headers=people[name]) as response:
            is_in = response.status not in (401, 403)
            if is_in != may_in:
                wrong.append((method, path, name, access, response.status))
            if response.status >= 400 and path.startswith("/api/v1/") and response.content_type != PROBLEM:
                bare.append((method, path, name, response.status, response.content_type))

    assert wrong == []
    assert bare == []
    assert len(tries) > 200


def claims(session: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "ami_rotator", "sub": "admin", "jti": session, "iat": now, "exp": now + 600, **changes}


def unsigned(header: dict[str, str], body: dict[str, Any], signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in (header, body))
    return ".".join((*parts, signature))


async def status_of(api: ApiRig, token: str) -> int:
    return (await api.json("GET", "/me", headers={"Authorization": f"Bearer {token}"}))[0]


async def test_only_tokens_that_we_signed_for_a_living_session_are_taken(api: ApiRig) -> None:
    await api.bench.desk.users.add(ANNA, "admin", "admin", PASSWORD)
    signed_in = await api.bench.desk.users.sign_in(ANNA, "admin", PASSWORD, "tests")
    good = claims(signed_in.session)
    ours = jwt.encode(good, KEY, algorithm="HS256")
    without_expiry = {name: value for name, value in good.items() if name != "exp"}
    forged = {
        "alg none": unsigned({"alg": "none", "typ": "JWT"}, good),
        "alg None": unsigned({"alg": "None", "typ": "JWT"}, good),
        "alg none with a signature": unsigned({"alg": "none", "typ": "JWT"}, good, ours.rpartition(".")[2]),
        "other key": jwt.encode(good, "another key of more than thirty-two bytes", algorithm="HS256"),
        "short key": jwt.encode(good, "k", algorithm="HS256"),
        "other algorithm": jwt.encode(good, KEY, algorithm="HS512"),
        "expired": jwt.encode({**good, "exp": 1_700_000_000}, KEY, algorithm="HS256"),
        "without expiry": jwt.encode(without_expiry, KEY, algorithm="HS256"),
        "other issuer": jwt.encode({**good, "iss": "somebody"}, KEY, algorithm="HS256"),
        "session that never was": jwt.encode(claims(str(uuid.uuid4())), KEY, algorithm="HS256"),
        "session that is no text": jwt.encode({**good, "jti": 7}, KEY, algorithm="HS256"),
        "expiry that is no number": jwt.encode({**good, "exp": "never"}, KEY, algorithm="HS256"),
        "changed body": ".".join(
            (ours.split(".")[0], unsigned({}, {**good, "sub": "x"}).split(".")[1], ours.split(".")[2])
        ),
        "cut off": ours[:-3],
        "nothing but dots": "..",
    }

    assert await status_of(api, ours) == 200
    assert {name: await status_of(api, token) for name, token in forged.items()} == dict.fromkeys(forged, 401)
    for token in forged.values():
        headers = {"Cookie": f"{COOKIE}={token}"}
        async with api.at.client.get(api.at.url + "/api/v1/me", headers=headers) as response:
            assert response.status == 401


async def test_a_session_that_was_ended_is_refused_everywhere_and_at_once(api: ApiRig) -> None:
    await api.bench.desk.users.add(ANNA, "bob", "operator", PASSWORD)
    tokens = []
    for _ in range(3):
        _, signed_in = await api.json("POST", "/sign-in", json={"name": "bob", "password": PASSWORD}, headers={})
        tokens.append(signed_in["token"])
    _, own = await api.json("GET", "/sessions", headers={"Authorization": f"Bearer {tokens[0]}"})
    assert len(own["items"]) == 3

    status, _ = await api.json("POST", "/sign-out", headers={"Authorization": f"Bearer {tokens[0]}"})
    assert status == 204
    assert [await status_of(api, token) for token in tokens] == [401, 200, 200]
    _, ended = await api.json("POST", "/sign-out-everywhere", headers={"Authorization": f"Bearer {tokens[1]}"})
    assert ended == {"sessions": 2}
    assert [await status_of(api, token) for token in tokens] == [401, 401, 401]


async def test_a_role_that_is_changed_and_a_user_that_is_disabled_hold_at_once(api: ApiRig) -> None:
    headers = await api.user("admin")
    assert (await api.json("GET", "/users", headers=headers))[0] == 200

    assert (await api.json("PATCH", "/users/admin", json={"role": "viewer"}))[1]["role"] == "viewer"
    status, problem = await api.json("GET", "/users", headers=headers)
    assert (status, problem["code"]) == (403, "role_too_small")
    await api.json("PATCH", "/users/admin", json={"is_disabled": True})
    assert (await api.json("GET", "/me", headers=headers))[0] == 401
    status, problem = await api.json("POST", "/sign-in", json={"name": "admin", "password": PASSWORD}, headers={})
    assert (status, problem["code"]) == (401, "sign_in_refused")


async def test_users_are_added_given_passwords_and_removed(api: ApiRig) -> None:
    _, added = await api.json("POST", "/users", json={"name": "bob", "role": "viewer"})
    status, signed_in = await api.json(
        "POST", "/sign-in", json={"name": " Bob ", "password": added["password"]}, headers={}
    )
    assert (status, signed_in["role"]) == (200, "viewer")
    headers = {"Authorization": f"Bearer {signed_in['token']}"}

    body = {"old": "wrong", "new": PASSWORD}
    assert (await api.json("POST", "/me/password", json=body, headers=headers))[0] == 401
    body = {"old": added["password"], "new": PASSWORD}
    assert (await api.json("POST", "/me/password", json=body, headers=headers))[0] == 204
    assert (await api.json("GET", "/me", headers=headers))[0] == 401
    assert (await api.json("POST", "/users", json={"name": "bob", "role": "viewer"}))[0] == 409
    assert (await api.json("GET", "/users"))[1]["items"][0]["name"] == "bob"
    assert (await api.json("DELETE", "/users/bob"))[0] == 204
    assert (await api.json("POST", "/sign-in", json={"name": "bob", "password": PASSWORD}, headers={}))[0] == 401


async def test_sign_ins_good_and_bad_are_in_the_audit_without_the_password(api: ApiRig) -> None:
    await api.json("POST", "/users", json={"name": "bob", "role": "viewer", "password": PASSWORD})
    for password in (PASSWORD, "wrong password 1"):
        await api.json("POST", "/sign-in", json={"name": "bob", "password": password}, headers={})

    entries = (await api.bench.desk.audit(AuditFilter())).entries
    assert [(entry.action, entry.actor, entry.address) for entry in entries] == [
        ("sign_in_refused", "bob", "127.0.0.1"),
        ("signed_in", "bob", "127.0.0.1"),
        ("added", "admin-token", "127.0.0.1"),
    ]
    assert PASSWORD not in str(entries)
    assert "argon2" not in str(entries)


async def sign_in(at: Any, client: aiohttp.ClientSession, **options: Any) -> aiohttp.ClientResponse:
    headers = {"Origin": at.url, **options.pop("headers", {})}
    form = {"token": TOKEN, **options}
    return await client.post(at.url + "/sign-in", data=form, headers=headers, allow_redirects=False)


async def test_over_https_the_cookie_is_a_host_cookie_and_over_http_a_plain_one() -> None:
    async with rig() as at:
        plain = await sign_in(at, at.client)
        secure = await sign_in(at, at.client, headers={"X-Forwarded-Proto": "https", "Sec-Fetch-Site": "same-origin"})

        assert (plain.status, secure.status) == (303, 303)
        (of_http,) = plain.headers.getall("Set-Cookie")
        (of_https,) = secure.headers.getall("Set-Cookie")
        assert of_http.startswith(f"{COOKIE}=")
        assert "Secure" not in of_http
        assert of_https.startswith(f"{SECURE_COOKIE}=")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Secure"):
            assert part in of_https
        assert "Domain" not in of_https


async def test_over_https_a_plain_cookie_is_not_taken() -> None:
    async with rig() as at:
        plain = (await sign_in(at, at.client)).cookies[COOKIE].value
        for name, proto, status in ((COOKIE, "http", 200), (COOKIE, "https", 401), (SECURE_COOKIE, "https", 200)):
            headers = {"Cookie": f"{name}={plain}", "X-Forwarded-Proto": proto}
            async with (
                aiohttp.ClientSession() as client,
                client.get(at.url + "/api/v1/me", headers=headers) as response,
            ):
                assert response.status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_a_change_with_a_cookie_has_to_come_from_our_own_pages(headers: dict[str, str], status: int) -> None:
    async with rig() as at:
        cookie = (await sign_in(at, at.client)).cookies[COOKIE].value
        async with aiohttp.ClientSession() as client:
            headers = {**headers, "Cookie": f"{COOKIE}={cookie}"}
            body = {"caller_id": "5551234567"}
            async with client.post(at.url + "/add-number", json=body, headers=headers) as response:
                assert response.status == status


async def test_a_page_of_another_site_cannot_sign_in_or_out() -> None:
    async with rig() as at:
        response = await sign_in(at, at.client, headers={"Origin": "https://evil.example"})
        assert response.status == 403
        async with at.client.post(at.url + "/sign-out", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403


async def test_too_many_tries_have_to_wait_also_with_the_right_password(api: ApiRig) -> None:
    await api.bench.desk.users.add(ANNA, "bob", "viewer", PASSWORD)
    statuses = []
    for password in ["wrong password 1"] * 10 + [PASSWORD]:
        status, problem = await api.json("POST", "/sign-in", json={"name": "bob", "password": password}, headers={})
        statuses.append(status)

    assert statuses == [401] * 10 + [429]
    assert problem["code"] == "too_many_tries"


async def test_the_address_behind_a_proxy_is_the_last_one_it_wrote(api: ApiRig) -> None:
    for forwarded in ("198.51.100.9", "203.0.113.1, 198.51.100.9"):
        headers = {"X-Forwarded-For": forwarded}
        await api.json("POST", "/sign-in", json={"name": "bob", "password": "x"}, headers=headers)

    entries = (await api.bench.desk.audit(AuditFilter(kind="session"))).entries
    assert [entry.address for entry in entries] == ["198.51.100.9"] * 2


async def test_the_printed_link_signs_in_once() -> None:
    async with bench_without_stores() as bench, rig(changes={"desk": bench.desk}) as at:
        link = f"{at.url}/sign-in/{bench.desk.links.make()}"
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as client, client.get(link) as first:
            assert (first.status, first.url.path) == (200, "/dashboard")
        async with at.client.get(link, headers=HTML) as second:
            assert second.status == 401
            assert "used already" in await second.text()
        async with at.client.get(f"{at.url}/sign-in/guess") as guessed:
            assert guessed.status == 401


class Hours:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at_ms = int(time.time() * 1000)

    def wall_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


async def test_a_link_is_too_old_after_a_quarter_of_an_hour_and_a_session_after_a_day() -> None:
    clock = Hours()
    async with bench_without_stores(clock) as bench:
        code, late = bench.desk.links.make(), bench.desk.links.make()
        signed_in = await bench.desk.sessions.start(ANNA, "", "admin", "tests")
        assert bench.desk.links.take(code)
        assert await bench.desk.sessions.check(signed_in.token)

        clock.at_ms += 15 * 60 * 1000 + 1
        assert not bench.desk.links.take(late)
        assert await bench.desk.sessions.check(signed_in.token)
        clock.at_ms += 24 * 3600 * 1000
        assert await bench.desk.sessions.check(signed_in.token) is None


async def test_while_postgresql_is_away_known_sessions_go_on_and_unknown_ones_have_to_wait(database: Database) -> None:
    clock = Hours()
    async with bench_without_stores(clock) as away:
        book = UserBook(database)
        sessions = Sessions(book, KEY, clock, 3600)
        signed_in = await sessions.start(ANNA, "", "admin", "tests")
        fresh = away.desk.sessions

        with pytest.raises(LedgerUnavailableError):
            await fresh.check(signed_in.token)
        sessions._book = UserBook(away.database)
        clock.at_ms += 60_000
        assert await sessions.check(signed_in.token)
        of_token = await fresh.start(ANNA, "", "admin", "tests")
        assert await fresh.check(of_token.token)
        assert await fresh.end(ANNA, of_token.session)
        assert await fresh.check(of_token.token) is None
        with pytest.raises(LedgerUnavailableError):
            await fresh.start(ANNA, "bob", "admin", "tests")


async def test_what_another_daemon_ended_ends_here_within_seconds(database: Database) -> None:
    clock = Hours()
    here, there = (Sessions(UserBook(database), KEY, clock, 3600) for _ in range(2))
    signed_in = await here.start(ANNA, "", "admin", "tests")
    assert await here.check(signed_in.token)

    assert await there.end(ANNA, signed_in.session)
    clock.at_ms += 5_001

    assert await here.check(signed_in.token) is None


async def test_passwords_are_argon2id_with_the_librarys_effort() -> None:
    passwords = Passwords()
    kept = await passwords.hash(PASSWORD)

    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.is_right(PASSWORD, kept)
    assert not await passwords.is_right(PASSWORD + "x", kept)
    assert not await passwords.is_right(PASSWORD, None)
    assert not await passwords.is_right(PASSWORD, "nonsense")
