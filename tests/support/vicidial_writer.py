"""Write what VICIdial's own scripts write around a call, in their order (r3939).

Auto-dialled: AST_VDauto_dial.pl:2381-2397. Manual: vdc_db_query.php:5243-5293 (`next`: the agent's row is there before the
call's) and 7199-7234 (`preview`: after it).
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Literal

import asyncmy
from asyncmy.connection import Connection

from ami_rotator.vicidial.address import DatabaseAddress
from tests.support.vicidial_dialer import PlacedCall

ManualPath = Literal["next", "preview"]

_MANAGER = """
INSERT INTO vicidial_manager (entry_date, status, response, server_ip, channel, action, callerid, cmd_line_b, cmd_line_c,
       cmd_line_d, cmd_line_e, cmd_line_f, cmd_line_g, cmd_line_k)
VALUES (%s, 'NEW', 'N', %s, '', 'Originate', %s, %s, 'Context: default', %s, 'Priority: 1', %s, 'Timeout: 30000', %s)"""
_AUTO_CALL = """
INSERT INTO vicidial_auto_calls (server_ip, campaign_id, status, lead_id, callerid, phone_code, phone_number, call_time,
       call_type, alt_dial, queue_priority, last_update_time)
VALUES (%s, %s, 'SENT', %s, %s, %s, %s, %s, 'OUT', 'MAIN', 50, %s)"""
_MANUAL_CALL = """
INSERT INTO vicidial_auto_calls (server_ip, campaign_id, status, lead_id, callerid, phone_code, phone_number, call_time,
       call_type)
VALUES (%s, %s, 'XFER', %s, %s, %s, %s, %s, 'OUT')"""
_DIAL_LOG = """
INSERT INTO vicidial_dial_log (caller_code, lead_id, server_ip, call_date, extension, channel, timeout, outbound_cid,
       context)
VALUES (%s, %s, %s, %s, %s, %s, 30000, %s, 'default')"""
_CID_LOG = """
INSERT INTO vicidial_dial_cid_log (caller_code, call_date, call_type, call_alt, outbound_cid, outbound_cid_type)
VALUES (%s, %s, %s, 'MAIN', %s, 'CID_GROUP')"""
_USER_LOG = """
INSERT INTO vicidial_user_dial_log (caller_code, user, call_date, call_type, notes) VALUES (%s, %s, %s, 'M', 'MAIN')"""
_AGENT = """
UPDATE vicidial_live_agents SET status = 'INCALL', callerid = %s, lead_id = %s, comments = 'MANUAL' WHERE user = %s"""


class VicidialDatabaseWriter:
    """VICIdial's side of its database; enter it with ``async with``. Give `before_originate` to a VicidialDialer.

    `agents` take turns at manual calls; `between_s` is the pause between two inserts of a manual call, as a web request
    has it.
    """

    def __init__(
        self,
        address: DatabaseAddress,
        server_ip: str = "127.0.0.1",
        *,
        agents: tuple[str, ...] = ("6666",),
        manual_path: ManualPath = "next",
        between_s: float = 0.0,
        own_number: str = "3125550000",
    ) -> None:
        self.written_at_ms: dict[str, int] = {}
        self.agent_of: dict[str, str] = {}
        self._address = address
        self._server_ip = server_ip
        self._agents = agents
        self._path: ManualPath = manual_path
        self._between_s = between_s
        self._own_number = own_number
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None

    async def __aenter__(self) -> VicidialDatabaseWriter:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    async def connect(self) -> None:
        """Connect, again after the server was restarted."""
        address = self._address
        self._connection = await asyncmy.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.encode(),
            database=address.name,
            autocommit=True,
        )

    async def before_originate(self, call: PlacedCall) -> None:
        """Write a call's rows: a VicidialDialer awaits this before it sends the Originate."""
        planned = call.planned
        write = self.write_auto if planned.kind == "V" else self.write_manual
        await write(call.code, call.lead_id, planned.campaign, planned.destination)

    async def write_auto(
        self, code: str, lead_id: int, campaign: str, number: str, phone_code: str = "1", server_ip: str = ""
    ) -> None:
        """Write an auto-dialled call."""
        server, now = server_ip or self._server_ip, _now()
        channel, caller_id = f"Local/9{phone_code}{number}@default", f'"{code}" <{self._own_number}>'
        note = f"VDACnote: {campaign}|{lead_id}|{phone_code}|{number}|OUT|MAIN|50"
        async with self._lock:
            await self._run(
                _MANAGER, now, server, code, "Exten: 138368", f"Channel: {channel}", f"Callerid: {caller_id}", note
            )
            await self._run(_AUTO_CALL, server, campaign, lead_id, code, phone_code, number, now, now)
            self.written_at_ms[code] = time.time_ns() // 1_000_000
            await self._run(_DIAL_LOG, code, lead_id, server, now, "138368", channel, caller_id)
            await self._run(_CID_LOG, code, now, "OUT", self._own_number)

    async def write_manual(self, code: str, lead_id: int, campaign: str, number: str, phone_code: str = "1") -> None:
        """Write a call that an agent dials."""
        server, now = self._server_ip, _now()
        agent = self._agents[len(self.agent_of) % len(self._agents)]
        self.agent_of[code] = agent
        dialled, caller_id = f"9{phone_code}{number}", f'"{code}" <{self._own_number}>'
        call = (_MANUAL_CALL, server, campaign, lead_id, code, phone_code, number, now)
        user = (_USER_LOG, code, agent, now)
        cid = (_CID_LOG, code, now, "MANUAL", self._own_number)
        async with self._lock:
            await self._run(
                *(_MANAGER, now, server, code, f"Exten: {dialled}"),
                *("Channel: Local/8600051@default", f"Callerid: {caller_id}", ""),
            )
            await self._run(_DIAL_LOG, code, lead_id, server, now, dialled, "Local/8600051@default", caller_id)
            for step in (cid, user, call) if self._path == "next" else (call, cid, user):
                await asyncio.sleep(self._between_s)
                await self._run(*step)
                if step is call:
                    self.written_at_ms[code] = time.time_ns() // 1_000_000
            await self._run(_AGENT, code, lead_id, agent)

    async def answered(self, code: str) -> None:
        """Mark an auto-dialled call as answered."""
        async with self._lock:
            await self._run(
                "UPDATE vicidial_auto_calls SET status = 'LIVE', stage = 'LIVE-0' WHERE callerid = %s", code
            )

    async def ended(self, code: str) -> None:
        """Remove a call's row, as the end of its trunk leg does."""
        async with self._lock:
            await self._run("DELETE FROM vicidial_auto_calls WHERE callerid = %s", code)

    async def _run(self, sql: str, *args: object) -> None:
        if self._connection is None:
            raise RuntimeError("the writer is not connected")
        await self._connection.cursor().execute(sql, args)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
