"""Copy the caller-IDs of a Caller-ID Rotation API for VICIdial, the program that ours takes the place of.

Its table (app/models.py there): `caller_ids(caller_id, carrier, area_code, daily_limit, hourly_limit, daily_used,
hourly_used, last_used, total_uses, is_active, meta)`. Its `reservations` are dead five minutes after it stops, and its
`api_requests` is a log of requests: neither is copied. Nothing is ever written there.
"""

from __future__ import annotations

import asyncio
import csv
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ami_rotator.errors import RotatorError
from ami_rotator.ledger.csv_import import ImportOptions, ImportReport, RowProblem, import_csv
from ami_rotator.ledger.database import Database

_CONNECT_S = 10.0
_STATEMENT_S = 120.0
_COLUMNS = ("caller_id", "carrier", "area_code", "daily_limit", "hourly_limit", "meta_json", "switch")
_OLD_COLUMNS = ("caller_id", "carrier", "area_code", "daily_limit", "hourly_limit", "is_active", "meta", "total_uses")
_BATCH = 2000


class SeedDatabaseError(RotatorError):
    """The old database cannot be read."""


@dataclass(frozen=True, slots=True)
class SeedImport:
    """What was read there, and what came of it here. A line of `report` is a row in order of its number, header first."""

    read: int
    switched_off: int
    report: ImportReport


async def import_seed(
    old_dsn: str,
    database: Database,
    options: ImportOptions | None = None,
    *,
    on_problem: Callable[[RowProblem], None] = lambda _problem: None,
) -> SeedImport:
    """Read the old table and import it as a CSV file of it would be: checked, all or nothing, safe to do again.

    A number that was not active there is disabled here. A number that was active there leaves the switch of one that is
    here as it is: who disabled it meanwhile meant it. Limits are kept as they are.

    Raises:
        SeedDatabaseError: the old database cannot be reached or has no such table; says what to do.
        LedgerUnavailableError: our own is away; nothing was imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caller_ids.csv"
        read, switched_off = await _copy_out(old_dsn, path)
        report = await import_csv(path, database, options, on_problem=on_problem)
    return SeedImport(read, switched_off, report)


async def _copy_out(dsn: str, path: Path) -> tuple[int, int]:
    """Write the old table as CSV; return how many rows there were, and how many of them not active."""
    try:
        connection = await asyncpg.connect(_plain(dsn), timeout=_CONNECT_S, command_timeout=_STATEMENT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SeedDatabaseError(
            f"The old database cannot be reached: {str(error) or type(error).__name__}. Write its address as"
            " postgresql://USER:PASSWORD@HOST:5432/DATABASE; its .env has DB_USER, DB_PASSWORD and DB_NAME."
        ) from error
    try:
        async with asyncio.timeout(_STATEMENT_S):
            return await _write(connection, path)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SeedDatabaseError(
            f"The old table cannot be read: {str(error) or type(error).__name__}. Nothing was imported."
        ) from error
    finally:
        await connection.close(timeout=_CONNECT_S)


async def _write(connection: asyncpg.Connection[asyncpg.Record], path: Path) -> tuple[int, int]:
    async with connection.transaction(readonly=True, isolation="repeatable_read"):
        there = {
            row["attname"]
            for row in await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('caller_ids') AND attnum > 0"
                " AND NOT attisdropped"
            )
        }
        # Ours has a table of the same name; what tells them apart is total_uses.
        if not {"caller_id", "total_uses"} <= there:
            raise SeedDatabaseError(
                "That database has no table caller_ids of Caller-ID Rotation API (one with caller_id and total_uses). Check"
                " the name of the database; nothing was imported."
            )
        columns = ", ".join(f'"{name}"' if name in there else f'NULL AS "{name}"' for name in _OLD_COLUMNS)
        read = switched_off = 0
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            async for row in connection.cursor(f"SELECT {columns} FROM caller_ids ORDER BY caller_id", prefetch=_BATCH):
                read += 1
                switched_off += row["is_active"] == 0
                writer.writerow(_row(row))
        return read, switched_off


def _row(row: asyncpg.Record) -> dict[str, Any]:
    meta = row["meta"]
    return {
        "caller_id": row["caller_id"],
        "carrier": row["carrier"] or "",
        # Some of its versions took the first digits, "155" of 15551234567: what is no area code is found from the number.
        "area_code": row["area_code"] if _is_area(row["area_code"], row["caller_id"]) else "",
        "daily_limit": row["daily_limit"],
        "hourly_limit": row["hourly_limit"],
        "meta_json": (meta if isinstance(meta, str) else json.dumps(meta)) if meta not in (None, "null") else "",
        "switch": "disabled" if row["is_active"] == 0 else "",
    }


def _is_area(area: Any, number: str) -> bool:
    digits = "".join(filter(str.isdigit, number))
    national = digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
    return isinstance(area, str) and len(area) == 3 and national.startswith(area)


def _plain(dsn: str) -> str:
    """Return an SQLAlchemy address, as the old program's settings have it, in PostgreSQL's own form."""
    scheme, separator, rest = dsn.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"
