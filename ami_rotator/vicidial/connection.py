"""One connection to VICIdial's database, on which nothing waits for long and nothing is locked.

asyncmy's own time limits are not used: `connect_timeout` ends with the TCP connection, so that a frozen server, whose
kernel still accepts, keeps the handshake waiting for ever; `read_timeout` drains the socket before it gives up. A password
is given as bytes, because asyncmy encodes text as Latin-1.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import asyncmy
from asyncmy.connection import Connection as Wire
from asyncmy.errors import MySQLError

from ami_rotator.vicidial.address import DatabaseAddress
from ami_rotator.vicidial.errors import (
    VicidialError,
    VicidialRefusedError,
    VicidialSchemaError,
    VicidialUnavailableError,
)

Row = tuple[Any, ...]

# Server error numbers, https://mariadb.com/kb/en/mariadb-error-codes/
_REFUSED = frozenset({1044, 1045, 1130, 1142, 1143, 1227, 1251, 1275, 1370, 1396, 1524, 1698, 1862, 4151})
_SCHEMA = frozenset({1049, 1054, 1146})
_TOO_SLOW = frozenset({1205, 1317, 1969, 3024})
_UNKNOWN_VARIABLE = frozenset({1193, 1227})


class VicidialConnection:
    """One connection, for one task at a time. It is opened on demand and closed by whatever goes wrong."""

    def __init__(
        self, address: DatabaseAddress, *, purpose: str, connect_limit_s: float = 2.0, query_limit_s: float = 1.0
    ) -> None:
        """Prepare the connection; nothing is opened yet. `purpose` is what the server's process list shows."""
        self.address = address
        self.queries = 0
        self.busy_s = 0.0
        self.version = ""
        self._purpose = purpose
        self._connect_limit_s = connect_limit_s
        self._query_limit_s = query_limit_s
        self._wire: Wire | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection was open when it was last used."""
        return self._wire is not None

    async def open(self) -> None:
        """Connect, unless connected.

        Raises:
            VicidialUnavailableError: nobody answered in time.
            VicidialRefusedError: the account or its password is wrong.
            VicidialSchemaError: there is no such database.
        """
        if self._wire is not None:
            return
        self._wire = await self._connect()
        try:
            await self._set_up()
        except VicidialError:
            self.close()
            raise

    async def rows(self, sql: str, args: Sequence[object] = ()) -> Sequence[Row]:
        """Run one query and return its rows.

        Raises:
            VicidialUnavailableError: there is no connection, it was lost, or the time limit passed.
            VicidialRefusedError, VicidialSchemaError: the server said so; the connection stays.
        """
        return (await self._run(sql, args))[0]

    async def change(self, sql: str, args: Sequence[object] = ()) -> int:
        """Run one statement that writes and return how many rows it changed. Raises as `rows`."""
        return (await self._run(sql, args))[1]

    def close(self) -> None:
        """Drop the connection at once. What the server still does for it ends by its own time limit."""
        wire, self._wire = self._wire, None
        if wire is not None:
            transport = getattr(wire, "_transport", None)
            wire.close()
            if transport is not None:
                transport.abort()

    async def _run(self, sql: str, args: Sequence[object]) -> tuple[Sequence[Row], int]:
        wire = self._wire
        if wire is None:
            raise VicidialUnavailableError("VICIdial's database is not connected")
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._query_limit_s):
                cursor = wire.cursor()
                await cursor.execute(sql, tuple(args) or None)
                found = await cursor.fetchall() if cursor.description else ()
                return tuple(found), int(str(cursor.rowcount))
        except TimeoutError:
            self.close()
            raise VicidialUnavailableError(
                f"VICIdial's database at {self.address} did not answer within {self._query_limit_s * 1000:.0f} ms"
            ) from None
        except (MySQLError, OSError, RuntimeError) as error:
            raised = self._read(error)
            if isinstance(raised, VicidialUnavailableError):
                self.close()
            raise raised from error
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self.queries += 1
            self.busy_s += loop.time() - began

    async def _connect(self) -> Wire:
        address = self.address
        task = asyncio.ensure_future(
            asyncmy.connect(
                host=address.host,
                port=address.port,
                unix_socket=address.socket or None,
                user=address.user,
                password=address.password.encode(),
                database=address.name,
                autocommit=True,
                connect_timeout=self._connect_limit_s,
                program_name=f"ami_rotator {self._purpose}",
                ssl=_tls(address),
            )
        )
        try:
            await asyncio.wait({task}, timeout=self._connect_limit_s)
        finally:
            # asyncio.wait_for, which asyncmy uses, can swallow a cancellation in Python 3.11: one may not be enough.
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
        if task.cancelled():
            raise VicidialUnavailableError(
                f"VICIdial's database at {address} did not answer within {self._connect_limit_s:g} s"
            )
        try:
            return task.result()
        except (MySQLError, OSError, RuntimeError, ValueError) as error:
            raise self._read(error) from error

    async def _set_up(self) -> None:
        limit_s = self._query_limit_s
        self.version = str((await self.rows("SELECT VERSION()"))[0][0])
        # The server gives up a little before we do, so that a slow statement does not outlive its reader.
        await self._set(f"max_statement_time = {limit_s * 0.9:.3f}")
        await self._set(f"lock_wait_timeout = {max(1, round(limit_s))}")
        # Our writes wait for VICIdial's reads, which then never wait for ours.
        await self._set("low_priority_updates = 1")
        await self.rows("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    async def _set(self, assignment: str) -> None:
        """Set a session variable; a server that does not know it works without."""
        try:
            await self.rows(f"SET SESSION {assignment}")
        except VicidialError as error:
            if _number(error.__cause__) not in _UNKNOWN_VARIABLE:
                raise

    def _read(self, error: Exception) -> VicidialError:
        number = _number(error)
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        where = f"VICIdial's database at {self.address}"
        if number in _REFUSED:
            return VicidialRefusedError(
                f"{where} refused: {text}. Give the account its rights: ami-rotator vicidial grants"
            )
        if number in _SCHEMA:
            return VicidialSchemaError(f"{where} is not as expected: {text}")
        if number in _TOO_SLOW:
            return VicidialUnavailableError(f"{where} is too slow: {text}")
        return VicidialUnavailableError(f"{where} is away: {text}")


def _number(error: BaseException | None) -> int:
    first = error.args[0] if isinstance(error, MySQLError) and error.args else 0
    return first if isinstance(first, int) else 0


def _tls(address: DatabaseAddress) -> ssl.SSLContext | None:
    if address.tls == "off":
        return None
    context = ssl.create_default_context(cafile=address.tls_ca or None)
    if address.tls == "on":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
