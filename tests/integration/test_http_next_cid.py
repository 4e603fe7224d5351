"""`GET /next-cid` over a real server: the seed's contract, what was added to it, and the seed's bugs."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from typing import Any

import pytest
import structlog

from ami_rotator.domain.types import E164, Area, CallKey, Dialer, Miss
from tests.support.http_rig import ASSIGNMENT, Rig, rig

ASKED = {"to": "5559876543", "campaign": "TEST", "agent": "AGENT001"}
PLAIN = {**ASKED, "format": "plain"}
NONE = '{"detail":"No available caller-ID found"}'
CODE = "V5311444410051765735"


async def get(at: Rig, params: dict[str, str], path: str = "/next-cid", **options: Any) -> tuple[int, str]:
    async with at.client.get(at.url + path, params=params, **options) as response:
        return response.status, await response.text()


async def test_answers_compact_json_in_the_order_of_the_contract() -> None:
    async with rig() as at, at.client.get(at.url + "/next-cid", params=ASKED) as response:
        body = await response.text()

        assert response.status == 200
        assert response.content_type == "application/json"
        assert body.startswith('{"caller_id":"5551234567","carrier":"Verizon","area_code":"555","meta":{},')


async def test_carrier_and_area_may_be_null_and_meta_never_is() -> None:
    async with rig() as at:
        at.desk.answer = ASSIGNMENT._replace(carrier="", area=Area(""), meta_json="null")
        _, body = await get(at, ASKED)

        assert body.startswith('{"caller_id":"5551234567","carrier":null,"area_code":null,"meta":{},')


async def test_meta_and_a_foreign_area_are_given_in_national_form() -> None:
    async with rig() as at:
        at.desk.answer = ASSIGNMENT._replace(
            caller_id=E164("+442079460123"), area=Area("+4420"), meta_json='{"state":"CA"}'
        )
        _, body = await get(at, ASKED)

        assert body.startswith(
            '{"caller_id":"442079460123","carrier":"Verizon","area_code":"20","meta":{"state":"CA"},'
        )


@pytest.mark.parametrize("missing", ["to", "campaign", "agent"])
async def test_a_missing_parameter_is_422_as_fastapi_says_it(missing: str) -> None:
    async with rig() as at:
        params = {name: value for name, value in ASKED.items() if name != missing}
        async with at.client.get(at.url + "/next-cid", params=params) as response:
            detail = (await response.json())["detail"][0]

        assert response.status == 422
        assert detail.pop("url").endswith("/v/missing")
        assert detail == {"type": "missing", "loc": ["query", missing], "msg": "Field required", "input": None}


async def test_all_missing_parameters_are_named_at_once() -> None:
    async with rig() as at, at.client.get(at.url + "/next-cid") as response:
        detail = (await response.json())["detail"]

        assert [["query", name] for name in ("to", "campaign", "agent")] == [item["loc"] for item in detail]


async def test_a_miss_is_503_with_the_contracts_words() -> None:
    async with rig() as at:
        at.desk.answer = Miss("none_free")
        assert await get(at, ASKED) == (503, NONE)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
async def test_other_methods_are_405(method: str) -> None:
    async with rig() as at, at.client.request(method, at.url + "/next-cid", params=ASKED) as response:
        body = await response.text()

        assert response.status == 405
        assert response.headers["Allow"] == "GET"
        assert body == ("" if method == "HEAD" else '{"detail":"Method Not Allowed"}')
        assert at.desk.asked == []


async def test_plain_is_bare_digits() -> None:
    async with rig() as at, at.client.get(at.url + "/next-cid", params=PLAIN) as response:
        assert response.content_type == "text/plain"
        assert await response.text() == "5551234567"


@pytest.mark.parametrize(("presentation", "shown"), [("e164", "+15551234567"), ("digits", "15551234567")])
async def test_plain_follows_the_presentation(presentation: str, shown: str) -> None:
    async with rig(presentation=presentation) as at:
        assert (200, shown) == await get(at, PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        {"to": "x" * 300},
        {"to": "hello"},
        {"to": ""},
        {"campaign": ""},
        {"campaign": "A" * 101},
        {"agent": "a\r\nb"},
        {"code": "V" * 101},
        {"channel": "Local/1@x\x00"},
        {"uniqueid": "1" * 151},
        {"dialer": "nobody"},
        {"channel": "PJSIP/carrier-00000001"},
    ],
)
async def test_plain_is_empty_whatever_is_wrong_and_json_says_what(change: dict[str, str]) -> None:
    async with rig() as at:
        assert await get(at, {**PLAIN, **change}) == (200, "")
        status, body = await get(at, {**ASKED, **change})

        assert status == (503 if "PJSIP" in str(change) else 422)
        assert body.startswith('{"detail":')
        assert at.desk.asked == []


async def test_plain_is_empty_on_a_miss() -> None:
    async with rig() as at:
        at.desk.answer = Miss("unavailable")
        assert await get(at, PLAIN) == (200, "")


async def test_plain_is_empty_when_our_own_code_fails() -> None:
    async def fail() -> None:
        raise RuntimeError("secret internals")

    async with rig() as at:
        at.desk.before = fail
        assert await get(at, PLAIN) == (200, "")


async def test_plain_has_no_error_body_for_another_method_either() -> None:
    async with rig() as at, at.client.post(at.url + "/next-cid", params=PLAIN, data="5") as response:
        assert (response.status, await response.text()) == (405, "")


async def test_a_slow_answer_is_none_at_the_budget() -> None:
    async with rig(answer_budget_ms=50) as at:
        at.desk.before = lambda: asyncio.sleep(30)
        began = time.monotonic()
        assert await get(at, ASKED) == (503, NONE)
        assert await get(at, PLAIN) == (200, "")
        assert time.monotonic() - began < 5


async def test_everything_known_of_the_call_reaches_the_assigner() -> None:
    async with rig(dialers=("east", "west")) as at:
        await get(
            at,
            {
                **ASKED,
                "agent": "",
                "dialer": "west",
                "uniqueid": "1700000000.12",
                "channel": "Local/915559876543@default-0000001;2",
                "code": "M5311444410051765735 6001 SALES",
            },
        )
        asked = at.desk.asked[0]

        assert asked.key == CallKey(Dialer("west"), "M5311444410051765735", "1700000000.12")
        assert (
            asked.dialled,
            asked.campaign,
            asked.agent,
            asked.lead_id,
            asked.source,
        ) == ("5559876543", "TEST", "6001", "51765735", "http")


async def test_the_short_names_of_older_hooks_mean_the_same() -> None:
    async with rig() as at:
        await get(at, {**ASKED, "call": CODE, "uid": "17.1", "ch": "Local/1@x;2"})
        await get(at, {**PLAIN, "ch": "SIP/carrier-01"})

        assert [CallKey(Dialer("dialer1"), CODE, "17.1")] == [call.key for call in at.desk.asked]


async def test_a_name_that_is_no_call_code_is_not_a_key() -> None:
    async with rig() as at:
        await get(at, {**ASKED, "code": "John Smith"})
        assert at.desk.asked[0].key == CallKey(Dialer("dialer1"))


@pytest.mark.parametrize(("dialers", "name"), [(("only",), "only"), ((), "http"), (("a", "b"), "http")])
async def test_a_request_without_dialer_belongs_to_the_only_one(dialers: tuple[str, ...], name: str) -> None:
    async with rig(dialers=dialers) as at:
        await get(at, ASKED)
        assert at.desk.asked[0].key.dialer == name


async def test_the_campaign_of_a_manual_call_may_stand_in_its_name() -> None:
    async with rig() as at:
        await get(at, {**PLAIN, "campaign": "", "code": "M5311444410051765735 6001 SALES"})
        assert at.desk.asked[0].campaign == "SALES"


async def test_an_address_outside_the_networks_is_refused_whatever_its_headers_say() -> None:
    async with rig(next_cid_networks=(ip_network("10.0.0.0/8"),)) as at:
        forged = {"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1"}
        status, body = await get(at, ASKED, headers=forged)

        assert status == 403
        assert "NEXT_CID_NETWORKS" in body
        assert await get(at, PLAIN, headers=forged) == (403, "")
        assert at.desk.asked == []


async def test_the_optional_key_is_wanted_in_query_or_header() -> None:
    async with rig(next_cid_key="s3cret") as at:
        assert (await get(at, ASKED))[0] == 403
        assert (await get(at, {**ASKED, "key": "wrong"}))[0] == 401
        assert (await get(at, {**ASKED, "key": "s3cret"}))[0] == 200
        assert (await get(at, ASKED, headers={"X-Api-Key": "s3cret"}))[0] == 200


async def test_over_the_agents_limit_is_429_with_retry_after_and_plain_is_empty() -> None:
    async with rig(rate_limit_per_agent=2) as at:
        assert [(await get(at, ASKED))[0] for _ in range(2)] == [200, 200]
        async with at.client.get(at.url + "/next-cid", params=ASKED) as response:
            assert response.status == 429
            assert await response.text() == '{"detail":"Agent rate limit exceeded"}'
            assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert await get(at, PLAIN) == (200, "")
        assert await get(at, {**PLAIN, "agent": "another"}) == (200, "5551234567")


async def test_an_empty_agent_and_loopback_are_not_counted() -> None:
    async with rig(rate_limit_per_agent=1, rate_limit_per_ip=1) as at:
        assert [(await get(at, {**ASKED, "agent": ""}))[0] for _ in range(5)] == [200] * 5


async def test_bug_3_numbers_with_country_code_or_dial_prefix_are_taken() -> None:
    async with rig() as at:
        for number in ("15559876543", "915559876543", "+1 (555) 987-6543", "9011442079460123"):
            assert await get(at, {**PLAIN, "to": number}) == (200, "5551234567")
        assert at.desk.asked[1].dialled == "915559876543"


async def test_bug_17_an_error_tells_an_id_and_nothing_else() -> None:
    async def fail() -> None:
        raise RuntimeError("INSERT INTO caller_ids VALUES ('5551234567')")

    async with rig() as at:
        at.desk.before = fail
        async with at.client.get(at.url + "/next-cid", params=ASKED) as response:
            body = await response.json()

        assert response.status == 500
        assert body.pop("request_id")
        assert body == {"detail": "Internal server error"}


async def test_bug_18_what_is_served_well_writes_no_log_line() -> None:
    with structlog.testing.capture_logs() as lines:
        async with rig() as at:
            await get(at, ASKED)
            await get(at, PLAIN)
            await get(at, {}, "/health")

    assert len(at.desk.asked) == 2
    assert lines == []


async def test_bug_21_letters_as_number_are_422_and_an_empty_agent_is_right() -> None:
    async with rig() as at:
        assert (await get(at, {**ASKED, "to": "abc"}))[0] == 422
        assert (await get(at, {**ASKED, "agent": ""}))[0] == 200
        assert (await get(at, {**ASKED, "campaign": ""}))[0] == 422


async def test_many_at_once_are_all_answered() -> None:
    async with rig(rate_limit_per_agent=0) as at:
        answers = await asyncio.gather(*(get(at, PLAIN) for _ in range(200)))

        assert {(200, "5551234567")} == set(answers)
        assert len(at.desk.asked) == 200
