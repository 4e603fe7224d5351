"""The jobs that keep records in order: partitions, usage, retention, and the outbox's end."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from redis.exceptions import ResponseError

from ami_rotator.jobs.job import Job
from ami_rotator.jobs.lease import as_pool
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.upkeep import drop_old_calls, ensure_partitions, roll_up_usage
from ami_rotator.pool.connect import RedisClient

_HOUR_S = 3600.0


def ledger_jobs(
    database: Database, redis: RedisClient, outbox_stream: str, zone: ZoneInfo, keep_months: int
) -> list[Job]:
    """Return the jobs. One daemon runs each: twice would do no harm, but no good either.

    `keep_months`: how many whole months of the ledger are kept besides the one that runs; 0: all.
    """

    async def partitions() -> str:
        made = await ensure_partitions(database)
        return f"{made} partitions made" if made else ""

    async def usage() -> str:
        hours = await roll_up_usage(database, zone.key)
        return f"{hours} hours counted" if hours else ""

    async def retention() -> str:
        if not keep_months:
            return "LEDGER_KEEP_MONTHS is 0: everything is kept"
        dropped = await drop_old_calls(database, keep_months)
        return f"{dropped} months dropped" if dropped else ""

    async def trim() -> str:
        trimmed = await trim_stored(redis, outbox_stream)
        return f"{trimmed} stored entries removed" if trimmed else ""

    return [
        Job("partitions", 6 * _HOUR_S, partitions, "Make the ledger's partitions of the next months", alone=True),
        Job("usage", 60.0, usage, "Count usage an hour and a day from the ledger", alone=True),
        Job("retention", 6 * _HOUR_S, retention, "Drop the ledger's months beyond LEDGER_KEEP_MONTHS", alone=True),
        Job("trim", 60.0, trim, "Remove from the outbox what is stored and was left there", alone=True),
    ]


async def trim_stored(redis: RedisClient, stream: str) -> int:
    """Remove the entries that every consumer group has taken and acknowledged; return how many.

    Consumers remove what they acknowledge in one transaction, so there is something to do only where a person acknowledged
    by hand or a group was moved on. An entry that is not pending and was delivered can never become pending again.
    """

    async def first_kept() -> str | None:
        try:
            groups = await redis.xinfo_groups(stream)
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        needed = []
        for group in groups:
            pending = await redis.xpending(stream, group["name"])
            needed.append(pending["min"] if pending["pending"] else _after(group["last-delivered-id"]))
        return min(needed, key=_order) if needed else None

    first = await as_pool(first_kept)
    if first is None:
        return 0
    return int(await as_pool(lambda: redis.xtrim(stream, minid=first, approximate=False)))


def _order(identity: str) -> tuple[int, int]:
    ms, _, sequence = identity.partition("-")
    return int(ms), int(sequence or 0)


def _after(identity: str) -> str:
    ms, sequence = _order(identity)
    return f"{ms}-{sequence + 1}"
