"""The feed on a real MariaDB: every call once, in order, whatever the database does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from ami_rotator.domain.types import Dialer
from ami_rotator.vicidial.address import DatabaseAddress
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialUnavailableError
from ami_rotator.vicidial.feed import FeedPace
from tests.support.feed_listener import DIALER, SERVER_IP, FeedListener
from tests.support.mariadb import MariaDb, create_vicidial_database, execute, execute_many
from tests.support.vicidial_dialer import call_code
from tests.support.vicidial_writer import ManualPath, VicidialDatabaseWriter

pytestmark = [pytest.mark.thorough, pytest.mark.mariadb]

_INSERT = """
INSERT INTO vicidial_auto_calls (auto_call_id, server_ip, campaign_id, status, lead_id, callerid, phone_code, phone_number,
       call_time, call_type)
VALUES (%s, %s, 'SALES', %s, %s, %s, '1', '2125550100', NOW() - INTERVAL %s SECOND, 'OUT')"""


async def _insert(
    address: DatabaseAddress, number: int | None, code: str, status: str = "SENT", age_s: int = 0, ip: str = SERVER_IP
) -> None:
    await execute_many(address, _INSERT, [(number, ip, status, int(code[10:]), code, age_s)])


async def test_every_call_is_told_of_once_in_the_order_of_its_row(vicidial_database: DatabaseAddress) -> None:
    written = [call_code("V", lead) for lead in range(100, 160)]
    async with FeedListener(vicidial_database) as feed, VicidialDatabaseWriter(vicidial_database) as writer:
        await feed.until_on()
        for lead, code in enumerate(written, 100):
            await writer.write_auto(code, lead, "SALES", "2125550100")
            await asyncio.sleep(0.005)
        await feed.until(lambda it: len(it.calls) >= len(written))
        await asyncio.sleep(0.1)

    assert written == feed.codes
    first = feed.calls[0]
    assert (
        first.dialer,
        first.kind,
        first.campaign,
        first.lead_id,
        first.dialled,
        first.agent,
    ) == (DIALER, "auto", "SALES", "100", "12125550100", "")
    assert abs(first.row_age_ms) <= 1500
    assert abs(first.seen_at_ms - writer.written_at_ms[first.code]) < 1000


async def test_a_row_is_told_of_within_a_poll(vicidial_database: DatabaseAddress) -> None:
    async with FeedListener(vicidial_database) as feed, VicidialDatabaseWriter(vicidial_database) as writer:
        await feed.until_on()
        for lead in range(100, 200):
            await writer.write_auto(call_code("V", lead), lead, "SALES", "2125550100")
            await asyncio.sleep(0.011)
        await feed.until(lambda it: len(it.calls) == 100)

    took_ms = sorted(feed.told_at_ms[code] - writer.written_at_ms[code] for code in feed.codes)
    assert took_ms[50] <= 40, took_ms


@pytest.mark.parametrize("path", ["next", "preview"])
async def test_the_agent_of_a_manual_call_is_known(vicidial_database: DatabaseAddress, path: ManualPath) -> None:
    code = call_code("M", 77)
    writer = VicidialDatabaseWriter(vicidial_database, agents=("alice",), manual_path=path, between_s=0.06)
    async with FeedListener(vicidial_database) as feed, writer:
        await feed.until_on()
        await writer.write_manual(code, 77, "SALES", "2125550100")
        await feed.until(lambda it: bool(it.agents or (it.calls and it.calls[0].agent)))

    told = [(call.kind, call.code, call.agent) for call in feed.calls]
    later = [(known.dialer, known.code, known.agent) for known in feed.agents]
    if path == "next":
        assert ([("manual", code, "alice")], []) == (told, later)
    else:
        assert ([("manual", code, "")], [(DIALER, code, "alice")]) == (told, later)


async def test_rows_of_the_past_and_of_other_kinds_are_passed_over(vicidial_database: DatabaseAddress) -> None:
    async with FeedListener(vicidial_database) as feed:
        await feed.until_on()
        await _insert(vicidial_database, None, call_code("V", 1), "LIVE")
        await _insert(vicidial_database, None, call_code("V", 2), "XFER")
        await _insert(vicidial_database, None, "Y" + call_code("V", 3)[1:])
        await _insert(vicidial_database, None, call_code("V", 4), ip="10.9.9.9")
        await _insert(vicidial_database, None, call_code("V", 5), ip="10.9.9.9")
        await _insert(vicidial_database, None, call_code("V", 6))
        await feed.until(lambda it: bool(it.calls))
        state = feed.feed.state()

    assert [call_code("V", 6)[10:]] == [code[10:] for code in feed.codes]
    assert dict(state.skipped) == {"past": 2, "not_outbound": 1, "unknown_dialer": 2}
    assert state.unknown_servers == ("10.9.9.9",)


async def test_at_the_start_only_calls_still_to_come_are_told_of(vicidial_database: DatabaseAddress) -> None:
    fresh, manual = call_code("V", 1), call_code("M", 2)
    await _insert(vicidial_database, None, call_code("V", 3), age_s=60)
    await _insert(vicidial_database, None, call_code("V", 4), "LIVE")
    await _insert(vicidial_database, None, fresh, age_s=1)
    await _insert(vicidial_database, None, manual, "XFER")
    await _insert(vicidial_database, None, call_code("V", 5), "LIVE", age_s=600)

    async with FeedListener(vicidial_database) as feed:
        await feed.until_on()
        await feed.until(lambda it: len(it.calls) == 2)
        await asyncio.sleep(0.1)

    assert [fresh, manual] == feed.codes


async def test_an_id_that_becomes_visible_late_is_not_lost(vicidial_database: DatabaseAddress) -> None:
    async with FeedListener(vicidial_database) as feed:
        await feed.until_on()
        await _insert(vicidial_database, 10, call_code("V", 10))
        await feed.until(lambda it: len(it.calls) == 1)
        await _insert(vicidial_database, 13, call_code("V", 13))
        await feed.until(lambda it: len(it.calls) == 2)
        await _insert(vicidial_database, 11, call_code("V", 11))
        await _insert(vicidial_database, 14, call_code("V", 14))
        await _insert(vicidial_database, 12, call_code("V", 12))
        await feed.until(lambda it: len(it.calls) == 5)

    assert {10, 11, 12, 13, 14} == {int(call.lead_id) for call in feed.calls}


async def test_a_table_that_begins_at_one_again_is_noticed(vicidial_database: DatabaseAddress) -> None:
    async with FeedListener(vicidial_database) as feed:
        await feed.until_on()
        await _insert(vicidial_database, 50_000, call_code("V", 1))
        await feed.until(lambda it: len(it.calls) == 1)
        await execute(vicidial_database, "TRUNCATE vicidial_auto_calls")
        await _insert(vicidial_database, None, call_code("V", 2))
        took_s = await feed.until(lambda it: len(it.calls) == 2)
        await _insert(vicidial_database, None, call_code("V", 3))
        await feed.until(lambda it: len(it.calls) == 3, limit_s=0.5)

    assert took_s < 2.5


async def test_a_cluster_of_dialers_is_served_from_one_database(vicidial_database: DatabaseAddress) -> None:
    async with FeedListener(vicidial_database, servers=3) as feed, VicidialDatabaseWriter(vicidial_database) as writer:
        await feed.until_on()
        for number in (1, 2, 3):
            code = call_code("V", number)
            await writer.write_auto(code, number, "SALES", "2125550100", server_ip=f"127.0.0.{number}")
        await feed.until(lambda it: len(it.calls) == 3)

    assert [Dialer("dialer1"), Dialer("dialer2"), Dialer("dialer3")] == [call.dialer for call in feed.calls]


async def test_clocks_in_another_time_zone_do_not_stop_the_feed(vicidial_database: DatabaseAddress) -> None:
    async with FeedListener(vicidial_database) as feed:
        await feed.until_on()
        await _insert(vicidial_database, None, call_code("V", 1), age_s=3600)
        await feed.until(lambda it: len(it.calls) == 1)
        state = feed.feed.state()

    assert 3599 <= state.clock_off_s <= 3602


async def test_an_idle_feed_asks_less(vicidial_database: DatabaseAddress) -> None:
    pace = FeedPace(fast_s=0.01, idle_s=0.2, idle_after_s=4.0)  # long enough to be seen on a busy machine too
    async with FeedListener(vicidial_database, pace) as feed:
        await feed.until_on()
        await feed.until(lambda it: it.feed.state().queries_per_s > 30)
        await feed.until(lambda it: 0 < it.feed.state().queries_per_s < 8, limit_s=20)
        await _insert(vicidial_database, None, call_code("V", 1))
        await feed.until(lambda it: it.feed.state().queries_per_s > 30)


async def test_without_the_agents_table_the_feed_works_without_agents(vicidial_database: DatabaseAddress) -> None:
    await execute(vicidial_database, "DROP TABLE vicidial_user_dial_log")
    async with FeedListener(vicidial_database) as feed:
        await feed.until_on()
        await _insert(vicidial_database, None, call_code("M", 1), "XFER")
        await feed.until(lambda it: len(it.calls) == 1)
        state = feed.feed.state()

    assert (state.knows_agents, feed.calls[0].agent) == (False, "")


async def test_another_schema_turns_the_feed_off_and_says_what_is_missing(vicidial_database: DatabaseAddress) -> None:
    await execute(vicidial_database, "ALTER TABLE vicidial_auto_calls DROP COLUMN phone_code, DROP COLUMN call_time")
    async with FeedListener(vicidial_database) as feed:
        await feed.until_off()
        why = feed.feed.state().why
        await execute(
            vicidial_database, "ALTER TABLE vicidial_auto_calls ADD phone_code VARCHAR(10), ADD call_time DATETIME"
        )
        await feed.until_on(limit_s=5)

    assert "vicidial_auto_calls.phone_code, vicidial_auto_calls.call_time" in why


@pytest.mark.parametrize("wrong", ["password", "database", "port"])
async def test_a_wrong_address_turns_the_feed_off_and_says_why(vicidial_database: DatabaseAddress, wrong: str) -> None:
    changed = {
        "password": replace(vicidial_database, password="no"),
        "database": replace(vicidial_database, name="nowhere"),
        "port": replace(vicidial_database, port=1),
    }[wrong]
    says = {"password": "Access denied", "database": "Unknown database", "port": "Can't connect"}[wrong]
    async with FeedListener(changed) as feed:
        await feed.until_off()
        why = feed.feed.state().why

    assert says in why
    assert "'no'" not in why


async def test_a_frozen_database_turns_the_feed_off_in_time_and_it_comes_back(own_mariadb: MariaDb) -> None:
    address = await create_vicidial_database(own_mariadb, "asterisk")
    async with FeedListener(address, query_limit_s=0.5) as feed:
        await feed.until_on()
        own_mariadb.freeze()
        try:
            off_s = await feed.until_off()
            # The kernel of a frozen server still accepts: the handshake must end by itself.
            another = VicidialConnection(address, purpose="test", connect_limit_s=0.5)
            began_s = time.monotonic()
            with pytest.raises(VicidialUnavailableError, match="did not answer"):
                await another.open()
            connect_s = time.monotonic() - began_s
            await asyncio.sleep(2)
            assert "did not answer" in feed.feed.state().why
        finally:
            own_mariadb.thaw()
        on_s = await feed.until_on()

    assert off_s < 1.5
    assert connect_s < 1.5
    assert on_s < 5


async def test_calls_flow_again_within_five_seconds_of_a_restart(own_mariadb: MariaDb) -> None:
    address = await create_vicidial_database(own_mariadb, "asterisk")
    async with FeedListener(address) as feed, VicidialDatabaseWriter(address) as writer:
        await feed.until_on()
        for lead in range(1, 40):
            await writer.write_auto(call_code("V", lead), lead, "SALES", "2125550100")
        await feed.until(lambda it: len(it.calls) == 39)
        own_mariadb.kill()
        await feed.until_off()
        await asyncio.sleep(4)  # the pauses between tries are at their longest now
        await asyncio.to_thread(own_mariadb.start)
        up_s = time.monotonic()
        await writer.connect()
        wrote = 0
        while len(feed.calls) == 39:
            wrote += 1
            await writer.write_auto(call_code("V", 100 + wrote), 100 + wrote, "SALES", "2125550100")
            await asyncio.sleep(0.05)
            assert time.monotonic() - up_s < 10
        back_s = time.monotonic() - up_s
        # The table was in memory: it is empty and its ids begin at 1. What was written before the feed was back is young
        # enough to be told of.
        await feed.until(lambda it: len(it.calls) == 39 + wrote)

    print(f"the feed was back {back_s:.2f} s after MariaDB answered")
    assert back_s < 5
    assert len(set(feed.codes)) == len(feed.codes)
