"""What is written into VICIdial's database, and only that: write-back and push; and the import that reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import E164
from ami_rotator.vicidial.address import DatabaseAddress
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.push import Push
from ami_rotator.vicidial.push_plan import Eligibility
from ami_rotator.vicidial.push_transports import ApiTransport, SqlTransport
from ami_rotator.vicidial.settings_import import PresentState, make_plan
from ami_rotator.vicidial.settings_mapping import map_settings
from ami_rotator.vicidial.settings_read import read_settings
from ami_rotator.vicidial.write_back import WriteBack
from tests.support.mariadb import MariaDb, create_vicidial_database, execute, execute_many, query
from tests.support.vicidial_dialer import call_code
from tests.support.vicidial_writer import VicidialDatabaseWriter

pytestmark = [pytest.mark.thorough, pytest.mark.mariadb]

_ENTRY = (
    "INSERT INTO vicidial_campaign_cid_areacodes (campaign_id, areacode, outbound_cid, active) VALUES (%s, %s, %s, %s)"
)


class _Clock(SystemClock):
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


async def _logged(address: DatabaseAddress) -> dict[object, tuple[object, ...]]:
    rows = await query(
        address, "SELECT caller_code, outbound_cid, outbound_cid_type, call_type FROM vicidial_dial_cid_log"
    )
    return {row[0]: row[1:] for row in rows}


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_number_that_was_sent_is_written_back_and_nothing_else(vicidial_database: DatabaseAddress) -> None:
    auto, manual, other = call_code("V", 1), call_code("M", 2), call_code("V", 3)
    async with VicidialDatabaseWriter(vicidial_database) as vicidial:
        await vicidial.write_auto(auto, 1, "SALES", "2125550100")
        await vicidial.write_manual(manual, 2, "SALES", "2125550101")
        await vicidial.write_auto(other, 3, "SALES", "2125550102")
    back = WriteBack(VicidialConnection(vicidial_database, purpose="test"))
    back.note(auto, "6465550100")
    back.note(f"{manual} alice SALES", "3125550000")
    back.note("DC123456W0000000001W", "6465550100")
    flushed = await back.flush()

    assert flushed
    assert await _logged(vicidial_database) == {
        auto: ("6465550100", "CID_GROUP", "OUT"),
        manual: ("3125550000", "CID_GROUP", "MANUAL"),
        other: ("3125550000", "CID_GROUP", "OUT"),
    }
    state = back.state()
    assert (state.waiting, state.written, state.unchanged, state.missing, state.dropped, state.why) == (
        0,
        1,
        1,
        0,
        0,
        "",
    )


async def test_a_row_that_comes_late_is_waited_for_and_one_that_never_comes_given_up(
    vicidial_database: DatabaseAddress,
) -> None:
    clock = _Clock()
    late, never = call_code("V", 1), call_code("V", 2)
    back = WriteBack(VicidialConnection(vicidial_database, purpose="test"), clock=clock)
    back.note(late, "6465550100")
    back.note(never, "6465550101")
    await back.flush()
    waiting = back.state().waiting
    async with VicidialDatabaseWriter(vicidial_database) as vicidial:
        await vicidial.write_auto(late, 1, "SALES", "2125550100")
    await back.flush()
    clock.ahead_s = 31.0
    await back.flush()
    state = back.state()

    assert (waiting, state.waiting, state.written, state.missing) == (2, 0, 1, 1)


async def test_what_waits_is_bounded_and_drops_are_counted(vicidial_database: DatabaseAddress) -> None:
    back = WriteBack(VicidialConnection(vicidial_database, purpose="test"), waiting_most=3)
    for lead in range(5):
        back.note(call_code("V", lead), "6465550100")

    assert (back.state().waiting, back.state().dropped) == (3, 2)


async def test_write_back_outlives_an_outage(own_mariadb: MariaDb) -> None:
    address = await create_vicidial_database(own_mariadb, "asterisk")
    codes = [call_code("V", lead) for lead in range(120)]
    async with VicidialDatabaseWriter(address) as vicidial:
        for lead, code in enumerate(codes):
            await vicidial.write_auto(code, lead, "SALES", "2125550100")
    await execute(address, "FLUSH TABLES")
    back = WriteBack(VicidialConnection(address, purpose="test"), every_s=0.05)
    task = asyncio.create_task(back.run())
    own_mariadb.kill()
    for code in codes:
        back.note(code, "6465550100")
    await _until(lambda: bool(back.state().why))
    await asyncio.to_thread(own_mariadb.start)
    await _until(lambda: not back.state().waiting)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    logged = await _logged(address)

    assert {"6465550100"} == {row[0] for row in logged.values()}
    assert (back.state().written, back.state().why) == (120, "")


async def test_push_switches_the_entries_of_groups(vicidial_database: DatabaseAddress) -> None:
    await execute(
        vicidial_database,
        "INSERT INTO vicidial_cid_groups (cid_group_id, cid_auto_rotate_minutes) VALUES ('EAST', 0), ('ROUND', 5)",
    )
    entries = [
        ("EAST", "212", "2125550100", "Y"),
        ("EAST", "212", "2125550101", "Y"),
        ("EAST", "212", "2125550102", ""),
        ("EAST", "646", "6465550100", "Y"),
        ("ROUND", "NONE", "2125550100", "Y"),
        ("SALES", "212", "2125550100", "N"),
    ]
    await execute_many(vicidial_database, _ENTRY, entries)
    known = frozenset(E164(f"+1{entry[2]}") for entry in entries)

    async def eligible() -> Eligibility:
        return Eligibility(known, {E164("+12125550100"), E164("+12125550102")})

    push = Push(SqlTransport(VicidialConnection(vicidial_database, purpose="test")), eligible)
    state = await push.round()
    again = await push.round()
    sql = "SELECT campaign_id, areacode, outbound_cid, active FROM vicidial_campaign_cid_areacodes"
    after = {row[:3]: row[3] for row in await query(vicidial_database, sql)}

    assert (state.switched_on, state.switched_off, state.kept, state.why) == (2, 1, 1, "")
    assert (again.switched_on, again.switched_off, again.kept) == (0, 0, 1)
    assert [after[entry[:3]] for entry in entries] == ["Y", "N", "Y", "Y", "Y", "Y"]


class _NonAgentApi:
    """Answers as non_agent_api.php of r3939 does (lines 11251-11599), on the same table."""

    def __init__(self, address: DatabaseAddress) -> None:
        self.address = address
        self.allowed = True
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(fields)
        return web.Response(text=await self._answer(fields), content_type="text/html")

    async def _answer(self, fields: dict[str, str]) -> str:
        function = fields["function"]
        group, area, number = fields["cid_group_id"], fields["areacode"], fields.get("outbound_cid", "")
        if not self.allowed:
            return f"ERROR: {function} USER DOES NOT HAVE PERMISSION TO UPDATE CID GROUPS: |{fields['user']}|0\n"
        where = f"campaign_id = '{group}'"
        where += f" AND areacode = '{area}'" if area != "---ALL---" else ""
        where += f" AND outbound_cid = '{number}'" if number else ""
        found = await query(
            self.address, f"SELECT areacode, outbound_cid, active FROM vicidial_campaign_cid_areacodes WHERE {where}"
        )
        if not found:
            return f"ERROR: {function} THIS CID GROUP HAS NO ENTRIES: |{fields['user']}|{group}\n"
        if fields["stage"] == "INFO":
            lines = [f"{place}|{row[0]}|{row[1]}|{row[2] or 'N'}||0\n" for place, row in enumerate(found, 1)]
            head = f"SUCCESS: {function} CID GROUP INFO AS FOLLOWS {group}|{area}|{number}|{len(found)}\n"
            return head + "".join(lines)
        active = "Y" if fields["active"] == "Y" else ""
        await execute(self.address, f"UPDATE vicidial_campaign_cid_areacodes SET active = '{active}' WHERE {where}")
        return f"SUCCESS: {function} CID GROUP ENTRIES HAVE BEEN UPDATED - {fields['user']}|{group}|{area}|{number}|1\n"


@pytest.fixture
async def api(vicidial_database: DatabaseAddress) -> AsyncIterator[tuple[_NonAgentApi, BaseTestServer]]:
    """VICIdial's API, and the server it is on."""
    answering = _NonAgentApi(vicidial_database)
    app = web.Application()
    app.router.add_post("/vicidial/non_agent_api.php", answering.answer)
    async with TestServer(app) as server:
        yield answering, server


async def test_push_works_through_the_api_too(api: tuple[_NonAgentApi, BaseTestServer]) -> None:
    answering, server = api
    entries = [
        ("EAST", "212", "2125550100", "Y"),
        ("EAST", "212", "2125550101", "Y"),
        ("EAST", "212", "2125550102", ""),
    ]
    await execute_many(answering.address, _ENTRY, [*entries, ("EAST", "2 2", "2125550103", "N")])
    known = frozenset(E164(f"+1212555010{digit}") for digit in range(4))

    async def eligible() -> Eligibility:
        return Eligibility(known, {E164("+12125550102"), E164("+12125550103")})

    async with aiohttp.ClientSession() as session:
        url = str(server.make_url("/vicidial/non_agent_api.php"))
        push = Push(ApiTransport(session, url, "6666", "secret", ["EAST", "EMPTY"]), eligible)
        state = await push.round()
        sql = "SELECT outbound_cid, active FROM vicidial_campaign_cid_areacodes ORDER BY 1"
        after = await query(answering.address, sql)
        answering.allowed = False
        refused = await push.round()
        await server.close()
        away = await push.round()

    assert after == [("2125550100", ""), ("2125550101", "Y"), ("2125550102", "Y"), ("2125550103", "N")]
    assert (state.switched_on, state.switched_off, state.kept) == (1, 1, 1)
    assert "cannot name the entry EAST/2 2/2125550103" in state.why
    assert "DOES NOT HAVE PERMISSION" in refused.why
    assert "did not answer" in away.why
    assert all(asked["pass"] == "secret" and asked["source"] == "ami_rotator" for asked in answering.asked)
    assert all(asked["outbound_cid"] for asked in answering.asked if asked["stage"] == "UPDATE")


async def test_settings_are_read_for_import(vicidial_database: DatabaseAddress) -> None:
    await execute_many(
        vicidial_database, _ENTRY, [("EAST", "212", "2125550100", "Y"), ("EAST", "646", "6465550100", "")]
    )
    await execute(
        vicidial_database,
        "INSERT INTO vicidial_cid_groups (cid_group_id, cid_group_type) VALUES ('EAST', 'AREACODE')",
        "INSERT INTO vicidial_campaigns (campaign_id, campaign_cid, cid_group_id) VALUES ('SALES', '8005550199', 'EAST')",
        "INSERT INTO vicidial_lists (list_id, campaign_id, active, dial_prefix) VALUES (101, 'SALES', 'Y', '77'), "
        "(102, 'SALES', 'N', '66')",
    )
    connection = VicidialConnection(vicidial_database, purpose="test")
    plan = make_plan(map_settings(await read_settings(connection)), PresentState())
    connection.close()

    assert plan.new_groups == ("EAST", "cid-8005550199")
    assert [(item.number, item.area, item.active) for item in plan.new_caller_ids] == [
        ("+12125550100", "212", True),
        ("+16465550100", "646", False),
        ("+18005550199", "800", True),
    ]
    assert [(change.campaign, change.after) for change in plan.campaigns] == [("SALES", ("EAST", "cid-8005550199"))]
    assert plan.dial_prefixes == {"77": "SALES", "9": "SALES"}
    assert plan.unmapped == ()
