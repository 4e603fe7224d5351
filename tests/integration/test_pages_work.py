"""The pages of campaigns, calls, dialers, jobs, audit and users."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.types import State
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.jobs.job import JobRun
from ami_rotator.ledger.database import Database
from tests.support.pages_rig import PagesRig, links, pages_rig

CALL = """
INSERT INTO calls (reservation_id, assigned_at, caller_id, campaign, destination, dialer, code, source, rung, group_name,
    area, miss_reason, presented, presented_matches, outcome, talk_ms)
VALUES ($1, now(), $2, $3, '+12125550199', 'dialer1', $4, 'ami', $5, 'default', '212', $6::text::miss_reason, $7, $8,
    $9::text::call_outcome, 61000)
"""
POLICY = {"groups": "default", "rung_area": "1", "rung_state": "2", "rung_any": "3", "sticky_days": "3"}
NEAR = {"rung_neighbour": "1", "rung_area": "", "rung_state": "", "rung_any": "", "neighbour_miles": "25"}


@pytest.fixture
async def at(database: Database, redis_client: Redis) -> AsyncIterator[PagesRig]:
    async with pages_rig(database, redis_client) as rig:
        await rig.sign_in()
        yield rig


async def add_calls(database: Database) -> list[uuid.UUID]:
    made = [uuid.uuid4() for _ in range(3)]
    async with database.connection() as connection:
        await connection.execute(
            CALL, made[0], "+12125550100", "SALES", "V1", "area", None, "2125550100", True, "answered"
        )
        await connection.execute(CALL, made[1], "+12125550100", "SALES", "V2", "any", None, "8005550100", False, "busy")
        await connection.execute(CALL, made[2], None, "SOLAR", "V3", None, "none_free", None, None, None)
    return made


async def test_a_policy_is_tried_saved_and_deleted(at: PagesRig) -> None:
    await at.post("/caller-ids/add", {"number": "2125550100"})
    _, text = await at.post("/campaigns/SALES/preview", {**POLICY, "to": "6465550100"})
    assert re.findall(r"<li[^>]*><strong>([^<]+)", text) == ["same area", "same state", "any area"]
    _, text = await at.post("/campaigns/SALES/preview", {**POLICY, **NEAR, "to": "2125550100"})
    assert {"201", "347", "363", "862", "914"} == set(re.findall(r'"muted">(\d{3}) in', text))
    assert "no policy of its own" in await at.page("/campaigns/SALES")
    _, text = await at.post("/campaigns/SALES", POLICY)
    assert "Saved." in text
    assert 'name="sticky_days" inputmode="numeric" maxlength="9" value="3"' in text
    _, text = await at.post("/campaigns/SALES/remove")
    assert "Delete the policy of SALES?" in text
    await at.post("/campaigns/SALES/remove", {"sure": "yes"})

    assert "no policy of its own" in await at.page("/campaigns/SALES")


async def test_the_preview_tells_what_a_call_would_get_under_a_policy_that_is_not_saved(at: PagesRig) -> None:
    for number, group in (("2125550100", "east"), ("2125550101", "west"), ("3105550100", "west")):
        await at.post("/caller-ids/add", {"number": number, "group": group})
    await at.bench.sync()
    form = {"groups": "west", "rung_area": "1", "rung_any": "2"}

    for to, changes, shown in (
        ("2125550199", {}, "2125550101"),
        ("2125550199", {"groups": "east"}, "2125550100"),
        ("3105550199", {}, "3105550100"),
        ("3105550100", {}, "2125550101"),  # never the number that is called
        ("310", {}, "3105550100"),
    ):
        _, text = await at.post("/campaigns/SALES/preview", {**form, **changes, "to": to})
        assert f"A call to {to} now would show <strong>{shown}</strong>" in text
        assert f"✓ takes {shown}" in text
    _, text = await at.post("/campaigns/SALES/preview", {"groups": "west", "rung_state": "1", "to": "6465550199"})
    assert "now would show <strong>2125550101</strong>" in text
    assert "No saved policy uses same state" in text
    _, text = await at.post("/campaigns/SALES/preview", {**form, "attestation_min": "A", "to": "2125550199"})
    assert "keep VICIdial's number" in text
    assert "2125550101 not signed well enough" in text
    assert "no policy of its own" in await at.page("/campaigns/SALES")
    assert len((await at.bench.pool.numbers_by_state())[State.IDLE]) == 3


async def test_without_redis_the_preview_still_has_the_steps(at: PagesRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise PoolUnavailableError

    monkeypatch.setattr(at.bench.pool, "command", away)
    text = await at.page("/campaigns/SALES")

    assert "What is free now is in Redis, which does not answer" in text
    assert re.findall(r"<li[^>]*><strong>([^<]+)", text) == ["same area", "any area"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rung_area": "x"}, "is a whole number"),
        ({"groups": ""}, "name at least one group"),
        ({"timezone": "Mars"}, "time zone"),
    ],
)
async def test_a_policy_that_cannot_be_says_what_to_write(at: PagesRig, wrong: dict[str, str], said: str) -> None:
    status, text = await at.post("/campaigns/SALES", {**POLICY, **wrong})
    assert (status, said in text) == (400, True)
    _, text = await at.post("/campaigns/SALES/preview", {**POLICY, **wrong})
    assert said in text


async def test_the_map_names_areas_that_are_called_more_than_they_may_be_used(at: PagesRig, database: Database) -> None:
    await add_calls(database)
    text = await at.page("/campaigns/SALES")

    assert "1 areas have more calls than uses" in text
    assert 'class="l-short"' in text
    assert '<a href="/caller-ids?area=212">212</a>' in text


async def test_calls_are_found_and_explained(at: PagesRig, database: Database) -> None:
    made = await add_calls(database)
    for query, expected in (
        ("", 3), ("campaign=SALES", 2), ("destination=212-555-0199", 3), ("code=V3", 1), ("outcome=busy", 1),
        ("result=differs", 1), ("result=missed", 1), ("result=miss:none_free", 1), ("caller_id=12125550100", 2),
    ):  # fmt: skip
        assert (await at.page(f"/calls?{query}")).count('<a href="/calls/') == expected, query
    for call, said in zip(made, ("showed this number", "showed 8005550100", "no caller-ID was free"), strict=True):
        assert said in await at.page(f"/calls/{call}")
    assert (await at.get("/calls/not-a-call"))[0] == 404
    assert (await at.get("/calls?destination=12"))[0] == 400


async def test_a_dialer_shows_its_rights_and_the_lines_to_copy(at: PagesRig) -> None:
    text = await at.page("/dialers")

    for expected in ("DBPut needs write=system", "_91NXXNXXXXXX", "[rotator]", "Asterisk 18.20.0", "1.5 ms"):
        assert expected in text


async def test_a_job_is_run_and_one_that_failed_stands_first(at: PagesRig) -> None:
    at.jobs += [JobRun("a", "", 60, True, 1, 5.0, "done"), JobRun("z", "", 60, True, 1, 5.0, "Redis is away", 3)]
    text = await at.page("/jobs")
    assert text.index("failed 3 times: Redis is away") < text.index(">done<")
    _, text = await at.post("/jobs", {"job": "a"})
    assert at.wished == ["a"]
    assert (await at.post("/jobs", {"job": "no such"}))[0] == 400


async def test_the_audit_says_who_changed_what_and_can_be_exported(at: PagesRig) -> None:
    await at.post("/caller-ids/add", {"number": "2125550100"})
    await at.post("/caller-ids/12125550100/switch", {"action": "disable"})
    text = await at.page("/audit?kind=caller_id")
    assert "<del>active</del> → <ins>disabled</ins>" in text
    assert "switch: <ins>active</ins>" in text
    assert "dashboard" in text
    rows = (await at.page("/audit/export.csv?kind=caller_id")).splitlines()

    assert len(rows) == 3
    assert "admin-token,dashboard,127.0.0.1,changed,caller_id" in rows[1]
    assert (await at.get("/audit?since=yesterday"))[0] == 400


async def test_users_are_added_changed_and_deleted_after_a_question(at: PagesRig) -> None:
    _, text = await at.post("/users", {"name": "vera", "role": "viewer"})
    assert "It is shown this once" in text
    await at.post("/users/vera", {"action": "role", "role": "operator"})
    await at.post("/users/vera", {"action": "disable"})
    assert '<span class="no">disabled</span>' in await at.page("/users")
    _, text = await at.post("/users/vera", {"action": "remove"})
    assert "Delete the user vera?" in text
    await at.post("/users/vera", {"action": "remove", "sure": "yes"})

    assert "Nobody by name yet" in await at.page("/users")


async def test_a_group_is_set_up_with_its_warm_up_and_the_seeds_limits_are_flagged(at: PagesRig) -> None:
    _, text = await at.post("/groups", {"name": "fresh"})
    assert "1,000 uses a day of one number is more than" in text
    assert "Recommended: 100 uses a day, 20 an hour." in text
    assert "<code>careful</code></dt><dd>15 uses on the first day, 95 on day 28" in text
    form = {"daily_limit": "100", "hourly_limit": "20", "cooldown_s": "60", "warmup": "Careful", "max_concurrent": ""}
    _, text = await at.post("/groups/fresh", form)
    assert "Saved." in text
    assert 'class="notice">' not in text
    assert 'name="warmup" list="curves" maxlength="900" value="careful"' in text
    for wrong, said in (
        ({"warmup": "fast"}, "is no warm-up curve; write one of careful"),
        ({"cooldown_s": "x"}, "whole"),
    ):
        status, refused = await at.post("/groups/fresh", {**form, **wrong})
        assert (status, said in refused) == (400, True)
    await at.post("/campaigns/SALES", {**POLICY, "groups": "fresh", "daily_limit": "900"})

    assert "900 uses a day" in await at.page("/campaigns/SALES")
    assert '<a href="/groups/fresh">fresh</a>' in await at.page("/campaigns")
    assert "used by SALES" in await at.page("/groups/fresh")


async def test_opt_outs_are_put_on_the_list_found_and_taken_off(at: PagesRig) -> None:
    assert "Nobody is on the list." in await at.page("/opt-outs")
    form = {"numbers": "(212) 555-0100\r\n\r\n+442071234567\r\n2125550100", "campaign": "SALES", "note": "asked <b>"}
    _, text = await at.post("/opt-outs", form)
    assert "2 numbers were put on the list" in text
    assert "asked &lt;b&gt;" in text
    assert re.findall(r'<tr><th scope="row">([^<]+)</th><td>SALES', text) == ["2125550100", "442071234567"]
    assert "442071234567" not in await at.page("/opt-outs?number=212-5")
    _, text = await at.post("/opt-outs/remove", {"numbers": "+12125550100", "campaign": "SALES"})
    assert "1 number was taken off the list." in text
    assert "No number on the list begins so." in await at.page("/opt-outs?number=212")
    for wrong, said in (("hello", "cannot be read as a phone number"), ("", "Write one a line")):
        status, text = await at.post("/opt-outs", {"numbers": wrong})
        assert (status, said in text) == (400, True)
    audit = await at.page("/audit?kind=opt_out")

    assert (audit.count("opt out added"), audit.count("opt out removed")) == (2, 1)


async def test_a_viewer_looks_and_changes_nothing_and_sees_no_whole_destination(
    at: PagesRig, database: Database
) -> None:
    await at.post("/users", {"name": "vera", "role": "viewer", "password": "a long password for vera 1"})
    await at.post("/caller-ids/add", {"number": "2125550100"})
    await at.post("/sign-out")
    await at.sign_in("vera", "a long password for vera 1")
    for path in (
        "/caller-ids",
        "/caller-ids/12125550100",
        "/campaigns",
        "/campaigns/SALES",
        "/groups/default",
        "/plan",
        "/calls",
        "/dialers",
        "/jobs",
    ):
        text = await at.page(path)
        assert "/audit" not in text
    (made, *_) = await add_calls(database)
    for path in ("/calls", f"/calls/{made}", "/caller-ids/12125550100"):
        text = await at.page(path)
        assert "212555****" in text
        assert "2125550199" not in text
    for path in ("/audit", "/audit/export.csv", "/users", "/caller-ids/import", "/opt-outs"):
        assert (await at.get(path))[0] == 403, path
    for path in (
        "/caller-ids", "/caller-ids/add", "/caller-ids/import", "/caller-ids/import/now", "/caller-ids/12125550100",
        "/caller-ids/12125550100/switch", "/campaigns", "/campaigns/SALES", "/campaigns/SALES/remove", "/jobs", "/users",
        "/users/vera", "/sessions/end", "/groups", "/groups/default", "/opt-outs", "/opt-outs/remove",
    ):  # fmt: skip
        assert (await at.post(path, {"action": "disable", "number": "+12125550100"}))[0] == 403, path


async def test_a_form_of_another_site_changes_nothing(at: PagesRig, database: Database) -> None:
    evil = {"Origin": "https://evil.example"}
    for path in ("/caller-ids/add", "/campaigns/SALES", "/users", "/jobs", "/caller-ids/import/now"):
        async with at.client.post(at.url + path, data={"number": "2125550100"}, headers=evil) as response:
            assert response.status == 403, path
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM caller_ids") == 0


async def test_every_link_leads_somewhere_and_no_page_has_anything_inline(at: PagesRig, database: Database) -> None:
    await at.post("/caller-ids/add", {"number": "2125550100", "group": "<b>x"})
    await at.post("/caller-ids/add", {"number": "2125550100"})
    await add_calls(database)
    seen: set[str] = set()
    waiting = {"/caller-ids"}
    while waiting and len(seen) < 60:
        path = waiting.pop()
        seen.add(path)
        async with at.client.get(at.url + path) as response:
            assert response.status == 200, path
            if response.content_type != "text/html":
                continue
            text = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert set(re.findall(r'nonce="([^"]+)"', text)) <= set(re.findall(r"'nonce-([^']+)'", policy)), path
        assert re.findall(r"<script(?![^>]*nonce=)|\sstyle=|\son\w+=\"|<style", text) == [], path
        assert "unsafe" not in policy
        posts = set(re.findall(r'(?:<form method="post"[^>]*|form)action="([^"]+)"', text))
        waiting |= (
            links(text)
            - seen
            - posts
            - {"/sign-out"}
            - {p for p in links(text) if p.endswith(("/switch", "/remove", "/preview", "/add", "/end"))}
        )

    assert {"/campaigns", "/plan", "/opt-outs", "/calls", "/dialers", "/jobs", "/audit", "/users"} <= seen
