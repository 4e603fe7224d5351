"""A consumer of the outbox that kills itself at a chosen point: run as a program."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from redis.asyncio import Redis

from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import Entry, LedgerOutbox, Parsed, _Batch

READ, STORED, COMMITTED = "read", "stored", "committed"


class Victim(LedgerOutbox):
    """Dies at its point with the batch that makes `at_batch` batches."""

    point = READ
    at_batch = 1
    read = 0
    begun = 0  # to be stored

    async def _parse(self, entries: Sequence[Entry]) -> _Batch:
        if entries:
            self.read += 1
        self._die(READ, self.read)
        return await super()._parse(entries)

    async def _store(self, parsed: Sequence[Parsed]) -> None:
        self.begun += 1
        begun = self.begun  # another batch may begin before this one is stored
        if self.point == STORED and begun >= self.at_batch:
            # In a transaction, after the statement: PostgreSQL takes it back.
            async with self._database.transaction() as connection:
                await connection.execute(self._database.query("store_records"), [row for _, row in parsed])
                self._die(STORED, begun)
        await super()._store(parsed)
        self._die(COMMITTED, begun)

    def _die(self, point: str, batches: int) -> None:
        if self.point == point and batches >= self.at_batch:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(redis_url: str, dsn: str, inventory: str, point: str, at_batch: str) -> None:
    """Store until killed."""
    redis = Redis.from_url(redis_url, decode_responses=True, socket_timeout=5)
    async with Database.open(dsn) as database:
        victim = Victim(redis, database, inventory, f"victim-{os.getpid()}", batch=20, claim_after_ms=200, block_ms=20)
        victim.point, victim.at_batch = point, int(at_batch)
        await victim.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
