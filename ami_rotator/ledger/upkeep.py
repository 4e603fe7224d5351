"""What the ledger needs done now and then."""

from __future__ import annotations

from ami_rotator.ledger.database import Database

_MONTHS_AHEAD = 2


async def ensure_partitions(database: Database) -> int:
    """Make the partitions of this month and the next two that are missing; return how many were made. Daily is enough."""
    return int(await database.value("ensure_partitions", _MONTHS_AHEAD))
