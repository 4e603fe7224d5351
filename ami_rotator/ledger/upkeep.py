"""What the ledger needs done now and then."""

from __future__ import annotations

from ami_rotator.ledger.database import Database

_MONTHS_AHEAD = 2
_HOURS_AT_ONCE = 3
_HOURS_MOST = 200


async def ensure_partitions(database: Database) -> int:
    """Make the partitions of this month and the next two that are missing; return how many were made. Daily is enough."""
    return int(await database.value("ensure_partitions", _MONTHS_AHEAD))


async def roll_up_usage(database: Database, zone: str) -> int:
    """Count usage an hour and a day anew where the ledger changed; return how many hours were counted.

    `zone` is the name of the time zone whose hours and days are counted. A few hours a statement: each has its time limit.
    Where calls are stored meanwhile, the hour that runs is due again at once. That is for the next time: this must end.
    """
    hours = 0
    waiting = min(int(await database.value("usage_hours_due")), _HOURS_MOST)
    for _ in range(0, waiting, _HOURS_AT_ONCE):
        hours += int(await database.value("roll_up_usage", zone, _HOURS_AT_ONCE))
    return hours


async def drop_old_calls(database: Database, keep_months: int) -> int:
    """Drop the ledger's months before the last `keep_months` and the one that runs; return how many were dropped."""
    return int(await database.value("drop_old_calls", keep_months))
