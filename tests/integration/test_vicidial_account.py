"""The account in VICIdial's database: least privilege is enough, and what is missing or too much is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from ami_rotator.domain.types import E164
from ami_rotator.vicidial.address import DatabaseAddress
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialRefusedError, VicidialSchemaError, VicidialUnavailableError
from ami_rotator.vicidial.grants import READING_PARTS, Right, check_grants, grants_sql, read_grant
from ami_rotator.vicidial.hopper import Hopper
from ami_rotator.vicidial.push import Push
from ami_rotator.vicidial.push_plan import Eligibility
from ami_rotator.vicidial.push_transports import SqlTransport
from ami_rotator.vicidial.schema import Part
from ami_rotator.vicidial.settings_read import read_settings
from ami_rotator.vicidial.write_back import WriteBack
from tests.support.feed_listener import FeedListener
from tests.support.mariadb import as_account, execute, execute_many
from tests.support.vicidial_dialer import call_code
from tests.support.vicidial_writer import VicidialDatabaseWriter

pytestmark = [pytest.mark.thorough, pytest.mark.mariadb]

_HOST = "127.0.0.1"
_PASSWORD = "p@ss/w?rd#100%'\\äß"
_CODE = call_code("M", 7)


@dataclass(frozen=True, slots=True)
class _Account:
    """An account that was made by the printed statements, and the database as root."""

    address: DatabaseAddress
    root: DatabaseAddress

    def connection(self) -> VicidialConnection:
        return VicidialConnection(self.address, purpose="test")


async def _make(root: DatabaseAddress, parts: tuple[Part, ...]) -> _Account:
    user = root.name.replace("asterisk", "rotator")
    await execute(root, *grants_sql(root.name, user, _HOST, _PASSWORD, parts))
    return _Account(as_account(root, user, _PASSWORD), root)


@pytest.fixture
async def reader(vicidial_database: DatabaseAddress) -> AsyncIterator[_Account]:
    """An account that may read."""
    account = await _make(vicidial_database, READING_PARTS)
    yield account
    await execute(vicidial_database, f"DROP USER '{account.address.user}'@'{_HOST}'")


@pytest.fixture
async def writer(vicidial_database: DatabaseAddress) -> AsyncIterator[_Account]:
    """An account that may also write back and push."""
    account = await _make(vicidial_database, (*READING_PARTS, "write_back", "push"))
    yield account
    await execute(vicidial_database, f"DROP USER '{account.address.user}'@'{_HOST}'")


async def test_the_printed_rights_are_enough_to_read(reader: _Account) -> None:
    async with FeedListener(reader.address) as feed, VicidialDatabaseWriter(reader.root, agents=("alice",)) as vicidial:
        await feed.until_on()
        await vicidial.write_manual(_CODE, 7, "SALES", "2125550100")
        await feed.until(lambda it: bool(it.calls))
    hopper = await Hopper(reader.connection()).refresh()
    settings = await read_settings(reader.connection())
    findings = await check_grants(reader.connection(), READING_PARTS)

    assert [(call.code, call.agent) for call in feed.calls] == [(_CODE, "alice")]
    assert (hopper.ready, settings.entries) == (0, ())
    assert findings == []


async def test_a_reader_can_write_nothing(reader: _Account) -> None:
    connection = reader.connection()
    await connection.open()
    for table in ("vicidial_dial_cid_log", "vicidial_auto_calls", "vicidial_campaign_cid_areacodes"):
        with pytest.raises(VicidialRefusedError):
            await connection.change(f"DELETE FROM {table}")
    with pytest.raises(VicidialRefusedError, match="first_name"):
        await connection.rows("SELECT first_name FROM vicidial_list")
    findings = await check_grants(connection, ("write_back", "push"))
    connection.close()

    assert {"vicidial_dial_cid_log", "vicidial_campaign_cid_areacodes"} <= {
        name for finding in findings for name in finding.fix.replace("`", ".").split(".")
    }
    assert all(finding.level == "problem" for finding in findings)


async def test_the_printed_rights_are_enough_to_write_back_and_push(writer: _Account) -> None:
    await execute(
        writer.root,
        f"INSERT INTO vicidial_dial_cid_log (caller_code, outbound_cid) VALUES ('{_CODE}', '3125550000')",
        "INSERT INTO vicidial_campaign_cid_areacodes (campaign_id, areacode, outbound_cid) "
        "VALUES ('EAST', '212', '2125550100')",
    )
    connection = writer.connection()
    back = WriteBack(connection)
    back.note(_CODE, "2125550100")
    everything = frozenset({E164("+12125550100")})

    async def eligible() -> Eligibility:
        return Eligibility(everything, everything)

    assert await back.flush()
    state = await Push(SqlTransport(writer.connection()), eligible).round()
    findings = await check_grants(writer.connection(), (*READING_PARTS, "write_back", "push"))
    connection.close()

    assert (back.state().written, state.switched_on, state.why) == (1, 1, "")
    assert findings == []


async def test_the_fixes_of_the_findings_mend_them(reader: _Account) -> None:
    parts: tuple[Part, ...] = (*READING_PARTS, "write_back", "push")
    user = f"'{reader.address.user}'@'{_HOST}'"
    await execute(
        reader.root,
        f"REVOKE SELECT (user) ON vicidial_user_dial_log FROM {user}",
        f"REVOKE SELECT (lead_id, phone_code, phone_number, alt_phone, address3) ON vicidial_list FROM {user}",
        f"GRANT INSERT, DELETE ON vicidial_list TO {user}",
        f"GRANT PROCESS ON *.* TO {user}",
    )
    findings = await check_grants(reader.connection(), parts)
    for finding in findings:
        await execute(reader.root, *(part for part in finding.fix.split(";") if part.strip()))
    after = await check_grants(reader.connection(), parts)

    text = "\n".join(f"{finding.level}: {finding.what}" for finding in findings)
    for expected in (
        "problem: cannot read vicidial_user_dial_log.user",
        "problem: cannot read vicidial_list",
        "problem: cannot change vicidial_dial_cid_log.outbound_cid",
        "problem: cannot change vicidial_campaign_cid_areacodes.active",
        "advice: the account may do more than it needs: INSERT ON",
        "advice: the account may do more than it needs: PROCESS ON *.*",
    ):
        assert expected in text
    assert after == []


async def test_root_is_more_than_is_needed(vicidial_database: DatabaseAddress) -> None:
    findings = await check_grants(VicidialConnection(vicidial_database, purpose="test"), READING_PARTS)

    assert {"advice"} == {finding.level for finding in findings}
    assert any("ALL PRIVILEGES ON *.*" in finding.what for finding in findings)


def test_grants_are_read_as_the_server_writes_them() -> None:
    line = "GRANT SELECT (`user`, `caller_code`), UPDATE (`outbound_cid`) ON `aster\\_isk`.`log` TO `r`@`%`"

    assert read_grant(line) == [
        Right("SELECT", "aster_isk", "log", ("user", "caller_code")),
        Right("UPDATE", "aster_isk", "log", ("outbound_cid",)),
    ]
    assert read_grant("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION") == [
        Right("ALL PRIVILEGES", "*", "*")
    ]
    assert read_grant("GRANT `role` TO `r`@`%`") == []


async def test_a_query_has_a_time_limit_and_the_server_stops_it(vicidial_database: DatabaseAddress) -> None:
    connection = VicidialConnection(vicidial_database, purpose="test", query_limit_s=0.4)
    await connection.open()
    began_s = time.monotonic()
    with pytest.raises(VicidialUnavailableError):
        await connection.rows("SELECT SLEEP(5) FROM DUAL")
    took_s = time.monotonic() - began_s
    if not connection.is_open:
        await connection.open()
    running = await connection.rows(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(5)%%'"
    )
    connection.close()

    assert took_s < 1
    assert running[0][0] <= 1  # the one that counts


async def test_a_cancelled_query_leaves_no_connection_that_answers_the_wrong_question(
    vicidial_database: DatabaseAddress,
) -> None:
    connection = VicidialConnection(vicidial_database, purpose="test")
    await connection.open()
    task = asyncio.create_task(connection.rows("SELECT SLEEP(0.3)"))
    await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    was_open = connection.is_open
    await connection.open()
    answer = await connection.rows("SELECT 42")
    connection.close()

    assert (was_open, answer[0][0]) == (False, 42)


async def test_what_the_server_says_no_to_keeps_the_connection(vicidial_database: DatabaseAddress) -> None:
    connection = VicidialConnection(vicidial_database, purpose="test")
    await connection.open()
    with pytest.raises(VicidialSchemaError, match="nowhere"):
        await connection.rows("SELECT * FROM nowhere")
    answer = await connection.rows("SELECT %s, '100%%'", ["it's"])
    connection.close()

    assert answer[0] == ("it's", "100%")


async def test_reads_are_never_repeatable_and_writes_wait_for_reads(vicidial_database: DatabaseAddress) -> None:
    connection = VicidialConnection(vicidial_database, purpose="test")
    await connection.open()
    names = "@@tx_isolation, @@low_priority_updates, @@autocommit, @@max_statement_time"
    found = (await connection.rows(f"SELECT {names}"))[0]
    connection.close()

    assert (*found[:3], float(found[3])) == ("READ-COMMITTED", 1, 1, 0.9)


async def test_a_connection_by_socket_works(vicidial_database: DatabaseAddress) -> None:
    plain = VicidialConnection(vicidial_database, purpose="test")
    await plain.open()
    socket = str((await plain.rows("SELECT @@socket"))[0][0])
    plain.close()
    address = DatabaseAddress(socket=socket, user="root", name=vicidial_database.name)
    connection = VicidialConnection(address, purpose="test")
    await connection.open()
    found = await connection.rows("SELECT DATABASE()")
    connection.close()

    assert vicidial_database.name == found[0][0]


async def test_the_key_of_a_growing_table_is_asked_for(vicidial_database: DatabaseAddress) -> None:
    await execute(vicidial_database, "ALTER TABLE vicidial_dial_cid_log DROP KEY caller_code")
    await execute_many(vicidial_database, "INSERT INTO vicidial_dial_cid_log (caller_code) VALUES (%s)", [(_CODE,)])
    back = WriteBack(VicidialConnection(vicidial_database, purpose="test"))
    back.note(_CODE, "2125550100")

    assert not await back.flush()
    assert "key on vicidial_dial_cid_log.caller_code" in back.state().why
