"""Keep VICIdial's reports true: write the number that was really sent into vicidial_dial_cid_log.

VICIdial writes a row a call there, with the number it chose itself (AST_VDauto_dial.pl:2397, vdc_db_query.php:5261). Off by
default. What is written comes seconds after the fact, in batches, and only where it differs; where the database is away
too long, the oldest are dropped and counted. Nothing else waits for it or hears of its failures.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter

from ami_rotator.cancellation import raise_if_cancelled
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.call_codes import parse_call_code
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialError
from ami_rotator.vicidial.schema import check_schema

_PRESENT_SQL = "SELECT caller_code, outbound_cid FROM vicidial_dial_cid_log WHERE caller_code IN ({})"
_UPDATE_SQL = "UPDATE vicidial_dial_cid_log SET outbound_cid = CASE caller_code {} END WHERE caller_code IN ({})"

_CODE_MOST = 20
_NUMBER_MOST = 20
_PAUSE_MOST_S = 60.0
_LAST_TRY_S = 3.0


@dataclass(frozen=True, slots=True)
class WriteBackState:
    """How it is doing. Counts since the start; `missing` are calls of which VICIdial wrote no row."""

    waiting: int
    written: int
    unchanged: int
    missing: int
    dropped: int
    why: str


class WriteBackMetrics:
    """The write-back's counter, in the registry of the daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.numbers = Counter(
            "rotator_write_back",
            "Numbers for vicidial_dial_cid_log: written, unchanged, missing, dropped",
            ["result"],
            registry=registry,
        )


class WriteBack:
    """`note` each number that went out, and `run` it."""

    def __init__(
        self,
        connection: VicidialConnection,
        *,
        metrics: WriteBackMetrics | None = None,
        clock: Clock | None = None,
        every_s: float = 2.0,
        patience_s: float = 30.0,
        batch_most: int = 50,
        waiting_most: int = 10_000,
    ) -> None:
        """Prepare it. `patience_s` is how long a call's row is waited for."""
        self._connection = connection
        self._metrics = metrics or WriteBackMetrics(CollectorRegistry())
        self._clock = clock or SystemClock()
        self._every_s = every_s
        self._patience_s = patience_s
        self._batch_most = batch_most
        self._waiting_most = waiting_most
        self._waiting: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._counts = dict.fromkeys(("written", "unchanged", "missing", "dropped"), 0)
        self._why = ""
        self._log = structlog.get_logger("write_back")

    def note(self, code: str, presented: str) -> None:
        """Remember what a call showed, digits as they went out. Never waits, never fails."""
        parsed = parse_call_code(code)
        if parsed is None or not presented or len(presented) > _NUMBER_MOST:
            return
        self._waiting[parsed.text] = (presented, self._clock.monotonic_s())
        if len(self._waiting) > self._waiting_most:
            self._waiting.popitem(last=False)
            self._count("dropped", 1)

    def state(self) -> WriteBackState:
        """Return how it is doing now."""
        return WriteBackState(waiting=len(self._waiting), why=self._why, **self._counts)

    async def run(self) -> None:
        """Write until cancelled; what is still waiting then is written in one last try."""
        pause_s = self._every_s
        try:
            while True:
                raise_if_cancelled()
                await asyncio.sleep(pause_s)
                pause_s = self._every_s if await self.flush() else min(pause_s * 2, _PAUSE_MOST_S)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_TRY_S):
                    await self.flush()
            raise
        finally:
            self._connection.close()

    async def flush(self) -> bool:
        """Write what is waiting; False where the database could not be used."""
        try:
            if self._waiting and not self._connection.is_open:
                await self._connection.open()
                await check_schema(self._connection, "write_back")
            codes = list(self._waiting)
            for start in range(0, len(codes), self._batch_most):
                await self._write(codes[start : start + self._batch_most])
        except VicidialError as error:
            self._connection.close()
            if not self._why:
                self._log.warning("numbers are not written back to VICIdial; calls are not affected", why=str(error))
            self._why = str(error)
            return False
        self._why = ""
        return True

    async def _write(self, codes: Sequence[str]) -> None:
        marks = ", ".join(["%s"] * len(codes))
        batch = {code: self._waiting[code] for code in codes if code in self._waiting}
        present = {str(row[0]): row[1] or "" for row in await self._connection.rows(_PRESENT_SQL.format(marks), codes)}
        differ = {code: number for code, (number, _) in batch.items() if present.get(code, number) != number}
        if differ:
            whens = " ".join(["WHEN %s THEN %s"] * len(differ))
            pairs = [text for item in differ.items() for text in item]
            marks = ", ".join(["%s"] * len(differ))
            await self._connection.change(_UPDATE_SQL.format(whens, marks), [*pairs, *differ])
        late_s = self._clock.monotonic_s() - self._patience_s
        missing = 0
        for code, item in batch.items():
            if code in present or item[1] < late_s:
                missing += code not in present
                if self._waiting.get(code) == item:  # it may have got another number meanwhile
                    del self._waiting[code]
        self._count("written", len(differ))
        self._count("unchanged", len(batch.keys() & present.keys()) - len(differ))
        self._count("missing", missing)

    def _count(self, result: str, count: int) -> None:
        self._counts[result] += count
        self._metrics.numbers.labels(result).inc(count)
