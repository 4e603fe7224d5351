"""How fast the ledger stores what happened, against how fast the AMI path makes it happen."""

from __future__ import annotations

import asyncio
import time

from ami_rotator.domain.types import Assignment, CallKey, End
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import LedgerOutbox
from ami_rotator.pool.connect import connect
from tests.bench.context import Bench, FilledPool
from tests.bench.figures import Figure
from tests.bench.load import areas, request
from tests.bench.part_ami import KNEE
from tests.bench.part_ami import PART as AMI

PART = "ledger"
_CONCURRENT = 32
_ENTRIES_A_CALL = 3
_SHOWN_AFTER, _ENDED_AFTER = 500, 5_000
"""So many calls begin until the trunk leg of one shows its number, and until it ends: a second, and ten."""
_DRAIN_S = 300.0


async def run(bench: Bench) -> None:
    """Let calls happen while nobody stores, then store them all."""
    size, among = bench.size, areas(bench.size.areas)
    bench.say(f"{PART}: {size.ledger_calls:,} calls of {_ENTRIES_A_CALL} records each")
    async with bench.pool(size.caller_ids, among) as filled, bench.database(0, among) as dsn:
        await _happen(filled, size.ledger_calls, size.campaigns)
        redis = connect(bench.redis_url, timeout_s=5)
        async with Database.open(dsn) as database:
            outbox = LedgerOutbox(redis, database, filled.pool.tag.strip("{}"), "bench")
            began, used_s = time.perf_counter(), time.process_time()
            empty = await _octets(database)
            if not await outbox.drain(_DRAIN_S):
                raise RuntimeError("the outbox was not drained")
            took_s, used_s = time.perf_counter() - began, time.process_time() - used_s
            octets = (await _octets(database) - empty) / size.ledger_calls
        await redis.aclose()
    if outbox.stored != size.ledger_calls * _ENTRIES_A_CALL or outbox.set_aside:
        raise RuntimeError(f"{outbox.stored} records stored, {outbox.set_aside} set aside")
    peak = bench.value_of(AMI, KNEE) or None  # none where no rate held
    rate = size.ledger_calls / took_s
    bench.add(
        Figure(
            PART,
            "calls stored a second",
            rate,
            "/s",
            peak,
            "calls/s, the knee of part ami" if peak else "",
            at_least=10 if peak else None,
            note="one daemon, batches of 500 records",
        ),
        Figure(PART, "records stored a second", rate * _ENTRIES_A_CALL, "/s"),
        Figure(PART, "processor time of the daemon a call", 1e6 * used_s / size.ledger_calls, "µs"),
        Figure(PART, "PostgreSQL a call", octets, "bytes", note="tables and indexes, as they grew"),
    )


async def _octets(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))


async def _happen(filled: FilledPool, count: int, campaigns: int) -> None:
    """Let calls happen. Between two records of a call lie those of others, as where 500 calls begin a second."""
    indexes = iter(range(1, count + _ENDED_AFTER + 1))
    live: dict[int, tuple[CallKey, Assignment]] = {}

    async def one() -> None:
        for index in indexes:
            if index <= count:
                wanted = request(index, filled.areas, campaigns)
                found = await filled.assigner.assign(wanted)
                if not isinstance(found, Assignment):
                    raise LookupError(f"no caller-ID: {found.reason} {found.detail}")
                live[index] = wanted.key, found
            if 0 < index - _SHOWN_AFTER <= count:
                key, given = live[index - _SHOWN_AFTER]
                await filled.pool.confirm(key, given.caller_id, f"1700000000.{index}")
            if index > _ENDED_AFTER:
                key, given = live.pop(index - _ENDED_AFTER)
                await filled.pool.release(key, End("answered", 16, 200, 12_000), given.reservation)

    async with asyncio.TaskGroup() as group:
        for _ in range(_CONCURRENT):
            group.create_task(one())
