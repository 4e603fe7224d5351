"""Take what happened from the outbox stream and store it in PostgreSQL: each entry exactly once, whatever fails.

An entry leaves the stream after the statement that stored it was committed; one that was stored but not taken off is
stored again, and that changes nothing. Several daemons share the work as consumers of one group.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
import orjson
import structlog
from redis.asyncio import Redis, RedisCluster
from redis.client import NEVER_DECODE
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from ami_rotator.cancellation import end_tasks, raise_if_cancelled
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox_events import as_text, read_row

log = structlog.get_logger(__name__)

GROUP = "ledger"
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.1, 5.0
# How many entries are read without a turn for others: calls have milliseconds, the ledger has time.
_AT_ONCE = 4
# Batches that are stored side by side: PostgreSQL works at one while the other is sent, or taken off the stream.
_STORED_AT_ONCE = 2
_FORGET_CONSUMER_MS = 3_600_000
_AWAY = (LedgerUnavailableError, RedisError, RedisClusterException, OSError, asyncpg.PostgresError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream, its fields as bytes: what dialers send need not be text."""

    id: str
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that cannot be stored as a call."""

    entry_id: str
    fields: Mapping[str, str]
    reason: str


Parsed: TypeAlias = tuple[Entry, orjson.Fragment]
"""An entry and the row that it is stored as."""


@dataclass(slots=True)
class _Batch:
    """Entries that were read together: all ids, and what became of those that have something in them."""

    ids: list[str]
    parsed: list[Parsed] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


class LedgerOutbox:
    """A consumer of the outbox of one inventory. `consumer` names this process; no two may have the same name.

    `claim_after_ms`: after this time without an answer, what another consumer was given is taken over. `gather_s`: what
    comes within this time is stored together, where there is not a whole batch at once.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        database: Database,
        inventory: str,
        consumer: str,
        *,
        batch: int = 500,
        block_ms: int = 1000,
        claim_after_ms: int = 30_000,
        gather_s: float = 0.1,
    ) -> None:
        self._redis = redis
        self._database = database
        self._stream = f"outbox:{{{inventory}}}"
        self._consumer = consumer
        self._batch = batch
        self._block_ms = _within_timeout(redis, block_ms)
        self._claim_after_ms = claim_after_ms
        self._gather_s = gather_s
        self._claimed_at_s = float("-inf")
        self._owes_own = True
        self._under_way: deque[asyncio.Task[None]] = deque()
        self._failures = 0  # since something was stored last
        self.stored = 0
        self.set_aside = 0

    async def run(self) -> None:
        """Store until cancelled. Away Redis or PostgreSQL are waited for, with backoff and jitter."""
        try:
            while True:
                raise_if_cancelled()
                try:
                    handled = await self._work(self._block_ms)
                    if 0 < handled < self._batch:
                        await asyncio.sleep(self._gather_s)
                except _AWAY as error:
                    # What was read and not stored is still ours in the stream.
                    self._owes_own = True
                    self._failures += 1
                    delay_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(self._failures, 10))
                    delay_s *= random.uniform(0.5, 1.0)
                    log.warning("outbox waits", error=str(error), failures=self._failures, again_in_s=round(delay_s, 2))
                    await asyncio.sleep(delay_s)
        finally:
            await self._stop_storing()

    async def drain(self, timeout_s: float = 5.0) -> bool:
        """Store what is in the stream, for a stop in order; tell whether all of it was. Not while `run` runs."""
        deadline = time.monotonic() + timeout_s
        self._owes_own = True
        try:
            async with asyncio.timeout(timeout_s):
                while time.monotonic() < deadline:
                    if not await self._work(block_ms=1) and not self._owes_own:
                        return True
        except _AWAY as error:
            log.warning("outbox not drained; the rest is stored at the next start", error=str(error) or "too slow")
        finally:
            await self._stop_storing()
        return False

    async def _work(self, block_ms: int) -> int:
        """Handle one batch; return its size.

        Whole batches are stored while the next is read: a backlog goes as fast as the slower of the two.
        """
        entries = await self._next(block_ms)
        batch = await self._parse(entries)
        if len(entries) < self._batch:
            await self._stored()
            await self._keep(batch)
        else:
            await self._stored(but=_STORED_AT_ONCE - 1)
            self._under_way.append(asyncio.create_task(self._keep(batch), name="outbox store"))
        return len(entries)

    async def _next(self, block_ms: int) -> list[Entry]:
        """Read what dead consumers left, what is owed from before, or what is new."""
        if time.monotonic() - self._claimed_at_s > self._claim_after_ms / 1000:
            await self._stored()
            if entries := await self._claim():
                return entries
            await self._forget_dead_consumers()
            self._claimed_at_s = time.monotonic()
        if self._owes_own:
            await self._stored()
            if entries := await self._read("0", None):
                return entries
            self._owes_own = False
        return await self._read(">", block_ms)

    async def _stored(self, but: int = 0) -> None:
        """Wait until the batches under way are stored, but for so many; raises why one is not."""
        try:
            while len(self._under_way) > but:
                await self._under_way[0]
                self._under_way.popleft()
        except BaseException:
            await self._stop_storing()
            raise

    async def _stop_storing(self) -> None:
        await end_tasks(*self._under_way)
        self._under_way.clear()

    async def _parse(self, entries: Sequence[Entry]) -> _Batch:
        batch = _Batch([entry.id for entry in entries])
        for number, entry in enumerate(entries):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if not entry.fields:
                continue  # taken off the stream by somebody; only the group still remembers it
            try:
                batch.parsed.append((entry, read_row(entry.fields)))
            except ValueError as error:
                batch.dead.append(DeadLetter(entry.id, as_text(entry.fields), str(error)))
        return batch

    async def _keep(self, batch: _Batch) -> None:
        """Store a batch, and take it off the stream."""
        if not batch.ids:
            self._failures = 0  # Redis answered, and nothing is owed
            return
        await self._set_aside(batch.dead)
        await self._store(batch.parsed)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self._stream, GROUP, *batch.ids)
            pipeline.xdel(self._stream, *batch.ids)
            await pipeline.execute()
        self._failures = 0

    async def _store(self, parsed: Sequence[Parsed]) -> None:
        """Store with one statement; where PostgreSQL refuses a value, halve until it is alone, and set it aside."""
        if not parsed:
            return
        try:
            await self._database.run("store_records", [row for _, row in parsed])
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(parsed) == 1:
                entry = parsed[0][0]
                await self._set_aside([DeadLetter(entry.id, as_text(entry.fields), str(error))])
                return
            middle = len(parsed) // 2
            await self._store(parsed[:middle])
            await self._store(parsed[middle:])
        else:
            self.stored += len(parsed)

    async def _set_aside(self, dead: Sequence[DeadLetter]) -> None:
        if not dead:
            return
        rows = [{"entry_id": one.entry_id, "fields": one.fields, "reason": one.reason} for one in dead]
        await self._database.run("store_dead_letters", self._stream, rows)
        self.set_aside += len(dead)
        for one in dead:
            log.error("outbox entry set aside in dead_letters", entry=one.entry_id, reason=one.reason)

    async def _read(self, after: str, block_ms: int | None) -> list[Entry]:
        blocking = () if block_ms is None else ("BLOCK", block_ms)
        reply = await self._in_group(
            "XREADGROUP",
            "GROUP",
            GROUP,
            self._consumer,
            "COUNT",
            self._batch,
            *blocking,
            "STREAMS",
            self._stream,
            after,
        )
        streams = list(reply.values()) if isinstance(reply, dict) else [stream for _, stream in reply or ()]
        return [entry for stream in streams for entry in _entries(stream)]

    async def _claim(self) -> list[Entry]:
        """Take over what was given to a consumer, this one included, that never said it was stored."""
        reply = await self._in_group(
            "XAUTOCLAIM", self._stream, GROUP, self._consumer, self._claim_after_ms, "0-0", "COUNT", self._batch
        )
        return _entries(reply[1])

    async def _in_group(self, *command: str | int) -> Any:
        """Run a command of the consumer group, made if it is not there: Redis may have been emptied."""
        try:
            return await self._raw(*command)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        try:
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        return await self._raw(*command)

    async def _raw(self, *command: str | int) -> Any:
        return await self._redis.execute_command(*command, **{NEVER_DECODE: True})

    async def _forget_dead_consumers(self) -> None:
        """Remove consumers that nobody has heard of for long and that owe nothing; each restart leaves one."""
        for consumer in await self._redis.xinfo_consumers(self._stream, GROUP):
            name = consumer["name"]
            name = name.decode() if isinstance(name, bytes) else name
            if name != self._consumer and consumer["pending"] == 0 and consumer["idle"] > _FORGET_CONSUMER_MS:
                await self._redis.xgroup_delconsumer(self._stream, GROUP, name)


def _entries(stream: Any) -> list[Entry]:
    """Read a reply's entries; redis-py wraps them once more with some protocol settings."""
    if stream and isinstance(stream[0], list):
        stream = [entry for part in stream for entry in part]
    return [Entry(key.decode(), fields or {}) for key, fields in stream or () if key is not None]


def _within_timeout(redis: Redis | RedisCluster, block_ms: int) -> int:
    """Return a time to block that the client's own socket timeout does not cut off."""
    if isinstance(redis, RedisCluster):
        timeout_s = redis.get_connection_kwargs().get("socket_timeout")
    else:
        timeout_s = redis.connection_pool.connection_kwargs.get("socket_timeout")
    return block_ms if timeout_s is None else max(1, min(block_ms, int(timeout_s * 500)))
