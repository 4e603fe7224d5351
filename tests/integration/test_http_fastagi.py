"""FastAGI, spoken as Asterisk speaks it, and the ways in which panoramisk's own handler would hang."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

import pytest

from ami_rotator.domain.types import CallKey, Dialer, Miss
from ami_rotator.http.fastagi import HEADERS_MAX, start_fastagi
from tests.support.http_rig import Desk, Inventory, State, make_deps

CODE = "V5311444410051765735"
SET = "SET VARIABLE CALLERID(num) 5551234567"


@dataclass
class Agi:
    """A running FastAGI server."""

    port: int
    desk: Desk

    async def call(self, *, campaign: str | None = "SALES", script: str = "next-cid", **changes: str) -> list[str]:
        """Make one call as Asterisk does; return the commands that came back."""
        headers = {
            "agi_network": "yes",
            "agi_network_script": script,
            "agi_request": f"agi://127.0.0.1/{script}",
            "agi_channel": "Local/915559876543@default-0000001a;2",
            "agi_uniqueid": "1700000000.12",
            "agi_callerid": "5550000000",
            "agi_calleridname": CODE,
            "agi_extension": "915559876543",
            **changes,
        }
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("".join(f"{k}: {v}\n" for k, v in headers.items()).encode("latin-1") + b"\n")
        commands = []
        async with asyncio.timeout(10):
            while line := (await reader.readline()).decode().rstrip("\n"):
                commands.append(line)
                known = line == "GET VARIABLE CAMPCUST" and campaign is not None
                writer.write(f"200 result=1 ({campaign})\n".encode() if known else b"200 result=0\n")
        writer.close()
        return commands


@contextlib.asynccontextmanager
async def agi(changes: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Agi]:
    desk = Desk()
    deps = replace(make_deps(desk, Inventory(), State(), options), **(changes or {}))
    server = await start_fastagi(deps)
    try:
        yield Agi(server.sockets[0].getsockname()[1], desk)
    finally:
        server.close()
        await server.wait_closed()


async def test_sets_the_number_and_only_the_number() -> None:
    async with agi() as at:
        assert await at.call() == ["GET VARIABLE CAMPCUST", SET]

        asked = at.desk.asked[0]
        assert asked.key == CallKey(Dialer("dialer1"), CODE, "1700000000.12")
        assert (asked.dialled, asked.campaign, asked.lead_id, asked.source) == (
            "915559876543",
            "SALES",
            "51765735",
            "fastagi",
        )


async def test_a_forwarded_trunk_is_left_alone() -> None:
    async with agi() as at:
        assert await at.call(agi_channel="PJSIP/carrier-00000001") == []
        assert at.desk.asked == []


@pytest.mark.parametrize("campaign", [None, ""])
async def test_without_campaign_nothing_is_asked(campaign: str | None) -> None:
    async with agi() as at:
        assert await at.call(campaign=campaign) == ["GET VARIABLE CAMPCUST"]
        assert at.desk.asked == []


async def test_a_miss_sets_nothing() -> None:
    async with agi() as at:
        at.desk.answer = Miss("none_free")
        assert await at.call() == ["GET VARIABLE CAMPCUST"]


async def test_the_dialer_and_the_key_come_in_the_scripts_query() -> None:
    async with agi({"dialers": ("east", "west")}, next_cid_key="s3cret") as at:
        assert await at.call(script="next-cid?dialer=west&key=s3cret") == ["GET VARIABLE CAMPCUST", SET]
        assert at.desk.asked[0].key.dialer == "west"
        for script in ("next-cid?dialer=west", "next-cid?dialer=x&key=s3cret", "other?key=s3cret", ""):
            assert await at.call(script=script) == []


async def test_an_address_outside_the_networks_is_refused() -> None:
    async with agi(next_cid_networks=(ip_network("10.0.0.0/8"),)) as at:
        assert await at.call() == []


async def test_a_name_that_is_not_utf_8_is_read() -> None:
    async with agi() as at:
        assert await at.call(agi_calleridname="Jos\xe9") == ["GET VARIABLE CAMPCUST", SET]


@pytest.mark.parametrize("extension", ["s", "", "9" * 60, "1\r2"])
async def test_an_extension_that_is_no_number_is_left_alone(extension: str) -> None:
    async with agi() as at:
        assert SET not in await at.call(agi_extension=extension)
        assert at.desk.asked == []


async def test_the_deadline_holds_when_the_pool_is_slow() -> None:
    async with agi(answer_budget_ms=100) as at:
        at.desk.before = lambda: asyncio.sleep(30)
        began = time.monotonic()
        assert await at.call() == ["GET VARIABLE CAMPCUST"]
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"agi_network: yes\n",
        b"x" * (HEADERS_MAX * 2),
        b"\n\n",
        b"\xff\xfe\n\n",
        b"agi_network_script: next-cid\nagi_channel: Local/1@x;2\nagi_extension: 5559876543\n\ngarbage\n",
        b"agi_network_script: next-cid\nagi_channel: Local/1@x;2\nagi_extension: 5559876543\n\nHANGUP\n",
        b"agi_network_script: next-cid\nagi_channel: Local/1@x;2\nagi_extension: 5559876543\n\n" + b"100 Trying\n" * 99,
    ],
)
@pytest.mark.parametrize("closes", [True, False])
async def test_whatever_comes_the_connection_ends_and_others_are_served(sent: bytes, closes: bool) -> None:
    async with agi(answer_budget_ms=200) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(sent)
        if closes:
            writer.write_eof()
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                await reader.read()
            assert await at.call() == ["GET VARIABLE CAMPCUST", SET]
        writer.close()
        assert len(at.desk.asked) == 1
