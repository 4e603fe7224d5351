"""Export the inventory as a CSV file that a spreadsheet can open without running anything, and that imports unchanged."""

from __future__ import annotations

import csv
from typing import TextIO

from ami_rotator.domain.numbers import present
from ami_rotator.domain.types import E164
from ami_rotator.ledger.csv_rows import COLUMNS
from ami_rotator.ledger.database import Database

_BATCH = 2000


async def export_csv(database: Database, target: TextIO) -> int:
    """Write all caller-IDs in order of their number; return how many. Open `target` with `newline=""`.

    Raises:
        LedgerUnavailableError: PostgreSQL is away.
    """
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    written, last = 0, ""
    while True:
        rows = await database.rows("export_after", last, _BATCH)
        for row in rows:
            writer.writerow(
                (
                    guarded(present(E164(row["caller_id"])) if row["caller_id"].startswith("+1") else row["caller_id"]),
                    guarded(row["carrier"]),
                    guarded(row["area"]),
                    "" if row["daily_limit"] is None else row["daily_limit"],
                    "" if row["hourly_limit"] is None else row["hourly_limit"],
                    row["meta_json"],
                    guarded(row["group_name"]),
                    row["switch"],
                    "" if row["minute_limit"] is None else row["minute_limit"],
                    row["attestation"],
                    row["warmup_from"],
                )
            )
        written += len(rows)
        if len(rows) < _BATCH:
            return written
        last = rows[-1]["caller_id"]


def guarded(text: str) -> str:
    """Put `'` before what a spreadsheet would run as a formula (OWASP, CSV injection); the import takes it off."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "'") else text
